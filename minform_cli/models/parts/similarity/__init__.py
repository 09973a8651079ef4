"""The similarities: from tokens to the queries and keys whose products are the scores."""

from minform_cli.models.parts.similarity.base import SIMILARITIES, Similarity
from minform_cli.models.parts.similarity.cholesky import Cholesky
from minform_cli.models.parts.similarity.collapsed import Collapsed
from minform_cli.models.parts.similarity.cross_layer import CrossLayer
from minform_cli.models.parts.similarity.grouped import Grouped
from minform_cli.models.parts.similarity.identity_key import IdentityKey
from minform_cli.models.parts.similarity.identity_query import IdentityQuery
from minform_cli.models.parts.similarity.latent import Latent
from minform_cli.models.parts.similarity.low_rank import LowRank
from minform_cli.models.parts.similarity.mirrored import Mirrored
from minform_cli.models.parts.similarity.pairwise import Pairwise
from minform_cli.models.parts.similarity.separate import Separate
from minform_cli.models.parts.similarity.tied import Tied

__all__ = [
    "SIMILARITIES",
    "Cholesky",
    "Collapsed",
    "CrossLayer",
    "Grouped",
    "IdentityKey",
    "IdentityQuery",
    "Latent",
    "LowRank",
    "Mirrored",
    "Pairwise",
    "Separate",
    "Similarity",
    "Tied",
]
