"""A run that is repeated, or stopped and resumed, has equal bits on the device it computes on.

The same runs on a CPU show that the tests are right; on a GPU they need one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from minform_cli.config.schema import RunConfig
from minform_cli.runs.records import read_result
from minform_cli.training.run import train
from tests.soak.scale import reached
from tests.training.conftest import bits, signalled, tiny
from tests.training.test_text import corpus, text_run
from tests.training.test_translation import run as pairs_run
from tests.zoo import IMAGE_VARIANTS

BF16 = "train.precision=bf16"


def images(_: Path, *more: str) -> RunConfig:
    return tiny(*more)


def masked(folder: Path, *more: str) -> RunConfig:
    return text_run(corpus(folder), "train.steps=8", *more)


def translated(folder: Path, *more: str) -> RunConfig:
    return pairs_run(folder, "model.dropout=0.1", "train.steps=8", "train.eval_batch_size=20", *more)


MORE: list[tuple[str, ...]] = [(), (BF16,), (BF16, "train.accumulate=2", "train.activation_checkpointing=true")]
KINDS = [images, masked, translated]
CASES = [
    *(("cpu", kind, more) for kind, more in zip(KINDS, (MORE[2], MORE[1], MORE[0]), strict=True)),
    *(pytest.param("cuda", kind, more, marks=pytest.mark.gpu) for kind in KINDS for more in MORE),
]


@pytest.mark.parametrize(("device", "kind", "more"), CASES)
def test_a_run_has_the_same_bits_again_and_after_a_stop(
    device: str, kind: Any, more: tuple[str, ...], tmp_path: Path
) -> None:
    config = kind(tmp_path, *more)
    for name in ("once", "twice"):
        train(config, tmp_path / name, device=device, threads=1)
    with signalled(5):
        train(config, tmp_path / "stopped", device=device, threads=1)
    train(config, tmp_path / "stopped", resume=True, device=device, threads=1)
    assert bits(tmp_path / "once") == bits(tmp_path / "twice") == bits(tmp_path / "stopped")
    assert read_result(tmp_path / "once")["environment"]["device"] == device


@pytest.mark.soak
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("variant", IMAGE_VARIANTS)
def test_every_variant_has_the_same_bits_three_times(variant: str, threads: int, tmp_path: Path) -> None:
    found: list[tuple[dict[str, str], object]] = []
    for name in ("once", "twice", "again"):
        train(tiny(variant=variant), tmp_path / name, device="cpu", threads=threads)
        result = read_result(tmp_path / name)
        found.append((bits(tmp_path / name), (result["metrics"], result["count"])))
    assert found[0] == found[1] == found[2]
    reached("R3", 3)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_attention_has_the_same_gradients_every_time_on_a_gpu(dtype: torch.dtype) -> None:
    from minform_cli.training.runtime import runtime

    with runtime("cuda", 1):
        given = torch.randn(3, 4, 8, 1024, 64, device="cuda", dtype=dtype)
        found: list[torch.Tensor] = []
        for _ in range(5):
            each = given.clone().requires_grad_()
            queries, keys, values = each.unbind()
            F.scaled_dot_product_attention(queries, keys, values).square().sum().backward()
            assert each.grad is not None
            found.append(each.grad)
    assert all(torch.equal(found[0], grad) for grad in found)
