"""Whatever call to the disk fails while a command writes: no half file, one line, and the command again is whole.

Each command is done with a disk that fails at one call, or from it on, and in a process that ends there; and once more
with a disk that is whole. What it leaves then is what an undisturbed one leaves.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from minform_cli.config.presets import resolve
from minform_cli.training.run import train
from tests.cli.commands import Command, Outcome
from tests.soak.scale import reached, tries
from tests.training.faults import WAYS, Died, EveryCall, another_process, sampled

SMALL = ("data.limit=40", "train.epochs=1", "train.warmup_epochs=0", "train.batch_size=20", "model.depth=1")
SET = [word for setting in SMALL for word in ("--set", setting)]
RUNS = ["--preset", "debug", *SET, "--device", "cpu", "--threads", "1"]
STUDY = ["compare", *RUNS, "--variant", "no-mlp", "--seeds", "2", "--jobs", "1", "--format", "json"]


def nothing(place: Path, finished: Path) -> None:
    """It begins with nothing."""


def a_study(place: Path, finished: Path) -> None:
    """Its runs are trained; tables and report are missing."""
    shutil.copytree(finished.parent / "study", place / "out")


def an_older_report(place: Path, finished: Path) -> None:
    """Likewise, and what is there is of fewer runs."""
    a_study(place, finished)
    for path in (finished.parent / "older").iterdir():
        if path.is_file() and path.name[0] != ".":
            shutil.copy(path, place / "out" / path.name)


def a_table(place: Path, finished: Path) -> None:
    """Scores of another tool's runs."""
    rows = [
        f"{variant},{seed},{0.9 + seed / 100 + place_ / 50}" for place_, variant in enumerate("ab") for seed in range(3)
    ]
    (place / "runs.csv").write_text("\n".join(["variant,seed,accuracy", *rows]) + "\n")


def as_of_transformers(place: Path, finished: Path) -> None:
    """The run's model as another library has it."""
    shutil.copytree(finished.parent / "hf", place / "hf")


Case = tuple[Callable[[Path, Path], None], Callable[[Path, Path], list[str]]]

CASES: dict[str, Case] = {
    "train": (nothing, lambda out, run: ["train", *RUNS, "--out", str(out)]),
    "export": (nothing, lambda out, run: ["export", str(run), "--out", str(out)]),
    "export onnx": (nothing, lambda out, run: ["export", str(run), "--format", "onnx", "--out", str(out)]),
    "export hf": (nothing, lambda out, run: ["export", str(run), "--format", "hf", "--out", str(out)]),
    "export torch-export": (
        nothing,
        lambda out, run: ["export", str(run), "--format", "torch-export", "--out", str(out)],
    ),
    "import": (nothing, lambda out, run: ["import", f"run:{run}", "--out", str(out)]),
    "import hf": (as_of_transformers, lambda out, run: ["import", f"hf:{out.parent / 'hf'}", "--out", str(out)]),
    "table": (
        a_table,
        lambda out, run: ["compare", "--table", str(out.parent / "runs.csv"), "--format", "json", "--out", str(out)],
    ),
    "heal": (
        nothing,
        lambda out, run: [
            "reduce",
            str(run),
            *["--budget", "60%", "--heal", "3", "--threads", "1", "--out"],
            str(out),
        ],
    ),
    "reduce": (
        nothing,
        lambda out, run: ["reduce", str(run), "--variant", "symmetric", "--threads", "1", "--out", str(out)],
    ),
    "report": (a_study, lambda out, run: [*STUDY, "--out", str(out)]),
    "report anew": (an_older_report, lambda out, run: [*STUDY, "--out", str(out)]),
    "search": (
        nothing,
        lambda out, run: [
            "search",
            *RUNS,
            "--budget",
            "90%",
            "--trials",
            "2",
            "--axis",
            "mlp=gelu,none",
            "--jobs",
            "1",
            "--out",
            str(out),
        ],
    ),
}


WRITE_ONCE = ("export", "import", "reduce", "heal")
"""Those that write to no folder in which there is anything."""

LONG = ("export onnx", "export torch-export", "heal")
"""Those that take a second or more each time."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run; beside it a study whose tables are missing, and the tables of one with fewer seeds."""
    import minform_cli

    folder = tmp_path_factory.mktemp("finished")
    train(resolve("debug", settings=SMALL).config, folder / "run", device="cpu", threads=1)
    minform_cli.export(folder / "run", "hf", folder / "hf", threads=1)
    for name, seeds in (("older", 1), ("study", 2)):
        asked = {"preset": "debug", "variants": ["no-mlp"], "settings": SMALL, "seeds": seeds, "jobs": 1, "threads": 1}
        minform_cli.compare(minform_cli.StudyOptions(out=folder / name, device="cpu", **asked))
    for path in (folder / "study").iterdir():
        if path.is_file() and path.name not in ("study.json", ".lock"):
            path.unlink()
    return folder / "run"


def found(place: Path) -> dict[str, bytes]:
    """What there is, but for locks: every file by its name, folders by theirs."""
    return {
        str(path.relative_to(place)): path.read_bytes() if path.is_file() else b"a folder"
        for path in sorted(place.rglob("*"))
        if path.name != ".lock" and path.suffix != ".lock"
    }


def is_temporary(name: str) -> bool:
    return any(part.startswith(".") and part.endswith((".tmp", ".old")) for part in Path(name).parts)


def check_whole(files: dict[str, bytes], said: object) -> None:
    """No half file under a name that anybody reads."""
    for name, content in files.items():
        if is_temporary(name):
            continue
        if name.endswith(".json"):
            assert isinstance(json.loads(content), dict | list), (name, said)
        if name.endswith(".html"):
            assert content.rstrip().endswith(b"</html>"), (name, said)


def differ(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    return sorted(name for name in first if second.get(name) != first[name])


class Tried:
    """A command with a place of its own, where it begins with what `prepare` leaves."""

    def __init__(self, case: str, place: Path, finished: Path) -> None:
        prepare, arguments = CASES[case]
        place.mkdir()
        prepare(place, finished)
        self.case, self.place, self.words = case, place, arguments(place / "out", finished)

    def found(self) -> dict[str, bytes]:
        return {name: text.replace(str(self.place).encode(), b"HERE") for name, text in found(self.place).items()}

    def again(self, minform: Command) -> Outcome:
        """The same command, as its own advice says; a folder that is whole is not written to."""
        outcome = minform(*self.words)
        if outcome.code == 2 and "--resume" in outcome.err:
            outcome = minform(*self.words, "--resume")
        if outcome.code == 2 and "is not empty" in outcome.err and self.case.split()[0] in WRITE_ONCE:
            outcome = Outcome(0, "", "")
        return outcome


def check_said(outcome: Outcome, how: int | str, said: object) -> None:
    """What went wrong is one line, the last one: the disk did, or what was written may not be read back."""
    may_not_be_read = isinstance(how, int) and how != errno.EIO and os.strerror(how) in outcome.err
    assert outcome.code in (0, 4) or (outcome.code == 2 and may_not_be_read), said
    if outcome.code:
        *before, last = outcome.err.splitlines()
        assert last.startswith("minform: ") and last.isprintable(), said
        assert not [line for line in before if line.startswith(("minform: ", "Traceback"))], said


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.soak) if case in LONG else case for case in CASES]
)
def test_whatever_call_of_a_command_fails_it_is_one_line_and_the_same_command_again_is_whole(
    case: str, tmp_path: Path, finished: Path, minform: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed: list[dict[str, bytes]] = []
    calls = 0
    for name in ("first", "second"):
        tried = Tried(case, tmp_path / name, finished)
        with pytest.MonkeyPatch.context() as patch:
            disk = EveryCall(tried.place, patch)
            assert minform(*tried.words).code == 0
        calls = disk.calls
        undisturbed.append(tried.found())
    right = undisturbed[0]
    assert right.keys() == undisturbed[1].keys()
    assert not [name for name in right if is_temporary(name)]
    own = differ(*undisturbed)  # times are in them
    faults = sampled(itertools.product(range(1, calls + 1), WAYS), tries(9))
    for call, (how, lasting) in faults:
        tried = Tried(case, tmp_path / f"{call}-{how}-{lasting}", finished)
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            disk = EveryCall(tried.place, patch, call, how, lasting)
            outcome = None
            try:
                outcome = minform(*tried.words)
            except Died:
                capsys.readouterr()
        said = (outcome, call, how, lasting, disk.names[max(0, call - 3) : call + 3])
        after = found(tried.place)
        check_whole(after, said)
        lost = set()
        if outcome is not None:
            check_said(outcome, how, said)
            assert lasting or not [name for name in after if is_temporary(name)], (said, list(after))
            # A picture that fails costs the picture.
            lost = {name for name in right if name.endswith(".png") and f"no {Path(name).name}: " in outcome.err}
        again = tried.again(minform)
        assert again.code == 0, (again, said)
        at_last = tried.found()
        assert at_last.keys() ^ right.keys() <= lost, said
        assert {*differ(right, at_last)} <= {*own, *lost}, said
        shutil.rmtree(tried.place)
    reached("R2", len(faults))


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.soak) if case in LONG else case for case in CASES]
)
def test_a_signal_at_whatever_call_of_a_command_is_one_line_and_its_code_and_leaves_nothing_temporary(
    case: str, tmp_path: Path, finished: Path, minform: Command
) -> None:
    undisturbed = Tried(case, tmp_path / "right", finished)
    with pytest.MonkeyPatch.context() as patch:
        disk = EveryCall(undisturbed.place, patch)
        assert minform(*undisturbed.words).code == 0
    right = undisturbed.found().keys()
    points = sampled(itertools.product(range(1, disk.calls + 1), CODES), tries(5))
    for call, signum in points:
        tried = Tried(case, tmp_path / f"{call}-{signum}", finished)
        with pytest.MonkeyPatch.context() as patch:
            disk = EveryCall(tried.place, patch, call, signum)
            outcome = minform(*tried.words)
        said = (outcome, call, signum, disk.names[max(0, call - 3) : call + 3])
        assert outcome.code == CODES[signum] or (outcome.code == 0 and found(tried.place).keys() == right), said
        if outcome.code:
            assert outcome.err.splitlines()[-1].startswith("minform: "), said
        assert "Traceback" not in outcome.err, said
        files = found(tried.place)
        check_whole(files, said)
        assert not [name for name in files if is_temporary(name)], (said, list(files))
        again = tried.again(minform)
        assert again.code == 0, (again, said)
        assert tried.found().keys() == right, said
        shutil.rmtree(tried.place)
    reached("R9", len(points))
