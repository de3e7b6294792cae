"""Label files: their pixels, before anything is known of what these mean.

A label file holds numbers (grey, or indices into a palette) or colours. Colours may be numbers in disguise: grey that
was saved as RGB, or one channel of which is used. What is transparent is told apart, since ids must not be blended with
a background.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crn_tf.data.images import JPEGS, read_image
from crn_tf.errors import UserError
from crn_tf.files import open_regular
from crn_tf.tensors import Pixels

Mask = NDArray[np.bool_]
_STRETCHED = {"L;2": 85, "L;4": 17}  # by raw mode: Pillow stretches two and four bits to eight
_OPAQUE = 128  # opacity from which a pixel is painted


@dataclass(frozen=True, eq=False)
class LabelPixels:
    """A label file's pixels, turned as its EXIF says.

    Attributes:
        ids: Numbers [H, W]: grey values, or indices into the palette; None for a file of colours.
        colors: uint8 [H, W, 3] of a file of colours; None for one of numbers.
        palette: Colours of the indices 0..255, uint8 [256, 3]; None for a file without a palette.
        clear: Pixels that are more transparent than not, by an alpha channel or a transparent colour; None for none.
        clear_ids: Of a file of numbers: those that it calls transparent. They are numbers all the same.
        lossy: The format's name, where it does not keep ids and colours as they are.
    """

    ids: NDArray[Any] | None
    colors: Pixels | None
    palette: Pixels | None = None
    clear: Mask | None = None
    clear_ids: tuple[int, ...] = ()
    lossy: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        pixels = self.colors if self.ids is None else self.ids
        assert pixels is not None
        return pixels.shape[0], pixels.shape[1]

    def as_numbers(self) -> tuple[NDArray[Any], Literal["grey", "red", "green", "blue"]] | None:
        """The numbers that colours are: all channels alike, or all but one empty; None where they are neither.

        Clear pixels do not matter. Black alone is grey.
        """
        if self.colors is None:
            return None
        channels = [self.colors[..., i] for i in range(3)]
        differ = [channels[0] != channels[1], channels[1] != channels[2]]
        if not any(self._any_painted(mask) for mask in differ):
            return channels[0], "grey"
        used = [self._any_painted(channel != 0) for channel in channels]
        if sum(used) > 1:
            return None
        only = used.index(True)
        names: tuple[Literal["red"], Literal["green"], Literal["blue"]] = ("red", "green", "blue")
        return channels[only], names[only]

    def _any_painted(self, mask: Mask) -> bool:
        return bool((mask if self.clear is None else mask & ~self.clear).any())


def read_label(path: Path) -> LabelPixels:
    """Read a label file.

    Args:
        path: PNG or another picture: grey of 1 to 32 bits, palette or colours, with or without transparency.

    Raises:
        UserError: The file is missing or damaged, or has pixels that are neither numbers nor colours.
    """
    image = read_image(path)
    raw_mode, turn = image.info["raw mode"], image.info["turn"]
    lossy, clear, palette = _lossy(image, path), None, None
    clear_ids: tuple[int, ...] = ()
    ids: NDArray[Any] | None = None
    colors: Pixels | None = None
    if raw_mode.startswith("LA;16"):  # Pillow would keep eight bits of it
        ids, clear = _grey_alpha_of_16_bits(path)
    elif image.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L"):
        stretch = _STRETCHED.get(raw_mode, 1)
        ids = np.asarray(image).astype(np.uint8) if image.mode == "1" else np.asarray(image)
        ids = ids // stretch if stretch > 1 else ids
        clear_ids = tuple(i // stretch for i in _transparent_ids(image, path))
    elif image.mode == "P":
        ids, palette, clear_ids = np.asarray(image), _palette(image), _transparent_ids(image, path)
    elif image.mode == "LA":
        channels = np.asarray(image)
        ids, clear = channels[..., 0], channels[..., 1] < _OPAQUE
    elif image.mode in ("RGB", "RGBA", "PA"):
        colors, clear = _colors(image, path)
        if ";16" in raw_mode and not colors.any() and not (clear is not None and clear.all()):
            raise UserError(
                f"{path} has colours of 16 bits per channel that are all nearly black; expected colours, or class ids "
                "in grey: save it as grey"
            )
    else:
        raise UserError(f"{path} has pixels of kind {image.mode}; expected class ids (grey) or palette colours")
    clear = clear if clear is not None and clear.any() else None
    ids, colors, clear = (None if pixels is None else _turned(pixels, turn) for pixels in (ids, colors, clear))
    return LabelPixels(ids, colors, palette, clear, clear_ids, lossy)


def _colors(image: Image.Image, path: Path) -> tuple[Pixels, Mask | None]:
    """Colours, and which are clear; a colour that the file calls transparent is."""
    if image.mode == "RGB":
        pixels, key = np.asarray(image), image.info.get("transparency")
        if key is None:
            return pixels, None
        if not isinstance(key, tuple) or len(key) != 3:
            raise UserError(f"cannot read the image {path}: its transparent colour is damaged")
        if ";16" in image.info["raw mode"]:
            key = tuple(value >> 8 for value in key)
        return pixels, (pixels == np.array(key)).all(-1)
    pixels = np.asarray(image.convert("RGBA"))
    return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3] < _OPAQUE


def _palette(image: Image.Image) -> Pixels:
    """Colours of the indices 0..255; black where the file has none."""
    values = np.array((image.getpalette("RGB") or [])[: 3 * 256], np.uint8)
    return np.pad(values, (0, 3 * 256 - len(values))).reshape(256, 3)


def _transparent_ids(image: Image.Image, path: Path) -> tuple[int, ...]:
    """Numbers that a file without an alpha channel calls transparent.

    Raises:
        UserError: It says so of more than there can be, or in another form.
    """
    key = image.info.get("transparency")
    if key is None:
        return ()
    if isinstance(key, int) and 0 <= key < (256 if image.mode == "P" else 65536):
        return (key,)
    if isinstance(key, bytes) and len(key) <= 256:
        return tuple(i for i, opacity in enumerate(key) if opacity < _OPAQUE)
    raise UserError(f"cannot read the image {path}: it makes more colours transparent than there can be")


def _grey_alpha_of_16_bits(path: Path) -> tuple[NDArray[Any], Mask]:
    """A PNG of 16 bits of grey and alpha. Its pixels have four bytes, so they can be decoded as if they were RGBA."""
    with open_regular(path) as file:
        content = bytearray(file.read())
    content[24:26] = 8, 6  # bits and colour type in the first chunk, whose checksum follows
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        pixels = np.asarray(image)
    ids = pixels[..., 0].astype(np.uint16) << 8 | pixels[..., 1]
    return ids, pixels[..., 2] < _OPAQUE


def _lossy(image: Image.Image, path: Path) -> str | None:
    """The name of a format that changes ids and colours, or None."""
    if image.format in JPEGS:  # whatever the file is called
        return "JPEG"
    if image.format == "TIFF" and "jpeg" in str(image.info.get("compression", "")):
        return "TIFF with JPEG compression"
    if image.format == "WEBP":
        with open_regular(path) as file:
            file.seek(12)
            while len(start := file.read(8)) == 8:
                kind, length = struct.unpack("<4sI", start)
                if kind == b"VP8 ":
                    return "lossy WebP"
                file.seek(length + length % 2, io.SEEK_CUR)
    return None


def _turned(pixels: NDArray[Any], turn: Image.Transpose | None) -> NDArray[Any]:
    """Pixels [H, W, ...] turned as Pillow would turn a picture."""
    if turn is None:
        return pixels
    if turn in (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE, *_QUARTERS):
        pixels = pixels.swapaxes(0, 1)
    down, across = _STEPS.get(turn, (1, 1))
    return np.ascontiguousarray(pixels[::down, ::across])


_QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
_STEPS = {  # through rows and columns, after these were exchanged where they are
    Image.Transpose.FLIP_LEFT_RIGHT: (1, -1),
    Image.Transpose.FLIP_TOP_BOTTOM: (-1, 1),
    Image.Transpose.ROTATE_180: (-1, -1),
    Image.Transpose.ROTATE_90: (-1, 1),
    Image.Transpose.ROTATE_270: (1, -1),
    Image.Transpose.TRANSVERSE: (-1, -1),
}
