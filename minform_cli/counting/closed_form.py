"""The closed form of a whole model's parameters by group, from those of its parts."""

from __future__ import annotations

from minform_cli.config.schema import ModelConfig
from minform_cli.counting.chains import chained_difference
from minform_cli.counting.formulas import (
    FINAL_NORMS,
    HEAD,
    HEADS_COUNTED_APART,
    MLP,
    NORMS_PER_SUBLAYER,
    POOLER,
    QUERY_KEY,
    STACK_VALUE_OUTPUT,
    VALUE_OUTPUT,
    embedding_numbers,
    sizes,
)
from minform_cli.data.spec import DataSpec
from minform_cli.results import GROUPS


def closed_form(model: ModelConfig, spec: DataSpec, task: str) -> dict[str, int]:
    """Trainable numbers by group of the whole model, but for a head that is counted apart; shared blocks once."""
    s = sizes(model)
    attentions, mlps = model.num_attentions, model.num_blocks + model.num_decoder_blocks
    sublayers = attentions + (0 if model.mlp.kind == "none" else mlps)
    stacks = 2 if model.decoder_depth else 1
    norms = sublayers * NORMS_PER_SUBLAYER[model.norm.kind] + stacks * FINAL_NORMS[model.norm.kind]
    in_stack = STACK_VALUE_OUTPUT.get(model.value.kind, lambda _: 0)
    embedding, embedding_norms = embedding_numbers(model, spec)
    groups = {
        "embedding": embedding,
        "query_key": attentions * QUERY_KEY[model.similarity.kind](s),
        "value_output": attentions * VALUE_OUTPUT[model.value.kind](s) + in_stack(s),
        "mlp": mlps * MLP[model.mlp.kind](s),
        "norm": (norms + embedding_norms * NORMS_PER_SUBLAYER[model.norm.kind]) * 2 * s.n,
        "head": POOLER[model.readout.kind](s) + (0 if task in HEADS_COUNTED_APART else HEAD[task](s, model, spec)),
    }
    assert tuple(groups) == GROUPS
    for group, difference in chained_difference(model).items():
        groups[group] += difference
    return groups
