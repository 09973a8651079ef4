"""The tensors of a file of weights, handed out by name; what nobody asked for is known at the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from minform_cli.errors import InputError, did_you_mean


class Theirs:
    """Named tensors of another library.

    Args:
        where: the file or folder they are from, for messages.
        tensors: they themselves; any numbers, any device.
        aliases: another name -> the name in the file, for files that write the same tensor in several ways.
        wanted: what says which shape a tensor must have, for messages.
    """

    def __init__(
        self,
        where: str,
        tensors: Mapping[str, Tensor],
        aliases: Mapping[str, str] | None = None,
        wanted: str = "its settings make it",
    ) -> None:
        self.where, self.wanted = where, wanted
        self._tensors = dict(tensors)
        self._aliases = dict(aliases or {})
        self._taken: set[str] = set()
        self._left: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """All, as the file has them."""
        return list(self._tensors)

    @property
    def numbers(self) -> dict[str, int]:
        """How many numbers each has, whole numbers (positions, say) included."""
        return {name: tensor.numel() for name, tensor in self._tensors.items()}

    def whole_numbers(self) -> list[str]:
        """Names of the tensors of whole numbers."""
        return [name for name, tensor in self._tensors.items() if not tensor.is_floating_point()]

    def renamed(self, aliases: Mapping[str, str]) -> Theirs:
        """The same tensors, some of them under another name, too: other name -> name in the file.

        What is taken from one of both counts as used in both.
        """
        found = Theirs(self.where, self._tensors, {**self._aliases, **aliases}, self.wanted)
        found._taken, found._left = self._taken, self._left
        return found

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return self.named(name) in self._tensors

    def named(self, name: str) -> str:
        """What the file calls the tensor that goes by this name."""
        return name if name in self._tensors else self._aliases.get(name, name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that must be there; it is not used by this.

        Raises:
            InputError: it is missing.
        """
        return tuple(self._get(name).shape)

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """The tensor in float32, which counts as used.

        Args:
            name: of it.
            shape: what it must have; None: any.

        Raises:
            InputError: it is missing, of another shape, of whole numbers, or not finite.
        """
        tensor = self._get(name)
        if shape is not None and tuple(tensor.shape) != shape:
            raise InputError(
                f"{self.where}: tensor {self.named(name)} is {tuple(tensor.shape)}, and {self.wanted} {shape}"
            )
        if not tensor.is_floating_point():
            raise InputError(f"{self.where}: tensor {self.named(name)} is of {_dtype(tensor)}; accepted: real numbers")
        found = tensor.detach().to("cpu", torch.float32).contiguous()
        if not torch.isfinite(found).all():
            raise InputError(f"{self.where}: tensor {self.named(name)} holds NaN or infinity; accepted: finite numbers")
        self._taken.add(self.named(name))
        return found

    def same(self, name: str, other: str) -> bool:
        """Whether both are there and equal, number by number."""
        return self.has(name) and self.has(other) and torch.equal(self._get(name), self._get(other))

    def leave(self, why: str, *names: str) -> None:
        """Says why tensors are left over; those that are not there need no reason."""
        self._left |= {self.named(name): why for name in names if self.has(name)}

    def leave_below(self, why: str, prefix: str) -> None:
        """Likewise of all whose name begins so."""
        shown = {alias for alias, name in self._aliases.items() if name in self._tensors} | self._tensors.keys()
        self.leave(why, *(name for name in shown if name.startswith(prefix)))

    def used(self) -> dict[str, Tensor]:
        """Those that somebody took, by the file's names, in float32."""
        return {name: self._tensors[name].detach().float() for name in self._tensors if name in self._taken}

    def unused(self) -> set[str]:
        """Those that nobody took."""
        return self._tensors.keys() - self._taken

    def left_over(self, otherwise: str) -> dict[str, str]:
        """Each tensor that nobody took, in the file's order -> why; `otherwise` where nobody said."""
        unused = self.unused()
        return {name: self._left.get(name, otherwise) for name in self._tensors if name in unused}

    def notes(self) -> tuple[str, ...]:
        """That numbers were converted, if any were."""
        kinds = {_dtype(tensor) for name, tensor in self._tensors.items() if name in self._taken} - {"float32"}
        return (f"{' and '.join(sorted(kinds))} in the file, float32 in the run",) if kinds else ()

    def _get(self, name: str) -> Tensor:
        found = self._tensors.get(self.named(name))
        if found is None:
            near = did_you_mean(name, self._tensors)
            raise InputError(f"{self.where}: tensor {name} is missing{near}; accepted: a file with all of its weights")
        return found


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
