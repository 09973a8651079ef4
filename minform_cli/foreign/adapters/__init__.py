"""Weights of other libraries in our own parts: one adapter for each family of architectures."""
