"""Models whose blocks differ: absent sublayers, widths and norms of their own; trained, stored and decoded."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import nn

from minform_cli.config.axes import AXES
from minform_cli.config.schema import ModelConfig
from minform_cli.decoding import CachedDecoder
from minform_cli.models.stack import EncoderDecoder
from minform_cli.models.verify import verify
from minform_cli.study.attention_maps import attention_record
from tests.decoding.test_cache import last_outputs, targets
from tests.decoding.translators import FIELDS, LENGTH, ROUNDING, pairs, sources
from tests.models.test_identities import EXACT
from tests.models.test_properties import five_losses
from tests.models.test_text_tensors import check_gradients
from tests.zoo import SIZES, build, examples, images, model_with, run_config, spec_of

NO_ATTENTION = {"similarity": ["separate", "none", "separate"], "value": ["separate", "none", "separate"]}
LISTS: Mapping[str, Mapping[str, object]] = {
    "attention absent": NO_ATTENTION,
    "mlp absent": {"mlp": ["gelu", "none", "gelu"]},
    "each absent somewhere": {**NO_ATTENTION, "mlp": ["none", "gelu", "gelu"]},
    "widths": {"mlp": [{"kind": "gelu", "width": 5}, {"kind": "swiglu", "width": 7}, "relu"]},
    "norms": {"norm": ["post", "none", {"kind": "pre", "eps": 1e-3}]},
    "parts": {"similarity": ["tied", "collapsed", "mirrored"], "value": ["key", "omitted", "collapsed"]},
    "rest": {"linear": ["dense", {"kind": "tensor-chain", "qkv": 0.5}, "dense"], "bias": ["all", "none", "live"]},
}
TEXT: dict[str, object] = {"embedding": {"kind": "tokens", "tied": False}, "readout": "tokens", "decoder_depth": 3}


def model(**settings: object) -> ModelConfig:
    return ModelConfig.model_validate(SIZES | settings)


@pytest.mark.parametrize("axis", [axis for axis in AXES if AXES[axis].per_block])
def test_a_list_of_equal_parts_is_the_part_to_the_bit(axis: str) -> None:
    """Listed parts that are equal are one part; here they are kept apart, so that the list itself is built."""
    one = model()
    part = one.parts()[axis]
    other = next(name for name in AXES[axis].names() if name not in (part.kind, "none"))
    listed = model(**{axis: [part, part, other if axis != "residual" else "off"]})
    equal = listed.model_copy(update={axis: listed.parts()[axis].model_copy(update={"parts": (part,) * 3})})
    assert equal.has_lists and equal != one
    assert five_losses(equal) == five_losses(one)


@pytest.mark.parametrize("name", LISTS)
def test_what_is_built_is_what_is_counted(name: str) -> None:
    for settings in ({}, TEXT):
        whole = model(**LISTS[name], **settings)
        verify(run_config(whole), spec_of(whole))


@pytest.mark.parametrize("name", LISTS)
def test_every_number_gets_a_gradient_but_the_declared_dead(name: str) -> None:
    check_gradients(model(**LISTS[name], **TEXT))


@pytest.mark.parametrize("name", LISTS)
def test_saved_and_loaded_weights_give_equal_bits(name: str) -> None:
    whole = model(**LISTS[name])
    first, second = build(whole, seed=1), build(whole, seed=2)
    second.load_state_dict(load(save({key: tensor.contiguous() for key, tensor in first.state_dict().items()})))
    assert torch.equal(first(images()), second(images()))


@pytest.mark.parametrize("name", LISTS)
def test_every_decoded_step_equals_the_whole_model(name: str) -> None:
    built = build(model(**FIELDS | {"depth": 3, "decoder_depth": 3} | LISTS[name]), spec=pairs())
    assert isinstance(built, EncoderDecoder)
    (source, real), target = sources(), targets()
    decoder = CachedDecoder(built)
    decoder.start(source, real)
    for step in range(LENGTH):
        expected = last_outputs(built, source, real, target[:, : step + 1])
        torch.testing.assert_close(decoder.step(target[:, step]), expected, **ROUNDING)


def silenced(module: nn.Module, block: int, sublayer: str) -> list[nn.Parameter]:
    """The weights that lead out of a block's sublayer, all set to zero."""
    part = module.blocks[block].get_submodule("attention.value.w_o" if sublayer == "attention" else "mlp.w_2")
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.zero_()
    return list(part.parameters())


@pytest.mark.parametrize("sublayer", ["attention", "mlp"])
def test_an_absent_sublayer_is_one_that_gives_nothing_in_training_too(sublayer: str) -> None:
    """W_O and W_2 of block 1 are zero and stay so, behind norms that stand first: the rest learns the same."""
    absent = model(**LISTS[f"{sublayer} absent"])
    full, without = build(model(), seed=3), build(absent, seed=4)
    assert not any(sublayer in name for name, _ in without.blocks[1].named_modules())
    frozen = {id(parameter) for parameter in silenced(full, 1, sublayer)}
    without.from_separate(full)
    optimizers = [
        torch.optim.SGD([p for p in module.parameters() if id(p) not in frozen], lr=0.1) for module in (full, without)
    ]
    for step in range(3):
        for module, optimizer in zip((full, without), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(*examples(absent, 8, seed=step)), torch.arange(8) % 5).backward()
            optimizer.step()
    torch.testing.assert_close(without(images()), full(images()), **EXACT)
    (before,) = build(model(), seed=3)(images()).detach().split(3)
    assert not torch.allclose(full(images()), before, atol=1e-3)


def test_a_block_of_a_list_is_that_of_the_model_with_its_parts_alone() -> None:
    mixed = build(model(**LISTS["parts"]))
    for block, (similarity, value) in enumerate([("tied", "key"), ("collapsed", "omitted"), ("mirrored", "collapsed")]):
        uniform = build(model_with("value", value, similarity=similarity), seed=7)
        uniform.blocks[block].load_state_dict(mixed.blocks[block].state_dict())
        x = torch.randn(2, 5, 12, dtype=torch.float64)
        assert torch.equal(uniform.blocks[block](x), mixed.blocks[block](x))


def test_a_layer_without_attention_has_no_map_and_the_others_keep_their_places() -> None:
    built = build(model(**NO_ATTENTION))
    weights = attention_record(built, images(1))["weights"]
    assert [len(layer) for layer in weights] == [2, 0, 2]
