"""What a comparison is asked to do, as one value that is made once and handed down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What `compare` is asked to do: the study, and how it is done and judged.

    Attributes:
        preset: a shipped preset's name or a path to a YAML file; None takes the study's, else the default one.
        variants: names or paths, each possibly joined by ``+``; none take the study's, else the default comparison, as
            far as it is legal for the preset.
        settings: ``section.field=value`` texts, of every run.
        seeds: how many, from 0 on, or which; the same for every variant, so that differences are paired. None takes
            the study's, else 3.
        grid: ``section.field=value,value`` texts: every combination of the values is a group of rows of its own.
        study: a shipped study's name or a path to a YAML file, for what the options above leave open.
        init: folder of a study: every run starts from its run of the same variant and seed; or of one run, for all.
        scratch: whether the model of the one run that `init` names is trained from chance, too: a row of its own.
        pretrain: preset of a study that is done first, in the folder ``pretrain``, as what `init` names.
        pretrain_settings: ``section.field=value`` texts for that study.
        out: the study's folder; None takes ``runs/compare-PRESET`` or ``runs/study-STUDY``.
        jobs: runs side by side; None takes one per CPU core, or one on a GPU.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads of each run; None takes 1 on a CPU.
        stack_seeds: whether the seeds of a variant are trained as one model, each to the end of its own folder.
        stack_anyway: likewise, on a CPU too, where it does not pay.
        margin: how much less accuracy is acceptable, as a fraction: gives the verdict `not_worse`.
        reference: the variant that differences and verdicts refer to.

    Raises:
        InputError: `seeds` or `margin` makes no sense.
    """

    preset: str | None = None
    variants: Sequence[str] = ()
    settings: Sequence[str] = ()
    seeds: int | Sequence[int] | None = None
    grid: Sequence[str] = ()
    study: str | None = None
    init: Path | str | None = None
    scratch: bool = False
    pretrain: str | None = None
    pretrain_settings: Sequence[str] = ()
    out: Path | str | None = None
    jobs: int | None = None
    device: str = "auto"
    threads: int | None = None
    stack_seeds: bool = False
    stack_anyway: bool = False
    margin: float | None = None
    reference: str = BASELINE

    def __post_init__(self) -> None:
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise InputError(f"--seeds: expected 1 or more, not {self.seeds}")
        if self.margin is not None and not 0 <= self.margin <= 1:
            raise InputError(f"--margin: expected 0 to 100 points, not {100 * self.margin:g}")

    @property
    def stacks(self) -> bool:
        """Whether seeds are trained as one model."""
        return self.stack_seeds or self.stack_anyway

    def each_seed(self) -> Sequence[int] | None:
        """The seeds one by one."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds
