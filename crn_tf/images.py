"""Reading and writing pictures: one clear line for a bad file, and never half a file."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from crn_tf.errors import UserError
from crn_tf.files import written_aside

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
Fit = Literal["resize", "crop"]
Size = tuple[int, int]  # height, width in pixels

# What Pillow raises for a damaged file, depending on the format and on where the damage is.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_image(path: Path) -> Image.Image:
    """Read and decode a picture completely.

    Raises:
        UserError: The file is missing, not a picture, or damaged.
    """
    with _reading(path), Image.open(path) as image:
        image.load()
        return image


def image_size(path: Path) -> Size:
    """Height and width as a viewer shows the picture, from its header only.

    Raises:
        UserError: The file is missing or not a picture.
    """
    with _reading(path), Image.open(path) as image:
        # EXIF orientations 5 to 8 swap the axes. A PNG's own getexif() would decode all of it to find them.
        turned = Image.Image.getexif(image).get(0x0112, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what Pillow raises for a missing or damaged picture into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"no image {path}") from error
    except _DAMAGE as error:
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UserError(f"cannot read the image {path}: {reason}") from error


def read_photo(path: Path, size: Size, fit: Fit = "resize") -> np.ndarray:
    """Read a photograph and bring it to a size, with antialiasing.

    Args:
        path: A picture with 8 bits per channel: RGB, grey, CMYK, palette, or RGBA if it is opaque.
        size: Height and width to return.
        fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UserError: The file is missing, damaged, has 16 bits per channel or transparency.
    """
    image = ImageOps.exif_transpose(read_image(path))
    if image.mode.startswith(("I", "F")):
        raise UserError(f"{path} has 16 or 32 bits per channel; expected a photograph with 8: convert it first")
    image = opaque(image, path)
    # Pillow's filters widen with the reduction, so bicubic antialiases.
    return np.asarray(resize(image.convert("RGB"), size, fit, Image.Resampling.BICUBIC))


def opaque(image: Image.Image, path: Path) -> Image.Image:
    """The image without its alpha channel.

    Raises:
        UserError: Some pixels are transparent: which colour they should have is not ours to guess.
    """
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise UserError(f"{path} has transparent pixels; expected an opaque picture: flatten it first")
        image = image.convert("RGB")
    return image


def resize(image: Image.Image, size: Size, fit: Fit, resample: Image.Resampling) -> Image.Image:
    """Bring a picture to a size, stretching it or cutting its centre (see `read_photo`)."""
    height, width = size
    if image.size == (width, height):
        return image
    box = None
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        across, down = min(width * scale, image.width), min(height * scale, image.height)  # rounding may exceed it
        left, top = (image.width - across) / 2, (image.height - down) / 2
        box = left, top, left + across, top + down
    return image.resize((width, height), resample, box=box)


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, aside and renamed; PNG or JPEG by the suffix.

    Args:
        path: Where to; its folder is made.
        pixels: uint8 [H, W, 3].

    Raises:
        UserError: It cannot be written.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options = {"format": "JPEG", "quality": 95, "subsampling": 0}
    else:
        options = {"format": "PNG"}
    with written_aside(path) as temporary:
        Image.fromarray(pixels).save(temporary, **options)
