"""What label files are called beside their photographs: found from all names of a folder, looked at as a set.

A label is called like its photograph, or has something before or behind that which is the same for all labels
(`street_1.jpg`, `street_1_mask.png`). Names that look alike are alike: composed and decomposed letters are the same.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crn_tf.data.images import SUFFIXES
from crn_tf.errors import UserError

# Of several files for a photograph, these tell its classes, best first; then the one that is called like it.
ID_ENDINGS = ("labelids", "labeltrainids", "trainids")
_OTHER_KINDS = re.compile(r"instance|colou?r|polygon|overlay|visuali[sz]|vis$|preview|edge|depth|rgb|panoptic", re.I)
_LABEL_WORDS = re.compile(r"label|mask|gt|seg|annot|ground|truth|target|class|^[_.\- ]*l$", re.I)
_PHOTO_WORDS = re.compile(r"image|img|im$|photo|rgb|sat|left|frame|input|camera|raw|picture|pic|color|colour", re.I)


@dataclass(frozen=True)
class Side:
    """The layouts, or the photographs, of a split.

    Attributes:
        folder: Where they lie, at any depth.
        files: The pictures.
        endings: What may stand behind the names of all of them, best first; only files with the first ending that
            occurs belong to the data. Without any, the ending is found from the names.
    """

    folder: Path
    files: Sequence[Path]
    endings: tuple[str, ...] = ()

    def by_key(self) -> dict[str, Path]:
        """The files by their names inside the folder, without ending and suffix.

        Raises:
            UserError: Two files have the same name.
        """
        names = {path: _key(path, self.folder) for path in self.files}
        for ending in self.endings:
            with_it = [path for path, name in names.items() if name.endswith(ending) and name != ending]
            if with_it:
                return _unique((names[path].removesuffix(ending), path) for path in with_it)
        return {} if self.endings else _unique((name, path) for path, name in names.items())


def _key(path: Path, folder: Path) -> str:
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _unique(items: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """The files by their names.

    Raises:
        UserError: Two files have the same name.
    """
    found: dict[str, Path] = {}
    for name, path in items:
        if name in found:
            raise UserError(f"{path} and {found[name]} have the same name; expected one file for each")
        found[name] = path
    return found


@dataclass(frozen=True)
class Matched:
    """Layouts and photographs by what their names have in common."""

    layouts: dict[str, Path]
    photos: dict[str, Path]
    notes: tuple[str, ...] = ()


def match_names(layouts: Side, photo_of: dict[str, Path]) -> Matched:
    """Find out from all names what labels have behind the names of their photographs, if anything.

    Raises:
        UserError: Two layouts have the same name, or each photograph has several labels of different endings.
    """
    layout_of = Side(layouts.folder, without_other_kinds(layouts.files)).by_key()
    by_ending = _endings(layout_of, photo_of)
    most = max((len(found) for found in by_ending.values()), default=0)
    if not most:
        return _match_affixes(layout_of, photo_of)
    rivals = [ending for ending, found in by_ending.items() if 2 * len(found) >= most]
    best = _best_ending(rivals, by_ending, photo_of)
    notes = []
    if best:
        key, path = next(iter(by_ending[best].items()))
        notes.append(
            f"labels end in {best!r} behind the photograph's name: {path.name} belongs to {photo_of[key].name}"
        )
    no_labels = set[Path]()
    for ending in rivals:
        if ending != best:
            others = list(by_ending[ending].values())
            no_labels.update(others)
            notes.append(f"{len(others)} files that end in {ending!r}, like {others[0]}, are not used")
    found = dict(by_ending[best])
    taken = no_labels | set(found.values())
    for key, path in layout_of.items():
        if path not in taken:
            found.setdefault(key.removesuffix(best), path)
    return Matched(found, photo_of, tuple(notes))


def _endings(layout_of: Mapping[str, Path], photo_of: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """For each ending that some layout has behind a photograph's name: those layouts, by the photographs' names."""
    found: dict[str, dict[str, Path]] = {}
    for key, path in layout_of.items():
        for length in range(key.rfind("/") + 2, len(key) + 1):
            name, ending = key[:length], key[length:]
            if name in photo_of and (not ending or re.search(r"[^\W\d_]", ending)):  # digits would be another's number
                kind = ".jpg" if ending.lower() in SUFFIXES else ending
                found.setdefault(kind, {})[name] = path
    return found


def _best_ending(
    rivals: Sequence[str], by_ending: Mapping[str, Mapping[str, Path]], photo_of: Mapping[str, Path]
) -> str:
    """Which of the endings that many labels have tells their classes.

    Raises:
        UserError: Several could.
    """
    for word in ID_ENDINGS:
        for ending in rivals:
            if ending.lower().endswith(word):
                return ending
    if "" in rivals:
        return ""
    plain = [ending for ending in rivals if not _OTHER_KINDS.search(ending)] or list(rivals)
    if len(plain) > 1:
        examples = " and ".join(str(next(iter(by_ending[ending].values()))) for ending in plain[:2])
        photo = photo_of[next(iter(by_ending[plain[0]]))]
        raise UserError(f"{photo} has several labels, {examples}; expected one for each: move the others elsewhere")
    return plain[0]


def without_other_kinds(files: Sequence[Path]) -> list[Path]:
    """Label files, without those that show the same labels in another way.

    Cityscapes' tools write `NAME_labelIds.png`, and beside it `NAME_instanceIds.png`, `NAME_color.png` and
    `NAME_labelTrainIds.png`.
    """
    ids = "labelIds"
    bases = {(path.parent, path.stem.removesuffix(ids)) for path in files if path.stem.endswith(f"_{ids}")}

    def is_other(path: Path) -> bool:
        return any(
            path.stem.endswith(word) and (path.parent, path.stem.removesuffix(word)) in bases for word in _OTHER_WORDS
        )

    return [path for path in files if not is_other(path)]


_OTHER_WORDS = ("instanceIds", "color", "labelTrainIds", "instanceTrainIds")


def _match_affixes(layout_of: dict[str, Path], photo_of: dict[str, Path]) -> Matched:
    """Match names such as `image_1` and `mask_1`, whose parts before or behind what they share say what they are."""
    mine, others = _affixes(layout_of), _affixes(photo_of)
    told = all(a == b or (_says(a, _LABEL_WORDS) and _says(b, _PHOTO_WORDS)) for a, b in zip(mine, others, strict=True))
    if told and mine != others:
        layouts = {_strip(key, *mine): path for key, path in layout_of.items()}
        photos = {_strip(key, *others): path for key, path in photo_of.items()}
        paired = layouts.keys() & photos.keys()
        if 2 * len(paired) >= max(len(layout_of), len(photo_of)):
            key = min(paired)
            note = f"labels have other names: {layouts[key].name} is taken for the label of {photos[key].name}"
            return Matched(layouts, photos, (note,))
    return Matched(layout_of, photo_of)


def _says(affix: str, words: re.Pattern[str]) -> bool:
    return not affix or bool(words.search(affix.strip("_-. ")))


def _affixes(keys: Iterable[str]) -> tuple[str, str]:
    """What all names have before and behind what differs, up to a separator or a digit."""
    names = [key.rpartition("/")[2] for key in keys]
    if len(names) < 2:
        return "", ""
    start, end = _common_start(names), _common_start([name[::-1] for name in names])[::-1]
    before = re.match(r".*[_\-. ]|\D*", start)
    behind = re.search(r"[_\-. ].*$|\D*$", end)
    return before.group() if before else "", behind.group() if behind else ""


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:alike]


def _strip(key: str, prefix: str, ending: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.removeprefix(prefix).removesuffix(ending)
