"""Which run each run of a study starts from: one of another study with its variant and seed, or one run for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config.initial import Start, is_own
from minform_cli.errors import InputError
from minform_cli.files import RunFolder
from minform_cli.runs.stored import read_run, read_start
from minform_cli.study.record import FILE, read_record

if TYPE_CHECKING:
    from minform_cli.study.plan import Plan


@dataclass(frozen=True)
class Starts:
    """The runs that a study starts from.

    Attributes:
        folder: of the study they are in, or of the one run.
        runs: by variant and seed; a single run stands under None.
    """

    folder: Path
    runs: Mapping[tuple[str, int] | None, Start]

    @property
    def is_own(self) -> bool:
        """Whether there is one run for all, whose model is no variant that has a name."""
        one = self.runs.get(None)
        return one is not None and is_own(one)

    def of(self, variant: str, seed: int) -> Start:
        """The run that this one starts from.

        Raises:
            InputError: the study has none of this variant and seed.
        """
        start = self.runs.get((variant, seed), self.runs.get(None))
        if start is None:
            known = ", ".join(sorted({key[0] for key in self.runs if key is not None}))
            seeds = sorted({key[1] for key in self.runs if key is not None})
            raise InputError(
                f"--init {self.folder}: has no finished run of variant {variant!r} with seed {seed}; accepted: "
                f"{known}; seeds {', '.join(map(str, seeds))}"
            )
        return start


def read_starts(folder: Path, out: Path | None = None) -> Starts:
    """The finished runs of the study in `folder`, or the run there.

    Args:
        folder: as the user wrote it.
        out: of the study that starts from them. If they are gone, its begun runs have kept all that they took over.

    Raises:
        InputError: it is neither, is damaged, has no finished run, or sweeps settings, so that a variant and a seed
            name several runs.
    """
    try:
        is_study = (folder / FILE).is_file()
    except OSError:  # what is wrong with it, `read_start` says
        is_study = False
    if not is_study:
        kept = {} if out is None or RunFolder(folder).meta.is_file() else _kept_starts(out)
        if not kept and folder.is_dir() and not RunFolder(folder).meta.is_file():
            raise InputError(f"--init {folder}: is no run's folder and no study's; accepted: one with finished runs")
        return Starts(folder, kept or {None: read_start(folder)})
    record = read_record(folder)
    if record.grid:
        swept = ", ".join(record.grid)
        raise InputError(
            f"--init {folder}: sweeps {swept}: a variant has several runs; accepted: a study without a grid"
        )
    finished = [entry for entry in record.runs if RunFolder(folder / entry.folder).is_finished()]
    if not finished:
        raise InputError(f"--init {folder}: none of its runs is finished; accepted: a study with finished runs")
    return Starts(folder, {(entry.variant, entry.seed): read_start(folder / entry.folder) for entry in finished})


def _kept_starts(out: Path) -> dict[tuple[str, int] | None, Start]:
    """What the begun runs of the study in `out` were started from, by variant and seed."""
    if not (out / FILE).is_file():
        return {}
    begun = [entry for entry in read_record(out).runs if RunFolder(out / entry.folder).meta.is_file()]
    runs = {(entry.variant, entry.seed): read_run(out / entry.folder) for entry in begun}
    return {
        key: read_start(Path(run.config.init), run.folder.path)
        for key, run in runs.items()
        if run.config.init is not None
    }


def planned_starts(plan: Plan) -> Starts:
    """The runs of a plan without a grid, finished or not."""
    return Starts(plan.out, {(run.config.variant, run.config.seed): Start(run.folder, run.config) for run in plan.runs})
