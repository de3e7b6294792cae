"""Opening a data set to be looked at: what stands in the way of training is kept, and the rest is opened anyway."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import Convention, LabelForm, decide
from crn_tf.data.datasets import Kind, declared_classes, find_tree_or_say, pair_files
from crn_tf.data.pairing import Pair, Pairing
from crn_tf.data.trees import Tree
from crn_tf.errors import UsageError, UserError

LOOKED_INTO = ("train", "val")  # splits that training uses; the labels of a test split are often withheld
_HEIGHT = 256  # chooses between the release's folders


@dataclass(frozen=True)
class CheckedSplit:
    """A split.

    Attributes:
        name: "train", "val" or another.
        pairs: Its pairs, or its layouts alone where none has a photograph.
        left_out: A line for each file that has no partner.
        notes: Lines about how names were read.
    """

    name: str
    pairs: list[Pair]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Opened:
    """A data set.

    Attributes:
        tree: Its folders.
        splits: By name.
        classes: Its class table; None if it has none that can be read.
        convention: How its label files are read; None if that cannot be told.
        problems: What keeps it from being trained on, a line each.
    """

    tree: Tree
    splits: dict[str, CheckedSplit] = field(default_factory=dict)
    classes: ClassTable | None = None
    convention: Convention | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """How its files lie."""
        return self.tree.shape.kind


def open_to_look(root: Path, kind: Kind | None, labels: LabelForm | None, max_incomplete: float) -> Opened:
    """Open a data set, as far as that is possible.

    Args:
        root: Its folder.
        kind: How its files lie; None finds it from the folder's shape.
        labels: What the label files hold; None finds out.
        max_incomplete: The share of the pairs that may be incomplete.

    Raises:
        UsageError: The class table has no labels of this form.
        UserError: The folder is missing, is no data set, or there are several in it.
    """
    opened = Opened(find_tree_or_say(root, kind, _HEIGHT))
    for name in sorted(opened.tree.parts):
        opened.splits[name] = _open_split(opened, name, max_incomplete)
    if "train" not in opened.splits:
        opened.problems.append(f"{root} has no split 'train'; it has {', '.join(opened.splits) or 'none'}")
    try:
        declared = declared_classes(opened.tree, root)
        opened.classes = declared.table
        # As training does: the validation layouts are read as the training layouts are.
        first = next((opened.splits[name].pairs for name in LOOKED_INTO if name in opened.splits), [])
        opened.convention = decide([pair.layout for pair in first], declared, labels) if first else None
    except UsageError:
        raise
    except UserError as error:
        opened.problems.append(str(error))
    return opened


def _open_split(opened: Opened, name: str, max_incomplete: float) -> CheckedSplit:
    """Pair a split's files; where training would refuse to, it says why, and all that can be paired is."""
    found = Pairing([])
    try:
        found = pair_files(opened.tree, name, True, max_incomplete)
        if not found.pairs:
            opened.problems.append(f"the split {name!r} of {opened.tree.root} has no layouts")
    except UserError as error:
        for need_photos in (True, False):
            with suppress(UserError):  # the same one
                found = pair_files(opened.tree, name, need_photos, 1.0)
            if found.pairs:
                break
        if name in LOOKED_INTO and not (found.pairs and found.left_out):  # else it is told of each file
            opened.problems.append(str(error))
    return CheckedSplit(name, found.pairs, found.left_out, found.notes)
