"""Layouts inside a TensorFlow graph: PNG bytes to class ids, as `LayoutReader` reads a file alone.

Only blended pixels at edges stay void here, and a PNG is turned by its eXIf chunk, not by other texts that say so.
A server that runs the graph has neither Pillow nor this code, so everything here is made of TensorFlow's own
operations. What is wrong with a picture comes back as a text, so that the caller can name the item.
"""

import struct
import zlib

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Fit, Size
from crn_tf.data.label_looks import VOC_COLORS
from crn_tf.data.near_colors import reaches

MAX_PIXELS = 1 << 24  # of a layout, such as 4096x4096. Decoding takes 8 bytes for each
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 33  # signature, and the first chunk: length, IHDR, width, height, depth, colour type, ..., checksum
_GREY, _PALETTE, _GREY_ALPHA = 0, 3, 4  # colour types; all others hold colours
_MAX_CHUNKS = 1000  # before a picture's pixels: each takes some time to skip
_EXPECTED = "expected a PNG of class ids (grey) or of palette colours"
_DAMAGED = f"is a damaged or truncated PNG; {_EXPECTED}"
_DARK = f"has colours of 16 bits per channel that are all nearly black; {_EXPECTED}"
_CLEAR = 1 << 15  # opacity below which a pixel is clear
_UNITS = (0x010101, 0x010000, 0x000100, 0x000001)  # of numbers in all channels, or in one only
_MOST_EXIF = 1 << 16  # bytes of it that are read
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4  # EXIF's tag, and types
_NO_COLOR = 255  # in tables of classes: a colour outside the palette


class PngLayoutDecoder:
    """Decodes PNG layouts of one class table to class ids of one size, in the graph that is being traced."""

    def __init__(self, classes: ClassTable, size: Size, fit: Fit = "resize") -> None:
        """Prepare the tables.

        Args:
            classes: How the data set's files write classes.
            size: Height and width to return.
            fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.
        """
        self._size, self._void, self._fit = size, classes.void, fit
        self._class_of_id = np.where(classes.class_of_id < 0, classes.void, classes.class_of_id).astype(np.uint8)
        self._named = classes.class_of_id[:256] >= 0
        self._class_of_number = np.stack([classes.class_of_color[np.arange(256) * unit] for unit in _UNITS])
        known = classes.class_colors
        packed = {red << 16 | green << 8 | blue: index for (red, green, blue), index in known.items()}
        self._colors = np.array(sorted(packed), np.int32)
        self._class_of_color = np.array([packed[color] for color in sorted(packed)], np.uint8)
        self._first, self._last, self._class_of_run = _runs(classes)

    def decode(self, pngs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch.

        Args:
            pngs: Contents of PNG files, string [B].

        Returns:
            Class ids, uint8 [B, H, W], and what is wrong with each item, string [B], empty for nothing.
        """
        one = tf.TensorSpec(self._size, tf.uint8), tf.TensorSpec([], tf.string)
        return tf.map_fn(self._decode_one, pngs, fn_output_signature=one)

    def _decode_one(self, png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """string [] -> uint8 [H, W], and what is wrong with it."""
        problem = _header_problem(png)
        blank = tf.fill(self._size, tf.constant(self._void, tf.uint8))
        layout, problem = tf.cond(problem == "", lambda: self._decode_checked(png), lambda: (blank, problem))
        return tf.ensure_shape(layout, self._size), tf.ensure_shape(problem, [])

    def _decode_checked(self, png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `_decode_one`, of a picture whose first chunk is sound."""
        depth, kind = _depth_and_kind(png)
        palette, alpha, exif, data = _chunks(png)
        grey = tf.cond(kind == _PALETTE, lambda: _as_grey(png, data), lambda: png)
        pixels, sound = _decode_or_blank(grey)
        pixels = _turned(pixels, _orientation(exif))
        layout, problem = tf.case(
            [
                (kind == _PALETTE, lambda: (self._from_palette(pixels, depth, palette, alpha), "")),
                (kind == _GREY, lambda: (self._from_ids(pixels, depth), "")),
                (kind == _GREY_ALPHA, lambda: (self._clear_void(self._from_ids(pixels, depth), pixels), "")),
            ],
            default=lambda: self._from_colors(pixels, depth),
        )
        return layout, tf.where(sound, problem, _DAMAGED)

    def _from_ids(self, pixels: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
        """Grey pixels, uint16 [h, w, 4], to classes, uint8 [H, W]."""
        ids = tf.cast(self._resize(pixels[..., 0]), tf.int32) // _stretched(depth)
        return tf.gather(self._class_of_id, ids)

    def _clear_void(self, layout: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
        """The layout, uint8 [H, W], with void where pixels, uint16 [h, w, 4], are clear."""
        return tf.where(self._resize(pixels[..., 3]) < _CLEAR, tf.constant(self._void, tf.uint8), layout)

    def _from_colors(self, pixels: tf.Tensor, depth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels of colours, uint16 [h, w, 4], to classes, uint8 [H, W], and what is wrong with them."""
        rgb, painted = tf.cast(pixels[..., :3] // 256, tf.int32), pixels[..., 3] >= _CLEAR
        red, green, blue = tf.unstack(rgb, axis=-1)
        alike = tf.reduce_all((red == green) & (green == blue) | ~painted)
        used = tf.reduce_any((rgb > 0) & painted[..., None], [0, 1])
        channel = tf.where(alike, 0, 1 + tf.argmax(used, output_type=tf.int32))
        numbers = tf.gather(rgb, tf.maximum(channel - 1, 0), axis=-1)
        may_be_ids = alike | (tf.reduce_sum(tf.cast(used, tf.int32)) == 1)
        are_ids = tf.cond(may_be_ids, lambda: self._holds_ids(numbers[painted], channel), lambda: tf.constant(False))
        layout = tf.cond(
            are_ids,
            lambda: tf.gather(self._class_of_id, self._resize(numbers)),
            lambda: self._near(self._resize(rgb)),
        )
        dark = (depth == 16) & tf.reduce_any(painted) & ~tf.reduce_any(rgb > 0)
        return self._clear_void(layout, pixels), tf.where(dark, _DARK, "")

    def _holds_ids(self, numbers: tf.Tensor, channel: tf.Tensor) -> tf.Tensor:
        """Whether numbers, int32 [n], found as `_UNITS[channel]` says, are ids: bool []."""
        counts = tf.math.bincount(numbers, minlength=256, maxlength=256)
        known, unknown = self._known_and_unknown(counts, tf.gather(self._class_of_number, channel))
        classes = tf.where((counts > 0) & self._named, self._class_of_id[:256], _NO_COLOR)
        sound = tf.reduce_all((counts == 0) | self._named) & tf.reduce_any(classes < self._void)
        return (unknown > 0) & (known <= unknown) & sound

    def _known_and_unknown(self, counts: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of pixels by their colour [256], how many have a class, and how many are outside the table."""
        known = tf.reduce_sum(tf.where(classes < self._void, counts, 0))
        return known, tf.reduce_sum(tf.where(classes == _NO_COLOR, counts, 0))

    def _from_palette(self, pixels: tf.Tensor, depth: tf.Tensor, palette: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
        """By colour where the class table knows most of them, else the indices are class ids, as they also are where
        the palette is the one of labelling tools."""
        indices = tf.cast(pixels[..., 0], tf.int32) // _stretched(depth)
        counts = tf.math.bincount(tf.reshape(indices, [-1]), minlength=256, maxlength=256)
        colors = tf.reshape(tf.cast(tf.io.decode_raw(palette, tf.uint8), tf.int32), [-1, 3])
        colors = tf.pad(colors, [[0, 256 - tf.shape(colors)[0]], [0, 0]])
        opacity = tf.io.decode_raw(alpha, tf.uint8)
        opacity = tf.pad(opacity, [[0, 256 - tf.size(opacity)]], constant_values=255)

        def clear_void(classes: tf.Tensor) -> tf.Tensor:
            return tf.where(opacity < _CLEAR >> 8, tf.constant(self._void, tf.uint8), classes)

        known, unknown = self._known_and_unknown(counts, clear_void(self._look_up(colors)))
        named = tf.reduce_all((counts == 0) | self._named)
        by_color = (known > unknown) & ~(_is_standard(colors, counts > 0) & named)
        table = tf.where(by_color, clear_void(self._near(colors)), self._class_of_id[:256])
        return tf.gather(table, self._resize(indices))

    def _near(self, rgb: tf.Tensor) -> tf.Tensor:
        """Classes of colours that are the table's or near to one: int32 [..., 3] -> uint8 [...]; else void."""
        packed = tf.reduce_sum(rgb * [1 << 16, 1 << 8, 1], -1)
        places = tf.reshape(tf.searchsorted(self._first, tf.reshape(packed, [-1]), side="right"), tf.shape(packed))
        places = tf.maximum(places - 1, 0)
        inside = (packed >= tf.gather(self._first, places)) & (packed <= tf.gather(self._last, places))
        return tf.where(inside, tf.gather(self._class_of_run, places), tf.constant(self._void, tf.uint8))

    def _look_up(self, rgb: tf.Tensor) -> tf.Tensor:
        """Classes of colours: int32 [..., 3] -> uint8 [...], 255 for a colour outside the table."""
        red, green, blue = tf.unstack(rgb, axis=-1)
        packed = red * 65536 + green * 256 + blue
        places = tf.searchsorted(self._colors, tf.reshape(packed, [-1]))
        places = tf.reshape(tf.minimum(places, len(self._colors) - 1), tf.shape(packed))
        found = tf.gather(self._colors, places) == packed
        return tf.where(found, tf.gather(self._class_of_color, places), tf.constant(_NO_COLOR, tf.uint8))

    def _resize(self, pixels: tf.Tensor) -> tf.Tensor:
        return fit_nearest(pixels, self._size, axis=0, fit=self._fit)


def resize_nearest(pixels: tf.Tensor, size: Size, axis: int) -> tf.Tensor:
    """Bring pictures to a size with nearest neighbour, choosing the pixels that Pillow chooses.

    Args:
        pixels: [..., h, w, ...], of any size.
        size: Height and width to return.
        axis: Which axis is h; w follows.

    Returns:
        [..., H, W, ...], of the same type.
    """
    shape = tf.shape(pixels)
    rows = tf.gather(pixels, _nearest(shape[axis], size[0]), axis=axis)
    return tf.gather(rows, _nearest(shape[axis + 1], size[1]), axis=axis + 1)


def unknown_to_optimizers(tensor: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The same tensor, of which TensorFlow's optimizers know neither the value nor more of the shape than is given."""
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=shape)


def _stretched(depth: tf.Tensor) -> tf.Tensor:
    """What values of a number of bits were multiplied with when they were decoded to 16."""
    return 65535 // (tf.bitwise.left_shift(1, depth) - 1)


def _nearest(source: tf.Tensor, target: int) -> tf.Tensor:
    """Pillow's source coordinate of each target pixel: half a step, then step by step, with its rounding errors."""
    # TensorFlow would multiply with a constant's inverse, which rounds otherwise: 640 / 192 is not 640 * (1 / 192).
    step = tf.cast(source, tf.float64) / unknown_to_optimizers(tf.constant(target, tf.float64), tf.TensorShape([]))
    steps = tf.concat([[step / 2], tf.fill([target - 1], step)], 0)
    return tf.minimum(tf.cast(tf.cumsum(steps), tf.int32), source - 1)


def _header_problem(png: tf.Tensor) -> tf.Tensor:
    """What a picture's first bytes say against decoding it; empty for nothing."""
    complete = (tf.strings.length(png) > _HEADER_BYTES) & (tf.strings.substr(png, 0, 8) == _PNG_SIGNATURE)
    return tf.cond(complete, lambda: _first_chunk_problem(png), lambda: _format_problem(png))


def _format_problem(png: tf.Tensor) -> tf.Tensor:
    return tf.case(
        [
            (png == "", lambda: tf.constant(f"is empty; {_EXPECTED}")),
            (tf.strings.substr(png, 0, 8) == _PNG_SIGNATURE, lambda: tf.constant(_DAMAGED)),
            (
                tf.strings.substr(png, 0, 3) == b"\xff\xd8\xff",
                lambda: tf.constant(f"is a JPEG, which blurs class ids and colours; {_EXPECTED}"),
            ),
            (
                tf.strings.substr(png, 0, 5) == b"data:",
                lambda: tf.constant(
                    "is a data: URI; expected only what follows its comma, as base64 (in REST an "
                    "object: b64 and the text)"
                ),
            ),
            (
                tf.strings.substr(png, 0, 6) == b"iVBORw",  # how a PNG's base64 begins
                lambda: tf.constant("is base64 text; expected bytes (in REST an object: b64 and the text)"),
            ),
        ],
        default=lambda: tf.constant(f"is not a PNG; {_EXPECTED}"),
    )


def _depth_and_kind(png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bits of a value, and the colour type, from a PNG's first chunk: int32."""
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(png, 24, 2), tf.uint8), tf.int32)
    return header[0], header[1]


def _first_chunk_problem(png: tf.Tensor) -> tf.Tensor:
    depth, kind = _depth_and_kind(png)
    # A palette of 16 bits would pass for a grey picture, once it is one.
    possible = tf.reduce_any(depth == [1, 2, 4, 8, 16]) & ((kind != _PALETTE) | (depth <= 8))
    sound = (tf.strings.substr(png, 12, 4) == b"IHDR") & possible
    return tf.cond(sound, lambda: _size_problem(png), lambda: tf.constant(_DAMAGED))


def _size_problem(png: tf.Tensor) -> tf.Tensor:
    width, height = _number(png, 16), _number(png, 20)
    too_large = tf.strings.join(
        ["is ", tf.as_string(height), "x", tf.as_string(width)]
        + [f" (height x width); expected at most {MAX_PIXELS:,} pixels, and at least one"]
    )
    # Each side is below 2**32, so their product may overflow 64 bits; their quotient does not.
    fits = (width > 0) & (height > 0) & (height <= MAX_PIXELS // tf.maximum(width, 1))
    return tf.where(fits, "", too_large)


def _decode_or_blank(png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels as uint16 [h, w, 4], and whether the picture was sound; one blank pixel if it was not."""
    # A data set is the only place where a graph survives an operation's error, such as libpng's on a damaged picture.
    read = tf.data.Dataset.from_tensors(png).map(lambda file: tf.io.decode_png(file, channels=4, dtype=tf.uint16))
    options = tf.data.Options()  # nothing to be gained with one item, and looking for it takes longer than decoding
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    blank = tf.zeros([1, 1, 4], tf.uint16), tf.constant(False)
    return read.ignore_errors().with_options(options).reduce(blank, lambda _, pixels: (pixels, tf.constant(True)))


def _is_standard(colors: tf.Tensor, used: tf.Tensor) -> tf.Tensor:
    """As `crn_tf.data.label_looks.is_standard_palette`: int32 [256, 3], bool [256] -> bool []."""
    equal = tf.reduce_all(colors == VOC_COLORS.astype(np.int32), -1)
    index = tf.range(256)
    largest = tf.reduce_max(tf.where(used & (index < 255), index, 0))
    return tf.reduce_all(equal[:22]) | ((largest >= 2) & tf.reduce_all(equal | (index > largest)))


def _runs(classes: ClassTable) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Colours as numbers that follow each other and have one class: the first and last of each run, and the class."""
    runs: list[tuple[int, int, int]] = []
    known = classes.class_colors
    for (red, green, blue), reach in reaches(classes).items():
        low, high = max(blue - reach, 0), min(blue + reach, 255)
        for r in range(max(red - reach, 0), min(red + reach, 255) + 1):
            for g in range(max(green - reach, 0), min(green + reach, 255) + 1):
                start = r << 16 | g << 8
                runs.append((start | low, start | high, known[red, green, blue]))
    merged: list[tuple[int, int, int]] = []
    for first, last, number in sorted(runs):
        if merged and first <= merged[-1][1]:  # of one class: others are further away
            merged[-1] = merged[-1][0], max(last, merged[-1][1]), number
        else:
            merged.append((first, last, number))
    firsts, lasts, numbers = zip(*merged, strict=True)
    return np.array(firsts, np.int32), np.array(lasts, np.int32), np.array(numbers, np.uint8)


def _orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation 1..8 that EXIF says, 1 if it says none: string [] -> int32 []."""
    content = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(content, tf.int64)
    content = tf.pad(content, [[0, 8]])
    little = (content[0] == ord("I")) & (content[1] == ord("I"))

    def number(digits: tf.Tensor, count: int) -> tf.Tensor:
        """int64 [..., count] -> int64 [...]."""
        weights = np.array([256**place for place in range(count)], np.int64)
        return tf.reduce_sum(digits * tf.where(little, weights, weights[::-1]), -1)

    start = tf.minimum(number(content[4:8], 4), size)
    count = number(content[start : start + 2], 2)
    count = tf.where(start + 2 + 12 * count <= size, count, 0)  # what is cut off says nothing
    entries = tf.reshape(content[start + 2 : start + 2 + 12 * count], [-1, 12])
    kinds = number(entries[:, 2:4], 2)
    values = tf.where(kinds == _SHORT, number(entries[:, 8:10], 2), number(entries[:, 8:12], 4))
    wanted = (number(entries[:, :2], 2) == _ORIENTATION) & (number(entries[:, 4:8], 4) == 1)
    wanted &= ((kinds == _SHORT) | (kinds == _LONG)) & (values >= 1) & (values <= 8)
    sound = little | (content[0] == ord("M")) & (content[1] == ord("M"))
    found = tf.reduce_max(tf.where(wanted & sound, values, 1))
    return tf.cast(tf.maximum(found, 1), tf.int32)  # of no entries, the maximum is the lowest number there is


def _turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Pixels [h, w, 4], turned as an orientation 1..8 says."""

    def steps(down: bool, across: bool) -> tf.Tensor:
        return tf.reverse(pixels, [axis for axis, turn in enumerate((down, across)) if turn])

    def exchanged(down: bool, across: bool) -> tf.Tensor:
        turned = tf.transpose(pixels, [1, 0, 2])
        return tf.reverse(turned, [axis for axis, turn in enumerate((down, across)) if turn])

    return tf.switch_case(
        orientation - 1,
        [
            lambda: pixels,
            lambda: steps(False, True),
            lambda: steps(True, True),
            lambda: steps(True, False),
            lambda: exchanged(False, False),
            lambda: exchanged(False, True),
            lambda: exchanged(True, True),
            lambda: exchanged(True, False),
        ],
    )


def _chunks(png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The palette's colours and opacities, at most 256, and EXIF (empty if there are none), and where the pixels begin
    (the end if they do not)."""
    end = tf.strings.length(png)

    def skip_chunk(
        position: tf.Tensor, palette: tf.Tensor, alpha: tf.Tensor, exif: tf.Tensor, _: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        length = tf.cast(tf.minimum(_number(png, position), MAX_PIXELS), tf.int32)
        kind = tf.strings.substr(png, position + 4, 4)
        colors = tf.strings.substr(png, position + 8, tf.minimum(length // 3, 256) * 3)
        opacities = tf.strings.substr(png, position + 8, tf.minimum(length, 256))
        content = tf.strings.substr(png, position + 8, tf.minimum(length, _MOST_EXIF))
        found = kind == b"IDAT"
        return (
            tf.where(found, position, tf.minimum(position + 12 + length, end)),
            tf.where(kind == b"PLTE", colors, palette),
            tf.where(kind == b"tRNS", opacities, alpha),
            tf.where(kind == b"eXIf", content, exif),
            found,
        )

    empty = tf.constant(b"")
    position, palette, alpha, exif, found = tf.while_loop(
        lambda position, palette, alpha, exif, found: ~found & (position + 12 <= end),
        skip_chunk,
        (tf.constant(_HEADER_BYTES), empty, empty, empty, tf.constant(False)),
        maximum_iterations=_MAX_CHUNKS,
    )
    whole = tf.strings.length(palette) // 3 * 3  # a truncated file ends anywhere
    return tf.strings.substr(palette, 0, whole), alpha, exif, tf.where(found, position, end)


def _as_grey(png: tf.Tensor, data: tf.Tensor) -> tf.Tensor:
    """A palette picture as a grey one of its indices: TensorFlow would decode it to colours."""
    header = tf.io.decode_raw(tf.strings.substr(png, 8, _HEADER_BYTES - 8), tf.uint8)
    header = _to_string(tf.bitwise.bitwise_xor(header, _palette_to_grey()))
    pixels = tf.strings.substr(png, data, tf.strings.length(png) - data)
    return tf.strings.join([_PNG_SIGNATURE, header, pixels])


def _number(png: tf.Tensor, position: tf.Tensor | int) -> tf.Tensor:
    """Four bytes as a number, the highest first: int64."""
    digits = tf.io.decode_raw(tf.strings.substr(png, position, 4), tf.uint8)
    return tf.reduce_sum(tf.cast(digits, tf.int64) * np.array([1 << 24, 1 << 16, 1 << 8, 1], np.int64))


def _to_string(values: tf.Tensor) -> tf.Tensor:
    """uint8 [n] -> a string of n bytes."""
    every_byte = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(every_byte, tf.cast(values, tf.int32)))


def _palette_to_grey() -> NDArray[np.uint8]:
    """What turns a PNG's first chunk of a palette picture into that of a grey one, by exclusive or: uint8 [25].

    Checksums are linear: that of the changed chunk differs by the same bits, whatever the picture.
    """

    def chunk(kind: int) -> NDArray[np.uint8]:
        content = b"IHDR" + struct.pack(">2I5B", 1, 1, 8, kind, 0, 0, 0)
        return np.frombuffer(struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content)), np.uint8)

    return chunk(_PALETTE) ^ chunk(_GREY)


def fit_nearest(pixels: tf.Tensor, size: Size, axis: int, fit: Fit) -> tf.Tensor:
    """Bring pictures to a size as `images.resize` does: stretched, or their centre.

    Args:
        pixels: [..., h, w, ...], of any size.
        size: Height and width to return.
        axis: Which axis is h; w follows.
        fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.
    """
    if fit == "resize":
        return resize_nearest(pixels, size, axis)
    found = tf.shape(pixels)[axis : axis + 2]
    sides = tf.cast(found, tf.float64)
    wanted = unknown_to_optimizers(tf.constant(size, tf.float64), tf.TensorShape([2]))  # as in `_nearest`
    part = tf.minimum(wanted * tf.reduce_min(sides / wanted), sides)
    first = (sides - part) / 2
    start, end = (tf.cast(edge, tf.float32) for edge in (first, first + part))  # as Pillow keeps a box
    steps = tf.cast(end - start, tf.float64) / wanted
    for index, target in enumerate(size):
        first_place = tf.cast(start[index], tf.float64) + steps[index] / 2
        places = tf.cumsum(tf.concat([[first_place], tf.fill([target - 1], steps[index])], 0))
        places = tf.minimum(tf.cast(places, tf.int32), found[index] - 1)
        pixels = tf.gather(pixels, places, axis=axis + index)
    return pixels
