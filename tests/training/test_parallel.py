"""One model trained by several processes: the numbers of one process, one voice, and an end for all."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minform_cli.config.schema import DataConfig, TrainConfig
from minform_cli.data.batch import Share
from minform_cli.data.images.image_batches import ImageBatches
from minform_cli.data.load import load_data
from minform_cli.data.spec import spec_for
from minform_cli.files import RunFolder
from minform_cli.models.build import build_model
from minform_cli.runs.checkpoint import read_checkpoint
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.runs.tensors import weights_of
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.launch import Launch
from minform_cli.training.parallel import joined
from minform_cli.training.run import train
from minform_cli.training.runtime import environment
from minform_cli.training.step import Stepper
from minform_cli.training.team import Team
from tests.training.conftest import SETTINGS, bits, lines, stopped, tiny
from tests.training.launching import Launched, free_port, launch
from tests.waiting import until
from tests.zoo import IMAGE_VARIANTS

# Without dropout, which differs between processes; with augmentation, which must not.
EXACT = ("model.dropout=0", "data.crop_padding=1")
EAGER = ("train.checkpoint_every_s=0", "train.epochs=6")
CPU = torch.device("cpu")


def command(out: Path, *more: str) -> list[str]:
    """Arguments of the `tiny` run in the folder `out`; of `more`, those with a ``=`` are settings."""
    settings = [word for word in (*SETTINGS, *more) if not word.startswith("-")]
    options = [word for word in more if word.startswith("-")]
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["train", "--preset", "debug", *sets, "--out", str(out), "--device=cpu", "--threads=1", *options]


def start(out: Path, *more: str, size: int = 2, held: Collection[int] = ()) -> Launched:
    return launch(out.with_suffix(".process"), *[command(out, *more)] * size, held=held)


def finish(out: Path, *more: str, size: int = 2) -> Launched:
    """A launch that must succeed."""
    launched = start(out, *more, size=size)
    assert launched.codes() == [0] * size, launched.printed()
    return launched


def weights(out: Path) -> dict[str, torch.Tensor]:
    folder = RunFolder(out)
    return load_file(out / read_checkpoint(folder, read_meta(folder)["sha256"]).files["weights"]["name"])


def messages(launched: Launched) -> list[list[str]]:
    """What each process said on stderr, progress left out."""
    texts = [text.splitlines() for text in launched.printed()]
    return [[line for line in text if line.startswith("minform: ") or "Error" in line] for text in texts]


# 110 examples in batches of 25: the last one has 10. Of 101, it has one: the other processes have nothing to train on.
@pytest.mark.parametrize(("size", "limit"), [(2, 110), (3, 101)])
def test_several_processes_compute_what_one_does(tmp_path: Path, size: int, limit: int) -> None:
    train(tiny(*EXACT, f"data.limit={limit}"), tmp_path / "one", device="cpu", threads=1)
    finish(tmp_path / "many", *EXACT, f"data.limit={limit}", size=size)
    one, many = weights(tmp_path / "one"), weights(tmp_path / "many")
    assert one.keys() == many.keys()
    # Sums in another order differ by 1e-7 of their largest term, and Adam divides by the gradient's own size: what is
    # small in all terms can come out several times as far off. A lost or doubled example is off by 1e-2.
    for name, tensor in one.items():
        torch.testing.assert_close(many[name], tensor, rtol=1e-4, atol=1e-5)
    ours, theirs = (lines(tmp_path / name / "metrics.jsonl") for name in ("many", "one"))
    assert ours == [pytest.approx(line, rel=1e-5) for line in theirs]
    test = [read_result(tmp_path / name)["metrics"]["test_loss"] for name in ("one", "many")]
    assert test[1] == pytest.approx(test[0], rel=1e-5)


def test_a_launch_of_one_process_has_the_bits_of_no_launch(tmp_path: Path, undisturbed: Path) -> None:
    finish(tmp_path / "run", size=1)
    assert bits(tmp_path / "run") == bits(undisturbed)


def test_processes_draw_different_dropout() -> None:
    def loss(rank: int, dropout: float) -> float:
        team = Team(StopRequest())
        team.rank = rank
        config = tiny(f"model.dropout={dropout}")
        torch.manual_seed(0)
        stepper = Stepper(build_model(config, spec_for(config)), config, spec_for(config), 5, team)
        return stepper.take(0, next(batches(Share()).epoch(0)))[0]

    assert loss(0, 0.1) != loss(1, 0.1)
    assert loss(0, 0.0) == loss(1, 0.0)


def batches(share: Share, batch_size: int = 25) -> ImageBatches:
    data = DataConfig(name="digits", limit=110, crop_padding=1, horizontal_flip=True)
    return ImageBatches(load_data(data), data, TrainConfig(batch_size=batch_size, eval_batch_size=7), 0, CPU, share)


@pytest.mark.parametrize("parts", [1, 2, 3, 12])
def test_the_parts_of_a_batch_are_the_batch_augmented_alike(parts: int) -> None:
    shares = [batches(Share(number, parts)) for number in range(parts)]
    for whole, *cut in zip(batches(Share()).epoch(2, 1), *(share.epoch(2, 1) for share in shares), strict=True):
        assert torch.equal(torch.cat([part.inputs[0] for part in cut]), whole.inputs[0])
        assert torch.equal(torch.cat([part.labels for part in cut]), whole.labels)
        assert {part.size for part in cut} == {len(whole.labels)}
        sizes = [len(part.labels) for part in cut]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("parts", [2, 12])
def test_every_example_is_measured_by_one_process(parts: int) -> None:
    seen = [batch for number in range(parts) for batch in batches(Share(number, parts)).evaluation("val")]
    assert all(len(batch.labels) for batch in seen)
    sums = [
        torch.cat([batch.inputs[0] for batch in made]).double().sum()
        for made in (seen, batches(Share()).evaluation("val"))
    ]
    assert sum(len(batch.labels) for batch in seen) == 270
    torch.testing.assert_close(*sums)


@pytest.mark.parametrize("variant", IMAGE_VARIANTS)
def test_every_variant_has_the_gradients_of_one_process(variant: str) -> None:
    """With `DistributedDataParallel` in between: a parameter that it misses, or sees twice, would stop it."""
    config = tiny("model.dropout=0", variant=variant)
    steppers: list[Stepper] = []
    with StopRequest() as stop, joined(Launch(0, 1, 0, "127.0.0.1", free_port()), stop) as team:
        for each in (team, None):
            torch.manual_seed(0)
            stepper = Stepper(build_model(config, spec_for(config)), config, spec_for(config), 5, each)
            for step, batch in enumerate(batches(Share()).epoch(0)):
                stepper.take(step, batch)
            steppers.append(stepper)
    parallel, alone = (weights_of(stepper.model) for stepper in steppers)
    assert all(torch.equal(parallel[name], alone[name]) for name in alone)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("three") / "run"
    finish(folder, *EAGER, size=3)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("number", "ranks", "code"), [(signal.SIGTERM, (0, 1, 2), 143), (signal.SIGINT, (1,), 130)])
def test_a_signal_to_any_process_stops_all_at_one_step_from_which_they_go_on(
    tmp_path: Path, three: Path, number: int, ranks: Sequence[int], code: int
) -> None:
    out = tmp_path / "run"
    launched = start(out, *EAGER, size=3, held=ranks)
    signal_at_first_checkpoint(launched, out, number, ranks)
    assert launched.codes() == [code] * 3
    first, *others = messages(launched)
    assert others == [[], []]
    step = read_checkpoint(RunFolder(out), read_meta(RunFolder(out))["sha256"]).state.step
    assert 0 < step < 30
    name = signal.Signals(number).name
    assert first == [f"minform: {name}: saved at step {step} of 30; to go on, repeat the command with --resume"]
    launched = finish(out, *EAGER, "--resume", size=3)
    assert f"going on from step {step}\n" in launched.printed()[0]
    assert bits(out) == bits(three)


def signal_at_first_checkpoint(launched: Launched, out: Path, number: int, ranks: Sequence[int]) -> None:
    alive = launched.processes[0].is_alive
    until(lambda: RunFolder(out).checkpoint.exists() or not alive(), "a checkpoint", pause_s=0.001)
    for rank in ranks:
        pid = launched.processes[rank].pid
        assert pid is not None
        os.kill(pid, number)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_the_run_goes_on_from_the_checkpoint(
    tmp_path: Path, three: Path
) -> None:
    out = tmp_path / "run"
    launched = start(out, *EAGER, size=3, held=[2])
    signal_at_first_checkpoint(launched, out, signal.SIGKILL, [2])
    assert launched.codes() == [4, 4, -9]
    for rank, said in enumerate(messages(launched)[:2]):
        assert said == [
            f"minform: process {rank} of 3 lost contact with another, which ended or does not answer; "
            "the last checkpoint stays"
        ]
    finish(out, *EAGER, "--resume", size=3)
    assert bits(out) == bits(three)


def test_the_first_process_alone_writes_and_prints_and_says_how_many_there_are(three: Path) -> None:
    launched = Launched([None] * 3, three.with_suffix(".process"))  # type: ignore[list-item]
    first, *others = launched.printed("stdout")
    assert first.count("validation (270)") == 1 and others == ["", ""]
    first, *others = launched.printed()
    assert first.count("\nepoch ") == 6 and "device: cpu, 3 processes" in first and others == ["", ""]
    assert len(lines(three / "metrics.jsonl")) == len(lines(three / "timings.jsonl")) == 6
    for record in (read_meta(RunFolder(three)), read_result(three)):
        assert record["environment"]["processes"] == 3
    assert not list(three.glob(".*.tmp"))


def test_a_finished_run_is_not_begun_again(three: Path) -> None:
    before = (three / "result.json").stat().st_mtime_ns
    assert "is finished: nothing to do" in finish(three, *EAGER, "--resume", size=2).printed()[0]
    assert (three / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["model.dmi=3"], 2, "did you mean"),  # found before torch is imported
        (["data.limit=0"], 2, "data.limit"),
        (["train.learning_rate=1e30"], 3, "is not finite at step"),
        (["--device=cuda:0"], 2, "--device cuda:0: each process of a launch has its own"),
        (["--out=/proc/nothing"], 4, "cannot write to /proc/nothing"),
    ],
)
def test_what_all_processes_meet_is_said_once_and_ends_all(
    tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    launched = start(tmp_path / "run", *arguments)
    assert launched.codes() == [code] * 2
    first, others = messages(launched)
    assert len(first) == 1 and reason in first[0] and others == []
    assert not RunFolder(tmp_path / "run").result.exists()


def test_what_one_process_meets_is_said_by_the_first_and_ends_all(tmp_path: Path) -> None:
    mine, others = command(tmp_path / "run"), command(tmp_path / "run", "data.limit=100")
    launched = launch(tmp_path / "process", mine, others)
    assert launched.codes() == [2, 2]
    first, second = messages(launched)
    assert len(first) == 1 and first[0].startswith("minform: process 1: ") and "the data differ" in first[0]
    assert second == []


def test_a_folder_in_use_is_refused_once(tmp_path: Path, undisturbed: Path) -> None:
    launched = launch(tmp_path / "process", *[command(undisturbed)] * 2)
    assert launched.codes() == [2, 2]
    first, second = messages(launched)
    assert len(first) == 1 and "is not empty: --resume" in first[0] and second == []


def test_a_dry_run_is_shown_once_and_writes_nothing(tmp_path: Path) -> None:
    launched = finish(tmp_path / "run", "--dry-run")
    first, second = launched.printed("stdout")
    assert "data.limit" in first and second == ""
    assert not (tmp_path / "run").exists()


def test_going_on_with_another_number_of_processes_is_told_and_earlier_runs_count_as_one(tmp_path: Path) -> None:
    def earlier(*arguments: Any) -> dict[str, Any]:
        return {key: value for key, value in environment(*arguments).items() if key != "processes"}

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("minform_cli.training.run.environment", earlier)
        stopped(tmp_path / "run", 7)
    launched = finish(tmp_path / "run", "--resume")
    assert "the run began with processes 1, this is 2: results are equal to the bit only" in launched.printed()[0]


@pytest.mark.slow
def test_torchrun_trains_one_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, "-m", "minform_cli", *command(out)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters") == 1 and done.stderr.count("epoch 3/3") == 1
    finish(tmp_path / "same")
    assert bits(out) == bits(tmp_path / "same")
