"""Which vector of a headless encoder is read: as sentence-transformers' files say it, as its weights have it, or asked.

Those files: ``modules.json`` lists what a sentence goes through, and the folder of its pooling has a ``config.json``,
with one switch for each mode or, since version 5, `pooling_mode`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from minform_cli.errors import InputError, unknown_name
from minform_cli.files import an_object, json_value
from minform_cli.foreign.adapters.base import Given

ACCEPTED = ("mean", "pooler", "class-token")
"""Readouts that `--pooling` takes."""

_MODES = {"mean": "mean", "cls": "class-token"}
"""sentence-transformers' modes -> our readouts; others are refused."""

_SWITCH = "pooling_mode_"


class Pooling(NamedTuple):
    """Which vector is read, and what should be said of it."""

    readout: str
    notes: tuple[str, ...] = ()


def pooling_of(given: Given, *, has_pooler: bool) -> Pooling:
    """The readout of a headless model: as asked for, else as its files say, else its pooler, else the mean.

    Args:
        given: the model.
        has_pooler: whether its weights have one.

    Raises:
        InputError: the name is unknown, there is no pooler, or the files ask for a pooling that no part of ours does.
    """
    if given.pooling is not None:
        if given.pooling not in ACCEPTED:
            raise unknown_name("readout", given.pooling, ACCEPTED, "--pooling")
        if given.pooling == "pooler" and not has_pooler:
            raise InputError("--pooling pooler: the file has no pooler's weights; accepted: mean, class-token")
        return Pooling(given.pooling)
    told = _told(given.folder) if given.folder is not None else None
    if told is not None:
        return told
    return Pooling("pooler" if has_pooler else "mean")


def told_length(folder: Path) -> int | None:
    """Tokens of the longest example in ``sentence_bert_config.json``; None without it."""
    length = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    return length if isinstance(length, int) and length > 0 else None


def _told(folder: Path) -> Pooling | None:
    """What sentence-transformers' files say; None without them."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    listed = _json(path).get("", [])
    modules = [(str(each.get("type", "")).rpartition(".")[2], str(each.get("path", ""))) for each in listed]
    places = [place for kind, place in modules if kind == "Pooling" and Path(place).name == place]
    if not places:
        return None
    modes = _modes(_json(folder / places[0] / "config.json"))
    if len(modes) != 1 or modes[0] not in _MODES:
        raise InputError(
            f"{folder / places[0]}: pools by {' and '.join(modes) or 'nothing'}; accepted: {', '.join(_MODES)}, or "
            f"--pooling {', '.join(ACCEPTED)}"
        )
    notes = [
        f"{place or kind} of sentence-transformers is left out: vectors are those before it"
        for kind, place in modules
        if kind not in ("Transformer", "Pooling", "Normalize")
    ]
    if any(kind == "Normalize" for kind, _ in modules):
        notes.append("vectors are not brought to length one as there: their cosines are the same")
    return Pooling(_MODES[modes[0]], tuple(notes))


def _modes(config: dict[str, Any]) -> list[str]:
    """The modes that are switched on."""
    mode: Any = config.get("pooling_mode")
    if mode is not None:
        return [str(each) for each in cast("list[Any]", mode)] if isinstance(mode, list) else [str(mode)]
    names = [key.removeprefix(_SWITCH) for key, value in config.items() if key.startswith(_SWITCH) and value is True]
    return [name.removesuffix("_tokens").removesuffix("_token") for name in names]


def _json(path: Path) -> dict[str, Any]:
    """The object in a file, a list under the empty key; empty without the file.

    Raises:
        InputError: it is damaged.
    """
    try:
        value = json_value(path, str(path))
    except FileNotFoundError:
        return {}
    if isinstance(value, list):
        return {"": [each for each in cast("list[Any]", value) if isinstance(each, dict)]}
    return an_object(value, str(path))
