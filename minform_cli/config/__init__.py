"""What a run is: typed settings, the parts on every axis, presets and variants. Imports no torch."""
