"""Following another run: what its loss is, what is refused, and that such a run resumes to the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from minform_cli.config.presets import resolve
from minform_cli.config.schema import DistillConfig, RunConfig
from minform_cli.data.batch import Batch
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.files import RunFolder, read_json
from minform_cli.models.build import build_model
from minform_cli.runs.folder import read_meta
from minform_cli.runs.records import read_result
from minform_cli.runs.stored import read_start
from minform_cli.training.distillation import Distillation, hidden_states, matched
from minform_cli.training.run import dry_run, train
from tests.training.conftest import SETTINGS, bits, lines, tiny
from tests.training.launching import launch
from tests.training.test_initial import TUNING, sentences
from tests.training.test_text import corpus, interrupted, text_run

SHORT = ("train.epochs=1", "model.dropout=0")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(tiny("train.epochs=2", "model.dropout=0"), folder, device="cpu", threads=1)
    return folder


def student(teacher: Path, *settings: str, variant: str = "no-mlp", seed: int = 1) -> RunConfig:
    given = (*SETTINGS, *SHORT, *settings)
    return resolve("debug", variant, given, seed, teacher=read_start(teacher)).config


@pytest.mark.parametrize("variant", ["baseline", "shared-depth"])
def test_a_student_equal_to_its_teacher_has_no_loss_and_no_gradient(variant: str) -> None:
    config = tiny(variant=variant).model_copy(update={"distill": DistillConfig(hidden=2.0, temperature=3.0)})
    spec = spec_for(config)
    model, other = (build_model(config, spec).eval() for _ in range(2))
    other.load_state_dict(model.state_dict())
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6)
    objective = Distillation(config, spec, model, other, labelled=True)
    outputs, loss = objective.loss(model, (images,), labels, Batch((images,), labels))
    loss.backward()
    assert outputs.shape == (6, 10)
    assert loss.item() == pytest.approx(0, abs=1e-6)  # float32 rounding of cosines
    # The gradient of 1 - cos is a difference of two equal vectors; a loss on labels has gradients of 1e-2 here.
    assert max(p.grad.abs().max() for p in model.parameters() if p.grad is not None) < 1e-6
    assert all(p.grad is None for p in other.parameters())
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    assert objective.loss(model, (images,), labels, Batch((images,), labels))[1].item() > 1e-4


def test_the_loss_is_that_of_outputs_hidden_states_and_labels_by_their_weights() -> None:
    config = tiny("model.dropout=0")
    spec = spec_for(config)
    torch.manual_seed(0)
    model, other = (build_model(config, spec).eval() for _ in range(2))
    images, labels = torch.randn(5, 1, 8, 8), torch.arange(5)

    def loss(**weights: float) -> float:
        given = config.model_copy(update={"distill": DistillConfig(**weights)})
        made = Distillation(given, spec, model, other, labelled=True)
        return made.loss(model, (images,), labels, Batch((images,), labels))[1].item()

    ours, theirs = model(images), other(images)
    divergence = (theirs.softmax(1) * (theirs.log_softmax(1) - ours.log_softmax(1))).sum(1).mean()
    with hidden_states(model) as states:
        model(images)
    with hidden_states(other) as wanted:
        other(images)
    assert [state.shape for state in states[0]] == [state.shape for state in wanted[0]] and len(states[0]) == 2
    far = torch.stack(
        [1 - torch.cosine_similarity(a, b, dim=-1).mean() for a, b in zip(states[0], wanted[0], strict=True)]
    )
    assert loss(hidden=0) == pytest.approx(divergence.item(), rel=1e-5)
    assert loss(hidden=0.5) == pytest.approx((divergence + 0.5 * far.mean()).item(), rel=1e-5)
    own = torch.nn.functional.cross_entropy(ours, labels)
    assert loss(hidden=0, labels=2) == pytest.approx((divergence + 2 * own).item(), rel=1e-5)
    halves = (theirs / 2).softmax(1) * ((theirs / 2).log_softmax(1) - (ours / 2).log_softmax(1))
    assert loss(hidden=0, temperature=2) == pytest.approx(4 * halves.sum(1).mean().item(), rel=1e-5)


def test_blocks_are_matched_by_depth_the_last_to_the_last() -> None:
    assert matched(6, 6) == [0, 1, 2, 3, 4, 5]
    assert matched(5, 6) == [1, 2, 3, 4, 5]
    assert matched(3, 6) == [1, 3, 5]
    assert matched(4, 2) == [0, 0, 1, 1]
    assert matched(0, 6) == []


def test_tokens_that_fill_up_a_batch_do_not_count(tmp_path: Path) -> None:
    config = text_run(corpus(tmp_path), "model.dropout=0").model_copy(update={"task": "masked-tokens"})
    spec = spec_for(config)
    torch.manual_seed(0)
    model, other = (build_model(config, spec).eval() for _ in range(2))
    objective = Distillation(config, spec, model, other, labelled=False)
    tokens, labels = torch.randint(300, (2, 8)), torch.zeros(2, dtype=torch.int64)

    def loss(tokens: torch.Tensor, real: torch.Tensor) -> float:
        inputs = (tokens, None, real)
        return objective.loss(model, inputs, labels, Batch(inputs, labels))[1].item()

    real = torch.ones(2, 8, dtype=torch.bool)
    real[1, 5:] = False
    changed = torch.where(real, tokens, (tokens + 7) % 300)
    assert loss(tokens, real) == pytest.approx(loss(changed, real), rel=1e-6)
    assert loss(tokens, real) != pytest.approx(loss(tokens, torch.ones_like(real)), rel=1e-4)


def test_the_losses_of_the_parts_of_a_batch_add_up_to_that_of_the_whole(tmp_path: Path) -> None:
    """Of tokens, whose number in a part is not that of its examples."""
    config = text_run(corpus(tmp_path), "model.dropout=0")
    spec = spec_for(config)
    torch.manual_seed(0)
    model, other = (build_model(config, spec).eval() for _ in range(2))
    objective = Distillation(config, spec, model, other, labelled=True)
    tokens, predict = torch.randint(300, (3, 8)), torch.tensor([0, 3, 5, 7, 9, 20])

    def loss(rows: slice, places: torch.Tensor) -> float:
        inputs, labels = (tokens[rows], None, None, places), torch.zeros(len(places), dtype=torch.int64)
        batch = Batch(inputs, labels, len(predict) - len(places), 3)
        return objective.loss(model, inputs, labels, batch)[1].item() * len(places) / len(predict)

    first, second = loss(slice(0, 1), predict[:4]), loss(slice(1, 3), predict[4:] - 8)
    assert first + second == pytest.approx(loss(slice(0, 3), predict), rel=1e-5)


def test_a_run_that_follows_says_whom_and_ends_nearer_to_it(teacher: Path, tmp_path: Path) -> None:
    config = student(teacher, "train.steps=40", "train.learning_rate=1e-3", "train.warmup_epochs=0")
    result = train(config, tmp_path / "run", device="cpu", threads=1)
    meta = read_meta(RunFolder(tmp_path / "run"))
    assert meta["teacher"] == read_result(teacher)["weights_sha256"]
    assert meta["config"]["teacher"] == str(teacher) and "distill" not in meta["config"]
    first, *_, last = (line["train_loss"] for line in lines(tmp_path / "run" / "metrics.jsonl"))
    assert last < 0.8 * first
    assert result["metric"] == "accuracy" and result["metrics"]["val_loss"] > 0


@pytest.mark.parametrize("step", [2, 4])
def test_a_run_that_follows_resumes_to_the_same_bits_wherever_its_teacher_lies(
    teacher: Path, tmp_path: Path, step: int
) -> None:
    given = ("train.steps=6", "model.dropout=0.1", "distill.labels=0.5")
    train(student(teacher, *given), tmp_path / "whole", device="cpu", threads=1)
    shutil.copytree(teacher, tmp_path / "moved")
    out = interrupted(student(teacher, *given), tmp_path / "run", step)
    train(student(tmp_path / "moved", *given), out, resume=True, device="cpu")
    assert bits(out) == bits(tmp_path / "whole")


def test_a_teacher_that_is_gone_or_another_is_refused_on_resume(teacher: Path, tmp_path: Path) -> None:
    shutil.copytree(teacher, tmp_path / "teacher")
    config = student(tmp_path / "teacher")
    out = interrupted(config, tmp_path / "run", 2)
    before = bits(out)
    shutil.rmtree(tmp_path / "teacher")
    with pytest.raises(InputError, match=r"--teacher .*teacher: is no run folder; accepted: the folder of a finished"):
        train(config, out, resume=True, device="cpu")
    train(tiny(*SHORT, seed=4), tmp_path / "teacher", device="cpu", threads=1)
    with pytest.raises(InputError, match=r"--teacher .*: its weights are not those that the run was begun with"):
        train(config, out, resume=True, device="cpu")
    with pytest.raises(InputError, match=r"it was started with --teacher .*, this one with no --teacher"):
        train(tiny(*SHORT, variant="no-mlp", seed=1), out, resume=True, device="cpu")
    with pytest.raises(InputError, match=r"distill\.hidden is 1\.0 there and 0\.0 here"):
        train(student(teacher, "distill.hidden=0"), out, resume=True, device="cpu")
    assert bits(out) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("model.dim=32",),
            "distill.hidden 1: the hidden states of .* are 16 wide, here 32; accepted: distill.hidden=0",
        ),
        (("model.patch_size=2",), "the hidden states of .* are of 5 tokens, here of 17; accepted: distill.hidden=0"),
        (("data.normalize=unit-range",), "its images are normalised otherwise; accepted: a run on the same images"),
    ],
)
def test_a_teacher_that_cannot_be_followed_is_refused_before_a_folder_is_made(
    teacher: Path, tmp_path: Path, settings: tuple[str, ...], said: str
) -> None:
    for attempt in (train, dry_run):
        with pytest.raises(InputError, match=said) as caught:
            attempt(student(teacher, *settings), tmp_path / "run", device="cpu", threads=1)
        assert str(caught.value).isprintable()
    assert not (tmp_path / "run").exists()


def test_states_of_another_width_need_not_be_followed(teacher: Path, tmp_path: Path) -> None:
    config = student(teacher, "model.dim=32", "distill.hidden=0", "train.steps=1")
    assert train(config, tmp_path / "run", device="cpu", threads=1)["steps"] == 1


def test_a_teacher_of_another_task_or_vocabulary_is_refused(teacher: Path, tmp_path: Path) -> None:
    text = corpus(tmp_path)
    for name, more in (("one", ()), ("other", ("data.vocab_size=290",))):
        train(text_run(text, "train.steps=1", *more), tmp_path / name, device="cpu", threads=1)
    config = text_run(text, "train.steps=1", seed=1)
    for name, said in (
        ("other", "it gives 290 outputs for .*, and this run 300 for .*; accepted: a run with the same classes or"),
        (str(teacher), "its task is classify-images; accepted: masked-tokens, as of this run"),
    ):
        given = config.model_copy(update={"teacher": str(tmp_path / name)})
        with pytest.raises(InputError, match=said):
            train(given, tmp_path / "run", device="cpu", threads=1)
    assert not (tmp_path / "run").exists()


def test_settings_of_distillation_need_a_teacher() -> None:
    with pytest.raises(
        InputError, match=r"^--set: distill\.labels: has no meaning without a run to follow; accepted: --"
    ):
        tiny("distill.labels=1")


def test_two_processes_follow_as_one_does(tmp_path: Path) -> None:
    """Sentences of many lengths; the last batch of an epoch has one example: the other process has none."""
    sentences(tmp_path / "SST-2")
    base = ["model.dim=16", "model.depth=2", "model.heads=2", "data.vocab_size=300", f"data.path={tmp_path / 'SST-2'}"]
    given = [*base, *TUNING, "model.dropout=0", "train.learning_rate=1e-3", "train.epochs=1"]
    train(resolve("glue-sst2", "baseline", given, 7).config, tmp_path / "teacher", device="cpu", threads=1)
    taught = resolve("glue-sst2", "no-mlp", given, teacher=read_start(tmp_path / "teacher")).config
    train(taught, tmp_path / "one", device="cpu", threads=1)
    sets = [word for setting in given for word in ("--set", setting)]
    places = ["--variant", "no-mlp", "--teacher", str(tmp_path / "teacher"), "--out", str(tmp_path / "two")]
    command = ["train", "--preset", "glue-sst2", *sets, *places, "--device=cpu", "--threads=1"]
    launched = launch(tmp_path / "process", command, command)
    assert launched.codes() == [0, 0], launched.printed()
    one, two = (read_result(tmp_path / name)["metrics"] for name in ("one", "two"))
    # Sums in another order; AdamW divides what is little more than rounding.
    assert two == {name: value if value is None else pytest.approx(value, rel=1e-3) for name, value in one.items()}
    assert read_json(tmp_path / "two" / "run.json", "run")["environment"]["processes"] == 2
