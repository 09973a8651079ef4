"""How a linear map is stored: as one matrix, or as fewer numbers that it is made of."""

from minform_cli.models.parts.linear.base import (
    LINEARS,
    Matrix,
    StoredMap,
    absorbed,
    linear_map,
    plan_chains,
    read_map,
    took_maps,
    write_map,
)
from minform_cli.models.parts.linear.low_rank import AdaptedMap, LowRankMap, nearest
from minform_cli.models.parts.linear.monarch import MonarchMap
from minform_cli.models.parts.linear.tensor_chain import TensorChain

__all__ = [
    "LINEARS",
    "AdaptedMap",
    "LowRankMap",
    "Matrix",
    "MonarchMap",
    "StoredMap",
    "TensorChain",
    "absorbed",
    "linear_map",
    "nearest",
    "plan_chains",
    "read_map",
    "took_maps",
    "write_map",
]
