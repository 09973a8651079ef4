"""Exact counts: the built model on the meta device against closed forms written independently."""
