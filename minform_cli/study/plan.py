"""From variants and seeds to the runs of a study: which, in which folders, and which are finished already."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minform_cli.config.presets import BASELINE, DEFAULT_PRESET, resolve
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.results import RunFolder, read_result
from minform_cli.training import folder as run_folder

DEFAULT_VARIANTS = (BASELINE, "no-mlp", "no-mlp+collapsed-qk", "no-mlp+symmetric", "minimal")
"""What a study compares if it is told nothing else, as far as the preset and the settings allow it."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        config: with every setting resolved.
        folder: where it lies or will lie.
        finished: whether its result was there when the plan was made.
    """

    config: RunConfig
    folder: Path
    finished: bool

    def __str__(self) -> str:
        return f"{self.config.variant}, seed {self.config.seed}"


@dataclass(frozen=True)
class Plan:
    """The runs of a study.

    Attributes:
        variants: as the user named them, in that order.
        seeds: of every variant.
        runs: variant by variant, seed by seed.
        skipped: default variants that are no model here -> why.
    """

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    skipped: dict[str, str]


def plan_study(
    out: Path,
    preset: str = DEFAULT_PRESET,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    settings: Sequence[str] = (),
) -> Plan:
    """Plans variants x seeds; nothing is written.

    Args:
        out: the study's folder; every run gets ``<variant>/seed-<n>`` in it.
        preset: name or path.
        variants: names, paths or combinations; none take `DEFAULT_VARIANTS`.
        seeds: of every variant, so that differences can be paired.
        settings: ``section.field=value`` of every run.

    Raises:
        InputError: a name or setting is wrong, something is listed twice, or a folder holds another run.
    """
    resolve(preset, BASELINE, settings)  # what is wrong with the preset or a setting is no reason to skip a variant
    skipped: dict[str, str] = {}
    if not variants:
        variants = _legal_defaults(preset, settings, skipped)
    _check_once("--variant", variants)
    _check_once("--seeds", seeds)
    runs = [
        _planned(resolve(preset, variant, settings, seed).config, out / folder_name(variant) / f"seed-{seed}")
        for variant in variants
        for seed in seeds
    ]
    for run in runs[:: len(seeds)]:
        spec_for(run.config)  # likewise a patch that does not fit the images
    return Plan(tuple(variants), tuple(seeds), tuple(runs), skipped)


def folder_name(variant: str) -> str:
    """A folder's name for a variant: the variant itself if that is a plain name, else made safe and told apart."""
    if _PLAIN_NAME.fullmatch(variant):
        return variant
    digest = hashlib.sha256(variant.encode(errors="surrogateescape")).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", variant).strip("-.")[-60:]
    return f"{readable}-{digest}" if readable else digest


def _planned(config: RunConfig, folder: Path) -> PlannedRun:
    """The run, once what lies in its folder is known to be an earlier part of it, or nothing."""
    begun = run_folder.look(RunFolder(folder), config, resume=True) is not None
    finished = begun and RunFolder(folder).is_finished()
    if finished:
        read_result(folder)  # a damaged one must not surface after hours of other runs
    return PlannedRun(config, folder, finished)


def _legal_defaults(preset: str, settings: Sequence[str], skipped: dict[str, str]) -> list[str]:
    """The default variants that make a model; the others are filed in `skipped`. The baseline is known to be legal."""
    legal: list[str] = []
    for variant in DEFAULT_VARIANTS:
        try:
            resolve(preset, variant, settings)
        except InputError as error:
            skipped[variant] = str(error)
        else:
            legal.append(variant)
    return legal


def _check_once(option: str, values: Sequence[object]) -> None:
    if not values:
        raise InputError(f"{option}: a study needs at least one")
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{option} {value}: listed twice")
