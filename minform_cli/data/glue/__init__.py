"""GLUE's sentences: read from its files, cut into tokens, and made into batches."""
