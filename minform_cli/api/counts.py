"""What variants have in parameters and cost: `count` and its neighbours, which train nothing."""

from __future__ import annotations

from collections.abc import Sequence

from minform_cli.api.checks import checked_spec
from minform_cli.config.names import BASELINE, DEFAULT_PRESET
from minform_cli.config.presets import Recipe
from minform_cli.config.schema import RunConfig
from minform_cli.counting.budget import fitting
from minform_cli.counting.records import CountedRecord, LayerRecord
from minform_cli.counting.variants import check, fitting_variants, spec_of
from minform_cli.data.spec import DataSpec
from minform_cli.errors import InputError
from minform_cli.foreign.records import ModelRecord


def count(
    preset: str = DEFAULT_PRESET,
    variants: Sequence[str] = (),
    settings: Sequence[str] = (),
    *,
    examples: int | None = None,
    outputs: int | None = None,
    batch_size: int | None = None,
    budget: str | None = None,
    verify: bool = False,
) -> list[CountedRecord]:
    """Counts variants of a preset without training and without allocating a weight.

    Args:
        preset: a shipped preset's name or a path to a YAML file.
        variants: names or paths, each possibly joined by ``+``; none means every shipped variant that is legal.
        settings: ``section.field=value`` texts.
        examples, outputs: K and M of the determination ratio Q = K M / P, over the data set's own.
        batch_size: examples whose activations are counted, too.
        budget: ``10%``, ``500k``: instead of `variants`, all combinations of shipped ones that fit, smallest first.
        verify: whether every model is built, too, and compared with what is counted of it.

    Returns:
        One record a variant, in the order given.

    Raises:
        InputError: a name, key or value is wrong, or a variant asked for is no legal model.
    """
    configs, spec = counted_configs(preset, variants, settings, budget)
    if verify:
        verify_configs(configs, spec)
    return count_configs(configs, spec, examples=examples, outputs=outputs, batch_size=batch_size)


def count_configs(
    configs: Sequence[RunConfig],
    spec: DataSpec,
    *,
    examples: int | None = None,
    outputs: int | None = None,
    batch_size: int | None = None,
) -> list[CountedRecord]:
    """One record a config; `count` for what `counted_configs` returned."""
    from minform_cli.counting.count import count_config
    from minform_cli.counting.exact import removable
    from minform_cli.counting.memory import cost_record

    records: list[CountedRecord] = []
    for config in configs:
        own = spec_of(config, spec)
        counted = count_config(config, own, examples=examples, outputs=outputs)
        kept = _activation_bytes(config, own, batch_size)
        cost = cost_record(config, own, counted["parameters"], batch_size, kept)
        records.append(CountedRecord(**counted, cost=cost, removable=removable(config, own)))
    return records


def verify_configs(configs: Sequence[RunConfig], spec: DataSpec) -> None:
    """Builds every config's model without allocating a weight and compares it with its Form, module by module.

    Raises:
        AssertionError: they differ (our bug).
    """
    from minform_cli.models.verify import verify

    for config in configs:
        verify(config, spec_of(config, spec))


def _activation_bytes(config: RunConfig, spec: DataSpec, batch_size: int | None) -> int | None:
    """What autograd keeps of so many examples; nothing else that is counted needs torch."""
    if batch_size is None:
        return None
    from minform_cli.models.activations import activation_bytes

    return activation_bytes(config, spec, batch_size)


def count_model(source: str) -> ModelRecord:
    """Counts a model of another library, and what each reduction that applies would save. Nothing is allocated.

    Args:
        source: ``timm:NAME``, ``torchvision:NAME``, ``hf:FOLDER_OR_NAME`` or ``python:PACKAGE.MODULE:FUNCTION``, a
            function without arguments that returns the model.

    Returns:
        Parameters by group, what was not recognised, tensors that stand in several places, and one record a reduction.

    Raises:
        InputError: the source or the name is unknown, the library is not installed, or the model cannot be built.
    """
    from minform_cli.foreign.model import count_model as count_foreign

    return count_foreign(source)


def layers(
    preset: str = DEFAULT_PRESET,
    variants: Sequence[str] = (),
    settings: Sequence[str] = (),
    *,
    verify: bool = False,
) -> list[LayerRecord]:
    """Where in the models their parameters are: one record a module, variant after variant.

    Args:
        preset, settings: as for `count`.
        variants: as for `count`; none means the baseline.
        verify: as for `count`.

    Raises:
        InputError: as `count`.
    """
    configs, spec = counted_configs(preset, variants or [BASELINE], settings)
    if verify:
        verify_configs(configs, spec)
    from minform_cli.counting.layers import layer_records

    return [record for config in configs for record in layer_records(config, spec_of(config, spec))]


def counted_configs(
    preset: str, variants: Sequence[str], settings: Sequence[str], budget: str | None = None
) -> tuple[list[RunConfig], DataSpec]:
    """The configs that `count` counts, and their data set's spec."""
    recipe = Recipe(preset, settings)
    if budget is not None and variants:
        raise InputError("--budget: finds the variants itself; accepted: --budget or --variant")
    if variants:
        configs = [recipe.resolve(name).config for name in variants]
        spec = checked_spec(configs[0])
        for config in configs[1:]:
            check(config, spec_of(config, spec))
        return configs, spec
    spec = checked_spec(recipe.resolve(BASELINE).config)
    return (fitting_variants(recipe, spec) if budget is None else fitting(recipe, budget, spec)), spec
