"""Finding where a data set keeps its layouts and photographs, by the shapes of folders that are recognized.

What a folder is, is seen from the folders in it; the archives of a data set may be unpacked there, into a folder inside
of it, or each into a folder of its own.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crn_tf.data.pairing import Chosen
from crn_tf.data.picture_files import files_inside, folders, is_picture, pictures
from crn_tf.data.split_lists import SPLITS, split_lists
from crn_tf.data.tree_shapes import CITY, OWN, RELEASE, SHAPES, Kind, Shape
from crn_tf.errors import UserError

_PHOTO_FOLDERS = ("photos", "images", "img", "jpegimages", "image", "imgs")
_LAYOUT_FOLDERS = (
    *("labels", "masks", "gt", "annotations", "segmentationclasspng", "segmentationclass", "label", "mask", "seg"),
)
_DEPTH = 2  # folders that may be around a data set
_MOST_FOLDERS = 200  # with more, a folder is no archive's


@dataclass(frozen=True)
class Part:
    """A split: the folders of its layouts and photographs, and which files there belong to it.

    Attributes:
        layouts: The folder of its layouts.
        photos: The folder of its photographs.
        chosen: Which names belong to it; None takes all.
        shared: The folder that has other splits' files too: what has no partner there is none of this split's.
    """

    layouts: Path
    photos: Path
    chosen: Chosen | None = None
    shared: Literal["layouts", "photos"] | None = None


@dataclass(frozen=True)
class Tree:
    """A data set's folders.

    Attributes:
        shape: Which shape they have.
        root: The folder they lie in.
        parts: By the splits' names.
    """

    shape: Shape
    root: Path
    parts: dict[str, Part]


def find_tree(root: Path, kind: Kind | None, height: int = 256) -> Tree | None:
    """Find a data set's folders in a folder, or in one inside of it.

    Args:
        root: The folder.
        kind: The only kind to look for; None for all.
        height: Chooses between the release's folders.

    Raises:
        UserError: There are several data sets, or a name cannot be shown in one line.
    """
    tops = [root]
    for depth in range(_DEPTH + 1):
        found = list(_trees(root, tops, kind, height))
        if len(found) > 1:
            first, second = found[:2]
            raise UserError(
                f"{root} has several data sets, {first.root} ({first.shape.kind}) and {second.root} "
                f"({second.shape.kind}); expected the folder of one of them"
            )
        if found:
            return found[0]
        if pictures(root):  # a folder of layouts, whatever lies in it besides
            break
        if depth < _DEPTH:
            tops = [inside for top in tops for inside in folders(top) if os.access(inside, os.R_OK | os.X_OK)]
        if len(tops) > _MOST_FOLDERS:
            break
    return None


def _trees(root: Path, tops: Sequence[Path], kind: Kind | None, height: int) -> Iterator[Tree]:
    """The data sets whose folders lie in some folders: together in one of them, or one for each half."""
    taken: set[Path] = set()
    for shape in (shape for shape in SHAPES if kind in (None, shape.kind)):
        free = [top for top in tops if top not in taken]
        layouts = {top: found for top in free if (found := by_split(top, shape.layouts)) and _fits(shape, top)}
        photos = {top: found for top in free if (found := by_split(top, shape.photos))} if layouts else {}
        together = [top for top in layouts if top in photos or (shape.alone and tops == [root])]
        apart = len(layouts) == len(photos) == 1 and not together
        for top in layouts if apart else together:
            other = next(iter(photos)) if apart else top
            yield _tree(shape, root if apart else top, layouts[top], photos.get(other, {}), other)
            taken |= {top, other}
    for top in (top for top in tops if top not in taken):
        tree = _one_city(top, kind) or _release(top, kind, height) or _own(top, kind, alone=top == root)
        if tree:
            yield tree


def _fits(shape: Shape, top: Path) -> bool:
    folder = top / shape.layouts.partition("{split}")[0]
    return shape.holds(folder) and (shape.kind != "voc" or (top / shape.lists[0]).is_dir())


def _tree(shape: Shape, root: Path, layouts: dict[str, Path], photos: dict[str, Path], top: Path) -> Tree:
    """The splits of folders that were found, without a validation split that is empty."""
    flat = [_is_flat(found, pattern) for found, pattern in ((layouts, shape.layouts), (photos, shape.photos))]
    if flat == [False, True] and len(layouts) > 1:
        parts = {split: Part(folder, photos["train"], shared="photos") for split, folder in layouts.items()}
        return Tree(shape, root, parts)
    if flat == [True, False] and len(photos) > 1:
        parts = {split: Part(layouts["train"], folder, shared="layouts") for split, folder in photos.items()}
        return Tree(shape, root, parts)
    chosen = Chosen(lambda name: bool(re.search(shape.names, name.rpartition("/")[2]))) if shape.names else None
    parts = {
        split: Part(folder, photos.get(split) or top / shape.photos.format(split=folder.name), chosen)
        for split, folder in layouts.items()
        if split != "val" or any(map(is_picture, files_inside(folder)))
    }
    if list(parts) == ["train"]:
        parts = _listed(shape, root, parts["train"]) or parts
    return Tree(shape, root, parts)


def _is_flat(found: dict[str, Path], pattern: str) -> bool:
    """Whether a folder that may have splits in it has pictures instead."""
    folder = pattern.removesuffix("/{split}")
    return pattern != folder and list(found) == ["train"] and found["train"].parts[-1] == Path(folder).name


def by_split(top: Path, pattern: str) -> dict[str, Path]:
    """The folders that a pattern of a shape stands for, by the splits' names.

    Raises:
        UserError: The name of a folder cannot be shown in one line.
    """
    components = pattern.split("/") if pattern else []
    at = next((i for i, component in enumerate(components) if "{split}" in component), None)
    if at is None:
        folder = top / pattern
        return {"train": folder} if folder.is_dir() else {}
    base = top.joinpath(*components[:at])
    if not base.is_dir():
        return {}
    name = re.compile(re.escape(components[at]).replace(re.escape("{split}"), "(.+)"))
    found: dict[str, Path] = {}
    for inside in folders(base):
        match = name.fullmatch(inside.name)
        folder = inside.joinpath(*components[at + 1 :])
        if match and folder.is_dir():
            split = SPLITS.get(match[1].lower(), match[1])
            found.setdefault(match[1] if split in found else split, folder)
    known = {split: folder for split, folder in found.items() if split in SPLITS.values()}
    if not pattern.endswith("/{split}"):  # any folder could be another's split
        return known
    if known:
        return found
    return {"train": base} if any(map(is_picture, files_inside(base))) else {}


# --- shapes that a pattern does not tell


def _one_city(top: Path, kind: Kind | None) -> Tree | None:
    """Photographs and layouts of Cityscapes that lie beside each other."""
    if kind not in (None, "cityscapes"):
        return None
    stems = [path.stem for path in pictures(top)]
    layouts, photos = (
        any(stem.endswith(endings) for stem in stems) for endings in (CITY.layout_endings, CITY.photo_endings)
    )
    return Tree(CITY, top, {"train": Part(top, top)}) if layouts and photos else None


def _release(top: Path, kind: Kind | None, height: int) -> Tree | None:
    """The release's flat folders: the smallest that is tall enough; 100001 and up are the validation split."""
    if kind not in (None, "release"):
        return None
    heights = sorted(int(p.name[5:-4]) for p in top.glob("Label*Full") if p.name[5:-4].isdigit())
    if not heights:
        return None
    chosen = next((h for h in heights if h >= height), heights[-1])
    numbers = {path.stem for h in heights for path in pictures(top / f"Label{h}Full")}
    found = sorted({_release_split(number) for number in numbers if number.isdigit()})

    def part(split: str) -> Part:
        belongs = Chosen(lambda name: name.isdigit() and _release_split(name) == split)
        return Part(top / f"Label{chosen}Full", top / f"RGB{chosen}Full", belongs)

    return Tree(RELEASE, top, {split: part(split) for split in found})


def _release_split(number: str) -> str:
    return "val" if int(number) > 100_000 else "train"


def _own(top: Path, kind: Kind | None, alone: bool) -> Tree | None:
    """One's own data: folders of photographs and of labels with a split's folders inside, or the other way round.

    Raises:
        UserError: Several folders could be those of the photographs or of the labels.
    """
    if kind not in (None, "folder"):
        return None
    layouts, photos = OWN.layouts, OWN.photos
    if not ((top / "labels").is_dir() and (top / "photos").is_dir()):
        patterns = _other_words(top)
        if not patterns and not (alone and (top / "labels").is_dir()):
            return None
        layouts, photos = patterns or (layouts, photos)
    found = by_split(top, layouts)
    shape = replace(OWN, layouts=layouts, photos=photos)
    return _tree(shape, top, found, by_split(top, photos), top) if found else None


def _other_words(top: Path) -> tuple[str, str] | None:
    """Patterns for layouts and photographs in folders that are called by other words, in either order."""
    inside = next((path for path in folders(top) if path.name.lower() in SPLITS), None)
    for folder, pattern in ((top, "{}/{{split}}"), (inside, "{{split}}/{}")):
        if folder:
            layouts, photos = (_part_folder(folder, words) for words in (_LAYOUT_FOLDERS, _PHOTO_FOLDERS))
            if layouts and photos:
                return pattern.format(layouts), pattern.format(photos)
    return None


def _part_folder(folder: Path, words: Sequence[str]) -> str | None:
    """The folder in a folder that is called by one of the words and has pictures in it.

    Raises:
        UserError: There are several.
    """
    called = {path.name.lower(): path for path in folders(folder)}
    found = [called[word] for word in words if word in called and any(map(is_picture, files_inside(called[word])))]
    if len(found) > 1:
        raise UserError(
            f"{found[0]} and {found[1]} could both be meant; expected one of them: move the other elsewhere"
        )
    return found[0].name if found else None


def _listed(shape: Shape, root: Path, part: Part) -> dict[str, Part]:
    """The splits of a folder that lists name: NAME.txt, with a photograph's name or path in each line.

    Where only other lists are there, the split train is what they do not name.

    Raises:
        UserError: A list cannot be read.
    """
    lists = next(
        (found for place in shape.lists if (found := split_lists(root / place))),
        {},
    )
    parts = {split: Part(part.layouts, part.photos, _chosen(names)) for split, names in lists.items()}
    if parts and "train" not in parts:
        taken = frozenset().union(*lists.values())
        rest = Chosen(lambda name: name not in taken and name.rpartition("/")[2] not in taken)
        parts["train"] = Part(part.layouts, part.photos, rest)
    return parts


def _chosen(names: frozenset[str]) -> Chosen:
    return Chosen(lambda name: name in names or name.rpartition("/")[2] in names, names)
