"""Examples: what a data set looks like, where its files come from, and batches by index."""
