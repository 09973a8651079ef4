"""Healing: a reduced run with all its weights follows its original, and ends nearer to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from minform_cli.config.presets import resolve
from minform_cli.config.schema import DataConfig, RunConfig
from minform_cli.data.source import Loaded, opened
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError, Interrupted
from minform_cli.models.build import build_model
from minform_cli.reducing.heal import RATE, Healing, heal, healing
from minform_cli.reducing.options import ReduceOptions
from minform_cli.reducing.records import ReducedLayerRecord
from minform_cli.reducing.said import healing_warnings, warnings
from minform_cli.runs.made import Made, write_run
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import StoredRun, read_run
from minform_cli.runs.tensors import Tensors, weights_of
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from minform_cli.training.step import Stepper
from tests.training.conftest import bits
from tests.training.test_initial import sentences
from tests.training.test_text import last_weights

DIGITS = (
    "data.limit=300",
    "model.depth=2",
    "model.dim=32",
    "model.heads=2",
    "train.epochs=12",
    "train.warmup_epochs=1",
)
SHORT = Healing(steps=6, learning_rate=1e-3, batch_size=25)


def narrower(run: StoredRun, out: Path, width: int) -> StoredRun:
    """The run with the first neurons of each MLP alone, without any thought to which."""
    weights: Tensors = {}
    for name, tensor in run.weights().items():
        if ".mlp.w_1." in name:
            weights[name] = tensor[:width].clone()
        elif name.endswith(".mlp.w_2.weight"):
            weights[name] = tensor[:, :width].clone()
        else:
            weights[name] = tensor
    model = run.config.model.model_copy(
        update={"mlp": type(run.config.model.mlp).model_validate({"kind": "gelu", "width": width})}
    )
    config = run.config.model_copy(update={"model": model, "variant": "reduced-x", "baseline": run.config.model})
    return written(out, config, run, weights, {"made": "reduced", "source": str(run.folder.path)})


def written(out: Path, config: RunConfig, like: StoredRun, weights: Tensors, origin: dict[str, Any]) -> StoredRun:
    assert like.spec is not None
    tokenizer = like.folder.tokenizer
    text = tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else None
    made = Made(
        config=config,
        spec=like.spec,
        weights=weights,
        normalisation=like.normalisation,
        tokenizer=text,
        fingerprint=like.fingerprint,
        origin=origin,
    )
    return write_run(out, made)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    folder = tmp_path_factory.mktemp("original") / "run"
    train(resolve("digits", "baseline", DIGITS).config, folder, device="cpu", threads=1)
    return read_run(folder)


@pytest.fixture(scope="module")
def reduced(original: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return narrower(original, tmp_path_factory.mktemp("reduced") / "reduced", 8)


def stopped(reduced: StoredRun, original: StoredRun, out: Path, step: int, how: Healing) -> None:
    """A healing that was stopped by a signal at `step`."""
    import os

    take = Stepper.take

    def signalled(self: Stepper, number: int, batch: Any) -> tuple[float, int]:
        if number + 1 == step:
            os.kill(os.getpid(), 2)
        return take(self, number, batch)

    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Interrupted):
        monkeypatch.setattr(Stepper, "take", signalled)
        heal(reduced, original, original.config.data, out, how, device="cpu", threads=1)


def test_healing_brings_a_reduced_run_near_its_original_without_a_label(
    original: StoredRun, reduced: StoredRun, tmp_path: Path
) -> None:
    how = Healing(steps=60, learning_rate=2e-3)
    before, whole = (evaluate_run(run.folder.path, device="cpu", threads=1) for run in (reduced, original))
    result = heal(reduced, original, original.config.data, tmp_path / "run", how, device="cpu", threads=1)
    gap = whole["measured"]["accuracy"] - before["measured"]["accuracy"]
    assert gap > 0.1  # there is something to heal
    assert whole["measured"]["accuracy"] - result["metrics"]["val_accuracy"] < 0.3 * gap  # type: ignore[operator]
    assert (result["steps"], result["variant"], result["data"]["num_train"]) == (60, "reduced-x", 300)
    assert result["count"]["share_of_baseline"] < 1
    assert result["trained_parameters"] == read_result(reduced.folder.path)["trained_parameters"]
    assert evaluate_run(tmp_path / "run", device="cpu", threads=1)["measured"]["accuracy"] == pytest.approx(
        result["metrics"]["val_accuracy"], abs=1e-12
    )


def test_healing_starts_with_every_weight_of_the_reduced_run(
    original: StoredRun, reduced: StoredRun, tmp_path: Path
) -> None:
    seen: dict[str, torch.Tensor] = {}

    def spy(self: Stepper, step: int, _batch: Any) -> tuple[float, int]:
        seen.update({name: tensor.clone() for name, tensor in weights_of(self.model).items()})
        raise InterruptedError

    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(InterruptedError):
        monkeypatch.setattr(Stepper, "take", spy)
        heal(reduced, original, original.config.data, tmp_path / "run", SHORT, device="cpu", threads=1)
    given = last_weights(reduced.folder.path)
    assert seen.keys() == given.keys() and any(name.startswith("readout.head") for name in seen)
    assert all(torch.equal(seen[name], given[name]) for name in given)


@pytest.mark.parametrize("step", [1, 4])
def test_a_healing_stopped_and_gone_on_with_has_the_bits_of_one_in_one_go(
    original: StoredRun, reduced: StoredRun, tmp_path: Path, step: int
) -> None:
    heal(reduced, original, original.config.data, tmp_path / "whole", SHORT, device="cpu", threads=1)
    out = tmp_path / "run"
    inside = narrower(original, out / "reduced", 8)  # where the command puts it
    stopped(inside, original, out, step, SHORT)
    heal(inside, original, original.config.data, out, SHORT, device="cpu")
    assert bits(out) == bits(tmp_path / "whole")
    assert heal(inside, original, original.config.data, out, SHORT, device="cpu")["steps"] == 6


def test_a_fifth_of_the_originals_learning_rate_is_taken_or_that_for_imported_models(
    original: StoredRun, reduced: StoredRun, tmp_path: Path
) -> None:
    train_config = healing(reduced, original, original.config.data, Healing(steps=50)).config.train
    assert train_config.learning_rate == pytest.approx(original.config.train.learning_rate / 5)
    assert (train_config.weight_decay, train_config.warmup_steps, train_config.steps) == (0, 5, 50)
    imported = written(tmp_path / "imported", original.config, original, original.weights(), {"made": "imported"})
    assert healing(reduced, imported, original.config.data, Healing(steps=50)).config.train.learning_rate == RATE
    given = healing(reduced, original, original.config.data, Healing(steps=5, learning_rate=3e-5)).config.train
    assert given.learning_rate == 3e-5


def test_examples_without_labels_heal_too_and_are_measured_by_agreement(
    original: StoredRun, reduced: StoredRun, tmp_path: Path
) -> None:
    source = opened(original.config.data)
    data = source.load()
    shown = Loaded(source.data, data.spec, labelled=False, examples=data)
    result = heal(reduced, original, shown, tmp_path / "run", SHORT, device="cpu", threads=1)
    assert result["metric"] == "agreement" and 0 < result["metrics"]["val_agreement"] <= 1  # type: ignore[operator]
    assert "val_accuracy" not in result["metrics"] and "train_accuracy" not in result["metrics"]
    with pytest.raises(InputError, match=r"^distill\.labels 1: .* has no labels of task 'classify-images'"):
        heal(reduced, original, shown, tmp_path / "other", Healing(steps=2, labels=1), device="cpu", threads=1)
    assert not (tmp_path / "other").exists()


def test_a_model_of_vectors_is_healed_on_sentences_by_its_cosine_to_the_original(tmp_path: Path) -> None:
    sentences(tmp_path / "SST-2")
    sizes = ["model.dim=16", "model.depth=2", "model.heads=2", "model.dropout=0.1", "model.readout=mean"]
    text = ["data.vocab_size=300", "data.seq_len=32", f"data.path={tmp_path / 'SST-2'}"]
    config = resolve("glue-sst2", "baseline", [*sizes, *text, "train.steps=3", "train.batch_size=8"]).config
    train(config, tmp_path / "trained", device="cpu", threads=1)
    trained = read_run(tmp_path / "trained")
    body = {name: tensor for name, tensor in trained.weights().items() if not name.startswith("readout")}
    plain = trained.config.model_copy(update={"task": "embed-sentences"})
    original = written(tmp_path / "original", plain, _named(trained, "text"), body, {"made": "imported"})
    run = narrower(original, tmp_path / "run" / "reduced", 16)
    data = DataConfig(name="glue", subset="sst2", path=str(tmp_path / "SST-2"))
    how = Healing(steps=20, learning_rate=3e-3, batch_size=8)
    result = heal(run, original, data, tmp_path / "run", how, device="cpu", threads=1)
    assert result["metric"] == "cosine" and result["data"]["num_train"] == 33
    first, *_, last = result["curve"]
    assert first[1] < last[1] < 1
    record = evaluate_run(tmp_path / "run", device="cpu", threads=1)
    assert record["measured"]["cosine"] == pytest.approx(last[1], abs=1e-9)
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (tmp_path / "trained" / "tokenizer.json").read_bytes()


def _named(run: StoredRun, name: str) -> StoredRun:
    """The run, on data without classes."""
    from dataclasses import replace

    assert run.spec is not None
    spec: DataSpec = replace(run.spec, name=name, class_names=())
    return replace(run, spec=spec)


def test_data_of_another_shape_are_refused_before_a_folder_is_made(
    original: StoredRun, reduced: StoredRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"whose images are 1x8x8 \(channels, height, width\)") as caught:
        heal(reduced, original, DataConfig(name="mnist"), tmp_path / "run", SHORT, device="cpu", threads=1)
    assert str(caught.value).isprintable() and not (tmp_path / "run").exists()


def test_a_healed_run_is_a_run_to_start_from(original: StoredRun, reduced: StoredRun, tmp_path: Path) -> None:
    heal(reduced, original, original.config.data, tmp_path / "run", SHORT, device="cpu", threads=1)
    run = read_run(tmp_path / "run")
    assert run.initial == read_result(reduced.folder.path)["weights_sha256"]
    assert run.teacher == read_result(original.folder.path)["weights_sha256"]
    assert run.spec is not None
    model = build_model(run.config, run.spec)
    assert weights_of(model).keys() == last_weights(tmp_path / "run").keys()


def test_it_is_said_where_healing_made_it_worse() -> None:
    (note,) = healing_warnings(0.99, 0.95, "out/reduced")
    assert note.startswith("healing made it worse, from 0.9900 to 0.9500")
    assert note.endswith("out/reduced")
    for before, after in ((0.9, 0.95), (0.9, 0.9), (None, 0.9), (0.9, None)):
        assert healing_warnings(before, after, "out/reduced") == []


def test_a_variant_is_said_to_need_healing_only_where_it_is_not_healed() -> None:
    layers: list[ReducedLayerRecord] = [
        {"layer": 1, "stack": "encoder", "before": {}, "after": {}, "errors": {"output": 0.5}}
    ]
    assert len(warnings(ReduceOptions(variant="no-mlp"), layers)) == 1
    assert warnings(ReduceOptions(variant="no-mlp", heal=5), layers) == []
