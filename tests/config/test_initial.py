"""What a run takes over from the run it starts from, what stays its own, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from minform_cli.config.initial import Start
from minform_cli.config.presets import Resolved, dump_config, load_config, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, write_json
from minform_cli.runs.folder import RUN, begin
from minform_cli.runs.seal import sealed
from minform_cli.runs.stored import read_start
from tests.runs.made_up import data_of

SIZES = (
    "data.path=text.txt",
    "data.vocab_size=300",
    "data.seq_len=16",
    "model.dim=24",
    "model.depth=3",
    "model.heads=3",
    "model.mlp_multiple=2",
    "model.dropout=0.1",
    "model.position={kind: learned, rows: 20}",
)
"""A pre-training run whose every size differs from those of the presets."""

Refused = Callable[..., str]


def source(folder: Path, *settings: str, preset: str = "bert-tiny", variant: str = "baseline") -> Path:
    """The folder of a finished run, as far as starting from it reads it before there are weights."""
    folder.mkdir(parents=True)
    config = resolve(preset, variant, settings or SIZES).config
    begin(RunFolder(folder), config, data_of(config), {})
    write_json(RunFolder(folder).result, {})
    return folder


def started(run: Path, *settings: str, preset: str = "glue-sst2", variant: str = "baseline") -> Resolved:
    return resolve(preset, variant, ("data.seq_len=16", *settings), 5, read_start(run))


def written(config: object) -> bytes:
    """A ``run.json`` with that config."""
    return json.dumps(sealed(RUN, {"minform": "0.0.1", "config": config})).encode()


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Refused:
    """What is said of a run that cannot be started from, in one line."""
    monkeypatch.chdir(tmp_path)  # for short names

    def check(run: Path | str, *settings: str, preset: str = "glue-sst2", variant: str = "baseline") -> str:
        with pytest.raises(InputError) as caught:
            spec_for(started(Path(run), *settings, preset=preset, variant=variant).config)
        assert str(caught.value).isprintable()
        return str(caught.value)

    return check


@pytest.mark.parametrize(
    ("readout", "taken"),
    [
        ("distilled", "distilled"),
        ("mean", "mean"),
        ("{kind: class-token, beside: 2, reference_class: true}", {"kind": "class-token", "beside": 2}),
    ],
)
def test_of_images_the_learned_tokens_are_taken_over_and_how_the_head_stores_classes_is_not(
    tmp_path: Path, readout: str, taken: object
) -> None:
    run = source(tmp_path / "run", f"model.readout={readout}", preset="digits")
    model = resolve("digits", "baseline", (), 5, read_start(run)).config.model
    assert model.model_dump(mode="json")["readout"] == taken


def test_sizes_vocabulary_and_tokenizer_are_those_of_the_run(tmp_path: Path) -> None:
    run = source(tmp_path / "run")
    found = started(run)
    model, data = found.config.model, found.config.data
    assert (model.dim, model.depth, model.heads, model.mlp_multiple) == (24, 3, 3, 2)
    assert model.position.model_dump()["rows"] == 20
    assert (data.vocab_size, data.tokenizer) == (300, str(run / "tokenizer.json"))
    origin = f"--init {run}"
    assert {key for key, value in found.origins.items() if value == origin} == {
        *(f"model.{key}" for key in type(model).model_fields if key not in ("readout", "dropout")),
        "data.vocab_size",
        "data.tokenizer",
    }
    assert (found.config.init, found.config.seed, found.config.task) == (str(run), 5, "classify-sentences")


def test_readout_dropout_recipe_and_data_are_those_of_the_preset(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("extends: glue-rte\nmodel: {readout: mean, dropout: 0.3}\ntrain: {epochs: 7}\n")
    config = started(source(tmp_path / "run"), preset=str(preset)).config
    assert (config.model.readout.kind, config.model.dropout, config.train.epochs) == ("mean", 0.3, 7)
    assert (config.data.name, config.data.subset, config.data.path, config.data.seq_len) == ("glue", "rte", None, 16)


def test_settings_still_win_where_they_leave_the_body_alone(tmp_path: Path) -> None:
    config = started(source(tmp_path / "run"), "model.dropout=0.2", "model.readout=mean", "model.dim=24").config
    assert (config.model.dropout, config.model.readout.kind, config.model.dim) == (0.2, "mean", 24)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.dim=48", "has model.dim 24 as variant 'baseline', and this run 48 as 'baseline'; accepted: --variant"),
        ("model.depth=2", "has model.depth 3 as variant 'baseline', and this run 2 as 'baseline'"),
        ("model.norm=pre", "has model.norm {'kind': 'post', 'eps': 1e-12} as variant 'baseline', and this run {'kind'"),
    ],
)
def test_a_setting_that_changes_the_body_is_refused(tmp_path: Path, refusal: Refused, setting: str, said: str) -> None:
    source(tmp_path / "run")
    assert refusal("run", setting).startswith(f"--init run: {said}")


def test_another_variant_is_refused_naming_the_right_one(tmp_path: Path, refusal: Refused) -> None:
    source(tmp_path / "run", *SIZES, variant="symmetric-pairwise")
    source(tmp_path / "plain")
    assert refusal("run") == (
        "--init run: has model.similarity {'kind': 'pairwise', 'noise': 0.02} as variant 'symmetric-pairwise', and "
        "this run 'separate' as 'baseline'; accepted: --variant symmetric-pairwise and no other sizes"
    )
    assert refusal("plain", variant="no-mlp").endswith("accepted: --variant baseline and no other sizes")
    config = started(tmp_path / "run", variant="symmetric-pairwise").config
    assert config.baseline is not None and config.model.similarity.kind == "pairwise"
    assert config.baseline == started(tmp_path / "plain").config.model  # shares of parameters refer to its equal


def test_a_run_without_its_result_is_refused(tmp_path: Path, refusal: Refused) -> None:
    RunFolder(source(tmp_path / "run")).result.unlink()
    assert refusal("run") == "--init run: its run is not finished; accepted: the folder of a finished run"


@pytest.mark.parametrize("name", ["absent", "folder", "file", ".", "file/below", "a" * 5000])
def test_what_is_no_run_folder_is_refused(tmp_path: Path, refusal: Refused, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    said = "cannot be looked at: File name too long" if len(name) > 1000 else "is no run folder; accepted: the folder"
    assert refusal(name).startswith(f"--init {name}: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "run description run/run.json is damaged: "),
        (b"[]", "run description run/run.json is damaged: expected a JSON object"),
        (b"\xff", "run description run/run.json is damaged: "),
        (b'{"format": 1}', "run/run.json has format version 1; this minform reads versions 2 and 3"),
        (b'{"format": 2}', "run description run/run.json is damaged: it is not what was written"),
        (written({"preset": "x", "data": {"name": 3}}), "run/run.json: data.name: Input should be a valid string; the"),
        (
            written({"preset": "x", "data": {"name": "text"}, "model": {"norm": "pots"}}),
            "run/run.json: model.norm: Value error, unknown norm 'pots'",
        ),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(tmp_path: Path, refusal: Refused, content: bytes, said: str) -> None:
    RunFolder(source(tmp_path / "run")).meta.write_bytes(content)
    assert refusal("run").startswith(f"--init run: {said}")


def test_a_run_on_images_is_refused_by_a_preset_of_text(tmp_path: Path, refusal: Refused) -> None:
    source(tmp_path / "run", "train.epochs=1", preset="debug")
    assert refusal("run") == (
        "model.embedding 'patches' takes images, and SST-2 (GLUE) is text; accepted: tokens, h-softpos"
    )


def test_a_text_longer_than_the_positions_of_the_run_is_refused(tmp_path: Path, refusal: Refused) -> None:
    source(tmp_path / "run")
    assert refusal("run", "data.seq_len=21") == (
        "data.seq_len 21 of SST-2 (GLUE) is more than the 20 positions of model.position; accepted: 1 to 20"
    )


def test_where_the_source_lies_is_no_part_of_a_runs_identity(tmp_path: Path) -> None:
    one, other = started(source(tmp_path / "one")).config, started(source(tmp_path / "else" / "two")).config
    assert one != other
    assert one.identity() == other.identity()
    alone = one.model_copy(update={"init": None})
    assert alone.identity() != one.identity()


def test_a_config_with_a_start_reads_back_equal(tmp_path: Path) -> None:
    config = started(source(tmp_path / "run", *SIZES, variant="no-mlp"), variant="no-mlp").config
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_run_still_to_come_gives_what_the_finished_one_gives(tmp_path: Path) -> None:
    run = source(tmp_path / "run")
    planned = Start(run, resolve("bert-tiny", "baseline", SIZES).config)
    assert resolve("glue-sst2", "baseline", ("data.seq_len=16",), 5, planned).config == started(run).config
