"""A data set under the settings of one data section, its files looked at once. Imports neither torch nor numpy.

Whoever needs more than the spec opens the source once and hands it down; it holds plain values and can be sent to
another process. ``spec.described`` is for those who need the spec alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import DataSpec, checked_set

if TYPE_CHECKING:
    from minform_cli.data.load import Data


@dataclass(frozen=True)
class Source:
    """What was found at a data section's files.

    Attributes:
        data: the data section.
        spec: what the data set says of itself; `spec.check_fits` says whether a model takes it.
        files: what its reader found when it listed the files, for `load`; None where there is nothing to list.
        notes: what the user should know of the files as they lie there, a sentence each; `load` repeats them among
            those of the data.
        labelled: whether the labels are those of the task they are for; None: what the spec says of them.
    """

    data: DataConfig
    spec: DataSpec
    files: object = None
    notes: tuple[str, ...] = ()
    labelled: bool | None = None

    def load(self, tell: Callable[[str], None] | None = None) -> Data:
        """The examples, with their fingerprint; no folder is listed again.

        Args:
            tell: is told what takes long.

        Raises:
            InputError: a file is missing, damaged or of another shape, or cannot be downloaded.
            MachineError: a download cannot be written.
        """
        from minform_cli.data.load import load_source

        return load_source(self, tell)


@dataclass(frozen=True, kw_only=True)
class Loaded(Source):
    """Examples that somebody has loaded, or made, already: `examples`."""

    examples: Data = field(repr=False, compare=False)

    def load(self, tell: Callable[[str], None] | None = None) -> Data:  # noqa: ARG002  (nothing takes long)
        """Those."""
        return self.examples


def opened(data: DataConfig) -> Source:
    """The data set that `data` asks for: its files listed, if they are the user's, and its spec.

    Raises:
        InputError: it is unknown, a setting has no use for it, or its files are asked for and absent.
    """
    data_set = checked_set(data)
    look = getattr(data_set, "look", None)
    files = None if look is None else look(data)
    if files is None:
        return Source(data, data_set.spec(data))
    return Source(data, data_set.spec(data, files), files, tuple(files.notes))
