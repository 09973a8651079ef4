"""The Form of a whole model, put together from those of its parts as the model puts together their modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, cast, overload

from minform_cli.config import blocks
from minform_cli.config.axes.base import PartOptions
from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.axes.linear import Linear
from minform_cli.config.axes.mask import Mask
from minform_cli.config.axes.mlp import Mlp
from minform_cli.config.axes.norm import Norm
from minform_cli.config.axes.readout import EveryToken, Readout
from minform_cli.config.axes.residual import Residual
from minform_cli.config.axes.similarity import Similarity
from minform_cli.config.axes.value import Value
from minform_cli.config.form import AttentionForm, EmbeddingForm, Form, Map, ReadoutForm, ResidualForm
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import TASKS

F = TypeVar("F", bound=Form)


@dataclass(frozen=True, kw_only=True)
class BlockForm(Form):
    """One block's.

    Attributes:
        attention: of its tokens to each other.
        cross: of its tokens to the encoder's, in a decoder.
        residual: what is added to what a sublayer gives.
    """

    attention: AttentionForm | None
    cross: AttentionForm | None
    residual: ResidualForm


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Blocks that run one after another over one sequence.

    Attributes:
        path: of the list of blocks.
        blocks: those with weights of their own.
        order: which of them runs at each depth.
    """

    path: str
    blocks: tuple[BlockForm, ...]
    order: tuple[int, ...]

    @property
    def runs(self) -> tuple[BlockForm, ...]:
        """What runs at each depth."""
        return tuple(self.blocks[block] for block in self.order)


@dataclass(frozen=True, kw_only=True)
class ModelForm(Form):
    """A whole model's.

    Attributes:
        embedding: of its examples, or of the source.
        encoder: the blocks over them.
        decoder: the blocks over the target, in an encoder-decoder.
        causal: whether the encoder's tokens see only those before them.
        per_example: whether what goes to the head is one vector an example, and not one a token.
    """

    embedding: EmbeddingForm
    encoder: Stack
    decoder: Stack | None
    causal: bool
    per_example: bool


def counted_form(model: ModelConfig, spec: DataSpec, task: str) -> ModelForm:
    """What counts are about: all of the model, or all but the task's head.

    A head is left out where models are published without one: embeddings, encoder and pooler are then counted, the
    pooler even if the task at hand does not use it.
    """
    info = TASKS.info(task)
    if info.head_is_counted:
        return whole_form(model, spec, task)
    return _model(model, spec, _of(model.readout, cast(Readout, model.readout).form(_last(model))))


def whole_form(model: ModelConfig, spec: DataSpec, task: str) -> ModelForm:
    """The model with what its task needs and nothing else."""
    info = TASKS.info(task)
    part = EveryToken() if info.predicts_tokens else cast(Readout, model.readout)
    last = _last(model)
    readout = _of(part, part.form(last))
    head = info.head(last, spec)
    children = readout.children if head is None else {**readout.children, "head": head}
    return _model(model, spec, replace(readout, children=children))


def head_numbers(model: ModelConfig, spec: DataSpec, task: str) -> int:
    """Trainable numbers of a head that is counted apart; 0 where the head is counted with the rest."""
    info = TASKS.info(task)
    head = None if info.head_is_counted else info.head(_last(model), spec)
    return 0 if head is None else sum(each.numbers for each in head.holds)


def tokens_per_step(config: RunConfig, spec: DataSpec) -> int:
    """About how many tokens go through a linear map at once in training: what the order of a tensor chain is for."""
    made = _embedding(config.model, spec).from_data
    return config.train.batch_tokens or config.train.batch_size * made


def _last(model: ModelConfig) -> ModelConfig:
    """The model as readout and head see it."""
    return blocks.after(model, decodes=model.decoder_depth > 0)


def _model(model: ModelConfig, spec: DataSpec, readout: ReadoutForm) -> ModelForm:
    embedding = _embedding(model, spec)
    causal = cast(Mask, model.mask).form().causal
    encoder = _stack(model, "blocks", model.block_order, decodes=False)
    children: dict[str, Form] = {"embedding": embedding}
    children |= _first_norm(blocks.before(model), "first_norm")
    children["blocks"] = _list(encoder)
    last = blocks.after(model)
    value = cast(Value, last.value).form(last)
    if value is not None and value.after_stack is not None:
        children["stack_output"] = _stored(value.after_stack, last)
    children |= _final_norm(last, "final_norm")
    decoder = None
    if model.decoder_depth:
        decoder = _stack(model, "decoder_blocks", model.order.blocks(model.decoder_depth), decodes=True)
        target = _embedding(model, spec, decodes=True).second()
        children |= {"decoder_embedding": target}
        children |= _first_norm(blocks.before(model, decodes=True), "decoder_first_norm")
        children |= {"decoder_blocks": _list(decoder)}
        children |= _final_norm(blocks.after(model, decodes=True), "decoder_norm")
    children["readout"] = readout
    kind = "EncoderDecoder" if decoder else "ImageEncoder" if spec.kind == "images" else "TextEncoder"
    return ModelForm(
        module=kind,
        children=children,
        embedding=embedding,
        encoder=encoder,
        decoder=decoder,
        causal=causal,
        per_example=readout.per_example,
    )


def _embedding(model: ModelConfig, spec: DataSpec, *, decodes: bool = False) -> EmbeddingForm:
    first = blocks.before(model, decodes=decodes)
    return _of(first.embedding, cast(Embedding, first.embedding).form(first, spec))


def _stack(model: ModelConfig, path: str, order: tuple[int, ...], *, decodes: bool) -> Stack:
    numbers = sorted(set(order))
    if model.has_lists:
        made = [_block(model.at(block), decodes=decodes) for block in numbers]
    else:
        made = [_block(model, decodes=decodes)] * len(numbers)
    return Stack(path=path, blocks=tuple(made), order=order)


def _list(stack: Stack) -> Form:
    return Form(module="ModuleList", children={str(i): block for i, block in enumerate(stack.blocks)})


def _block(model: ModelConfig, *, decodes: bool) -> BlockForm:
    attention = _attention(model)
    mlp, norms = _of(model.mlp, cast(Mlp, model.mlp).form(model)), cast(Norm, model.norm)
    norm, of_output = _of(norms, norms.form(model)), _of(norms, norms.of_output(model))
    cross = attention if decodes else None
    sublayers = {"attention": attention, "cross": cross, "mlp": None if mlp is None else _stored(mlp, model)}
    residual = cast(Residual, model.residual).form(model)
    children: dict[str, Form] = {}
    for name, form in sublayers.items():
        norm_and_scale = {f"{name}_norm": norm, f"{name}_out_norm": of_output, f"{name}_scale": residual.scale}
        parts = {name: form, **norm_and_scale}
        if form is not None:
            children |= {name: part for name, part in parts.items() if part is not None}
    return BlockForm(module="Block", children=children, attention=attention, cross=cross, residual=residual)


def _attention(model: ModelConfig) -> AttentionForm | None:
    similarity = _of(model.similarity, cast(Similarity, model.similarity).form(model))
    value = _of(model.value, cast(Value, model.value).form(model))
    if similarity is None or value is None:
        return None
    similarity, value = _stored(similarity, model), _stored(value, model)
    children: Mapping[str, Form] = {"similarity": similarity, "value": value}
    return AttentionForm(module="Attention", children=children, heads=model.heads, similarity=similarity, value=value)


@overload
def _of(part: PartOptions, form: F) -> F: ...
@overload
def _of(part: PartOptions, form: F | None) -> F | None: ...
def _of(part: PartOptions, form: F | None) -> F | None:
    """`form`, that of `part`."""
    return None if form is None else replace(form, part=part)


def _stored(form: F, model: ModelConfig) -> F:
    """`form` with its maps stored as the axis `linear` says."""
    linear = cast(Linear, model.linear)
    holds = tuple(
        replace(each, stored=linear.form(each.role, each.dim_in, each.dim_out, model.runs))
        if isinstance(each, Map) and each.role is not None and each.stored is None
        else each
        for each in form.holds
    )
    return replace(form, holds=holds)


def _first_norm(model: ModelConfig, name: str) -> dict[str, Form]:
    norm = _of(model.norm, cast(Norm, model.norm).before(model))
    return {} if norm is None else {name: norm}


def _final_norm(model: ModelConfig, name: str) -> dict[str, Form]:
    norm = _of(model.norm, cast(Norm, model.norm).last(model))
    return {} if norm is None else {name: norm}
