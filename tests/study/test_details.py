"""What a report measures: attention weights that give the very output, accuracy by class, a cache that is enough."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from minform_cli.config.presets import resolve
from minform_cli.config.schema import ModelConfig
from minform_cli.data.load import load_data
from minform_cli.data.source import Source
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.models.parts.attention import Attention, Loan
from minform_cli.models.parts.base import choose_run
from minform_cli.runs.records import ResultRecord, read_result
from minform_cli.study.attention_maps import attention_record, attention_weights
from minform_cli.study.details import FILE, collect, read_curve
from minform_cli.training.evaluate import evaluate_run
from minform_cli.training.run import train
from tests import zoo

Pairs = list[tuple[Path, ResultRecord]]


def attentions(model: nn.Module, images: torch.Tensor) -> list[tuple[Attention, torch.Tensor, torch.Tensor]]:
    """Every attention that runs, with its input and its output, in order."""
    seen: list[tuple[Attention, torch.Tensor, torch.Tensor]] = []
    for module in model.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda part, given, out: seen.append((part, given[0], out)))
    with torch.no_grad():
        model(images)
    return seen


def all_models() -> list[tuple[str, ModelConfig]]:
    parts = [(f"{axis}={kind}", zoo.model_with(axis, kind, dropout=0.5)) for axis, kind in zoo.ATTENDING]
    named = parts + [(variant, zoo.variant_model(variant)) for variant in zoo.ALL_VARIANTS]
    return [(name, model) for name, model in named if not model.decoder_depth]  # one sequence in, one out


@pytest.mark.parametrize(("name", "config"), all_models(), ids=[name for name, _ in all_models()])
def test_the_weights_times_the_values_are_the_output_of_every_attention(name: str, config: ModelConfig) -> None:
    model, images = zoo.build(config), zoo.examples(config)[0]
    weights = attention_weights(model, images)
    seen = attentions(model, images)
    assert len(weights) == len(seen) == config.depth
    loan = Loan()
    for run, (layer, (attention, given, out)) in enumerate(zip(weights, seen, strict=True)):
        choose_run(attention, run)  # of maps that differ from run to run, in a block that runs at every depth
        values = attention.with_loan(attention.keep(given), loan).values
        torch.testing.assert_close(attention.value.merge(layer @ values), out, rtol=0, atol=1e-10)
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(layer.shape[:-1], dtype=layer.dtype))


def test_a_block_that_runs_at_three_depths_has_three_maps_and_leaves_no_hook_behind() -> None:
    model = zoo.build(zoo.model_with("order", "listed"))  # blocks 0, 1, 0
    first, _, third = attention_weights(model, zoo.images())
    assert not torch.allclose(first, third)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("readout", ["class-token", "mean"])
def test_a_record_holds_the_class_tokens_row_or_the_mean_over_queries(readout: str) -> None:
    model, image = zoo.build(zoo.model_with("readout", readout)), zoo.images(1)
    full = attention_weights(model, image)
    record = attention_record(model, image)  # type: ignore[arg-type]
    assert (record["rows"], record["columns"], record["class_token"]) == (2, 2, readout == "class-token")
    assert record["tokens"] == full[0].shape[-1] == (5 if readout == "class-token" else 4)
    expected = [w[0, :, 0, 1:] if readout == "class-token" else w[0].mean(dim=1) for w in full]
    assert np.shape(record["weights"]) == (3, 2, 4)
    assert np.allclose(record["weights"], torch.stack(expected), rtol=0, atol=1e-6)
    assert record["prediction"] == int(model(image).argmax())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two variants and two seeds, two epochs each."""
    folder = tmp_path_factory.mktemp("study")
    for variant in ("baseline", "minimal"):
        for seed in (0, 1):
            config = resolve("debug", variant, ("data.limit=60", "train.epochs=2"), seed).config
            train(config, folder / variant / f"seed-{seed}", device="cpu", threads=1)
    return folder


@pytest.fixture
def study(runs: Path, tmp_path: Path) -> tuple[Path, Pairs]:
    """A copy of it to change."""
    folder = tmp_path / "study"
    shutil.copytree(runs, folder)
    return folder, [(path.parent, read_result(path.parent)) for path in sorted(folder.glob("*/*/result.json"))]


def silent(_text: str) -> None:
    return


def test_accuracy_by_class_is_what_eval_measures_and_the_data_are_read_once(
    study: tuple[Path, Pairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pairs = study
    loads: list[object] = []
    load = Source.load
    monkeypatch.setattr(Source, "load", lambda source: loads.append(source) or load(source))
    details = collect(folder, pairs, device="cpu", tell=silent)
    assert len(loads) == 1 and details["missing"] == []
    monkeypatch.undo()
    for (path, _), run in zip(pairs, details["runs"], strict=True):
        record = evaluate_run(path, device="cpu")
        assert run["measured"] is not None
        assert run["measured"]["per_class_accuracy"] == record["per_class_accuracy"]
        assert details["class_names"] == record["class_names"]


def test_attention_is_shown_of_the_first_seed_of_each_variant_on_one_image(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    details = collect(folder, pairs[1:], device="cpu", tell=silent)  # without the baseline's seed 0
    seen = {
        (run["variant"], run["seed"]) for run in details["runs"] if run["measured"] and run["measured"]["attention"]
    }
    assert seen == {("baseline", 1), ("minimal", 0)}
    data = load_data(resolve("debug", "baseline", ("data.limit=60",)).config.data)
    assert details["example"] is not None
    assert details["example"]["label"] == data.val.labels[0]
    with Image.open(io.BytesIO(base64.b64decode(details["example"]["png"]))) as image:
        assert np.array_equal(np.asarray(image), data.val.images[0][0])  # type: ignore[index]


def test_a_curve_is_what_the_run_logged(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    curve = collect(folder, pairs, device="cpu", tell=silent)["runs"][0]["curve"]
    assert curve is not None and curve["epoch"] == [1, 2]
    assert curve["val_score"][-1] == pairs[0][1]["metrics"]["val_accuracy"]
    assert curve["train_loss"][-1] == pairs[0][1]["metrics"]["train_loss"]
    assert sum(seconds or 0 for seconds in curve["train_s"]) == pytest.approx(pairs[0][1]["timing"]["train_s"])


def test_a_second_drawing_needs_neither_torch_nor_data_nor_weights(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    first = collect(folder, pairs, device="cpu", tell=silent)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    script = (
        "import json, sys; from pathlib import Path; from minform_cli.runs.records import read_result\n"
        "from minform_cli.study.details import collect\n"
        f"folder = Path({str(folder)!r})\n"
        "pairs = [(p.parent, read_result(p.parent)) for p in sorted(folder.glob('*/*/result.json'))]\n"
        "details = collect(folder, pairs, tell=sys.exit)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "print(json.dumps(details))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == first


def test_only_runs_with_new_weights_are_measured_again(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    said: list[str] = []
    collect(folder, pairs[:2], device="cpu", tell=said.append)
    collect(folder, pairs, device="cpu", tell=said.append)
    collect(folder, pairs, device="cpu", tell=said.append)
    assert said == ["measuring 2 runs class by class"] * 2


def test_a_run_that_could_not_be_measured_at_first_leaves_no_trace_in_the_end(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    collect(folder, pairs, device="cpu", tell=silent)
    whole = (folder / FILE).read_bytes()
    (folder / FILE).unlink()
    meta = pairs[0][0] / "run.json"
    text = meta.read_bytes()
    meta.write_bytes(b"")
    assert collect(folder, pairs, device="cpu", tell=silent)["runs"][0]["measured"] is None
    meta.write_bytes(text)
    collect(folder, pairs, device="cpu", tell=silent)
    assert (folder / FILE).read_bytes() == whole


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1, "fingerprint": 3}', '{"format": 99}'])
def test_a_damaged_cache_is_measured_anew(damage: str, study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    first = collect(folder, pairs, device="cpu", tell=silent)
    (folder / FILE).write_text(damage)
    assert collect(folder, pairs, device="cpu", tell=silent) == first


def test_what_was_measured_on_other_data_is_measured_anew(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    first = collect(folder, pairs, device="cpu", tell=silent)
    cache = json.loads((folder / FILE).read_text())
    cache["fingerprint"] = "other"
    for measured in cache["measured"].values():
        measured["per_class_accuracy"] = [2.0] * 10
    (folder / FILE).write_text(json.dumps(cache))
    assert collect(folder, pairs, device="cpu", tell=silent) == first


def test_without_the_data_the_curves_are_there_and_a_sentence_says_why_the_rest_is_not(
    study: tuple[Path, Pairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pairs = study

    def absent(_data: object) -> None:
        raise InputError("MNIST cannot be had offline")

    monkeypatch.setattr(Source, "load", absent)
    details = collect(folder, pairs, device="cpu", tell=silent)
    assert details["missing"] == ["Accuracy by class and attention are missing: MNIST cannot be had offline"]
    assert all(run["curve"] is not None and run["measured"] is None for run in details["runs"])
    assert details["example"] is None


def test_one_damaged_run_costs_only_its_own_figures(study: tuple[Path, Pairs]) -> None:
    folder, pairs = study
    next(pairs[0][0].glob("weights-*.safetensors")).write_bytes(b"")
    RunFolder(pairs[1][0]).metrics.write_text("{}\n")
    details = collect(folder, pairs, device="cpu", tell=silent)
    assert [run["measured"] is None for run in details["runs"]] == [True, False, False, False]
    assert [run["curve"] is None for run in details["runs"]] == [False, True, False, False]
    assert [sentence.partition(":")[0] for sentence in details["missing"]] == [
        "Accuracy by class and attention are missing for baseline, seed 0",
        "The learning curve of baseline, seed 1 is missing",
    ]


def test_a_device_that_is_not_there_is_refused(study: tuple[Path, Pairs]) -> None:
    with pytest.raises(InputError, match="no such device"):
        collect(*study, device="cuda:99", tell=silent)


@pytest.mark.parametrize("text", ["3\n", "{\n", '{"epoch": "1"}\n', '{"epoch": 1, "train_loss": 2}\n'])
def test_damaged_metrics_are_one_line(text: str, tmp_path: Path) -> None:
    RunFolder(tmp_path).metrics.write_text(text)
    RunFolder(tmp_path).timings.write_text("")
    with pytest.raises(InputError, match=r"metrics\.jsonl") as caught:
        read_curve(RunFolder(tmp_path), "accuracy")
    assert "\n" not in str(caught.value)
