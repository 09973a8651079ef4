"""``minform train``: one variant, one seed, one folder. Started by torchrun, all its processes train the one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show, warn
from minform_cli.cli.one_voice import said_elsewhere, silent
from minform_cli.config.names import BASELINE, DEFAULT_PRESET
from minform_cli.runs.progress import Progress
from minform_cli.tracking import check_trackers
from minform_cli.training.launch import launched

if TYPE_CHECKING:
    from minform_cli.training.prepare import Prepared


def train(
    preset: options.Preset = DEFAULT_PRESET,
    variant: options.Variant = BASELINE,
    setting: options.Set = None,
    init: options.Init = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="A finished run's folder: follow its outputs and hidden states (distillation)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, data order, augmentation and dropout.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Run folder [default: runs/PRESET-VARIANT-seedN].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the resolved config, counts, data and one step; write nothing.")
    ] = False,
    log: options.Log = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    fmt: options.Format = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Build and train a model; prints progress and a final table."""
    launch = launched()
    leads = launch is None or launch.rank == 0
    with silent(*said_elsewhere(launch)):
        fmt = chosen_format(fmt, as_json=as_json)
        from minform_cli import api

        resumed = out if resume else None
        run = api.prepare(preset, variant, setting or [], seed=seed, init=init, teacher=teacher, resumed=resumed)
        api.check_device(device, threads)
        check_trackers(log or ())
    folder = out or api.default_run_folder(run.config)
    if dry_run:
        if leads:
            from minform_cli.training.run import dry_run as try_out

            found = try_out(run, folder, resume=resume, device=device, threads=threads)
            _show_dry_run(run, found, fmt, quiet=quiet)
        return
    from minform_cli.cli.progress import RunProgress
    from minform_cli.report.train_table import train_caption, train_table
    from minform_cli.tracking.described import tracked_run
    from minform_cli.tracking.log import Logs
    from minform_cli.training.parallel import Echo

    listening = (log or ()) if leads else ()
    with silent(Echo), RunProgress(quiet=quiet or not leads) as progress, Logs(listening, warn) as logs:
        logs.expect(lambda: [tracked_run(run, folder)])

        def tell(news: Progress) -> None:
            progress.listen(news)
            logs.listen(folder, news)

        result = api.train(run, folder, resume=resume, device=device, threads=threads, on_progress=tell, launch=launch)
    if not leads:
        return
    show(train_table(result, folder, fmt))
    if not quiet:
        caption(train_caption(result), fmt)


def _show_dry_run(run: Prepared, found: Mapping[str, Any], fmt: str, *, quiet: bool) -> None:
    from minform_cli.report.dry_run import dry_run_caption, dry_run_table

    show(dry_run_table(run.config, run.origins, found, fmt))
    if not quiet:
        caption(dry_run_caption(found), fmt)
