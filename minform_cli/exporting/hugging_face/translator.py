"""Our encoder-decoder as a model of transformers that `generate` writes with.

It keeps nothing of the tokens before: every new token is computed with all that stand before it. What `generate` is
told beside (beams, length penalty, entries that may not be written) is in the folder's ``generation_config.json``.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from minform_cli.exporting.hugging_face.wrapper import MinformConfig, MinformPreTrainedModel, real_tokens


class MinformForConditionalGeneration(MinformPreTrainedModel, GenerationMixin):
    """Translations: what follows each token of `decoder_input_ids`, from the source `input_ids`."""

    _is_stateful = False

    def __init__(self, config: MinformConfig) -> None:
        super().__init__(config)
        self._encoder = [_Encoder(self.model)]  # in a list: its numbers are those of `model`

    def get_encoder(self, *_: Any, **__: Any) -> Any:
        """What makes `encoder_outputs` of a source, once for all tokens of its translation."""
        return self._encoder[0]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Logits (B, T, V), and the loss where there are labels, -100 where none is.

        Args:
            input_ids: of the source; not needed beside `encoder_outputs`.
            attention_mask: 0 where a token of the source only fills up.
            decoder_input_ids: of the translation so far, its start first; by default the labels one place later.
            encoder_outputs: of `get_encoder`.
            labels: what is to follow each of them.
        """
        assert decoder_input_ids is not None or labels is not None, "nothing of the translation is given"
        if decoder_input_ids is None:
            assert labels is not None
            start, fill = self.config.decoder_start_token_id, self.config.pad_token_id
            assert start is not None and fill is not None, "config.json names no start and filling"
            decoder_input_ids = F.pad(labels[:, :-1], (1, 0), value=start).masked_fill(
                F.pad(labels[:, :-1] == -100, (1, 0)), fill
            )
        real = real_tokens(attention_mask)
        encoded = self.model.encode(input_ids, real) if encoder_outputs is None else encoder_outputs[0]
        states = self.model.decode(decoder_input_ids, encoded, real)
        logits = self.model.readout(states, self.model.decoder_embedding.table).view(*decoder_input_ids.shape, -1)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Seq2SeqLMOutput(loss=loss, logits=logits, encoder_last_hidden_state=encoded)

    def prepare_inputs_for_generation(self, decoder_input_ids: Tensor, *_: Any, **kwargs: Any) -> dict[str, Any]:
        """All of the translation so far, and what was made of the source."""
        kept = {name: kwargs.get(name) for name in ("attention_mask", "encoder_outputs")}
        return {"decoder_input_ids": decoder_input_ids, **kept}


class _Encoder(nn.Module):
    """The encoder alone.

    Args:
        model: the encoder-decoder, whose numbers stay its own.
    """

    main_input_name = "input_ids"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = [model]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> BaseModelOutput:
        """Its tokens, (B, S, N)."""
        return BaseModelOutput(last_hidden_state=self._model[0].encode(input_ids, real_tokens(attention_mask)))
