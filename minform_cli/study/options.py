"""What a comparison is asked to do, as one value that is made once and handed down."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from minform_cli.config.names import BASELINE
from minform_cli.errors import InputError, unknown_name
from minform_cli.report.intervals import CONFIDENCE
from minform_cli.tables.names import ROLES

ENGINES = ("processes", "ray")
"""What does the runs."""


@dataclass(frozen=True)
class OnRay:
    """Which Ray does the runs.

    Attributes:
        address: of a cluster, ``HOST:PORT``, or ``auto`` for that of this machine; None takes the environment's
            ``RAY_ADDRESS``, else starts a Ray of this command alone, on this machine.
        gpus_per_run: where runs are done on GPUs; a fraction shares one among several. None takes 1.
    """

    address: str | None = None
    gpus_per_run: float | None = None

    def __post_init__(self) -> None:
        if (self.address or "").startswith("ray://"):
            raise InputError(
                f"--address {self.address}: this process itself must be on a node of the cluster, as it reads the "
                "study's folder; accepted: HOST:PORT, auto"
            )
        num = self.gpus_per_run
        if num is not None and not (0 < num < 1 or (num >= 1 and float(num).is_integer())):
            raise InputError(f"--gpus-per-run: expected a fraction of one GPU or a whole number of them, not {num:g}")

    def check(self, device: str) -> None:
        """Raises `InputError` if Ray is not installed, or `device` is not for it to give."""
        if importlib.util.find_spec("ray") is None:
            raise InputError("--engine ray: ray is not installed; pip install 'minform[ray]' brings it")
        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"--device {device}: Ray gives each run its device; accepted: auto, cpu, cuda")
        if device == "cpu" and self.gpus_per_run is not None:
            raise InputError("--gpus-per-run: has no meaning with --device cpu")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What does runs, and with what; the fields are those of `StudyOptions`."""

    jobs: int | None = None
    engine: str = "processes"
    address: str | None = None
    gpus_per_run: float | None = None
    device: str = "auto"
    threads: int | None = None

    @property
    def on_ray(self) -> OnRay | None:
        """The Ray that does the runs, if one does."""
        return OnRay(self.address, self.gpus_per_run) if self.engine == "ray" else None

    def check_engine(self) -> None:
        """Raises `InputError` if the engine is unknown, or an option is not for it."""
        if self.engine not in ENGINES:
            raise unknown_name("engine", self.engine, ENGINES, "--engine")
        if self.on_ray is None:
            for option, value in (("--address", self.address), ("--gpus-per-run", self.gpus_per_run)):
                if value is not None:
                    raise InputError(f"{option} {value}: has no meaning without --engine ray")
        elif self.jobs is not None:
            raise InputError(
                f"--jobs {self.jobs}: Ray does as many runs at a time as it has room for; accepted: no --jobs"
            )


@dataclass(frozen=True, kw_only=True)
class StudyOptions(EngineOptions):
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
        engine: what does the runs: `processes` of this command, or `ray`.
        address: with `ray`, of a cluster; None takes the environment's, else starts one on this machine.
        gpus_per_run: with `ray`, GPUs of each run, or the fraction of one; None takes 1 where there are GPUs.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads of each run; None takes 1 on a CPU.
        stack_seeds: whether the seeds of a variant are trained as one model, each to the end of its own folder.
        stack_anyway: likewise, on a CPU too, where it does not pay.
        margin: how much less accuracy is acceptable, as a fraction: gives the verdict `not_worse`.
        reference: the variant that differences and verdicts refer to.

    Raises:
        InputError: `seeds`, `margin` or the engine makes no sense, or options that exclude each other are given.
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
    stack_seeds: bool = False
    stack_anyway: bool = False
    margin: float | None = None
    reference: str = BASELINE

    def __post_init__(self) -> None:
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise InputError(f"--seeds: expected 1 or more, not {self.seeds}")
        if self.margin is not None and not 0 <= self.margin <= 1:
            raise InputError(f"--margin: expected 0 to 100 points, not {100 * self.margin:g}")
        self.check_engine()
        if (ray := self.on_ray) is not None:
            if self.stacks:
                raise InputError("--stack-seeds: one process trains all seeds; accepted: without --engine ray")
            ray.check(self.device)

    @property
    def own_device(self) -> str:
        """Where this process itself computes: with Ray, a node of the cluster may have a GPU that this one has not."""
        return self.device if self.on_ray is None else "auto"

    @property
    def stacks(self) -> bool:
        """Whether seeds are trained as one model."""
        return self.stack_seeds or self.stack_anyway

    def each_seed(self) -> Sequence[int] | None:
        """The seeds one by one."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which runs of other tools `compare_table` compares, and how it judges them.

    Attributes:
        path: a CSV, TSV, JSON Lines or Parquet file with a row a run, or what trackio, Optuna, mlflow, TensorBoard,
            transformers' Trainer or lm-evaluation-harness leave, or a folder of studies and runs of our own; None: the
            runs are those of `examples`.
        examples: a file with a row an example and run; None: none, but for what lies beside lm-evaluation-harness's
            results.
        columns: names of columns by role (`variant`, `seed`, `score`, `parameters`, `example`), where they are not the
            usual ones.
        better: `higher` or `lower`, where the name of the score does not say it.
        margin: how much worse is acceptable: in points where scores are shares, else in their own unit.
        reference: the variant that differences and verdicts refer to.
        out: folder for tables and report; None writes nothing.

    Raises:
        InputError: `better`, a role or the margin makes no sense, nothing is named, or the folder is a study's.
    """

    path: Path | str | None = None
    examples: Path | str | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    better: Literal["higher", "lower"] | None = None
    margin: float | None = None
    reference: str = BASELINE
    out: Path | str | None = None

    @property
    def source(self) -> Path | str:
        """What holds the runs."""
        named = self.examples if self.path is None else self.path
        assert named is not None, "one of them is named"
        return named

    def __post_init__(self) -> None:
        if self.path is None and self.examples is None:
            raise InputError("path: names the runs, and examples those of single examples; accepted: one at least")
        if self.better not in (None, "higher", "lower"):
            raise unknown_name("order", str(self.better), ("higher", "lower"), "better")
        for role in self.columns:
            if role not in ROLES:
                raise unknown_name("role", role, ROLES, "--columns")
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise InputError(f"--margin: expected a number of 0 or more, not {self.margin:g}")
        if self.out is not None and (Path(self.out) / "study.json").exists():
            raise InputError(f"--out {self.out}: holds a study of minform's own runs; accepted: another folder")


@dataclass(frozen=True, kw_only=True)
class PowerOptions:
    """What `power` is asked: how large a difference is to be found, and how much seeds differ.

    Attributes:
        difference: between two variants that is to be found, in the unit of `std`; points where a study says it.
        margin: how much worse is still acceptable: asks how many seeds show that a variant as good is not worse.
        std: sample standard deviation of one variant's score over seeds.
        paired_correlation: with `std`, between the scores of two variants with the same seed; 0 gains nothing by pairs.
        study: a study's folder, whose paired differences say how much seeds differ; in place of `std`.
        table: runs of other tools, whose paired differences say it, in place of `study`.
        reference: with `study`, the variant that differences refer to; a table has its own.
        power: chance to find the difference that is asked for.
        confidence: level of the interval that decides.

    Raises:
        InputError: a number makes no sense, or what says how much seeds differ is missing, or said twice.
    """

    difference: float | None = None
    margin: float | None = None
    std: float | None = None
    paired_correlation: float | None = None
    study: Path | str | None = None
    table: TableOptions | None = None
    reference: str = BASELINE
    power: float = 0.8
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        sources: dict[str, object] = {"--std": self.std, "--from": self.study, "--table": self.table}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)}: say the same" if given else "power: nothing says how much seeds differ"
            raise InputError(f"{said}; accepted: one of {', '.join(sources)}")
        if self.difference is None and self.margin is None:
            raise InputError("power: nothing says what is to be found; accepted: --difference, --margin, or both")
        for name, value in (("--difference", self.difference), ("--margin", self.margin), ("--std", self.std)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name}: expected a number above 0, not {value:g}")
        for name, value in (("--power", self.power), ("--confidence", self.confidence)):
            if not 0 < value < 1:
                raise InputError(f"{name}: expected a fraction between 0 and 1, not {value:g}")
        if (correlation := self.paired_correlation) is not None:
            if self.std is None:
                raise InputError(f"--paired-correlation {correlation:g}: the runs say it; accepted: with --std alone")
            if not -1 <= correlation < 1:
                raise InputError(f"--paired-correlation: expected a number from -1 to below 1, not {correlation:g}")
