"""How far a model's outputs are from those of another one that it follows (distillation), for every kind of output.

Each gives the mean over rows, a scalar that is 0 where both agree. Source: Hinton, Vinyals and Dean 2015, arXiv
1503.02531, section 2: outputs divided by a temperature T, and the factor T^2, which keeps the gradient's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def of_classes(outputs: Float[Tensor, "p m"], wanted: Float[Tensor, "p m"], temperature: float) -> Tensor:
    """T^2 KL(softmax(wanted / T), softmax(outputs / T)) in nats."""
    given = F.log_softmax(outputs / temperature, dim=-1)
    target = F.log_softmax(wanted / temperature, dim=-1)
    return F.kl_div(given, target, reduction="batchmean", log_target=True) * temperature**2


def of_scores(outputs: Float[Tensor, "p m"], wanted: Float[Tensor, "p m"]) -> Tensor:
    """Their mean squared difference."""
    return F.mse_loss(outputs, wanted)


def of_vectors(outputs: Float[Tensor, "p n"], wanted: Float[Tensor, "p n"]) -> Tensor:
    """1 - cosine."""
    return (1 - F.cosine_similarity(outputs, wanted, dim=-1)).mean()


def agreement(predictions: Tensor, wanted: Tensor) -> float:
    """The share of predicted classes that are the same, 0 to 1; of scores their correlation (Pearson), 0 if undefined.

    Args:
        predictions: (n,), class numbers or scores.
        wanted: (n,) of the other model.
    """
    if not wanted.is_floating_point():
        return int((predictions == wanted).sum()) / len(wanted)
    found = float(torch.corrcoef(torch.stack([predictions.double(), wanted.double()]))[0, 1])
    return found if found == found else 0.0
