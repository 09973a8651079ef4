"""Trained models in formats that others load, each compared with ours before it is handed on."""
