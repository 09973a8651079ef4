"""What a reduction is calibrated and measured on: the run's own data, other ones, lines of text, a folder of images.

Tokenizer, normalisation and sizes are the run's, whatever the examples.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from minform_cli.config.schema import DataConfig, RunConfig
from minform_cli.data.glue.sentences import SentenceData, SentenceSplit, encoded
from minform_cli.data.glue.table import Table
from minform_cli.data.images.container import Folder
from minform_cli.data.images.decode import Decoder
from minform_cli.data.images.files import decode_members
from minform_cli.data.images.pixels import ImageData, ImageSplit
from minform_cli.data.images.pixels import fingerprint as images_fingerprint
from minform_cli.data.load import Data
from minform_cli.data.source import Loaded, Source, opened
from minform_cli.data.spec import DATA_SETS, DataSpec, ImageSpec, TextSpec
from minform_cli.data.text.corpora import TextData
from minform_cli.data.text.corpus import open_corpus
from minform_cli.data.text.tokenizer import Vocabulary, loaded
from minform_cli.data.text.tokens import Sequences
from minform_cli.errors import InputError, counted, did_you_mean, near_file
from minform_cli.files import user_path
from minform_cli.runs.measured import given_data
from minform_cli.runs.stored import StoredRun
from minform_cli.tasks import TASKS

HELD_OUT = 10
"""Of lines or images without splits of their own, every so many-th is measured on and not calibrated on."""

MOST_HELD_OUT = 1_000

MOST_IMAGES = 20_000
"""Of a folder without splits, so many are looked at, chosen by a fixed seed."""

SPLIT_SEED = 0
"""Which lines or images are held out: the same for every calibration sample."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples that a run's model takes.

    Attributes:
        config: the run's, with the data section of these examples.
        data: with a training part to calibrate on and a validation part to measure on.
        title: what they are, for tables.
        labelled: whether they say what the run's task should give.
        healing: the data section that a training on them takes; None where no data set holds such.
        notes: what the user should know of them, a sentence each.
    """

    config: RunConfig
    data: Data
    title: str
    labelled: bool
    healing: DataConfig | None
    notes: tuple[str, ...] = ()

    def shown(self) -> Source | DataConfig:
        """What a training on them takes: the data set, or these very examples where no data set makes the same."""
        if self.healing is not None and not (self.healing.name == "text" and isinstance(self.data, SentenceData)):
            return self.healing
        section = self.healing or self.config.data
        return Loaded(section, self.data.spec, labelled=self.labelled, examples=self.data)


def own_examples(run: StoredRun, settings: Sequence[str] = ()) -> Examples | None:
    """The data that the run was trained on; None where nobody here knows them, or they are no longer there.

    Args:
        run: the run.
        settings: ``data.key=value`` texts: where they have moved.

    Raises:
        InputError: a setting is wrong, or files that are there are damaged.
    """
    if not run.fingerprint:
        return None
    if not settings:
        try:
            data = run.data()
        except InputError:
            return None
    else:
        data = given_data(run, settings)
    return _of_set(run, data_config=run.config.model_copy(update={"data": data}))


def named_examples(run: StoredRun, asked: str, option: str, settings: Sequence[str] = ()) -> Examples:
    """The examples that the user names.

    Args:
        run: the run whose model takes them.
        asked: a data set, ``NAME`` or ``NAME:PATH`` (``glue/sst2:FOLDER``); else the path of a text, one example a
            line for models of sentences, or of a folder of images.
        option: which option names them, for messages.
        settings: ``data.key=value`` texts over it.

    Raises:
        InputError: there are none such, or they do not fit the model.
    """
    name, _, path = asked.partition(":")
    base, _, subset = name.partition("/")
    kind = _kind(run)
    if base in DATA_SETS.names():
        is_lines = base == "text" and path and _takes_sentences(run)
        if is_lines:
            return _lines(run, path, option)
        given = {"name": base, **({"subset": subset} if subset else {}), **({"path": path} if path else {})}
        texts = [f"data.{key}={json.dumps(value)}" for key, value in given.items()]
        try:
            data = given_data(run, [*texts, *settings])
        except InputError as error:
            raise InputError(f"{option} {asked}: {error}") from None
        return _of_set(run, data_config=run.config.model_copy(update={"data": data}), where=f"{option} {asked}: ")
    place = user_path(asked)
    if not os.path.exists(place):  # noqa: PTH110  (of a name too long: no)
        near = did_you_mean(name, DATA_SETS.names()) or near_file(place)
        raise InputError(
            f"{option}: no data set and no file {asked!r}{near}; accepted: NAME or NAME:PATH of a data set "
            "(minform datasets), a text file, or a folder of images"
        )
    if kind == "images":
        return _folder(run, place, option, settings)
    if kind != "text":
        raise InputError(
            f"{option} {asked}: the run takes {kind}, which no single file holds; accepted: a data set of {kind}, as "
            f"--set data.source=... --set data.target=... name its files"
        )
    if _takes_sentences(run):
        return _lines(run, asked, option)
    return named_examples(run, f"text:{asked}", option, settings)


def _kind(run: StoredRun) -> str:
    return spec_for_run(run).kind


def spec_for_run(run: StoredRun) -> DataSpec:
    """The run's spec; `InputError` for a folder of a format that does not say it."""
    if run.spec is None:
        raise InputError(
            f"{run.folder.path}: its {run.folder.meta.name} is of format {run.meta['format']}, which does not say what "
            "its data are; accepted: a run of this version, as minform train makes it"
        )
    return run.spec


def _takes_sentences(run: StoredRun) -> bool:
    info = TASKS.info(run.config.task)
    return info.takes == "text" and not info.predicts_tokens


def _of_set(run: StoredRun, *, data_config: RunConfig, where: str = "") -> Examples:
    """The examples of a registered data set, once they are known to fit."""
    own = spec_for_run(run)
    try:
        source = opened(data_config.data)
        _check_shape(run, own, source.spec)
        data = source.load()
    except InputError as error:
        raise InputError(f"{where}{error}") from None
    if run.normalisation is not None:
        data = replace(cast(ImageData, data), mean=run.normalisation.mean, std=run.normalisation.std)
    labelled = _labels_fit(run, own, data)
    if isinstance(data, TextData) and _takes_sentences(run):
        data, labelled = _as_sentences(data), False
    return Examples(
        config=data_config.model_copy(update={"data": source.data}),
        data=data,
        title=data.spec.title,
        labelled=labelled,
        healing=source.data,
        notes=data.notes,
    )


def _check_shape(run: StoredRun, own: DataSpec, other: DataSpec) -> None:
    """Raises `InputError` unless a model for `own` takes the inputs of `other`."""
    if own.kind != other.kind:
        raise InputError(
            f"the run {run.folder.path} takes {own.kind}, and {other.title} is {other.kind}; accepted: {own.kind}"
        )
    if isinstance(own, ImageSpec) and isinstance(other, ImageSpec):
        here, there = (f"{each.channels}x{each.height}x{each.width}" for each in (own, other))
        if here != there:
            raise InputError(
                f"the run takes images of {here} (channels, height, width), and those of {other.title} are "
                f"{there}; accepted: {here}, of a folder by --set data.image_size={own.height} --set "
                f"data.channels={own.channels}"
            )


def _labels_fit(run: StoredRun, own: DataSpec, data: Data) -> bool:
    """Whether the labels of `data` are what the run's task asks for."""
    info, other = TASKS.info(run.config.task), data.spec
    if not info.has_labels:
        return False
    if info.predicts_tokens:
        return not isinstance(data, SentenceData)
    if isinstance(own, TextSpec) and isinstance(other, TextSpec) and own.outputs != other.outputs:
        return False
    same = own.class_names == other.class_names
    return same or (not run.fingerprint and own.num_classes == other.num_classes)


def _vocabulary(run: StoredRun, option: str) -> Vocabulary:
    if not run.folder.tokenizer.is_file():
        raise InputError(f"{option}: {run.folder.path} has no tokenizer.json to cut text with")
    return loaded(run.folder.tokenizer, run.config.data.vocab_size)


def _lines(run: StoredRun, path: str, option: str) -> Examples:
    """The lines of a text file, each an example; blank and repeated ones are left out."""
    spec = cast(TextSpec, spec_for_run(run))
    vocabulary = _vocabulary(run, option)
    corpus = open_corpus(option, path, "a text to calibrate on")
    found = [line.strip() for piece in corpus.pieces() for line in piece.text.split("\n")]
    lines = [line for line in dict.fromkeys(found) if line]
    if len(lines) < 2:
        raise InputError(
            f"{option} {path}: has {counted(len(lines), 'line')} that are not blank, all different; accepted: a text "
            "with one example a line, 2 or more"
        )
    held_out = _held_out(len(lines))
    kept = np.setdiff1d(np.arange(len(lines)), held_out)
    table = Table((lines,), np.zeros(len(lines), dtype=np.int64), corpus.place, corpus.digest)
    train, val = (encoded(table.take(places), vocabulary, spec.seq_len) for places in (kept, held_out))
    notes = [f"cut to {spec.seq_len} tokens: {train.num_cut:,} of {counted(len(kept), 'line')}"] * bool(train.num_cut)
    title = f"lines of {Path(path).name}"
    data = SentenceData(
        spec=replace(spec, title=title, num_train=len(kept), num_val=len(held_out), num_test=0),
        train=train,
        val=val,
        test=None,
        pad=_pad(vocabulary),
        fingerprint=corpus.digest,
        tokenizer=vocabulary.json,
        notes=tuple(notes),
    )
    healing = given_data(run, ["data.name=text", f"data.path={json.dumps(path)}"])
    return Examples(config=run.config, data=data, title=title, labelled=False, healing=healing, notes=tuple(notes))


def _pad(vocabulary: Vocabulary) -> int:
    """What fills up a batch: any entry will do where none is for it, as it is never attended to."""
    special = vocabulary.special
    return special.sep if special.pad is None else special.pad


def _as_sentences(data: TextData) -> SentenceData:
    """The spans of a text as sentences of one length."""

    def split(spans: Sequences) -> SentenceSplit:
        tokens = spans.take(np.arange(len(spans)))
        special = data.special
        whole = np.pad(tokens, ((0, 0), (1, 1)), constant_values=((0, 0), (special.cls, special.sep)))
        offsets = np.arange(len(spans) + 1, dtype=np.int64) * whole.shape[1]
        labels = np.zeros(len(spans), dtype=np.int64)
        return SentenceSplit(whole.astype(np.int32).reshape(-1), offsets, None, labels, 0)

    pad = data.special.sep if data.special.pad is None else data.special.pad
    return SentenceData(
        data.spec, split(data.train), split(data.val), None, pad, data.fingerprint, data.tokenizer, data.notes
    )


def _folder(run: StoredRun, place: Path, option: str, settings: Sequence[str]) -> Examples:
    """All images in a folder, whatever folders they lie in, of the run's size."""
    spec = cast(ImageSpec, spec_for_run(run))
    section = given_data(run, settings) if settings else run.config.data
    if not place.is_dir():
        raise InputError(f"{option} {place}: is no folder; accepted: a folder of images, or NAME:PATH of a data set")
    container = Folder(place)
    members = sorted(container.listing().images)
    if len(members) < 2:
        raise InputError(f"{option} {place}: has {counted(len(members), 'image')}; accepted: a folder with 2 or more")
    if len(members) > MOST_IMAGES:
        chosen = np.sort(np.random.RandomState(SPLIT_SEED).permutation(len(members))[:MOST_IMAGES])
        members = [members[number] for number in chosen.tolist()]
    size = section.image_size
    if size is not None and (size, size) != (spec.height, spec.width):
        raise InputError(
            f"{option} {place}: --set data.image_size={size} and the run takes {spec.height}x{spec.width}; accepted: "
            f"--set data.image_size={spec.height}"
        )
    decoder = Decoder(
        spec.channels, spec.height, spec.width, size, section.max_megapixels * 10**6, section.exif_orientation
    )
    try:
        pixels = decode_members(container, members, decoder).pixels
    except InputError as error:
        hint = (
            ""
            if size is not None
            else f"; the run takes {spec.height}x{spec.width}: --set data.image_size=" + str(spec.height)
        )
        raise InputError(f"{option} {place}: {error}{hint}") from None
    held_out = _held_out(len(members))
    kept = np.setdiff1d(np.arange(len(members)), held_out)
    train, val = (ImageSplit(pixels[places], np.zeros(len(places), dtype=np.int64)) for places in (kept, held_out))
    title = f"images of {place.name}"
    mean, std = (run.normalisation.mean, run.normalisation.std) if run.normalisation else ((), ())
    data = ImageData(
        spec=replace(spec, title=title, num_train=len(kept), num_val=len(held_out), num_test=0),
        train=train,
        val=val,
        test=None,
        mean=mean,
        std=std,
        fingerprint=images_fingerprint({"train": train, "val": val}),
    )
    return Examples(config=run.config, data=data, title=title, labelled=False, healing=None)


def _held_out(num: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Places of what is measured on, ascending: a tenth, at least one, at most `MOST_HELD_OUT`."""
    order = np.random.RandomState(SPLIT_SEED).permutation(num)
    return np.sort(order[: min(MOST_HELD_OUT, max(1, num // HELD_OUT))])
