"""Where in a model its parameters are: one record a module, from the whole model down to its linear maps."""

from __future__ import annotations

from minform_cli.config.schema import RunConfig
from minform_cli.counting.form import counted_form
from minform_cli.counting.parameters import modules
from minform_cli.counting.records import LayerRecord
from minform_cli.data.spec import DataSpec


def layer_records(config: RunConfig, spec: DataSpec) -> list[LayerRecord]:
    """The modules of the config's model that have parameters, each after the one it belongs to.

    A tensor counts once, where it stands first, so that the records of one level add up to the one above; numbers that
    a module has beside its submodules make up the rest.
    """
    form = counted_form(config.model, spec, config.task)
    found = list(modules(form))
    totals = {module.path: 0 for module in found}
    for module in found:
        for end, sign in enumerate(f"{module.path}."):
            if sign == ".":
                totals[module.path[:end]] += module.own
        totals[""] += module.own if module.path else 0
    again = {
        f"{stack.path}.{block}"
        for stack in (form.encoder, form.decoder)
        if stack is not None
        for block in set(stack.order)
        if stack.order.count(block) > 1
    }
    return [
        LayerRecord(
            variant=config.variant,
            path=module.path or "model",
            level=module.path.count(".") + 1 if module.path else 0,
            kind=module.kind,
            parameters=totals[module.path],
            share_of_model=totals[module.path] / totals[""],
            shared=module.path in again,
        )
        for module in found
        if totals[module.path]
    ]
