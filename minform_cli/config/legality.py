"""The one place that decides whether a combination of parts and sizes makes a model. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from minform_cli.config.axes.embedding import EMBEDDING, Embedding
from minform_cli.config.axes.position import Position
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import IllegalModelError


def problems(model: ModelConfig) -> list[str]:
    """Everything that forbids `model`, a sentence each, in the order of the axes; empty if it is legal."""
    found: list[str] = []
    if model.dim % model.heads:
        divisors = [h for h in range(1, min(model.dim, 64) + 1) if model.dim % h == 0]
        found.append(
            f"model.heads {model.heads} does not divide model.dim {model.dim}; "
            f"accepted: {', '.join(map(str, divisors))}"
        )
    for axis, part in model.parts().items():
        for other, accepted in part.requires.items():
            kind = model.parts()[other].kind
            if kind not in accepted:
                found.append(
                    f"model.{axis} {part.kind!r} does not go with model.{other} {kind!r}: {part.why}; "
                    f"accepted for model.{other}: {', '.join(accepted)}"
                )
        problem = part.illegal(model)
        if problem:
            found.append(problem)
    return found


def check(model: ModelConfig, where: str = "", origins: Mapping[str, str] | None = None) -> None:
    """Raises `IllegalModelError` with the first problem of `model`, if it has any.

    Args:
        model: sizes and parts.
        where: opens the message.
        origins: dotted key -> where its value came from; those the problem names are told.
    """
    found = problems(model)
    if not found:
        return
    text = f"{where}: {found[0]}" if where else found[0]
    keys = dict.fromkeys(re.findall(r"model\.\w+", found[0]))
    places = [f"{key} from {origins[key]}" for key in keys if origins and key in origins]
    raise IllegalModelError(f"{text} ({', '.join(places)})" if places else text)


def check_image(model: ModelConfig, height: int, width: int, title: str) -> None:
    """Raises `IllegalModelError` if the patch does not divide the images of the data set called `title`."""
    patch = model.patch_size
    if height % patch or width % patch:
        accepted = [p for p in range(1, min(height, width) + 1) if height % p == 0 and width % p == 0]
        raise IllegalModelError(
            f"model.patch_size {patch} does not divide the {height}x{width} images of {title}; "
            f"accepted: {', '.join(map(str, accepted))}"
        )


def check_embedding(model: ModelConfig, kind: str, title: str) -> None:
    """Raises `IllegalModelError` if the model's embedding takes another kind of examples than those of `title`."""
    part = cast("Embedding", model.embedding)
    if kind not in part.takes:
        fitting = [name for name in EMBEDDING.names() if kind in EMBEDDING.get(name).takes]
        raise IllegalModelError(
            f"model.embedding {part.kind!r} takes {' and '.join(part.takes)}, and {title} is {kind}; "
            f"accepted: {', '.join(fitting)}"
        )


def check_length(model: ModelConfig, seq_len: int, title: str) -> None:
    """Raises `IllegalModelError` if the model has fewer positions than the sequences of `title` have tokens."""
    most = cast("Position", model.position).most_tokens()
    if most is not None and seq_len > most:
        raise IllegalModelError(
            f"data.seq_len {seq_len} of {title} is more than the {most} positions of model.position; "
            f"accepted: 1 to {most}"
        )
