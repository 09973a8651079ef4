"""Building a model to count it: shapes without weights."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, ImageSpec, TextSpec

_FILLS = frozenset(
    {
        init.normal_,
        init.uniform_,
        init.trunc_normal_,
        init.kaiming_normal_,
        init.kaiming_uniform_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
    }
)
"""Random initialisation. On the meta device there is nothing to fill, but torch imports its compiler to do so."""


class _SkipFills(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def example_inputs(config: RunConfig, spec: DataSpec, batch_size: int) -> tuple[Tensor, ...]:
    """What the config's model takes for a batch of the longest examples; values mean nothing."""
    if isinstance(spec, ImageSpec):
        return (torch.empty(batch_size, spec.channels, spec.height, spec.width),)
    tokens = torch.zeros(batch_size, cast(TextSpec, spec).seq_len, dtype=torch.long)
    return (tokens, tokens) if config.model.decoder_depth else (tokens,)


@contextmanager
def weightless() -> Generator[None]:
    """Modules made in this context have shapes and no memory, and their initialisers cost nothing."""
    with torch.device("meta"), _SkipFills():
        yield
