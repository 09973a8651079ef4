"""Peri-LN: a norm before and behind every sublayer, one after the embedding, and a final one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minform_cli.config.axes import AXES
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.count import count_config
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from tests.zoo import SIZES, build, examples, filled, images

EXACT = {"atol": 1e-12, "rtol": 1e-12}


def model(**parts: object) -> ModelConfig:
    parsed = {
        axis: AXES[axis].parse(part) if axis in AXES else part for axis, part in ({"norm": "peri"} | parts).items()
    }
    return ModelConfig.model_validate(SIZES | parsed)


@pytest.mark.parametrize("rms", [False, True])
def test_tokens_are_normalised_where_the_paper_says(rms: bool) -> None:
    made = filled(build(model(norm={"kind": "peri", "rms": rms, "eps": 1e-3}, readout="mean")))

    def normed(norm: Any, x: Tensor) -> Tensor:
        assert (norm.bias is None) == rms
        return F.rms_norm(x, (12,), norm.weight, 1e-3) if rms else F.layer_norm(x, (12,), norm.weight, norm.bias, 1e-3)

    x = made.embedding(images())
    expected = normed(made.first_norm, x)
    for block in made.blocks:
        for sublayer, before, behind in (
            (block.attention, block.attention_norm, block.attention_out_norm),
            (block.mlp, block.mlp_norm, block.mlp_out_norm),
        ):
            expected = expected + normed(behind, sublayer(normed(before, expected)))
    torch.testing.assert_close(made.run(x), normed(made.final_norm, expected), **EXACT)


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize(
    ("preset", "sublayers", "others"),
    [
        ("mnist", 12, 2),
        ("mnist", 6, 2),
        ("bert-base", 24, 2),  # whose embedding is normalised already: that one, and a final one
        ("transformer-base", 30, 4),  # one and one of either side
    ],
)
def test_there_are_two_norms_a_sublayer_and_two_more(preset: str, sublayers: int, others: int, rms: bool) -> None:
    mlp = ["model.mlp=none"] if sublayers == 6 else []
    config = resolve(preset, settings=[f"model.norm={{kind: peri, rms: {str(rms).lower()}}}", *mlp]).config
    each = config.model.dim * (1 if rms else 2)
    assert count_config(config, spec_for(config))["groups"]["norm"] == each * (2 * sublayers + others)


def test_a_normalised_embedding_is_not_normalised_again() -> None:
    def made(*, norm: bool) -> Any:
        return build(model(embedding={"kind": "tokens", "norm": norm}, readout="mean"))

    assert made(norm=True).first_norm is None and made(norm=True).embedding.norm is not None
    assert made(norm=False).first_norm is not None


def test_weights_come_from_its_like_alone() -> None:
    source, made = filled(build(model())), build(model(), seed=5)
    made.from_separate(source)
    torch.testing.assert_close(made(images()), source(images()), **EXACT)
    with pytest.raises(InputError, match="Norm has no weights from Encoder: nothing normalised the tokens before"):
        made.from_separate(build(model(norm="pre")))
    text = {"embedding": {"kind": "tokens", "norm": True}, "readout": "mean"}
    with pytest.raises(InputError, match="Norm has no weights from Block: nothing normalised what its sublayers gave"):
        build(model(**text)).from_separate(build(model(norm="pre", **text)))


def test_outputs_of_scaled_weights_stay_what_they_were() -> None:
    """What the norm behind a sublayer is for: the scale of what leads out of it does not matter."""
    given = model(bias="none", norm={"kind": "peri", "eps": 1e-12})
    made = filled(build(given))
    before = made(*examples(given))
    with torch.no_grad():
        for block in made.blocks:
            block.mlp.w_2.weight.mul_(7)
            block.attention.value.w_o.weight.mul_(0.5)
    torch.testing.assert_close(made(*examples(given)), before, atol=1e-8, rtol=1e-8)
