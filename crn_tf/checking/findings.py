"""What is wrong or odd about a data set, and what to do about each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crn_tf.checking.census import Census
from crn_tf.checking.opening import CheckedSplit, Opened
from crn_tf.data.class_tables import ClassTable, Color
from crn_tf.data.conventions import MOST_OF_ALL
from crn_tf.data.near_colors import nearest_in_words

Level = Literal["problem", "warning", "note"]

_UNKNOWN = 0.001  # share of unknown pixels from which on it is a warning
_RARE = 0.0001  # share of the pixels below which a class is hardly learned
_FEW_PAIRS = 20
_FILES = 5  # that are named in a line


@dataclass(frozen=True)
class Limits:
    """What training allows: shares from 0 to 1, as its options of these names."""

    max_unknown: float
    max_unreadable: float


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set.

    Attributes:
        level: A problem keeps it from being trained on; a warning is probably a mistake; a note is good to know.
        what: What was found, one line.
        advice: What to do about it, one line.
        files: Those it is about.
    """

    level: Level
    what: str
    advice: str
    files: tuple[Path, ...] = ()


def find(opened: Opened, censuses: dict[str, Census], limits: Limits) -> list[Finding]:
    """Everything there is to say of a data set, problems first.

    Args:
        opened: The data set.
        censuses: What the pairs of its splits hold.
        limits: What training allows.
    """
    found = [Finding("problem", problem, "mend this first: training would stop here") for problem in opened.problems]
    if opened.convention:
        # What was estimated from a sample is counted below.
        decided = [line for line in opened.convention.warnings if line not in opened.convention.estimated]
        found += [Finding("warning", line, "see on the sheet whether it is right") for line in decided]
    for name, census in censuses.items():
        found += _about_files(opened.splits[name], census, limits)
        if census.classes:
            found += _about_classes(name, census, census.classes, limits)
    found += _about_splits(opened, censuses)
    return sorted(found, key=lambda one: ("problem", "warning", "note").index(one.level))


def counted(number: int, what: str) -> str:
    """A number of things: 1 pair, 2 pairs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _about_files(split: CheckedSplit, census: Census, limits: Limits) -> Iterator[Finding]:
    """Files without a partner, files that cannot be read, and shapes that differ."""
    faulty = [pair for pair in census.pairs if pair.faults]
    total = len(census.pairs) + len(split.left_out)
    too_many = len(faulty) + len(split.left_out) > limits.max_unreadable * total
    level: Level = "problem" if too_many else "warning"
    allowed = f"training leaves out up to {limits.max_unreadable:g} of the pairs (--max-unreadable)"
    if split.left_out:
        few = "; ".join(split.left_out[:_FILES]) + ("; ..." if len(split.left_out) > _FILES else "")
        what = f"{split.name}: {counted(len(split.left_out), 'file')} without a partner: {few}"
        yield Finding(level, what, f"rename them, or move them elsewhere; {allowed}")
    if faulty:
        what = f"{split.name}: {len(faulty)} of {len(census.pairs)} pairs cannot be used, for example: "
        yield Finding(
            level,
            what + faulty[0].faults[0],
            f"mend the files or remove them; {allowed}",
            tuple(pair.pair.layout for pair in faulty),
        )
    others = [one for one in census.pairs if not one.faults and one.photo_size and one.layout_size != one.photo_size]
    if others:
        yield Finding(
            "note",
            f"{split.name}: {counted(len(others), 'layout')} of another size than the photograph, and the same shape",
            "nothing to do: both are resized, layouts with nearest neighbour",
            tuple(one.pair.layout for one in others),
        )


def _about_classes(name: str, census: Census, classes: ClassTable, limits: Limits) -> Iterator[Finding]:
    """Pixels that are no class, classes that are rare, pictures of nothing."""
    pixels, pictures = census.pixels(), census.pictures()
    if not pixels:
        return
    labelled = sum(pixels[:-1])
    if not labelled:
        yield Finding("problem", f"{name}: no layout has any of the classes: all is void", _CLASSES_ADVICE)
        return
    yield from _about_unknown(name, census, classes, limits)
    missing = [each for each, count in zip(classes.names, pictures, strict=False) if not count]
    if missing:
        yield Finding(
            "warning" if name == "train" else "note",
            f"{name}: never seen, of {len(classes.names)} classes: {', '.join(missing)}",
            "if they should, compare the class table with the files; else the network has inputs it never learns",
        )
    rare = [
        f"{each} ({count / labelled:.3%})"
        for each, count in zip(classes.names, pixels, strict=False)
        if 0 < count < _RARE * labelled
    ]
    if rare and name == "train":
        yield Finding("note", f"{name}: hardly ever seen: {', '.join(rare)}", "expect them to be drawn badly")
    most = max(range(len(classes.names)), key=lambda number: pixels[number])
    if pixels[most] > MOST_OF_ALL * labelled and len(classes.names) > 1:
        yield Finding(
            "warning",
            f"{name}: {classes.names[most]} is {pixels[most] / labelled:.1%} of all that is labelled",
            _CLASSES_ADVICE,
        )
    empty = [one.pair.layout for one in census.pairs if one.by_class and not sum(one.by_class[:-1])]
    if empty:
        yield Finding(
            "warning",
            f"{name}: {counted(len(empty), 'layout')} with nothing but void, for example {empty[0]}",
            "remove them, or label them: they teach nothing of the classes",
            tuple(empty),
        )


_CLASSES_ADVICE = (
    "look at the sheet; --labels says how label files are read, classes.json which ids and colours there are"
)


def _about_unknown(name: str, census: Census, classes: ClassTable, limits: Limits) -> Iterator[Finding]:
    """Pixels that are in no class table, and those that nearly are."""
    share, unknown = census.unknown_share(), census.unknown()
    if unknown:
        pixels = sum(census.pixels())
        told = ", ".join(_described(value, count / pixels, classes) for value, count in unknown.most_common(_FILES))
        more = f", more than --max-unknown {limits.max_unknown:g}" if share > limits.max_unknown else ""
        yield Finding(
            "problem" if more else "warning" if share > _UNKNOWN else "note",
            f"{name}: {share:.2%} of the pixels are in no class table{more}: {told}",
            "they count as void; what should be a class has to be in the class table (--write-classes makes one)",
            tuple(one.pair.layout for one in census.pairs if one.count and one.count.unknown),
        )
    counts = [one.count for one in census.pairs if one.count]
    near, mended = sum(count.near for count in counts), sum(count.mended for count in counts)
    if near or mended:
        yield Finding(
            "note",
            f"{name}: {near:,} pixels are a few levels off a class' colour, {mended:,} are blends at edges",
            "nothing, if the sheet looks right; layouts without antialiasing and lossy compression have none",
        )


def _described(value: Color | int, share: float, classes: ClassTable) -> str:
    if isinstance(value, int):
        return f"id {value} ({share:.2%})"
    return f"{value} ({share:.2%}; nearest: {nearest_in_words(value, classes)})"


def _about_splits(opened: Opened, censuses: dict[str, Census]) -> Iterator[Finding]:
    """Splits that are missing or small, and photographs that are in two places."""
    train = censuses.get("train")
    if train is not None and "val" not in opened.splits:
        yield Finding(
            "note",
            "there is no split for validation",
            "train.py --validation-share 0.1 splits a tenth off; without, there is no validation loss",
        )
    if train is not None and 0 < len(train.pairs) < _FEW_PAIRS:
        yield Finding(
            "note",
            f"there are only {counted(len(train.pairs), 'training pair')}",
            "enough to try things; a network learns so few by heart",
        )
    trained_on = {one.digest: one for one in train.pairs if one.digest} if train is not None else {}
    validated_on = censuses["val"].pairs if "val" in censuses else ()
    twice = [one for one in validated_on if one.digest in trained_on]
    if twice:
        files = tuple(one.pair.photo for one in twice if one.pair.photo)
        yield Finding(
            "warning",
            f"{counted(len(twice), 'validation photograph')} can be trained on too, for example {files[0]}: the same "
            f"as {trained_on[twice[0].digest].pair.photo}",
            "remove them from one of the splits: the validation loss should tell of photographs that are new",
            files,
        )
