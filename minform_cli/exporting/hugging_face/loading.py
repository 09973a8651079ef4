"""The Python of a model card in format `hf`."""

from __future__ import annotations

from minform_cli.data.spec import ImageSpec
from minform_cli.exporting.loading import EXAMPLE
from minform_cli.exporting.loading import code as plain_code
from minform_cli.exporting.source import Exported

_VECTORS = {
    "pooler_output": ["outputs = model(**batch).pooler_output"],
    "first": ["outputs = model(**batch).last_hidden_state[:, 0]"],
    "mean": [
        'states, real = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)',
        "outputs = (states * real).sum(1) / real.sum(1)",
    ],
}

_WRITTEN = [
    "written = model.generate(**batch)",
    "outputs = tokenizer.batch_decode(written, skip_special_tokens=True)",
]


def code(model: Exported, auto: str, pooling: str, *, trust: bool = False) -> str:
    """Python that loads the folder it is run in with the class `auto`, and calls the model on one example.

    Args:
        model: what is exported.
        auto: a class of transformers.
        pooling: of a model without a head, what the vector is made of, one of `_VECTORS`.
        trust: whether the folder's own code is to be run, which imports minform.
    """
    options = ", trust_remote_code=True" if trust else ""
    load = f'model = {auto}.from_pretrained("."{options})'
    result = ["outputs = model(**batch).logits"] if model.graph.output == "logits" else _VECTORS[pooling]
    if model.config.task == "translate" and model.tokenizer is not None:
        result = _WRITTEN
    call = ["with torch.no_grad():", *(f"    {line}" for line in result)]
    if isinstance(model.spec, ImageSpec):
        names = [auto, "AutoImageProcessor"]
        prepare = [
            'prepare = AutoImageProcessor.from_pretrained(".")',
            _image(model.spec),
            'batch = prepare(image, return_tensors="pt")',
        ]
    elif model.tokenizer is not None:
        names = [auto, "AutoTokenizer"]
        prepare = [
            f'tokenizer = AutoTokenizer.from_pretrained("."{options})',
            f'batch = tokenizer(["{EXAMPLE}"], padding=True, truncation=True, return_tensors="pt")',
        ]
    else:
        return plain_code(model, "torch", [f"from transformers import {auto}"], load, "\n".join(call))
    imports = ["import torch", f"from transformers import {', '.join(sorted(names))}"]
    if isinstance(model.spec, ImageSpec):
        imports.insert(0, "import numpy as np")
    lines = [*imports, "", load, *prepare, *call]
    return "\n".join(lines) + "\n"


def _image(spec: ImageSpec) -> str:
    shape = f"({spec.height}, {spec.width}, {spec.channels})"
    return f"image = np.random.randint(256, size={shape}, dtype=np.uint8)  # one of yours: height, width, channels"
