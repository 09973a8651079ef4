"""Format `onnx`: the graph for any runtime that reads ONNX, exported by torch and run by ONNX Runtime.

Any number of examples, and text of any length up to the longest. Tokens are int64, as tokenizers give them.
Needs onnx, onnxscript and onnxruntime: ``pip install 'minform[export]'``.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minform_cli.errors import InputError
from minform_cli.exporting.loading import code
from minform_cli.exporting.source import Batch, Exported, Written
from minform_cli.exporting.torch_export import quiet, traced
from minform_cli.files import write_atomic

HAS_GRAPH = True
FILE = "model.onnx"
OPSET = 20
"""Of the operators: the first with GELU as one operator."""

MOST_BYTES = 2**31 - 2**20
"""Of a file that holds its numbers; what is larger keeps them beside it, in ``model.onnx.data``."""

_FLOAT = 1
"""ONNX's number for float32."""

_NEEDS = ("onnx", "onnxscript", "onnxruntime")


def write(model: Exported, folder: Path) -> Written:
    """Writes the graph.

    Raises:
        InputError: a library that it needs is not installed.
    """
    for library in _NEEDS:
        _library(library)
    with quiet():
        program: Any = torch.onnx.export(
            traced(model),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(model.graph.inputs),
            output_names=[model.graph.output],
            external_data=False,
            verbose=False,
        )
    proto = _plain(program.model_proto, model)
    numbers = _numbers(proto)
    path = folder / FILE
    if 4 * numbers < MOST_BYTES:
        write_atomic(path, proto.SerializeToString())
    else:
        _library("onnx").save(proto, path, save_as_external_data=True, location=f"{FILE}.data")
    session = _library("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(batch: Batch) -> Tensor:
        (outputs,) = session.run(None, {name: value.numpy() for name, value in batch.items()})
        return torch.from_numpy(outputs)

    load = code(
        model,
        "numpy",
        ["import onnxruntime"],
        f'model = onnxruntime.InferenceSession("{FILE}")',
        "(outputs,) = model.run(None, batch)",
    )
    return Written(file=FILE, numbers=numbers, loader=f"onnxruntime, opset {OPSET}", run=run, load=load)


def _plain(proto: Any, model: Exported) -> Any:
    """The graph without torch's notes, which hold paths of this machine, and with names for the sizes that vary."""
    names: dict[str, str] = {}
    for given in proto.graph.input:
        sizes = [dim.dim_param for dim in given.type.tensor_type.shape.dim if dim.dim_param]
        length = "decoder_tokens" if given.name.startswith("decoder") else "tokens"
        names |= dict(zip(sizes, ("batch", length), strict=False))
    del proto.graph.value_info[:]  # sizes within; every runtime finds them out
    del proto.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = names.get(dim.dim_param, dim.dim_param)
    for each in (*proto.graph.node, *proto.graph.initializer):
        del each.metadata_props[:]
        each.doc_string = ""
    proto.graph.name = f"{model.config.preset} {model.config.variant}"
    proto.doc_string = ""
    return proto


def _numbers(proto: Any) -> int:
    """The numbers of its tensors, single ones left out; one that two operators want in two forms is there twice."""
    weights = (each for each in proto.graph.initializer if each.data_type == _FLOAT and each.dims)
    return sum(math.prod(each.dims) for each in weights)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InputError(f"--format onnx: {name} is not installed; pip install 'minform[export]'") from None
