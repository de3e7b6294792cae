"""Data sets: which photograph belongs to which layout, and reading a pair at a given size."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from tqdm import tqdm

from crn_tf.data import scenes
from crn_tf.data.class_tables import CITYSCAPES, ClassTable, read_class_table
from crn_tf.data.images import SUFFIXES, Fit, Size, image_size, read_photo
from crn_tf.data.layouts import LayoutReader
from crn_tf.errors import UsageError, UserError, unprintable
from crn_tf.tensors import Layout, Pixels

Kind = Literal["cityscapes", "release", "folder", "toy"]
EXPECTED_FORMS = """\
  cityscapes  leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png
  release     RGB256Full/*.png and Label256Full/*.png (or 512, 1024)
  folder      photos/SPLIT/*, labels/SPLIT/*.png and classes.json"""


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


@dataclass(frozen=True)
class Pair:
    """A layout file and its photograph; None where only layouts are there."""

    name: str
    layout: Path
    photo: Path | None


class FileDataSet:
    """A data set of files. Reading checks each pair; `check_sizes` checks all of them from their headers."""

    def __init__(self, pairs: Sequence[Pair], classes: ClassTable) -> None:
        """Take over pairs of files that write classes as the table says."""
        self.pairs, self.classes = pairs, classes
        self._reader = LayoutReader(classes)

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs[index].name

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        pair = self.pairs[index]
        if pair.photo is None:
            raise UserError(_incomplete(pair.layout, "layout", "photograph", 1))
        return read_photo(pair.photo, size, fit), self.load_layout(index, size, fit)

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self._reader.read(self.pairs[index].layout, size, fit)

    def layout_size(self, index: int) -> Size:
        return image_size(self.pairs[index].layout)

    def warning(self) -> str | None:
        return self._reader.warning()

    def check_sizes(self, skip_unreadable: bool = False) -> None:
        """Compare each photograph's size with its layout's, from the headers. Layouts alone have nothing to agree with.

        Args:
            skip_unreadable: Leave out pairs of which one cannot be read.

        Raises:
            UserError: The two sizes of a pair differ, or one of its files cannot be read.
        """
        for pair in tqdm(self.pairs, desc="checking sizes", unit="pair", leave=False, delay=2, disable=None):
            if pair.photo is None:
                continue
            try:
                photo, layout = image_size(pair.photo), image_size(pair.layout)
            except UserError:
                if skip_unreadable:
                    continue
                raise
            if photo != layout:
                raise UserError(
                    f"{pair.photo} is {photo[0]}x{photo[1]} but its layout {pair.layout} is "
                    f"{layout[0]}x{layout[1]} (height x width); expected the same size"
                )

    def fingerprint(self) -> str:
        """Changes when the files do: names a cache of decoded pairs."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for pair in self.pairs:
            for path in filter(None, (pair.photo, pair.layout)):
                digest.update(os.path.realpath(path).encode())
                with suppress(OSError):  # it is not there: reading it will say so
                    status = path.stat()
                    digest.update(f":{status.st_size}:{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


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
    root: Path | None, kind: Kind | None, split: str, height: int, need_photos: bool = True
) -> FileDataSet | ToyDataSet:
    """Open one split of a data set.

    Args:
        root: Its folder; None for the toy data set.
        kind: How its files lie; None finds it from the folder's shape.
        split: "train", "val" or another of its splits.
        height: Height it will be read at; chooses between the release's folders.
        need_photos: False accepts layouts without photographs.

    Raises:
        UsageError: A folder was given for the toy data set, or none for another kind.
        UserError: The folder is missing or empty, has no such split, or pairs are incomplete.
    """
    if kind == "toy":
        if root is not None:
            raise UsageError(f"the toy data set is built in; leave out the folder {root}")
        if split not in ToyDataSet.SIZES:
            raise UserError(f"the toy data set has the splits train and val, not {split!r}")
        return ToyDataSet(split)
    root = _folder(root, kind)
    _named_well([root])
    if not root.is_dir():
        raise UserError(f"no folder {root}")
    kind = kind or find_kind(root)
    found = splits(root, kind)
    if not found:
        raise UserError(f"{root} is no data set of the kind {kind}; expected one of\n{EXPECTED_FORMS}")
    if split not in found:
        raise UserError(f"{root} has no split {split!r}; it has {', '.join(found)}")
    pairs = _FINDERS[kind](root, split, height, need_photos)
    if not pairs:
        raise UserError(f"no layouts in the split {split!r} of {root}")
    return FileDataSet(pairs, read_class_table(root / "classes.json") if kind == "folder" else CITYSCAPES)


def find_kind(root: Path) -> Kind:
    """Tell from a folder's shape which kind of data set it is.

    Raises:
        UserError: The folder is missing or of no known shape.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}")
    if (root / "gtFine").is_dir():
        return "cityscapes"
    if any(root.glob("Label*Full")):
        return "release"
    if (root / "labels").is_dir():
        return "folder"
    raise UserError(f"{root} is no known kind of data set; expected one of\n{EXPECTED_FORMS}")


def splits(root: Path | None, kind: Kind) -> list[str]:
    """The splits a data set has, by name.

    Args:
        root: Its folder; None for the toy data set.
        kind: How its files lie.

    Raises:
        UsageError: The folder is None for another kind.
        UserError: The name of a split cannot be shown in one line.
    """
    if kind == "toy":
        return list(ToyDataSet.SIZES)
    root = _folder(root, kind)
    if kind == "release":
        numbers = {path.stem for folder in root.glob("Label*Full") for path in _pictures(folder)}
        return sorted({_release_split(number) for number in numbers if number.isdigit()})
    folder = root / ("gtFine" if kind == "cityscapes" else "labels")
    return [path.name for path in _named_well(folder.glob("*")) if path.is_dir()]


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

    Raises:
        UserError: A path is missing, a folder has no pictures in it, or a name cannot be shown in one line.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = _pictures(path)
            if not found:
                raise UserError(f"no pictures in the folder {path}; expected PNG layouts")
            files += found
        elif path.is_file():
            files += _named_well([path])
        else:
            raise UserError(f"no layout {path}")
    return files


def loose_layouts(files: Sequence[Path], classes: ClassTable) -> FileDataSet:
    """A data set of layout files without photographs, named after the files.

    Files of the same name get their folder's name before it.

    Raises:
        UserError: Two files are named alike even so.
    """
    stems = [path.stem for path in files]
    names = [f.stem if stems.count(f.stem) == 1 else f"{f.parent.name}_{f.stem}" for f in files]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"several layouts would be written as {twice}; give them in separate runs")
    return FileDataSet([Pair(n, f, None) for n, f in zip(names, files, strict=True)], classes)


def _find_cityscapes(root: Path, split: str, height: int, need_photos: bool) -> list[Pair]:
    """The official tree; labelIds where there are any, else the colour layouts."""
    folder = root / "gtFine" / split
    layouts = _named_well(folder.glob("*/*_gtFine_labelIds.png")) or _named_well(folder.glob("*/*_gtFine_color.png"))
    photos = _named_well((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))

    def city_and_name(path: Path) -> str:
        return f"{path.parent.name}/{path.name.partition('_gtFine_')[0].removesuffix('_leftImg8bit.png')}"

    return _pair(layouts, photos, city_and_name, need_photos)


def _find_release(root: Path, split: str, height: int, need_photos: bool) -> list[Pair]:
    """The release's flat folders: the smallest that is tall enough; 100001 and up are the validation split."""
    heights = sorted(int(p.name[5:-4]) for p in root.glob("Label*Full") if p.name[5:-4].isdigit())
    if not heights:
        raise UserError(f"no Label256Full, Label512Full or Label1024Full in {root}")
    chosen = next((h for h in heights if h >= height), heights[-1])
    photos = root / f"RGB{chosen}Full"
    if need_photos and not photos.is_dir():
        raise UserError(f"no folder {photos}; the layouts of {root} have no photographs to train with")

    def in_split(path: Path) -> bool:
        return path.stem.isdigit() and _release_split(path.stem) == split

    layouts = [path for path in _pictures(root / f"Label{chosen}Full") if in_split(path)]
    return _pair(layouts, [path for path in _pictures(photos) if in_split(path)], lambda p: p.stem, need_photos)


def _release_split(number: str) -> str:
    return "val" if int(number) > 100_000 else "train"


def _find_folder(root: Path, split: str, height: int, need_photos: bool) -> list[Pair]:
    """One's own data: photos/SPLIT/NAME.* and labels/SPLIT/NAME.png."""
    layouts, photos = _pictures(root / "labels" / split), _pictures(root / "photos" / split)
    return _pair(layouts, photos, lambda path: path.stem, need_photos)


_FINDERS = {"cityscapes": _find_cityscapes, "release": _find_release, "folder": _find_folder}


def _pictures(folder: Path) -> list[Path]:
    return _named_well(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _named_well(paths: Iterable[Path]) -> list[Path]:
    """The files in order.

    Raises:
        UserError: A name cannot be shown in one line, or written to a log: results could not be named after it.
    """
    found = sorted(paths)
    for path in found:
        if unprintable(str(path)):
            raise UserError(f"the name of {str(path)!r} has a line break or bytes that are not UTF-8: rename the file")
    return found


def _pair(layouts: list[Path], photos: list[Path], key: Callable[[Path], str], need_photos: bool) -> list[Pair]:
    """Match layouts and photographs by `key`.

    Raises:
        UserError: A photograph or a layout has no counterpart, or two files have the same key.
    """
    by_key = {key(path): path for path in photos}
    layout_of = {key(path): path for path in layouts}
    for files, index in ((layouts, layout_of), (photos, by_key)):
        if len(index) < len(files):
            twice = next(path for path in files if index[key(path)] != path)
            raise UserError(f"{twice} and {index[key(twice)]} have the same name; expected one file for each")
    if need_photos:
        without_photo = sorted(layout_of.keys() - by_key.keys())
        without_layout = sorted(by_key.keys() - layout_of.keys())
        if without_photo:
            raise UserError(_incomplete(layout_of[without_photo[0]], "layout", "photograph", len(without_photo)))
        if without_layout:
            raise UserError(_incomplete(by_key[without_layout[0]], "photograph", "layout", len(without_layout)))
    names = [k.rpartition("/")[2] for k in layout_of]
    if len(set(names)) < len(names):  # two cities have a file of the same name
        names = [k.replace("/", "_") for k in layout_of]
    return [Pair(name, path, by_key.get(k)) for name, (k, path) in zip(names, layout_of.items(), strict=True)]


def _incomplete(path: Path, has: str, lacks: str, count: int) -> str:
    others = f" (and {count - 1} more like it)" if count > 1 else ""
    return f"the {has} {path}{others} has no {lacks}; expected a {lacks} of the same name: add it or remove the {has}"
