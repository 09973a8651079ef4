"""``minform reduce``: what it writes, what its tables say, what it refuses; a reduced run is a run."""

import csv
import errno
import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import minform_cli
from minform_cli.errors import InputError, Interrupted, MachineError
from minform_cli.reducing import measuring, run, ways
from minform_cli.reducing.options import ReduceOptions, split_values
from minform_cli.runs.progress import Progress
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import StoredRun, read_run
from tests.cli.commands import Command
from tests.training.faults import Disk

FORCED = ReduceOptions(variant="symmetric", threads=1)
FILES = {"reduction.json", "reduction.md", "reduction.tex", "reduction.csv", "reduction.png", "report.html"}
RUN = {"checkpoint.json", "config.yaml", "result.json", "run.json", "weights-0.safetensors"}


@pytest.fixture(autouse=True)
def _few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are no matter here."""
    monkeypatch.setattr(measuring, "ROUNDS", 3)


@pytest.fixture(scope="module")
def forced(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("forced") / "run"
    minform_cli.reduce(digits, out, FORCED)
    return out


def test_the_folder_is_a_run_with_tables_picture_and_report_beside_it(digits: Path, forced: Path) -> None:
    assert {path.name for path in forced.iterdir()} == FILES | RUN
    made, source = read_run(forced), read_run(digits)
    assert (made.config.variant, made.config.preset) == ("symmetric", "digits")
    assert made.config.baseline == source.config.model
    assert made.origin is not None
    assert made.origin["made"] == "reduced"
    assert made.origin["source"] == str(digits)
    assert made.origin["source_sha256"] == source.checkpoint().files["weights"]["sha256"]
    assert made.origin["calibration"]["examples"] == 60
    assert made.origin["command"].startswith(f"minform reduce {digits} --variant symmetric")
    assert list(forced.parent.iterdir()) == [forced]


def test_the_record_has_counts_metric_times_and_layers(digits: Path, forced: Path) -> None:
    (record,) = json.loads((forced / "reduction.json").read_text())["reductions"]
    before, after = (minform_cli.evaluate(each, threads=1) for each in (digits, forced))
    assert record["measure"]["before"] == before["measured"]["accuracy"]
    assert record["measure"]["after"] == after["measured"]["accuracy"]
    assert record["measure"]["examples"] == after["num_examples"]
    assert record["after"]["parameters"] == after["parameters"]
    assert record["before"]["parameters"] == before["parameters"]
    groups = ("query_key", "value_output", "mlp")
    for when in ("before", "after"):
        for group in groups:
            assert sum(layer[when][group] for layer in record["layers"]) == record[when]["groups"][group]
    assert [each["batch"] for each in record["latency"]] == [1, 32]
    assert all(each["original_s"] > 0 and each["reduced_s"] > 0 for each in record["latency"])


def test_errors_of_layers_and_outputs_are_those_of_the_models(digits: Path, forced: Path) -> None:
    (record,) = json.loads((forced / "reduction.json").read_text())["reductions"]
    source = read_run(digits)
    assert source.spec is not None
    examples = run.own_examples(source)
    assert examples is not None
    (inputs,) = run.calibration(examples, None, 0).batches
    models = [read_run(each).model(source.spec, torch.device("cpu")).eval() for each in (digits, forced)]
    with torch.no_grad():
        wanted, found = (model.blocks[0](model.embedding(inputs[0])) for model in models)  # type: ignore[operator]
        # Softmax does not see a shift of all classes.
        outputs = [(given := model(*inputs)) - given.mean(-1, keepdim=True) for model in models]
    error = ((found - wanted).square().sum() / wanted.square().sum()).item()
    assert record["layers"][0]["errors"]["output"] == pytest.approx(error, rel=1e-4)  # sums in float32 here
    apart = ((outputs[1] - outputs[0]).abs().max() / outputs[0].abs().max()).item()
    assert record["difference"] == pytest.approx(apart, rel=1e-4)


def test_tables_are_80_columns_wide_and_the_report_needs_nothing_else(forced: Path) -> None:
    from minform_cli.report.reduce_table import reduce_table

    (record,) = json.loads((forced / "reduction.json").read_text())["reductions"]
    assert max(map(len, str(reduce_table([record], "plain")).splitlines())) <= 80
    page = (forced / "report.html").read_text()
    assert page.count("<script") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == 1
    assert record["command"] in page
    (row,) = csv.DictReader(io.StringIO((forced / "reduction.csv").read_text()))
    assert int(row["after.parameters"]) == record["after"]["parameters"]


@pytest.mark.parametrize("fmt", ["plain", "markdown", "latex", "csv", "json"])
def test_the_command_prints_every_format(fmt: str, digits: Path, tmp_path: Path, minform: Command) -> None:
    given = ["--variant", "no-mlp", "--examples", "40", "--format", fmt, "--quiet"]
    done = minform("reduce", str(digits), "--out", str(tmp_path / "out"), *given)
    assert (done.code, done.err) == (0, "")
    if fmt == "json":
        (record,) = json.loads(done.out)
        assert record["calibration"]["examples"] == 40
    else:
        assert "parameters" in done.out


def test_a_reduced_run_is_a_start_and_a_source(forced: Path, tmp_path: Path) -> None:
    settings = ["data.limit=60", "train.epochs=1", "train.warmup_epochs=0", "train.batch_size=20"]
    started = minform_cli.prepare("digits", "symmetric", settings, init=forced)
    assert minform_cli.train(started, tmp_path / "tuned", threads=1)["steps"] == 3
    (again,) = minform_cli.reduce(forced, tmp_path / "again", ReduceOptions(variant="no-mlp", threads=1))
    assert again["before"]["parameters"] == again["after"]["parameters"] + again["before"]["groups"]["mlp"] + 2 * 16


def test_vectors_of_sentences_are_measured_by_their_cosine_with_an_interval(
    sentences: Path, prose: Path, tmp_path: Path
) -> None:
    options = ReduceOptions(variant="symmetric-mirrored", calibrate=str(prose), examples=20, repeats=3, threads=1)
    (record,) = minform_cli.reduce(sentences, tmp_path / "out", options)
    measure = record["measure"]
    assert measure is not None
    assert (measure["metric"], measure["before"], measure["examples"]) == ("cosine", 1.0, 5)
    assert 0 < measure["after"] < 1
    assert len({sample["sha256"] for sample in record["samples"]}) == 3
    # The weights of this variant do not depend on the sample: there is no spread, and none is claimed.
    assert (measure["mean"], measure["low"]) == (pytest.approx(measure["after"]), None)


def test_an_interval_is_student_s() -> None:
    mean, low, high = run.t_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == (2.0, pytest.approx(2 - 4.302653 / 3**0.5), pytest.approx(2 + 4.302653 / 3**0.5))


def test_without_data_nothing_is_guessed(sentences: Path, tmp_path: Path, minform: Command) -> None:
    refused = minform("reduce", str(sentences), "--variant", "symmetric", "--out", str(tmp_path / "out"))
    assert "was not trained on data that are known here" in refused.refusal
    assert "--data-free" in refused.refusal
    options = ReduceOptions(variant="symmetric-mirrored", data_free=True, threads=1)
    (record,) = minform_cli.reduce(sentences, tmp_path / "out", options)
    assert (record["calibration"], record["measure"], record["how"]) == (None, None, "variant")


def test_healing_makes_a_run_from_the_reduced_one_and_resumes(digits: Path, tmp_path: Path) -> None:
    options = ReduceOptions(variant="symmetric", heal=6, threads=1)

    def listen(news: Progress) -> None:
        if news.kind == "epoch":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        minform_cli.reduce(digits, tmp_path / "out", options, on_progress=listen)
    assert {path.name for path in (tmp_path / "out" / "reduced").iterdir()} == FILES | RUN
    assert not (tmp_path / "out" / "reduction.json").exists()
    with pytest.raises(InputError, match="--resume goes on with the healing in it"):
        minform_cli.reduce(digits, tmp_path / "out", options)
    other = ReduceOptions(variant="symmetric", heal=7, threads=1, resume=True)
    with pytest.raises(InputError, match="is another reduction"):
        minform_cli.reduce(digits, tmp_path / "out", other)
    going_on = ReduceOptions(variant="symmetric", heal=6, threads=1, resume=True)
    (record,) = minform_cli.reduce(digits, tmp_path / "out", going_on)
    (whole,) = minform_cli.reduce(digits, tmp_path / "whole", options)
    healed = minform_cli.evaluate(tmp_path / "out", threads=1)["measured"]["accuracy"]
    assert record["measure"] is not None
    assert whole["measure"] is not None
    assert record["measure"]["healed"] == healed == whole["measure"]["healed"]
    first, second = (read_run(tmp_path / name).weights() for name in ("out", "whole"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_leaves_nothing(digits: Path, tmp_path: Path, minform: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    latency = run.latency

    def interrupted(*args: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return latency(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "latency", interrupted)
    done = minform("reduce", str(digits), "--variant", "symmetric", "--out", str(tmp_path / "out"))
    assert done.code == 130
    assert "nothing was written" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(digits: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        disk = Disk(patched)
        minform_cli.reduce(digits, tmp_path / "counted", FORCED)
        calls = disk.calls
    for at in (2, calls // 2, calls - 3):
        with pytest.MonkeyPatch.context() as patched:
            Disk(patched, at, errno.ENOSPC)
            with pytest.raises(MachineError, match=os.strerror(errno.ENOSPC)):
                minform_cli.reduce(digits, tmp_path / "out", FORCED)
        assert [path.name for path in tmp_path.iterdir()] == ["counted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing says how much; accepted: --budget 50%, --exact, or --variant NAME"),
        (["--variant", "simmetric"], "did you mean 'symmetric'?"),
        (["--variant", "symmetric", "--exact"], "a run is reduced in one way"),
        (["--budget", "50%,,25%"], "a value is missing beside a comma"),
        (["--variant", "symmetric", "--examples", "0"], "--examples: expected 1 or more, not 0"),
        (["--variant", "symmetric", "--examples", "99"], "accepted: 1 to 60"),
        (["--variant", "symmetric", "--repeats", "0"], "--repeats: expected 1 or more, not 0"),
        (["--variant", "symmetric", "--labels"], "--labels: are for healing"),
        (["--variant", "symmetric", "--only", "mlp"], "--only: says what a budget takes from"),
        (["--variant", "symmetric", "--data-free", "--heal", "3"], "--heal and --data-free"),
        (["--variant", "symmetric", "--data-free", "--calibrate", "digits"], "--calibrate and --data-free"),
        (["--variant", "symmetric", "--weights", "x"], "--weights: a run has its own"),
        (["--variant", "symmetric", "--calibrate", "nowhere"], "no data set and no file 'nowhere'"),
        (["--variant", "symmetric", "--set", "model.dim=3"], "the run is what it is"),
        (["--variant", "symmetric", "--resume"], "--resume: goes on with a healing"),
        (["--exact", "--segments", "2"], "--segments: expected 1, not 2"),
    ],
)
def test_what_is_wrong_is_one_line(
    options: list[str], message: str, digits: Path, tmp_path: Path, minform: Command
) -> None:
    done = minform("reduce", str(digits), "--out", str(tmp_path / "out"), *options)
    assert message in done.refusal
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{depth: 1}", "model.depth 1 makes a model of another size than that of the run"),
        ("{dim: 16}", "model.dim 16 makes a model of another size"),
        ("{patch_size: 2}", "model.patch_size 2 makes a model of another size"),
        (
            "{head_width: 3}",
            "model.head_width 3: all heads together are 6 wide, and those of the run",
        ),
        ("{heads: 1, head_width: 5}", "all heads together are 5 wide"),
    ],
)
def test_a_variant_of_another_size_has_nothing_to_take_weights_over_from(
    model: str, message: str, digits: Path, tmp_path: Path, minform: Command
) -> None:
    variant = tmp_path / "sized.yaml"
    variant.write_text(f"summary: of another size\nsource: made here\nmodel: {model}\n")
    refusal = minform("reduce", str(digits), "--variant", str(variant), "--out", str(tmp_path / "out")).refusal
    assert message in refusal and "accepted: " in refusal and "sized.yaml:3" in refusal
    assert [path.name for path in tmp_path.iterdir()] == ["sized.yaml"]


def test_a_source_of_an_unknown_kind_a_folder_that_is_full_and_weights_that_are_no_numbers_are_refused(
    digits: Path, tmp_path: Path, minform: Command
) -> None:
    def refused(source: str, *more: str) -> str:
        return minform("reduce", source, "--variant", "symmetric", *more).refusal

    assert "did you mean 'timm'?" in refused("tim:vit", "--out", str(tmp_path / "out"))
    assert "no such folder" in refused("hf:nowhere", "--out", str(tmp_path / "out"))
    assert "is not empty" in refused(str(digits), "--out", str(digits))
    assert "is no run folder" in refused(str(tmp_path), "--out", str(tmp_path / "out"))


def test_several_budgets_make_a_run_each_and_a_curve(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minform: Command
) -> None:
    """Whatever meets them: here each stands for a variant."""
    forced = {"90%": "symmetric", "50%": "no-mlp"}

    def meets(*given: Any) -> ways.Smaller:
        *before, options, budget = given
        made = ways.made_smaller(*before, replace(options, budgets=(), variant=forced[budget]), None)
        return replace(made, config=made.config.model_copy(update={"variant": f"reduced-{budget}"}))

    monkeypatch.setattr(run, "made_smaller", meets)
    out = tmp_path / "out"
    done = minform("reduce", str(digits), "--out", str(out), "--budget", "90%,50%", "--threads", "1")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    assert [line.split()[0] for line in done.out.splitlines()] == ["budget", "original", "90%", "50%"]
    for name in ("90-percent", "50-percent"):
        assert {path.name for path in (out / name).iterdir()} == FILES | RUN
        assert minform_cli.evaluate(out / name, threads=1)["variant"].startswith("reduced-")
    records = json.loads((out / "reduction.json").read_text())
    assert records["command"] == f"minform reduce {digits} --budget 90%,50% --seed 0"
    assert [record["asked"]["budget"] for record in records["reductions"]] == ["90%", "50%"]
    assert (out / "curve.png").stat().st_size > 1000
    assert (out / "report.html").read_text().count("<svg") == 3


def test_weights_that_are_no_numbers_are_refused_by_name(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = StoredRun.model

    def broken(self: StoredRun, *given: Any) -> torch.nn.Module:
        found = model(self, *given)
        with torch.no_grad():
            found.blocks[1].mlp.w_1.bias[0] = torch.nan  # type: ignore[index, union-attr, operator]
        return found

    monkeypatch.setattr(StoredRun, "model", broken)
    with pytest.raises(InputError, match=r"its weight blocks\.1\.mlp\.w_1\.bias has numbers that are not finite"):
        minform_cli.reduce(digits, tmp_path / "out", FORCED)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_library_is_imported_first_and_kept_beside_what_is_healed(
    sentences: Path, prose: Path, tmp_path: Path
) -> None:
    """The model is one of ours that is exported for transformers."""
    minform_cli.export(sentences, "hf", tmp_path / "theirs", expand=True)
    source = f"hf:{tmp_path / 'theirs'}"
    options = ReduceOptions(budgets=["95%"], calibrate=str(prose), examples=20, threads=1)
    (record,) = minform_cli.reduce(source, tmp_path / "out", options)
    assert record["source"] == source
    made = read_run(tmp_path / "out")
    assert made.origin is not None
    assert (made.origin["made"], made.origin["source"]) == ("reduced", source)
    assert not (tmp_path / "out" / "original").exists()
    assert record["measure"] is not None
    assert 0.5 < record["measure"]["after"] <= 1


def test_a_model_of_another_library_is_healed_on_the_lines_of_a_text(
    sentences: Path, prose: Path, tmp_path: Path
) -> None:
    minform_cli.export(sentences, "hf", tmp_path / "theirs", expand=True)
    source = f"hf:{tmp_path / 'theirs'}"
    options = ReduceOptions(budgets=["85%"], calibrate=str(prose), examples=20, heal=8, threads=1)
    (record,) = minform_cli.reduce(source, tmp_path / "out", options)
    healed = read_run(tmp_path / "out")
    assert healed.config.teacher == str(tmp_path / "out" / "original") and healed.config.data.path == str(prose)
    assert healed.config.data.name == "text" and healed.fingerprint
    assert record["measure"] is not None and record["measure"]["healed"] is not None
    different = {line.strip() for line in prose.read_text().splitlines()} - {""}
    result = read_result(tmp_path / "out")  # each line is an example, a tenth of them held out
    assert result["data"]["num_train"] + result["data"]["num_val"] == len(different)
    assert record["measure"]["healed"] == pytest.approx(result["metrics"]["val_cosine"], abs=1e-6)
    again = ReduceOptions(budgets=["85%"], calibrate=str(prose), examples=20, heal=8, threads=1, resume=True)
    assert minform_cli.reduce(source, tmp_path / "out", again)[0]["measure"] == record["measure"]


def test_values_of_a_list_are_parted_by_commas_and_numbers_keep_theirs() -> None:
    assert split_values("90%, 50%,12,000,000,3M", "--budget") == ["90%", "50%", "12,000,000", "3M"]
    assert split_values("50%,100%", "--budget") == ["50%", "100%"]


def test_exact_reductions_leave_the_metric_and_say_what_each_saves_or_why_not(digits: Path, tmp_path: Path) -> None:
    record = minform_cli.reduce(digits, tmp_path / "run", ReduceOptions(exact=True, threads=1))[0]
    assert record["measure"]["after"] == record["measure"]["before"]
    assert record["difference"] is not None and record["difference"] < 1e-5  # of the outputs' scale, as promised
    saved = {each["reduction"]: each["numbers"] for each in record["exact"]}
    assert saved["key biases"] == 0 and saved["value biases"] > 0 and saved["one class"] > 0
    assert all(each["numbers"] or each["why_not"] for each in record["exact"])
    numbers = [record[when]["parameters"] for when in ("before", "after")]
    assert numbers[0] - numbers[1] == sum(saved.values())
    assert all(layer["errors"]["output"] < 1e-10 for layer in record["layers"])
    with pytest.raises(InputError, match="nothing of digits exact can go"):
        minform_cli.reduce(tmp_path / "run", tmp_path / "again", ReduceOptions(exact=True, threads=1))
    assert not (tmp_path / "again").exists()
