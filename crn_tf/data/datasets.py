"""Data sets: opening one split of a data set, and reading a pair at a given size."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, get_args

from crn_tf.data import scenes
from crn_tf.data.class_tables import CITYSCAPES, ClassTable, find_class_file
from crn_tf.data.conventions import Convention, LabelForm, decide
from crn_tf.data.declared_classes import DeclaredClasses, as_published, read_declared
from crn_tf.data.file_pairs import FileDataSet
from crn_tf.data.images import Fit, Size
from crn_tf.data.label_names import Side, without_other_kinds
from crn_tf.data.pairing import Pair, Pairing, pair, spread
from crn_tf.data.picture_files import files_inside, foreign, named_well, pictures, pictures_inside
from crn_tf.data.published_tables import PUBLISHED
from crn_tf.data.trees import EXPECTED_FORMS, Kind, Tree, find_tree
from crn_tf.errors import UsageError, UserError
from crn_tf.tensors import Layout, Pixels

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
    "splits",
]


class DataSet(Protocol):
    """Pairs of a photograph and a layout, read one at a time."""

    classes: ClassTable

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """A file name's stem, unique in the data set."""

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        """Read a pair at a size: photograph uint8 [H, W, 3], layout uint8 [H, W].

        Raises:
            UserError: One of the pair's files is missing, damaged, or not what it should be.
        """

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        """Read a layout at a size: uint8 [H, W].

        Raises:
            UserError: The file is missing, damaged, or has ids that are no class.
        """

    def layout_size(self, index: int) -> Size | None:
        """Height and width of a layout as it is kept; None if it comes in any size.

        Raises:
            UserError: The file is missing or damaged.
        """

    def warning(self) -> str | None:
        """One line about odd things found in what was read so far, or None."""


class ToyDataSet:
    """The built-in street scenes, drawn when they are asked for."""

    SIZES: ClassVar = {"train": 160, "val": 24}
    classes = ClassTable(scenes.NAMES, scenes.PALETTE, tuple(range(len(scenes.NAMES))), (scenes.VOID,))

    def __init__(self, split: str) -> None:
        """Begin the split "train" or "val"."""
        self.split = split
        self._first_seed = 0 if split == "train" else 1_000_000

    def __len__(self) -> int:
        return self.SIZES[self.split]

    def name(self, index: int) -> str:
        return f"toy_{self.split}_{index:04d}"

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        return scenes.draw_scene(self._first_seed + index, *size)

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self.load(index, size, fit)[1]

    def layout_size(self, index: int) -> None:
        return None

    def warning(self) -> str | None:
        return None

    def fingerprint(self) -> str:
        """Names a cache of decoded pairs."""
        return f"toy_{self.split}"


class EvenSample:
    """Some pairs of a data set, evenly spaced: neighbouring video frames look alike."""

    def __init__(self, data: DataSet, count: int) -> None:
        """Choose `count` pairs of a data set; all of them if it has fewer."""
        self._data, self.classes = data, data.classes
        count = min(count, len(data))
        self._indices = [i * len(data) // count for i in range(count)]

    @property
    def indices(self) -> tuple[int, ...]:
        """Which pairs of the data set they are."""
        return tuple(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def name(self, index: int) -> str:
        return self._data.name(self._indices[index])

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        return self._data.load(self._indices[index], size, fit)

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self._data.load_layout(self._indices[index], size, fit)

    def layout_size(self, index: int) -> Size | None:
        return self._data.layout_size(self._indices[index])

    def warning(self) -> str | None:
        return self._data.warning()


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
        if root is not None:
            raise UsageError(f"the toy data set is built in; leave out the folder {root}")
        if split not in ToyDataSet.SIZES:
            raise UserError(f"the toy data set has the splits train and val, not {split!r}")
        return ToyDataSet(split)
    root = _folder(root, kind)
    tree = find_tree_or_say(root, kind, height)
    splits_off = validation_share > 0 and "val" not in tree.parts
    found = "train" if split == "val" and splits_off else split
    if found not in tree.parts:
        raise UserError(f"{root} has no split {split!r}; it has {', '.join(sorted(tree.parts))}")
    pairing = pair_files(tree, found, need_photos, max_incomplete)
    if not pairing.pairs:
        raise _no_layouts(tree, found, root)
    if isinstance(labels, Convention):
        convention = labels
    else:
        convention = decide([one.layout for one in pairing.pairs], declared_classes(tree, root), labels)
    notes = (*pairing.notes, *([f"the data set lies in {tree.root}"] if tree.root != root else []))
    data = FileDataSet(pairing.pairs, convention, pairing.left_out, notes)
    return _without_the_others(data, split, validation_share, root) if splits_off and found == "train" else data


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


def _without_the_others(data: FileDataSet, split: str, share: float, root: Path) -> FileDataSet:
    """The training pairs without those that are split off for validation, or those.

    Raises:
        UserError: There is only one pair.
    """
    if len(data) < 2:
        raise UserError(f"{root} has one training pair; expected at least two, to split off one for validation")
    validation = spread(len(data), share)
    pairs = [each for index, each in enumerate(data.pairs) if (index in validation) == (split == "val")]
    if split == "val":  # what there is to say is said of the training pairs
        return FileDataSet(pairs, data.convention)
    return FileDataSet(pairs, data.convention, data.left_out, data.notes)


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
    return pair(layouts, photos, need_photos, max_incomplete, part.chosen)


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


def layout_files(paths: Iterable[Path]) -> list[Path]:
    """Layout files named one by one or by their folders, in order.

    Of Cityscapes' files in a folder, `_instanceIds` and `_color` are none where there are `_labelIds`.

    Raises:
        UserError: A path is missing, a folder has no pictures in it, a name cannot be shown in one line, or a file has
            a format that is not read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = without_other_kinds(pictures(path))
            if not found:
                unread = foreign(sorted(path.glob("*")))
                raise UserError(
                    f"no pictures in the folder {path}; expected PNG layouts{f'. {unread}' if unread else ''}"
                )
            files += found
        elif path.is_file():
            if unread := foreign([path]):
                raise UserError(unread)
            files += named_well([path])
        else:
            raise UserError(f"no layout {path}")
    return files


def loose_layouts(files: Sequence[Path], convention: Convention | ClassTable) -> FileDataSet:
    """A data set of layout files without photographs, named after the files.

    Files of the same name get the suffix behind it (`a_bmp`) if they lie in the same folder, else their folder's name
    before it.

    Raises:
        UserError: Two files are named alike even so.
    """
    stems = [path.stem for path in files]
    names = [path.stem if stems.count(path.stem) == 1 else _told_apart(path, files) for path in files]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"several layouts would be written as {twice}; give them in separate runs")
    return FileDataSet([Pair(n, f, None) for n, f in zip(names, files, strict=True)], convention)


def _told_apart(path: Path, files: Sequence[Path]) -> str:
    alike = [other for other in files if other.stem == path.stem]
    beside = [other for other in alike if other.parent == path.parent]
    name = f"{path.stem}_{path.suffix[1:].lower()}" if len(beside) > 1 else path.stem
    return name if len(beside) == len(alike) or not path.parent.name else f"{path.parent.name}_{name}"
