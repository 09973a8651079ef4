"""The one place that decides whether a combination of parts and sizes makes a model. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

from minform_cli.config import blocks
from minform_cli.config.axes.base import PartOptions, PerBlock
from minform_cli.config.axes.cross_layer import CrossLayer
from minform_cli.config.axes.embedding import Embedding, embeddings_of
from minform_cli.config.axes.mlp import Mlp
from minform_cli.config.axes.norm import Norm
from minform_cli.config.axes.position import Position
from minform_cli.config.axes.readout import READOUT, Readout
from minform_cli.config.axes.similarity import SIMILARITY, Similarity
from minform_cli.config.axes.value import VALUE, Value
from minform_cli.config.schema import ModelConfig
from minform_cli.errors import IllegalModelError


def problems(model: ModelConfig) -> list[str]:
    """Everything that forbids `model`, a sentence each, in the order of the axes; empty if it is legal.

    What is wrong in some blocks alone is said of the first of them.
    """
    found: list[str] = []
    found += _problems_of_heads(model)
    found += _problems_of_width(model)
    wrong = blocks.wrong_lists(model)
    if wrong or model.order.splits:
        found += wrong or _problems_of_split(model)
        if found:
            return found
    seen: dict[str, list[int]] = {}
    for block in range(model.num_blocks) if model.has_lists else (0,):
        for problem in _problems_of_block(model.at(block)):
            seen.setdefault(problem, []).append(block)
    for problem, where in seen.items():
        everywhere = not model.has_lists or len(where) == model.num_blocks
        found.append(problem if everywhere else f"block {where[0]}: {problem}")
    return found if found else list(_problems_between_blocks(model))


def _problems_of_split(model: ModelConfig) -> list[str]:
    """What is wrong with an order that has several blocks at a depth, which no block by itself shows."""
    for axis, part in model.parts().items():
        for own in part.parts if isinstance(part, PerBlock) else (part,):
            misfit = _misfit(axis, own, "order", model.order.kind)
            if misfit:
                return [misfit]
    wrong = model.order.illegal_of_all(model)
    return [wrong] if wrong else []


def _misfit(axis: str, part: PartOptions, other: str, kind: str) -> str | None:
    """Why that part of an axis cannot live with the kind on another, or None."""
    accepted = part.requires.get(other, (kind,))
    if kind in accepted:
        return None
    return (
        f"model.{axis} {part.kind!r} does not go with model.{other} {kind!r}: {part.why}; "
        f"accepted for model.{other}: {', '.join(accepted)}"
    )


def _problems_of_heads(model: ModelConfig) -> Iterator[str]:
    if model.head_width is None and model.dim % model.heads:
        divisors = [h for h in range(1, min(model.dim, 64) + 1) if model.dim % h == 0]
        yield (
            f"model.heads {model.heads} does not divide model.dim {model.dim}; "
            f"accepted: {', '.join(map(str, divisors))}, or a model.head_width"
        )
    if model.head_dim > model.dim:
        yield (
            f"model.head_width {model.head_dim} is above model.dim {model.dim}, of which no head makes more columns; "
            f"accepted: 1 to {model.dim}"
        )


def _problem_of_inner_width(part: Similarity | Value, model: ModelConfig) -> str | None:
    """Why heads that are not as wide as the tokens do not go with a part of attention, or None."""
    if part.any_width or model.inner_dim == model.dim:
        return None
    registered = SIMILARITY if isinstance(part, Similarity) else VALUE
    return (
        f"model.{registered.name} {part.kind!r} has heads that are model.dim {model.dim} wide together, not "
        f"{model.heads} x {model.head_dim} = {model.inner_dim}; accepted: no model.head_width, or for "
        f"model.{registered.name}: {', '.join(kind for kind in registered.names() if registered.get(kind).any_width)}"
    )


def _problems_of_width(model: ModelConfig) -> Iterator[str]:
    embedding, width = cast("Embedding", model.embedding), model.word_dim
    if model.embedding_width is None:
        return
    if not embedding.takes_width:
        yield (
            f"model.embedding_width has no meaning with model.embedding {embedding.kind!r}; accepted: tokens, or no "
            "embedding_width"
        )
    elif width > model.dim:
        yield (
            f"model.embedding_width {width} is above model.dim {model.dim}; accepted: 1 to {model.dim}, or a share "
            "below 1"
        )


def _problems_of_block(model: ModelConfig) -> Iterator[str]:
    """What is wrong with a block, or with any, that has one part on every axis."""
    for axis, part in model.parts().items():
        for other in part.requires:
            misfit = _misfit(axis, part, other, model.parts()[other].kind)
            if misfit:
                yield misfit
        problem = part.illegal(model)
        if not problem and isinstance(part, Similarity | Value):
            problem = _problem_of_inner_width(part, model)
        if problem:
            yield problem
    if not has_attention(model) and cast("Mlp", model.mlp).form(model) is None:
        yield (
            f"model.similarity {model.similarity.kind!r} and model.mlp {model.mlp.kind!r} leave nothing of the block; "
            "accepted: attention, an MLP, or both"
        )


def _problems_between_blocks(model: ModelConfig) -> Iterator[str]:
    every = [model.at(block) for block in range(model.num_blocks)] if model.has_lists else [model]
    yield from _problems_of_loans(model, every)
    readout = cast("Readout", model.readout)
    if not (readout.reads_all or any(map(has_attention, every))):
        yield (
            f"model.readout {readout.kind!r} reads the first token, which sees no other where no block attends; "
            f"accepted: {', '.join(kind for kind in READOUT.names() if READOUT.get(kind).reads_all)}"
        )
    if model.decoder_depth and not any(map(has_attention, every)):
        yield "model.similarity 'none' in every block leaves the decoder without the source; accepted: attention in one"
    values = [cast("Value", each.value).form(each) for each in every]
    if {cast("Norm", each.norm).centres for each in every} == {True, False}:
        yield "model.norm is centred in some blocks alone, and all of them read the same tokens; accepted: all or none"
    after = {value is not None and value.after_stack is not None for value in values}
    if after == {True, False}:
        kind = next(
            each.value.kind
            for each, value in zip(every, values, strict=True)
            if value and value.after_stack is not None
        )
        yield f"model.value {kind!r} stands in some blocks alone, and in all of them it must; accepted: in all or none"


def _problems_of_loans(model: ModelConfig, every: list[ModelConfig]) -> Iterator[str]:
    """Blocks that are to use keys or values of blocks before them, where none makes any."""
    for axis in ("similarity", "value"):
        lent = False
        for block in model.block_order:
            part = every[min(block, len(every) - 1)].parts()[axis]
            if isinstance(part, CrossLayer) and part.borrows and not lent:
                wanted = "keys" if axis == "similarity" else "values"
                yield (
                    f"block {block}: model.{axis} {part.kind!r} uses {wanted} of a block before it, and none "
                    f"with {part.kind!r} makes any; accepted: an order that begins with block 0, in which there is "
                    "attention, or every 1"
                )
                break
            lent = lent or (isinstance(part, CrossLayer) and not part.borrows)


def has_attention(model: ModelConfig) -> bool:
    """Whether a block with these parts attends."""
    return cast("Similarity", model.similarity).form(model) is not None


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
    """Raises `IllegalModelError` if the embedding makes no tokens of the images of the data set called `title`."""
    problem = cast("Embedding", model.embedding).misfit(model, height, width, title)
    if problem is not None:
        raise IllegalModelError(problem)


def check_embedding(model: ModelConfig, kind: str, title: str) -> None:
    """Raises `IllegalModelError` if the model's embedding takes another kind of examples than those of `title`."""
    part = cast("Embedding", model.embedding)
    if kind not in part.takes:
        fitting = embeddings_of(kind)
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
