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

from crn_tf.data.class_tables import CITYSCAPES, ClassTable, Color
from crn_tf.data.label_looks import Look, look_at
from crn_tf.data.near_colors import NO_CLASS, near_table, nearest
from crn_tf.errors import UsageError, UserError

LabelForm = Literal["ids", "colours", "trainids", "labelids"]
"""What `--labels` takes: ids of the class table, its colours, 0 .. n-1 in the order of the names and 255 for void, or
Cityscapes' own ids."""

SAMPLE = 50  # files looked at, at most
_FEW = 5  # files from which on it is worth saying what was never seen
_MOST = 0.95  # share of the pixels that one class may have without a word
_STRAY = 0.5  # share of the files whose ids may be wrong: reading leaves these out, as far as it may
_BORDERS = frozenset({0, 1, 2, 3})  # labelIds that pictures have around: unlabelled, ego vehicle, out of roi...


@dataclass(frozen=True)
class Convention:
    """How the label files of a data set write classes.

    Attributes:
        form: What all files hold; None where each has to be read by what it tells itself.
        classes: The class table, with the ids that the files have.
        evidence: One line that says what was seen.
        warnings: What is suspicious, a line each.
    """

    form: LabelForm | None
    classes: ClassTable
    evidence: str
    warnings: tuple[str, ...] = ()


def decide(files: Sequence[Path], classes: ClassTable, asked: LabelForm | None = None) -> Convention:
    """Find out how label files write classes, from a sample of them.

    Args:
        files: The data set's label files; up to 50 of them, evenly spaced, are looked at.
        classes: Of the data set.
        asked: What the user says that the files hold; None finds out.

    Raises:
        UsageError: `asked` says Cityscapes' ids of another class table.
        UserError: The files can be read in two ways, or contradict the class table.
    """
    if asked == "labelids" and classes.names != CITYSCAPES.names:
        raise UsageError("--labels labelids is for Cityscapes' classes only; expected ids, colours or trainids")
    looks = _look_at(files, classes)
    if not looks:  # whoever reads them all says why
        return Convention(asked, classes, "labels: none of the files looked at can be read")
    form: LabelForm | None = asked
    if form is None:
        votes = {look.holds_ids for look in looks} - {None}
        if votes == {True, False}:
            return _mixed(looks, classes)
        form = "ids" if True in votes or (not votes and all(look.colors is None for look in looks)) else "colours"
    if form == "colours":
        return _colors(looks, classes)
    return _ids(looks, classes, form if asked else None)


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


def _ids(looks: list[Look], classes: ClassTable, asked: LabelForm | None) -> Convention:
    """The convention of files of ids.

    Raises:
        UserError: They contradict the class table, or two class tables are possible.
    """
    for look in looks:
        if look.numbers is None and asked is not None:
            raise UserError(
                f"{look.path} has colours; --labels {asked} expects class ids: grey, or alike in all channels"
            )
    looks = [look for look in looks if look.numbers is not None]
    ids: Counter[int] = sum((look.ids for look in looks), Counter())
    warnings: list[str] = []
    note = ""
    form: LabelForm = asked or "ids"
    if asked in ("trainids", "labelids"):
        classes, note = _with(classes, asked), "as --labels says"
    elif asked is None and classes.names == CITYSCAPES.names:
        form, note = _cityscapes_form(looks, ids, classes, warnings)
        classes = _with(classes, form)
    if asked is None:
        _check_mask(looks, ids, classes)
    if asked is None or form != "ids":
        _check_names(looks, ids, classes, form, warnings)
    where = " or ".join(sorted({str(look.numbers) for look in looks}))
    kind = {"trainids": "train ids, 0 .. n-1 in the order of the names", "labelids": "Cityscapes labelIds"}.get(form)
    if form == "trainids" and classes.names == CITYSCAPES.names:
        kind = "Cityscapes trainIds"
    said = ", ".join(filter(None, (kind, note)))
    evidence = f"labels: {where}, ids {_ranges(ids)} in {_files(looks)}" + (f": {said}" if said else "")
    by_class = Counter[int]()
    for number, count in ids.items():
        by_class[int(classes.class_of_id[number]) if 0 <= number <= 65535 else -1] += count
    return Convention(form, classes, evidence, (*warnings, *_suspicious(looks, by_class, classes)))


def _with(classes: ClassTable, form: LabelForm) -> ClassTable:
    """The table with the ids that a form has."""
    if form == "trainids":
        return dataclasses.replace(classes, ids=tuple(range(len(classes.names))), void_ids=(255,))
    if form == "labelids":
        return dataclasses.replace(classes, ids=CITYSCAPES.ids, void_ids=CITYSCAPES.void_ids)
    return classes


def _cityscapes_form(
    looks: list[Look], ids: Counter[int], classes: ClassTable, warnings: list[str]
) -> tuple[LabelForm, str]:
    """Which of Cityscapes' two sets of ids files have, and why.

    Raises:
        UserError: Both are possible, or some files have the one and some the other.
    """
    sure = [look for look in looks if _is_label_ids(look)]
    likely = [look for look in looks if not _is_label_ids(look) and _is_likely_train_ids(look.ids)]
    called_train = [look for look in looks if "trainids" in look.path.name.lower()]
    called_label = [look for look in looks if look.path.name.lower().endswith("_labelids.png")]
    if sure and (likely or called_train):
        other = (likely or called_train)[0]
        raise UserError(
            f"{sure[0].path} has ids {_ranges(sure[0].ids)}, which are Cityscapes' labelIds, and {other.path} "
            f"{_ranges(other.ids)}, which look like trainIds (0..18 and 255): give them separately, or say what all of "
            "them are with --labels labelids or --labels trainids"
        )
    if sure:
        return "labelids", ""
    if likely and called_label:
        raise UserError(
            f"{called_label[0].path} is called labelIds, but the ids {_ranges(ids)} look like Cityscapes' trainIds "
            f"(0..18 and 255); expected --labels trainids or --labels labelids"
        )
    if called_label and not called_train:
        return "labelids", "as the names say"
    if called_train and not called_label:
        return "trainids", "as the names say"
    if classes.ids == tuple(range(len(classes.names))):
        return "trainids", "as the class table says"
    if _is_likely_train_ids(ids):
        if len(looks) < _FEW:
            warnings.append(
                f"the ids {_ranges(ids)} are read as Cityscapes' trainIds, as they are hardly labelIds; if they are, "
                "say --labels labelids"
            )
        return "trainids", ""
    if set(ids) <= {0, 255}:  # void or road and void: nothing else would tell
        nothing = "nothing but void as labelIds, or road and void as trainIds"
    else:
        nothing = f"{_classes_in(ids, _with(classes, 'labelids'))} as labelIds"
        nothing += f", or {_classes_in(ids, _with(classes, 'trainids'))} as trainIds"
    raise UserError(
        f"{looks[0].path}{_others(looks)}: the ids {_ranges(ids)} are {nothing}; expected --labels labelids or "
        "--labels trainids, which says what they are"
    )


def _is_label_ids(look: Look) -> bool:
    return any(18 < number != 255 for number in look.ids)


def _is_likely_train_ids(ids: Counter[int]) -> bool:
    """Whether ids up to 18 make much void as labelIds, and little as trainIds."""
    void = {number: count for number, count in ids.items() if CITYSCAPES.class_of_id[number] == CITYSCAPES.void}
    telling = set(void) - _BORDERS - {255}
    return len(telling) >= 2 and sum(void.values()) - ids[255] > 0.25 * (ids.total() - ids[255])


def _classes_in(ids: Counter[int], classes: ClassTable) -> str:
    """The names of the classes that ids are, in a few words."""
    found = sorted({int(classes.class_of_id[number]) for number in ids})
    names = [classes.names[number] if number < classes.void else "void" for number in found if number >= 0]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _check_mask(looks: list[Look], ids: Counter[int], classes: ClassTable) -> None:
    """Refuse masks of 0 and 255, of which 255 is the object, although the class table says that it is void.

    Raises:
        UserError: They are.
    """
    if (
        classes.void_ids is None
        or set(ids) - {0, 255}
        or 255 not in ids
        or 255 in classes.ids
        or len(classes.names) > 2
    ):
        return
    raise UserError(
        f"{looks[0].path}{_others(looks)}: the ids are 0 and 255 only, and "
        + ("255 is void" if 255 in (classes.void_ids or ()) else "255 has no name")
        + f", so {_classes_in(Counter({0: 1}), classes)} would be all there is. 255 looks like the object of a mask: "
        'write "ids": [0, 255] and "void": 254 into classes.json (one id for each of two names); if it is void, say '
        "--labels ids"
    )


def _check_names(
    looks: list[Look], ids: Counter[int], classes: ClassTable, form: LabelForm, warnings: list[str]
) -> None:
    """Compare ids with those that have a name.

    Raises:
        UserError: Some have none, in more files than a few.
    """
    unnamed = sorted(i for i in ids if not 0 <= i <= 65535 or classes.class_of_id[i] < 0)
    if classes.void_ids is None:
        above = [i for i in ids if i > max(classes.ids) and i not in (255, 65535)]
        if above:
            share = sum(ids[i] for i in above) / ids.total()
            warnings.append(
                f"the ids {_ranges(above)} ({share:.1%} of the pixels) are above all of the class table's, and count "
                "as void: are these labels of another data set?"
            )
        return
    if not unnamed:
        return
    bad = [look for look in looks if any(i in look.ids for i in unnamed)]
    where = f"{bad[0].path}{_others(bad)}"
    known = f"{_ranges(classes.ids)}, and void {_ranges(classes.void_ids)}"
    if unnamed == [max(classes.ids) + 1] and form == "ids":
        raise UserError(
            f"{where} has the id {unnamed[0]}, one beyond the names, which are {known}: the ids seem to begin at 1, "
            "with 0 for nothing. Then 0 has to be named too: put a name and a colour for it before all others in "
            'classes.json, and "void": 0. Else add a name for it'
        )
    text = f"{where} has ids without a name: {_ranges(unnamed)}; expected {known}"
    if form == "ids" and classes.ids != (plain := tuple(range(len(classes.names)))) and {*ids} <= {*plain, 255}:
        raise UserError(
            f"{text}. They are 0..{len(plain) - 1} and 255, as train ids in the order of the names would be: say "
            "--labels trainids if they are"
        )
    if len(bad) <= _STRAY * len(looks):
        warnings.append(text)
        return
    raise UserError(f'{text}: name them in classes.json, or list them as void there ("void": [{unnamed[0]}, ...])')


def _colors(looks: list[Look], classes: ClassTable) -> Convention:
    """The convention of files of colours.

    Raises:
        UserError: They have another form than colours of the table.
    """
    coded = [look for look in looks if look.code]
    if len(coded) > len(looks) / 2:
        raise UserError(
            f"{coded[0].path}{_others(coded)} has {coded[0].code}; expected the class table's colours, or ids: convert "
            "them to grey pictures of ids"
        )
    try:
        classes.require_own_colors()
    except UserError as error:
        raise UserError(f"{looks[0].path}{_others(looks)} has colours, but {error}") from error
    by_class: Counter[int] = sum((look.colors for look in looks if look.colors is not None), Counter())
    pixels = by_class.total()
    unknown: Counter[Color] = sum((look.unknown for look in looks), Counter())
    known = len([number for number in by_class if number < classes.void])
    evidence = f"labels: colours, {known} of {len(classes.names)} classes' in {_files(looks)}"
    warnings = []
    if by_class[NO_CLASS]:
        most = ", ".join(_described(color, count / pixels, classes) for color, count in unknown.most_common(3))
        warnings.append(
            f"{by_class[NO_CLASS] / pixels:.1%} of the pixels have a colour that is not the class table's: {most}; "
            "they count as void where they are no soft edges. What should be a class has to be in the palette"
        )
    return Convention("colours", classes, evidence, (*warnings, *_suspicious(looks, by_class, classes)))


def _described(color: Color, share: float, classes: ClassTable) -> str:
    closest, distance = nearest(color, classes)
    name = dict(zip(classes.palette, classes.names, strict=True)).get(closest, "void")
    return f"{color} {share:.1%} (nearest: {name} {closest}, {distance} levels off)"


def _mixed(looks: list[Look], classes: ClassTable) -> Convention:
    """The convention of files some of which hold ids and some colours: each is read by what it tells itself."""
    ids, colors = ([look for look in looks if look.holds_ids is holds] for holds in (True, False))
    evidence = f"labels: ids in {len(ids)} and colours in {len(colors)} of {len(looks)} files looked at"
    warning = (
        f"{ids[0].path} holds ids and {colors[0].path} colours: each file is read by what it tells itself; --labels "
        "ids or --labels colours says what all of them are"
    )
    if classes.names == CITYSCAPES.names:
        total: Counter[int] = sum((look.ids for look in ids), Counter())
        notes: list[str] = []
        form, _ = _cityscapes_form(ids, total, classes, notes)
        return Convention(None, _with(classes, form), f"{evidence} ({form})", (warning, *notes))
    return Convention(None, classes, evidence, (warning,))


def _suspicious(looks: list[Look], by_class: Counter[int], classes: ClassTable) -> list[str]:
    """What is odd about how often each class occurs: lines."""
    pixels = by_class.total() - by_class[classes.void]
    seen = {number: count for number, count in by_class.items() if 0 <= number < classes.void}
    if not seen:
        return [f"none of the {len(classes.names)} classes occurs in {_files(looks)}: all of it would be void"]
    if len(looks) < _FEW:
        return []
    lines = []
    if missing := [name for number, name in enumerate(classes.names) if number not in seen]:
        few = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        lines.append(f"never seen in {_files(looks)}: {few}; rare classes may be in the others")
    most = max(seen, key=lambda number: seen[number])
    if seen[most] > _MOST * pixels and len(classes.names) > 1:
        lines.append(f"{classes.names[most]} is {seen[most] / pixels:.1%} of all that is labelled in {_files(looks)}")
    return lines


def _files(looks: list[Look]) -> str:
    return f"{len(looks)} of {len(looks)} files looked at" if len(looks) > 1 else "the file looked at"


def _others(looks: list[Look]) -> str:
    return f" (and {len(looks) - 1} more)" if len(looks) > 1 else ""


def _ranges(ids: Sequence[int] | Counter[int]) -> str:
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
