"""Lists of classes as people write them, in JSON, and in any of the encodings that editors save."""

import codecs
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crn_tf.files import parse_json

Color = tuple[int, int, int]
MAX_NAMES = 254  # with void, and 255 to mark what is none of them, they fit into uint8
MAX_ID = 65535
EVERY_OTHER = "every other id"  # what "void" says where each id that is no class' is void
BY_NAME = object()  # nothing says what is void: names that mean it are
_KEYS = {  # spellings, the first of which is the one that messages tell
    "names": ("names", "classes", "labels", "categories"),
    "palette": ("palette", "colors", "colours"),
    "ids": ("ids",),
    "void": ("void", "void_id", "void_ids", "ignore", "ignore_id", "ignore_index", "ignore_label"),
    "void_colors": ("void_colors", "void_colours"),
    "name": ("name", "label", "class"),  # these in the objects of a list of classes
    "color": ("color", "colour", "rgb"),
    "id": ("id", "index"),
}
_VOID_NAMES = ("void", "unlabeled", "unlabelled", "ignore", "ignored")
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_BYTE_ORDER_MARKS = (  # UTF-32's begins as UTF-16's does
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
    *((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
)


class ClassListError(ValueError):
    """A list of classes has a value that it may not have. The message goes on after the file's name."""


@dataclass(frozen=True)
class ClassList:
    """What a list of classes says, in its order.

    Attributes:
        names: Whatever stands for the names: not yet known to be texts that can be shown.
        colors: One for each name.
        ids: Of each name in files of ids, 0..65535, each another one.
        void: Ids that mean void, names' or others; None: every id that is no name's.
        void_colors: Colours that mean void; None: the list does not say.
    """

    names: tuple[Any, ...]
    colors: tuple[Color, ...]
    ids: tuple[int, ...]
    void: tuple[int, ...] | None
    void_colors: tuple[Color, ...] | None = None


def decode(content: bytes) -> str:
    """The text that a file holds: UTF-8, or UTF-16 or UTF-32, with a byte order mark or without.

    Raises:
        ValueError: It is none of these.
    """
    found = next(((mark, encoding) for mark, encoding in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if found is None:  # no text of UTF-8 begins with a zero byte, or has one after its first letter
        found = b"", "utf-8" if content[:2].count(0) != 1 else "utf-16-be" if content[0] == 0 else "utf-16-le"
    mark, encoding = found
    try:
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not {encoding.upper()} ({error.reason}): save it as UTF-8") from error


def label_color(number: int) -> Color:
    """Pascal VOC's colour of a label 0..255, which many tools use: its bits, three by three, from the highest."""
    red, green, blue = (sum((number >> 3 * k + channel & 1) << 7 - k for k in range(8)) for channel in range(3))
    return red, green, blue


def hex_color(color: Color) -> str:
    """A colour as "#4682b4"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def parse_json_list(text: str) -> ClassList:
    """The classes that a JSON object describes; docs/data.md says in which forms.

    Raises:
        KeyError: A part is missing: names, or colours.
        TypeError, ValueError: The text is not JSON, or its lists and objects are other things.
        ClassListError: A value is not what it should be.
    """
    values = parse_json(text)
    if not isinstance(values, dict):
        raise TypeError(f"it holds {brief(values)}")
    if "images_per_layout" in values:
        raise ClassListError(" describes an exported model's classes; expected the data set's own classes.json")
    names = _value(values, "names")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_NAMES:
        raise ClassListError(wrong_names(len(names) if isinstance(names, list) else brief(names)))
    void = _value(values, "void", default=BY_NAME)
    if all(isinstance(item, dict) for item in names):
        colors = [_value(item, "color") for item in names]
        given = [_value(item, "id", default=None) for item in names]
        marked = [number for number, item in enumerate(names) if _value(item, "void", default=False) is True]
        names = [_value(item, "name") for item in names]
        ids = name_ids(names, given if any(i is not None for i in given) else None)
        if marked and void is not BY_NAME:
            raise ClassListError(" says what is void beside its classes and in them; expected one of both")
        void = [ids[number] for number in marked] or void
    else:
        colors = list(_value(values, "palette"))
        ids = name_ids(names, _value(values, "ids", default=None))
    void_colors = _value(values, "void_colors", default=None)
    return ClassList(
        names=tuple(names),
        colors=tuple(map(read_color, colors)),
        ids=ids,
        void=void_ids(void, names, ids),
        void_colors=None if void_colors is None else tuple(map(read_color, void_colors)),
    )


def _value(values: dict[str, Any], key: str, **default: Any) -> Any:
    """What an object has under one of a key's spellings.

    Raises:
        KeyError: Nothing, and there is no default.
        ClassListError: It has two of them.
    """
    found = [spelling for spelling in _KEYS[key] if spelling in values]
    if len(found) > 1:
        raise ClassListError(f" has both {found[0]!r} and {found[1]!r}; expected one of them")
    if not found and "default" in default:
        return default["default"]
    return values[found[0] if found else key]


def name_ids(names: Sequence[Any], ids: Any) -> tuple[int, ...]:
    """The names' ids, 0 .. n-1 if none are given.

    Raises:
        ClassListError: They are not one for each name, or two are the same.
    """
    if ids is None:
        return tuple(range(len(names)))
    if not isinstance(ids, list) or len(ids) != len(names):
        found = f"{len(ids)} ids" if isinstance(ids, list) else f"ids {brief(ids)}"
        raise ClassListError(f" has {found} for {len(names)} names; expected a list with one for each")
    owner: dict[int, Any] = {}
    for i, name in zip(ids, names, strict=True):
        if not _is_id(i):
            raise ClassListError(f" has the id {brief(i)}; expected whole numbers 0..{MAX_ID}, one for each name")
        if i in owner:
            both = f"{brief(owner[i])} and {brief(name)}"
            raise ClassListError(f" gives the id {i} to {both}; expected an id of its own for each name")
        owner[i] = name
    return tuple(ids)


def void_ids(void: Any, names: Sequence[Any], ids: Sequence[int]) -> tuple[int, ...] | None:
    """Ids that mean void, where "void" may be an id, a name, a list of those, or None for none.

    Raises:
        ClassListError: It is something else.
    """
    if void is BY_NAME:
        return tuple(i for i, name in zip(ids, names, strict=True) if _means_void(name))
    named_so: dict[str, list[int]] = {}
    for i, name in zip(ids, names, strict=True):
        if isinstance(name, str):
            named_so.setdefault(name, []).append(i)
    found: dict[int, None] = {}  # each once, in their order
    for item in [] if void is None else void if isinstance(void, list) else [void]:
        named = named_so.get(item, []) if isinstance(item, str) else []
        if not named and void == EVERY_OTHER:
            return None
        if not named and not _is_id(item):
            expected = "the id of void pixels in the layout files, a list of such ids, or null if there are none"
            raise ClassListError(f": void is {brief(item)}; expected {expected}")
        found |= dict.fromkeys(named or [item])
    return tuple(found)


def read_color(value: Any) -> Color:
    """[70, 130, 180] or "#4682b4" as a colour.

    Raises:
        TypeError: It is neither a list nor a text.
        ClassListError: It is no colour.
    """
    if isinstance(value, str):
        match = _HEX.fullmatch(value.strip())
        color = tuple(bytes.fromhex(match[1])) if match else ()
    else:
        color = tuple(value)
    if not is_color(color):
        expected = 'three whole numbers 0..255, or a text such as "#4682b4"'
        raise ClassListError(f": every palette colour must be {expected}; found {brief(value)}")
    red, green, blue = color
    return red, green, blue


def is_color(color: tuple[Any, ...]) -> bool:
    """Whether these are a colour's red, green and blue."""
    return len(color) == 3 and all(type(value) is int and 0 <= value <= 255 for value in color)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ID


def _means_void(name: Any) -> bool:
    return isinstance(name, str) and name.strip("_ ").casefold() in _VOID_NAMES


def brief(value: Any) -> str:
    """A value as messages show it: in one line, and short."""
    return reprlib.repr(value)


def wrong_names(found: int | str) -> str:
    """What is said of too few names, too many, or something else."""
    return f": names must be 1 to {MAX_NAMES} texts, found {found}"
