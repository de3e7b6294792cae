"""Cityscapes' two sets of ids, labelIds and trainIds: which of them label files have."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.declared_classes import DeclaredClasses
from crn_tf.data.label_looks import Look, and_others, in_words
from crn_tf.data.published_tables import CityscapesIds
from crn_tf.errors import UserError

if TYPE_CHECKING:
    from crn_tf.data.conventions import LabelForm

_FEW = 5  # files: of fewer, it is said that they hardly tell
_BORDERS = frozenset({0, 1, 2, 3})  # labelIds that pictures have around: unlabelled, ego vehicle, out of roi...
_BOTH = "say what all of them are with --labels labelids or --labels trainids"


def with_ids(classes: ClassTable, form: "LabelForm") -> ClassTable:
    """The table with the ids that files of a form have: those of train ids, of labelIds, or its own."""
    if form == "trainids":
        return dataclasses.replace(classes, ids=tuple(range(len(classes.names))), void_ids=(255,))
    if form == "labelids":
        return dataclasses.replace(classes, ids=CITYSCAPES.ids, void_ids=CITYSCAPES.void_ids)
    return classes


def find_ids(looks: list[Look], declared: DeclaredClasses) -> tuple[CityscapesIds, str, tuple[str, ...]]:
    """Which of Cityscapes' two sets of ids files have, why (if the ids alone do not tell), and warnings.

    Args:
        looks: At files of ids.
        declared: Cityscapes' classes, and what is known of the files besides.

    Raises:
        UserError: Both are possible, some files have the one and some the other, or the ids contradict what the files
            are called or should hold.
    """
    ids: Counter[int] = sum((look.ids for look in looks), Counter())
    sure = [look for look in looks if _is_label_ids(look)]
    likely = [look for look in looks if not _is_label_ids(look) and _is_likely_train_ids(look.ids)]
    called_train = [look for look in looks if "trainids" in look.path.name.lower()]
    if sure and (other := likely or called_train):
        raise UserError(
            f"{sure[0].path} has ids {in_words(sure[0].ids)}, which are Cityscapes' labelIds, and {other[0].path} "
            f"{in_words(other[0].ids)}, which look like trainIds (0..18 and 255): give them separately, or {_BOTH}"
        )
    said, why = _said(looks, declared)
    if (sure and said == "trainids") or (likely and said == "labelids"):
        other_ids = "trainIds (0..18 and 255)" if likely else "labelIds"
        raise UserError(
            f"{(sure or likely)[0].path} should hold {_NAMES[said]}, {why}, but the ids {in_words(ids)} look like "
            f"Cityscapes' {other_ids}; expected --labels trainids or --labels labelids"
        )
    if sure:
        return "labelids", "", ()
    if said:
        return said, why, ()
    if declared.table.ids == tuple(range(len(declared.table.names))):
        return "trainids", "as the class table says", ()
    if _is_likely_train_ids(ids):
        return "trainids", "", _about_few(looks, ids)
    raise UserError(_could_be_both(looks, ids, declared.table))


_NAMES = {"labelids": "labelIds", "trainids": "trainIds"}


def _said(looks: list[Look], declared: DeclaredClasses) -> tuple[CityscapesIds | None, str]:
    """What the files' names or their publisher say that the ids are, and who says so."""
    called_label = any(look.path.name.lower().endswith("_labelids.png") for look in looks)
    called_train = any("trainids" in look.path.name.lower() for look in looks)
    if called_label != called_train:
        return "labelids" if called_label else "trainids", "as the names say"
    if declared.published and declared.ids:
        return declared.ids, f"as {declared.published.name}'s are"
    return None, ""


def _is_label_ids(look: Look) -> bool:
    return any(18 < number != 255 for number in look.ids)


def _is_likely_train_ids(ids: Counter[int]) -> bool:
    """Whether ids up to 18 make much void as labelIds, and little as trainIds."""
    void = {number: count for number, count in ids.items() if CITYSCAPES.class_of_id[number] == CITYSCAPES.void}
    telling = set(void) - _BORDERS - {255}
    return len(telling) >= 2 and sum(void.values()) - ids[255] > 0.25 * (ids.total() - ids[255])


def _about_few(looks: list[Look], ids: Counter[int]) -> tuple[str, ...]:
    if len(looks) >= _FEW:
        return ()
    text = f"the ids {in_words(ids)} are read as Cityscapes' trainIds, as they are hardly labelIds; if they are, say"
    return (f"{text} --labels labelids",)


def _could_be_both(looks: list[Look], ids: Counter[int], classes: ClassTable) -> str:
    if set(ids) <= {0, 255}:  # void or road and void: nothing else would tell
        readings = "nothing but void as labelIds, or road and void as trainIds"
    else:
        readings = f"{classes_of(ids, with_ids(classes, 'labelids'))} as labelIds"
        readings += f", or {classes_of(ids, with_ids(classes, 'trainids'))} as trainIds"
    return (
        f"{looks[0].path}{and_others(looks)}: the ids {in_words(ids)} are {readings}; expected --labels labelids or "
        "--labels trainids, which says what they are"
    )


def classes_of(ids: Iterable[int], classes: ClassTable) -> str:
    """The names of the classes that ids are, in a few words."""
    found = sorted({int(classes.class_of_id[number]) for number in ids})
    names = [classes.names[number] if number < classes.void else "void" for number in found if number >= 0]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
