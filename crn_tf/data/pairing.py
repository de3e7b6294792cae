"""Which label belongs to which photograph, and what is said of those that have no partner."""

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crn_tf.data.label_names import Matched, Side, match_names
from crn_tf.data.picture_files import foreign
from crn_tf.data.spacing import middles
from crn_tf.errors import UserError

_NAMES_COMPARED = 2000  # for the nearest name
_FEW = 200  # of many files without a partner, each is not compared with each


@dataclass(frozen=True)
class Pair:
    """A layout file and its photograph; None where only layouts are there."""

    name: str
    layout: Path
    photo: Path | None


@dataclass(frozen=True)
class Pairing:
    """What belongs together.

    Attributes:
        pairs: In the order of the layouts' paths.
        left_out: A line for each photograph or layout that has no partner.
        notes: Lines about how names were read, where it is not plain.
    """

    pairs: list[Pair]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """Which names of the files in a folder belong to a split.

    Attributes:
        belongs: Whether a name does, without ending and suffix.
        listed: Names that have to be there, as split lists have them.
    """

    belongs: Callable[[str], bool]
    listed: frozenset[str] = frozenset()


def pair(
    layouts: Side,
    photos: Side,
    need_photos: bool,
    max_incomplete: float = 0.0,
    chosen: Chosen | None = None,
    shared: Literal["layouts", "photos"] | None = None,
) -> Pairing:
    """Match layouts and photographs by their names.

    Args:
        layouts: The layouts of a split.
        photos: Its photographs.
        need_photos: Whether a layout without a photograph, or a photograph without a layout, is incomplete.
        max_incomplete: The share of the pairs that may be incomplete, and are left out.
        chosen: Which of them belong to the split; None takes all.
        shared: The side that has other splits' files too: what has no partner there is not incomplete.

    Raises:
        UserError: More pairs are incomplete, two files have the same name, or each photograph has several labels.
    """
    known = bool(layouts.endings)
    matched = Matched(layouts.by_key(), photos.by_key()) if known else match_names(layouts, photos.by_key())
    layout_of, photo_of = matched.layouts, matched.photos
    if chosen:
        layout_of, photo_of = (
            {key: path for key, path in files.items() if chosen.belongs(key)} for files in (layout_of, photo_of)
        )
    left_out: tuple[str, ...] = ()
    if need_photos:
        paired = layout_of.keys() & photo_of.keys()
        no_photo = [path for key, path in layout_of.items() if key not in paired and shared != "layouts"]
        no_layout = sorted(path for key, path in photo_of.items() if key not in paired and shared != "photos")
        there = {name for key in (*layout_of, *photo_of) for name in (key, key.rpartition("/")[2])}
        missing = sorted(chosen.listed - there) if chosen else []
        alone = _Alone(no_photo, no_layout, missing)
        left_out = _check_complete(layouts, photos, alone, len(paired), max_incomplete)
    if need_photos or shared == "layouts":
        layout_of = {key: path for key, path in layout_of.items() if key in photo_of}
    layout_of = dict(sorted(layout_of.items(), key=lambda item: item[1]))
    names = [key.rpartition("/")[2] for key in layout_of]
    if len(set(names)) < len(names):  # two cities have a file of the same name
        names = [key.replace("/", "_") for key in layout_of]
    pairs = [Pair(name, path, photo_of.get(key)) for name, (key, path) in zip(names, layout_of.items(), strict=True)]
    return Pairing(pairs, left_out, matched.notes)


@dataclass(frozen=True)
class _Alone:
    """What has no partner."""

    layouts: list[Path]
    photos: list[Path]
    listed: list[str]


def _check_complete(layouts: Side, photos: Side, alone: _Alone, paired: int, max_incomplete: float) -> tuple[str, ...]:
    """A line for each layout or photograph that has no partner, and each listed name that is not there.

    Raises:
        UserError: They are more than may be left out.
    """
    count = len(alone.layouts) + len(alone.photos) + len(alone.listed)
    if not count:
        return ()
    if count <= max_incomplete * (paired + count):
        lines = [f"the layout {path} has no photograph{_like(path, alone.photos)}" for path in alone.layouts]
        lines += [f"the photograph {path} has no layout{_like(path, alone.layouts)}" for path in alone.photos]
        return (*lines, *(f"{name} is listed, but is not in {photos.folder}" for name in alone.listed))
    share = f"more than --max-unreadable {max_incomplete:g} of them is too many: " if max_incomplete else ""
    counted = f"{count} of {paired + count} pairs are incomplete; {share}" if share else ""
    if alone.layouts:
        raise UserError(counted + _incomplete(alone.layouts, "layout", "photograph", photos, alone.photos))
    if alone.photos:
        raise UserError(counted + _incomplete(alone.photos, "photograph", "layout", layouts, alone.layouts))
    more = f" (and {len(alone.listed) - 1} more)" if len(alone.listed) > 1 else ""
    raise UserError(f"{counted}the split's list has {alone.listed[0]}{more}, but {photos.folder} has no such file")


def _incomplete(alone: Sequence[Path], has: str, lacks: str, others: Side, free: Sequence[Path]) -> str:
    """A line for files that have no partner, with the nearest of those that have none either."""
    path, count = alone[0], len(alone)
    more = f" (and {count - 1} more like it)" if count > 1 else ""
    message = f"the {has} {path}{more} has no {lacks}; expected a {lacks} of the same name"
    nearest = _nearest(path, free)
    if nearest:
        message += f" (layouts may have an ending behind it, the same for all), the nearest is {nearest}"
    stems = {unicodedata.normalize("NFC", other.stem) for other in alone}
    unread = foreign(file for file in _beside(others) if unicodedata.normalize("NFC", file.stem) in stems)
    return f"{message}: add it or remove the {has}" + (f". {unread}" if unread else "")


def _nearest(path: Path, others: Sequence[Path]) -> Path | None:
    """The one of some files that is called most like a file, or None if none is."""
    names = {other.stem: other for other in others[:_NAMES_COMPARED]}
    found = difflib.get_close_matches(path.stem, names, 1, 0.5)
    return names[found[0]] if found else None


def _like(path: Path, others: Sequence[Path]) -> str:
    """What a file's partner might be, if there is a name to compare with and few enough of them for that."""
    nearest = _nearest(path, others) if len(others) <= _FEW else None
    return f"; its partner might be {nearest}" if nearest else ""


def _beside(side: Side) -> Sequence[Path]:
    """All files in the folders of one side."""
    found: list[Path] = []
    for folder in sorted({path.parent for path in side.files} | {side.folder}):
        found += sorted(folder.glob("*"))
    return found


def spread(count: int, share: float) -> frozenset[int]:
    """Which of a number of pairs are split off for validation: evenly spaced, the same ones every time.

    Args:
        count: How many pairs there are.
        share: Of them, above 0 and below 1; at least one is split off, and one is left.
    """
    wanted = min(max(1, round(share * count)), count - 1)
    return frozenset(middles(wanted, count))
