"""Ids in label files that no class has: what they seem to be, and what to do about it."""

from collections import Counter

from crn_tf.data.cityscapes_ids import classes_of
from crn_tf.data.declared_classes import DeclaredClasses
from crn_tf.data.label_looks import Look, and_others, in_words
from crn_tf.errors import UserError

_STRAY = 0.5  # share of the files whose ids may be wrong: reading leaves these out, as far as it may


def check_mask(looks: list[Look], ids: Counter[int], declared: DeclaredClasses) -> None:
    """Refuse masks of 0 and 255, of which 255 is the object, although the class table says that it is void.

    Raises:
        UserError: They are.
    """
    classes = declared.table
    if classes.void_ids is None or set(ids) - {0, 255} or 255 not in {*ids} - {*classes.ids} or len(classes.names) > 2:
        return
    named = 255 in classes.void_ids and not declared.assumes_void
    own = 'write "ids": [0, 255] and "void": 254 into classes.json (one id for each of two names)'
    raise UserError(
        f"{looks[0].path}{and_others(looks)}: the ids are 0 and 255 only, and "
        + ("255 is void" if named else "255 has no name")
        + f", so {classes_of([0], classes)} would be all there is. 255 looks like the object of a mask: "
        + (own if declared.editable else f"convert it to an id of {declared.source}")
        + "; if it is void, say --labels ids"
    )


def check_names(looks: list[Look], ids: Counter[int], declared: DeclaredClasses, own_ids: bool) -> tuple[str, ...]:
    """Compare ids with those that have a name.

    Args:
        looks: At files of ids.
        ids: Those in them.
        declared: The classes, with the ids that the files should have.
        own_ids: Whether these are the class table's own, rather than Cityscapes' or train ids.

    Returns:
        Warnings.

    Raises:
        UserError: Some have none, in more files than a few.
    """
    classes = declared.table
    if classes.void_ids is None:
        return _about_ids_above(ids, declared)
    unnamed = sorted(i for i in ids if not 0 <= i <= 65535 or classes.class_of_id[i] < 0)
    if not unnamed:
        return ()
    bad = [look for look in looks if any(i in look.ids for i in unnamed)]
    where = f"{bad[0].path}{and_others(bad)}"
    known = f"{in_words(classes.ids)}, and void {in_words(classes.void_ids)}"
    if unnamed == [max(classes.ids) + 1] and own_ids:
        raise UserError(
            f"{where} has the id {unnamed[0]}, one beyond the names, which are {known}: the ids seem to begin at 1, "
            f"with 0 for nothing. {_name_zero_too(declared)}"
        )
    text = f"{where} has ids without a name: {in_words(unnamed)}; expected {known}"
    if own_ids and classes.ids != (plain := tuple(range(len(classes.names)))) and {*ids} <= {*plain, 255}:
        raise UserError(
            f"{text}. They are 0..{len(plain) - 1} and 255, as train ids in the order of the names would be: say "
            "--labels trainids if they are"
        )
    if len(bad) <= _STRAY * len(looks):
        return (text,)
    raise UserError(f"{text}: {_name_them(declared, unnamed[0])}")


def _about_ids_above(ids: Counter[int], declared: DeclaredClasses) -> tuple[str, ...]:
    """A warning of ids above all of a table in which every other id is void."""
    above = ids_above(ids, declared)
    if not above:
        return ()
    return (
        f"the ids {in_words(above)} ({above.total() / ids.total():.1%} of the pixels) are above all of the class "
        "table's, and count as void: are these labels of another data set?",
    )


def ids_above(ids: Counter[int], declared: DeclaredClasses) -> Counter[int]:
    """Ids above all of a table in which every other id is void, but for those that mean void everywhere."""
    if declared.table.void_ids is not None:
        return Counter()
    return Counter({i: count for i, count in ids.items() if i > max(declared.table.ids) and i not in (255, 65535)})


def _name_zero_too(declared: DeclaredClasses) -> str:
    """What to do about ids that begin at 1."""
    if not declared.editable:
        return _not_as_declared(declared)
    if declared.source.lower().endswith(".json"):
        how = 'put a name and a colour for it before all others in classes.json, and "void": 0'
    else:
        how = f"put a line for it, called void, before all others in {declared.source}"
    return f"Then 0 has to be named too: {how}. Else add a name for it"


def _name_them(declared: DeclaredClasses, first: int) -> str:
    """What to do about ids without a name."""
    if not declared.editable:
        return _not_as_declared(declared)
    if declared.source.lower().endswith(".json"):
        return f'name them in classes.json, or list them as void there ("void": [{first}, ...])'
    return f"name them in {declared.source}; which ids are void, a classes.json can say"


def _not_as_declared(declared: DeclaredClasses) -> str:
    """What to do where the class table is nobody's file."""
    if declared.published:
        name = declared.published.name
        return (
            f"These are not the ids that {name}'s files have as published: convert them, or put a classes.json with "
            "their own names, ids and colours beside the folders"
        )
    return f"Layouts need the ids of {declared.source}: convert them"
