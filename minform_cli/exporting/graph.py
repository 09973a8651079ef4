"""Models under the names of inputs that other libraries use, all of them int64 or float32, or uint8 pixels.

Images: `pixel_values`, normalised; or uint8 as they are stored, where the graph normalises by itself: the type says
the range, and (0..255) / 255 is never taken for 0..255. Text: `input_ids`, `attention_mask` (0 where a token only fills
up), and `token_type_ids` where the model tells sentences apart. Translations: `decoder_input_ids` beside them.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minform_cli.config.axes.embedding import Embedding
from minform_cli.config.schema import RunConfig
from minform_cli.models.parts.readout import Readout, TokenReadout
from minform_cli.models.stack import EncoderDecoder, ImageEncoder
from minform_cli.runs.stored import Normalisation


class Graph(nn.Module):
    """Base of the models with such inputs.

    Attributes:
        inputs: their names, in the order of `forward`.
        output: the name of what comes out.
    """

    inputs: tuple[str, ...]
    output: str = "logits"


class ImageGraph(Graph):
    """A model of images.

    Args:
        model: takes normalised pixels.
        normalisation: of pixels in units of 0..1, to be done here; None: they come normalised.
    """

    inputs = ("pixel_values",)

    def __init__(self, model: nn.Module, normalisation: Normalisation | None) -> None:
        super().__init__()
        self.model = model
        self.scale: Tensor | None
        self.shift: Tensor | None
        scale = shift = None
        if normalisation is not None:
            exact = torch.tensor(normalisation, dtype=torch.float64)[..., None, None]
            scale, shift = (1 / (255 * exact[1])).float(), (-exact[0] / exact[1]).float()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, pixel_values: Tensor) -> Float[Tensor, "b m"]:
        """Outputs of the task's head, of pixels (B, C, H, W)."""
        x = pixel_values
        if self.scale is not None and self.shift is not None:
            x = x.to(self.scale.dtype) * self.scale + self.shift
        return self.model(x)


class TextGraph(Graph):
    """A model of text that does not tell sentences apart."""

    inputs = ("input_ids", "attention_mask")

    def __init__(self, model: nn.Module, output: str) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, ...]:
        """Outputs of the task's head: (B, M) of examples, (B, T, V) of tokens."""
        return _shaped(self.model, self.model(input_ids, None, attention_mask != 0), input_ids)


class PairGraph(TextGraph):
    """A model of text that tells sentences apart."""

    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def forward(  # type: ignore[override]
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Int[Tensor, "b t"],
        token_type_ids: Int[Tensor, "b t"],
    ) -> Float[Tensor, ...]:
        """Likewise."""
        return _shaped(self.model, self.model(input_ids, token_type_ids, attention_mask != 0), input_ids)


class TranslationGraph(Graph):
    """An encoder-decoder: one step of all places at once, the tokens so far given."""

    inputs = ("input_ids", "attention_mask", "decoder_input_ids")

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Int[Tensor, "b s"],
        attention_mask: Int[Tensor, "b s"],
        decoder_input_ids: Int[Tensor, "b t"],
    ) -> Float[Tensor, "b t v"]:
        """Outputs over the vocabulary for what follows each token of the translation."""
        outputs = self.model(input_ids, decoder_input_ids, attention_mask != 0)
        return outputs.unflatten(0, decoder_input_ids.shape)


def graph_of(model: nn.Module, config: RunConfig, normalisation: Normalisation | None) -> Graph:
    """`model` under such names; `normalisation` as of `ImageGraph`."""
    if isinstance(model, ImageEncoder):
        return ImageGraph(model, normalisation)
    if isinstance(model, EncoderDecoder):
        return TranslationGraph(model)
    output = "logits" if cast(Readout, model.readout).head is not None else "sentence_embedding"
    pairs = (cast(Embedding, config.model.embedding).sentences or 1) > 1
    return (PairGraph if pairs else TextGraph)(model, output)


def _shaped(model: nn.Module, outputs: Tensor, input_ids: Tensor) -> Tensor:
    """Outputs of tokens by example and place."""
    of_tokens = isinstance(model.readout, TokenReadout)
    return outputs.unflatten(0, input_ids.shape) if of_tokens else outputs
