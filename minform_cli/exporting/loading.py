"""The Python of a model card: how an exported model is loaded and called, from within its folder."""

from __future__ import annotations

from typing import Literal

from minform_cli.data.spec import ImageSpec
from minform_cli.exporting.files import TOKENIZER
from minform_cli.exporting.source import Exported

Library = Literal["torch", "numpy"]

_ARRAY = {"torch": "torch.tensor", "numpy": "np.array"}
EXAMPLE = "A smaller model."


def code(model: Exported, library: Library, imports: list[str], load: str, call: str) -> str:
    """Python that loads the model and calls it on one example.

    Args:
        model: what is exported.
        library: makes the inputs, `batch`.
        imports: lines, beside those of `library`.
        load: what makes `model` of the files.
        call: what gives the outputs of `batch`.
    """
    more, lines = _batch(model, library)
    own = "import torch" if library == "torch" else "import numpy as np"
    plain = sorted({line for line in (own, *imports, *more) if line.startswith("import ")})
    names = sorted({line for line in (*imports, *more) if line.startswith("from ")})
    return "\n".join([*plain, *names, "", *load.splitlines(), *lines, call]) + "\n"


def _batch(model: Exported, library: Library) -> tuple[list[str], list[str]]:
    """Imports, and the lines that make a batch of one example."""
    if isinstance(model.spec, ImageSpec):
        return [], _image(model, model.spec, library)
    array = _ARRAY[library]
    if model.tokenizer is None:
        numbers = {"attention_mask": "[[1, 1, 1]]", "token_type_ids": "[[0, 0, 0]]"}
        return [], _dictionary({name: f"{array}({numbers.get(name, '[[1, 2, 3]]')})" for name in model.graph.inputs})
    sources = {
        "input_ids": "text.ids",
        "attention_mask": "text.attention_mask",
        "token_type_ids": "text.type_ids",
        "decoder_input_ids": "text.ids[:1]",  # the sign that opens a text; what follows is to be predicted
    }
    return ["from tokenizers import Tokenizer"], [
        f'tokenizer = Tokenizer.from_file("{TOKENIZER}")',
        f"tokenizer.enable_truncation({model.longest})  # tokens of the longest text that the model takes",
        f'text = tokenizer.encode("{EXAMPLE}")',
        *_dictionary({name: f"{array}([{sources[name]}])" for name in model.graph.inputs}),
    ]


def _image(model: Exported, spec: ImageSpec, library: Library) -> list[str]:
    shape = f"(1, {spec.channels}, {spec.height}, {spec.width})"
    made = {
        "torch": f"torch.randint(256, {shape}, dtype=torch.uint8)",
        "numpy": f"np.random.randint(256, size={shape}, dtype=np.uint8)",
    }
    pixels = f"pixels = {made[library]}  # an image of yours: channels, height, width"
    if model.inside:
        return [pixels, 'batch = {"pixel_values": pixels}']
    assert model.normalisation is not None
    mean, std = (f"{_ARRAY[library]}({list(each)}).reshape(-1, 1, 1)" for each in model.normalisation)
    kind = {"torch": ".float()", "numpy": ".astype(np.float32)"}[library]
    return [
        pixels,
        f"mean = {mean}",
        f"std = {std}",
        f'batch = {{"pixel_values": ((pixels / 255 - mean) / std){kind}}}',
    ]


def _dictionary(entries: dict[str, str]) -> list[str]:
    return ["batch = {", *(f'    "{name}": {value},' for name, value in entries.items()), "}"]
