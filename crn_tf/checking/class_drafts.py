"""A class table made from what label files hold, for a person to fill in the names."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from crn_tf.checking.census import Census
from crn_tf.data.class_lists import MAX_NAMES, label_color
from crn_tf.data.class_tables import ClassTable, Color
from crn_tf.data.conventions import Convention
from crn_tf.data.near_colors import REACH
from crn_tf.errors import UserError

_LEAST = 1e-4  # share of the pixels that a colour needs: blends at edges have less
_VOID = 255  # what nearly all data sets call void, if they have it


def draft_convention(censuses: Iterable[Census]) -> Convention:
    """How label files might be read that no class table is known for: by all ids, or all colours, that occur.

    Raises:
        UserError: Some files hold ids and some colours, or there are too many of either.
    """
    ids, colors = Counter[int](), Counter[Color]()
    for census in censuses:
        ids.update(census.ids())
        colors.update(census.colors())
    if ids and colors:
        raise UserError("some layouts hold ids and some colours: no class table can be made of both")
    if not ids and not colors:
        raise UserError("no layout can be read: there is nothing to make a class table of")
    table = _of_ids(ids) if ids else _of_colors(colors)
    return Convention("ids" if ids else "colours", table, "")


def _of_ids(ids: Counter[int]) -> ClassTable:
    """A class for each id but 255, which is void.

    Raises:
        UserError: There are too many.
    """
    named = sorted(number for number in ids if number != _VOID) or [_VOID]
    if len(named) > MAX_NAMES or not 0 <= named[0] <= named[-1] <= 65535:
        raise UserError(
            f"the layouts hold {len(named)} ids, {named[0]}..{named[-1]}; expected at most {MAX_NAMES} in 0..65535: "
            "are they numbers of objects, or photographs?"
        )
    colors = tuple(map(label_color, named if named[-1] < 256 else range(len(named))))
    void = (_VOID,) if _VOID in ids and _VOID not in named else ()
    return ClassTable(tuple(f"class {i}" for i in named), colors, tuple(named), void, ())


def _of_colors(colors: Counter[Color]) -> ClassTable:
    """A class for each colour, the most frequent first.

    Raises:
        UserError: There are too many.
    """
    named = _frequent(colors, sum(colors.values()))
    if len(named) > MAX_NAMES:
        raise UserError(
            f"the layouts hold {len(named)} colours; expected at most {MAX_NAMES}: are they photographs, or drawn with "
            "soft edges?"
        )
    names = tuple(f"class {number}" for number in range(len(named)))
    return ClassTable(names, tuple(named), tuple(range(len(named))), (), ())


def _frequent(colors: Counter[Color], pixels: int, known: Sequence[Color] = ()) -> list[Color]:
    """Colours that are not rare, without those that are nearly one of the others."""
    chosen: list[Color] = []
    for color, count in colors.most_common():
        if count < _LEAST * pixels:
            break
        if all(max(abs(a - b) for a, b in zip(color, other, strict=True)) > REACH for other in (*known, *chosen)):
            chosen.append(color)
    return chosen


def extended(classes: ClassTable, censuses: Iterable[Census]) -> ClassTable:
    """A class table with a class more for each frequent id or colour that is not in it."""
    counted = list(censuses)
    unknown = Counter[Color | int]()
    for census in counted:
        unknown.update(census.unknown())
    colors = Counter({value: count for value, count in unknown.items() if not isinstance(value, int)})
    new_colors = _frequent(colors, sum(sum(census.pixels()) for census in counted), classes.palette)
    new_ids = sorted(value for value in unknown if isinstance(value, int))
    free = (i for i in range(1 << 16) if i not in classes.ids and i not in (classes.void_ids or ()))
    ids = [*new_ids, *(next(free) for _ in new_colors)]
    room = MAX_NAMES - len(classes.names)
    return dataclasses.replace(
        classes,
        names=(*classes.names, *(f"class {i}" for i in ids[:room])),
        palette=(*classes.palette, *[*(label_color(i % 256) for i in new_ids), *new_colors][:room]),
        ids=(*classes.ids, *ids[:room]),
    )
