"""What others load: a stored run's model as safetensors, as a graph, or as a model of transformers, with parity."""
