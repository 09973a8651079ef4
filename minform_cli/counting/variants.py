"""Which of a preset's variants make a model, and which of those are for its examples."""

from __future__ import annotations

from dataclasses import replace

from minform_cli.config import legality
from minform_cli.config.presets import Recipe
from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, TextSpec, check_fits
from minform_cli.errors import InputError
from minform_cli.tasks import check_task


def check(config: RunConfig, spec: DataSpec) -> None:
    """Raises `InputError` unless the config's model takes the examples that `spec` describes, and its task both."""
    check_fits(config, spec)
    check_task(config, spec)


def spec_of(config: RunConfig, spec: DataSpec) -> DataSpec:
    """`spec` of a preset's data with the vocabulary of one of its variants, which may bring its own (``run:``)."""
    if isinstance(spec, TextSpec) and spec.vocab_size != config.data.vocab_size:
        return replace(spec, vocab_size=config.data.vocab_size)
    return spec


def fits(config: RunConfig, spec: DataSpec) -> bool:
    """Whether the config's parts go together, and with such examples."""
    try:
        legality.check(config.model)
        check(config, spec)
    except InputError:
        return False
    return True


def fitting_variants(recipe: Recipe, spec: DataSpec) -> list[RunConfig]:
    """The configs of all shipped variants that make a model for these examples, the baseline first.

    Raises:
        InputError: not even the baseline does.
    """
    baseline, *others = recipe.legal()
    check(baseline, spec)
    return [baseline, *(config for config in others if fits(config, spec))]
