"""Classes and scores of sentences: head, loss, and GLUE's metrics against the libraries and against sums by hand."""
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
from __future__ import annotations
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
import math
from tests.zoo import TEXT_READOUTS
import warnings
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
import numpy as np
from tests.zoo import TEXT_READOUTS
import pytest
from tests.zoo import TEXT_READOUTS
import torch
from tests.zoo import TEXT_READOUTS
import torch.nn.functional as F
from tests.zoo import TEXT_READOUTS
from scipy import stats
from tests.zoo import TEXT_READOUTS
from sklearn import metrics
from tests.zoo import TEXT_READOUTS
from torch import nn
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
from minform_cli.config.axes import AXES
from tests.zoo import TEXT_READOUTS
from minform_cli.config.glue import GLUE
from tests.zoo import TEXT_READOUTS
from minform_cli.config.schema import DataConfig, ModelConfig
from tests.zoo import TEXT_READOUTS
from minform_cli.data.sets import glue, text
from tests.zoo import TEXT_READOUTS
from minform_cli.data.spec import TextSpec
from tests.zoo import TEXT_READOUTS
from minform_cli.errors import IllegalModelError
from tests.zoo import TEXT_READOUTS
from minform_cli.models.parts.embedding import TokenEmbedding
from tests.zoo import TEXT_READOUTS
from minform_cli.models.parts.readout import READOUTS
from tests.zoo import TEXT_READOUTS
from minform_cli.models.stack import TextEncoder
from tests.zoo import TEXT_READOUTS
from minform_cli.tasks.classify_sentences import TASK
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
NAMES = {
from tests.zoo import TEXT_READOUTS
    "cola": {"matthews", "accuracy"},
from tests.zoo import TEXT_READOUTS
    "sst2": {"accuracy"},
from tests.zoo import TEXT_READOUTS
    "mrpc": {"accuracy", "f1", "score"},
from tests.zoo import TEXT_READOUTS
    "stsb": {"pearson", "spearman", "score"},
from tests.zoo import TEXT_READOUTS
    "qqp": {"accuracy", "f1", "score"},
from tests.zoo import TEXT_READOUTS
    "mnli": {"accuracy"},
from tests.zoo import TEXT_READOUTS
    "mnli-mm": {"accuracy"},
from tests.zoo import TEXT_READOUTS
    "qnli": {"accuracy"},
from tests.zoo import TEXT_READOUTS
    "rte": {"accuracy"},
from tests.zoo import TEXT_READOUTS
    "wnli": {"accuracy"},
from tests.zoo import TEXT_READOUTS
}
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def spec(subset: str) -> TextSpec:
from tests.zoo import TEXT_READOUTS
    return glue.spec(DataConfig(name="glue", subset=subset, vocab_size=50, seq_len=16))
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def model(**options: object) -> ModelConfig:
from tests.zoo import TEXT_READOUTS
    parts = {axis: AXES[axis].parse(options.pop(axis)) for axis in list(options) if axis in AXES}
from tests.zoo import TEXT_READOUTS
    return ModelConfig(dim=8, depth=1, heads=2, **parts, **options)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def guesses(subset: str, num: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
from tests.zoo import TEXT_READOUTS
    """(predictions, labels) that agree more often than by chance; scores with many that are equal."""
from tests.zoo import TEXT_READOUTS
    random = np.random.RandomState(seed)
from tests.zoo import TEXT_READOUTS
    if subset == "stsb":
from tests.zoo import TEXT_READOUTS
        labels = np.round(random.uniform(0, 5, num) * 4) / 4
from tests.zoo import TEXT_READOUTS
        found = np.round(labels + random.normal(0, 1.5, num), 1)
from tests.zoo import TEXT_READOUTS
        return torch.tensor(found, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)
from tests.zoo import TEXT_READOUTS
    classes = len(GLUE[subset].class_names)
from tests.zoo import TEXT_READOUTS
    labels = random.randint(0, classes, num)
from tests.zoo import TEXT_READOUTS
    found = np.where(random.uniform(size=num) < 0.4, random.randint(0, classes, num), labels)
from tests.zoo import TEXT_READOUTS
    return torch.from_numpy(found), torch.from_numpy(labels)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def measure(subset: str, predictions: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
from tests.zoo import TEXT_READOUTS
    with warnings.catch_warnings():
from tests.zoo import TEXT_READOUTS
        warnings.simplefilter("error")
from tests.zoo import TEXT_READOUTS
        return TASK.measure(predictions, labels, spec(subset))
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize(("subset", "outputs"), [("sst2", 2), ("mnli", 3), ("stsb", 1)])
from tests.zoo import TEXT_READOUTS
def test_the_head_is_a_linear_map_to_classes_or_one_score(subset: str, outputs: int) -> None:
from tests.zoo import TEXT_READOUTS
    head = TASK.head(model(), spec(subset))
from tests.zoo import TEXT_READOUTS
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
from tests.zoo import TEXT_READOUTS
        "output.weight": (outputs, 8),
from tests.zoo import TEXT_READOUTS
        "output.bias": (outputs,),
from tests.zoo import TEXT_READOUTS
    }
from tests.zoo import TEXT_READOUTS
    x = torch.randn(5, 8)
from tests.zoo import TEXT_READOUTS
    torch.testing.assert_close(head(x), x @ head.output.weight.T + head.output.bias)
from tests.zoo import TEXT_READOUTS
    without = TASK.head(model(bias="none"), spec(subset))
from tests.zoo import TEXT_READOUTS
    assert [name for name, _ in without.named_parameters()] == ["output.weight"]
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_the_head_drops_out_in_training_alone() -> None:
from tests.zoo import TEXT_READOUTS
    head = TASK.head(model(dropout=0.5), spec("sst2"))
from tests.zoo import TEXT_READOUTS
    nn.init.ones_(head.output.weight)
from tests.zoo import TEXT_READOUTS
    nn.init.zeros_(head.output.bias)
from tests.zoo import TEXT_READOUTS
    x = torch.ones(1000, 8)
from tests.zoo import TEXT_READOUTS
    torch.manual_seed(0)
from tests.zoo import TEXT_READOUTS
    sums = head(x)[:, 0]
from tests.zoo import TEXT_READOUTS
    assert set(sums.tolist()) <= {2.0 * kept for kept in range(9)}
from tests.zoo import TEXT_READOUTS
    assert len(set(sums.tolist())) > 4
from tests.zoo import TEXT_READOUTS
    assert (head.eval()(x) == 8).all()
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_data_without_labels_is_refused() -> None:
from tests.zoo import TEXT_READOUTS
    plain = text.spec(DataConfig(name="text", path="x"))
from tests.zoo import TEXT_READOUTS
    with pytest.raises(
from tests.zoo import TEXT_READOUTS
        IllegalModelError, match=r"needs sentences with labels, and .* has none; accepted: data.name glu"
from tests.zoo import TEXT_READOUTS
    ):
from tests.zoo import TEXT_READOUTS
        TASK.head(model(), plain)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_pairs_need_two_token_types_or_none() -> None:
from tests.zoo import TEXT_READOUTS
    for subset, types in [("rte", 0), ("rte", 2), ("sst2", 1)]:
from tests.zoo import TEXT_READOUTS
        TASK.head(model(embedding={"kind": "tokens", "types": types}), spec(subset))
from tests.zoo import TEXT_READOUTS
    with pytest.raises(IllegalModelError, match=r"types 1: RTE \(GLUE\) has pairs of sentences; accepted: 2 or more"):
from tests.zoo import TEXT_READOUTS
        TASK.head(model(embedding={"kind": "tokens", "types": 1}), spec("rte"))
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_the_loss_is_the_cross_entropy_of_classes_and_the_squared_error_of_scores() -> None:
from tests.zoo import TEXT_READOUTS
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
from tests.zoo import TEXT_READOUTS
    labels = torch.tensor([0, 0])
from tests.zoo import TEXT_READOUTS
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
from tests.zoo import TEXT_READOUTS
    assert TASK.loss(logits, labels, 0.0).item() == pytest.approx(by_hand, rel=1e-6)  # float32
from tests.zoo import TEXT_READOUTS
    assert TASK.loss(logits, labels, 0.1) == F.cross_entropy(logits, labels, label_smoothing=0.1)
from tests.zoo import TEXT_READOUTS
    scores = torch.tensor([[1.0], [4.0]])
from tests.zoo import TEXT_READOUTS
    assert TASK.loss(scores, torch.tensor([2.0, 1.0]), 0.0).item() == (1 + 9) / 2
from tests.zoo import TEXT_READOUTS
    assert TASK.loss(scores, torch.tensor([2.0, 1.0]), 0.1).item() == (1 + 9) / 2
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_predictions_are_classes_or_scores_and_only_classes_are_counted_right() -> None:
from tests.zoo import TEXT_READOUTS
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [1.0, 1.0, 0.0]])
from tests.zoo import TEXT_READOUTS
    assert TASK.predictions(logits).tolist() == [0, 2, 0]
from tests.zoo import TEXT_READOUTS
    assert TASK.correct(logits, torch.tensor([0, 1, 0])).item() == 2
from tests.zoo import TEXT_READOUTS
    scores = torch.tensor([[1.5], [4.0]])
from tests.zoo import TEXT_READOUTS
    assert TASK.predictions(scores).tolist() == [1.5, 4.0]
from tests.zoo import TEXT_READOUTS
    right = TASK.correct(scores, torch.tensor([1.5, 4.0]))
from tests.zoo import TEXT_READOUTS
    assert (right.item(), right.shape, right.dtype) == (0, (), torch.int64)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_every_metric_has_a_unit_and_one_of_each_task_is_its_first() -> None:
from tests.zoo import TEXT_READOUTS
    assert set(NAMES) == set(GLUE)
from tests.zoo import TEXT_READOUTS
    for subset, names in NAMES.items():
from tests.zoo import TEXT_READOUTS
        assert set(GLUE[subset].metrics) == names <= set(TASK.metrics)
from tests.zoo import TEXT_READOUTS
        assert all(TASK.metrics[name].better == "higher" for name in names)
from tests.zoo import TEXT_READOUTS
        assert sorted(TASK.measures(spec(subset))) == sorted(names)
from tests.zoo import TEXT_READOUTS
    first = {subset: TASK.measures(spec(subset))[0] for subset in GLUE}
from tests.zoo import TEXT_READOUTS
    assert first == {
from tests.zoo import TEXT_READOUTS
        **dict.fromkeys(GLUE, "accuracy"), "cola": "matthews", "mrpc": "score", "qqp": "score", "stsb": "score",
from tests.zoo import TEXT_READOUTS
    }  # fmt: skip
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize("subset", GLUE)
from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize("seed", range(3))
from tests.zoo import TEXT_READOUTS
def test_what_is_measured_equals_scikit_learn_and_scipy(subset: str, seed: int) -> None:
from tests.zoo import TEXT_READOUTS
    predictions, labels = guesses(subset, seed=seed)
from tests.zoo import TEXT_READOUTS
    found = measure(subset, predictions, labels)
from tests.zoo import TEXT_READOUTS
    assert set(found) == NAMES[subset]
from tests.zoo import TEXT_READOUTS
    y, p = labels.double().numpy(), predictions.double().numpy()
from tests.zoo import TEXT_READOUTS
    known = {
from tests.zoo import TEXT_READOUTS
        "accuracy": lambda: metrics.accuracy_score(y, p),
from tests.zoo import TEXT_READOUTS
        "f1": lambda: metrics.f1_score(y, p, pos_label=1),
from tests.zoo import TEXT_READOUTS
        "matthews": lambda: metrics.matthews_corrcoef(y, p),
from tests.zoo import TEXT_READOUTS
        "pearson": lambda: stats.pearsonr(p, y).statistic,
from tests.zoo import TEXT_READOUTS
        "spearman": lambda: stats.spearmanr(p, y).statistic,
from tests.zoo import TEXT_READOUTS
        "score": lambda: sum(value for name, value in found.items() if name != "score") / 2,
from tests.zoo import TEXT_READOUTS
    }
from tests.zoo import TEXT_READOUTS
    for name, value in found.items():
from tests.zoo import TEXT_READOUTS
        assert type(value) is float
from tests.zoo import TEXT_READOUTS
        assert value == pytest.approx(known[name](), abs=1e-12), name
from tests.zoo import TEXT_READOUTS
        assert 0.3 < value < 0.95, "the guesses are neither right nor random"
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_what_is_measured_equals_its_definition() -> None:
from tests.zoo import TEXT_READOUTS
    predictions, labels = guesses("mrpc")
from tests.zoo import TEXT_READOUTS
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
from tests.zoo import TEXT_READOUTS
    tp, fp, fn, tn = (pairs.count(pair) for pair in [(1, 1), (1, 0), (0, 1), (0, 0)])
from tests.zoo import TEXT_READOUTS
    assert measure("mrpc", predictions, labels)["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
from tests.zoo import TEXT_READOUTS
    matthews = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
from tests.zoo import TEXT_READOUTS
    assert measure("cola", predictions, labels)["matthews"] == pytest.approx(matthews)
from tests.zoo import TEXT_READOUTS
    assert measure("cola", predictions, labels)["accuracy"] == (tp + tn) / 200
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
    predictions, labels = guesses("stsb", num=40)
from tests.zoo import TEXT_READOUTS
    p, y = predictions.tolist(), labels.tolist()
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
    def ranks(numbers: list[float]) -> list[float]:
from tests.zoo import TEXT_READOUTS
        return [sum((b < a) + (b == a) / 2 for b in numbers) for a in numbers]
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
    def correlation(a: list[float], b: list[float]) -> float:
from tests.zoo import TEXT_READOUTS
        a, b = [v - sum(a) / len(a) for v in a], [v - sum(b) / len(b) for v in b]
from tests.zoo import TEXT_READOUTS
        return sum(v * w for v, w in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
    found = measure("stsb", predictions, labels)
from tests.zoo import TEXT_READOUTS
    assert found["pearson"] == pytest.approx(correlation(p, y))
from tests.zoo import TEXT_READOUTS
    assert found["spearman"] == pytest.approx(correlation(ranks(p), ranks(y)))
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize("subset", GLUE)
from tests.zoo import TEXT_READOUTS
def test_all_right_is_one(subset: str) -> None:
from tests.zoo import TEXT_READOUTS
    _, labels = guesses(subset)
from tests.zoo import TEXT_READOUTS
    # Sums of squares in float64 make a correlation of 1 up to rounding.
from tests.zoo import TEXT_READOUTS
    assert measure(subset, labels, labels) == pytest.approx(dict.fromkeys(NAMES[subset], 1.0), abs=1e-12)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_all_wrong_and_turned_around_is_minus_one() -> None:
from tests.zoo import TEXT_READOUTS
    _, labels = guesses("cola")
from tests.zoo import TEXT_READOUTS
    assert measure("cola", 1 - labels, labels) == pytest.approx({"matthews": -1.0, "accuracy": 0.0})
from tests.zoo import TEXT_READOUTS
    _, labels = guesses("stsb")
from tests.zoo import TEXT_READOUTS
    assert measure("stsb", -labels, labels) == pytest.approx(dict.fromkeys(NAMES["stsb"], -1.0))
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize(
from tests.zoo import TEXT_READOUTS
    ("subset", "prediction", "labels"),
from tests.zoo import TEXT_READOUTS
    [
from tests.zoo import TEXT_READOUTS
        *(("stsb", prediction, [1.0, 2.0, 5.0]) for prediction in (2.5, math.nan, math.inf, 1e38)),
from tests.zoo import TEXT_READOUTS
        ("stsb", 2.5, [1.0]),
from tests.zoo import TEXT_READOUTS
        ("stsb", 2.5, [1.0, 1.0]),
from tests.zoo import TEXT_READOUTS
        ("cola", 0, [0, 1, 1]),
from tests.zoo import TEXT_READOUTS
        ("cola", 1, [0, 1, 1]),
from tests.zoo import TEXT_READOUTS
        ("cola", 0, [0, 0]),
from tests.zoo import TEXT_READOUTS
        ("mrpc", 0, [0, 1, 1]),
from tests.zoo import TEXT_READOUTS
        ("mrpc", 0, [0, 0]),
from tests.zoo import TEXT_READOUTS
    ],
from tests.zoo import TEXT_READOUTS
)
from tests.zoo import TEXT_READOUTS
def test_what_is_undefined_is_zero_without_a_warning(subset: str, prediction: float, labels: list[float]) -> None:
from tests.zoo import TEXT_READOUTS
    kind = torch.float32 if subset == "stsb" else torch.int64
from tests.zoo import TEXT_READOUTS
    found = measure(subset, torch.full((len(labels),), prediction, dtype=kind), torch.tensor(labels, dtype=kind))
from tests.zoo import TEXT_READOUTS
    correlations = {name: value for name, value in found.items() if name not in ("accuracy", "score")}
from tests.zoo import TEXT_READOUTS
    assert correlations == dict.fromkeys(correlations, 0.0)
from tests.zoo import TEXT_READOUTS
    assert not any(math.isnan(value) for value in found.values())
from tests.zoo import TEXT_READOUTS
    if subset != "stsb":
from tests.zoo import TEXT_READOUTS
        assert found["accuracy"] == sum(label == prediction for label in labels) / len(labels)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_the_score_of_a_constant_is_the_mean_of_what_is_left() -> None:
from tests.zoo import TEXT_READOUTS
    found = measure("mrpc", torch.ones(4, dtype=torch.int64), torch.tensor([1, 1, 1, 0]))
from tests.zoo import TEXT_READOUTS
    assert found == pytest.approx({"accuracy": 0.75, "f1": 6 / 7, "score": (0.75 + 6 / 7) / 2})
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
def test_scores_in_bfloat16_are_measured() -> None:
from tests.zoo import TEXT_READOUTS
    labels = torch.tensor([0.0, 1.0, 2.0, 4.0])
from tests.zoo import TEXT_READOUTS
    assert measure("stsb", labels.bfloat16(), labels)["score"] == pytest.approx(1)
from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS

from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize("subset", ["sst2", "stsb"])
from tests.zoo import TEXT_READOUTS
@pytest.mark.parametrize("readout", TEXT_READOUTS)
from tests.zoo import TEXT_READOUTS
def test_filling_up_changes_no_output_and_every_parameter_of_the_head_learns(subset: str, readout: str) -> None:
from tests.zoo import TEXT_READOUTS
    torch.manual_seed(0)
from tests.zoo import TEXT_READOUTS
    options = model(embedding={"kind": "tokens", "types": 2}, readout=readout)
from tests.zoo import TEXT_READOUTS
    head = TASK.head(options, spec(subset))
from tests.zoo import TEXT_READOUTS
    words = TextSpec(name="words", title="words", source="made here", vocab_size=50, seq_len=16)
from tests.zoo import TEXT_READOUTS
    encoder = TextEncoder(options, TokenEmbedding(options, words), READOUTS.get(readout)(options, head))
from tests.zoo import TEXT_READOUTS
    tokens, types = torch.randint(5, 50, (3, 8)), torch.tensor([[0] * 4 + [1] * 4] * 3)
from tests.zoo import TEXT_READOUTS
    outputs = encoder(tokens, types, None)
from tests.zoo import TEXT_READOUTS
    filled, more = F.pad(tokens, (0, 8)), F.pad(types, (0, 8))
from tests.zoo import TEXT_READOUTS
    # Sums over 16 instead of 8 places are rounded in another order.
from tests.zoo import TEXT_READOUTS
    torch.testing.assert_close(encoder(filled, more, filled != 0), outputs, rtol=1e-5, atol=1e-6)
from tests.zoo import TEXT_READOUTS
    labels = torch.tensor([0.5, 1.0, 5.0]) if subset == "stsb" else torch.tensor([0, 1, 1])
from tests.zoo import TEXT_READOUTS
    TASK.loss(outputs, labels, 0.0).backward()
from tests.zoo import TEXT_READOUTS
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())
from tests.zoo import TEXT_READOUTS
