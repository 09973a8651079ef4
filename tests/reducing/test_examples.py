"""What a reduction is calibrated on: a seeded sample of training examples, whatever they come from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minform_cli.data.source import opened
from minform_cli.errors import InputError
from minform_cli.reducing.calibration import calibration, held_out
from minform_cli.reducing.examples import named_examples, own_examples
from minform_cli.runs.stored import read_run


def rows(batches: tuple[tuple[torch.Tensor | None, ...], ...]) -> set[bytes]:
    return {row.numpy().tobytes() for inputs in batches for row in inputs[0]}  # type: ignore[union-attr]


def test_a_sample_is_of_training_examples_and_the_seed_alone_decides_which(digits: Path) -> None:
    run = read_run(digits)
    examples = own_examples(run)
    assert examples is not None
    assert examples.labelled
    first, again, other = (calibration(examples, 20, seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    assert rows(first.batches) == rows(again.batches)
    assert len(rows(first.batches)) == first.number == 20
    assert not rows(first.batches) & rows(held_out(examples))
    training = opened(run.config.data).load().train  # type: ignore[attr-defined]
    assert len(training) == 60


def test_images_are_normalised_as_the_run_has_them(digits: Path, pictures: Path) -> None:
    run = read_run(digits)
    assert run.normalisation is not None
    examples = named_examples(run, str(pictures), "--calibrate")
    whole = torch.cat([inputs[0] for inputs in calibration(examples, None, 0).batches])  # type: ignore[misc]
    pixels = (whole * run.normalisation.std[0] + run.normalisation.mean[0]) * 255
    assert torch.allclose(pixels, pixels.round(), atol=1e-3)  # float32 of numbers up to 255
    held = torch.cat([inputs[0] for inputs in held_out(examples)])  # type: ignore[misc]
    assert (len(whole), len(held)) == (11, 1)
    files = {Image.open(path).tobytes() for path in pictures.rglob("*.png")}
    found = {row.round().to(torch.uint8).numpy().tobytes() for row in pixels}
    assert found <= files


def test_lines_are_cut_by_the_run_s_tokenizer_blank_and_repeated_ones_left_out(sentences: Path, prose: Path) -> None:
    run = read_run(sentences)
    examples = named_examples(run, str(prose), "--calibrate")
    sample = calibration(examples, None, 0)
    held = sum(len(inputs[0]) for inputs in held_out(examples))  # type: ignore[arg-type]
    different = {line.strip() for line in prose.read_text().splitlines()} - {""}
    assert sample.number + held == len(different)
    vocabulary = run.folder.tokenizer.read_text()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(vocabulary)
    longest = [tokenizer.encode(line).ids[:16] for line in different]
    tokens, _, real = next(iter(sample.batches))
    assert tokens is not None
    for number, row in enumerate(tokens):
        ids = row.tolist() if real is None else row[real[number]].tolist()
        assert len(ids) == 16 or ids in longest
    assert examples.healing is not None
    assert examples.healing.path == str(prose)


def test_a_text_by_its_data_set_is_its_lines_for_a_model_of_sentences(sentences: Path, prose: Path) -> None:
    run = read_run(sentences)
    named, plain = (named_examples(run, text, "--calibrate") for text in (f"text:{prose}", str(prose)))
    assert calibration(named, 9, 3).sha256 == calibration(plain, 9, 3).sha256


def test_what_does_not_fit_is_one_line(
    digits: Path, sentences: Path, prose: Path, pictures: Path, tmp_path: Path
) -> None:
    images, text = read_run(digits), read_run(sentences)
    (tmp_path / "blank.txt").write_text("\n \n\n", encoding="utf-8")
    (tmp_path / "one.txt").write_text("cat\n\ncat\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    other.mkdir()
    for number in range(2):
        Image.fromarray(np.full((8, 9), number, dtype=np.uint8)).save(other / f"{number}.png")
    for run, asked, message in (
        (images, str(prose), "is no folder"),
        (images, str(tmp_path / "empty"), "has 0 images"),
        (images, str(other), "8x9 pixels"),
        (images, "digts", "did you mean 'digits'?"),
        (images, "digits/x", "has no use for digits"),
        (images, f"text:{prose}", "accepted: images"),
        (text, "digits", "accepted: text"),
        (text, str(tmp_path / "blank.txt"), "nothing but blanks"),
        (text, str(tmp_path / "one.txt"), "2 or more"),
        (text, str(tmp_path / "blnk.txt"), "did you mean 'blank.txt'?"),
        (text, "glue/sst3:x", "did you mean 'sst2'?"),
        (text, str(pictures), "--calibrate"),
    ):
        with pytest.raises(InputError) as caught:
            named_examples(run, asked, "--calibrate")
        assert message in str(caught.value)
        assert str(caught.value).startswith("--calibrate")


def test_images_of_another_shape_fit_where_a_size_is_given(digits: Path, tmp_path: Path) -> None:
    for number in range(2):
        pixels = np.full((8, 9), number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    run = read_run(digits)
    with pytest.raises(InputError, match="accepted: --set data\\.image_size=8"):
        named_examples(run, str(tmp_path), "--calibrate", ["data.image_size=9"])
    examples = named_examples(run, str(tmp_path), "--calibrate", ["data.image_size=8"])
    (batch,) = calibration(examples, None, 0).batches
    assert batch[0] is not None
    assert batch[0].shape == (1, 1, 8, 8)


def test_more_examples_than_there_are_is_refused_and_the_default_takes_what_there_is(digits: Path) -> None:
    examples = own_examples(read_run(digits))
    assert examples is not None
    assert calibration(examples, None, 0).number == 60
    with pytest.raises(InputError, match="--examples 61: digits has 60 training examples; accepted: 1 to 60"):
        calibration(examples, 61, 0)
