"""Semantic layouts: how label files become uint8 class ids, and class ids pictures (paper section 3).

In memory a layout is uint8 [H, W]: classes 0 .. n-1 in the class table's order, then void as id n. It becomes
one-hot only on the device.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crn_tf.data.class_tables import ClassTable, Color, packed
from crn_tf.data.images import JPEGS, Fit, Size, opaque, read_image, resize
from crn_tf.errors import UserError
from crn_tf.tensors import Layout, Pixels


class LayoutReader:
    """Reads layout files of one data set, and counts the pixels whose colour is outside the palette."""

    def __init__(self, classes: ClassTable) -> None:
        """Begin to count, for a data set with these classes."""
        self.classes = classes
        self._lock = threading.Lock()  # the input pipeline reads in several threads
        self._unknown: dict[Path, tuple[int, int]] = {}  # in each colour layout read: pixels outside the palette, all
        self._example: tuple[Path, Color] | None = None

    def read(self, path: Path, size: Size | None = None, fit: Fit = "resize") -> Layout:
        """Read a layout and bring it to a size with nearest-neighbour sampling.

        Grey files (1 to 16 bits) hold class ids, colour files the palette's colours. A palette PNG is read by its
        colours where the class table knows most of them (void says nothing), else its indices are the class ids.

        Args:
            path: PNG, or another lossless picture.
            size: Height and width to return; None keeps the file's.
            fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.

        Returns:
            uint8 [H, W] of class ids; colours outside the palette are void.

        Raises:
            UserError: The file is missing, damaged, a JPEG or transparent, or has ids that are no class.
        """
        image = read_image(path)
        if image.format in JPEGS:  # whatever the file is called
            raise UserError(f"{path} is a JPEG, which blurs class ids and colours; expected a PNG layout")
        layout = self._decode(image, path)
        if size is None:
            return layout
        return np.asarray(resize(Image.fromarray(layout), size, fit, Image.Resampling.NEAREST))

    def _decode(self, image: Image.Image, path: Path) -> Layout:
        if image.mode == "P":
            rgb = np.asarray(opaque(image, path).convert("RGB"))
            layout = self._look_up(rgb)
            unknown, known = np.count_nonzero(layout == 255), np.count_nonzero(layout < self.classes.void)
            return self._count(layout, rgb, path) if known > unknown else self._from_ids(np.asarray(image), path)
        if image.mode == "LA":
            image = opaque(image, path).convert("L")
        if image.mode in ("1", "L", "I", "I;16", "I;16B", "I;16L"):
            # Pillow stretches two and four bits to eight.
            return self._from_ids(np.asarray(image) // _STRETCHED.get(image.info["raw mode"], 1), path)
        if image.info["raw mode"].startswith("LA;16"):  # colours to Pillow
            raise UserError(f"{path} is grey of 16 bits with an alpha channel; expected one without: flatten it first")
        if image.mode not in ("RGB", "RGBA", "PA"):
            raise UserError(f"{path} has pixels of kind {image.mode}; expected class ids (grey) or palette colours")
        rgb = np.asarray(opaque(image, path).convert("RGB"))
        return self._count(self._look_up(rgb), rgb, path)

    def _from_ids(self, ids: NDArray[Any], path: Path) -> Layout:
        """The layout that a file's ids [H, W] stand for.

        Raises:
            UserError: Some ids are no class.
        """
        clipped = np.clip(ids, 0, 65535).astype(np.uint16)
        outside = self.classes.void if self.classes.void_ids is None else -1
        layout = np.where(clipped == ids, self.classes.class_of_id[clipped], outside)
        if layout.min() < 0:
            wrong = sorted({int(i) for i in np.unique(ids[layout < 0])})
            expected = f"{min(self.classes.ids)}..{max(self.classes.ids)} or {self.classes.file_ids[-1]} (void)"
            found = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise UserError(f"{path} has class ids {found}; expected {expected}")
        return layout.astype(np.uint8)

    def _look_up(self, rgb: Pixels) -> Layout:
        """The layout that colours stand for, 255 where one is outside the palette."""
        return self.classes.class_of_color[packed(rgb)]

    def _count(self, layout: Layout, rgb: Pixels, path: Path) -> Layout:
        """Make colours outside the palette (255 in the layout) void, and remember how many there were."""
        unknown = layout == 255
        count = int(unknown.sum())
        with self._lock:
            self._unknown[path] = count, layout.size
            if count and self._example is None:
                row, column = np.argwhere(unknown)[0]
                self._example = path, tuple(rgb[row, column].tolist())
        return np.where(unknown, np.uint8(self.classes.void), layout) if count else layout

    def warning(self) -> str | None:
        """One line that counts the pixels outside the palette in all that was read so far, or None."""
        if self._example is None:
            return None
        path, color = self._example
        counts, sizes = zip(*self._unknown.values(), strict=True)
        return (
            f"{sum(counts):,} pixels ({sum(counts) / sum(sizes):.1%}) in {sum(map(bool, counts))} of {len(counts)} "
            f"colour layouts read have a colour outside the palette and count as void, for example {color} in {path}; "
            "if it should be a class, add it to the palette"
        )


def colorize(layout: Layout, classes: ClassTable) -> Pixels:
    """A picture of a layout in its palette, void in black: uint8 [..., H, W] -> uint8 [..., H, W, 3]."""
    return np.array([*classes.palette, (0, 0, 0)], np.uint8)[layout]


_STRETCHED = {"L;2": 85, "L;4": 17}  # by raw mode
