"""What tensor chains save and cost, beside the dense maps that the other closed forms are about.

Which maps a part has, by role, stands here a second time, written from the formulas and not from the modules. Source:
Anthe, arXiv 2305.10991.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from minform_cli.config.axes.linear import Linear, Role
from minform_cli.config.schema import ModelConfig
from minform_cli.config.tensor_chain import Chain
from minform_cli.counting.formulas import Sizes, sizes


class Map(NamedTuple):
    """One linear map: what it is for, and its widths."""

    role: Role
    dim_in: int
    dim_out: int


Maps = Callable[[Sizes], tuple[Map, ...]]

QUERY_KEY_MAPS: dict[str, Maps] = {
    "separate": lambda s: (Map("qkv", s.n, s.n),) * 2,
    "collapsed": lambda s: (Map("qkv", s.n, s.heads * s.n),),
    "tied": lambda s: (Map("qkv", s.n, s.n),),
    "mirrored": lambda _: (),
    "cholesky": lambda _: (),
    "pairwise": lambda s: (Map("qkv", s.n, s.n),),
    "identity-query": lambda s: (Map("qkv", s.n, s.n),),
    "identity-key": lambda s: (Map("qkv", s.n, s.n),),
}
"""Linear maps of one attention's similarity."""

TWICE_ACROSS = ("tied", "pairwise")
"""Similarities whose one map serves queries and keys: across two sequences it runs twice."""

VALUE_MAPS: dict[str, Maps] = {
    "separate": lambda s: (Map("qkv", s.n, s.n), Map("output", s.n, s.n)),
    "collapsed": lambda s: (Map("output", s.n, s.heads * s.n),),
    "stack-collapsed": lambda _: (),
    "omitted": lambda _: (),
    "key": lambda s: (Map("output", s.n, s.n),),
    "kgv": lambda s: (Map("qkv", s.n, s.n), Map("qkv", s.n, s.n), Map("output", s.n, s.n)),
}
"""Linear maps of one attention's value path."""

STACK_MAPS: dict[str, Maps] = {"stack-collapsed": lambda s: (Map("output", s.n, s.n),)}
"""Linear maps after the last block."""

MLP_MAPS: dict[str, Maps] = {
    "gelu": lambda s: (Map("mlp", s.n, s.hidden), Map("mlp", s.hidden, s.n)),
    "relu": lambda s: (Map("mlp", s.n, s.hidden), Map("mlp", s.hidden, s.n)),
    "swiglu": lambda s: (Map("mlp", s.n, s.gated), Map("mlp", s.n, s.gated), Map("mlp", s.gated, s.n)),
    "none": lambda _: (),
}
"""Linear maps of one block's MLP."""


def chained_difference(model: ModelConfig) -> dict[str, int]:
    """By group, the numbers of the model's chains less those of the dense maps in their place; shared blocks once."""
    s = sizes(model)
    attentions, mlps = model.num_attentions, model.num_blocks + model.num_decoder_blocks

    def difference(maps: tuple[Map, ...]) -> int:
        return sum(chain_numbers(chain) - each.dim_in * each.dim_out for each, chain in _chained(model, maps))

    value = attentions * difference(VALUE_MAPS[model.value.kind](s)) + difference(_stack_maps(model, s))
    return {
        "query_key": attentions * difference(QUERY_KEY_MAPS[model.similarity.kind](s)),
        "value_output": value,
        "mlp": mlps * difference(MLP_MAPS[model.mlp.kind](s)),
    }


def chain_numbers(chain: Chain) -> int:
    """Numbers of the cores: r at the ends and r^2 between them, times the factors of both widths."""
    sizes_of = [i * o for i, o in zip(chain.ins, chain.outs, strict=True)]
    return chain.rank * (sizes_of[0] + sizes_of[-1]) + chain.rank**2 * sum(sizes_of[1:-1])


def chained_macs_difference(model: ModelConfig, tokens: int, planned_for: int) -> int:
    """Multiply-accumulates of the chains less those of the dense maps, forward.

    A chain that is multiplied out to its matrix is so once for all `tokens`.

    Args:
        model: sizes and parts; every run of a shared block costs.
        tokens: that go through each map at once; of both sides of pairs as many.
        planned_for: the tokens that the order of multiplication was chosen for.
    """
    s = sizes(model)
    query_key, value = QUERY_KEY_MAPS[model.similarity.kind](s), VALUE_MAPS[model.value.kind](s)
    across = query_key * (2 if model.similarity.kind in TWICE_ACROSS else 1)
    own = query_key + value + MLP_MAPS[model.mlp.kind](s)
    runs = own * model.depth + (own + across + value) * model.decoder_depth + _stack_maps(model, s)
    return sum(
        chain.macs(chain.cheapest(planned_for), tokens) - tokens * each.dim_in * each.dim_out
        for each, chain in _chained(model, runs)
    )


def chain_notes(model: ModelConfig, planned_for: int) -> list[str]:
    """What was chosen for each size of map, in words; nothing where all maps are dense."""
    s = sizes(model)
    maps = (
        *QUERY_KEY_MAPS[model.similarity.kind](s),
        *VALUE_MAPS[model.value.kind](s),
        *MLP_MAPS[model.mlp.kind](s),
        *_stack_maps(model, s),
    )
    chained = dict.fromkeys(_chained(model, maps))
    if not chained:
        return []
    order = {"matrix": "as one matrix", "first": "from the first core on", "last": "from the last core on"}
    texts = [
        f"{each.dim_in} -> {each.dim_out} as {_product(chain.ins)} -> {_product(chain.outs)}, rank {chain.rank}, "
        f"{chain_numbers(chain):,} numbers, multiplied {order[chain.cheapest(planned_for)]}"
        for each, chain in chained
    ]
    return [f"tensor chains, at about {planned_for:,} tokens a step: {'; '.join(texts)}"]


def _chained(model: ModelConfig, maps: tuple[Map, ...]) -> Iterator[tuple[Map, Chain]]:
    """Those of `maps` that are chains."""
    for each in maps:
        chain = cast(Linear, model.linear).chain(*each)
        if chain is not None:
            yield each, chain


def _stack_maps(model: ModelConfig, s: Sizes) -> tuple[Map, ...]:
    return STACK_MAPS[model.value.kind](s) if model.value.kind in STACK_MAPS else ()


def _product(factors: tuple[int, ...]) -> str:
    return " x ".join(map(str, factors))
