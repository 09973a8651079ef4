"""What is known of a run before its first step: its settings are legal, its data are there, its model takes them.

Everything is looked at once here and handed down as a value. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minform_cli.config import legality
from minform_cli.config.presets import Resolved
from minform_cli.config.schema import RunConfig
from minform_cli.counting.variants import check
from minform_cli.data.source import Source, opened
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import check_known, check_labels


@dataclass(frozen=True)
class Prepared:
    """A run that can be trained.

    Attributes:
        config: every setting.
        source: its data, their files listed once.
        origins: dotted key -> where its value came from; empty where nobody knows.
    """

    config: RunConfig
    source: Source
    origins: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def spec(self) -> DataSpec:
        """Of its data, as far as their files need not be read for it."""
        return self.source.spec


def prepare(run: Resolved | RunConfig) -> Prepared:
    """The run, once all that can be wrong with it is checked.

    Args:
        run: resolved, so that its parts are known to go together; or its settings alone, which are checked here.

    Raises:
        InputError: the task is unknown or does not go with the data, the parts do not go together, the data are not
            there, or the model does not take them.
    """
    config, origins = (run.config, run.origins) if isinstance(run, Resolved) else (run, {})
    if isinstance(run, RunConfig):
        legality.check(config.model)
    check_known(config)
    check_labels(config)
    source = opened(config.data)
    check(config, source.spec)
    return Prepared(config, source, origins)
