"""What a real run refuses, a dry run refuses with the same line; neither has written anything by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import TINY, Command

BOTH = [
    ["--log", "nonsense"],
    ["--format", "nonsense"],
    ["--device", "nonsense"],
    ["--device", "cuda:77"],
    ["--threads", "0"],
    ["--set", "model.dmi=3"],
    ["--set", "model.heads=3"],
    ["--set", "data.limit=3"],
    ["--set", "data.name=image-folder"],
    ["--variant", "nonsense"],
    ["--variant", "minimal", "--set", "model.order=[0,0,0]"],
    ["--init", "nonsense"],
    ["--out", "file"],
    ["--out", "file/below"],
    ["--out", "x" * 300],
]
TRAIN = [["--seed", "-1"], ["--seed", str(2**31)], ["--out", "folder"], ["--out", "folder", "--resume"]]
COMPARE = [
    ["--against", "nonsense"],
    ["--against", "no-mlp"],
    ["--margin", "-1"],
    ["--margin", "inf"],
    ["--margin", "nan"],
    ["--jobs", "0"],
    ["--seeds", "0"],
    ["--seed", str(2**31)],
    ["--grid", "model.heads=1,"],
    ["--grid", "data.limit=60"],
    ["--study", "nonsense"],
    ["--pretrain", "nonsense"],
    ["--pretrain", "debug", "--init", "nonsense"],
    ["--pretrain-set", "train.epochs=1"],
    ["--plot", "picture.gif"],
    ["--plot", "absent/picture.png"],
    ["--plot", "folder"],
]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["train", *TINY, *arguments] for arguments in (*BOTH, *TRAIN)),
        *(["compare", *TINY, "--variant", "minimal", *arguments] for arguments in (*BOTH, *COMPARE)),
    ],
    ids=" ".join,
)
def test_a_dry_run_refuses_what_a_run_refuses(
    arguments: list[str], minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    Path("folder/file").touch()
    tried, done = minform(*arguments, "--dry-run", "-q"), minform(*arguments, "-q")
    assert tried == done
    assert tried.code in (2, 4) and tried.out == "" and tried.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "file", "folder"]


def test_a_folder_that_may_not_be_written_is_refused_alike(
    minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr("os.access", nowhere)  # as root, the tests may write everywhere
    for command in (["train", *TINY], ["compare", *TINY, "--variant", "minimal"]):
        outcomes = [minform(*command, "--out", str(tmp_path / "x"), *more) for more in (["--dry-run"], [])]
        assert outcomes[0] == outcomes[1]
        assert outcomes[0].code == 4
        assert outcomes[0].err == f"minform: cannot write to {tmp_path / 'x'}: {tmp_path} may not be written\n"
