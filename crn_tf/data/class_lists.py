"""Lists of classes as people write them, JSON or text, in any of the encodings that editors save."""

import codecs
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crn_tf.files import parse_json

Color = tuple[int, int, int]
MAX_NAMES = 254  # with void, and 255 to mark what is none of them, they fit into uint8
EVERY_OTHER = "every other id"  # what "void" says where each id that is no class' is void
MAX_ID = 65535
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
_HEX_IN_TEXT = re.compile(r"#([0-9a-fA-F]{6})\b")
_BETWEEN = " \t,;:|"  # the columns of a text
_BEFORE = re.compile(rf"[0-9]{{1,9}}(?:[{_BETWEEN}]+|$)")
_AFTER = re.compile(rf"[{_BETWEEN}]+([0-9]{{1,9}})$")
_LONGEST_LINE = 1000  # characters
_HEADINGS = {"name", "names", "class", "label", "id", "index", "r", "g", "b", "red", "green", "blue", "color", "colour"}
_BYTE_ORDER_MARKS = (  # UTF-32's begins as UTF-16's does
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
    *((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
)


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


# --- JSON


def parse_json_list(text: str) -> ClassList:
    """The classes that a JSON object describes; docs/data.md says in which forms.

    Raises:
        KeyError: A part is missing: names, or colours.
        TypeError, ValueError: The text is not JSON, or its lists and objects are other things.
        ClassListError: A value is not what it should be.
    """
    values = parse_json(text)
    if not isinstance(values, dict):
        raise TypeError(f"it holds {_brief(values)}")
    if "images_per_layout" in values:
        raise ClassListError(" describes an exported model's classes; expected the data set's own classes.json")
    names = _value(values, "names")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_NAMES:
        raise ClassListError(_wrong_names(len(names) if isinstance(names, list) else _brief(names)))
    void = _value(values, "void", default=_BY_NAME)
    if all(isinstance(item, dict) for item in names):
        colors = [_value(item, "color") for item in names]
        given = [_value(item, "id", default=None) for item in names]
        marked = [number for number, item in enumerate(names) if _value(item, "void", default=False) is True]
        names = [_value(item, "name") for item in names]
        ids = _ids(names, given if any(i is not None for i in given) else None)
        if marked and void is _BY_NAME:
            void = [ids[number] for number in marked]
    else:
        colors = list(_value(values, "palette"))
        ids = _ids(names, _value(values, "ids", default=None))
    void_colors = _value(values, "void_colors", default=None)
    return ClassList(
        names=tuple(names),
        colors=tuple(map(_color, colors)),
        ids=ids,
        void=_void(void, names, ids),
        void_colors=None if void_colors is None else tuple(map(_color, void_colors)),
    )


class ClassListError(ValueError):
    """A list of classes has a value that it may not have. The message goes on after the file's name."""


_BY_NAME = object()  # nothing says what is void: names that mean it are


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


def _ids(names: Sequence[Any], ids: Any) -> tuple[int, ...]:
    """The names' ids, 0 .. n-1 if none are given.

    Raises:
        ClassListError: They are not one for each name, or two are the same.
    """
    if ids is None:
        return tuple(range(len(names)))
    if not isinstance(ids, list) or len(ids) != len(names):
        found = f"{len(ids)} ids" if isinstance(ids, list) else f"ids {_brief(ids)}"
        raise ClassListError(f" has {found} for {len(names)} names; expected a list with one for each")
    owner: dict[int, Any] = {}
    for i, name in zip(ids, names, strict=True):
        if not _is_id(i):
            raise ClassListError(f" has the id {_brief(i)}; expected whole numbers 0..{MAX_ID}, one for each name")
        if i in owner:
            both = f"{_brief(owner[i])} and {_brief(name)}"
            raise ClassListError(f" gives the id {i} to {both}; expected an id of its own for each name")
        owner[i] = name
    return tuple(ids)


def _void(void: Any, names: Sequence[Any], ids: Sequence[int]) -> tuple[int, ...] | None:
    """Ids that mean void, where "void" may be an id, a name, a list of those, or None for none.

    Raises:
        ClassListError: It is something else.
    """
    if void is _BY_NAME:
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
            raise ClassListError(f": void is {_brief(item)}; expected {expected}")
        found |= dict.fromkeys(named or [item])
    return tuple(found)


def _color(value: Any) -> Color:
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
        raise ClassListError(f": every palette colour must be {expected}; found {_brief(value)}")
    red, green, blue = color
    return red, green, blue


def is_color(color: tuple[Any, ...]) -> bool:
    """Whether these are a colour's red, green and blue."""
    return len(color) == 3 and all(type(value) is int and 0 <= value <= 255 for value in color)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ID


def _means_void(name: Any) -> bool:
    return isinstance(name, str) and name.strip("_ ").casefold() in _VOID_NAMES


def _brief(value: Any) -> str:
    return reprlib.repr(value)


def _wrong_names(found: int | str) -> str:
    return f": names must be 1 to {MAX_NAMES} texts, found {found}"


# --- text


def parse_text_list(text: str) -> ClassList:
    """The classes that a text describes, one a line; which columns are numbers says what they are.

    A line is a name with a colour before it or after it (`0 128 192 Bicyclist`, `sky 70 130 180`, `sky #4682b4`), or a
    name alone, whose colour is then Pascal VOC's for its id. A number before all that is the id; else ids are 0, 1, ...
    in the lines' order (LabelMe's `__ignore__` is 255 then, and not counted). Columns are separated by blanks, commas,
    semicolons or colons. Empty lines, comments (#), and headings in the first line are left out.

    Raises:
        ClassListError: The lines are of different kinds, or what their numbers mean cannot be told.
    """
    lines = {n: " ".join(_HEX_IN_TEXT.sub(_spelled_out, line).split()).strip(_BETWEEN) for n, line in _lines(text)}
    if not 1 <= len(lines) <= MAX_NAMES:
        raise ClassListError(_wrong_names(len(lines)) + ", one in each line: name r g b")
    for n, line in lines.items():
        if len(line) > _LONGEST_LINE:
            raise ClassListError(f": line {n} has {len(line):,} characters; expected a class: name r g b")
    before = {n: _numbers_before(line) for n, line in lines.items()}
    after = {n: _numbers_after(line) for n, line in lines.items()}
    fewest, last = (min(map(len, numbers.values())) for numbers in (before, after))
    most = max(len(numbers) for numbers in (*before.values(), *after.values()))
    if fewest in (3, 4) and last < 3:
        leading, trailing = fewest, 0
    elif last == 3 and fewest < 2:
        leading, trailing = fewest, 3
    elif most < 3 and last == 0 and fewest < 2:
        leading, trailing = fewest, 0
    else:
        odd = min(lines, key=lambda n: len(before[n]) + len(after[n]))
        forms = "name r g b, or r g b name, with an id before that or without, or a name alone"
        raise ClassListError(f": line {odd} is {_brief(lines[odd])}; expected {forms}, the same in every line")
    if leading == 4 and all(numbers[3] == 255 for numbers in before.values()):
        raise ClassListError(" has r g b and opacity before each name; expected r g b alone, or an id and r g b")
    names = [_name(line, leading, trailing) for line in lines.values()]
    if not all(names):
        raise ClassListError(f": line {list(lines)[names.index('')]} has no name; expected name r g b")
    ids = _ids(names, [numbers[0] for numbers in before.values()]) if leading in (1, 4) else _counted(names)
    if leading < 3 and not trailing:
        colors = [label_color(i % 256) for i in ids]
    else:
        colors = [_color(after[n][-3:] if trailing else before[n][leading - 3 : leading]) for n in lines]
    return ClassList(tuple(names), tuple(colors), ids, _void(_BY_NAME, names, ids))


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that name classes, each with its number in the file."""
    lines = [(n, line.strip()) for n, line in enumerate(re.split("\r\n|\r|\n", text), start=1)]
    lines = [(n, line) for n, line in lines if line and (line[0] != "#" or _HEX_IN_TEXT.match(line))]
    if lines and _headings(lines[0][1]):
        del lines[0]
    return lines


def _headings(line: str) -> bool:
    """Whether a line has the columns' names.

    Raises:
        ClassListError: They say that colours are not red, green, blue.
    """
    words = [word.strip('"').casefold() for word in re.split(f"[{_BETWEEN}]+", line)]
    if len(words) < 2 or not set(words) <= _HEADINGS:
        return False
    if "".join(word[0] for word in words if word in ("r", "g", "b", "red", "green", "blue")) not in ("", "rgb"):
        raise ClassListError(f" has the columns {_brief(line)}; expected red, green and blue in this order")
    return True


def _spelled_out(match: re.Match[str]) -> str:
    return " {} {} {} ".format(*bytes.fromhex(match[1]))


def _numbers_before(line: str) -> list[int]:
    found, position = [], 0
    while match := _BEFORE.match(line, position):
        found.append(int(match[0].rstrip(_BETWEEN)))
        position = match.end()
    return found


def _numbers_after(line: str) -> list[int]:
    found: list[int] = []
    while match := _AFTER.search(line):
        found.insert(0, int(match[1]))
        line = line[: match.start()]
    return found


def _name(line: str, leading: int, trailing: int) -> str:
    """What is left of a line without so many numbers at its ends."""
    for _ in range(leading):
        line = _BEFORE.sub("", line, count=1)
    for _ in range(trailing):
        line = _AFTER.sub("", line)
    return line.strip(_BETWEEN + '"')


def _counted(names: Sequence[str]) -> tuple[int, ...]:
    """Ids 0, 1, ... in the order of names; LabelMe's tools write 255 for what its lists call `__ignore__`."""
    ignored = [name == "__ignore__" for name in names]
    return tuple(255 if skip else n - sum(ignored[:n]) for n, skip in enumerate(ignored))
