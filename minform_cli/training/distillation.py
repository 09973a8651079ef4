"""Following another run: its outputs and hidden states in place of labels, or beside them (distillation).

loss = divergence of the outputs + `hidden` mean over blocks and tokens of 1 - cos(student, teacher) + `labels` the
task's own loss. The teacher is frozen, in evaluation mode, and sees the student's own batch. The student's block at
depth l of L follows the teacher's at depth ceil(l L' / L) of L': the last follows the last, and what stands where a
block is gone follows the next one that is left.
Sources: Hinton, Vinyals and Dean 2015, arXiv 1503.02531 (outputs); DistilBERT, arXiv 1910.01108 (cosine of states).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minform_cli.config.schema import RunConfig
from minform_cli.models.stack import EncoderDecoder
from minform_cli.tasks import TASKS
from minform_cli.training.evaluate import Scores
from minform_cli.training.objective import Inputs, Labels, labels_loss
from minform_cli.training.precision import full
from minform_cli.training.team import Team
from minform_cli.training.translation import Translations

if TYPE_CHECKING:
    from minform_cli.data.batch import Batch
    from minform_cli.data.spec import DataSpec


class Distillation:
    """An `Objective`: what `student`, a model of `config`, lacks to be as `teacher`.

    Args:
        config: of the student's run.
        spec: of its data.
        student, teacher: on one device.
        labelled: whether the labels of the data are the task's own. Where they are not, splits are measured by how near
            the student is to the teacher.
    """

    def __init__(
        self, config: RunConfig, spec: DataSpec, student: nn.Module, teacher: nn.Module, *, labelled: bool
    ) -> None:
        self._settings = config.distill
        self._task = TASKS.get(config.task)
        self._own = Labels(config, spec) if labelled else None
        self._student = student
        self._teacher = teacher.eval().requires_grad_(False)
        self._smoothing = config.train.label_smoothing
        assert labelled or not self._settings.labels, "labels of other data are refused before"

    @property
    def measures(self) -> tuple[str, ...]:
        """The task's; without its labels, how near the student is."""
        return (self._task.followed_by,) if self._own is None else self._own.measures

    def loss(
        self, forward: Callable[..., Tensor], inputs: Inputs, labels: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The student's outputs, and how far they and its states are from the teacher's."""
        settings = self._settings
        with hidden_states(self._student) as states:
            outputs = full(forward(*inputs))
        with torch.no_grad(), hidden_states(self._teacher) as wanted_states:
            wanted = full(self._teacher(*inputs))
        loss = self._divergence(outputs, wanted, inputs)
        if settings.hidden:
            far = _apart(states, wanted_states, inputs, self._student)
            # A mean over examples, and the loss is weighted by labels: that of a part of a batch is made up for it.
            share = len(cast(Tensor, inputs[0])) / batch.num_examples * batch.size / max(len(labels), 1)
            loss = loss + settings.hidden * share * far
        if settings.labels:
            own = labels_loss(self._task, outputs, labels, self._smoothing, batch)
            loss = loss + settings.labels * own
        return outputs, loss

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """As the task counts; nothing without its labels."""
        return labels.new_zeros((), dtype=torch.int64) if self._own is None else self._own.correct(outputs, labels)

    def score(
        self, model: nn.Module, batches: Iterable[Batch], team: Team, translations: Translations | None = None
    ) -> Scores:
        """As the task measures; without its labels, the divergence, and how near the predictions are."""
        if self._own is not None:
            return self._own.score(model, batches, team, translations)
        model.eval()
        far, num = 0.0, 0
        found: list[Tensor] = []
        wanted: list[Tensor] = []
        with torch.no_grad():
            for batch in batches:
                team.check()
                ours, theirs = (_real_rows(full(each(*batch.inputs)), batch.inputs) for each in (model, self._teacher))
                far += self._task.divergence(ours, theirs, self._settings.temperature).item() * len(ours)
                num += len(ours)
                found.append(self._task.predictions(ours).cpu())
                wanted.append(self._task.predictions(theirs).cpu())
        far, total = team.total([far, float(num)])
        predictions, answers = team.gathered(found), team.gathered(wanted)
        measured = {self._task.followed_by: self._task.agreement(predictions, answers)}
        return Scores(far / total, measured, predictions, answers, torch.empty(0, dtype=torch.int64))

    def _divergence(self, outputs: Tensor, wanted: Tensor, inputs: Inputs) -> Tensor:
        ours, theirs = _real_rows(outputs, inputs), _real_rows(wanted, inputs)
        return self._task.divergence(ours, theirs, self._settings.temperature)


@contextmanager
def hidden_states(model: nn.Module) -> Generator[list[list[Tensor]]]:
    """What the blocks of `model` give in the last forward pass of this context, in the order they ran.

    Yields:
        A list for the encoder's, and one for the decoder's if there is one; each (B, T, N).
    """
    stacks = [cast(Any, model).blocks, *([model.decoder_blocks] if isinstance(model, EncoderDecoder) else [])]
    states: list[list[Tensor]] = [[] for _ in stacks]

    def forget(*_: object) -> None:
        for each in states:
            each.clear()

    def keeper(kept: list[Tensor]) -> Callable[..., None]:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            kept.append(output)

        return keep

    hooks = [model.register_forward_pre_hook(forget)]
    hooks += [
        block.register_forward_hook(keeper(kept))
        for stack, kept in zip(stacks, states, strict=True)
        for block in cast(nn.ModuleList, stack)
    ]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def matched(num: int, num_wanted: int) -> list[int]:
    """For each of `num` depths, from 0, the depth of a model of `num_wanted` that it follows."""
    return [-(-(depth + 1) * num_wanted // num) - 1 for depth in range(num)]


def _apart(
    states: Sequence[Sequence[Tensor]], wanted: Sequence[Sequence[Tensor]], inputs: Inputs, model: nn.Module
) -> Tensor:
    """Mean over blocks, and over examples of the mean over their real tokens, of 1 - cosine."""
    real = inputs[2] if len(inputs) > 2 else None
    stacks = [(states[0], wanted[0], real)]
    if isinstance(model, EncoderDecoder):
        stacks.append((states[1], wanted[1], _predicted(inputs)))
    distances = [
        _mean(1 - F.cosine_similarity(ours[depth], theirs[other], dim=-1), seen)
        for ours, theirs, seen in stacks
        for depth, other in enumerate(matched(len(ours), len(theirs)))
    ]
    return torch.stack(distances).mean()


def _mean(distances: Tensor, seen: Tensor | None) -> Tensor:
    """Over examples, of the mean over the tokens of each that are `seen`, (B, T); None: all."""
    if seen is None:
        return distances.mean()
    weights = seen.to(distances.dtype)
    return ((distances * weights).sum(1) / weights.sum(1).clamp(min=1)).mean()


def _predicted(inputs: Inputs) -> Tensor | None:
    """Which target tokens of an encoder-decoder outputs are wanted of, (B, T); None: all."""
    _, target, _, places = (*inputs, None, None)[:4]
    if target is None or places is None:
        return None
    seen = torch.zeros(target.numel(), dtype=torch.bool, device=target.device)
    seen[places] = True
    return seen.view(target.shape)


def _real_rows(outputs: Tensor, inputs: Inputs) -> Tensor:
    """`outputs` without those of tokens that only fill up the batch, where there is one for every token."""
    real = inputs[2] if len(inputs) > 2 else None
    if real is None or len(outputs) != real.numel() or real.shape[1] == 1:
        return outputs
    return outputs[real.flatten()]
