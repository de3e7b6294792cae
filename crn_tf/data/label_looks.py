"""What one label file tells by itself: its numbers and colours, and whether it would rather be read as ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crn_tf.data.class_tables import ClassTable, Color, packed
from crn_tf.data.label_files import LabelPixels, Mask, read_label
from crn_tf.data.near_colors import NO_CLASS
from crn_tf.errors import UserError

Numbers = Literal["grey", "palette indices", "grey in RGB", "red channel", "green channel", "blue channel"]


@dataclass(frozen=True)
class Look:
    """What one label file holds.

    Attributes:
        path: The file.
        numbers: How it stores numbers; None if it cannot be read as numbers.
        ids: How many pixels have each number.
        colors: How many pixels have each class of the table by their colour, 255 for none; None for a grey file.
        unknown: Colours in no table, the most frequent ones, and how many pixels have each.
        holds_ids: Whether the file would rather be read as ids; None if it does not say.
        code: Another form that its colours have, as a person would name it.
    """

    path: Path
    numbers: Numbers | None
    ids: Counter[int]
    colors: Counter[int] | None
    unknown: Counter[Color]
    holds_ids: bool | None
    code: str | None = None


def look_at(path: Path, classes: ClassTable, near: NDArray[np.uint8]) -> Look:
    """Look at one label file.

    Args:
        path: The file.
        classes: Of the data set.
        near: The classes of colours that are near to the table's, as `near_table` makes them.

    Raises:
        UserError: The file cannot be read, or is one of ids in a format that blurs them.
    """
    label = read_label(path)
    none: Counter[Color] = Counter()
    if label.ids is not None and label.palette is None:
        if label.lossy:
            raise UserError(f"{path} is a {label.lossy}, which blurs class ids and colours; expected a PNG layout")
        return Look(path, "grey", number_counts(label.ids, label), None, none, True)
    if label.ids is not None and label.palette is not None:
        counts = np.bincount(label.ids.reshape(-1), minlength=256)
        rgb = np.repeat(label.palette, counts, axis=0)
        by_color, unknown = _by_color(rgb, classes, near)
        holds = palette_holds_ids(label, counts, classes)
        return Look(path, "palette indices", number_counts(label.ids, label), by_color, unknown, holds)
    assert label.colors is not None
    painted = label.colors.reshape(-1, 3) if label.clear is None else label.colors[~label.clear]
    by_color, unknown = _by_color(painted, classes, near)
    found = None if label.lossy else label.as_numbers()
    if found is None:
        return Look(path, None, Counter(), by_color, unknown, False, _code(painted, by_color))
    numbers, channel = found
    rather_ids: bool | None = holds_ids(numbers, channel, label.clear, classes)
    if not rather_ids and not numbers[slice(None) if label.clear is None else ~label.clear].any():
        rather_ids = None  # black, or clear
    stored: Numbers = "grey in RGB"
    if channel != "grey":
        stored = _ONLY[channel]
    return Look(path, stored, number_counts(numbers, label), by_color, unknown, rather_ids)


_ONLY: dict[str, Numbers] = {"red": "red channel", "green": "green channel", "blue": "blue channel"}


def number_counts(ids: NDArray[Any], label: LabelPixels) -> Counter[int]:
    """How many painted pixels of a label file have each number."""
    painted = ids if label.clear is None else ids[~label.clear]
    values, counts = (
        np.unique(painted, return_counts=True)
        if painted.dtype not in (np.uint8, np.uint16)
        else _nonzero(np.bincount(painted.reshape(-1)))
    )
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _nonzero(counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    values = np.flatnonzero(counts)
    return values, counts[values]


def _by_color(
    rgb: NDArray[np.uint8], classes: ClassTable, near: NDArray[np.uint8]
) -> tuple[Counter[int], Counter[Color]]:
    """How many colours [n, 3] are each class', 255 for no class, and which these are."""
    numbers = packed(rgb)
    by_color = classes.class_of_color[numbers]
    outside = by_color == NO_CLASS
    by_color[outside] = near[numbers[outside]]
    values, counts = _nonzero(np.bincount(by_color, minlength=1))
    unknown = most_frequent_colors(rgb[by_color == NO_CLASS])
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True))), unknown


def most_frequent_colors(rgb: NDArray[np.uint8], most: int = 20) -> Counter[Color]:
    """The most frequent of some colours, uint8 [..., 3], and how many pixels have each."""
    colors, counts = np.unique(packed(rgb), return_counts=True)
    first = np.argsort(-counts, kind="stable")[:most]
    return Counter(
        {
            (int(color) >> 16, int(color) >> 8 & 255, int(color) & 255): int(count)
            for color, count in zip(colors[first], counts[first], strict=True)
        }
    )


def _code(rgb: NDArray[np.uint8], by_color: Counter[int]) -> str | None:
    """Another form than the table's that colours [n, 3] may have, where they are hardly ever the table's."""
    if not len(rgb) or by_color[NO_CLASS] < 0.9 * len(rgb):
        return None
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    if not (red % 10).any() and red.max() <= 140 and green.any() and len(np.unique(blue)) > 1:
        return "class codes in red and green, instances in blue, as ADE20K's full set has them"
    if not blue.any() and red.max() < 64 and len(np.unique(green)) > 1:
        return "numbers in red and green, such as a class and an instance"
    return None


def is_standard_palette(palette: NDArray[np.uint8], used: NDArray[np.bool_]) -> bool:
    """Whether the colours [256, 3] of the indices that are used [256] are those that labelling tools always write.

    It is Pascal VOC's colour map. Two or three colours of it alone prove nothing if they are all that is used.
    """
    equal = (palette == VOC_COLORS).all(-1)
    indices = np.flatnonzero(used[:255])
    largest = int(indices[-1]) if len(indices) else 0
    return bool(equal[:22].all() or (largest >= 2 and equal[: largest + 1].all()))


def _voc_colors() -> NDArray[np.uint8]:
    """Pascal VOC's colour map: the lowest bits of an index go to the highest bits of red, green and blue in turn."""
    index = np.arange(256)
    channels = [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


VOC_COLORS = _voc_colors()


def palette_holds_ids(label: LabelPixels, counts: NDArray[Any], classes: ClassTable) -> bool:
    """Whether a palette file's indices are class ids, rather than its colours the classes'.

    Args:
        label: The file, which has a palette.
        counts: How many pixels have each index, [256].
        classes: Of the data set.
    """
    assert label.palette is not None
    used = counts > 0
    by_color = classes.class_of_color[packed(label.palette)]
    by_color[list(label.clear_ids)] = classes.void
    if is_standard_palette(label.palette, used) and (classes.class_of_id[:256][used] >= 0).all():
        return True
    known, unknown = counts[by_color < classes.void].sum(), counts[by_color == NO_CLASS].sum()
    return bool(known <= unknown)


def holds_ids(numbers: NDArray[Any], channel: str, clear: Mask | None, classes: ClassTable) -> bool:
    """Whether colours that are numbers in disguise are class ids, rather than colours of the table.

    Args:
        numbers: As `LabelPixels.as_numbers` found them, uint8 [H, W].
        channel: Where it found them.
        clear: Pixels that do not count; None for none.
        classes: Of the data set.
    """
    counts = np.bincount(numbers.reshape(-1) if clear is None else numbers[~clear], minlength=256)
    unit = {"grey": 0x010101, "red": 0x010000, "green": 0x000100, "blue": 1}[channel]
    by_color = classes.class_of_color[np.arange(256) * unit]
    known, unknown = counts[by_color < classes.void].sum(), counts[by_color == NO_CLASS].sum()
    if known > unknown or not unknown:
        return False
    by_id = classes.class_of_id[:256][counts > 0]
    return bool((by_id >= 0).all() and (by_id < classes.void).any())


# --- looks in words


def files_looked_at(looks: Sequence[Look]) -> str:
    """How many files something was seen in."""
    return f"{len(looks)} of {len(looks)} files looked at" if len(looks) > 1 else "the file looked at"


def and_others(looks: Sequence[Look]) -> str:
    """What stands behind the first file's name."""
    return f" (and {len(looks) - 1} more)" if len(looks) > 1 else ""


def in_words(ids: Iterable[int]) -> str:
    """Numbers in a few words: 0..18 and 255."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [
        str(low) if low == high else f"{low}..{high}" if high > low + 1 else f"{low}, {high}" for low, high in runs
    ]
    if len(words) > 8:
        words = [*words[:6], "...", words[-1]]
        return ", ".join(words)
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else "none"
