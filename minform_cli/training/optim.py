"""The optimiser, which weights decay, and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn

from minform_cli.config.schema import TrainConfig

BETA1 = 0.9
UNDECAYED = frozenset({"positions", "class_token", "bias"})
"""A parameter with one of these in its dotted name never decays, whatever its shape."""


def make_optimizer(model: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the unique parameters of `model`, in two groups: with and without weight decay.

    The fused implementation updates all tensors in one call. On a CPU, for a model 64 wide, it takes a fifth of the
    time of the default one, and it repeats to the bit.
    """
    decayed = [p for name, p in model.named_parameters() if decays(name, p)]
    undecayed = [p for name, p in model.named_parameters() if not decays(name, p)]
    groups = [{"params": decayed, "weight_decay": train.weight_decay}, {"params": undecayed, "weight_decay": 0.0}]
    cls = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return cls(groups, lr=train.learning_rate, betas=(BETA1, train.beta2), fused=True)


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices that map one vector to another, and to nothing else.

    Decay on the product of two maps is a prior on the map; on a bias, a norm's scale, a position or the class token
    it would only pull towards an arbitrary point.
    """
    return parameter.ndim >= 2 and UNDECAYED.isdisjoint(name.split("."))


def learning_rate(step: int, steps_per_epoch: int, train: TrainConfig) -> float:
    """The step size of the 0-based `step`, a pure function of it: nothing to save, so resume is exact.

    Rises linearly over the warm-up to the peak, which the last warm-up step has; then falls as half a cosine
    to zero at the end of training, or stays.
    """
    warmup = train.num_warmup_steps(steps_per_epoch)
    total = train.num_steps(steps_per_epoch)
    if step + 1 < warmup:
        return train.learning_rate * (step + 1) / warmup
    if train.schedule == "constant" or total <= warmup:
        return train.learning_rate
    progress = max(step - warmup, 0.0) / (total - warmup)
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
