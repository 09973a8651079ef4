"""Where in a model its parameters are: one record a module, from the whole model down to its linear maps."""

from __future__ import annotations

from torch import nn

from minform_cli.config.schema import RunConfig
from minform_cli.counting.meta import weightless
from minform_cli.data.spec import DataSpec
from minform_cli.models.build import build_counted
from minform_cli.results import LayerRecord


def layer_records(config: RunConfig, spec: DataSpec) -> list[LayerRecord]:
    """The modules of the config's model that have parameters, each after the one it belongs to; nothing is allocated.

    A tensor counts once, where it stands first, so that the records of one level add up to the one above; numbers that
    a module has beside its submodules make up the rest.
    """
    with weightless():
        model = build_counted(config, spec)
    runs = _runs(model)
    records: list[LayerRecord] = []
    seen: set[int] = set()

    def walk(module: nn.Module, path: str, level: int) -> int:
        place = len(records)
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(id(parameter) for parameter in own)
        record = LayerRecord(
            variant=config.variant,
            path=path or "model",
            level=level,
            kind=type(module).__name__,
            parameters=0,
            share_of_model=0.0,
            shared=runs.get(path, 1) > 1,
        )
        records.append(record)
        total = sum(parameter.numel() for parameter in own)
        for name, child in module.named_children():
            total += walk(child, f"{path}.{name}" if path else name, level + 1)
        record["parameters"] = total
        if not total:
            del records[place:]
        return total

    whole = walk(model, "", 0)
    for record in records:
        record["share_of_model"] = record["parameters"] / whole
    return records


def _runs(model: nn.Module) -> dict[str, int]:
    """Path of each block -> how many times it runs in one forward pass."""
    order: tuple[int, ...] = getattr(model, "order", ())
    return {f"blocks.{block}": order.count(block) for block in set(order)}
