"""One image file to uint8 pixels: decoded, converted, resized and cropped the same way wherever it is read."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin

from minform_cli.data.images.members import formats
from minform_cli.data.images.pixels import Pixels
from minform_cli.errors import InputError, MinformError

MAX_PIXELS = 40_000_000
"""A header may claim any size; this many pixels are 160 MB while they are decoded."""

PIXEL_BYTES = 4
"""Of a decoded pixel, in colour."""

COEFFICIENT_BYTES = 2
"""Of a sample of a JPEG whose scans are put together before any pixel is decoded."""

SCALES = (2, 4, 8)
"""A JPEG decodes at these fractions of its size without ever holding the whole."""

GREY_MODES = ("1", "L", "LA", "La")

PALETTES = {"RGB": 3, "BGR": 3, "RGBX": 4, "BGRX": 4, "RGBA": 4}
"""How the library keeps palettes -> bytes of an entry, of which the first three are the colour."""

UPRIGHT = 1
"""EXIF's number for pixels that are stored as they are to be seen."""

ON_THEIR_SIDE = range(5, 9)
"""Those for pixels that are stored with rows and columns exchanged."""


class Seen(NamedTuple):
    """What a decoded file was before it was made to fit.

    Attributes:
        is_grey: whether it has no colour.
        is_turned: whether its EXIF data say that the stored pixels are not upright.
    """

    is_grey: bool
    is_turned: bool


@dataclass(frozen=True)
class Decoder:
    """Makes equal shapes of image files.

    The shorter side is resized to `resize_to` (antialiased, bilinear) and the middle square is kept; without it the
    file must have the shape already. A palette, transparency or colour profile is dropped. An animation is its first
    frame.

    Attributes:
        channels: 1 grey or 3 red, green, blue; files of the other kind are converted.
        height: of the result, in pixels.
        width: likewise.
        resize_to: side of the square, or None.
        max_pixels: as many may be decoded at once; a larger JPEG that is resized is decoded at a reduced scale.
        upright: whether pixels are turned as the file's EXIF data say; else they stay as they are stored.
    """

    channels: int
    height: int
    width: int
    resize_to: int | None
    max_pixels: int = MAX_PIXELS
    upright: bool = False

    @property
    def num_bytes(self) -> int:
        """Of one decoded image."""
        return self.channels * self.height * self.width

    def decode(self, content: bytes, name: str) -> tuple[Pixels, Seen]:
        """(C, H, W) pixels of the file `content`, and what it was; `name` is for messages.

        Raises:
            InputError: the file is damaged, too large, or of another shape than the first.
        """
        with _opened(io.BytesIO(content), name) as opened:
            _check_claims(opened, name, self.max_pixels, self.resize_to)
            seen = Seen(is_grey(opened), _orientation(opened) != UPRIGHT)
            image = ImageOps.exif_transpose(opened) if self.upright and seen.is_turned else opened
            if self.resize_to is None and image.size != (self.width, self.height):
                raise InputError(
                    f"{name!r} is {image.height}x{image.width} pixels and the first image "
                    f"{self.height}x{self.width}; make them equal with --set data.image_size={min(image.size)}"
                )
            mode = "L" if self.channels == 1 else "RGB"
            converted = image if image.mode == mode else image.convert(mode)  # no second copy of a large picture
            if self.resize_to is not None:
                side = (self.resize_to, self.resize_to)
                converted = ImageOps.fit(converted, side, method=Image.Resampling.BILINEAR)
            pixels = np.asarray(converted, dtype=np.uint8).reshape(self.height, self.width, self.channels)
        return pixels.transpose(2, 0, 1), seen


def size_of(file: IO[bytes], name: str, resize_to: int | None, max_pixels: int, *, upright: bool) -> tuple[int, int]:
    """(height, width) that the image in `file` will have, of which little more than the header is read.

    Args:
        file: the image.
        name: for messages.
        resize_to, max_pixels, upright: as `Decoder` has them.

    Raises:
        InputError: the file is damaged or too large.
    """
    with _opened(file, name) as image:
        _check_claims(image, name, max_pixels, resize_to)
        if resize_to is not None:
            return resize_to, resize_to
        on_its_side = upright and _orientation(image) in ON_THEIR_SIDE
        return (image.width, image.height) if on_its_side else (image.height, image.width)


def is_grey_file(file: IO[bytes], name: str) -> bool:
    """`is_grey` of the image in `file`, of which little more than the header is read; `InputError` if it is damaged."""
    with _opened(file, name) as image:
        return is_grey(image)


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colour, going by its mode and palette; no pixel is decoded."""
    if image.mode not in ("P", "PA"):
        return image.mode in GREY_MODES
    if image.palette is None:
        return False
    layout, colours = image.palette.getdata()
    values = np.frombuffer(bytes(colours), np.uint8)
    if layout == "RGB;L":  # all reds, then all greens, then all blues
        entries = values[: len(values) // 3 * 3].reshape(3, -1).T
    elif layout in PALETTES:
        width = PALETTES[layout]
        entries = values[: len(values) // width * width].reshape(-1, width)[:, :3]
    else:
        return False
    return bool((entries == entries[:, :1]).all())


def _orientation(image: Image.Image) -> int:
    """How the stored pixels lie, as EXIF numbers it; `UPRIGHT` where nothing says otherwise, or not plainly.

    Of TIFF the library itself turns the pixels as it decodes them.
    """
    if "exif" not in image.info or image.format == "TIFF":
        return UPRIGHT
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except MinformError:  # a signal came
        raise
    except Exception:  # damaged EXIF data are no reason to do without the image
        return UPRIGHT
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def _check_claims(image: Image.Image, name: str, max_pixels: int, resize_to: int | None) -> None:
    """Raises `InputError` if `image` is larger than may be decoded, and no reduced scale helps that a JPEG decodes at.

    Such a scale leaves at least `resize_to` pixels to each side, so that images are resized downwards all the same.
    """
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{name!r} has pixels of mode {image.mode}; accepted: 8 bits per channel")
    width, height = image.size
    if width * height <= max_pixels:
        return
    remedy = f"--set data.max_megapixels={-(-width * height // 10**6)}"
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        kept = _coefficient_bytes(image)
        for scale in SCALES:
            needed = kept + PIXEL_BYTES * (width * height // scale**2)
            if resize_to is not None and needed <= PIXEL_BYTES * max_pixels and min(image.size) >= scale * resize_to:
                image.draft(None, (width // scale, height // scale))
                return
        remedy += ", or a smaller --set data.image_size=N, for which a JPEG is decoded at a reduced scale"
    raise InputError(
        f"{name!r} claims {height}x{width} pixels, more than data.max_megapixels {max_pixels // 10**6} allows; "
        f"accepted: {remedy}"
    )


def _coefficient_bytes(image: JpegImagePlugin.JpegImageFile) -> int:
    """What decoding a JPEG holds beside pixels: where a scan has not all of each pixel, all samples of the picture."""
    assert image.fp is not None
    components = image.layers
    # The header of the first scan ends where reading stopped: its length, how many components, two bytes each, three.
    scan = 2 * components + 6
    end = image.fp.tell()
    image.fp.seek(end - scan)
    is_whole = image.fp.read(3) == scan.to_bytes(2) + bytes([components])
    image.fp.seek(end)
    if is_whole and not image.info.get("progressive"):
        return 0
    factors = [across * down for _, across, down, _ in image.layer]
    return COEFFICIENT_BYTES * image.width * image.height * sum(factors) // max(factors)


@contextlib.contextmanager
def _opened(file: IO[bytes], name: str) -> Generator[Image.Image]:
    """The image in `file`, of which the header is read; pixels are decoded when asked for, if `_check_claims` lets."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on oddities of single files; what matters raises
            with _identified(file) as image:
                yield image
    except MinformError:  # what is raised above, or a signal came
        raise
    except Exception as error:  # damaged bytes make the decoders raise nearly anything
        reason = str(error) if isinstance(error, OSError | ValueError) else ""
        if isinstance(error, Image.UnidentifiedImageError) or not reason:
            reason = "not an image, or damaged"
        raise InputError(f"{name!r} cannot be decoded: {reason!r}") from None


def _identified(file: IO[bytes]) -> Image.Image:
    """The image by its first bytes. How large it may be is for `_check_claims` to say, not for the library."""
    is_jpeg = file.read(3) == b"\xff\xd8\xff"
    file.seek(0)
    if is_jpeg:  # of several pictures in one file, the first
        return JpegImagePlugin.JpegImageFile(file)
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return Image.open(file, formats=formats())
    finally:
        Image.MAX_IMAGE_PIXELS = most
