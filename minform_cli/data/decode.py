"""One image file to uint8 pixels: decoded, converted, resized and cropped the same way wherever it is read."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from minform_cli.data.images import Pixels
from minform_cli.errors import InputError, MinformError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What is decoded; the library knows more, some of which start other programs."""

MAX_PIXELS = 40_000_000
"""A header may claim any size; this many pixels are 160 MB while they are decoded."""


@dataclass(frozen=True)
class Decoder:
    """Makes equal shapes of image files.

    The shorter side is resized to `resize_to` (antialiased, bilinear) and the middle square is kept; without it the
    file must have the shape already. A palette, transparency or colour profile is dropped; the orientation is that of
    the stored pixels. An animation is its first frame.

    Attributes:
        channels: 1 grey or 3 red, green, blue; files of the other kind are converted.
        height: of the result, in pixels.
        width: likewise.
        resize_to: side of the square, or None.
    """

    channels: int
    height: int
    width: int
    resize_to: int | None

    @property
    def num_bytes(self) -> int:
        """Of one decoded image."""
        return self.channels * self.height * self.width

    def decode(self, content: bytes, name: str) -> Pixels:
        """(C, H, W) pixels of the file `content`; `name` is for messages.

        Raises:
            InputError: the file is damaged, too large, or of another shape than the first.
        """
        with _opened(content, name) as image:
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
        return pixels.transpose(2, 0, 1)


def decoder_for(content: bytes, name: str, resize_to: int | None) -> Decoder:
    """The decoder for a folder whose first image is `content`: that one decides channels, and shape if none is given.

    Raises:
        InputError: the file is damaged or too large.
    """
    with _opened(content, name) as image:
        channels = 1 if image.mode in {"1", "L"} else 3
        height, width = (resize_to, resize_to) if resize_to else (image.height, image.width)
        return Decoder(channels, height, width, resize_to)


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Generator[Image.Image]:
    """The image in `content`, its header read and its claims checked; pixels are decoded when asked for."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on oddities of single files; what matters raises
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InputError(f"{name!r} claims {image.height}x{image.width} pixels, more than {MAX_PIXELS:,}")
                if image.mode.startswith(("I", "F")):
                    raise InputError(f"{name!r} has pixels of mode {image.mode}; accepted: 8 bits per channel")
                yield image
    except MinformError:  # what is raised above, or a signal came
        raise
    except Exception as error:  # damaged bytes make the decoders raise nearly anything
        reason = str(error) if isinstance(error, OSError | ValueError | Image.DecompressionBombError) else ""
        if isinstance(error, Image.UnidentifiedImageError) or not reason:
            reason = "not an image, or damaged"
        raise InputError(f"{name!r} cannot be decoded: {reason!r}") from None
