"""The only constructors of models that other packages call."""

from __future__ import annotations

from typing import cast

from torch import nn

from minform_cli.config import blocks
from minform_cli.config.axes.embedding import Embedding as Options
from minform_cli.config.schema import ModelConfig, RunConfig
from minform_cli.counting.form import tokens_per_step
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.models.parts.embedding import EMBEDDINGS, Embedding, ImageEmbedding, TextEmbedding
from minform_cli.models.parts.linear import plan_chains
from minform_cli.models.parts.readout import READOUTS, EveryToken
from minform_cli.models.stack import EncoderDecoder, ImageEncoder, TextEncoder
from minform_cli.tasks import TASKS


def build_model(config: RunConfig, spec: DataSpec) -> nn.Module:
    """The config's model for examples of the given shape, with what its task needs and nothing else.

    Built on the default device (use ``with torch.device(...)``) from torch's global random state, in float32.

    Raises:
        InputError: the task is unknown.
    """
    built = _built(config, spec)
    plan_chains(built, tokens_per_step(config, spec))
    return built


def build_counted(config: RunConfig, spec: DataSpec) -> nn.Module:
    """The part of the config's model that counts are about: all of it, or all but the task's head.

    A head is left out where models are published without one: embeddings, encoder and pooler are then counted, the
    pooler even if the task at hand does not use it.
    """
    if TASKS.info(config.task).head_is_counted:
        return build_model(config, spec)
    assert isinstance(spec, TextSpec), "models of images are published with their head"
    embedding = cast(TextEmbedding, _embedding(config.model, spec))
    last = blocks.after(config.model)
    built = TextEncoder(config.model, embedding, READOUTS.get(last.readout.kind)(last, None))
    plan_chains(built, tokens_per_step(config, spec))
    return built


def _built(config: RunConfig, spec: DataSpec) -> nn.Module:
    model, info, task = config.model, TASKS.info(config.task), TASKS.get(config.task)
    readout = EveryToken if info.predicts_tokens else READOUTS.get(model.readout.kind)
    last = blocks.after(model, decodes=model.decoder_depth > 0)
    embedding = _embedding(model, spec)
    if isinstance(spec, ImageSpec):
        return ImageEncoder(model, cast(ImageEmbedding, embedding), readout(last, task.head(last, spec)))
    source = cast(TextEmbedding, embedding)
    if model.decoder_depth:
        target = cast(TextEmbedding, _embedding(model, spec, decodes=True))
        if cast(Options, model.embedding).ties:
            target.words = source.words
        return EncoderDecoder(model, source, target, readout(last, task.head(last, spec)))
    return TextEncoder(model, source, readout(last, task.head(last, spec)))


def _embedding(model: ModelConfig, spec: DataSpec, *, decodes: bool = False) -> Embedding:
    first = blocks.before(model, decodes=decodes)
    return EMBEDDINGS.get(first.embedding.kind)(first, spec)
