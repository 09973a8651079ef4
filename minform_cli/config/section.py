"""What every section of the settings is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of every section: cannot be changed once made, refuses keys it does not know and NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def is_none(value: object) -> bool:
    """For settings that stand in a file only where they are given."""
    return value is None


def is_zero(value: object) -> bool:
    """Likewise, where zero is none."""
    return value == 0
