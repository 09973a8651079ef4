"""The data that a stored run is measured on: those it was made with, wherever they are now, or others of their shape.

Normalisation, tokenizer and classes are the run's own, whatever the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from minform_cli.config.presets import parse_settings
from minform_cli.config.schema import PLACES, DataConfig, RunConfig
from minform_cli.config.validation import build
from minform_cli.data.source import Source, opened
from minform_cli.data.spec import CHOICES, DATA_SETS, DataSpec, ImageSpec, TextSpec
from minform_cli.errors import InputError
from minform_cli.runs.folder import check_data
from minform_cli.runs.stored import StoredRun, with_tokenizer
from minform_cli.tasks import TASKS

if TYPE_CHECKING:
    from minform_cli.data.images.pixels import ImageData
    from minform_cli.data.load import Data

ACCEPTED = ("name", *CHOICES, "limit", "bleu_tokenizer")
"""Settings of the data section that ``eval --set`` takes: which data, what of them, and what BLEU takes for words."""


@dataclass(frozen=True)
class Measured:
    """What a stored run is measured on.

    Attributes:
        config: the run's, with the data section of these data.
        spec: the run's; of one that was not trained on data known here, under the name of these data.
        data: normalised as the run's were.
        notes: what whoever reads the measurement should know of them.
    """

    config: RunConfig
    spec: DataSpec
    data: Data
    notes: tuple[str, ...]


def data_for(run: StoredRun, settings: Sequence[str] = (), source: Source | None = None) -> Measured:
    """The data that `run` is measured on.

    Args:
        run: the run.
        settings: ``data.key=value`` texts: where its data have moved, or other data.
        source: its data, where somebody has opened them.

    Raises:
        InputError: a setting is wrong; the data are not there, not those of the run and no others were named, or of
            another shape.
    """
    if not run.fingerprint and not settings:
        subset = "--set data.subset=... " if run.config.data.name == "glue" else ""
        raise InputError(
            f"{run.folder.path} was not trained on data that are known here; accepted: --set "
            f"data.name={run.config.data.name} {subset}--set data.path=... says what to measure it on"
        )
    if source is None:
        source = opened(given_data(run, settings) if settings else run.data())
    if run.spec is not None:
        _check_shape(run, run.spec, source.spec)
    data = source.load()
    same, shown = data.fingerprint == run.fingerprint, f"{data.spec.title}, {_splits(data.spec)}"
    if not settings:
        check_data(run.folder, run.meta, data.fingerprint)
    notes = [] if same or not run.fingerprint else [f"measured on other data than those of the run: {shown}"]
    spec = run.spec
    if spec is not None and not run.fingerprint:
        notes += _taken_for(spec, data.spec)
        spec = replace(spec, name=data.spec.name)  # measured as is usual for these data
    if spec is None:
        notes.append(_asked(run, data, same))
        spec = data.spec
    if run.normalisation is not None:
        data = replace(cast("ImageData", data), mean=run.normalisation.mean, std=run.normalisation.std)
    return Measured(run.config.model_copy(update={"data": source.data}), spec, data, tuple(notes))


def spec_as(run: StoredRun, spec: DataSpec) -> DataSpec:
    """The spec of `run`, with the title and sizes of other data, of which its model takes the examples.

    Raises:
        InputError: it does not.
    """
    if run.spec is None:
        raise InputError(f"{run.folder.path}: its {run.folder.meta.name} is of format {run.meta['format']}, too old")
    _check_examples(run, run.spec, spec)
    if isinstance(run.spec, TextSpec) and isinstance(spec, TextSpec) and spec.seq_len > run.spec.seq_len:
        raise InputError(
            f"data.seq_len {spec.seq_len}: examples of {run.folder.path} have at most {run.spec.seq_len} tokens; "
            f"accepted: 4 to {run.spec.seq_len}"
        )
    sizes = {name: getattr(spec, name) for name in ("title", "num_train", "num_val", "num_test", "own_val")}
    if not run.fingerprint and same_answers(run, spec):
        sizes["name"] = spec.name  # measured as is usual for these data
    return replace(run.spec, **sizes)


def data_as(run: StoredRun, data: Data) -> Data:
    """`data` as examples of `run`: shapes, classes and normalisation are its own; errors as of `spec_as`."""
    own: dict[str, Any] = {"spec": spec_as(run, data.spec)}
    if run.normalisation is not None:
        own |= run.normalisation._asdict()
    return replace(cast("Any", data), **own)


def same_answers(run: StoredRun, other: DataSpec) -> bool:
    """Whether the labels of `other` are those that `run` predicts; where nobody knows the names of its classes, whether
    there are as many.
    """
    info, own = TASKS.info(run.config.task), run.spec
    if own is None or not info.has_labels:
        return False
    if info.predicts_tokens:
        return not other.class_names and getattr(other, "outputs", None) is None
    named = own.class_names == other.class_names or not run.fingerprint
    return named and (own.num_classes, own.num_outputs) == (other.num_classes, other.num_outputs)


def given_data(run: StoredRun, settings: Sequence[str]) -> DataConfig:
    """The run's data section with `settings` over it; of another data set, without the files of the run's own."""
    given = parse_settings(settings)
    accepted = [f"data.{key}" for key in ACCEPTED]
    for key in given:
        if key not in accepted:
            raise InputError(f"--set {key}: the run is what it is; accepted: {', '.join(accepted)}")
    own = run.config.data.model_dump(mode="json")
    name = given["data.name"].value if "data.name" in given else own["name"]
    if name != own["name"]:
        takes = DATA_SETS.get(name, "--set: data.name").TAKES
        dropped = [key for key in CHOICES if key not in takes or key in (*PLACES, "subset")]
        own |= {key: DataConfig.model_fields[key].default for key in (*dropped, "limit")}
    else:  # what was not named is where it was, whatever the working directory is now
        own |= {key: run.place(key) for key in PLACES if f"data.{key}" not in given}
    values = {f"data.{key}": value for key, value in own.items()} | {key: each.value for key, each in given.items()}
    names = {"preset": run.config.preset, "model": run.config.model}
    section = build(names, values, {key: each.origin for key, each in given.items()}).data
    return with_tokenizer(section, run, always=True)


def _check_shape(run: StoredRun, own: DataSpec, other: DataSpec) -> None:
    """Raises `InputError` unless a model for `own` takes the examples of `other` and gives what they ask for."""
    _check_examples(run, own, other)
    if not TASKS.info(run.config.task).has_labels:
        return
    where = f"{run.folder.path} is of {own.title}"
    if isinstance(own, TextSpec) and isinstance(other, TextSpec) and own.outputs != other.outputs:
        raise InputError(f"{where}, and {other.title} asks for other answers; accepted: data with the same")
    if own.class_names != other.class_names and (run.fingerprint or own.num_classes != other.num_classes):
        here, there = (_listed(each.class_names) for each in (own, other))
        raise InputError(
            f"{where}, whose classes are {here}, and those of {other.title} are {there}; accepted: the same, "
            "in this order"
        )


def _check_examples(run: StoredRun, own: DataSpec, other: DataSpec) -> None:
    """Raises `InputError` unless a model for `own` takes the examples of `other`."""
    where = f"{run.folder.path} is of {own.title}"
    if own.kind != other.kind:
        raise InputError(f"{where}, which is {own.kind}, and {other.title} is {other.kind}; accepted: {own.kind}")
    if isinstance(own, ImageSpec) and isinstance(other, ImageSpec):
        here, there = (f"{each.channels}x{each.height}x{each.width}" for each in (own, other))
        if here != there:
            raise InputError(
                f"{where}, whose images are {here} (channels, height, width), and those of {other.title} are {there}; "
                f"accepted: {here}, of a folder by --set data.image_size={own.height} --set "
                f"data.channels={own.channels}"
            )


def _taken_for(own: DataSpec, other: DataSpec) -> list[str]:
    """Which class stands for which, where they are called differently."""
    if own.class_names == other.class_names:
        return []
    pairs = [f"{here} for {there}" for here, there in zip(own.class_names, other.class_names, strict=True)]
    return [f"its classes are taken in their order: {_listed(pairs)}"]


def _asked(run: StoredRun, data: Data, same: bool) -> str:
    """That what ``run.json`` does not say was asked of the data set; `InputError` where only its own could answer."""
    lacks = f"its {run.folder.meta.name} is of format {run.meta['format']}"
    if isinstance(data.spec, ImageSpec) and not same:
        raise InputError(
            f"{run.folder.path}: {lacks}, without classes and normalisation, which no other data can tell; "
            f"accepted: the data it was made with, fingerprint {run.fingerprint[:12]}..."
        )
    return f"{lacks}: shapes, classes and normalisation were asked of the data set"


def _splits(spec: DataSpec) -> str:
    sizes = (("training", spec.num_train), ("validation", spec.num_val), ("test", spec.num_test))
    return ", ".join(f"{num:,} {name}" for name, num in sizes if num) + " examples"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ... ({len(names)})" if len(names) > 10 else shown or "none"
