"""Data that nobody trains on: what the folder of a run says of them."""

from dataclasses import dataclass

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec, described


@dataclass(frozen=True)
class MadeUp:
    """As far as `runs.folder.begin` looks at them."""

    spec: DataSpec
    fingerprint: str = "0"
    test: object | None = None
    notes: tuple[str, ...] = ()
    tokenizer: bytes | None = None
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)


def data_of(config: RunConfig, fingerprint: str = "0") -> MadeUp:
    spec = described(config.data)
    return MadeUp(spec, fingerprint, tokenizer=None if spec.kind == "images" else b"{}")
