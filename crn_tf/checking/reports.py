"""What a check found, as text, as JSON, and as a sheet of pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from crn_tf.checking.census import Census, PairCensus
from crn_tf.checking.findings import Finding, counted
from crn_tf.checking.opening import Opened
from crn_tf.data.class_lists import hex_color
from crn_tf.data.conventions import Convention
from crn_tf.data.images import Size, read_photo
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.data.sheets import TILE_WIDTH, Column, draw_sheet, legend_of
from crn_tf.data.spacing import middles
from crn_tf.errors import UserError
from crn_tf.tensors import Layout, Pixels

_SIZES = 3  # that are named
_VALUES = 12  # ids or colours that are named, where there is no class table
_SHARE = 0.5  # of the photograph in the overlay


def describe(opened: Opened, censuses: dict[str, Census], findings: Sequence[Finding]) -> Iterator[str]:
    """A data set in lines of text: what it is, how its labels are read, its classes, and what to do."""
    yield f"a data set of the kind {opened.kind} in {opened.tree.root}"
    for split in opened.splits.values():
        looked = f": {_sizes(censuses[split.name].sizes())}" if split.name in censuses else ", not looked into"
        yield f"  {split.name}: {counted(len(split.pairs), 'pair')}{looked}"
    yield opened.convention.evidence if opened.convention else "labels: it cannot be told how they are read"
    yield from dict.fromkeys(note for split in opened.splits.values() for note in split.notes)
    yield ""
    yield from _classes(opened, censuses) if opened.convention else _values(censuses)
    yield ""
    for finding in findings:
        yield f"{finding.level}: {finding.what}"
        yield f"  -> {finding.advice}"
    problems = sum(finding.level == "problem" for finding in findings)
    yield f"{counted(problems, 'problem')}: it could not be trained on" if problems else "it can be trained on"


def _sizes(sizes: Counter[Size]) -> str:
    parts = [f"{count:,} of {height}x{width}" for (height, width), count in sizes.most_common(_SIZES)]
    more = len(sizes) - len(parts)
    return ", ".join(parts) + (f" and {more} other sizes" if more > 0 else "") + " (height x width)"


def _classes(opened: Opened, censuses: dict[str, Census]) -> Iterator[str]:
    """A table: how many of the pixels are each class, and in how many pictures it occurs."""
    assert opened.classes is not None
    counted = {name: (pixels, census.pictures()) for name, census in censuses.items() if (pixels := census.pixels())}
    width = max(map(len, (*opened.classes.names, "class")))
    yield f"{'class':{width}}" + "".join(f"  {name + ' pixels':>14}  {'pictures':>8}" for name in counted)
    for number, label in enumerate((*opened.classes.names, "void")):
        line = f"{label:{width}}"
        for pixels, pictures in counted.values():
            line += f"  {pixels[number] / max(sum(pixels), 1):>14.3%}  {pictures[number]:>8,}"
        yield line


def _values(censuses: dict[str, Census]) -> Iterator[str]:
    """What label files hold, where it is not known what that means."""
    for name, census in censuses.items():
        for what, values in (("ids", census.ids()), ("colours", census.colors())):
            total = sum(values.values())
            told = [f"{value} ({count / total:.2%})" for value, count in values.most_common(_VALUES)]
            if told:
                yield f"{name}: {what} {', '.join(told)}{', ...' if len(values) > _VALUES else ''}"


def as_json(opened: Opened, censuses: dict[str, Census], findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """The same, and every file that a finding is about, as values for a JSON file."""
    return {
        "version": version,
        "kind": opened.kind,
        "folder": str(opened.tree.root),
        "can_be_trained_on": all(finding.level != "problem" for finding in findings),
        "labels": opened.convention.evidence if opened.convention else None,
        "class_table": opened.classes.to_json() if opened.classes else None,
        "splits": {
            name: {
                "pairs": len(split.pairs),
                "without_partner": list(split.left_out),
                "notes": list(split.notes),
                **(_census_json(censuses[name]) if name in censuses else {}),
            }
            for name, split in opened.splits.items()
        },
        "findings": [
            {
                "level": finding.level,
                "what": finding.what,
                "advice": finding.advice,
                "files": list(map(str, finding.files)),
            }
            for finding in findings
        ],
    }


def _census_json(census: Census) -> dict[str, Any]:
    names = (*census.classes.names, "void") if census.classes else ()
    by_class = zip(names, census.pixels(), census.pictures(), strict=False)
    return {
        "sizes": [{"height": h, "width": w, "pictures": count} for (h, w), count in census.sizes().most_common()],
        "classes": [{"name": name, "pixels": pixels, "pictures": found} for name, pixels, found in by_class],
        "ids": {str(number): count for number, count in sorted(census.ids().items())},
        "colors": {hex_color(color): count for color, count in census.colors().most_common(256)},
        "unknown": [
            {"id" if isinstance(value, int) else "color": value, "pixels": count}
            for value, count in census.unknown().most_common(256)
        ],
        "cannot_be_used": {str(one.pair.layout): list(one.faults) for one in census.pairs if one.faults},
    }


def draw_overview(convention: Convention | None, pairs: Sequence[PairCensus], rows: int) -> Pixels | None:
    """Some pairs, evenly spaced: layout in its colours, photograph, and both overlaid; with a legend of the classes.

    Args:
        convention: How the layouts are read.
        pairs: The pairs there are.
        rows: How many to show.

    Returns:
        uint8 [height, width, 3], or None if no pair can be shown.
    """
    sizes = [one.layout_size for one in pairs if one.layout_size]
    if convention is None or not sizes:
        return None
    size = round(TILE_WIDTH * sizes[0][0] / sizes[0][1]), TILE_WIDTH
    reader = LayoutReader(convention)
    shown = [rowed for one in _spread(pairs, rows) if (rowed := _row(one, reader, size))]
    if not shown:
        return None
    headings = ("layout", "photograph", "both")[: len(shown[0][1])]
    whole = [row for row in shown if len(row[1]) == len(headings)]
    columns = [Column(heading, [row[1][i] for row in whole]) for i, heading in enumerate(headings)]
    return draw_sheet(columns, legend_of(np.stack([row[0] for row in whole]), reader.classes))


def _spread(pairs: Sequence[PairCensus], count: int) -> list[PairCensus]:
    sound = [one for one in pairs if not one.faults] or [one for one in pairs if one.layout_size]
    return [sound[index] for index in middles(count, len(sound))]


def _row(one: PairCensus, reader: LayoutReader, size: Size) -> tuple[Layout, list[Pixels]] | None:
    """A pair's layout, and its pictures: layout, photograph, both, or the layout alone; None if they cannot be read."""
    try:
        layout = reader.read(one.pair.layout, size, "crop")
        colored = colorize(layout, reader.classes)
        if one.pair.photo is None:
            return layout, [colored]
        photo = read_photo(one.pair.photo, size, "crop")
    except UserError:  # it is among the findings
        return None
    both = Image.blend(Image.fromarray(colored), Image.fromarray(photo), _SHARE)
    return layout, [colored, photo, np.asarray(both)]
