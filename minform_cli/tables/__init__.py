"""Runs that other tools made, out of their own files: one file a shape, its line in `shapes.py`; no torch."""
