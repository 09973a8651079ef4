"""Colour, size and orientation of the files as people have them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from minform_cli.config.schema import DataConfig
from minform_cli.data.images import container, decode, folder, members
from minform_cli.data.images.decode import Decoder
from minform_cli.data.source import opened
from minform_cli.errors import InputError
from tests.data.pictures import archived, config, draw, load, make_folder, spec


def noise(width: int = 8, height: int = 8, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def packed(image: Image.Image, format_: str = "jpeg", **kwargs: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **kwargs)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["", ".zip", ".tar.gz"])
def test_one_grey_file_leaves_a_colour_set_in_colour_and_is_told(images: Path, kind: str) -> None:
    draw(images / "train/ant/000.png", seed=0, mode="L")
    data = load(archived(images, kind) if kind else images)
    assert data.train.images.shape == (50, 3, 8, 8)
    assert "grey, and read as colour: 1 of the 59 images" in data.notes


def test_one_colour_file_anywhere_makes_a_set_colour(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "grey", {"train": {"a": 4, "b": 4}, "test": {"a": 1}}, mode="L")
    assert load(path).spec.title == "grey (image-folder, 8x8 grey)"
    draw(path / "test/a/000.png", seed=0)
    assert load(path).spec.title == "grey (image-folder, 8x8 colour)"


def test_a_setting_decides_against_the_files(images: Path, monkeypatch) -> None:
    monkeypatch.setattr(folder, "_all_grey", lambda *args: pytest.fail("looked at all files"))
    data = load(images, channels=1)
    assert data.train.images.shape == (50, 1, 8, 8)
    assert "colour, and read as grey: 59 of the 59 images" in data.notes
    assert data.spec.title == "my images (image-folder, 8x8 grey)"
    assert spec(images, channels=3).channels == 3


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (noise().convert("1"), True),
        (noise().convert("L"), True),
        (noise().convert("LA"), True),
        (noise().convert("L").convert("P"), True),
        (noise().convert("P"), False),
        (noise().convert("RGB"), False),
        (noise().convert("RGBA"), False),
    ],
    ids=["1", "L", "LA", "grey palette", "palette", "RGB", "RGBA"],
)
def test_every_mode_is_known_for_grey_or_colour(tmp_path: Path, image: Image.Image, grey: bool) -> None:
    path = make_folder(tmp_path / "set", {"train": {"a": 2, "b": 2}}, mode="L")
    (path / "train/a/000.png").write_bytes(packed(image, "png"))
    assert spec(path).channels == (1 if grey else 3)


@pytest.mark.parametrize(("format_", "grey"), [("gif", True), ("tiff", True), ("bmp", True), ("gif", False)])
def test_palettes_of_other_formats_are_known_for_grey_or_colour(format_: str, grey: bool) -> None:
    image = noise().convert("L").convert("P") if grey else noise().convert("P")
    assert decode.is_grey_file(io.BytesIO(packed(image, format_)), "x") is grey


def test_cmyk_is_colour(tmp_path: Path) -> None:
    assert not decode.is_grey_file(io.BytesIO(packed(noise().convert("CMYK"))), "x")


def test_headers_of_grey_files_are_read_once_and_those_of_colour_files_not_beyond_the_first(
    tmp_path: Path, monkeypatch
) -> None:
    read: list[str] = []
    grey_file = decode.is_grey_file
    monkeypatch.setattr(folder, "is_grey_file", lambda file, name: read.append(name) or grey_file(file, name))
    monkeypatch.setattr(container.Folder, "read", lambda *args: pytest.fail("read whole files"))
    path = make_folder(tmp_path / "grey", {"train": {"a": 4, "b": 4}}, mode="L")
    assert spec(path).channels == spec(path).channels == 1
    assert len(read) == 8 + 1 + 1  # all, and the first one each time
    read.clear()
    spec(make_folder(tmp_path / "colour", {"train": {"a": 4, "b": 4}}))
    assert len(read) == 1


def test_deeper_pixels_are_refused_by_name(images: Path, refused) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(images / "train/cat/003.png")
    assert "train/cat/003.png' has pixels of mode I;16; accepted: 8 bits" in refused(InputError, load, images)


SUFFIXED = {
    ".jfif": "jpeg", ".jpe": "jpeg", ".JPG": "jpeg", ".tif": "tiff", ".webp": "webp", ".avif": "avif",
    ".jp2": "jpeg2000", ".pnm": "ppm",
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "format_"), SUFFIXED.items())
def test_what_the_library_reads_is_read_under_every_usual_suffix(tmp_path: Path, suffix: str, format_: str) -> None:
    if format_.upper() not in members.formats():
        pytest.skip("the image library was built without it")
    path = make_folder(tmp_path / "set", {"train": {"a": 2, "b": 2}})
    for number in range(2):
        (path / f"train/c/{number}{suffix}").parent.mkdir(exist_ok=True)
        (path / f"train/c/{number}{suffix}").write_bytes(packed(noise(seed=100 + number), format_))
    data = load(path)
    assert data.spec.class_names == ("a", "b", "c")
    assert data.notes == ()


def test_all_damaged_images_are_named(images: Path, refused) -> None:
    for number in range(1, 13):
        (images / f"train/ant/{number:03d}.png").write_bytes(b"damaged")
    message = refused(InputError, load, images)
    assert "train/ant/001.png' cannot be decoded" in message
    assert "11 other images cannot be used either: 'train/ant/002.png', " in message
    assert message.endswith("'train/ant/011.png' and 1 more")


LIMIT = 1_000_000
"""Pixels, for pictures that are quickly made: a fortieth of what is allowed unless a setting says otherwise."""


def photograph() -> bytes:
    """A JPEG of 1.3 megapixels: black, with a white corner."""
    image = Image.new("RGB", (1300, 1000))
    image.paste("white", (0, 0, 650, 500))
    return packed(image)


def test_a_large_photograph_is_decoded_at_a_reduced_scale() -> None:
    content = photograph()
    pixels, _ = Decoder(3, 8, 8, 8, LIMIT).decode(content, "x")
    with Image.open(io.BytesIO(content)) as image:
        whole = ImageOps.fit(image, (8, 8), method=Image.Resampling.BILINEAR)
    # The scaled decoder and the resizing each round once; at the edge of the white corner a pixel mixes both.
    assert np.abs(pixels.transpose(1, 2, 0).astype(int) - np.asarray(whole).astype(int)).max() <= 2


def test_a_reduced_scale_is_the_least_reduced_that_the_limit_allows(monkeypatch) -> None:
    sizes: list[tuple[int, int]] = []
    fit = ImageOps.fit
    monkeypatch.setattr(ImageOps, "fit", lambda image, *args, **kw: sizes.append(image.size) or fit(image, *args, **kw))
    for limit in (1_300_000, 1_299_999, 325_000, 324_999, 81_250, 81_249):
        Decoder(3, 8, 8, 8, limit).decode(photograph(), "x")
    assert sizes == [(1300, 1000), (650, 500), (650, 500), (325, 250), (325, 250), (163, 125)]


@pytest.mark.parametrize("resize_to", [None, 501])
def test_a_large_photograph_that_must_not_shrink_is_refused_with_the_remedies(refused, resize_to) -> None:
    message = refused(InputError, Decoder(3, 8, 8, resize_to, LIMIT).decode, photograph(), "x.jpg")
    assert "claims 1000x1300 pixels, more than data.max_megapixels 1 allows" in message
    assert "--set data.max_megapixels=2" in message
    assert "data.image_size=N" in message


def test_the_limit_unless_a_setting_says_otherwise_is_that_of_the_decoder() -> None:
    assert DataConfig(name="image-folder").max_megapixels * 10**6 == decode.MAX_PIXELS


def test_a_setting_raises_the_limit_for_every_format(tmp_path: Path, refused) -> None:
    path = make_folder(tmp_path / "set", {"train": {"a": 2, "b": 2}})
    large = Image.new("1", (1200, 1000))
    (path / "train/a/000.png").write_bytes(packed(large, "png"))
    assert "--set data.max_megapixels=2" in refused(InputError, load, path, image_size=8, max_megapixels=1)
    assert len(load(path, image_size=8, max_megapixels=2).train) == 2


def test_pictures_within_the_limit_are_decoded_as_ever(monkeypatch) -> None:
    monkeypatch.setattr(Image.Image, "draft", lambda *args: pytest.fail("reduced"))
    content = packed(noise(40, 30), quality=95, progressive=True)
    pixels, _ = Decoder(3, 8, 8, 8).decode(content, "x")
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.fit(image, (8, 8), method=Image.Resampling.BILINEAR))
    assert np.array_equal(pixels.transpose(1, 2, 0), expected)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return packed(noise(9, 6), "png", exif=exif)


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied_where_asked_for(orientation: int) -> None:
    content = turned(orientation)
    stored, seen = Decoder(3, 6, 9, None).decode(content, "x")
    assert np.array_equal(stored.transpose(1, 2, 0), np.asarray(noise(9, 6)))
    assert seen.is_turned == (2 <= orientation <= 8)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    height, width = decode.size_of(io.BytesIO(content), "x", None, decode.MAX_PIXELS, upright=True)
    assert (height, width) == expected.shape[:2]
    upright, _ = Decoder(3, height, width, None, upright=True).decode(content, "x")
    assert np.array_equal(upright.transpose(1, 2, 0), expected)


def test_orientation_that_is_not_applied_is_told(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "set", {"train": {"a": 2, "b": 2}}, size=(9, 9))
    (path / "train/a/000.png").write_bytes(turned(6))
    told = "read as they are stored, though their EXIF data say that they are turned: 1 of the 4 images; "
    assert told + "--set data.exif_orientation=true reads them upright" in load(path, image_size=6).notes
    assert load(path, image_size=6, exif_orientation=True).notes == ()


def test_damaged_exif_data_do_not_cost_the_image() -> None:
    content = packed(noise(), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    pixels, seen = Decoder(3, 8, 8, None).decode(content, "x")
    assert pixels.shape == (3, 8, 8)
    assert not seen.is_turned


def test_decoding_is_told_once(images: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        opened(config(images)).load(told.append)
    assert told == ["decoding 59 images"]
