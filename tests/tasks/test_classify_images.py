"""The task `classify-images`: head, loss, counting of hits, and that listing tasks costs no torch."""

import math
import subprocess
import sys

import pytest
import torch

from minform_cli.config.presets import resolve
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.tasks import TASKS

TASK = TASKS.get("classify-images")


def test_listing_tasks_imports_no_torch() -> None:
    code = "import sys; from minform_cli.tasks import TASKS; print(TASKS.names(), 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == f"{TASKS.names()} False\n"


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"task: unknown task 'classify-image'; did you mean 'classify-images'\?"):
        TASKS.get("classify-image")


@pytest.mark.parametrize(("bias", "numbers"), [(True, 16 * 10 + 10), (False, 16 * 10)])
def test_the_head_is_one_linear_map(bias: bool, numbers: int) -> None:
    config = resolve("debug", settings=[f"model.bias={'live' if bias else 'none'}"]).config
    head = TASK.head(config.model, spec_for(config))
    assert sum(p.numel() for p in head.parameters()) == numbers
    assert head(torch.zeros(3, 16)).shape == (3, 10)


def test_the_loss_of_equal_logits_is_the_log_of_the_number_of_classes() -> None:
    loss = TASK.loss(torch.zeros(4, 10), torch.tensor([0, 3, 5, 9]), 0.0)
    assert loss.item() == pytest.approx(math.log(10), rel=1e-6)  # float32


def test_label_smoothing_spreads_its_probability_over_all_classes() -> None:
    logits, label = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    log_p = logits.log_softmax(-1)[0]
    expected = -(0.7 * log_p[0] + 0.1 * log_p.sum())
    assert TASK.loss(logits, label, 0.3).item() == pytest.approx(expected.item(), rel=1e-6)  # float32


def test_correct_counts_the_rows_whose_largest_logit_is_the_label() -> None:
    logits = torch.tensor([[0.1, 0.2], [3.0, 1.0], [0.0, 1.0]])
    assert TASK.correct(logits, torch.tensor([1, 1, 1])).item() == 2
    assert TASK.predictions(logits).tolist() == [1, 0, 1]


def test_every_metric_says_its_unit_and_which_way_is_better() -> None:
    assert {name: metric.better for name, metric in TASK.metrics.items()} == {"loss": "lower", "accuracy": "higher"}
    assert all(metric.unit for metric in TASK.metrics.values())
