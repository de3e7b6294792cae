"""Class tables: which semantic classes a data set has, and how its files write them.

Example:
    The 19 classes that Cityscapes evaluates, and what ids in its files become: road, car, and unlabelled (void).

    >>> from crn_tf import CITYSCAPES
    >>> CITYSCAPES.names[:3], CITYSCAPES.num_classes
    (('road', 'sidewalk', 'building'), 20)
    >>> CITYSCAPES.class_of_id[[7, 26, 0]].tolist()
    [0, 13, 19]
"""

import dataclasses
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crn_tf.errors import UserError, unprintable
from crn_tf.files import read_json

Color = tuple[int, int, int]
MAX_NAMES = 254  # with void, and 255 to mark what is none of them, they fit into uint8


@dataclass(frozen=True)
class ClassTable:
    """The semantic classes of a data set, and how its files write them.

    Attributes:
        names: Of the classes, without void: 1 to 254.
        palette: Colour of each name (red, green, blue, 0..255), in colour layouts and in pictures of layouts.
        ids: Id of each name in files of class ids, 0..65535.
        void_ids: Ids that mean void; None: every other id does.
        void_colors: Colours known to mean void; other colours are void too, but reported.

    Example:
        >>> from crn_tf import ClassTable
        >>> table = ClassTable(names=("sky", "road"), palette=((0, 0, 255), (90, 90, 90)), ids=(1, 7), void_ids=None)
        >>> table.num_classes, table.void  # void comes last
        (3, 2)
        >>> table.class_of_id[[1, 7, 4]].tolist()  # what ids in files become
        [0, 1, 2]
        >>> int(table.class_of_color[0x0000FF])  # and colours: this is the sky's
        0
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ids: tuple[int, ...]
    void_ids: tuple[int, ...] | None
    void_colors: tuple[Color, ...] = ((0, 0, 0),)

    @property
    def file_ids(self) -> tuple[int, ...]:
        """What grey layout files may hold for each class in memory, void the last."""
        return (*self.ids, self.void_ids[0] if self.void_ids else 0)  # where every other id is void, 0 is one

    @property
    def void(self) -> int:
        """The class id of void in memory: after the named classes."""
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Channels of a one-hot layout: the named classes and void."""
        return len(self.names) + 1

    @cached_property
    def class_of_id(self) -> NDArray[np.int16]:
        """int16 [65536]: class for every id a file may hold, -1 for one that has no meaning."""
        table = np.full(1 << 16, self.void if self.void_ids is None else -1, np.int16)
        table[list(self.void_ids or ())] = self.void
        table[list(self.ids)] = np.arange(len(self.ids))
        return table

    @cached_property
    def class_of_color(self) -> NDArray[np.uint8]:
        """uint8 [2**24]: class for every colour R << 16 | G << 8 | B, 255 for one outside the palette."""
        table = np.full(1 << 24, 255, np.uint8)
        table[packed(np.array(self.void_colors).reshape(-1, 3))] = self.void
        table[packed(np.array(self.palette).reshape(-1, 3))] = np.arange(len(self.palette))
        return table

    def to_json(self) -> dict[str, Any]:
        """A description for JSON files."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ClassTable":
        """The table that `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: The values are not what `to_json` writes.
        """
        names, ids = tuple(values["names"]), tuple(values["ids"])
        void_ids = None if values["void_ids"] is None else tuple(values["void_ids"])
        palette, void_colors = (tuple(map(tuple, values[key])) for key in ("palette", "void_colors"))
        if not 1 <= len(names) == len(palette) == len(ids) <= MAX_NAMES:
            raise ValueError(f"expected 1 to {MAX_NAMES} names, with as many colours and ids")
        if not all(isinstance(name, str) and not unprintable(name) for name in names):
            raise ValueError("names must be texts without control characters")
        if not all(type(i) is int and 0 <= i <= 65535 for i in (*ids, *(void_ids or ()))):
            raise ValueError("ids must be whole numbers 0..65535")
        if not all(_is_color(color) for color in (*palette, *void_colors)):
            raise ValueError("every colour must be three whole numbers 0..255")
        return cls(names, palette, ids, void_ids, void_colors)


CITYSCAPES = ClassTable(
    names=(
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
        *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ),
    palette=(
        *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153)),
        *((250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60)),
        *((255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
    ),
    ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),  # the official labelIds
    void_ids=None,
    void_colors=(
        # unlabelled, static, dynamic, ground, parking, rail track, guard rail, bridge, tunnel, caravan, trailer; GTA's
        *((0, 0, 0), (20, 20, 20), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180)),
        *((150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
    ),
)


def read_class_table(path: Path) -> ClassTable:
    """Read `classes.json`: "names", "palette" (an RGB triple for each name) and "void" (its id in the files).

    A file's ids 0 .. n-1 are the names in order. `void` may also be one of them (as id 0 in some data sets): then
    that name is void, and the others are the classes.

    Raises:
        UserError: The file is missing or does not have this form.
    """
    try:
        values = read_json(path)
        names, palette, void = list(values["names"]), [tuple(c) for c in values["palette"]], values["void"]
    except FileNotFoundError as error:
        raise UserError(f"no {path}; expected a file with the data set's names, palette and void id") from error
    except KeyError as error:
        raise UserError(f"{path} has no {error}; expected names, palette and void") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read {path}: {error}; expected an object with names, palette and void") from error
    if not names or len(names) > MAX_NAMES or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: names must be 1 to {MAX_NAMES} texts, found {len(names)}")
    for name in filter(unprintable, names):
        raise UserError(f"{path}: the name {reprlib.repr(name)} has a line break or another control character")
    if len(palette) != len(names):
        raise UserError(f"{path}: {len(palette)} palette colours for {len(names)} names; expected one for each")
    if not all(map(_is_color, palette)):
        raise UserError(f"{path}: every palette colour must be three whole numbers 0..255")
    if len(set(palette)) != len(palette):
        twice = next(c for c in palette if palette.count(c) > 1)
        raise UserError(f"{path}: the palette has {twice} twice; expected a colour of its own for each class")
    if isinstance(void, bool) or not isinstance(void, int) or not 0 <= void <= 65535:
        raise UserError(f"{path}: void is {reprlib.repr(void)}; expected the id of void pixels in the layout files")
    ids = [i for i in range(len(names)) if i != void]
    if not ids:
        raise UserError(f"{path}: the only name, {names[0]!r}, is void; expected at least one class besides")
    colors = (palette[void],) if void < len(names) else () if (0, 0, 0) in palette else ((0, 0, 0),)
    return ClassTable(tuple(names[i] for i in ids), tuple(palette[i] for i in ids), tuple(ids), (void,), colors)


def _is_color(color: tuple[Any, ...]) -> bool:
    return len(color) == 3 and all(type(value) is int and 0 <= value <= 255 for value in color)


def packed(rgb: NDArray[Any]) -> NDArray[np.int32]:
    """[..., 3] -> [...]: a colour as one number, red << 16 | green << 8 | blue."""
    red, green, blue = (rgb[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue
