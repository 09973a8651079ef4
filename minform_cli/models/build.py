"""The only constructors of models that other packages call."""

from __future__ import annotations

from typing import cast

from torch import nn

from minform_cli.config.axes.embedding import Tokens
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec
from minform_cli.models.parts.patches import PatchEmbedding
from minform_cli.models.parts.readout import ExampleReadout, TokenReadout
from minform_cli.models.parts.tokens import TokenEmbedding
from minform_cli.models.stack import EncoderDecoder, ImageEncoder, TextEncoder
from minform_cli.tasks import TASKS


def build_model(config: RunConfig, spec: DataSpec) -> nn.Module:
    """The config's model for examples of the given shape, with what its task needs and nothing else.

    Built on the default device (use ``with torch.device(...)``) from torch's global random state, in float32.

    Raises:
        InputError: the task is unknown.
    """
    model, info, task = config.model, TASKS.info(config.task), TASKS.get(config.task)
    if isinstance(spec, ImageSpec):
        embedding = PatchEmbedding(model, spec.channels, spec.height, spec.width)
        return ImageEncoder(model, embedding, ExampleReadout(model, task.head(model, spec)))
    assert isinstance(spec, TextSpec), "a model is for images or for text"
    tokens = TokenEmbedding(model, spec.vocab_size, spec.seq_len)
    if model.decoder_depth:
        words = tokens.words if cast(Tokens, model.embedding).tied else None
        target = TokenEmbedding(model, spec.vocab_size, spec.seq_len, words)
        return EncoderDecoder(model, tokens, target, TokenReadout(task.head(model, spec)))
    head = task.head(model, spec)
    return TextEncoder(model, tokens, TokenReadout(head) if info.predicts_tokens else ExampleReadout(model, head))


def build_counted(config: RunConfig, spec: DataSpec) -> nn.Module:
    """The part of the config's model that counts are about: all of it, or all but the task's head.

    A head is left out where models are published without one: embeddings, encoder and pooler are then counted, the
    pooler even if the task at hand does not use it.
    """
    if TASKS.info(config.task).head_is_counted:
        return build_model(config, spec)
    assert isinstance(spec, TextSpec), "models of images are published with their head"
    tokens = TokenEmbedding(config.model, spec.vocab_size, spec.seq_len)
    return TextEncoder(config.model, tokens, ExampleReadout(config.model, None))
