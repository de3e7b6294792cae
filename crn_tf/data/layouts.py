"""Semantic layouts: how label files become uint8 class ids, and class ids pictures (paper section 3).

In memory a layout is uint8 [H, W]: classes 0 .. n-1 in the class table's order, then void as id n. It becomes
one-hot only on the device.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crn_tf.data.class_tables import ClassTable, Color, packed
from crn_tf.data.conventions import Convention
from crn_tf.data.images import Fit, Size, resize
from crn_tf.data.label_files import LabelPixels, read_label
from crn_tf.data.label_looks import holds_ids, most_frequent_colors, palette_holds_ids
from crn_tf.data.near_colors import NO_CLASS, levels_off, mend_edges, near_table, nearest_in_words
from crn_tf.errors import UserError
from crn_tf.tensors import Layout, Pixels


@dataclass(frozen=True)
class PixelCount:
    """Pixels of one label file, by how their class was found."""

    pixels: int
    known: int = 0  # exactly a class' colour or id
    near: int = 0  # nearly a colour of the table
    mended: int = 0  # blended at an edge
    unknown: int = 0  # in no table: neither a class nor declared void
    colors: bool = False
    unknown_values: Counter[Color | int] = field(default_factory=Counter)  # the most frequent ones of these


def unknown_share(counts: Sequence[PixelCount]) -> float:
    """Of the pixels that have a class or should have one, the share that is in no class table: 0..1.

    Clear pixels and those that are declared void are neither.
    """
    unknown = sum(count.unknown for count in counts)
    return unknown / max(sum(c.known + c.near + c.mended for c in counts) + unknown, 1)


class LayoutReader:
    """Reads the label files of one data set, and counts the pixels that are not in its class table."""

    def __init__(self, convention: Convention | ClassTable) -> None:
        """Begin to count, for files that write classes by a convention.

        Args:
            convention: As `crn_tf.data.conventions.decide` found it; with a class table alone, each file is read by
                what it tells itself.
        """
        found = convention if isinstance(convention, Convention) else Convention(None, convention, "")
        self.classes, self._form = found.classes, found.form
        self._lock = threading.Lock()  # the input pipeline reads in several threads
        self._counts: dict[Path, PixelCount] = {}
        self._off = 0  # levels that a colour was off at most

    def read(self, path: Path, size: Size | None = None, fit: Fit = "resize") -> Layout:
        """Read a layout and bring it to a size with nearest-neighbour sampling.

        Args:
            path: PNG, or another picture of class ids or of the palette's colours (see `read_label`).
            size: Height and width to return; None keeps the file's.
            fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.

        Returns:
            uint8 [H, W] of class ids; clear pixels, and colours that are far from all in the table, are void.

        Raises:
            UserError: The file is missing, damaged or lossy, has ids that are no class, or is not of the convention.
        """
        layout, _ = self.decode(read_label(path), path)
        if size is None:
            return layout
        return np.asarray(resize(Image.fromarray(layout), size, fit, Image.Resampling.NEAREST))

    def decode(self, label: LabelPixels, path: Path) -> tuple[Layout, PixelCount]:
        """Find the classes of a label file's pixels.

        Args:
            label: The pixels.
            path: Where they are from.

        Returns:
            uint8 [H, W] of class ids, and how they were found.

        Raises:
            UserError: The format blurs ids, some ids are no class, or the file is not of the convention.
        """
        if label.lossy and self._form != "colours":
            raise UserError(f"{path} is a {label.lossy}, which blurs class ids and colours; expected a PNG layout")
        if self._form == "colours" or (self._form is None and self._shows_colors(label)):
            return self._from_colors(label, path)
        if label.ids is not None:
            return self._from_ids(label.ids, label, path)
        numbers = label.as_numbers()
        if numbers is None:
            raise UserError(
                f"{path} has colours, where the labels of its data set hold class ids; expected grey: convert it, or "
                "say how all of them are read with --labels"
            )
        return self._from_ids(numbers[0], label, path)

    def _shows_colors(self, label: LabelPixels) -> bool:
        """Whether a file is read by its colours, by what it tells itself."""
        if label.palette is not None and label.ids is not None:
            return not palette_holds_ids(label, np.bincount(label.ids.reshape(-1), minlength=256), self.classes)
        if label.colors is None:
            return False
        numbers = label.as_numbers()
        return numbers is None or not holds_ids(*numbers, label.clear, self.classes)

    def _from_ids(self, ids: NDArray[Any], label: LabelPixels, path: Path) -> tuple[Layout, PixelCount]:
        """The layout that a file's ids [H, W] stand for.

        Raises:
            UserError: Some ids are no class.
        """
        if ids.dtype == np.uint8:
            layout = self.classes.class_of_id[:256][ids]
        else:
            clipped = np.clip(ids, 0, 65535).astype(np.uint16)
            outside = self.classes.void if self.classes.void_ids is None else -1
            layout = np.where(clipped == ids, self.classes.class_of_id[clipped], outside)
        if label.clear is not None:
            layout = np.where(label.clear, self.classes.void, layout)
        if layout.min() < 0:
            for clear in label.clear_ids:
                layout = np.where((ids == clear) & (layout < 0), self.classes.void, layout)
        if layout.min() < 0:
            wrong = sorted({int(i) for i in np.unique(ids[layout < 0])})
            expected = f"{min(self.classes.ids)}..{max(self.classes.ids)} or {self.classes.file_ids[-1]} (void)"
            found = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise UserError(f"{path} has class ids {found}; expected {expected}")
        found = layout.astype(np.uint8)
        return found, self._remember(path, self._count_ids(ids, found, label))

    def _count_ids(self, ids: NDArray[Any], layout: Layout, label: LabelPixels) -> PixelCount:
        """How many ids are in no table: where every other id is void, those above all of the table's."""
        known = _number(layout != self.classes.void)
        if self.classes.void_ids is not None or known == layout.size:
            return PixelCount(layout.size, known)
        above = (ids > max(self.classes.ids)) & (ids != 255) & (ids != 65535)
        if label.clear is not None:
            above &= ~label.clear
        numbers, counts = np.unique(ids[above], return_counts=True)
        values: Counter[Color | int] = Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        return PixelCount(layout.size, known, unknown=values.total(), unknown_values=values)

    def _from_colors(self, label: LabelPixels, path: Path) -> tuple[Layout, PixelCount]:
        """The layout that colours stand for: exactly, nearly, or at an edge; the others are void, and counted."""
        void = np.uint8(self.classes.void)
        if label.ids is not None:  # indices into a palette, or grey that is meant as a colour
            palette = _GREYS if label.palette is None else label.palette
            by_color = self.classes.class_of_color[packed(palette)]
            by_color[list(label.clear_ids)] = void
            indices = np.clip(label.ids, 0, 255).astype(np.uint8, copy=False)
            layout = by_color[indices]
        else:
            assert label.colors is not None
            palette, indices = None, label.colors
            layout = self.classes.class_of_color[packed(label.colors)]
        if label.clear is not None:
            layout = np.where(label.clear, void, layout)
        outside = layout == NO_CLASS
        if not outside.any():
            count = PixelCount(layout.size, _number(layout != void), colors=True)
            return layout, self._remember(path, count)
        return self._repair(path, indices if palette is None else palette[indices], layout, outside)

    def _repair(self, path: Path, rgb: Pixels, layout: Layout, outside: NDArray[np.bool_]) -> tuple[Layout, PixelCount]:
        """Take near colours for the table's, mend edges, and make void what is left of the colours outside of it."""
        known = _number((layout != self.classes.void) & ~outside)
        layout[outside] = self._near[packed(rgb[outside])]
        near = outside & (layout != NO_CLASS)
        off = levels_off(rgb[near], layout[near], self.classes) if near.any() else 0
        left = _number(layout == NO_CLASS)
        layout = mend_edges(rgb, layout) if left else layout
        unknown = layout == NO_CLASS
        count = _number(unknown)
        values: Counter[Color | int] = Counter()
        if count:
            values.update(most_frequent_colors(rgb[unknown]))
            layout[unknown] = self.classes.void
        found = PixelCount(layout.size, known, _number(near), left - count, count, True, values)
        return layout, self._remember(path, found, off)

    def _remember(self, path: Path, count: PixelCount, off: int = 0) -> PixelCount:
        with self._lock:
            self._counts[path] = count
            self._off = max(self._off, off)
        return count

    @cached_property
    def _near(self) -> NDArray[np.uint8]:
        return near_table(self.classes)

    def unknown_share(self) -> float:
        """Of the pixels read so far that have a class or should have one, the share that is in no table: 0..1.

        Clear pixels and those that are declared void are neither.
        """
        with self._lock:
            return unknown_share(list(self._counts.values()))

    def warning(self) -> str | None:
        """One line about the pixels that are not as the class table says, in all that was read so far, or None."""
        with self._lock:
            counts = list(self._counts.values())
            strange = [(path, count) for path, count in sorted(self._counts.items()) if count.unknown]
        painted = [count for count in counts if count.colors]
        near, mended = sum(c.near for c in painted), sum(c.mended for c in painted)
        parts = []
        if strange:
            path, first = strange[0]
            parts.append(self._unknown_text(counts, path, first.unknown_values.most_common(1)[0][0]))
        if near:
            parts.append(f"{near:,} pixels are up to {self._off} levels off a colour of the palette, and count as it")
        if mended:
            parts.append(f"{mended:,} pixels at edges are blends of two colours, and count as the nearer one")
        return "; ".join(parts) or None

    def _unknown_text(self, counts: list[PixelCount], path: Path, value: Color | int) -> str:
        counts = [count for count in counts if count.colors == isinstance(value, tuple)]
        unknown, pixels = sum(c.unknown for c in counts), sum(c.pixels for c in counts)
        found = (
            f"{unknown:,} pixels ({unknown / pixels:.1%}) in {sum(bool(c.unknown) for c in counts)} of {len(counts)}"
        )
        if not isinstance(value, tuple):
            return (
                f"{found} layouts of ids read have an id above {max(self.classes.ids)}, which is none of the class "
                f"table's, and count as void, for example {value} in {path}"
            )
        return (
            f"{found} colour layouts read have a colour outside the palette and count as void, for example {value} in "
            f"{path}; if it should be a class, add it to the palette (the nearest is "
            f"{nearest_in_words(value, self.classes)})"
        )


def colorize(layout: Layout, classes: ClassTable) -> Pixels:
    """A picture of a layout in its palette, void in black: uint8 [..., H, W] -> uint8 [..., H, W, 3]."""
    return np.array([*classes.palette, (0, 0, 0)], np.uint8)[layout]


_GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))
