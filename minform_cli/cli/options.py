"""Every option that more than one command takes, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _complete_preset(incomplete: str) -> list[str]:
    from minform_cli.config.names import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def _complete_variant(incomplete: str) -> list[str]:
    """Names for the last part of ``a+b``."""
    from minform_cli.config.names import variant_names

    done, plus, last = incomplete.rpartition("+")
    return [f"{done}{plus}{name}" for name in variant_names() if name.startswith(last)]


def _complete_study(incomplete: str) -> list[str]:
    from minform_cli.config.names import study_names

    return [name for name in study_names() if name.startswith(incomplete)]


def _complete_set(incomplete: str) -> list[str]:
    from minform_cli.config.schema import known_keys

    return [f"{key}=" for key in known_keys() if key.startswith(incomplete)]


def _complete_data(incomplete: str) -> list[str]:
    from minform_cli.runs.measured import ACCEPTED

    return [f"data.{key}=" for key in ACCEPTED if f"data.{key}=".startswith(incomplete)]


def _complete_format(incomplete: str) -> list[str]:
    from minform_cli.report.formats import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def _complete_log(incomplete: str) -> list[str]:
    from minform_cli.tracking import TRACKERS

    return [name for name in TRACKERS.names() if name.startswith(incomplete)]


Preset = Annotated[
    str, typer.Option(help="A preset's name, or a path to a YAML file.", autocompletion=_complete_preset)
]
StudyPreset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="A preset's name, or a path to a YAML file [default: the study's, else digits].",
        autocompletion=_complete_preset,
    ),
]
Variant = Annotated[
    str,
    typer.Option(help="A variant's name or path; + joins several: no-mlp+symmetric.", autocompletion=_complete_variant),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        help="A variant's name or path; + joins several. Repeat it for more rows.",
        autocompletion=_complete_variant,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting over the preset's: model.dim=32.", autocompletion=_complete_set
    ),
]
DataSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="data.KEY=VALUE",
        help="Where the run's data are now, or other data of their shape: data.path=PHOTOS.",
        autocompletion=_complete_data,
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="A finished run's folder: start from its weights, with its sizes and vocabulary."),
]
StudyInit = Annotated[
    Path | None,
    typer.Option(
        "--init", metavar="FOLDER", help="A study: start from its runs of the same variant and seed. Or a run."
    ),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        metavar="KEY=VALUE,VALUE",
        help="Sweep a setting: model.heads=1,4 or model.order=[0,0],[0,1]. Repeat it for every combination.",
        autocompletion=_complete_set,
    ),
]
Study = Annotated[
    str | None,
    typer.Option(
        help="A study's name, or a path to a YAML file; other options go over what it says.",
        autocompletion=_complete_study,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="rich, plain, markdown, latex, csv or json; by default rich on a terminal, plain in a pipe.",
        autocompletion=_complete_format,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto says what it chose.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; results are equal to the bit per thread count.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no captions: only the result.")]
Plot = Annotated[Path | None, typer.Option(help="Draw to this file (.png, .pdf or .svg).")]
Log = Annotated[
    list[str] | None,
    typer.Option(
        help="tensorboard, mlflow, trackio or wandb: log every run there while it trains. Repeat it for more.",
        autocompletion=_complete_log,
    ),
]
