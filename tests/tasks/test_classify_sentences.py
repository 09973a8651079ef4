"""Classes and scores of sentences: head, loss, and GLUE's metrics against the libraries and against sums by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn import metrics
from torch import nn

from minform_cli.config.axes import AXES
from minform_cli.config.schema import DataConfig, ModelConfig
from minform_cli.data.glue.tasks import GLUE
from minform_cli.data.sets import glue, text
from minform_cli.data.spec import TextSpec
from minform_cli.errors import IllegalModelError
from minform_cli.models.parts.embedding import TokenEmbedding
from minform_cli.models.parts.readout import READOUTS
from minform_cli.models.stack import TextEncoder
from minform_cli.tasks.classify_sentences import TASK
from tests.zoo import TEXT_READOUTS

NAMES = {
    "cola": {"matthews", "accuracy"},
    "sst2": {"accuracy"},
    "mrpc": {"accuracy", "f1", "score"},
    "stsb": {"pearson", "spearman", "score"},
    "qqp": {"accuracy", "f1", "score"},
    "mnli": {"accuracy"},
    "mnli-mm": {"accuracy"},
    "qnli": {"accuracy"},
    "rte": {"accuracy"},
    "wnli": {"accuracy"},
}


def spec(subset: str) -> TextSpec:
    return glue.spec(DataConfig(name="glue", subset=subset, vocab_size=50, seq_len=16))


def model(**options: object) -> ModelConfig:
    parts = {axis: AXES[axis].parse(options.pop(axis)) for axis in list(options) if axis in AXES}
    return ModelConfig(dim=8, depth=1, heads=2, **parts, **options)


def guesses(subset: str, num: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(predictions, labels) that agree more often than by chance; scores with many that are equal."""
    random = np.random.RandomState(seed)
    if subset == "stsb":
        labels = np.round(random.uniform(0, 5, num) * 4) / 4
        found = np.round(labels + random.normal(0, 1.5, num), 1)
        return torch.tensor(found, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)
    classes = len(GLUE[subset].class_names)
    labels = random.randint(0, classes, num)
    found = np.where(random.uniform(size=num) < 0.4, random.randint(0, classes, num), labels)
    return torch.from_numpy(found), torch.from_numpy(labels)


def measure(subset: str, predictions: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return TASK.measure(predictions, labels, spec(subset))


@pytest.mark.parametrize(("subset", "outputs"), [("sst2", 2), ("mnli", 3), ("stsb", 1)])
def test_the_head_is_a_linear_map_to_classes_or_one_score(subset: str, outputs: int) -> None:
    head = TASK.head(model(), spec(subset))
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
        "output.weight": (outputs, 8),
        "output.bias": (outputs,),
    }
    x = torch.randn(5, 8)
    torch.testing.assert_close(head(x), x @ head.output.weight.T + head.output.bias)
    without = TASK.head(model(bias="none"), spec(subset))
    assert [name for name, _ in without.named_parameters()] == ["output.weight"]


def test_the_head_drops_out_in_training_alone() -> None:
    head = TASK.head(model(dropout=0.5), spec("sst2"))
    nn.init.ones_(head.output.weight)
    nn.init.zeros_(head.output.bias)
    x = torch.ones(1000, 8)
    torch.manual_seed(0)
    sums = head(x)[:, 0]
    assert set(sums.tolist()) <= {2.0 * kept for kept in range(9)}
    assert len(set(sums.tolist())) > 4
    assert (head.eval()(x) == 8).all()


def test_data_without_labels_is_refused() -> None:
    plain = text.spec(DataConfig(name="text", path="x"))
    with pytest.raises(
        IllegalModelError, match=r"needs sentences with labels, and .* has none; accepted: data.name glu"
    ):
        TASK.head(model(), plain)


def test_pairs_need_two_token_types_or_none() -> None:
    for subset, types in [("rte", 0), ("rte", 2), ("sst2", 1)]:
        TASK.head(model(embedding={"kind": "tokens", "types": types}), spec(subset))
    with pytest.raises(IllegalModelError, match=r"types 1: RTE \(GLUE\) has pairs of sentences; accepted: 2 or more"):
        TASK.head(model(embedding={"kind": "tokens", "types": 1}), spec("rte"))


def test_the_loss_is_the_cross_entropy_of_classes_and_the_squared_error_of_scores() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    assert TASK.loss(logits, labels, 0.0).item() == pytest.approx(by_hand, rel=1e-6)  # float32
    assert TASK.loss(logits, labels, 0.1) == F.cross_entropy(logits, labels, label_smoothing=0.1)
    scores = torch.tensor([[1.0], [4.0]])
    assert TASK.loss(scores, torch.tensor([2.0, 1.0]), 0.0).item() == (1 + 9) / 2
    assert TASK.loss(scores, torch.tensor([2.0, 1.0]), 0.1).item() == (1 + 9) / 2


def test_predictions_are_classes_or_scores_and_only_classes_are_counted_right() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 1.0, 0.0]])
    assert TASK.predictions(logits).tolist() == [0, 2, 0]
    assert TASK.correct(logits, torch.tensor([0, 1, 0])).item() == 2
    scores = torch.tensor([[1.5], [4.0]])
    assert TASK.predictions(scores).tolist() == [1.5, 4.0]
    right = TASK.correct(scores, torch.tensor([1.5, 4.0]))
    assert (right.item(), right.shape, right.dtype) == (0, (), torch.int64)


def test_every_metric_has_a_unit_and_one_of_each_task_is_its_first() -> None:
    assert set(NAMES) == set(GLUE)
    for subset, names in NAMES.items():
        assert set(GLUE[subset].metrics) == names <= set(TASK.metrics)
        assert all(TASK.metrics[name].better == "higher" for name in names)
        assert sorted(TASK.measures(spec(subset))) == sorted(names)
    first = {subset: TASK.measures(spec(subset))[0] for subset in GLUE}
    assert first == {
        **dict.fromkeys(GLUE, "accuracy"), "cola": "matthews", "mrpc": "score", "qqp": "score", "stsb": "score",
    }  # fmt: skip


@pytest.mark.parametrize("subset", GLUE)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_measured_equals_scikit_learn_and_scipy(subset: str, seed: int) -> None:
    predictions, labels = guesses(subset, seed=seed)
    found = measure(subset, predictions, labels)
    assert set(found) == NAMES[subset]
    y, p = labels.double().numpy(), predictions.double().numpy()
    known = {
        "accuracy": lambda: metrics.accuracy_score(y, p),
        "f1": lambda: metrics.f1_score(y, p, pos_label=1),
        "matthews": lambda: metrics.matthews_corrcoef(y, p),
        "pearson": lambda: stats.pearsonr(p, y).statistic,
        "spearman": lambda: stats.spearmanr(p, y).statistic,
        "score": lambda: sum(value for name, value in found.items() if name != "score") / 2,
    }
    for name, value in found.items():
        assert type(value) is float
        assert value == pytest.approx(known[name](), abs=1e-12), name
        assert 0.3 < value < 0.95, "the guesses are neither right nor random"


def test_what_is_measured_equals_its_definition() -> None:
    predictions, labels = guesses("mrpc")
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    tp, fp, fn, tn = (pairs.count(pair) for pair in [(1, 1), (1, 0), (0, 1), (0, 0)])
    assert measure("mrpc", predictions, labels)["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    matthews = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert measure("cola", predictions, labels)["matthews"] == pytest.approx(matthews)
    assert measure("cola", predictions, labels)["accuracy"] == (tp + tn) / 200

    predictions, labels = guesses("stsb", num=40)
    p, y = predictions.tolist(), labels.tolist()

    def ranks(numbers: list[float]) -> list[float]:
        return [sum((b < a) + (b == a) / 2 for b in numbers) for a in numbers]

    def correlation(a: list[float], b: list[float]) -> float:
        a, b = [v - sum(a) / len(a) for v in a], [v - sum(b) / len(b) for v in b]
        return sum(v * w for v, w in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    found = measure("stsb", predictions, labels)
    assert found["pearson"] == pytest.approx(correlation(p, y))
    assert found["spearman"] == pytest.approx(correlation(ranks(p), ranks(y)))


@pytest.mark.parametrize("subset", GLUE)
def test_all_right_is_one(subset: str) -> None:
    _, labels = guesses(subset)
    # Sums of squares in float64 make a correlation of 1 up to rounding.
    assert measure(subset, labels, labels) == pytest.approx(dict.fromkeys(NAMES[subset], 1.0), abs=1e-12)


def test_all_wrong_and_turned_around_is_minus_one() -> None:
    _, labels = guesses("cola")
    assert measure("cola", 1 - labels, labels) == pytest.approx({"matthews": -1.0, "accuracy": 0.0})
    _, labels = guesses("stsb")
    assert measure("stsb", -labels, labels) == pytest.approx(dict.fromkeys(NAMES["stsb"], -1.0))


@pytest.mark.parametrize(
    ("subset", "prediction", "labels"),
    [
        *(("stsb", prediction, [1.0, 2.0, 5.0]) for prediction in (2.5, math.nan, math.inf, 1e38)),
        ("stsb", 2.5, [1.0]),
        ("stsb", 2.5, [1.0, 1.0]),
        ("cola", 0, [0, 1, 1]),
        ("cola", 1, [0, 1, 1]),
        ("cola", 0, [0, 0]),
        ("mrpc", 0, [0, 1, 1]),
        ("mrpc", 0, [0, 0]),
    ],
)
def test_what_is_undefined_is_zero_without_a_warning(subset: str, prediction: float, labels: list[float]) -> None:
    kind = torch.float32 if subset == "stsb" else torch.int64
    found = measure(subset, torch.full((len(labels),), prediction, dtype=kind), torch.tensor(labels, dtype=kind))
    correlations = {name: value for name, value in found.items() if name not in ("accuracy", "score")}
    assert correlations == dict.fromkeys(correlations, 0.0)
    assert not any(math.isnan(value) for value in found.values())
    if subset != "stsb":
        assert found["accuracy"] == sum(label == prediction for label in labels) / len(labels)


def test_the_score_of_a_constant_is_the_mean_of_what_is_left() -> None:
    found = measure("mrpc", torch.ones(4, dtype=torch.int64), torch.tensor([1, 1, 1, 0]))
    assert found == pytest.approx({"accuracy": 0.75, "f1": 6 / 7, "score": (0.75 + 6 / 7) / 2})


def test_scores_in_bfloat16_are_measured() -> None:
    labels = torch.tensor([0.0, 1.0, 2.0, 4.0])
    assert measure("stsb", labels.bfloat16(), labels)["score"] == pytest.approx(1)


@pytest.mark.parametrize("subset", ["sst2", "stsb"])
@pytest.mark.parametrize("readout", TEXT_READOUTS)
def test_filling_up_changes_no_output_and_every_parameter_of_the_head_learns(subset: str, readout: str) -> None:
    torch.manual_seed(0)
    options = model(embedding={"kind": "tokens", "types": 2}, readout=readout)
    head = TASK.head(options, spec(subset))
    words = TextSpec(name="words", title="words", source="made here", vocab_size=50, seq_len=16)
    encoder = TextEncoder(options, TokenEmbedding(options, words), READOUTS.get(readout)(options, head))
    tokens, types = torch.randint(5, 50, (3, 8)), torch.tensor([[0] * 4 + [1] * 4] * 3)
    outputs = encoder(tokens, types, None)
    filled, more = F.pad(tokens, (0, 8)), F.pad(types, (0, 8))
    # Sums over 16 instead of 8 places are rounded in another order.
    torch.testing.assert_close(encoder(filled, more, filled != 0), outputs, rtol=1e-5, atol=1e-6)
    labels = torch.tensor([0.5, 1.0, 5.0]) if subset == "stsb" else torch.tensor([0, 1, 1])
    TASK.loss(outputs, labels, 0.0).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())
