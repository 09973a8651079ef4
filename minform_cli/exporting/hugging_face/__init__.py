"""Format `hf`: a folder that ``from_pretrained`` of transformers loads.

Where the model is one that transformers knows, its own class loads it and minform is not needed. Otherwise, and where
that class would take more numbers than the model has (unless `expand`), a small file in the folder imports minform.
"""

from minform_cli.exporting.hugging_face.folder import HAS_GRAPH, write

__all__ = ["HAS_GRAPH", "write"]
