"""The value paths: what attention mixes, and the map back to the model's width."""

from minform_cli.models.parts.value.base import VALUES, Value, ValueMaps
from minform_cli.models.parts.value.collapsed import Collapsed
from minform_cli.models.parts.value.cross_layer import CrossLayer
from minform_cli.models.parts.value.grouped import Grouped
from minform_cli.models.parts.value.keys import Key, KeyGatedValue
from minform_cli.models.parts.value.latent import Latent
from minform_cli.models.parts.value.low_rank import LowRank
from minform_cli.models.parts.value.omitted import Omitted, StackCollapsed, StackOutput, stack_output
from minform_cli.models.parts.value.separate import Separate

__all__ = [
    "VALUES",
    "Collapsed",
    "CrossLayer",
    "Grouped",
    "Key",
    "KeyGatedValue",
    "Latent",
    "LowRank",
    "Omitted",
    "Separate",
    "StackCollapsed",
    "StackOutput",
    "Value",
    "ValueMaps",
    "stack_output",
]
