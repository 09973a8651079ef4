"""From what a user names to what an adapter is given: folder or model, its settings and its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from minform_cli.errors import InputError, did_you_mean_file, unknown_name
from minform_cli.files import json_object, user_path
from minform_cli.foreign.adapters.base import ADAPTERS, Given
from minform_cli.foreign.adapters.files import read_folder, read_weights
from minform_cli.foreign.sources import build_source

PLAIN = {"bert": "BertModel", "roberta": "RobertaModel", "distilbert": "DistilBertModel", "gpt2": "GPT2Model"}
"""`model_type` of a ``config.json`` -> the architecture, where it names none."""

RUN = "run"
"""Kind of the source that is a run's folder of ours."""


class Options(NamedTuple):
    """What a user may say beside the source."""

    weights: Path | None = None
    pooling: str | None = None
    seq_len: int | None = None


class Read(NamedTuple):
    """A source that was read: its kind, what its adapter is given, and what should be said of it."""

    kind: str
    given: Given
    notes: tuple[str, ...] = ()


def split(source: str) -> tuple[str, str]:
    """Kind and name of a source.

    Raises:
        InputError: the kind is unknown, or there is no name.
    """
    kind, _, name = source.partition(":")
    known = (*ADAPTERS, RUN)
    if kind not in known:
        raise unknown_name("source of weights", kind, known, source)
    if not name:
        place = "FOLDER" if kind in ("hf", RUN) else "NAME --weights FILE"
        raise InputError(f"{source}: no name after the source; accepted: {kind}:{place}")
    return kind, name


def read_source(source: str, options: Options) -> Read:
    """What the source holds, before an adapter looks at it; not of a run of ours.

    Raises:
        InputError: there is no such folder, file or model, or it is damaged.
    """
    kind, name = split(source)
    if kind == "hf":
        return _folder(source, name, options)
    if options.weights is None:
        raise InputError(f"{source}: --weights FILE says where its weights lie; nothing is downloaded")
    try:
        model = build_source(source).module
    except InputError as error:
        raise InputError(str(error).removeprefix("--model").removeprefix(":").lstrip()) from None
    tensors, notes = read_weights(options.weights.expanduser())
    tensors.wanted = f"that of {source} is"
    given = Given(source=source, title=name, architecture=type(model).__name__, tensors=tensors, module=model)
    return Read(kind, _with(given, options), notes)


def _folder(source: str, name: str, options: Options) -> Read:
    if options.weights is not None:
        raise InputError(f"--weights: {source} has its weights in its folder; accepted: it is for timm and torchvision")
    folder = user_path(name)
    try:
        is_folder = folder.is_dir()
        near = "" if is_folder else did_you_mean_file(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be looked at: {error}") from None
    if not is_folder:
        what = "is a file" if folder.is_file() else f"no such folder{near}"
        raise InputError(f"{source}: {what}; accepted: hf:FOLDER with config.json, *.safetensors, tokenizer.json")
    settings = _settings(source, folder)
    architecture, notes = _architecture(source, settings)
    given = Given(
        source=source,
        title=folder.absolute().name,
        architecture=architecture,
        tensors=read_folder(folder),
        settings=settings,
        folder=folder,
    )
    return Read("hf", _with(given, options), notes)


def _settings(source: str, folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        return json_object(path, str(path))
    except FileNotFoundError:
        raise InputError(f"{source}: the folder has no config.json") from None


def _architecture(source: str, settings: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The class of the model, and what should be said where its settings do not name one."""
    named: Any = settings.get("architectures")
    if isinstance(named, list) and named and isinstance(named[0], str):
        return named[0], ()
    plain = PLAIN.get(str(settings.get("model_type")))
    if plain is None:
        raise InputError(
            f'{source}: config.json names no architecture; accepted: "architectures" with one of '
            f"{', '.join(ADAPTERS['hf'].names())}"
        )
    return plain, (f"config.json names no architecture, and is read as {plain}",)


def _with(given: Given, options: Options) -> Given:
    return replace(given, pooling=options.pooling, seq_len=options.seq_len)
