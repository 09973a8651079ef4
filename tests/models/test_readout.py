"""What readouts read: a weighted mean, two tokens through two heads, a token that others stand beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from torch import Tensor

from minform_cli.config import legality
from minform_cli.config.schema import ModelConfig
from minform_cli.models.parts.readout import READOUTS
from minform_cli.models.verify import verify
from tests.models.test_cross_attention import asked, real
from tests.models.test_identities import EXACT, randomise
from tests.models.test_text_identities import load
from tests.zoo import SIZES, SPEC, build, images, model_with, run_config


def test_sequence_pooling_is_the_mean_weighted_by_the_softmax_over_the_scores() -> None:
    model = ModelConfig.model_validate(SIZES | {"readout": "sequence-pool", "bias": "all"})
    part = randomise(READOUTS.get("sequence-pool")(model, None))
    assert sum(parameter.numel() for parameter in part.parameters()) == 12 + 1  # the source's N + 1
    weight, bias = part.score.weight[0].tolist(), part.score.bias.item()
    for tokens, found, seen in zip(asked(), part(asked(), real()), real(), strict=True):
        rows = [row for row, is_seen in zip(tokens, seen.tolist(), strict=True) if is_seen]
        shares = [math.exp(sum(w * x for w, x in zip(weight, row.tolist(), strict=True)) + bias) for row in rows]
        expected = sum(share / sum(shares) * row for share, row in zip(shares, rows, strict=True))
        torch.testing.assert_close(found, expected, **EXACT)
    live = READOUTS.get("sequence-pool")(model.model_copy(update={"bias": ModelConfig().bias}), None)
    assert [name for name, _ in live.named_parameters()] == ["score.weight"]


def test_distilled_reads_two_tokens_through_a_head_each_and_gives_their_mean() -> None:
    model = model_with("readout", "distilled")
    part = randomise(build(model)).readout
    found = part(asked())
    assert [name for name, _ in part.head.named_children()] == ["of_class", "of_distillation"]
    first, second = (head(asked()[:, place]) for place, head in enumerate(part.head.children()))
    torch.testing.assert_close(found, (first + second) / 2, **EXACT)
    assert found.shape == (len(asked()), SPEC.num_classes)


def test_distilled_equals_deit_of_timm() -> None:
    theirs = randomise(VisionTransformerDistilled(
        img_size=8, patch_size=4, in_chans=2, num_classes=5, embed_dim=12, depth=3, num_heads=2, mlp_ratio=2
    )).eval()  # fmt: skip
    settings = {"readout": "distilled", "norm": {"kind": "pre", "eps": 1e-6}, "bias": "all"}
    ours = build(ModelConfig.model_validate(SIZES | settings))
    tensors = dict(theirs.named_parameters())
    tokens = torch.cat([tensors.pop("cls_token")[0], tensors.pop("dist_token")[0]])
    rows = {"class_token": tokens, "pos_embed": tensors.pop("pos_embed")[0]}
    load(ours, [*rows.items(), *apart(tensors.items())], DEIT)
    torch.testing.assert_close(ours(images()), theirs(images()), **EXACT)


DEIT = {
    r"^class_token": "embedding.class_token",
    r"^pos_embed": "embedding.positions.table",
    r"^patch_embed\.proj": "embedding.patches",
    r"\.attn\.proj": ".attention.value.w_o",
    r"\.norm1": ".attention_norm",
    r"\.norm2": ".mlp_norm",
    r"\.fc(\d)": r".w_\1",
    r"^norm": "final_norm",
    r"^head_dist": "readout.head.of_distillation",
    r"^head\.": "readout.head.of_class.",
}


def apart(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """timm keeps Q, K and V in one map."""
    for name, tensor in tensors:
        if "qkv" in name:
            places = ("attention.similarity.w_q", "attention.similarity.w_k", "attention.value.w_v")
            yield from (
                (name.replace("attn.qkv", place), part) for place, part in zip(places, tensor.chunk(3), strict=True)
            )
        else:
            yield name, tensor


def test_tokens_beside_the_class_token_are_attended_to_and_not_read() -> None:
    with_two = ModelConfig.model_validate(SIZES | {"readout": {"kind": "class-token", "beside": 2}})
    verify(run_config(with_two), SPEC)
    ours = build(with_two)
    assert ours.embedding.class_token.shape == (3, 12) and len(ours.embedding.positions.table) == 3 + 4
    states: list[Tensor] = []
    ours.readout.register_forward_pre_hook(lambda _, given: states.append(given[0]))
    output = ours(images())
    torch.testing.assert_close(output, ours.readout.head(states[0][:, 0]), **EXACT)
    gradient = torch.autograd.grad(output.sum(), ours.embedding.class_token)[0]
    assert bool((gradient.abs().amax(dim=1) > 0).all())
    assert with_two.model_dump(mode="json")["readout"] == {"kind": "class-token", "beside": 2}
    assert ModelConfig.model_validate(SIZES).model_dump(mode="json")["readout"] == "class-token"


def test_text_has_no_learned_tokens_beside_its_first() -> None:
    fields: dict[str, object] = {"embedding": "tokens", "readout": {"kind": "class-token", "beside": 1}}
    (problem,) = legality.problems(ModelConfig.model_validate(SIZES | fields))
    assert problem.endswith("'tokens' brings its tokens from the text; accepted: beside: 0")


@pytest.mark.parametrize(("activation", "function"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_a_pooler_is_a_map_and_its_activation(activation: str, function: Callable[[Tensor], Tensor]) -> None:
    model = ModelConfig.model_validate(SIZES | {"readout": {"kind": "pooler", "activation": activation}})
    part = randomise(READOUTS.get("pooler")(model, None))
    torch.testing.assert_close(part(asked()), function(part.pooler(asked()[:, 0])), **EXACT)
