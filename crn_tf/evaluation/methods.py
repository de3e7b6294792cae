"""Methods, and which of their pictures answer which layouts: found and checked before anything is computed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from crn_tf.data.datasets import DataSet, FileDataSet
from crn_tf.data.images import Fit, Size, image_size, read_photo
from crn_tf.data.picture_files import pictures
from crn_tf.errors import UserError
from crn_tf.tensors import Floats, Layout, Pixels

PHOTOGRAPHS, MEAN_COLORS = "photographs", "mean-colours"
_NOT_ANSWERS = ("contact_sheet",)  # that test.py writes beside its pictures
_NAMED = 3  # of files that a message is about


@dataclass(frozen=True)
class Judged:
    """The pairs that are judged, at the size that is scored.

    Attributes:
        data: All pairs of the split.
        indices: Those that are judged, in the order of results.
        size: Height and width.
        fit: How layouts and photographs are brought to it.
    """

    data: DataSet
    indices: tuple[int, ...]
    size: Size
    fit: Fit

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Of the layouts."""
        return [self.data.name(index) for index in self.indices]

    def load(self, position: int) -> tuple[Pixels, Layout]:
        """A photograph uint8 [H, W, 3] and its layout uint8 [H, W].

        Raises:
            UserError: One of the files is missing or damaged.
        """
        return self.data.load(self.indices[position], self.size, self.fit)

    def files(self, position: int) -> tuple[Path | None, Path | None]:
        """The layout's file and the photograph's; None for the toy data set, which has none."""
        if not isinstance(self.data, FileDataSet):
            return None, None
        pair = self.data.pairs[self.indices[position]]
        return pair.layout, pair.photo


class Method(Protocol):
    """What is judged: one or more pictures for each layout."""

    @property
    def name(self) -> str:
        """What it is called in tables and files."""

    @property
    def images(self) -> int:
        """Pictures of each layout."""

    def read(self, position: int, photo: Pixels, layout: Layout) -> list[Pixels]:
        """Its pictures uint8 [H, W, 3] of the layout at a position, at the scored size.

        Raises:
            UserError: A file cannot be read.
        """

    def files(self, position: int) -> list[Path]:
        """Where they are kept; empty if they are made as they are needed."""


class Photographs:
    """The photographs themselves: the ceiling."""

    name, images = PHOTOGRAPHS, 1

    def read(self, position: int, photo: Pixels, layout: Layout) -> list[Pixels]:
        return [photo]

    def files(self, position: int) -> list[Path]:
        return []


class MeanColors:
    """Each class in its mean colour: the floor."""

    name, images = MEAN_COLORS, 1

    def __init__(self, colors: Floats) -> None:
        """Take over a colour for each class and void [C, 3], 0..255."""
        self._colors = np.rint(colors).astype(np.uint8)

    @classmethod
    def of(cls, pairs: Iterable[tuple[Pixels, Layout]], num_classes: int) -> "MeanColors":
        """Those of photographs and their layouts; grey for a class that does not occur.

        Args:
            pairs: Photographs uint8 [H, W, 3] and layouts uint8 [H, W].
            num_classes: With void.
        """
        sums, counts = np.zeros((num_classes, 3)), np.zeros((num_classes, 1))
        for photo, layout in pairs:
            ids = layout.reshape(-1)
            counts[:, 0] += np.bincount(ids, minlength=num_classes)
            for channel in range(3):
                sums[:, channel] += np.bincount(ids, photo[..., channel].reshape(-1), num_classes)
        return cls(np.where(counts > 0, sums / np.maximum(counts, 1), 128))

    def read(self, position: int, photo: Pixels, layout: Layout) -> list[Pixels]:
        return [self._colors[layout]]

    def files(self, position: int) -> list[Path]:
        return []


@dataclass(frozen=True)
class PictureFiles:
    """Pictures in files.

    Attributes:
        name: Of the method.
        paths: Of each judged layout, its pictures.
        found_size: Their height and width.
        size: Height and width that they are scored at: they are resized to it, bicubically.
        seconds: That a picture took to synthesize; None if that is not known.
        about: What there is to say about the model that made them.
    """

    name: str
    paths: Sequence[Sequence[Path]]
    found_size: Size
    size: Size
    seconds: float | None = None
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Pictures of each layout."""
        return len(self.paths[0])

    def read(self, position: int, photo: Pixels, layout: Layout) -> list[Pixels]:
        return [read_photo(path, self.size, "resize") for path in self.paths[position]]

    def files(self, position: int) -> list[Path]:
        return list(self.paths[position])


class PictureFolder:
    """The pictures of a folder, by the names of layouts that they may answer."""

    def __init__(self, path: Path) -> None:
        """Look into a folder.

        Raises:
            UserError: There are no pictures in it, or two of one name.
        """
        self.path = path
        self._by_stem: dict[str, Path] = {}
        for file in pictures(path):
            if file.stem in _NOT_ANSWERS:
                continue
            if file.stem in self._by_stem:
                raise UserError(f"{self._by_stem[file.stem]} and {file} have the same name: which one is to be judged?")
            self._by_stem[file.stem] = file
        if not self._by_stem:
            raise UserError(f"no pictures in {path}; expected one for each layout, called as the layout is")

    def answers(self, stems: Iterable[str]) -> list[Path]:
        """The pictures of a layout: NAME.png, or NAME_0.png, NAME_1.png, ... as test.py writes several.

        Args:
            stems: What the layout is called: its own name, or its photograph's.
        """
        for stem in stems:
            if stem in self._by_stem:
                return [self._by_stem[stem]]
            several = list[Path]()
            while (path := self._by_stem.get(f"{stem}_{len(several)}")) is not None:
                several.append(path)
            if several:
                return several
        return []

    def others(self, used: Iterable[Sequence[Path]]) -> list[Path]:
        """Its pictures that are not among those."""
        taken = {path for paths in used for path in paths}
        return [path for path in self._by_stem.values() if path not in taken]


def stems(data: DataSet, index: int) -> list[str]:
    """What pictures of a layout may be called: the pair's name, the layout's, the photograph's."""
    files = (data.pairs[index].layout, data.pairs[index].photo) if isinstance(data, FileDataSet) else ()
    return list(dict.fromkeys([data.name(index), *(path.stem for path in files if path)]))


def answered_by(folder: PictureFolder, data: DataSet) -> list[int]:
    """Which pairs of a data set have a picture in a folder.

    Raises:
        UserError: There are none.
    """
    found = [index for index in range(len(data)) if folder.answers(stems(data, index))]
    if not found:
        raise UserError(
            f"no picture in {folder.path} is called as one of the {len(data)} layouts is, such as {data.name(0)}.png"
        )
    return found


def answered(data: DataSet, folder: PictureFolder, limit: int | None) -> tuple[int, ...]:
    """Which pairs are judged: those that have a picture in the first method's folder, by name.

    Args:
        data: The pairs.
        folder: The first method's.
        limit: Only so many, the first by name; None for all.

    Raises:
        UserError: There are none.
    """
    return tuple(sorted(answered_by(folder, data), key=data.name)[:limit])


def match_pictures(name: str, folder: PictureFolder, judged: Judged) -> tuple[PictureFiles, list[str]]:
    """The pictures of a method that are judged, and lines about those that are not.

    Raises:
        UserError: There is none for a layout, one has another size than the others, or there are more for some layouts.
    """
    paths = [folder.answers(stems(judged.data, index)) for index in judged.indices]
    missing = [judged.names[position] for position, found in enumerate(paths) if not found]
    if missing:
        raise UserError(
            f"{name} has no picture for {len(missing)} of {len(paths)} layouts: {_some(missing)}; expected one of the "
            f"same name in {folder.path} for each: add them, or name a method with fewer pictures first"
        )
    count = len(paths[0])
    other = next((found for found in paths if len(found) != count), None)
    if other:
        raise UserError(f"{name} has {count} pictures like {paths[0][0]} but {len(other)} like {other[0]}")
    size = _size_of_all(name, [path for found in paths for path in found])
    extra = folder.others(folder.answers(stems(judged.data, index)) for index in range(len(judged.data)))
    lines = []
    if extra:
        lines.append(f"{len(extra)} pictures in {folder.path} are of no layout and are not judged: {_some(extra)}")
    if size != judged.size:
        lines.append(
            f"{name}: pictures of {size[0]}x{size[1]} are resized to {judged.size[0]}x{judged.size[1]}, bicubically"
        )
    return PictureFiles(name, paths, size, judged.size), lines


def first_size(folder: PictureFolder, data: DataSet, indices: Sequence[int]) -> Size:
    """Height and width of the first picture that is judged.

    Raises:
        UserError: It cannot be read.
    """
    return image_size(folder.answers(stems(data, indices[0]))[0])


def _size_of_all(name: str, paths: Sequence[Path]) -> Size:
    """Height and width of pictures.

    Raises:
        UserError: They differ.
    """
    sizes = [image_size(path) for path in paths]
    others = [path for path, size in zip(paths, sizes, strict=True) if size != sizes[0]]
    if others:
        height, width = sizes[paths.index(others[0])]
        raise UserError(
            f"{len(others)} of {len(paths)} pictures of {name} are not {sizes[0][0]}x{sizes[0][1]} as {paths[0]} is: "
            f"{_some(others)} ({height}x{width}); expected one size"
        )
    return sizes[0]


def _some(things: Sequence[object]) -> str:
    """The first ones, and how many more."""
    more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return ", ".join(map(str, things[:_NAMED])) + more
