"""Parts that exact reductions lead to: norms without gain and bias, centred tokens, heads with a reference class."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minform_cli.config import legality
from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.counting.parameters import counted_groups
from minform_cli.data.spec import TextSpec
from minform_cli.errors import IllegalModelError, InputError
from minform_cli.models.build import build_model
from minform_cli.models.parts.norm import Norm, RmsNorm
from minform_cli.models.verify import verify
from minform_cli.runs.tensors import put_weights, weights_of
from minform_cli.tasks import check_task
from tests.models.test_identities import EXACT, randomise
from tests.models.test_properties import gradients
from tests.models.test_text_tensors import check_gradients
from tests.zoo import SIZES, SPEC, build, examples, run_config, spec_of

TEXT = {"embedding": {"kind": "tokens", "tied": False, "types": 2}, "readout": "tokens", "mask": "causal"}
PAIRS = {"embedding": {"kind": "tokens", "tied": False, "scale": True}, "readout": "tokens", "decoder_depth": 2}
MODELS: dict[str, dict[str, object]] = {
    "images": {},
    "images, one head": {"heads": 1, "value": "collapsed", "similarity": "collapsed", "mlp": "swiglu"},
    "images, collapsed": {"value": "collapsed", "mlp": "relu"},
    "images, K = V": {"value": "key", "readout": "mean"},
    "images, KgV": {"similarity": "identity-key", "value": "kgv", "residual": "off", "depth": 1},
    "text": TEXT,
    "pairs": {**PAIRS, "position": "sinusoidal", "mlp": "swiglu"},
}
CENTRED = {"norm": {"kind": "pre", "centred": True}}
BARE = {"norm": {"kind": "pre", "affine": False, "final_affine": False}}


def model(*settings: dict[str, object]) -> ModelConfig:
    made = ModelConfig.model_validate({key: value for each in (SIZES, *settings) for key, value in each.items()})
    assert not legality.problems(made), legality.problems(made)
    return made


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bias", ["all", "none"])
def test_centred_tokens_do_what_the_tokens_did_of_which_norms_read_no_mean(name: str, bias: str) -> None:
    whole, less = model(MODELS[name], {"bias": bias}), model(MODELS[name], {"bias": bias}, CENTRED)
    verify(run_config(less), spec_of(less))
    given, made = randomise(build(whole)), build(less, seed=4)
    made.from_separate(given)
    torch.testing.assert_close(made(*examples(whole)), given(*examples(whole)), **EXACT)
    assert any(isinstance(part, RmsNorm) for part in made.modules())
    assert not any(isinstance(part, nn.LayerNorm) for part in made.modules())


def test_centred_tokens_have_a_mean_of_zero_before_and_after_every_block() -> None:
    made = randomise(build(model(CENTRED)))
    means: list[float] = []
    for block in made.blocks:
        block.register_forward_hook(
            lambda _, given, gave: means.extend(float(x.detach().mean(-1).abs().max()) for x in (given[0], gave))
        )
    made(*examples(model()))
    assert len(means) == 6 and max(means) < 1e-13


def test_each_writer_stores_one_column_less() -> None:
    """5 x 12 + 1 for the patches, 1 a class token and position, N + 1 of W_O and h + 1 of W_2 in each block."""
    whole, less = (counted_groups(model(each), SPEC, "classify-images") for each in ({}, CENTRED))
    saved = {group: whole[group] - less[group] for group in whole}
    assert saved == {
        "embedding": 2 * 4**2 + 1 + 1 + 5,
        "query_key": 0,
        "value_output": 3 * (12 + 1),
        "mlp": 3 * (24 + 1),
        "norm": 0,
        "head": 0,
    }


def test_norms_without_gain_and_bias_are_those_with_1_and_0() -> None:
    whole, bare = build(model()), build(model(BARE))
    bare.from_separate(whole)  # as they begin
    torch.testing.assert_close(bare(*examples(model())), whole(*examples(model())), **EXACT)
    assert counted_groups(model(BARE), SPEC, "classify-images")["norm"] == 0
    assert not any(name.rpartition(".")[0].endswith("norm") for name, _ in bare.named_parameters())
    half = model({"norm": {"kind": "pre", "affine": False}})
    assert counted_groups(half, SPEC, "classify-images")["norm"] == 2 * 12, "the final norm keeps its own"
    assert {type(build(half).final_norm), type(build(half).blocks[0].mlp_norm)} == {Norm}
    back = build(model())
    randomise(back).from_separate(bare)
    torch.testing.assert_close(back(*examples(model())), bare(*examples(model())), **EXACT)


@pytest.mark.parametrize("norm", [CENTRED, BARE, {"norm": CENTRED["norm"] | BARE["norm"]}])
@pytest.mark.parametrize("name", ["images", "images, one head", "images, KgV", "text", "pairs"])
def test_every_number_that_is_left_gets_a_gradient(name: str, norm: dict[str, object]) -> None:
    made = model(MODELS[name], norm, {"bias": "live"})
    if "images" not in name:
        check_gradients(made)
        return
    found = gradients(made)
    largest = max(float(g.max()) for g in found.values())
    assert all(float(g.min()) > 1e-6 * largest for g in found.values())


@pytest.mark.parametrize("name", ["images", "pairs"])
def test_saved_and_loaded_they_give_equal_bits(name: str) -> None:
    made = model(MODELS[name], {"norm": CENTRED["norm"] | BARE["norm"]})
    first, second = build(made, seed=1), build(made, seed=2)
    put_weights(second, {key: tensor.clone() for key, tensor in weights_of(first).items()})
    assert torch.equal(first(*examples(made)), second(*examples(made)))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"embedding": "tokens", "readout": "tokens", "mask": "causal"}, "the vectors of the vocabulary are the out"),
        ({**TEXT, "embedding": {"kind": "tokens", "tied": False, "norm": True}}, "the norm of the embedding adds"),
        ({**TEXT, "embedding": "h-softpos", "position": "none"}, "'h-softpos' makes columns of columns"),
        ({"value": "omitted"}, "value 'omitted' adds mixed tokens as they are"),
        ({"linear": {"kind": "tensor-chain", "qkv": None, "mlp": 0.5}}, "'tensor-chain' stores maps whose columns"),
        ({"linear": {"kind": "tensor-chain", "output": 0.5, "mlp": None}}, "'tensor-chain' stores maps whose columns"),
        ({"norm": [CENTRED["norm"], "pre", CENTRED["norm"]]}, "centred in some blocks alone"),
    ],
)
def test_what_cannot_be_centred_says_why(settings: dict[str, object], problem: str) -> None:
    fields = SIZES | CENTRED | settings
    assert any(problem in found for found in legality.problems(ModelConfig.model_validate(fields)))


def test_chains_that_write_nothing_go_with_centred_tokens() -> None:
    model(CENTRED, {"linear": {"kind": "tensor-chain", "qkv": 0.5, "mlp": None}})


@pytest.mark.parametrize("readout", ["class-token", "mean", "pooler", "sequence-pool"])
def test_a_head_with_a_reference_class_is_softmax_s_own_with_n_plus_1_numbers_less(readout: str) -> None:
    whole, less = (model({"readout": {"kind": readout, **each}}) for each in ({}, {"reference_class": True}))
    verify(run_config(less), SPEC)
    numbers = [sum(counted_groups(each, SPEC, "classify-images").values()) for each in (whole, less)]
    assert numbers[0] - numbers[1] == 12 + 1
    given, made = randomise(build(whole)), build(less, seed=3)
    made.from_separate(given)
    wanted, found = given(*examples(whole)), made(*examples(less))
    assert found.shape == wanted.shape and not found[:, -1].any()
    torch.testing.assert_close(F.log_softmax(found, -1), F.log_softmax(wanted, -1), **EXACT)
    made.from_separate(found_of := build(less, seed=8))
    torch.testing.assert_close(made(*examples(less)), found_of(*examples(less)), **EXACT)
    with pytest.raises(InputError, match="the head has no weights from Linear"):
        made.from_separate(build(whole, spec=replace(SPEC, class_names=tuple("abc"))))


def test_half_of_the_head_of_two_classes_goes_and_its_numbers_get_gradients() -> None:
    settings = ["model.dim=12", "model.heads=2", "model.readout={kind: pooler, reference_class: true}"]
    config = resolve("glue-sst2", settings=[*settings, "data.vocab_size=11", "data.seq_len=5"]).config
    spec = TextSpec(name="glue-sst2", title="x", source="x", class_names=("a", "b"), vocab_size=11, seq_len=5)
    check_task(config, spec)
    verify(config, spec)
    head = build_model(config, spec).readout.head
    assert sum(parameter.numel() for parameter in head.parameters()) == 12 + 1
    F.cross_entropy(head(torch.randn(4, 12)), torch.tensor([0, 1, 1, 0])).backward()
    assert all(bool(parameter.grad.all()) for parameter in head.parameters())


@pytest.mark.parametrize(("task", "classes"), [("classify-sentences", ()), ("classify-sentences", ("one",))])
def test_no_class_is_left_out_where_there_are_none(task: str, classes: tuple[str, ...]) -> None:
    config = resolve("glue-stsb", settings=["model.readout={kind: pooler, reference_class: true}"]).config
    spec = TextSpec(
        name="glue-stsb", title="STS-B", source="x", class_names=classes, vocab_size=11, seq_len=5, outputs=1
    )
    with pytest.raises(IllegalModelError, match=r"STS-B has .* none to leave out; accepted: reference_class: false"):
        check_task(config, spec)
    masked = config.model_copy(update={"task": "masked-tokens"})
    with pytest.raises(IllegalModelError, match="task 'masked-tokens' predicts tokens"):
        check_task(masked, spec)
