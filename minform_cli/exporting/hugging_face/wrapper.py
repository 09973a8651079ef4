"""Our models as models of transformers: what a folder's ``modeling_minform.py`` imports.

``from_pretrained(FOLDER, trust_remote_code=True)`` finds them by the `auto_map` of the folder's ``config.json``. They
take `input_ids`, `attention_mask` and `token_type_ids`, or `pixel_values`, and give what the library's own give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    CausalLMOutput,
    ImageClassifierOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
)

from minform_cli.exporting.weights import rebuilt
from minform_cli.models.build import build_model


class MinformConfig(PretrainedConfig):
    """Settings of a model of minform.

    Attributes:
        minform: `config` and `spec`, as the config.json of format `safetensors` has them; `normalisation` of pixels
            of 0..1, where that is inside.
    """

    model_type = "minform"
    minform: Mapping[str, Any] | None = None

    def __init__(self, minform: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.minform = minform
        super().__init__(**settings)


class MinformPreTrainedModel(PreTrainedModel):
    """Base of our models; the model itself -> `model`."""

    config_class = MinformConfig
    base_model_prefix = "model"
    _supports_sdpa = True

    def __init__(self, config: MinformConfig) -> None:
        super().__init__(config)
        assert config.minform is not None, "a folder's config.json says what the model is"
        run, spec = rebuilt(config.minform, "config.json")
        # Not on the meta device, where the library would build it: constants that no file holds would be lost.
        with torch.device("cpu"):
            self.model: Any = build_model(run, spec)
        self._constants = _constants(self.model)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """All weights are in the file; constants are not, and the library has thrown them away."""
        for part, name, value in self._constants:
            if part is module:
                cast(Tensor, getattr(part, name)).copy_(value)


class _Text(MinformPreTrainedModel):
    """Base of those that take text."""

    def tokens(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        """The last states, (B, T, N)."""
        return self.model.encode(input_ids, token_type_ids, real_tokens(attention_mask))


class MinformModel(_Text):
    """A vector for every sentence: `pooler_output`, (B, N)."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """The last states, and the vector that the model makes of them."""
        x = self.tokens(input_ids, attention_mask, token_type_ids)
        return BaseModelOutputWithPooling(
            last_hidden_state=x, pooler_output=self.model.readout(x, real_tokens(attention_mask))
        )


class MinformForSequenceClassification(_Text):
    """A class or a score for every sentence or pair of them."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits (B, M), and the loss where there are labels."""
        x = self.tokens(input_ids, attention_mask, token_type_ids)
        logits = self.model.readout(x, real_tokens(attention_mask))
        loss = None
        if labels is not None:
            scores = logits.shape[-1] == 1
            loss = F.mse_loss(logits.squeeze(-1), labels.float()) if scores else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=(x,))


class MinformForMaskedLM(_Text):
    """Tokens that were hidden."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> MaskedLMOutput:
        """Logits (B, T, V), and the loss where there are labels; -100 stands where none is."""
        x = self.tokens(input_ids, attention_mask, token_type_ids)
        logits = self.model.readout(x, self.model.embedding.table).view(*input_ids.shape, -1)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=(x,))


class MinformForCausalLM(_Text, GenerationMixin):
    """Every token from those before it. Texts are filled up behind, or not at all."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> CausalLMOutput:
        """Logits (B, T, V), and the loss of the next tokens where there are labels."""
        x = self.tokens(input_ids, attention_mask, token_type_ids)
        logits = self.model.readout(x, self.model.embedding.table).view(*input_ids.shape, -1)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=(x,))

    def prepare_inputs_for_generation(self, input_ids: Tensor, *_: Any, **settings: Any) -> dict[str, Any]:
        """Everything again: nothing is kept of the tokens before."""
        return {"input_ids": input_ids, "attention_mask": settings.get("attention_mask")}


class MinformForImageClassification(MinformPreTrainedModel):
    """A class for every image."""

    main_input_name = "pixel_values"

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **_: Any) -> ImageClassifierOutput:
        """Logits (B, M), and the loss where there are labels."""
        inside = self.config.minform["normalisation"]
        if inside is not None:
            mean, std = (pixel_values.new_tensor(inside[name])[:, None, None] for name in ("mean", "std"))
            pixel_values = (pixel_values - mean) / std
        logits = self.model(pixel_values)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


def _constants(model: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Every buffer that no file holds: its module, its name, its value."""
    saved = model.state_dict().keys()
    return [
        (part, name, buffer.detach().clone())
        for where, part in model.named_modules()
        for name, buffer in part.named_buffers(recurse=False)
        if f"{where}.{name}".removeprefix(".") not in saved
    ]


def real_tokens(attention_mask: Tensor | None) -> Tensor | None:
    """Which tokens do not only fill up; None: all."""
    return None if attention_mask is None else attention_mask != 0
