"""Runs as Ray tasks, on this machine or on a cluster: Ray places them, and starts one again when its node has died.

A task is the same worker as everywhere (`worker`): it goes on from the checkpoint in the study's folder, which every
node must see at the same path, and the lock of the run's folder keeps a node that is cut off from training beside its
successor. To stop, tasks are cancelled: a run is then asked as by Ctrl-C, saves itself and ends. News come through an
actor on the node of this process.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minform_cli.errors import InputError, Interrupted, MachineError
from minform_cli.runs.progress import Progress
from minform_cli.study.options import OnRay
from minform_cli.study.plan import PlannedRun
from minform_cli.study.worker import End, Finished, StudyListener, Turns, Worker
from minform_cli.training.interrupt import StopRequest

_POLL_S = 0.2
"""How often a signal and news are looked for."""

AGAIN_S = 5.0
"""How long a run that another command does is left alone before a task is made of it again."""

_GRACE_S = 60.0
"""How long runs may take to save themselves."""

_SEEN_S = 30.0
"""How long a result may take to be seen here: a shared file system may be slower than Ray."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_NUM_REDIS_GET_RETRIES": "1",  # how often 40 seconds are waited for a cluster that does not answer
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables of Ray for which its own default is long, or to be heard on our streams."""

_RETRIES = 3
"""A run whose process or node has died so many times more is given up."""


def execute_on_ray(
    turns: Turns,
    engine: OnRay,
    worker: Worker,
    tell: StudyListener,
    stop: StopRequest,
) -> None:
    """Does the runs of `turns`, each as a task, in their order as far as there is room.

    Args:
        turns: those to do.
        engine: which Ray.
        worker: how; its device is `auto`, `cpu` or `cuda`, whichever the cluster has.
        tell: is told how each goes.
        stop: asked while they are done.

    Raises:
        Interrupted: `stop` was asked for; every run is saved.
        InputError: no node of the cluster has what a run needs.
        MachineError: the cluster cannot be reached, or a run was given up.
        MinformError: a run failed; the others are saved.
    """
    with _connected(engine.address) as ray:
        _Tasks(ray, engine, worker, tell).do(turns, stop)


@contextmanager
def _connected(address: str | None) -> Generator[Any]:
    """Ray, with nothing of its own said on our streams; what was started here is ended at the end."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():  # by whoever calls us, who ends it
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    from minform_cli.study.execute import num_cores

    own: dict[str, Any] = {"num_cpus": num_cores(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MachineError(f"--engine ray: no Ray at {address} can be used: {reason}") from error
    with _silent():  # until the end of it, which tells what it has held back
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _silent() -> Generator[None]:
    """Within, Ray does not print into our tables that a node died or a task is tried again; its own files have it."""
    from ray._private import worker

    before = worker._worker_logs_enabled  # pyright: ignore[reportPrivateUsage]  (as Ray's own debugger does)
    worker._worker_logs_enabled = False  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        worker._worker_logs_enabled = before  # pyright: ignore[reportPrivateUsage]


class _StoppedError(Exception):
    """A run was asked to stop, and has saved itself: by us, or by a node that is shut down, when Ray tries it again."""


class _News:
    """The actor that runs tell how they go."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Progress]] = []

    def put(self, number: int, news: Progress) -> None:
        self._waiting.append((number, news))

    def take(self) -> list[tuple[int, Progress]]:
        waiting, self._waiting = self._waiting, []
        return waiting


@dataclass(frozen=True)
class _Place:
    """Where this process is, for tasks to be there too: its working directory, and what our variables say."""

    folder: str
    variables: dict[str, str]

    @classmethod
    def here(cls) -> _Place:
        variables = {name: value for name, value in os.environ.items() if name.startswith("MINFORM_")}
        return cls(os.getcwd(), variables)  # noqa: PTH109

    def enter(self) -> None:
        os.environ.update(self.variables)
        with suppress(OSError):  # a node without it: then every path must be a full one
            os.chdir(self.folder)


def _task(run: PlannedRun, worker: Worker, number: int, news: Any, place: _Place) -> End:
    """The task: one run, to its end."""
    import ray
    from ray.exceptions import RayError

    place.enter()
    sent: list[Any] = []

    def tell(progress: Progress) -> None:
        sent[:] = [news.put.remote(number, progress)]

    try:
        end = worker.end_of(run, tell)
    except (Interrupted, KeyboardInterrupt):
        raise _StoppedError from None
    with suppress(RayError):
        ray.get(sent)  # all is told before the end is
    return end


class _Tasks:
    """The tasks of a study, as far as they are not at their end."""

    def __init__(self, ray: Any, engine: OnRay, worker: Worker, tell: StudyListener) -> None:
        self._ray, self._tell = ray, tell
        self._worker, needs, self._room = _needs(ray, engine, worker)
        self._task = ray.remote(_task).options(max_retries=_RETRIES, retry_exceptions=[_StoppedError], **needs)
        self._runs: list[PlannedRun] = []
        self._under_way: dict[Any, PlannedRun] = {}
        self._done: set[Path] = set()

    def do(self, turns: Turns, stop: StopRequest) -> None:
        """See `execute_on_ray`."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        place = _Place.here()
        news = self._ray.remote(_News).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
        turns.room(self._room)
        stop.defer()
        try:
            while turns or self._under_way:
                stop.check()
                while (run := turns.take()) is not None:
                    self._runs.append(run)
                    task = self._task.remote(run, self._worker, len(self._runs) - 1, news, place)
                    self._under_way[task] = run
                ended = self._ended()
                self._pass_on(news)
                for task in ended:
                    run = self._under_way.pop(task)
                    turns.hear(run, self._end_of(task, run, stop))
        except BaseException:
            if not stop.leaving:
                self._save_all()
            raise

    def _ended(self) -> list[Any]:
        """The tasks that have come to their end; waits a little for one."""
        if not self._under_way:
            time.sleep(_POLL_S)
            return []
        under_way = list(self._under_way)
        return self._ray.wait(under_way, num_returns=len(under_way), timeout=_POLL_S)[0]

    def _pass_on(self, news: Any) -> None:
        """Tells what runs have told, the end of each once: one that is tried again may tell it again."""
        with suppress(self._ray.exceptions.RayActorError):  # it comes back, and only news are lost
            for number, progress in self._ray.get(news.take.remote()):
                run = self._runs[number]
                if run.folder not in self._done:
                    self._tell(run, progress)
                if progress.kind == "done":
                    self._done.add(run.folder)

    def _end_of(self, task: Any, run: PlannedRun, stop: StopRequest) -> End:
        errors = self._ray.exceptions
        try:
            end: End = self._ray.get(task)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, _StoppedError) as error:
            raise MachineError(
                f"{run}: given up, as its process or its node ended {_RETRIES + 1} times (out of memory?); its last "
                "checkpoint stays, the same command tries again"
            ) from error
        except errors.RayError as error:
            raise MachineError(f"{run}: Ray could not do it: {str(error).strip().splitlines()[-1]}") from error
        if isinstance(end, Finished):
            _await_result(run, self._worker, stop)
        return end

    def _save_all(self) -> None:
        """Asks every run to save itself and end, and waits until all have, or the grace is over."""
        for task in self._under_way:
            self._ray.cancel(task)
        deadline = time.monotonic() + _GRACE_S
        while self._under_way and time.monotonic() < deadline:
            for task in self._ended():
                del self._under_way[task]


def _needs(ray: Any, engine: OnRay, worker: Worker) -> tuple[Worker, dict[str, float], int]:
    """The worker with the device that its runs have, what each asks of a node, and how many there is room for."""
    nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    on_gpu = worker.device == "cuda" or (worker.device == "auto" and any(node.get("GPU", 0) for node in nodes))
    needs: dict[str, float] = {"num_cpus": worker.threads or 1}
    if on_gpu:
        needs["num_gpus"] = engine.gpus_per_run or 1
        asked = f"{needs['num_gpus']:g} GPUs (--gpus-per-run) and {needs['num_cpus']} CPUs (--threads)"
    elif engine.gpus_per_run is not None:
        raise InputError("--gpus-per-run: no node of the Ray cluster has a GPU")
    else:
        asked = f"{needs['num_cpus']} CPUs (--threads)"
    kinds = {"num_cpus": "CPU", "num_gpus": "GPU"}
    room = sum(int(min(node.get(kinds[what], 0) / num for what, num in needs.items())) for node in nodes)
    if not room:
        raise InputError(f"--engine ray: no node of the Ray cluster has the {asked} that a run needs")
    threads = worker.threads if on_gpu else worker.threads or 1
    return replace(worker, device="cuda" if on_gpu else "cpu", threads=threads), needs, room


def _await_result(run: PlannedRun, worker: Worker, stop: StopRequest) -> None:
    """Until the result of a finished run is to be seen here."""
    seen_until = time.monotonic() + _SEEN_S
    result = run.folder / worker.result
    while not result.is_file():
        stop.check()
        if time.monotonic() > seen_until:
            raise MachineError(
                f"{run}: finished on a node of the Ray cluster, and {result} is not to be seen "
                "here: every node must see the study's folder at one path"
            )
        time.sleep(_POLL_S)
