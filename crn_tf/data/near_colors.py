"""Colours that are nearly those of a class table: a few levels off, or blended at an edge.

A colour profile, a screenshot or a lossy format moves each colour a little; a brush with soft edges blends two.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crn_tf.data.class_tables import ClassTable, Color
from crn_tf.tensors import Layout, Pixels

REACH = 8  # levels in any channel that a colour may be off, at most
NO_CLASS = 255  # in layouts and tables of classes: a colour outside of the table
_EDGE = 3  # pixels from a blended one to either side of its edge, at most
_BLEND = 24  # levels in any channel that a blended colour may be off the line between two colours


def reaches(classes: ClassTable) -> dict[Color, int]:
    """How many levels a colour may be off in any channel, to be taken for each colour of a table.

    Less than half the way to every colour of another class, so that no colour is near to two classes.
    """
    known = classes.class_colors
    if not known:
        return {}
    colors, numbers = np.array(list(known)), np.array(list(known.values()))
    distances = np.abs(colors[:, None] - colors).max(-1)
    distances[numbers[:, None] == numbers] = 2 * REACH + 1
    return {color: int(reach) for color, reach in zip(known, (distances.min(1) - 1) // 2, strict=True)}


@lru_cache(maxsize=2)  # 16 MiB each, which take longer to make than a small layout to read
def near_table(classes: ClassTable) -> NDArray[np.uint8]:
    """uint8 [2**24]: class for every colour R << 16 | G << 8 | B within reach of the table's, 255 for all others.

    It is kept, and can be read only.
    """
    known = classes.class_colors
    table = np.full((256, 256, 256), NO_CLASS, np.uint8)
    for color, reach in reaches(classes).items():
        table[tuple(slice(max(value - reach, 0), value + reach + 1) for value in color)] = known[color]
    table.flags.writeable = False
    return table.reshape(-1)


def nearest(color: Color, classes: ClassTable) -> tuple[Color, int]:
    """The table's colour that is nearest to a colour, and how many levels it is off in some channel."""
    known = classes.class_colors
    distance, closest = min((max(abs(a - b) for a, b in zip(color, other, strict=True)), other) for other in known)
    return closest, distance


def nearest_in_words(color: Color, classes: ClassTable) -> str:
    """The class whose colour is nearest to a colour: "road (128, 64, 128), 60 levels off"."""
    closest, distance = nearest(color, classes)
    name = dict(zip(classes.palette, classes.names, strict=True)).get(closest, "void")
    return f"{name} {closest}, {distance} levels off"


def levels_off(rgb: Pixels, layout: Layout, classes: ClassTable) -> int:
    """How far off colours [n, 3] are from their classes' [n], in levels of any channel at most."""
    off = 0
    for number in np.unique(layout):
        colors = [color for color, known in classes.class_colors.items() if known == number]
        of_class = rgb[layout == number].astype(np.int16)
        off = max(off, int(np.min([np.abs(of_class - np.array(color)).max(-1) for color in colors], 0).max()))
    return off


def mend_edges(rgb: Pixels, layout: Layout) -> Layout:
    """Give blended pixels at edges the class of the side that they are nearer to.

    A pixel without a class is taken for blended where there are pixels with a class on both sides of it, up to three
    away, and its colour lies on the line between theirs, or nearly so. Wider areas stay as they are.

    Args:
        rgb: Colours, uint8 [H, W, 3].
        layout: Their classes, uint8 [H, W], 255 where a colour has none.

    Returns:
        The layout, mended: uint8 [H, W].
    """
    rows, columns = np.nonzero((layout == NO_CLASS) & _near_known(layout))
    if not len(rows):
        return layout
    color = rgb[rows, columns].astype(np.float32)
    best, chosen = np.full(len(rows), _BLEND + 1, np.float32), np.full(len(rows), NO_CLASS, np.uint8)
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for one, other in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)):
            sides = [(rows + step * down, columns + step * across) for step in (-one, other)]
            inside = np.all([(r >= 0) & (r < layout.shape[0]) & (c >= 0) & (c < layout.shape[1]) for r, c in sides], 0)
            at = np.flatnonzero(inside)
            (a, class_a), (b, class_b) = (
                (rgb[r[at], c[at]].astype(np.float32), layout[r[at], c[at]]) for r, c in sides
            )
            line, offset = b - a, color[at] - a
            share = (offset * line).sum(-1) / np.maximum((line * line).sum(-1), 1)
            share = np.clip(share, 0, 1)
            off = np.abs(offset - share[:, None] * line).max(-1)
            better = (class_a != NO_CLASS) & (class_b != NO_CLASS) & (off < best[at])
            best[at[better]] = off[better]
            chosen[at[better]] = np.where(share < 0.5, class_a, class_b)[better]
    mended = layout.copy()
    mended[rows, columns] = chosen
    return mended


def _near_known(layout: Layout) -> NDArray[np.bool_]:
    """Where a pixel with a class is at most three rows and columns away."""
    near = layout != NO_CLASS
    for axis in (0, 1):
        grown = near.copy()
        for step in range(1, _EDGE + 1):
            to, source = [slice(None)] * 2, [slice(None)] * 2
            to[axis], source[axis] = slice(step, None), slice(None, -step)
            grown[tuple(to)] |= near[tuple(source)]
            grown[tuple(source)] |= near[tuple(to)]
        near = grown
    return near
