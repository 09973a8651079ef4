"""The whole path of a search, top to bottom: its space, its trials, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from minform_cli.config.presets import Recipe, parse_settings
from minform_cli.config.setting import Setting
from minform_cli.data.source import Source, opened
from minform_cli.errors import InputError
from minform_cli.files import check_folder, make_folder, write_json
from minform_cli.runs.folder import flat
from minform_cli.runs.seal import read_sealed, sealed
from minform_cli.searching.asking import Asked, Trials
from minform_cli.searching.options import SearchOptions, check_optuna
from minform_cli.searching.space import Space, make_space
from minform_cli.study.folders import file_name
from minform_cli.study.plan import PlannedRun
from minform_cli.study.worker import End, Finished, StudyListener, Turns

if TYPE_CHECKING:
    from minform_cli.report.records import SearchRecord

FILE = "search.json"
"""What is searched, in the search's folder."""

TRIALS = "trials"

KIND = "search"


@dataclass(frozen=True)
class Search:
    """A search that is planned.

    Attributes:
        out: its folder.
        options: as it was asked for.
        settings: of every trial.
        space: what is chosen among.
        source: its data, whose files are looked at once.
    """

    out: Path
    options: SearchOptions
    settings: Mapping[str, Setting]
    space: Space
    source: Source

    def folder(self, number: int) -> Path:
        """Of one trial."""
        return self.out / TRIALS / f"{number:04d}"

    def planned(self, asked: Asked) -> PlannedRun:
        """The run of a trial; what it is of is left beside its folder."""
        from minform_cli.searching.trial import write_choice

        folder = self.folder(asked.number)
        config = self.space.config(asked.point, f"trial-{asked.number:04d}", self.options.seed)
        size = self.space.parameters(asked.point)
        assert size is not None and size <= self.space.limit, "a trial is over the budget"
        make_folder(folder.parent)
        if not folder.with_name(f"{folder.name}.json").is_file():
            write_choice(folder, asked.point, size)
        return PlannedRun(config, self.source, folder, finished=False, begun=folder.is_dir())


def plan_search(options: SearchOptions) -> Search:
    """What is searched, and where; nothing is written. Imports no torch.

    Raises:
        InputError: a name or setting is wrong, nothing fits the budget, the folder holds another search or something
            else, Optuna is not installed, or trials would be validated on the test set.
        MachineError: the folder cannot be written.
    """
    settings = parse_settings(options.settings)
    out = Path(options.out) if options.out is not None else Path("runs") / f"search-{file_name(options.preset)}"
    source, space = _space(options, settings)
    if space.baseline.data.validation == "test":
        raise InputError(
            f"search: preset {options.preset} validates on its test set, which no search may see; accepted: "
            "--set data.validation=holdout"
        )
    space.check()
    check_optuna()
    check_folder(out)
    search = Search(out, options, settings, space, source)
    _check_same(search)
    return search


def run_search(search: Search, *, on_progress: StudyListener | None = None) -> SearchRecord:
    """Trains models until as many as asked for are done, or the time is over. A search in the folder goes on.

    Any number of these in one folder, in whatever processes or machines, share the trials.

    Args:
        search: as `plan_search` makes it.
        on_progress: is told how each trial goes.

    Returns:
        What all trials in the folder came to, those of other commands, too.

    Raises:
        Interrupted: a signal came; all progress is saved, and the same call goes on from there.
        MinformError: a trial could not be trained, or the machine failed; the others' progress is saved.
    """
    from minform_cli.searching.found import search_record
    from minform_cli.searching.trial import RESULT, train_trial
    from minform_cli.study.execute import again_s_of, check_jobs, do, side_by_side, silent, threads_of
    from minform_cli.study.worker import Worker

    options, tell = search.options, on_progress or silent
    check_jobs(options.jobs)
    _begin(search)
    trials = Trials(search.out, search.space, options.seed)
    deadline = None if options.time_s is None else time.monotonic() + options.time_s
    on_ray = options.on_ray
    threads = options.threads if on_ray else threads_of(options.threads, options.device)
    turns = _Asking(search, trials, tell, deadline, again_s_of(on_ray))
    jobs = 1 if on_ray else side_by_side(options.jobs, options.device, options.trials)
    do(turns, Worker(train_trial, options.device, threads, RESULT), tell, jobs=jobs, on_ray=on_ray)
    return search_record(search, trials)


class _Asking(Turns):
    """Trials, each asked for when there is room for it: what it is depends on what the others have come to.

    Args:
        search, trials: whose.
        tell: is told once of each trial that another process does.
        deadline: from when on no more are begun, by the monotonic clock.
        again_s: how long a trial that another process does is left alone.
    """

    def __init__(
        self, search: Search, trials: Trials, tell: StudyListener, deadline: float | None, again_s: float
    ) -> None:
        begun = [search.planned(asked) for asked in trials.under_way()]
        super().__init__(begun, tell, again_s)
        self._search, self._trials, self._deadline = search, trials, deadline
        self._known = {run.folder for run in begun}
        self._under_way: set[Path] = set()
        self._num, self._all_asked = 1, False

    def __len__(self) -> int:
        return super().__len__() + (not self._all_asked)

    def room(self, num: int) -> None:
        """No more than `num` are handed out at a time."""
        self._num = num

    def take(self) -> PlannedRun | None:
        """One that was begun; or the next, as things stand."""
        if len(self._under_way) >= self._num:
            return None
        run = super().take()
        if run is None and not self._all_asked:
            run = self._asked() or super().take()
        if run is not None:
            self._under_way.add(run.folder)
        return run

    def hear(self, run: PlannedRun, end: End) -> None:
        """How a trial has ended; what it came to is for the next ones to learn from."""
        from minform_cli.searching.trial import read_trial

        self._under_way.discard(run.folder)
        super().hear(run, end)
        found = read_trial(run.folder) if isinstance(end, Finished) else None
        if found is not None:
            self._trials.tell(int(run.folder.name), found["score"], found["parameters"])

    def _asked(self) -> PlannedRun | None:
        """A new trial; None where there are enough: then those of other commands are waited for, too."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        asked = None if late else self._trials.ask(self._search.options.trials)
        if asked is not None:
            run = self._search.planned(asked)
            self._known.add(run.folder)
            return run
        self._all_asked = True
        for other in self._trials.under_way() if not late else ():
            run = self._search.planned(other)
            if run.folder not in self._known:
                self._known.add(run.folder)
                self._waiting.append(run)
        return None


def _space(options: SearchOptions, settings: Mapping[str, Setting]) -> tuple[Source, Space]:
    data = Recipe(options.preset, settings).unchecked.data
    source = opened(data)
    given = options.preset, settings, options.budget, options.axes, options.sizes
    return source, make_space(*given, source.spec)


def _described(search: Search) -> dict[str, Any]:
    """What the trials of one search have in common."""
    space, config = search.space, search.space.baseline.model_copy(update={"seed": search.options.seed})
    return {
        "budget": space.limit,
        "choices": {key: list(values) for key, values in space.choices.items()},
        "seed": search.options.seed,
        "run": config.identity(),
    }


def _check_same(search: Search) -> None:
    """Raises `InputError` if the folder holds another search, whose first setting that differs is named."""
    path = search.out / FILE
    if not path.is_file():
        if search.out.is_dir() and any(not each.name.startswith(".") for each in search.out.iterdir()):
            raise InputError(f"{search.out} is not empty and holds no search ({FILE}); --out names another folder")
        return
    there, here = flat(read_sealed(path, KIND)), flat(sealed(KIND, _described(search)))
    for key in here | there:
        if key != "sha256" and there.get(key) != here.get(key):
            raise InputError(
                f"{search.out} is another search: {key.removeprefix('run.')} is {there.get(key)!r} there and "
                f"{here.get(key)!r} here; going on needs the same, --out names another folder"
            )


def _begin(search: Search) -> None:
    """Leaves in the folder what is searched, if no other command has."""
    make_folder(search.out)
    with FileLock(search.out / ".lock"):
        if (search.out / FILE).is_file():
            _check_same(search)
        else:
            write_json(search.out / FILE, sealed(KIND, _described(search)))
    make_folder(search.out / TRIALS)  # after what says whose they are: without it the folder would be somebody else's
