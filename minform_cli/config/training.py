"""The settings of a training: section ``train``, and ``distill`` of one that follows another model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from minform_cli.config.section import Settings, is_none


def _is_false(value: object) -> bool:
    return value is False


class TrainConfig(Settings):
    """How the model is trained.

    Attributes:
        epochs: passes over the training examples.
        steps: optimiser steps of the whole run, in place of `epochs`; None: as many as the epochs have.
        batch_size: examples per optimiser step; the last, smaller batch of an epoch is kept.
        batch_tokens: most tokens of a step, filling included, on that side of sentence pairs that has more; None takes
            `batch_size` pairs.
        optimizer: `adamw` (decay apart from the gradient; not on vectors, positions or the class token), `adam`, `sgd`
            (with Nesterov's momentum), or `muon` for the matrices within blocks and `adamw` for the rest, with one
            learning rate: Muon's steps are scaled to the size of AdamW's.
        momentum: of `sgd` (None: 0.9) and `muon` (None: 0.95).
        learning_rate: peak step size.
        weight_decay: decay per step over the learning rate.
        beta2: decay of the second moment; the first is 0.9.
        schedule: `cosine` to zero, or `constant`; both after the warm-up.
        warmup_epochs: epochs of linear warm-up; fractions are allowed.
        warmup_steps: steps of linear warm-up, in place of `warmup_epochs`; None: as many as those have.
        clip_norm: the gradient's total norm is cut to this; None leaves it alone.
        label_smoothing: probability spread over all classes in the training loss.
        eval_batch_size: examples per batch where no gradient is needed.
        accumulate: how many parts of a batch go through the model one after another, for the gradients of the whole
            batch with the memory of a part; None or 1: it goes in one.
        activation_checkpointing: whether a block keeps its input alone for the backward pass, which computes the rest
            again: the same bits, less memory, more time.
        compile: whether training passes are compiled by torch first, which takes a minute or more; measuring is not.
        precision: `bf16` computes outputs and loss under torch's autocast to bfloat16, validation too; weights,
            moments and gradients stay float32. `fp32`: all is float32.
        ema: decay of an average of the weights over the steps (0.999: over about the last thousand; less at the start),
            by which the run is validated and tested and which it keeps as its weights; None: those of the last step.
        time_limit_s: seconds, from the first part of the run on, after which it ends, finished, with a validation after
            the step under way; the learning rate's schedule stays that of the whole run, and what it comes to depends
            on the machine; None: it has all the time it takes.
        early_stop: epochs without a better validation score (nor the same with a lower loss) after which the run ends,
            finished; the learning rate's schedule stays that of the whole run; None: never.
        checkpoint_every_s: least time in seconds between two checkpoints; results do not depend on it.
    """

    epochs: int = Field(default=10, ge=1, le=1_000_000)
    steps: int | None = Field(default=None, ge=1, le=1_000_000_000, exclude_if=is_none)
    batch_size: int = Field(default=64, ge=1)
    batch_tokens: int | None = Field(default=None, ge=1)
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    momentum: float | None = Field(default=None, ge=0, lt=1, exclude_if=is_none)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0)
    warmup_steps: int | None = Field(default=None, ge=0, exclude_if=is_none)
    clip_norm: float | None = Field(default=None, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    eval_batch_size: int = Field(default=1000, ge=1)
    accumulate: int | None = Field(default=None, ge=1, exclude_if=lambda parts: parts is None or parts == 1)
    activation_checkpointing: bool = Field(default=False, exclude_if=_is_false)
    compile: bool = Field(default=False, exclude_if=_is_false)
    precision: Literal["fp32", "bf16"] = Field(default="fp32", exclude_if=lambda precision: precision == "fp32")
    ema: float | None = Field(default=None, gt=0, lt=1, exclude_if=is_none)
    time_limit_s: float | None = Field(default=None, gt=0, exclude_if=is_none)
    early_stop: int | None = Field(default=None, ge=1, exclude_if=is_none)
    checkpoint_every_s: float = Field(default=20.0, ge=0)

    @field_validator("momentum")
    @classmethod
    def _momentum_is_used(cls, momentum: float | None, info: ValidationInfo) -> float | None:
        optimizer = info.data.get("optimizer")
        if momentum is not None and optimizer in ("adamw", "adam"):
            raise ValueError(f"{optimizer} has none; accepted: with train.optimizer sgd or muon")
        return momentum

    def num_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * steps_per_epoch if self.steps is None else self.steps

    def num_epochs(self, steps_per_epoch: int) -> int:
        """Epochs that the run begins; the last one may end early."""
        return -(-self.num_steps(steps_per_epoch) // steps_per_epoch)

    def num_warmup_steps(self, steps_per_epoch: int) -> float:
        """Steps of the warm-up."""
        return self.warmup_epochs * steps_per_epoch if self.warmup_steps is None else self.warmup_steps

    def computed(self) -> dict[str, str]:
        """What a result says of how it was computed, beside the machine: settings that are not as usual."""
        chosen = self.model_dump(include={"precision", "accumulate", "activation_checkpointing", "compile", "ema"})
        return {name: str(value).lower() for name, value in chosen.items()}

    def notes(self, steps_per_epoch: int | None = None) -> tuple[str, ...]:
        """What somebody who trains so should know.

        Args:
            steps_per_epoch: None where nobody knows it: then nothing is said where epochs stand against steps.
        """
        return *self._warmup_notes(steps_per_epoch), *self._precision_notes(), *self._compile_notes()

    def _precision_notes(self) -> tuple[str, ...]:
        if self.precision == "fp32":
            return ()
        return (
            "precision: outputs and losses in bf16 where torch.autocast says so, validation and test too; weights, "
            "moments and gradients are float32",
        )

    def _compile_notes(self) -> tuple[str, ...]:
        if not self.compile:
            return ()
        return (
            "compile: the first steps wait for the compiler; results differ from plain ones by rounding, and where "
            "batches differ in size, as those of texts, a resumed run may differ by rounding, too",
        )

    def _warmup_notes(self, steps_per_epoch: int | None) -> tuple[str, ...]:
        """That the warm-up does not end, and how far it comes."""
        mixed = (self.steps is None) != (self.warmup_steps is None)
        if mixed and steps_per_epoch is None:
            return ()
        in_epochs = self.steps is None and self.warmup_steps is None
        whole = self.epochs if in_epochs else self.num_steps(steps_per_epoch or 1)
        warmup = self.warmup_epochs if in_epochs else self.num_warmup_steps(steps_per_epoch or 1)
        if warmup <= whole:
            return ()
        unit, share = "epochs" if in_epochs else "steps", whole / warmup
        return (
            f"the warm-up of {warmup:g} {unit} is longer than the training of {whole:,}: the "
            f"learning rate reaches {share * self.learning_rate:.3g}, {100 * share:.3g} % of train.learning_rate "
            f"{self.learning_rate:g}; train.warmup_{unit} sets a shorter one",
        )


class DistillConfig(Settings):
    """How a run follows its teacher: beside its outputs. Of no meaning without a teacher.

    Attributes:
        labels: weight of the loss on the task's own labels.
        hidden: weight of 1 - cosine of the tokens after each block, a mean over blocks and tokens.
        temperature: that outputs of classes or tokens are divided by before they are compared.
    """

    labels: float = Field(default=0.0, ge=0)
    hidden: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
