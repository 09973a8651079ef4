"""Runs whose model is no variant with a name: fine-tuned, counted, and beside their own architecture from chance."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch

from minform_cli import api
from minform_cli.config.presets import resolve
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.runs.made import Made, write_run
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import StoredRun, finished_run, read_run, read_start
from minform_cli.runs.tensors import weights_of
from minform_cli.study.comparison import plan_comparison, run_comparison, stored_comparison, write_files
from minform_cli.study.options import StudyOptions
from minform_cli.study.record import read_record
from minform_cli.training.run import train
from tests.training.test_initial import TUNING, sentences
from tests.training.test_text import corpus, last_weights, text_run

MLP = [{"kind": "gelu", "width": 8}, {"kind": "gelu", "width": 20}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sentences, a run on a text of two blocks, and it with other widths in each of them."""
    folder = tmp_path_factory.mktemp("own")
    sentences(folder / "SST-2")
    config = text_run(corpus(folder), "model.depth=2", "train.steps=2")
    train(config, folder / "original", device="cpu", threads=1)
    original = read_run(folder / "original")
    model = resolve("bert-tiny", settings=[f"model.mlp={json.dumps(MLP)}", "model.depth=2"]).config.model.mlp
    smaller = original.config.model_copy(
        update={
            "model": original.config.model.model_copy(update={"mlp": model}),
            "variant": "reduced-50%",
            "baseline": original.config.model,
        }
    )
    written(folder / "reduced", original, smaller)
    return folder


def written(out: Path, original: StoredRun, config: object) -> None:
    assert original.spec is not None
    torch.manual_seed(3)
    weights = {name: tensor.clone() for name, tensor in weights_of(build_model(config, original.spec)).items()}  # type: ignore[arg-type]
    made = Made(
        config=config,  # type: ignore[arg-type]
        spec=original.spec,
        weights=weights,
        normalisation=None,
        tokenizer=original.folder.tokenizer.read_text(encoding="utf-8"),
        fingerprint=original.fingerprint,
        origin={"made": "reduced", "source": "original"},
    )
    write_run(out, made)


def settings(made: Path) -> list[str]:
    return [f"data.path={made / 'SST-2'}", *TUNING, "train.steps=2", "model.dropout=0"]


def options(made: Path, out: Path, **more: object) -> StudyOptions:
    asked = {"preset": "glue-sst2", "settings": settings(made), "seeds": 1, "out": out, "jobs": 1, "device": "cpu"}
    return StudyOptions(**(asked | more))  # type: ignore[arg-type]


def test_a_run_of_a_model_of_its_own_is_started_from_as_it_is(made: Path, tmp_path: Path) -> None:
    config = resolve("glue-sst2", settings=settings(made), start=read_start(made / "reduced")).config
    given = finished_run(made / "reduced").config
    assert config.variant == "reduced-50%"
    assert config.model.mlp == given.model.mlp and config.model.dim == given.model.dim
    assert config.baseline is not None and config.baseline.mlp == finished_run(made / "original").config.model.mlp
    assert config.model.readout.kind == config.baseline.readout.kind == "pooler"  # the task's own
    result = train(config, tmp_path / "tuned", device="cpu", threads=1)
    assert result["variant"] == "reduced-50%" and 0 < result["count"]["share_of_baseline"] < 1
    weights, source = last_weights(tmp_path / "tuned"), last_weights(made / "reduced")
    assert weights["blocks.0.mlp.w_1.weight"].shape == source["blocks.0.mlp.w_1.weight"].shape == (8, 16)
    again = resolve("glue-sst2", settings=settings(made), start=read_start(tmp_path / "tuned")).config
    assert (again.variant, again.model) == (config.variant, config.model)


def test_another_variant_or_size_is_refused_where_the_model_is_the_runs_own(made: Path) -> None:
    start = read_start(made / "reduced")
    with pytest.raises(
        InputError,
        match=r"^--variant no-mlp: the model of --init \S+ is its own, 'reduced-50%'; accepted: no --variant$",
    ):
        resolve("glue-sst2", "no-mlp", settings(made), start=start)
    with pytest.raises(InputError, match=r"has model.mlp .* as variant 'reduced-50%', .*; accepted: no other sizes$"):
        resolve("glue-sst2", settings=[*settings(made), "model.mlp=gelu"], start=start)


def test_its_model_is_a_variant_that_count_and_train_take(made: Path, tmp_path: Path) -> None:
    variant = f"run:{made / 'reduced'}"
    config = resolve("glue-sst2", variant, settings(made)).config
    tuned = resolve("glue-sst2", settings=settings(made), start=read_start(made / "reduced")).config
    assert (config.variant, config.init) == (variant, None)
    assert (config.model, config.baseline) == (tuned.model, tuned.baseline)
    assert (config.data.vocab_size, config.data.tokenizer) == (300, str(made / "reduced" / "tokenizer.json"))
    (whole, counted) = api.count("glue-sst2", [f"run:{made / 'original'}", variant], settings(made), verify=True)
    tuned_count = train(tuned, tmp_path / "tuned", device="cpu", threads=1)["count"]
    assert counted["groups"] == tuned_count["groups"] and whole["share_of_baseline"] == 1
    assert counted["share_of_baseline"] == counted["parameters"] / whole["parameters"]
    plain, beside = api.count("glue-sst2", ["baseline", variant], settings(made), verify=True)
    assert beside["groups"] == counted["groups"] and plain["groups"]["embedding"] != counted["groups"]["embedding"]
    result = train(config, tmp_path / "scratch", device="cpu", threads=1)
    assert result["trained_parameters"] == read_result(tmp_path / "tuned")["trained_parameters"]
    first = last_weights(made / "reduced")["blocks.0.mlp.w_1.weight"]
    assert not torch.allclose(last_weights(tmp_path / "scratch")["blocks.0.mlp.w_1.weight"], first, atol=1e-2)


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("run:nowhere", "--variant run:nowhere: is no run folder; accepted: run: and the folder of a run"),
        ("run:" + "a" * 5000, "cannot be looked at: File name too long"),
        ("init:nowhere", "--variant init:nowhere: is for compare; accepted: --init nowhere, or run:nowhere for that"),
    ],
)
def test_what_names_no_run_is_refused_in_one_line(made: Path, variant: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve("glue-sst2", variant, settings(made))
    assert said in str(caught.value) and str(caught.value).isprintable()


def test_one_study_holds_the_run_fine_tuned_and_its_model_from_chance(made: Path, tmp_path: Path) -> None:
    reduced, original = made / "reduced", made / "original"
    asked = options(made, tmp_path / "study", init=reduced, scratch=True, variants=[f"init:{original}"])
    plan = plan_comparison(asked)
    names = [f"init:{reduced}", f"run:{reduced}", f"init:{original}"]
    assert [run.config.variant for run in plan.runs] == names
    assert [run.config.init for run in plan.runs] == [str(reduced), None, str(original)]
    comparison = run_comparison(plan, asked)
    assert comparison is not None
    tuned, scratch, whole = comparison.records
    assert tuned["parameters"] == scratch["parameters"] < whole["parameters"]
    assert (tuned["share_of_baseline"], whole["share_of_baseline"]) == (scratch["share_of_baseline"], 1)
    again = plan_comparison(asked)
    assert all(run.finished for run in again.runs)  # the same command goes on
    write_files(tmp_path / "study", asked, tell=lambda _: None)
    told, _ = stored_comparison(tmp_path / "study", options(made, tmp_path, reference=f"init:{original}"))
    assert told.records[0]["difference_mean"] is not None and told.records[2]["difference_mean"] is None
    words = shlex.split(read_record(tmp_path / "study").command())
    assert [word for word in words if word.startswith(("init:", "run:"))] == names and "--init" not in words


def test_a_study_of_one_such_run_grows_by_its_model_from_chance(made: Path, tmp_path: Path) -> None:
    alone = options(made, tmp_path / "study", init=made / "reduced")
    plan = plan_comparison(alone)
    assert [run.config.variant for run in plan.runs] == [f"init:{made / 'reduced'}"]
    assert run_comparison(plan, alone) is not None
    more = options(made, tmp_path / "study", variants=[f"run:{made / 'reduced'}"])
    grown = run_comparison(plan_comparison(more), more)
    assert grown is not None and len(read_record(tmp_path / "study").runs) == 2


def test_a_model_from_chance_stands_beside_rows_that_start_from_another_run(made: Path, tmp_path: Path) -> None:
    given = {"init": made / "original", "variants": ["baseline", f"run:{made / 'reduced'}"]}
    runs = plan_comparison(options(made, tmp_path / "study", **given)).runs
    assert [run.config.init for run in runs] == [str(made / "original"), None]


@pytest.mark.parametrize(
    ("init", "more", "said"),
    [
        ("reduced", {"variants": ["no-mlp"]}, r"^--variant no-mlp: the model of --init \S+ is its own; accepted: no"),
        (None, {"scratch": True}, r"^--scratch: trains the model of one run from chance; accepted: with --init RUN"),
    ],
)
def test_rows_that_such_a_study_cannot_have_are_refused(
    made: Path, tmp_path: Path, init: str | None, more: dict[str, object], said: str
) -> None:
    given = {} if init is None else {"init": made / init}
    with pytest.raises(InputError, match=said):
        plan_comparison(options(made, tmp_path / "study", **given, **more))
