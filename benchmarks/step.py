"""Steps of the same model by minform and by other libraries, interleaved, as ratios: `make bench`.

Every contender works in a process of its own and waits while another one is timed. A round takes a few steps of each
in turn; the table has medians over rounds, and the best library's over minform's. A library that is not installed is
left out and named. Exit code 1 where a gate is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.contenders import CONTENDERS, Case, config_of, macs
from benchmarks.startup import machine

CIFAR = Case(width=192, heads=3, patch=4, channels=3, side=32)
BERT = Case(kind="bert", batch=16, mlp=4, width=128, depth=2, heads=2, side=128)
PAPER = [Case(batch=batch, mlp=mlp, threads=threads) for threads in (1, 2) for batch in (64, 256) for mlp in (1, 4)]
GROUPS: dict[str, tuple[float, list[Case]]] = {
    "train": (1.0, PAPER),
    "simple-vit": (1.0, [replace(case, kind="simple-vit") for case in PAPER]),
    "cifar": (1.0, [replace(CIFAR, mlp=mlp, threads=threads) for threads in (1, 2) for mlp in (1, 4)]),
    "eval": (1.0, [Case(work="eval", batch=batch, threads=threads) for threads in (1, 2) for batch in (1, 1000)]),
    "bert": (1.2, [BERT, replace(BERT, width=512, depth=4, heads=8)]),
    "translation": (1.0, [Case(kind="translation", batch=32, mlp=4, width=128, depth=2, side=32, vocabulary=4000)]),
    "compile": (1.2, [Case(batch=batch, threads=1, compile=True) for batch in (64, 256)]),
}
"""What is measured under each name, and the least ratio of the best library's time to ours."""
ON_GPU: dict[str, tuple[float, list[Case]]] = {
    "bert-base": (1.0, [replace(BERT, batch=32, width=768, depth=12, heads=12, vocabulary=30_522)]),
}
"""Likewise, what a CPU takes too long for."""
VARIANTS = ("no-mlp+symmetric", "minimal")
PROPORTION = 1.5
"""At most: a variant's share of the baseline's time over its share of the baseline's multiplications."""
AROUND = 1.03
"""At most: a step as a run takes it, with norm, clipping, finiteness and seeds, over the bare step."""


class Worker:
    """A contender in a process of its own."""

    def __init__(self, name: str, case: Case) -> None:
        command = [sys.executable, __file__, "--worker", name, "--case", json.dumps(case.settings())]
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(case.threads)}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.parameters = json.loads(self._line() or "null")
        self.times: list[float] = []

    def take(self, steps: int) -> None:
        """Times so many steps, in milliseconds each."""
        stdin = cast(TextIO, self.process.stdin)
        stdin.write(f"{steps}\n")
        stdin.flush()
        self.times.append(float(self._line()))

    def close(self) -> float:
        """Ends it; its median."""
        cast(TextIO, self.process.stdin).close()
        self.process.wait()
        return statistics.median(self.times)

    def _line(self) -> str:
        return cast(TextIO, self.process.stdout).readline()


def work(name: str, case: Case) -> None:
    """The contender's process: makes it, warms it up, then takes as many steps as each line of its input says."""
    torch.manual_seed(0)
    torch.set_num_threads(case.threads)
    with torch.device(case.device):
        model, result = stepped(case) if name == "Stepper" else CONTENDERS[name][0](case)
    model.to(case.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    if case.compile:
        model.compile()

    def train() -> None:
        with torch.autocast(case.device, torch.bfloat16, enabled=case.bf16):
            loss = result()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer() -> None:
        with torch.inference_mode(), torch.autocast(case.device, torch.bfloat16, enabled=case.bf16):
            result()

    model.train(case.work == "train")
    step = result if name == "Stepper" else train if case.work == "train" else infer
    for _ in range(3):
        step()
    print(sum(each.numel() for each in model.parameters()), flush=True)
    for line in sys.stdin:
        steps = int(line)
        _wait(case)
        started = time.perf_counter()
        for _ in range(steps):
            step()
        _wait(case)
        print(1e3 * (time.perf_counter() - started) / steps, flush=True)


def stepped(case: Case) -> tuple[torch.nn.Module, Any]:
    """Our model, and one step of a run of it."""
    from minform_cli.data.batch import Batch
    from minform_cli.data.spec import spec_for
    from minform_cli.training.step import Stepper

    model, _ = CONTENDERS["minform"][0](case)
    config = config_of(case)
    stepper = Stepper(model.to(case.device), config, spec_for(config), 1000)
    images = torch.randn(case.batch, case.channels, case.side, case.side)
    batch = Batch((images,), torch.randint(10, (case.batch,)))
    return model, lambda: stepper.take(0, batch)


def around(rounds: int) -> bool:
    """What a run adds to a step; whether it is little."""
    kept = True
    for batch in (64, 256):
        case = Case(batch=batch)
        times = measured({name: Worker(name, case) for name in ("minform", "Stepper")}, rounds, 3)
        over = times["Stepper"] / times["minform"]
        kept &= over <= AROUND
        print(f"Stepper {batch:5}  {over:.3f} of the bare step, at most {AROUND:g}", flush=True)
    return kept


def _wait(case: Case) -> None:
    if case.device == "cuda":
        torch.cuda.synchronize()


def measured(workers: dict[str, Worker], rounds: int, steps: int) -> dict[str, float]:
    """Median milliseconds a step of each, all in turn in every round."""
    for _ in range(rounds):
        for worker in workers.values():
            worker.take(steps)
    return {name: worker.close() for name, worker in workers.items()}


def compared(group: str, case: Case, rounds: int, least: float) -> bool:
    """Measures and shows one case; whether minform reached `least`."""
    workers = {name: Worker(name, case) for name, (_, kinds) in CONTENDERS.items() if case.kind in kinds}
    missing = [name for name, worker in workers.items() if worker.parameters is None]
    there = {name: worker for name, worker in workers.items() if name not in missing}
    times = measured(there, rounds, 50 if case.batch == 1 else 2)
    others = {name: each for name, each in times.items() if name != "minform"}
    label = f"{group:11} {case.batch:5} x{case.mlp:g} {case.threads} "
    ours = times["minform"]
    ratio = min(others.values()) / ours if others else float("nan")
    row = "  ".join(f"{name} {each:.2f}" for name, each in times.items())
    lost = f"  (not installed: {', '.join(missing)})" if missing else ""
    print(f"{label} ratio {ratio:.2f}{'' if not ratio < least else f', under {least:g}'}   {row}{lost}", flush=True)
    return not ratio < least


def proportions(rounds: int) -> bool:
    """Time saved over multiplications saved, by variant and batch; whether in proportion."""
    kept = True
    for batch in (64, 256):
        cases = {variant: Case(batch=batch, variant=variant, mlp=4) for variant in ("baseline", *VARIANTS)}
        times = measured({variant: Worker("minform", case) for variant, case in cases.items()}, rounds, 2)
        costs = {variant: macs(case) for variant, case in cases.items()}
        for variant in VARIANTS:
            time_share, mac_share = (each[variant] / each["baseline"] for each in (times, costs))
            over = time_share / mac_share
            kept &= over <= PROPORTION
            print(
                f"{variant:18} {batch:5} time {time_share:.3f}  MACs {mac_share:.3f}  {over:.2f}, at most {PROPORTION}"
            )
    return kept


ALONE = {"variants": proportions, "stepper": around}


def peak() -> str:
    """What the largest products reach here."""
    a, b = torch.randn(2, 1024, 1024)
    best = 1e9
    for _ in range(8):
        started = time.perf_counter()
        _ = a @ b
        best = min(best, time.perf_counter() - started)
    return (
        f"{2 * 1024**3 / best / 1e9:.0f} GFLOP/s in a product of 1024 x 1024 with {torch.get_num_threads()} thread(s)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows, and says by the exit code whether every gate was met."""
    parser = argparse.ArgumentParser(description="Steps of the same model by minform and by other libraries.")
    parser.add_argument(
        "groups", nargs="*", default=[], help=f"of {', '.join([*GROUPS, *ALONE, *ON_GPU])}; default: all that a CPU can"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options: Any = parser.parse_args(arguments)
    if options.worker:
        from minform_cli.training.allocator import keeps_freed_memory

        case = Case(**json.loads(options.case))
        ours = options.worker in ("minform", "Stepper") and case.device == "cpu"
        with keeps_freed_memory() if ours else nullcontext():  # as `train` does
            work(options.worker, case)
        return 0
    names = ("timm", "vit-pytorch", "torchvision", "transformers")
    print(f"{machine()}; {peak()}")
    print(", ".join(f"{name} {_version(name)}" for name in names), end="")
    print(f"; medians of {options.rounds} rounds, ms a step: group, batch, MLP, threads\n", flush=True)
    met = True
    for group in options.groups or [*GROUPS, *ALONE]:
        if group in ALONE:
            met &= ALONE[group](options.rounds)
            continue
        least, cases = (GROUPS | ON_GPU)[group]
        for case in cases:
            met &= compared(group, replace(case, device=options.device, bf16=options.bf16), options.rounds, least)
    return int(not met)


def _version(name: str) -> str:
    try:
        return version(name)
    except ImportError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
