"""What the pixels of a data set's label files mean: class ids or colours, and whose ids.

A single file says little, so the files are looked at as a set. What is found is told with its evidence. Where that can
be read in two ways, or contradicts the class table, nothing is guessed: a message says both readings and what chooses.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from crn_tf.data.cityscapes_ids import find_ids, with_ids
from crn_tf.data.class_tables import CITYSCAPES, ClassTable, Color
from crn_tf.data.declared_classes import USUAL_VOID, DeclaredClasses
from crn_tf.data.label_looks import Look, and_others, files_looked_at, in_words, look_at
from crn_tf.data.near_colors import NO_CLASS, near_table, nearest_in_words
from crn_tf.data.unnamed_ids import check_mask, check_names, ids_above
from crn_tf.errors import UsageError, UserError

LabelForm = Literal["ids", "colours", "trainids", "labelids"]
"""What `--labels` takes: ids of the class table, its colours, 0 .. n-1 in the order of the names and 255 for void, or
Cityscapes' own ids."""

Labels = Literal["auto", LabelForm]
"""What the commands' `--labels` takes: a form, or "auto", which finds out."""

SAMPLE = 50  # files looked at, at most
_FEW = 5  # files from which on it is worth saying what was never seen
MOST_OF_ALL = 0.95  # share of the pixels that one class may have without a word


def asked_form(labels: Labels) -> LabelForm | None:
    """The form that `--labels` asks for; None to find out."""
    return None if labels == "auto" else labels


@dataclass(frozen=True)
class Convention:
    """How the label files of a data set write classes.

    Attributes:
        form: What all files hold; None where each has to be read by what it tells itself.
        classes: The class table, with the ids that the files have.
        evidence: One line that says what was seen.
        warnings: What is suspicious, a line each.
        estimated: Those of the warnings that a count of all files would replace.
        unknown_share: Of the pixels looked at that have a class or should have one, at most this share is in no class
            table: 0..1; None if that was not counted.
    """

    form: LabelForm | None
    classes: ClassTable
    evidence: str
    warnings: tuple[str, ...] = ()
    unknown_share: float | None = None
    estimated: tuple[str, ...] = ()


def decide(files: Sequence[Path], declared: DeclaredClasses | ClassTable, asked: LabelForm | None = None) -> Convention:
    """Find out how label files write classes, from a sample of them.

    Args:
        files: The data set's label files; up to 50 of them, evenly spaced, are looked at.
        declared: The classes of the data set, and what is known of its files; a class table alone is one's own.
        asked: What the user says that the files hold; None finds out.

    Raises:
        UsageError: `asked` says Cityscapes' ids of another class table.
        UserError: The files can be read in two ways, or contradict what is declared.
    """
    if isinstance(declared, ClassTable):
        declared = DeclaredClasses(declared)
    classes = declared.table
    if asked == "labelids" and classes.names != CITYSCAPES.names:
        raise UsageError("--labels labelids is for Cityscapes' classes only; expected ids, colours or trainids")
    looks = _look_at(files, classes)
    if not looks:  # whoever reads them all says why
        return Convention(asked, classes, "labels: none of the files looked at can be read")
    form: LabelForm | None = asked
    if form is None:
        votes = {look.holds_ids for look in looks} - {None}
        if votes == {True, False}:
            return _mixed(looks, declared)
        form = "ids" if True in votes or (not votes and all(look.colors is None for look in looks)) else "colours"
    if form == "colours":
        return _colors(looks, declared, asked)
    return _ids(looks, declared, asked)


def _look_at(files: Sequence[Path], classes: ClassTable) -> list[Look]:
    """Look at a sample of the files; those that cannot be read are left to whoever reads them all."""
    places = np.unique(np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().astype(int))
    near = near_table(classes)

    def look(place: int) -> Look | UserError:
        try:
            return look_at(files[place], classes, near)
        except UserError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(look, places))
    return [one for one in found if isinstance(one, Look)]


def _ids(looks: list[Look], declared: DeclaredClasses, asked: LabelForm | None) -> Convention:
    """The convention of files of ids.

    Raises:
        UserError: They contradict what is declared, or two class tables are possible.
    """
    for look in looks:
        if look.numbers is None and asked is not None:
            raise UserError(
                f"{look.path} has colours; --labels {asked} expects class ids: grey, or alike in all channels"
            )
    looks = [look for look in looks if look.numbers is not None]
    ids: Counter[int] = sum((look.ids for look in looks), Counter())
    form, note, warnings = asked or "ids", "", tuple[str, ...]()
    if asked in ("trainids", "labelids"):
        note = "as --labels says"
    elif asked is None:
        _check_written(looks, "ids", declared)
        if declared.table.names == CITYSCAPES.names:
            form, note, warnings = find_ids(looks, declared)
    declared = dataclasses.replace(declared, table=with_ids(declared.table, form))
    if asked is None:
        check_mask(looks, ids, declared)
    if asked is None or form != "ids":
        warnings += check_names(looks, ids, declared, form == "ids")
    classes = declared.table
    if declared.assumes_void and form == "ids" and USUAL_VOID in ids:
        note = f"{USUAL_VOID} counts as void, as {declared.source} names no void"
    evidence = f"labels: {_stored(looks)}, ids {in_words(ids)} in {files_looked_at(looks)}"
    if said := ", ".join(filter(None, (_kind(form, classes), note))):
        evidence += f": {said}"
    by_class = Counter[int]()
    for number, count in ids.items():
        by_class[int(classes.class_of_id[number]) if 0 <= number <= 65535 else -1] += count
    estimated = _suspicious(looks, by_class, classes)
    unknown_share = _share(ids_above(ids, declared).total(), by_class, classes)
    return Convention(form, classes, evidence, (*warnings, *estimated), unknown_share, estimated)


def _stored(looks: list[Look]) -> str:
    return " or ".join(sorted({str(look.numbers) for look in looks}))


def _kind(form: LabelForm, classes: ClassTable) -> str | None:
    """What ids of a form are called."""
    if form == "trainids" and classes.names == CITYSCAPES.names:
        return "Cityscapes trainIds"
    return {"trainids": "train ids, 0 .. n-1 in the order of the names", "labelids": "Cityscapes labelIds"}.get(form)


def _check_written(looks: list[Look], form: Literal["ids", "colours"], declared: DeclaredClasses) -> None:
    """Refuse files of a form that a data set's publisher never wrote: the table need not be theirs.

    Raises:
        UserError: They are.
    """
    published = declared.published
    if published is None or form in published.written or not looks:
        return
    where, names = f"{looks[0].path}{and_others(looks)}", published.table.names
    if form == "ids":
        first, second = published.table.ids[:2]
        raise UserError(
            f"{where} has ids, where {published.name}'s label files as published hold colours: which id is which class "
            "is not known. Put a classes.json with the names in the order of the ids beside the folders; if they are "
            f"the built-in table's ({first} {names[0]}, {second} {names[1]}, ...), say --labels ids"
        )
    insist = "" if published.table.shared_colors else "; if they are the built-in table's, say --labels colours"
    raise UserError(
        f"{where} has colours, where {published.name}'s label files as published hold ids: which colour is which class "
        f"is not known. Put a classes.json with their names and colours beside the folders{insist}"
    )


def _colors(looks: list[Look], declared: DeclaredClasses, asked: LabelForm | None) -> Convention:
    """The convention of files of colours.

    Raises:
        UserError: They have another form than colours of the table.
    """
    coded = [look for look in looks if look.code]
    if len(coded) > len(looks) / 2:
        raise UserError(
            f"{coded[0].path}{and_others(coded)} has {coded[0].code}; expected the class table's colours, or ids: "
            "convert them to grey pictures of ids"
        )
    if asked is None:
        _check_written([look for look in looks if look.holds_ids is False], "colours", declared)
    classes = declared.table
    try:
        classes.require_own_colors()
    except UserError as error:
        raise UserError(f"{looks[0].path}{and_others(looks)} has colours, but {error}") from error
    by_class: Counter[int] = sum((look.colors for look in looks if look.colors is not None), Counter())
    pixels = by_class.total()
    unknown: Counter[Color] = sum((look.unknown for look in looks), Counter())
    known = len([number for number in by_class if number < classes.void])
    evidence = f"labels: colours, {known} of {len(classes.names)} classes' in {files_looked_at(looks)}"
    estimated: tuple[str, ...] = ()
    if by_class[NO_CLASS]:
        most = ", ".join(_described(color, count / pixels, classes) for color, count in unknown.most_common(3))
        estimated = (
            f"{by_class[NO_CLASS] / pixels:.1%} of the pixels have a colour that is not the class table's: {most}; "
            "they count as void where they are no soft edges. What should be a class has to be in the palette",
        )
    estimated += _suspicious(looks, by_class, classes)
    unknown_share = _share(by_class[NO_CLASS], by_class, classes)
    return Convention("colours", classes, evidence, estimated, unknown_share, estimated)


def _share(unknown: int, by_class: Counter[int], classes: ClassTable) -> float:
    """Of the pixels that have a class or should have one, the share that has none."""
    return unknown / max(unknown + sum(count for number, count in by_class.items() if 0 <= number < classes.void), 1)


def _described(color: Color, share: float, classes: ClassTable) -> str:
    return f"{color} {share:.1%} (nearest: {nearest_in_words(color, classes)})"


def _mixed(looks: list[Look], declared: DeclaredClasses) -> Convention:
    """The convention of files some of which hold ids and some colours: each is read by what it tells itself.

    Raises:
        UserError: The publisher wrote only one of them, or the ids are Cityscapes' and could be both sets of them.
    """
    ids, colors = ([look for look in looks if look.holds_ids is holds] for holds in (True, False))
    _check_written(ids, "ids", declared)
    _check_written(colors, "colours", declared)
    classes = declared.table
    evidence = f"labels: ids in {len(ids)} and colours in {len(colors)} of {len(looks)} files looked at"
    warning = (
        f"{ids[0].path} holds ids and {colors[0].path} colours: each file is read by what it tells itself; --labels "
        "ids or --labels colours says what all of them are"
    )
    if classes.names == CITYSCAPES.names:
        form, _, notes = find_ids(ids, declared)
        return Convention(None, with_ids(classes, form), f"{evidence} ({form})", (warning, *notes))
    return Convention(None, classes, evidence, (warning,))


def _suspicious(looks: list[Look], by_class: Counter[int], classes: ClassTable) -> tuple[str, ...]:
    """What is odd about how often each class occurs: lines."""
    pixels = by_class.total() - by_class[classes.void]
    seen = {number: count for number, count in by_class.items() if 0 <= number < classes.void}
    if not seen:
        return (
            f"none of the {len(classes.names)} classes occurs in {files_looked_at(looks)}: all of it would be void",
        )
    if len(looks) < _FEW:
        return ()
    lines = []
    if missing := [name for number, name in enumerate(classes.names) if number not in seen]:
        few = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        lines.append(f"never seen in {files_looked_at(looks)}: {few}; rare classes may be in the others")
    most = max(seen, key=lambda number: seen[number])
    if seen[most] > MOST_OF_ALL * pixels and len(classes.names) > 1:
        lines.append(
            f"{classes.names[most]} is {seen[most] / pixels:.1%} of all that is labelled in {files_looked_at(looks)}"
        )
    return tuple(lines)
