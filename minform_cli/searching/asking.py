"""Which point is tried next: Optuna's sampler over a file in the search's folder, which any number of commands share.

Optuna draws one point at a time and cannot know which are models; so every point of its sampler is looked at before it
is stored, and drawn anew until one fits the budget and was not tried before. What is stored are trials alone that are
trained, are under way, or died with their process (those go on from their checkpoints).
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from filelock import FileLock

from minform_cli.errors import InputError, MachineError
from minform_cli.searching.journal import cut_torn_end, opened
from minform_cli.searching.space import Label, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "search.journal"
"""Optuna's own file in the search's folder; its tools read it."""

_NAME = "minform"
_LEAST = 4
"""Trials without which nothing can be said of what mattered."""

_DRAWS = 100
"""Draws of the sampler before one by chance is taken."""


class Asked(NamedTuple):
    """A trial that is to be done."""

    number: int
    point: Mapping[str, Label]


class Trials:
    """The trials of a search, in the journal of its folder.

    Args:
        out: the search's folder.
        space: what is chosen among.
        seed: of what is drawn.
    """

    def __init__(self, out: Path, space: Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._seed = space, seed
        self._journal = out / JOURNAL
        self._lock = FileLock(out / f".{JOURNAL}.lock")
        try:
            with self._alone():
                self._study: Study = optuna.create_study(
                    storage=opened(self._journal),
                    study_name=_NAME,
                    directions=["maximize", "minimize"],
                    load_if_exists=True,
                )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{out / JOURNAL} is damaged: {str(error).splitlines()[0]}") from None
        self._distributions: dict[str, BaseDistribution] = {
            key: optuna.distributions.CategoricalDistribution(list(values)) for key, values in space.choices.items()
        }

    def ask(self, most: int) -> Asked | None:
        """The next trial; None once there are `most`, or where no point is left that fits and was not tried."""
        from optuna.trial import TrialState

        with self._alone():
            trials = self._stored()
            if len(trials) >= most:
                return None
            torn = self._torn()
            if torn is not None and self._can_draw(trials, torn.params):
                trial = self._completed(torn)
            else:
                if torn is not None:
                    self._study.tell(torn.number, state=TrialState.FAIL)
                if not self._can_draw(trials, {}):
                    return None
                trial = self._study.ask(self._distributions)
            return Asked(trial.number, dict(trial.params))

    def _can_draw(self, trials: Sequence[FrozenTrial], known: Mapping[str, Any]) -> bool:
        """Gets ready to draw a point with `known` in it; whether one is left that fits and is of none of `trials`."""
        tried = [trial.params for trial in trials]
        sampler = _Fitting(self._space, self._distributions, self._seed + len(trials), tried, known)
        self._study.sampler = cast("Any", sampler)
        return sampler.any_left()

    def _torn(self) -> FrozenTrial | None:
        """A trial whose process ended before all of its point was written; for whoever is alone."""
        under_way = (trial for trial in self._study.get_trials(deepcopy=False) if not trial.state.is_finished())
        return next((trial for trial in under_way if not self._is_whole(trial)), None)

    def _completed(self, torn: FrozenTrial) -> Trial:
        """That trial with its whole point."""
        from optuna.trial import Trial

        begun = cast("Any", torn)._trial_id  # Optuna has no other way to a trial that is under way
        trial = Trial(self._study, begun)
        for key, values in self._space.choices.items():
            trial.suggest_categorical(key, list(values))
        return trial

    def _is_whole(self, trial: FrozenTrial) -> bool:
        return trial.params.keys() >= self._distributions.keys()

    def tell(self, number: int, score: float, parameters: int) -> None:
        """What a trial came to; another command may have told it."""
        with self._alone():
            self._study.tell(number, [score, float(parameters)], skip_if_finished=True)

    def under_way(self) -> list[Asked]:
        """Those that nobody has told the end of."""
        return [Asked(trial.number, dict(trial.params)) for trial in self._stored() if not trial.state.is_finished()]

    def all(self) -> list[Asked]:
        """All of them."""
        return [Asked(trial.number, dict(trial.params)) for trial in self._stored()]

    def importance(self, scores: Mapping[int, float]) -> dict[str, float]:
        """How much of the spread of `scores`, by trial number, each key explains (fANOVA); empty where none can.

        The shares add up to 1.
        """
        import optuna

        known = [trial for trial in self._stored() if trial.state.is_finished() and trial.number in scores]
        if len(known) < _LEAST or len({scores[trial.number] for trial in known}) < 2:
            return {}
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=trial.params, distributions=trial.distributions, value=scores[trial.number]
                )
                for trial in known
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with _quiet():
            return optuna.importance.get_param_importances(study, evaluator=evaluator)

    def _stored(self) -> list[FrozenTrial]:
        with self._disk():
            return [trial for trial in self._study.get_trials(deepcopy=False) if self._is_whole(trial)]

    @contextmanager
    def _alone(self) -> Generator[None]:
        """No other command draws or tells meanwhile; nothing of Optuna's own is said on our streams."""
        with self._disk(), self._lock, _quiet():
            cut_torn_end(self._journal)
            yield

    @contextmanager
    def _disk(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise MachineError(f"{self._journal}: {error.strerror or error}") from error


@contextmanager
def _quiet() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Fitting:
    """A sampler of Optuna's kind: its TPE, multivariate and for two goals, over what fits and was not tried.

    Args:
        space: what is chosen among.
        distributions: of its keys.
        seed: of this one draw, so that a search that was stopped draws what it would have drawn.
        tried: the points of all trials.
        known: what the point has, whatever else is drawn.
    """

    def __init__(
        self,
        space: Space,
        distributions: dict[str, BaseDistribution],
        seed: int,
        tried: Sequence[Mapping[str, Any]],
        known: Mapping[str, Any],
    ) -> None:
        from optuna.samplers import TPESampler

        with _quiet():
            self._inner = TPESampler(multivariate=True, constant_liar=True, seed=seed % 2**32)
        self._distributions = distributions
        self._space, self._chance = space, random.Random(seed)  # noqa: S311  (nothing is kept secret)
        self._known = known
        self._tried = {tuple(point[key] for key in space.choices) for point in tried}

    def any_left(self) -> bool:
        """Whether a point is found that fits and was not tried."""
        return any(map(self._is_new, self._space.some(random.Random(0))))  # noqa: S311

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """All of the space, from the first trial on."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point that fits and was not tried."""
        for _ in range(_DRAWS):
            point = self._inner.sample_relative(study, trial, search_space)
            if not point:  # too few trials to learn from
                break
            if self._is_new(point):
                return point
        drawn = itertools.chain(self._space.some(self._chance), self._space.some(random.Random(0)))  # noqa: S311
        return next(filter(self._is_new, drawn))

    def sample_independent(self, *_: object) -> Any:
        """Never asked: every key is drawn with the others."""
        raise AssertionError("a key outside the space")

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Nothing to prepare."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Sequence[float] | None) -> None:
        """Nothing to tidy."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Every draw has a seed of its own already."""

    def _is_new(self, point: Mapping[str, Any]) -> bool:
        if any(point[key] != value for key, value in self._known.items()):
            return False
        return tuple(point[key] for key in self._space.choices) not in self._tried and self._space.fits(point)
