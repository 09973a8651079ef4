"""Training images changed at random: each change as it is defined, however the batch is cut, and resumed to the bit."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from minform_cli.config.presets import resolve
from minform_cli.config.schema import DataConfig, TrainConfig
from minform_cli.data.batch import Batch, Second, Share, generator
from minform_cli.data.images.augment import AREAS, POLICIES, RATIOS, Mix, drawn, erased, mixed, moved, varied
from minform_cli.data.images.image_batches import ImageBatches
from minform_cli.data.load import load_data
from minform_cli.data.spec import spec_for
from minform_cli.errors import InputError
from minform_cli.models.build import build_model
from minform_cli.tasks import TASKS
from minform_cli.training.accumulate import parts_of
from minform_cli.training.objective import labels_loss
from minform_cli.training.run import train
from minform_cli.training.stackable import check_stackable
from minform_cli.training.step import Stepper
from tests.training.conftest import bits, resumed, tiny

CPU = torch.device("cpu")
CHANGES: dict[str, dict[str, object]] = {
    "random_erasing": {"random_erasing": 0.5},
    "rand-augment": {"auto_augment": "rand-augment"},
    "trivial-augment": {"auto_augment": "trivial-augment"},
    "mixup": {"mixup": 0.8},
    "cutmix": {"cutmix": 1.0},
    "all": {
        "crop_padding": 1,
        "horizontal_flip": True,
        "auto_augment": "rand-augment",
        "random_erasing": 0.5,
        "mixup": 0.8,
        "cutmix": 1.0,
    },
}


def batches(change: str, share: Share = Share(), batch_size: int = 25) -> ImageBatches:
    data = DataConfig(name="digits", limit=110, **CHANGES[change])  # type: ignore[arg-type]
    return ImageBatches(load_data(data), data, TrainConfig(batch_size=batch_size), 0, CPU, share)


def noise(num: int, height: int = 20, width: int = 30, channels: int = 2) -> Tensor:
    return torch.rand((num, channels, height, width), generator=generator(5)) + 1


def test_augmentation_equals_cropping_and_mirroring_image_by_image() -> None:
    pixels = torch.randint(0, 256, (40, 3, 6, 5), dtype=torch.uint8)
    data = DataConfig(name="digits", crop_padding=2, horizontal_flip=True)
    made = moved(pixels, data, generator(1, 2, 3), 40, torch.arange(40))
    random = generator(1, 2, 3)
    offsets = torch.randint(0, 5, (2, 40, 1), generator=random)
    mirrored = torch.rand((40, 1), generator=random) < 0.5
    assert 5 < mirrored.sum() < 35
    for number, image in enumerate(pixels):
        padded = torch.zeros(3, 10, 9, dtype=torch.uint8)
        padded[:, 2:8, 2:7] = image
        y, x = offsets[0, number, 0], offsets[1, number, 0]
        crop = padded[:, y : y + 6, x : x + 5]
        assert torch.equal(made[number], crop.flip(2) if mirrored[number] else crop)


def test_mirroring_is_the_same_with_and_without_cropping() -> None:
    pixels = torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8)
    flipped = moved(pixels, DataConfig(name="digits", horizontal_flip=True), generator(0), 64, torch.arange(64))
    either = [torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(flipped, pixels, strict=True)]
    assert all(either)
    assert not torch.equal(flipped, pixels)
    assert moved(pixels, DataConfig(name="digits"), generator(0), 64, torch.arange(64)) is pixels


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("parts", [1, 2, 3, 12])
def test_the_parts_of_a_batch_are_the_batch(change: str, parts: int) -> None:
    shares = [batches(change, Share(number, parts)) for number in range(parts)]
    for whole, *cut in zip(batches(change).epoch(2, 1), *(share.epoch(2, 1) for share in shares), strict=True):
        assert torch.equal(torch.cat([part.inputs[0] for part in cut if len(part.labels)]), whole.inputs[0])
        assert torch.equal(torch.cat([part.labels for part in cut]), whole.labels)
        assert {part.size for part in cut} == {len(whole.labels)}
        if whole.second is not None:
            given = [part.second for part in cut if part.second is not None]
            assert {second.weight for second in given} == {whole.second.weight}
            assert torch.equal(torch.cat([second.labels for second in given]), whole.second.labels)


@pytest.mark.parametrize("change", CHANGES)
def test_batches_depend_on_seed_epoch_and_place_and_on_nothing_else(change: str) -> None:
    torch.manual_seed(1)
    first = [batch.inputs[0] for batch in batches(change).epoch(1)]
    state = torch.default_generator.get_state()
    torch.manual_seed(2)
    before = torch.default_generator.get_state()
    again = [batch.inputs[0] for batch in batches(change).epoch(1, 2)]
    assert torch.equal(before, torch.default_generator.get_state()), "nobody else's random numbers are touched"
    assert not torch.equal(before, state)
    assert all(torch.equal(a, b) for a, b in zip(first[2:], again, strict=True))
    plain = DataConfig(name="digits", limit=110)
    whole = ImageBatches(load_data(plain), plain, TrainConfig(batch_size=25), 0, CPU)
    unchanged = [batch.inputs[0] for batch in whole.epoch(1)]
    assert not all(torch.equal(a, b) for a, b in zip(first, unchanged, strict=True))
    other = [batch.inputs[0] for batch in batches(change).epoch(3)]
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, change: str) -> None:
    settings = [f"data.{key}={str(value).lower()}" for key, value in CHANGES[change].items()]
    train(tiny(*settings), tmp_path / "whole", threads=1)
    assert bits(resumed(tmp_path / "stopped", 8, *settings)) == bits(tmp_path / "whole")


def test_one_change_leaves_the_draws_of_the_others_alone() -> None:
    """Erased is what would be there anyway, and what is moved is moved likewise."""
    data = {"crop_padding": 2, "horizontal_flip": True}
    made: list[Tensor] = []
    for more in ({}, {"random_erasing": 1.0}):
        config = DataConfig(name="digits", limit=110, **data, **more)  # type: ignore[arg-type]
        made.append(next(ImageBatches(load_data(config), config, TrainConfig(), 0, CPU).epoch(0)).inputs[0])
    plain, holed = made
    assert 0.02 < (plain != holed).float().mean() < 0.33
    assert (holed[plain != holed] == 0).all()


def test_what_is_erased_is_one_rectangle_of_the_size_and_shape_of_the_paper() -> None:
    images = noise(4000)
    made = erased(images.clone(), 0.25, generator(1), 4000, torch.arange(4000))
    holes = (made == 0).all(1)
    assert torch.equal(made == 0, holes[:, None].expand_as(made)), "in all channels"
    some = holes.flatten(1).any(1)
    assert abs(some.float().mean().item() - 0.25) < 0.03
    rows, columns = holes[some].any(2).sum(1).double(), holes[some].any(1).sum(1).double()
    assert torch.equal(holes[some].flatten(1).sum(1).double(), rows * columns), "a rectangle without gaps"
    areas, ratios = rows * columns / 600, rows / columns
    assert AREAS[0] - 0.01 < areas.min() and areas.max() < AREAS[1] + 0.03
    assert RATIOS[0] * 0.6 < ratios.min() and ratios.max() < RATIOS[1] * 1.4
    assert abs(areas.mean().item() - sum(AREAS) / 2) < 0.02
    for side in (holes[some].any(2), holes[some].any(1)):
        seen = side.float().mean(0)
        assert seen.min() > 0.03, "every row and column is reached"
    untouched = erased(images.clone(), 0.0, generator(1), 4000, torch.arange(4000))
    assert torch.equal(untouched, images)


def test_an_image_that_no_rectangle_fits_into_stays_whole() -> None:
    images = noise(50, 1, 1)
    assert torch.equal(erased(images.clone(), 1.0, generator(0), 50, torch.arange(50)), images)


@pytest.mark.parametrize("policy", POLICIES)
def test_operations_are_torchvisions_each_image_with_draws_of_its_own(policy: str) -> None:
    pixels = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8, generator=generator(3))
    made = varied(pixels, policy, generator(4), 12, torch.arange(12))
    seeds = torch.randint(2**62, (12,), generator=generator(4)).tolist()
    transform = getattr(v2, POLICIES[policy])()
    for image, seed, changed in zip(pixels, seeds, made, strict=True):
        torch.manual_seed(seed)
        assert torch.equal(transform(image), changed)
    alike = varied(pixels[:1].expand(40, -1, -1, -1), policy, generator(4), 40, torch.arange(40))
    assert len({image.numpy().tobytes() for image in alike}) > 15


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_grey_and_colour_stay_uint8_images_of_their_size(policy: str, channels: int) -> None:
    pixels = torch.randint(0, 256, (30, channels, 8, 12), dtype=torch.uint8, generator=generator(3))
    made = varied(pixels, policy, generator(9), 30, torch.arange(30))
    assert (made.shape, made.dtype) == (pixels.shape, torch.uint8)


def test_weights_are_beta_distributed_and_areas_are_those_of_their_boxes() -> None:
    both = DataConfig(name="digits", mixup=0.8, cutmix=1.0)
    found = [drawn(both, generator(number), 24, 32) for number in range(4000)]
    sums = torch.tensor([mix.weight for mix in found if mix is not None and mix.box is None]).double()
    cuts = [mix for mix in found if mix is not None and mix.box is not None]
    assert abs(len(cuts) / 4000 - 0.5) < 0.03
    assert abs(sums.mean().item() - 0.5) < 0.02
    assert abs(sums.var().item() - 1 / (4 * (2 * 0.8 + 1))) < 0.01
    for mix in cuts:
        assert mix.box is not None
        top, bottom, left, right = mix.box
        assert 0 <= top <= bottom <= 24 and 0 <= left <= right <= 32
        assert mix.weight == pytest.approx(1 - (bottom - top) * (right - left) / (24 * 32))
        if min(top, left) > 0 and bottom < 24 and right < 32:  # not cut off by the border
            assert math.isclose((bottom - top) / 24, math.sqrt(1 - mix.weight), abs_tol=0.12)
    assert drawn(DataConfig(name="digits"), generator(0), 8, 8) is None


def test_pixels_are_mixed_by_the_weight_or_replaced_in_the_box() -> None:
    images, partners = noise(3), -noise(3)
    torch.testing.assert_close(mixed(images, partners, Mix(0.3, None)), 0.3 * images + 0.7 * partners)
    made = mixed(images, partners, Mix(0.9, (2, 8, 5, 15)))
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[2:8, 5:15] = True
    assert torch.equal(made[..., inside], partners[..., inside])
    assert torch.equal(made[..., ~inside], images[..., ~inside])


def test_a_batch_is_mixed_with_the_one_before_each_and_so_are_its_labels() -> None:
    data = DataConfig(name="digits", limit=110)
    plain = next(ImageBatches(load_data(data), data, TrainConfig(batch_size=25), 0, CPU).epoch(0))
    batch = next(batches("mixup").epoch(0))
    assert batch.second is not None
    weight = batch.second.weight
    assert torch.equal(batch.labels, plain.labels)
    assert torch.equal(batch.second.labels, plain.labels.roll(1))
    x = plain.inputs[0]
    torch.testing.assert_close(batch.inputs[0], weight * x + (1 - weight) * x.roll(1, 0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_mixed_label_distribution(smoothing: float) -> None:
    logits = torch.randn(25, 10, generator=generator(1), dtype=torch.float64)
    labels, others = torch.randint(0, 10, (2, 25), generator=generator(2))
    batch = Batch((logits,), labels, second=Second(others, 0.3))
    wanted = 0.3 * torch.eye(10, dtype=torch.float64)[labels] + 0.7 * torch.eye(10, dtype=torch.float64)[others]
    expected = torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=smoothing)
    found = labels_loss(TASKS.get("classify-images"), logits, labels, smoothing, batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_a_mixed_batch_have_its_gradients(parts: int) -> None:
    made: list[list[Tensor]] = []
    for accumulate in (1, parts):
        config = tiny("model.dropout=0", f"train.accumulate={accumulate}", "data.mixup=0.8")
        torch.manual_seed(0)
        stepper = Stepper(build_model(config, spec_for(config)), config, spec_for(config), 5)
        batch = next(batches("mixup").epoch(0))
        assert len(parts_of(batch, accumulate)) == accumulate
        stepper._gradients(0, batch)
        made.append([p.grad for p in stepper.model.parameters() if p.grad is not None])
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


SETTINGS = (
    *("crop_padding=2", "horizontal_flip=true", "auto_augment=rand-augment"),
    *("random_erasing=0.1", "mixup=1", "cutmix=1"),
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_no_image_is_not_changed_as_one(setting: str) -> None:
    config = resolve("pydoc-tiny", "baseline", [f"data.{setting}"]).config
    with pytest.raises(InputError, match=rf"^data.{setting.split('=')[0]}: is for images, and .*; accepted: no data\."):
        spec_for(config)


def test_wrong_values_are_refused_and_runs_without_are_what_they_were() -> None:
    for wrong in ("auto_augment=randaugment", "random_erasing=1.5", "mixup=-1", "cutmix=x"):
        with pytest.raises(InputError, match=rf"data\.{wrong.split('=')[0]}"):
            tiny(f"data.{wrong}")
    assert not {"auto_augment", "random_erasing", "mixup", "cutmix"} & set(tiny().identity()["data"])  # type: ignore[arg-type]
    for key in ("mixup", "cutmix"):
        with pytest.raises(InputError, match=rf"data\.{key} is not there for stacked seeds"):
            check_stackable(tiny(f"data.{key}=1"))


def test_whoever_mixes_is_told_what_the_training_accuracy_counts(tmp_path: Path) -> None:
    said: list[str] = []
    train(tiny("data.mixup=0.5"), tmp_path / "run", threads=1, on_progress=lambda news: said.append(news.text))
    assert sum(text.startswith("mixup: ") and "training accuracy" in text for text in said) == 1
    assert not resolve("digits", "baseline", ["data.crop_padding=1"]).config.notes()
