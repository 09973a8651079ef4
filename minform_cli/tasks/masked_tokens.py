"""Task `masked-tokens`: tokens that were hidden, from those on both sides of them.

The head is BERT's: y = LN(gelu(x W + b)), then outputs over the vocabulary, tied to its vectors, with a bias.
Numbers: N^2 + N + 2 N + V, and V N where the output is not tied; tied to vectors of E columns, all of it is as wide as
they are, as ALBERT's. Published counts leave them out.
Source: BERT, arXiv 1810.04805, section 3.1 and appendix A.1; ALBERT, arXiv 1909.11942.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from minform_cli.config.axes.bias import has_bias
from minform_cli.config.schema import ModelConfig
from minform_cli.data.spec import DataSpec
from minform_cli.tasks import read_dim
from minform_cli.tasks.vocabulary import TokenTask, VocabularyMap

EPS = 1e-12
"""Of the head's LayerNorm in a model without norms; else it is that of the others, as BERT's and RoBERTa's is."""


class MaskedTokenHead(nn.Module):
    """W, b -> `dense`, LN -> `norm`, outputs -> `output`."""

    def __init__(self, model: ModelConfig, spec: DataSpec) -> None:
        super().__init__()
        bias = has_bias(model)
        read = read_dim(model)
        self.dense = nn.Linear(model.dim, read, bias=bias)
        self.norm = nn.LayerNorm(read, eps=getattr(model.norm, "eps", EPS))
        self.output = VocabularyMap(model, spec, bias=bias, narrowed=True)

    @property
    def first(self) -> nn.Linear:
        """The map that reads the tokens."""
        return self.dense

    def forward(self, x: Float[Tensor, "p n"], table: Float[Tensor, "v e"]) -> Float[Tensor, "p v"]:
        """One output per entry of the vocabulary; `table` are its vectors."""
        return self.output(self.norm(F.gelu(self.dense(x))), table)


class MaskedTokens(TokenTask):
    """One entry of the vocabulary for every token that was hidden."""

    def head(self, model: ModelConfig, spec: DataSpec) -> nn.Module:
        """`MaskedTokenHead`."""
        return MaskedTokenHead(model, spec)


TASK = MaskedTokens()
