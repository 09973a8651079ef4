"""What columns are usually called, and what the name of a score says about it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from minform_cli.tables.records import Better

ROLES = ("variant", "seed", "score", "parameters", "example")
"""What ``--columns`` accepts before ``=``."""

_USUAL = {
    "variant": ("variant", "model", "model_name", "method", "architecture", "arch", "system", "config", "algorithm"),
    "seed": ("seed", "random_seed", "run_seed", "random_state", "rng_seed"),
    "parameters": (
        "parameters", "params", "n_params", "num_params", "n_parameters", "num_parameters", "total_params",
        "total_parameters", "trainable_params", "trainable_parameters", "param_count", "parameter_count",
        "model_num_parameters",
    ),
    "example": (
        "example", "example_id", "sample", "sample_id", "item", "item_id", "doc_id", "question_id", "instance",
        "instance_id", "id", "idx", "index",
    ),
}  # fmt: skip

_HIGHER = {
    "accuracy", "acc", "top1", "top5", "f1", "auc", "auroc", "precision", "recall", "em", "exactmatch", "bleu", "chrf",
    "rouge", "rougel", "meteor", "iou", "miou", "dice", "mcc", "matthews", "r2", "spearman", "pearson", "map", "ndcg",
    "mrr", "psnr", "ssim", "reward", "return", "correct",
}  # fmt: skip
_LOWER = {
    "loss", "nll", "perplexity", "ppl", "bpb", "bpc", "error", "err", "wer", "cer", "ter", "mse", "rmse", "mae", "fid",
}  # fmt: skip
_FRACTIONS = {
    "accuracy", "acc", "top1", "top5", "f1", "auc", "auroc", "precision", "recall", "em", "exactmatch", "iou", "miou",
    "dice", "correct",
}  # fmt: skip
"""Scores that are shares of something, which people read in percent."""

_PREFIX = re.compile(r"^(?:params|metrics|config|summary|hparams|user_attrs)[._/](?=.)")
_SEED = re.compile(r"(?:(?:seed|run)[ _\-=]?)?(\d+)", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+?)[\-_/. ]+(\d+)")
_RUN = re.compile(r"(.+?)[\-_/. ]+(?:seed|run|s)[\-_/=. ]?(\d+)", re.IGNORECASE)


def usual(role: str, columns: Iterable[str]) -> list[str]:
    """The columns that are usually called so: `role` is one of `ROLES` but for the score."""
    return [column for column in columns if _plain(column) in _USUAL[role]]


def scores(columns: Iterable[str]) -> list[str]:
    """The columns whose name is that of a known score, or plainly `score`; the latter alone if it is there."""
    names = list(columns)
    plain = [column for column in names if _plain(column) == "score"]
    return plain or [column for column in names if _words(column) & (_HIGHER | _LOWER)]


def better(score: str) -> Better | None:
    """Which scores of that name are better; None where the name does not say."""
    words = _words(score)
    if words & _LOWER:
        return "lower"
    return "higher" if words & _HIGHER else None


def unit(score: str, values: Iterable[float]) -> Literal["fraction", "percent", ""]:
    """What numbers of that name are: shares within 0..1, shares in percent, or in a unit of their own."""
    words = _words(score)
    if not words & _FRACTIONS or words & _LOWER:
        return ""
    low, high = min(found := list(values)), max(found)
    if low < 0 or high > 100:
        return ""
    return "fraction" if high <= 1 else "percent"


def seed_of_column(column: str) -> str | None:
    """The seed that a column is of, by names as ``seed 3``, ``run_3``, ``3``; None for any other."""
    found = _SEED.fullmatch(column)
    return None if found is None else str(int(found[1]))


def split_run_names(run_names: Sequence[str]) -> list[tuple[str, str]] | None:
    """Variant and seed of each name, as ``minimal-seed3`` and ``minimal/seed_3`` say them; None if any does not.

    ``minimal-3`` says it only beside others that bear the number out, as ``chain-50`` and ``run-12`` are names of their
    own: there are two variants or more, and each shares two numbers or more with every other.
    """
    for pattern in (_RUN, _NUMBERED):
        found = [pattern.fullmatch(name) for name in run_names]
        split = [(each[1], str(int(each[2]))) for each in found if each is not None]
        if split and len(split) == len(run_names) and (pattern is _RUN or _bears_out(split)):
            return split
    return None


def _bears_out(split: Iterable[tuple[str, str]]) -> bool:
    seeds: dict[str, set[str]] = {}
    for variant, seed in split:
        seeds.setdefault(variant, set()).add(seed)
    return len(seeds) > 1 and all(len(one & other) > 1 for one, other in itertools.combinations(seeds.values(), 2))


def shown(score: str) -> str:
    """The name of a score without what a tool puts before it."""
    return _PREFIX.sub("", score)


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", _PREFIX.sub("", column.lower())).strip("_")


def _words(column: str) -> set[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    words = re.findall(r"[a-z0-9]+", apart.lower())
    return {*words, *("".join(pair) for pair in itertools.pairwise(words))}
