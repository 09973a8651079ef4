"""One file per data set: what it looks like, and how its files become arrays."""
