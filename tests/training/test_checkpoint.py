"""Checkpoints: whole at every moment, exact, and never silently wrong."""

import itertools
import random
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError, MachineError
from minform_cli.files import RunFolder
from minform_cli.models.build import build_model
from minform_cli.runs import folder as run_folder
from minform_cli.runs.checkpoint import (
    Best,
    CheckpointStore,
    State,
    read_checkpoint,
    remove_unnamed,
    restore,
)
from minform_cli.runs.journal import Journal
from minform_cli.runs.tensors import moments_of, read_tensors, weights_of
from minform_cli.training.optim import make_optimizer
from minform_cli.training.run import train
from tests.soak.scale import reached, seed, tries
from tests.training.conftest import tiny
from tests.training.faults import ERRORS, Died, Disk

NUM_DAMAGES = tries(10_000)


def make(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    config = tiny()
    model = build_model(config, spec_for(config))
    return model, make_optimizer(model, config.train)


def advance(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


class Run:
    """A run folder with a model whose checkpoints the tests save and load."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.folder = RunFolder(path)
        self.model, self.optimizer = make()
        self.metrics = Journal(self.folder.metrics)
        self.store = CheckpointStore(self.folder, "run", [self.metrics])

    def save(self, step: int) -> None:
        state = State(step=step, epoch=step, loss_sum=step / 3, best=Best(step, 0.5, 1.0 / step))
        weights = weights_of(self.model)
        self.store.save(state, weights, moments_of(self.model, self.optimizer), weights)


def contents(path: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """What a fresh process finds: the step, and every number of the checkpoint."""
    folder = RunFolder(path)
    checkpoint = read_checkpoint(folder, "run")
    Journal(folder.metrics, checkpoint.journals["metrics.jsonl"])
    model, optimizer = make(seed=99)
    restore(folder, checkpoint, model, optimizer)
    best = read_tensors(folder, checkpoint.files["best"], weights_of(model))
    assert checkpoint.state.best == Best(checkpoint.state.step, 0.5, 1.0 / checkpoint.state.step)
    return checkpoint.state.step, {
        **{f"last {k}": v.clone() for k, v in weights_of(model).items()},
        **{f"best {k}": v for k, v in best.items()},
        **moments_of(model, optimizer),
    }


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    run = Run(tmp_path)
    advance(run.model, run.optimizer)
    run.metrics.append({"epoch": 1})
    run.save(1)
    step, found = contents(tmp_path)
    moments = moments_of(run.model, run.optimizer)
    assert step == 1
    assert len(moments) == 3 * len(list(run.model.parameters()))
    assert all(torch.equal(found[f"last {name}"], value) for name, value in weights_of(run.model).items())
    assert all(torch.equal(found[name], value) for name, value in moments.items())


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Run(tmp_path / name).save(1)
    for file in ("weights-1.safetensors", "best-1.safetensors", "optimizer-1.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_save_leaves_only_the_files_of_its_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    (tmp_path / "weights-9.safetensors").write_bytes(b"left by a killed process")
    (tmp_path / ".weights-9.safetensors.77.tmp").write_bytes(b"left by a killed process")
    (tmp_path / "mine.safetensors").write_bytes(b"not ours")
    advance(run.model, run.optimizer)
    run.save(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best-2.safetensors", "checkpoint.json", "metrics.jsonl", "mine.safetensors",
        "optimizer-2.safetensors", "weights-2.safetensors",
    ]  # fmt: skip


def test_everything_a_checkpoint_names_is_on_disk_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.metrics.append({"epoch": 1})
    disk = Disk(monkeypatch)
    run.save(1)
    atomic = ["open", "write", "flush", "fsync", "replace", "open", "fsync"]  # the last two: the folder's own entry
    journal = ["open", "fsync"]
    assert [name.split()[0] for name in disk.names] == [*atomic * 3, *journal, *atomic]
    assert "checkpoint.json" in disk.names[-7]


@pytest.mark.parametrize(("how", "lasting"), [("die", False), *itertools.product(ERRORS, [False, True])])
def test_whatever_call_of_a_save_fails_the_old_or_the_new_checkpoint_is_whole(
    tmp_path: Path, how: int | str, lasting: bool
) -> None:
    run = Run(tmp_path / "0")
    advance(run.model, run.optimizer)
    run.metrics.append({"epoch": 1})
    run.save(1)
    _, old = contents(tmp_path / "0")
    torch.manual_seed(5)
    advance(run.model, run.optimizer)
    outcomes: list[int] = []
    call = 0
    for call in range(1, 1000):
        path = tmp_path / str(call)
        shutil.copytree(tmp_path / "0", path)
        folder = RunFolder(path)
        checkpoint = read_checkpoint(folder, "run")
        again = Run.__new__(Run)
        again.folder, again.model, again.optimizer = folder, run.model, run.optimizer
        again.metrics = Journal(folder.metrics, checkpoint.journals["metrics.jsonl"])
        again.store = CheckpointStore(folder, "run", [again.metrics], checkpoint)
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk = Disk(monkeypatch, call, how, lasting)
            failed = False
            try:
                again.metrics.append({"epoch": 2})
                again.save(2)
            except MachineError as error:
                failed = True
                assert "\n" not in str(error) and error.exit_code == 4
            except Died:
                failed = True
        step, found = contents(path)
        outcomes.append(step)
        new = {**{f"{k} {n}": w for n, w in weights_of(run.model).items() for k in ("last", "best")}}
        new |= moments_of(run.model, run.optimizer)
        assert equal(found, old if step == 1 else new), (call, disk.names[-1])
        assert failed or step == 2
        if failed and how != "die" and not lasting:
            assert not list(path.glob(".*.tmp")), (call, disk.names)
        remove_unnamed(folder, read_checkpoint(folder, "run").files)
        assert len(list(path.glob("*.safetensors"))) == 3 and not list(path.glob(".*.tmp"))
        if disk.calls < call:
            break
    assert outcomes == sorted(outcomes) and {*outcomes} == {1, 2}
    reached("R2", call)
    assert call > 25  # 4 files, each: open, write, flush, sync, rename, sync of the folder; the journal; deletions


def damage(path: Path, rng: random.Random) -> str:
    """Damages one file of a run folder the way disks, copies and editors do."""
    names = sorted(p.name for p in path.iterdir() if p.is_file() and p.name != ".lock")
    target = path / rng.choice([*names, *[n for n in names if n.endswith(".json")]])
    content = bytearray(target.read_bytes())
    kind = rng.choice(["flip", "flip", "flip", "digit", "cut", "extend", "zeros", "delete", "swap"])
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "digit":
        digits = [i for i, byte in enumerate(content) if chr(byte).isdecimal()]
        content[rng.choice(digits)] = ord(rng.choice("0123456789"))
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "extend":
        content += rng.randbytes(rng.randrange(1, 50))
    elif kind == "zeros":
        start = rng.randrange(len(content))
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    elif kind == "delete":
        target.unlink()
        return f"{kind} {target.name}"
    elif kind == "swap":
        content = bytearray((path / rng.choice(names)).read_bytes())
    target.write_bytes(content)
    return f"{kind} {target.name}"


@pytest.mark.slow
def test_a_damaged_run_folder_is_refused_in_one_line_or_loads_to_the_same_bits(tmp_path: Path) -> None:
    config = tiny("train.checkpoint_every_s=0")
    good = tmp_path / "good"
    train(config, good, threads=1)
    (good / "result.json").unlink()
    model, optimizer = make(seed=99)

    def load(path: Path) -> tuple[object, dict[str, torch.Tensor]]:
        folder = RunFolder(path)
        meta = run_folder.look(folder, config, resume=True)
        assert meta is not None
        checkpoint = read_checkpoint(folder, meta["sha256"])
        for journal in (folder.metrics, folder.timings):
            Journal(journal, checkpoint.journals[journal.name])
        optimizer.state.clear()  # whatever the file before left in them
        for weight in model.parameters():
            weight.data.zero_()
        restore(folder, checkpoint, model, optimizer)
        best = read_tensors(folder, checkpoint.files["best"], weights_of(model))
        numbers = {**weights_of(model), **moments_of(model, optimizer), **{f"best {k}": v for k, v in best.items()}}
        numbers = {name: tensor.clone() for name, tensor in numbers.items()}
        return (meta, asdict(checkpoint.state), folder.metrics.read_bytes()), numbers

    expected_facts, expected = load(good)
    rng = random.Random(seed())
    refused = 0
    path = tmp_path / "damaged"
    shutil.copytree(good, path)
    files = sorted(each.name for each in path.iterdir())
    for trial in range(NUM_DAMAGES):
        what = damage(path, rng)
        try:
            facts, numbers = load(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and error.exit_code == 2, (trial, what)
        else:
            assert facts == expected_facts and equal(numbers, expected), (trial, what)
        damaged = what.split()[1]
        shutil.copyfile(good / damaged, path / damaged)
        assert sorted(each.name for each in path.iterdir()) == files, (trial, what)
    assert refused > NUM_DAMAGES / 2
    reached("R4", NUM_DAMAGES)


def test_a_checkpoint_of_another_model_is_refused_with_the_first_tensor_that_differs(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    checkpoint = read_checkpoint(run.folder, "run")
    other = build_model(tiny("model.dim=8"), spec_for(tiny()))
    with pytest.raises(InputError, match=r"does not fit the model: \S+ is float32 \(.*16.*\) in the file and float32"):
        read_tensors(run.folder, checkpoint.files["weights"], weights_of(other))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).save(1)
    with pytest.raises(InputError, match="belongs to another run"):
        read_checkpoint(RunFolder(tmp_path), "another")


def test_the_best_epoch_is_the_most_accurate_then_the_one_of_lower_loss_then_the_first() -> None:
    assert Best(1, 0.5, 1.0).beaten_by(Best(2, 0.6, 9.0))
    assert Best(1, 0.5, 1.0).beaten_by(Best(2, 0.5, 0.9))
    assert not Best(1, 0.5, 1.0).beaten_by(Best(2, 0.5, 1.0))
    assert not Best(1, 0.5, 1.0).beaten_by(Best(2, 0.4, 0.1))


def test_a_journal_is_cut_back_to_its_mark(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append({"epoch": 1})
    mark = journal.sync()
    journal.append({"epoch": 2})
    again = Journal(tmp_path / "log.jsonl", mark)
    again.append({"epoch": 2, "x": 0.1})
    assert (tmp_path / "log.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2, "x": 0.1}\n'
    assert Journal(tmp_path / "log.jsonl", again.sync()).sync() == again.sync()


@pytest.mark.parametrize("content", [b"", b'{"epoch": 2}\n', b'{"epoch": 1}'])
def test_a_journal_that_does_not_begin_as_marked_is_refused(tmp_path: Path, content: bytes) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append({"epoch": 1})
    mark = journal.sync()
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"log.jsonl is damaged"):
        Journal(tmp_path / "log.jsonl", mark)
