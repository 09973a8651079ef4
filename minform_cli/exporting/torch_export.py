"""Format `torch-export`: the graph as ``torch.export.save`` writes it; ``torch.export.load`` needs torch alone.

Any number of examples, and text of any length up to the longest. Inputs go by name: ``module(input_ids=...)``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from minform_cli.exporting.loading import code
from minform_cli.exporting.parity import SIZES, example_batch
from minform_cli.exporting.source import Batch, Exported, Written
from minform_cli.files import write_atomic

HAS_GRAPH = True
FILE = "model.pt2"
MOST = 2**16
"""Examples of a batch, the most a graph promises."""


def write(model: Exported, folder: Path) -> Written:
    """Writes the graph."""
    written = io.BytesIO()  # torch's own writer hides why a disk refuses
    with quiet():
        torch.export.save(traced(model), written)
        write_atomic(folder / FILE, written.getvalue())
        loaded = cast("torch.nn.Module", torch.export.load(folder / FILE).module())

    def run(batch: Batch) -> Tensor:
        return loaded(**batch)

    load = code(model, "torch", [], f'model = torch.export.load("{FILE}").module()', "outputs = model(**batch)")
    return Written(file=FILE, numbers=model.numbers, loader="torch.export.load", run=run, load=load)


def traced(model: Exported) -> ExportedProgram:
    """The graph, for any number of examples of any length."""
    batch = example_batch(model, SIZES[2])
    program = torch.export.export(model.graph, (), batch, dynamic_shapes=dynamic_shapes(model), strict=False)
    for node in program.graph.nodes:  # where it came from, with paths of this machine
        node.meta.pop("stack_trace", None)
    return program


def dynamic_shapes(model: Exported) -> dict[str, dict[int, Any]]:
    """Which sizes of the inputs vary, by input and dimension."""
    size = Dim("batch", min=1, max=MOST)
    if "pixel_values" in model.graph.inputs:
        return {"pixel_values": {0: size}}
    lengths = {name: Dim("tokens", min=1, max=model.longest) for name in model.graph.inputs}
    if "decoder_input_ids" in lengths:
        lengths["decoder_input_ids"] = Dim("decoder_tokens", min=1, max=model.longest)
    return {name: {0: size, 1: length} for name, length in lengths.items()}


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """What torch says while it exports goes nowhere: it is of its own workings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
