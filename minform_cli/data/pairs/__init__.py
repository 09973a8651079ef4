"""Pairs of sentences, one the translation of the other."""
