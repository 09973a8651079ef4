"""``minform count``: what each reduction of a preset's or of the user's own model saves, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from minform_cli.cli import options
from minform_cli.cli.console import caption, chosen_format, show
from minform_cli.cli.usage import refuse_others
from minform_cli.config.names import DEFAULT_PRESET
from minform_cli.errors import InputError, unknown_name

if TYPE_CHECKING:
    from minform_cli.counting.records import CountedRecord, LayerRecord

SORTS: dict[str, Callable[[CountedRecord], Any]] = {
    "variant": lambda record: record["variant"],
    "parameters": lambda record: record["parameters"],
    "q": lambda record: -(record["determination_ratio"] or 0.0),
    "macs": lambda record: record["macs"],
}
"""What ``--sort`` accepts -> what it orders by."""


def count(
    ctx: typer.Context,
    preset: options.Preset = DEFAULT_PRESET,
    variant: options.Variants = None,
    setting: options.Set = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE:NAME",
            help="Your own model: timm:NAME, torchvision:NAME, hf:FOLDER_OR_NAME, python:PACKAGE.MODULE:FUNCTION.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="All combinations of variants that fit: 10%, 500k, 30000; smallest first.")
    ] = None,
    by: Annotated[Literal["variant", "layer"], typer.Option(help="A line per variant, or the tree of modules.")] = (
        "variant"
    ),
    sort: Annotated[str | None, typer.Option(help=f"Order of the lines: {', '.join(SORTS)} (the largest Q first).")] = (
        None
    ),
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only variants (or modules) like this: 'no-mlp*', '*w_q'.")
    ] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="K of Q = K M / P, over the data set's own.")] = None,
    outputs: Annotated[int | None, typer.Option(min=1, help="M of Q = K M / P, over the data set's own.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples to count the activations of.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build every model, too, and compare it with what is counted of it.")
    ] = False,
    fmt: options.Format = None,
    as_json: options.Json = False,
    plot: options.Plot = None,
    quiet: options.Quiet = False,
) -> None:
    """Count parameters, FLOPs and bytes of variants; trains nothing, allocates nothing.

    Without --variant: every shipped variant that is legal for the preset.
    """
    fmt = chosen_format(fmt, as_json=as_json)
    if model is not None:
        refuse_others(ctx, "--model", "counts a model as it is", ("model", "fmt", "as_json", "quiet"))
        _show_model(model, fmt, quiet=quiet)
        return
    if sort is not None and sort not in SORTS:
        raise unknown_name("order", sort, tuple(SORTS), "--sort")
    if plot is not None:
        from minform_cli.report.plots import check_plot_path

        check_plot_path(plot)
    variants, settings = variant or [], setting or []
    from minform_cli import api

    if by == "layer":
        for given, name in ((budget, "--budget"), (sort, "--sort"), (plot, "--plot"), (batch_size, "--batch-size")):
            if given is not None:
                raise InputError(f"{name}: has no meaning with --by layer; accepted: --variant, --set, --only")
        _show_layers(api.layers(preset, variants, settings, verify=verify), only, fmt, quiet=quiet)
        return
    from minform_cli.report.count_table import count_caption, count_table

    configs, spec = api.counted_configs(preset, variants, settings, budget)
    if verify:
        api.verify_configs(configs, spec)
    records = api.count_configs(configs, spec, examples=examples, outputs=outputs, batch_size=batch_size)
    records = _selected(records, lambda record: record["variant"], only)
    if sort is not None:
        records.sort(key=SORTS[sort])
    show(count_table(records, fmt))
    if plot is not None:
        from minform_cli.report.curves import plot_counts

        plot_counts(records, plot)
    if not quiet:
        known = {"examples": examples or spec.num_train or None, "outputs": outputs or spec.num_outputs}
        drawn = [f"Drawn to {plot}."] if plot else []
        caption([*count_caption(records, title=spec.title, **known), *drawn], fmt)


def _show_model(source: str, fmt: str, *, quiet: bool) -> None:
    from minform_cli import api
    from minform_cli.report.model_table import model_caption, model_table

    record = api.count_model(source)
    show(model_table(record, fmt))
    if not quiet:
        caption(model_caption(record), fmt)


def _show_layers(found: Sequence[LayerRecord], only: str | None, fmt: str, *, quiet: bool) -> None:
    from minform_cli.report.layer_table import layer_caption, layer_table

    def path(record: LayerRecord) -> str:
        return record["path"]

    records = _selected(found, path, only)
    show(layer_table(records, fmt))
    if not quiet:
        caption(layer_caption(records), fmt)


R = TypeVar("R")


def _selected(records: Sequence[R], name: Callable[[R], str], only: str | None) -> list[R]:
    """The records whose name is like `only`: a pattern, or a part of the name."""
    if only is None:
        return list(records)
    pattern = only if any(sign in only for sign in "*?[") else f"*{only}*"
    found = [record for record in records if fnmatchcase(name(record), pattern)]
    if not found:
        names = dict.fromkeys(map(name, records))
        raise InputError(f"--only {only!r}: nothing is like this; there are: {', '.join(names)}")
    return found
