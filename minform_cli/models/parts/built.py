"""A matrix made of fewer numbers than it has: made anew where they learn, kept where they do not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Built(nn.Module):
    """Base of the modules that multiply with a matrix which they make of their parameters and buffers."""

    _kept: tuple[object, Tensor] | None = None

    def build(self) -> Tensor:
        """Makes the matrix; gradients go through."""
        raise NotImplementedError

    def built(self) -> Tensor:
        """The matrix.

        In evaluation mode, where nobody asks for gradients, it is kept until a number that it is made of changes, or
        the mode, the device or the number format does. What traces the model sees how it is made.
        """
        asked = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.parameters())
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        if self.training or asked or traced:
            return self.build()
        try:
            now = tuple((each.data_ptr(), each._version) for each in (*self.parameters(), *self.buffers()))
        except RuntimeError:  # a tensor without memory or version: one that only stands for another
            return self.build()
        if self._kept is None or self._kept[0] != now:
            with torch.inference_mode(mode=False), torch.no_grad():
                self._kept = now, self.build()
        return self._kept[1]

    def train(self, mode: bool = True) -> Any:  # noqa: D102  (torch's signature)
        self._kept = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._kept = None
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}
