"""The formats by name, each in a module of its own, which is imported when the format is asked for."""

from __future__ import annotations

from minform_cli.registry import LazyRegistry

FORMATS = LazyRegistry(
    "format",
    {
        "safetensors": "minform_cli.exporting.weights",
        "hf": "minform_cli.exporting.hugging_face",
        "onnx": "minform_cli.exporting.onnx_graph",
        "torch-export": "minform_cli.exporting.torch_export",
    },
)
"""Every module offers ``write(model, folder) -> Written`` and ``HAS_GRAPH``, whether normalisation can go inside."""
