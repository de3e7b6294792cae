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
import json
import os
import reprlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crn_tf.data import class_lists
from crn_tf.data.class_lists import MAX_NAMES as MAX_NAMES
from crn_tf.data.class_lists import Color as Color
from crn_tf.data.class_lists import is_color
from crn_tf.data.class_texts import parse_text_list
from crn_tf.errors import UserError, unprintable
from crn_tf.files import read_small, write_text


@dataclass(frozen=True)
class ClassTable:
    """The semantic classes of a data set, and how its files write them.

    Attributes:
        names: Of the classes, without void: 1 to 254.
        palette: Colour of each name (red, green, blue, 0..255), in colour layouts and in pictures of layouts. Two names
            may share one if layouts hold ids (see `shared_colors`).
        ids: Id of each name in files of class ids, 0..65535.
        void_ids: Ids that mean void; empty: none does; None: every other id does.
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
        """What grey layout files may hold for each class in memory, void the last.

        Where no id is known to mean void, that is 0, or 255 if 0 is a class.
        """
        others = (i for i in (0, 255, *range(1 << 16)) if i not in self.ids)
        return (*self.ids, self.void_ids[0] if self.void_ids else next(others))

    def for_drawing(self) -> list[dict[str, Any]]:
        """What is needed to draw layouts, as JSON values: of each class, void the last, its id in memory, its name, its
        colour, and its id in PNG layouts (`png_id`).
        """
        void_color = self.void_colors[0] if self.void_colors else (0, 0, 0)
        if not self.void_colors and void_color in self.palette:
            void_color = (255, 0, 255)
        rows = zip((*self.names, "void"), (*self.palette, void_color), self.file_ids, strict=True)
        return [{"id": i, "name": name, "color": color, "png_id": png} for i, (name, color, png) in enumerate(rows)]

    @property
    def shared_colors(self) -> tuple[Color, ...]:
        """Colours of two classes, or of a class and of void: where there are any, colours do not tell the class."""
        used = Counter((*self.palette, *set(self.void_colors)))
        return tuple(color for color, count in used.items() if count > 1)

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

    def require_own_colors(self) -> None:
        """Check that colours tell the class, before layouts are read by them.

        Raises:
            UserError: Two classes share a colour, or a class and void.
        """
        for color in self.shared_colors:
            owners = [name for name, own in zip(self.names, self.palette, strict=True) if own == color]
            both = " and ".join(reprlib.repr(name) for name in (*owners, "void")[:2])
            expected = "expected layouts of ids, or a colour of its own for each in the class table"
            raise UserError(f"{both} have the same colour, {class_lists.hex_color(color)}; {expected}")

    @property
    def class_colors(self) -> dict[Color, int]:
        """Colours that tell a class, or void: all but shared ones."""
        known = dict.fromkeys(self.void_colors, self.void) | {c: i for i, c in enumerate(self.palette)}
        return {color: number for color, number in known.items() if color not in self.shared_colors}

    @cached_property
    def class_of_color(self) -> NDArray[np.uint8]:
        """uint8 [2**24]: class for every colour R << 16 | G << 8 | B, 255 for one outside the palette.

        A colour that two classes share, or a class and void, is marked with 255 too: it tells none of them.
        `require_own_colors` refuses such a table.
        """
        table = np.full(1 << 24, 255, np.uint8)
        known = self.class_colors
        table[packed(np.array(list(known), np.int32).reshape(-1, 3))] = list(known.values())
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
        if not all(is_color(color) for color in (*palette, *void_colors)):
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


CLASS_FILES = ("classes.json", "classes.txt", "label_colors.txt", "labelmap.txt", "class_dict.csv")


def find_class_file(folder: Path) -> Path | None:
    """The file that names a data set's classes: the first of `CLASS_FILES` that lies in its folder, or None."""
    return next((folder / name for name in CLASS_FILES if os.path.lexists(folder / name)), None)


def find_class_table(folder: Path) -> ClassTable | None:
    """Read the file that `find_class_file` finds in a data set's folder; None if there is none.

    Raises:
        UserError: As `read_class_table`.
    """
    path = find_class_file(folder)
    return None if path is None else read_class_table(path)


def read_class_table(path: Path) -> ClassTable:
    """Read the classes of a data set: a JSON object (`classes.json`), or a text with one class in each line.

    docs/data.md says what either may hold. Names that are void are no classes of the table.

    Args:
        path: A file of UTF-8 or UTF-16. It is JSON if its name says so, or its first character is a brace.

    Raises:
        UserError: The file is missing, or does not have this form.
    """
    expected = "an object with names, palette and void"
    try:
        text = class_lists.decode(read_small(path))
        is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
        expected = expected if is_json else "text of UTF-8 with one class in each line"
        listed = class_lists.parse_json_list(text) if is_json else parse_text_list(text)
    except FileNotFoundError as error:
        raise UserError(f"no {path}; expected a file with the data set's names, palette and void id") from error
    except KeyError as error:
        raise UserError(f"{path} has no {error}; expected names, palette and void") from error
    except class_lists.ClassListError as error:
        raise UserError(f"{path}{error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read {path}: {error}; expected {expected}") from error
    return _checked(path, listed)


def _checked(path: Path, listed: class_lists.ClassList) -> ClassTable:
    """The table that a file's list makes.

    Raises:
        UserError: Names cannot be shown, are too many, have no colours of their own, or are all void.
    """
    names, colors, ids, void = listed.names, listed.colors, listed.ids, listed.void
    if not all(isinstance(name, str) for name in names):
        found = next(name for name in names if not isinstance(name, str))
        raise UserError(f"{path}: names must be 1 to {MAX_NAMES} texts, found {reprlib.repr(found)}")
    for name in filter(unprintable, names):
        raise UserError(f"{path}: the name {reprlib.repr(name)} has a line break or another control character")
    if len(colors) != len(names):
        raise UserError(f"{path}: {len(colors)} palette colours for {len(names)} names; expected one for each")
    kept = [number for number, i in enumerate(ids) if i not in (void or ())]
    if not kept:
        found = f"the only name, {reprlib.repr(names[0])}, is" if len(names) == 1 else f"all {len(names)} names are"
        raise UserError(f"{path}: {found} void; expected at least one class besides")
    void_colors = listed.void_colors
    if void_colors is None:  # those of the names that are void, or else black, if any id is
        void_colors = tuple(dict.fromkeys(colors[number] for number in range(len(names)) if number not in kept))
        black = () if (0, 0, 0) in colors or void == () else ((0, 0, 0),)
        void_colors = void_colors or black
    return ClassTable(
        names=tuple(names[number] for number in kept),
        palette=tuple(colors[number] for number in kept),
        ids=tuple(ids[number] for number in kept),
        void_ids=void,
        void_colors=void_colors,
    )


def write_class_table(path: Path, table: ClassTable) -> None:
    """Write a table as a `classes.json` that `read_class_table` reads, one class in each line, to be edited.

    Raises:
        UserError: The file cannot be written.
    """
    entries = zip(table.ids, table.names, map(class_lists.hex_color, table.palette), strict=True)
    void = class_lists.EVERY_OTHER if table.void_ids is None else table.void_ids
    lines = [
        f' "void": {json.dumps(void)},',
        f' "void_colors": {json.dumps([class_lists.hex_color(color) for color in table.void_colors])},',
        ' "classes": [',
        ",\n".join(
            f"  {json.dumps({'id': i, 'name': name, 'color': color}, ensure_ascii=False)}" for i, name, color in entries
        ),
        " ]",
    ]
    write_text(path, "\n".join(["{", *lines, "}", ""]))


def packed(rgb: NDArray[Any]) -> NDArray[np.int32]:
    """[..., 3] -> [...]: a colour as one number, red << 16 | green << 8 | blue."""
    red, green, blue = (rgb[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue
