"""A run as a value: its folder, its weights, its checkpoint and journals, and what can be read of it later."""
