"""Training: the path from a config to a result, its loop, its checkpoints, and evaluation of finished runs."""
