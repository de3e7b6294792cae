"""Reading and writing pictures: one clear line for a bad file, and never half a file.

A picture may come from anywhere, so its header is not believed: how large it says it is has to be possible for a file
of its size, and a PNG has to hold every row.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from crn_tf.errors import UserError
from crn_tf.files import open_regular, written_aside
from crn_tf.tensors import Pixels

# Endings of the formats below, as files have them; upper case is the same.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
Fit = Literal["resize", "crop"]
ImageFormat = Literal["png", "jpg"]  # of pictures we write
Size = tuple[int, int]  # height, width in pixels
MAX_PIXELS = 1 << 26  # 8192x8192: decoded, some 300 MB
_JPEG_PIXELS_PER_BYTE = 512  # at most: a block of 8x8 takes one bit or more

# Pillow knows more formats, some of which start other programs (PostScript).
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
JPEGS = ("JPEG", "MPO")  # MPO: with a preview behind it, as cameras write

# Drawing tools keep their whole document in a PNG's text, which is read over: Pillow would refuse it beyond 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


def read_image(path: Path) -> Image.Image:
    """Read and decode a picture completely, as it is stored.

    Its `info["raw mode"]` tells how it was stored, its `info["turn"]` how it has to be turned (see `_turn`).

    Raises:
        UserError: The file is missing, not a picture, damaged, or too large.
    """
    with _opened(path) as (file, image):
        turn = None if image.format == "TIFF" else _turn(image)  # Pillow turns a TIFF while it decodes it
        levels = _levels(image)
        _decode(file, image)
        image.info["turn"] = turn
        return _as_stored(image, levels)


def _levels(image: ImageFile.ImageFile) -> int | None:
    """The highest value of a PGM or PPM that Pillow stretches to 255 or 65535 while it decodes it."""
    arguments = image.tile[0][3] if image.format == "PPM" and image.tile else None
    highest = arguments[-1] if isinstance(arguments, tuple) else None
    return highest if isinstance(highest, int) and 0 < highest not in (255, 65535) else None


def _as_stored(image: Image.Image, levels: int | None) -> Image.Image:
    """A decoded picture with the values of its file: class ids must not be stretched."""
    if levels is None:
        return image
    highest = 65535 if image.mode == "I" else 255
    values = np.rint(np.asarray(image) * (levels / highest)).astype(np.int32 if image.mode == "I" else np.uint8)
    stored = Image.fromarray(values)
    stored.format, stored.info = image.format, image.info
    return stored


def _decode(file: BinaryIO, image: ImageFile.ImageFile) -> None:
    """Decode all of a picture.

    Raises:
        Exception: The picture is damaged; the kind follows from where.
    """
    image.info["raw mode"] = _raw_mode(image)
    image.load()
    if image.format == "PNG" and _may_lack_rows(image):
        _check_rows(file)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How a picture that is not decoded yet stores its pixels, in Pillow's words: "L;4" for grey of four bits."""
    arguments = image.tile[0][3] if image.tile else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def image_size(path: Path) -> Size:
    """Height and width as a viewer shows the picture and `read_photo` reads it, from its header only.

    Raises:
        UserError: The file is missing, not a picture, or too large.
    """
    with _opened(path) as (_, image):
        width, height = image.size
        if isinstance(image, TiffImageFile):  # Pillow may have swapped them already
            width, height = (image.tag_v2[tag] for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        return (width, height) if _turn(image) in _SWAPPING else (height, width)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How a picture that is not decoded yet has to be turned, as its EXIF or XMP says; None if as it is.

    Damaged EXIF does not make a sound picture useless: a viewer shows it as it is stored, so its layout was drawn that
    way. EXIF behind a PNG's pixels has no say either: its specification wants it ahead, and browsers look no further.
    """
    try:
        # A PNG's own getexif() would decode all of it.
        return _TURNS.get(Image.Image.getexif(image).get(ExifTags.Base.Orientation))
    except Exception:  # Pillow raises many kinds here too: struct.error, SyntaxError, TypeError...
        return None


_TURNS: dict[object, Image.Transpose] = {  # by EXIF orientation; files may hold anything there
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPING = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]  # height and width


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, ImageFile.ImageFile]]:
    """Open a picture whose size is believable, and turn what is raised while it is read into one line."""
    with _in_one_line(path), open_regular(path) as file, Image.open(file, formats=_FORMATS) as image:
        _check_size(image, os.fstat(file.fileno()).st_size)
        yield file, image


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Turn what is raised while a picture is read or converted into one line that names it."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"no image {path}") from error
    except Exception as error:  # Pillow raises many kinds for a damaged file: SyntaxError, zlib.error, TypeError...
        raise UserError(f"cannot read the image {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or its header is damaged; expected PNG, JPEG, WebP, BMP, TIFF, GIF or PPM"
    if isinstance(error, Image.DecompressionBombError):  # far larger than ours: not even opened
        return f"its header says it has more than {MAX_PIXELS:,} pixels; reduce it, or replace it if that is wrong"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _check_size(image: Image.Image, file_size: int) -> None:
    """Compare the size in a picture's header with what is allowed, and with what the file can hold.

    Raises:
        ValueError: The picture is too large, or larger than its file can hold.
    """
    pixels = image.width * image.height
    says = f"its header says it is {image.height}x{image.width} (height x width)"
    if pixels > MAX_PIXELS:
        raise ValueError(f"{says}; expected at most {MAX_PIXELS:,} pixels: reduce it, or replace it if that is wrong")
    # libjpeg would fill the missing rest with grey, and say nothing.
    if image.format in JPEGS and pixels > _JPEG_PIXELS_PER_BYTE * file_size:
        raise ValueError(f"{says}, for which {file_size:,} bytes are too few: it is damaged")


def _may_lack_rows(image: Image.Image) -> bool:
    """Whether a decoded PNG could have less pixels than its header says: Pillow leaves missing ones at zero."""
    if "interlace" in image.info:
        return True
    return not np.asarray(image.crop((0, image.height - 1, image.width, image.height))).any()


def _check_rows(file: BinaryIO) -> None:
    """Compare a PNG's inflated size with what its header says.

    Raises:
        ValueError: The file has fewer pixels than its header says.
        zlib.error: The compressed pixels are damaged.
    """
    file.seek(8)
    expected, found, inflate = 0, 0, zlib.decompressobj()
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        content = file.read(length)
        if kind == b"IHDR":
            width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", content)
            bits *= _PNG_CHANNELS[color]
            expected = sum(rows * (1 + -(-columns * bits // 8)) for rows, columns in _passes(height, width, interlaced))
        elif kind == b"IDAT":
            while content and found < expected:
                found += len(inflate.decompress(content, 1 << 20))
                content = inflate.unconsumed_tail
        file.seek(4, os.SEEK_CUR)  # the checksum
    if found < expected:
        raise ValueError("it has fewer pixels than its header says: it is damaged")


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey with alpha, RGBA


def _passes(height: int, width: int, interlaced: int) -> Iterator[Size]:
    """Rows and columns of each image inside a PNG: one, or the seven of its interlacing."""
    if not interlaced:
        yield height, width
        return
    for top, left, down, across in _ADAM7:
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        if rows > 0 and columns > 0:
            yield rows, columns


# First row and column, and steps, of each pass (PNG specification, section 8.2).
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def read_photo(path: Path, size: Size, fit: Fit = "resize") -> Pixels:
    """Read a photograph and bring it to a size, with antialiasing.

    Args:
        path: A picture with 8 bits per channel: RGB, grey, CMYK, palette, or RGBA if it is opaque. It is turned as its
            EXIF says; if that is damaged, it is read as it is stored.
        size: Height and width to return.
        fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UserError: The file is missing, damaged or too large, or has 16 bits per channel or transparent pixels.
    """
    with _opened(path) as (file, image):
        turn = None if image.format == "TIFF" else _turn(image)  # Pillow turns a TIFF while it decodes it
        _decode(file, image)
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{path} has 16 or 32 bits per channel; expected a photograph with 8: convert it first")
        photo = opaque(image, path).convert("RGB")
        if turn is not None:
            photo = photo.transpose(turn)
        # Pillow's filters widen with the reduction, so bicubic antialiases.
        return np.asarray(resize(photo, size, fit, Image.Resampling.BICUBIC))


def opaque(image: Image.Image, path: Path) -> Image.Image:
    """The image without its alpha channel.

    Raises:
        UserError: Some pixels are transparent: which colour they should have is not ours to guess. Or the file says
            something about transparency that makes no sense.
    """
    with _in_one_line(path):
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
            image = image.convert("RGBA")
            if any(image.getchannel("A").histogram()[:255]):
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


def write_image(path: Path, pixels: Pixels) -> None:
    """Write a picture, aside and renamed; PNG or JPEG by the suffix.

    Args:
        path: Where to; its folder is made.
        pixels: uint8 [H, W, 3].

    Raises:
        UserError: The folder or the file cannot be written.
    """
    options = _OPTIONS["jpg" if path.suffix.lower() in (".jpg", ".jpeg") else "png"]
    with written_aside(path) as temporary:
        Image.fromarray(pixels).save(temporary, **options)


def encode_image(pixels: Pixels, form: ImageFormat) -> bytes:
    """A picture as `write_image` writes it, in memory.

    Args:
        pixels: uint8 [H, W, 3].
        form: Of the file.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **_OPTIONS[form])
    return buffer.getvalue()


_OPTIONS: dict[ImageFormat, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}
