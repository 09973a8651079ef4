"""Files as Windows writes them: a byte order mark, CR LF at the ends of lines, backslashes between folders."""

from __future__ import annotations

import codecs
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from minform_cli.config.presets import resolve
from minform_cli.data.load import load_data
from minform_cli.files import user_path
from tests.cli.commands import Command

TABLE = "model,seed,acc\nbaseline,0,0.9\nbaseline,1,0.92\nx,0,0.8\nx,1,0.85\n"
ROWS = [dict(zip(("model", "seed", "acc"), line.split(","), strict=True)) for line in TABLE.split()[1:]]
TABLES = {
    "runs.csv": TABLE,
    "runs.tsv": TABLE.replace(",", "\t"),
    "runs.jsonl": "".join(json.dumps({**row, "acc": float(row["acc"])}) + "\n" for row in ROWS),
}


def windows(text: str) -> bytes:
    return codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of variants and one of images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "narrow.yaml").write_bytes(windows("summary: narrow\nsource: here\nmodel:\n  dim: 8\n"))
    for kind in "ab":
        (tmp_path / "mine" / "faces" / kind).mkdir(parents=True)
        for number in range(8):
            picture = tmp_path / "mine" / "faces" / kind / f"{number}.png"
            Image.new("RGB", (8, 8), (9 * number, 0, ord(kind))).save(picture)
    return tmp_path


def test_a_preset_a_variant_and_a_study_are_read(place: Path, minform: Command) -> None:
    shipped = Path(__file__).parents[1] / "presets" / "debug.yaml"
    (place / "mine" / "preset.yaml").write_bytes(windows(shipped.read_text(encoding="utf-8")))
    study = 'preset: "mine\\\\preset.yaml"\nvariants: [baseline, "mine\\\\narrow.yaml"]\nseeds: 1\n'
    (place / "study.yaml").write_bytes(windows(study))
    assert minform("compare", "--study", "study.yaml", "--out", "out", "-q").code == 0
    assert {row["variant"] for row in json.loads((place / "out" / "table.json").read_text())} == {
        "baseline",
        "mine\\narrow.yaml",
    }
    assert resolve("mine\\preset.yaml", "mine\\narrow.yaml").config.model.dim == 8


def test_backslashes_separate_the_folders_of_data(place: Path) -> None:
    settings = ["data.name=image-folder", "data.limit=null", "model.patch_size=4"]
    found = [
        load_data(resolve("debug", settings=[*settings, f"data.path={path}"]).config.data)
        for path in ("mine\\faces", "mine/faces")
    ]
    assert found[0].fingerprint == found[1].fingerprint


def test_a_name_with_a_backslash_means_itself_where_it_is_there(place: Path) -> None:
    odd = place / "mine\\narrow.yaml"
    assert user_path("mine\\narrow.yaml") == Path("mine/narrow.yaml")
    odd.write_text("summary: odd\n")
    assert user_path("mine\\narrow.yaml") == Path("mine\\narrow.yaml")
    assert user_path("no\\such") == Path("no\\such")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read(name: str, place: Path, minform: Command) -> None:
    (place / name).write_bytes(windows(TABLES[name]))
    (place / "plain").mkdir()
    (place / "plain" / name).write_text(TABLES[name], encoding="utf-8")
    found = [
        json.loads(minform("compare", "--table", path, "--format", "json").out) for path in (name, f"plain/{name}")
    ]
    assert found[0] == found[1]


def test_a_run_whose_texts_were_rewritten_is_measured_and_listed_and_goes_on_only_by_its_own_bytes(
    place: Path, minform: Command
) -> None:
    """As `git` does on Windows where nobody told it otherwise."""
    command = ("train", "--preset", "debug", "--set", "train.epochs=2", "--quiet")
    assert minform(*command, "--out", "run").code == 0
    shutil.copytree("run", "copy")
    rewritten = [path for path in (place / "copy").iterdir() if path.suffix in (".json", ".jsonl", ".yaml")]
    for path in rewritten:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(rewritten) >= 6
    measured = [json.loads(minform("eval", run, "--format", "json").out) for run in ("run", "copy")]
    assert [each["measured"] for (each,) in measured] == [measured[0][0]["measured"]] * 2
    assert [row["state"] for row in json.loads(minform("runs", "copy", "--json").out)] == ["finished"]
    (place / "copy" / "result.json").unlink()
    refused = minform(*command, "--out", "copy", "--resume")
    assert refused.code == 2 and "copy/metrics.jsonl is damaged" in refused.refusal
    for path in filter(Path.exists, rewritten):
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert minform(*command, "--out", "copy", "--resume").code == 0
    results = [json.loads((place / run / "result.json").read_text()) for run in ("run", "copy")]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]
    assert results[0]["metrics"] == results[1]["metrics"]
