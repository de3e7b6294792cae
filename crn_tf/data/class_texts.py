"""Lists of classes as people write them, in text: one class in each line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crn_tf.data.class_lists import (
    BY_NAME,
    MAX_NAMES,
    ClassList,
    ClassListError,
    brief,
    label_color,
    name_ids,
    read_color,
    void_ids,
    wrong_names,
)

_HEX_IN_TEXT = re.compile(r"#([0-9a-fA-F]{6})\b")
_BETWEEN = " \t,;:|"  # the columns of a text
_BEFORE = re.compile(rf"[0-9]{{1,9}}(?:[{_BETWEEN}]+|$)")
_AFTER = re.compile(rf"[{_BETWEEN}]+([0-9]{{1,9}})$")
_LONGEST_LINE = 300  # characters
_HEADINGS = {"name", "names", "class", "label", "id", "index", "r", "g", "b", "red", "green", "blue", "color", "colour"}


@dataclass(frozen=True)
class _Line:
    """A line that names a class."""

    number: int  # in the file
    text: str
    before: list[int]  # numbers at its begin
    after: list[int]  # and at its end


def parse_text_list(text: str) -> ClassList:
    """The classes that a text describes, one a line; which columns are numbers says what they are.

    A line is a name with a colour before it or after it (`0 128 192 Bicyclist`, `sky 70 130 180`, `sky #4682b4`), or a
    name alone, whose colour is then Pascal VOC's for its id. A number before all that is the id; else ids are 0, 1, ...
    in the lines' order (LabelMe's `__ignore__` is 255 then, and not counted). Columns are separated by blanks, commas,
    semicolons or colons. Empty lines, comments (#), and headings in the first line are left out.

    Raises:
        ClassListError: The lines are of different kinds, or what their numbers mean cannot be told.
    """
    lines = _lines(text)
    leading, trailing = _columns(lines)
    names = [_name(line.text, leading, trailing) for line in lines]
    if not all(names):
        raise ClassListError(f": line {lines[names.index('')].number} has no name; expected name r g b")
    ids = name_ids(names, [line.before[0] for line in lines]) if leading in (1, 4) else _counted(names)
    if leading < 3 and not trailing:
        colors = [label_color(i % 256) for i in ids]
    else:
        colors = [read_color(line.after[-3:] if trailing else line.before[leading - 3 : leading]) for line in lines]
    return ClassList(tuple(names), tuple(colors), ids, void_ids(BY_NAME, names, ids))


def _columns(lines: Sequence[_Line]) -> tuple[int, int]:
    """How many numbers stand before each name, and how many after it. What is more of them belongs to the name.

    Raises:
        ClassListError: It differs, or what the numbers mean cannot be told.
    """
    before, after = ([len(getattr(line, side)) for line in lines] for side in ("before", "after"))
    if min(before) in (3, 4) and min(after) < 3:
        if min(before) == 4 and all(line.before[3] == 255 for line in lines):
            raise ClassListError(" has r g b and opacity before each name; expected r g b alone, or an id and r g b")
        return min(before), 0
    if min(after) == 3 and min(before) < 2:
        return min(before), 3
    if max(*before, *after) < 3 and min(after) == 0 and min(before) < 2:
        return min(before), 0
    odd = min(lines, key=lambda line: len(line.before) + len(line.after))
    forms = "name r g b, or r g b name, with an id before that or without, or a name alone"
    raise ClassListError(f": line {odd.number} is {brief(odd.text)}; expected {forms}, the same in every line")


def _lines(text: str) -> list[_Line]:
    """The lines that name classes.

    Raises:
        ClassListError: There are none or too many, one is far too long, or the first is of headings that say another
            order of colours.
    """
    lines = [(n, line.strip(" \t")) for n, line in enumerate(re.split("\r\n|\r|\n", text), start=1)]
    lines = [(n, line) for n, line in lines if line and (line[0] != "#" or _HEX_IN_TEXT.match(line))]
    for n, line in lines:
        if len(line) > _LONGEST_LINE:
            raise ClassListError(f": line {n} has {len(line):,} characters; expected a class: name r g b")
    if lines and _headings(lines[0][1]):
        del lines[0]
    if not 1 <= len(lines) <= MAX_NAMES:
        raise ClassListError(wrong_names(len(lines)) + ", one in each line: name r g b")
    plain = ((n, _HEX_IN_TEXT.sub(_spelled_out, line).strip(_BETWEEN)) for n, line in lines)
    return [_Line(n, line, _numbers_before(line), _numbers_after(line)) for n, line in plain]


def _headings(line: str) -> bool:
    """Whether a line has the columns' names.

    Raises:
        ClassListError: They say that colours are not red, green, blue.
    """
    words = [word.strip('"').casefold() for word in re.split(f"[{_BETWEEN}]+", line)]
    if len(words) < 2 or not set(words) <= _HEADINGS:
        return False
    if "".join(word[0] for word in words if word in ("r", "g", "b", "red", "green", "blue")) not in ("", "rgb"):
        raise ClassListError(f" has the columns {brief(line)}; expected red, green and blue in this order")
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
