"""Folders of pictures that methods made of layouts, found by the layouts' names."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from crn_tf.data.datasets import DataSet, FileDataSet
from crn_tf.data.picture_files import pictures
from crn_tf.errors import UsageError, UserError

CONTACT_SHEET = "contact_sheet.png"  # what test.py writes beside them


def parse_folder(text: str, option: str, taken: Iterable[str] = ()) -> tuple[str, Path]:
    """A method's name and folder, from NAME=FOLDER.

    Args:
        text: As it was given.
        option: By which it was given, such as `--images`.
        taken: Names that are no method's, or another's.

    Raises:
        UsageError: The text is not like that, the name is taken, or there is no such folder.
    """
    name, is_, folder = text.partition("=")
    if not (is_ and name and folder):
        raise UsageError(f"{option} {text}: expected NAME=FOLDER, such as SPADE=results/spade")
    if name in taken:
        raise UsageError(f"{option} {text}: the name {name!r} is taken; give each method one of its own")
    if not Path(folder).is_dir():
        raise UsageError(f"{option} {text}: there is no folder {folder}")
    return name, Path(folder)


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
            if file.name == CONTACT_SHEET:
                continue
            if file.stem in self._by_stem:
                raise UserError(f"{self._by_stem[file.stem]} and {file} have the same name: which one is meant?")
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
            several: list[Path] = []
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
