"""What is known of a run before its first step: its settings are legal, its data are there, its model takes them.

Everything is looked at once here and handed down as a value. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from minform_cli.config import legality
from minform_cli.config.presets import Resolved
from minform_cli.config.schema import RunConfig
from minform_cli.counting.variants import check
from minform_cli.data.source import Source, opened
from minform_cli.data.spec import DataSpec
from minform_cli.runs.measured import data_as, same_answers, spec_as
from minform_cli.runs.stored import StoredRun, finished_run
from minform_cli.tasks import TASKS, check_known, check_labels

if TYPE_CHECKING:
    from minform_cli.data.load import Data


@dataclass(frozen=True)
class Prepared:
    """A run that can be trained.

    Attributes:
        config: every setting.
        source: its data, their files listed once.
        origins: dotted key -> where its value came from; empty where nobody knows.
        continued: the run all of whose weights it starts from; None: there is none.
    """

    config: RunConfig
    source: Source
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    continued: StoredRun | None = None

    @property
    def spec(self) -> DataSpec:
        """Of its data, as far as their files need not be read for it."""
        return self.source.spec if self.continued is None else spec_as(self.continued, self.source.spec)

    @property
    def labelled(self) -> bool:
        """Whether the labels of its data are those of its task."""
        if self.source.labelled is not None:
            return self.source.labelled
        if self.continued is None:
            return TASKS.info(self.config.task).has_labels
        return same_answers(self.continued, self.source.spec)

    def load(self, tell: Callable[[str], None] | None = None) -> Data:
        """Its data; errors as `Source.load` raises them."""
        data = self.source.load(tell)
        return data if self.continued is None else data_as(self.continued, data)


def prepare(run: Resolved | RunConfig, source: Source | None = None) -> Prepared:
    """The run, once all that can be wrong with it is checked.

    Args:
        run: resolved, so that its parts are known to go together; or its settings alone, which are checked here.
        source: its data, where somebody has opened them.

    Raises:
        InputError: the task is unknown or does not go with the data, the parts do not go together, the data are not
            there, or the model does not take them.
    """
    config, origins = (run.config, run.origins) if isinstance(run, Resolved) else (run, {})
    if isinstance(run, RunConfig):
        legality.check(config.model)
    check_known(config)
    if config.teacher is None:
        check_labels(config)
    continued = None if config.continues is None else finished_run(Path(config.continues))
    found = Prepared(config, source or opened(config.data), origins, continued)
    check(config, found.spec)
    return found
