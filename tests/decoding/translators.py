"""Small translators to search with: every part that a decoder may have, and bigram models with known probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import PairSpec
from minform_cli.models.stack import EncoderDecoder
from tests.zoo import ATTENDING, NOT_IN_DECODERS, build, model_with

OTHERS = {("embedding", "patches"), ("embedding", "convolutions"), *NOT_IN_DECODERS}
"""Parts that it cannot have."""

ROUNDING = {"atol": 1e-12, "rtol": 1e-12}  # float64: the same sums in another order
LENGTH = 9
START, END = 2, 3
BANNED = (0, START, 4)
FIELDS: dict[str, object] = {"embedding": "tokens", "readout": "tokens", "depth": 2, "decoder_depth": 2}

PARTS = [(axis, kind) for axis, kind in ATTENDING if axis not in ("mask", "readout") and (axis, kind) not in OTHERS]
MODELS: list[tuple[str, str, Mapping[str, object]]] = [
    *((axis, kind, {}) for axis, kind in PARTS),
    *((axis, kind, {"heads": 1}) for axis, kind in PARTS if axis in ("similarity", "value")),
    ("value", "omitted", {"similarity": "collapsed"}),
    ("value", "omitted", {"similarity": "identity-key"}),
    ("value", "omitted", {"similarity": "mirrored", "heads": 1}),
    ("value", "key", {"similarity": "tied", "norm": "post"}),
    ("value", "kgv", {"similarity": "identity-key", "linear": "tensor-chain", "mlp": "swiglu", "norm": "post"}),
    ("embedding", "h-softpos", {"embedding": {"kind": "h-softpos", "levels": 1}}),
    ("embedding", "h-softpos", {"embedding": {"kind": "h-softpos", "levels": 3}, "dim": 24}),
    ("embedding", "tokens", {"embedding": {"kind": "tokens", "norm": True, "scale": True, "tied": False, "types": 2}}),
    ("embedding", "tokens", {"embedding": "tokens", "embedding_width": 0.5}),
    ("position", "learned", {"position": {"kind": "learned", "unused": 2}}),
]


def names(value: object) -> str | None:
    """Of a parameter of a test."""
    return "-".join(f"{key}={part}" for key, part in value.items()) if isinstance(value, Mapping) else None


def pairs(vocab_size: int = 11) -> PairSpec:
    return PairSpec(name="pairs", title="pairs", source="made here", vocab_size=vocab_size, seq_len=LENGTH)


def translator(
    axis: str = "norm", kind: str = "post", seed: int = 0, scale: float = 1.0, vocab_size: int = 11, **settings: object
) -> EncoderDecoder:
    """A model with one part on one axis and no number left at zero; with a larger `scale` outputs differ more."""
    depth = 3 if (axis, kind) == ("order", "listed") else 2
    fields = FIELDS | {"depth": depth, "decoder_depth": depth} | settings
    if axis in fields and axis not in settings:
        del fields[axis]
    model = build(model_with(axis, kind, **fields), seed, pairs(vocab_size))
    assert isinstance(model, EncoderDecoder)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise).mul_(scale)
    return model


def sources(sentences: int = 3, seed: int = 1, vocab_size: int = 11) -> tuple[Tensor, Tensor]:
    """Sentences of 7, 4, 2, 7, 4, ... tokens, and which of them are real."""
    lengths = torch.tensor([7, 4, 2]).repeat(sentences)[:sentences].unsqueeze(1)
    source = torch.randint(vocab_size, (sentences, 7), generator=torch.Generator().manual_seed(seed))
    return source, torch.arange(7) < lengths


def log_probabilities(
    model: EncoderDecoder, source: Tensor, real: Tensor, beginning: Sequence[int], encoded: Tensor | None = None
) -> Tensor:
    """What may follow, (V,), for one sentence and without anything kept but its encoding where that is given."""
    target = torch.tensor([[START, *beginning]])
    with torch.no_grad():
        if encoded is None:
            encoded = model.encode(source.unsqueeze(0), real.unsqueeze(0))
        states = model.decode(target, encoded, real.unsqueeze(0))
        outputs = model.readout.head(states[0, -1:], model.decoder_embedding.table)
    return outputs.log_softmax(1)[0]


def bigrams(probabilities: Sequence[Sequence[float]]) -> EncoderDecoder:
    """A model in which row i are the probabilities of what follows token i, whatever else there is."""
    size = len(probabilities)
    fields = FIELDS | {"dim": size, "heads": 1, "depth": 1, "decoder_depth": 1, "norm": "none", "bias": "none"}
    fields |= {"mlp": "none", "position": "none", "embedding": {"kind": "tokens", "tied": False}}
    model = build(ModelConfig.model_validate(fields), spec=pairs(size))
    assert isinstance(model, EncoderDecoder)
    with torch.no_grad():
        for attention in (model.decoder_blocks[0].attention, model.decoder_blocks[0].cross):
            attention.value.w_o.weight.zero_()
        model.decoder_embedding.words.weight.copy_(torch.eye(size))
        model.readout.head.weight.copy_(torch.tensor(probabilities, dtype=torch.float64).log().T)
    return model
