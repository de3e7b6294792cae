"""Opening the splits of a data set, whatever its kind."""

import dataclasses
from pathlib import Path
from typing import get_args

from crn_tf.data.class_tables import CITYSCAPES, find_class_file
from crn_tf.data.conventions import Convention, LabelForm, decide
from crn_tf.data.data_set import DataSet, EvenSample
from crn_tf.data.declared_classes import DeclaredClasses, as_published, read_declared
from crn_tf.data.file_pairs import FileDataSet
from crn_tf.data.label_names import Side
from crn_tf.data.loose_layouts import layout_files, loose_layouts
from crn_tf.data.pairing import Pair, Pairing, pair, spread
from crn_tf.data.picture_files import files_inside, foreign, named_well, pictures_inside
from crn_tf.data.published_tables import PUBLISHED
from crn_tf.data.toy import ToyDataSet
from crn_tf.data.tree_shapes import EXPECTED_FORMS, Kind
from crn_tf.data.trees import Tree, find_tree
from crn_tf.errors import UsageError, UserError

KINDS = "{" + ",".join(get_args(Kind)) + "}"  # as help shows the choice
__all__ = [
    "EXPECTED_FORMS",
    "KINDS",
    "DataSet",
    "EvenSample",
    "FileDataSet",
    "Kind",
    "Pair",
    "ToyDataSet",
    "find_kind",
    "layout_files",
    "loose_layouts",
    "open_data_set",
    "open_training_data",
    "splits",
]


def open_data_set(
    root: Path | None,
    kind: Kind | None,
    split: str,
    height: int,
    need_photos: bool = True,
    max_incomplete: float = 0.0,
    validation_share: float = 0.0,
    labels: LabelForm | Convention | None = None,
) -> FileDataSet | ToyDataSet:
    """Open one split of a data set.

    Args:
        root: Its folder; None for the toy data set.
        kind: How its files lie; None finds it from the folder's shape.
        split: "train", "val" or another of its splits.
        height: Height it will be read at; chooses between the release's folders.
        need_photos: False accepts layouts without photographs.
        max_incomplete: The share of photographs and layouts that may have no partner, and are left out.
        validation_share: The share of the training pairs that become the split "val" where there is none.
        labels: What the label files hold, or the convention of another split; None finds out.

    Raises:
        UsageError: A folder was given for the toy data set, or none for another kind.
        UserError: The folder is missing or empty, has no such split, more pairs are incomplete, or the label files can
            be read in two ways.
    """
    if kind == "toy":
        return _toy(root, split)
    root = _folder(root, kind)
    tree = find_tree_or_say(root, kind, height)
    splits_off = validation_share > 0 and "val" not in tree.parts
    found = "train" if split == "val" and splits_off else split
    data = _open(tree, root, found, need_photos, max_incomplete, labels)
    if splits_off and found == "train":
        return _split_off(data, validation_share, root)[split == "val"]
    return data


def open_training_data(
    root: Path | None,
    kind: Kind | None,
    height: int,
    max_incomplete: float = 0.0,
    validation_share: float = 0.0,
    labels: LabelForm | None = None,
) -> tuple[FileDataSet | ToyDataSet, FileDataSet | ToyDataSet | None]:
    """Open what a data set has to train on, and to validate on: None if it has nothing for that.

    The validation layouts are read as the training layouts are.

    Args:
        root: Its folder; None for the toy data set.
        kind: How its files lie; None finds it from the folder's shape.
        height: Height it will be read at; chooses between the release's folders.
        max_incomplete: The share of photographs and layouts of each that may have no partner, and are left out.
        validation_share: The share of the training pairs that are validated on, where there is no split for it.
        labels: What the label files hold; None finds out.

    Raises:
        UsageError, UserError: As `open_data_set`.
    """
    if kind == "toy":
        return _toy(root, "train"), _toy(root, "val")
    root = _folder(root, kind)
    tree = find_tree_or_say(root, kind, height)
    train = _open(tree, root, "train", True, max_incomplete, labels)
    if "val" in tree.parts:
        return train, _open(tree, root, "val", True, max_incomplete, train.convention)
    return _split_off(train, validation_share, root) if validation_share > 0 else (train, None)


def _toy(root: Path | None, split: str) -> ToyDataSet:
    """A split of the toy data set.

    Raises:
        UsageError: A folder was given.
        UserError: There is no such split.
    """
    if root is not None:
        raise UsageError(f"the toy data set is built in; leave out the folder {root}")
    if split not in ToyDataSet.SIZES:
        raise UserError(f"the toy data set has the splits train and val, not {split!r}")
    return ToyDataSet(split)


def _open(
    tree: Tree,
    root: Path,
    split: str,
    need_photos: bool,
    max_incomplete: float,
    labels: LabelForm | Convention | None,
) -> FileDataSet:
    """Open a split as it lies.

    Raises:
        UserError: There is no such split, more pairs are incomplete, or the label files can be read in two ways.
    """
    if split not in tree.parts:
        raise UserError(f"{root} has no split {split!r}; it has {', '.join(sorted(tree.parts))}")
    pairing = pair_files(tree, split, need_photos, max_incomplete)
    if not pairing.pairs:
        raise _no_layouts(tree, split, root)
    if isinstance(labels, Convention):
        convention = dataclasses.replace(labels, unknown_share=None)  # it was another split that was looked at
    else:
        convention = decide([one.layout for one in pairing.pairs], declared_classes(tree, root), labels)
    notes = (*pairing.notes, *([f"the data set lies in {tree.root}"] if tree.root != root else []))
    return FileDataSet(pairing.pairs, convention, pairing.left_out, notes)


def find_tree_or_say(root: Path, kind: Kind | None, height: int) -> Tree:
    """Find a data set's folders, in a folder or inside of it.

    Args:
        root: The folder.
        kind: How its files lie; None finds it from the folder's shape.
        height: Chooses between the release's folders.

    Raises:
        UserError: The folder is missing, is no data set, or there are several in it.
    """
    named_well([root])
    if not root.is_dir():
        raise UserError(f"no folder {root}")
    tree = find_tree(root, kind, height)
    if tree is None or not tree.parts:
        kind = kind or find_kind(root)
        raise UserError(f"{root} is no data set of the kind {kind}; expected one of\n{EXPECTED_FORMS}")
    return tree


def _split_off(data: FileDataSet, share: float, root: Path) -> tuple[FileDataSet, FileDataSet]:
    """The training pairs without those that are split off for validation, and those.

    Raises:
        UserError: There is only one pair.
    """
    if len(data) < 2:
        raise UserError(f"{root} has one training pair; expected at least two, to split off one for validation")
    validation = spread(len(data), share)
    train, others = (
        [each for index, each in enumerate(data.pairs) if (index in validation) == wanted] for wanted in (False, True)
    )  # what there is to say is said of the training pairs
    return FileDataSet(train, data.convention, data.left_out, data.notes), FileDataSet(others, data.convention)


def pair_files(tree: Tree, split: str, need_photos: bool, max_incomplete: float) -> Pairing:
    """Match layouts and photographs of one split.

    Raises:
        UserError: More of them have no partner, or there are no photographs at all.
    """
    part, shape = tree.parts[split], tree.shape
    if need_photos and shape.kind == "release" and not part.photos.is_dir():
        raise UserError(f"no folder {part.photos}; the layouts of {tree.root} have no photographs to train with")
    layouts = Side(part.layouts, pictures_inside(part.layouts), shape.layout_endings)
    photos = Side(part.photos, pictures_inside(part.photos), shape.photo_endings)
    if not layouts.files:
        return Pairing([])
    return pair(layouts, photos, need_photos, max_incomplete, part.chosen, part.shared)


def _no_layouts(tree: Tree, split: str, root: Path) -> UserError:
    """What to say of a split without layouts: what was looked for, and what is there instead."""
    part, shape = tree.parts[split], tree.shape
    endings = f"; looked in {part.layouts}"
    if shape.layout_endings:
        endings += f" for names that end in {', '.join(f'{ending}.png' for ending in shape.layout_endings)}"
    lines = [f"no layouts in the split {split!r} of {root}{endings}", foreign(files_inside(part.layouts)), shape.advice]
    return UserError(". ".join(filter(None, lines)))


def declared_classes(tree: Tree, root: Path) -> DeclaredClasses:
    """The classes of a data set, and what is known of its label files: its own `classes.json`, or its publisher's.

    Raises:
        UserError: The file is missing or wrong.
    """
    published = PUBLISHED.get(tree.shape.classes)
    own = find_class_file(tree.root) or find_class_file(root)
    if published is None:
        return read_declared(own or tree.root / "classes.json")
    # Nobody writes one for Cityscapes and its relatives but for other tools, to which it means something else.
    if own and own.suffix == ".json" and published.table is not CITYSCAPES:
        return read_declared(own)
    return as_published(published)


def find_kind(root: Path) -> Kind:
    """Tell from a folder's shape which kind of data set it is.

    Raises:
        UserError: The folder is missing or of no known shape, or there are several data sets in it.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}")
    tree = find_tree(root, None)
    if tree is None:
        raise UserError(f"{root} is no known kind of data set; expected one of\n{EXPECTED_FORMS}")
    return tree.shape.kind


def splits(root: Path | None, kind: Kind, validation_share: float = 0.0) -> list[str]:
    """The splits a data set has, by name: "train", "val" and "test" whatever their folders are called.

    Args:
        root: Its folder; None for the toy data set.
        kind: How its files lie.
        validation_share: The share of the training pairs that become the split "val" where there is none.

    Raises:
        UsageError: The folder is None for another kind.
        UserError: The name of a split cannot be shown in one line.
    """
    if kind == "toy":
        return list(ToyDataSet.SIZES)
    tree = find_tree(_folder(root, kind), kind)
    found = set(tree.parts) if tree else set[str]()
    if validation_share > 0 and "train" in found:
        found.add("val")
    return sorted(found)


def _folder(root: Path | None, kind: Kind | None) -> Path:
    """The folder of a data set that is not built in.

    Raises:
        UsageError: No folder was given.
    """
    if root is None:
        raise UsageError(f"the {kind or 'training'} data needs its folder: --data FOLDER")
    return root
