"""Axis `similarity`: how the attention scores of one query and one key come about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis

if TYPE_CHECKING:
    from minform_cli.config.schema import ModelConfig

SIMILARITY = new_axis("similarity", "how attention scores are computed")
MINIMUM = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732"


def _dead_key_bias(model: ModelConfig) -> dict[str, int]:
    """The key bias adds the same number to all scores of a query; softmax cancels it, unless K = V makes it a value."""
    if model.bias.kind != "all" or model.value.kind == "key":
        return {}
    return {"similarity.w_k.bias": model.dim * model.num_attentions}


@SIMILARITY.part
class Separate(PartOptions, frozen=True):
    """Own projections for queries and keys, the standard Transformer."""

    kind: Literal["separate"] = "separate"
    meaning = "own W_Q and W_K (standard attention)"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.2"

    def dead_numbers(self, model: ModelConfig) -> dict[str, int]:  # noqa: D102
        return _dead_key_bias(model)


@SIMILARITY.part
class Collapsed(PartOptions, frozen=True):
    """The product W_Q W_K^T of every head as one N x N matrix."""

    kind: Literal["collapsed"] = "collapsed"
    meaning = "W_Q W_K^T of each head collapsed into one N x N matrix W_QK"
    source = f"{MINIMUM}, collapsed W_QK"


@SIMILARITY.part
class Tied(PartOptions, frozen=True):
    """W_K := W_Q in every head: scores are symmetric. What the paper ran as `symmetric`."""

    kind: Literal["tied"] = "tied"
    meaning = "W_K := W_Q, symmetric scores"
    source = f"{MINIMUM}, symmetric similarity; arXiv 2406.06366, symmetric dot-product attention"


@SIMILARITY.part
class Mirrored(PartOptions, frozen=True):
    """A symmetric d x d matrix per head, its free triangle stored; may be indefinite."""

    kind: Literal["mirrored"] = "mirrored"
    meaning = "symmetric d x d matrix per head with w_ij = w_ji"
    source = f"{MINIMUM}, symmetric similarity by mirrored weights"


@SIMILARITY.part
class Cholesky(PartOptions, frozen=True):
    """T T^T per head with T lower triangular: symmetric and positive semidefinite."""

    kind: Literal["cholesky"] = "cholesky"
    meaning = "T T^T per head, T lower triangular (positive semidefinite)"
    source = f"{MINIMUM}, symmetric similarity by a Cholesky factor"


@SIMILARITY.part
class Pairwise(PartOptions, frozen=True):
    """One projection for both roles and a full d x d matrix between the features of a head.

    Attributes:
        noise: standard deviation added to the identity that P starts from (the authors start from N(0, 1)).
    """

    kind: Literal["pairwise"] = "pairwise"
    noise: float = Field(default=0.02, ge=0)
    meaning = "Q P Q^T: one projection and pairwise coefficients P per head"
    source = "Symmetric Dot-Product Attention for Efficient Training of BERT, arXiv 2406.06366"


@SIMILARITY.part
class IdentityKey(PartOptions, frozen=True):
    """K_h = x_h: the input itself is asked, only queries are projected."""

    kind: Literal["identity-key"] = "identity-key"
    meaning = "W_K = I: the input itself is the key"
    source = "Anthe, arXiv 2305.10991, the keys of KgV attention"


@SIMILARITY.part
class IdentityQuery(PartOptions, frozen=True):
    """Q_h = x_h: the input itself asks, only keys are projected."""

    kind: Literal["identity-query"] = "identity-query"
    meaning = "W_Q = I: the input itself is the query"
    source = "W_K, W_V is Probably All You Need, arXiv 2510.23912"

    def dead_numbers(self, model: ModelConfig) -> dict[str, int]:  # noqa: D102
        return _dead_key_bias(model)
