"""Layout files that are given one by one, or by their folders, without photographs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import Convention
from crn_tf.data.file_pairs import FileDataSet
from crn_tf.data.label_names import without_other_kinds
from crn_tf.data.pairing import Pair
from crn_tf.data.picture_files import foreign, named_well, pictures
from crn_tf.errors import UserError


def layout_files(paths: Iterable[Path]) -> list[Path]:
    """Layout files named one by one or by their folders, in order.

    Of Cityscapes' files in a folder, `_instanceIds` and `_color` are none where there are `_labelIds`.

    Raises:
        UserError: A path is missing, a folder has no pictures in it, a name cannot be shown in one line, or a file has
            a format that is not read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = without_other_kinds(pictures(path))
            if not found:
                unread = foreign(sorted(path.glob("*")))
                raise UserError(
                    f"no pictures in the folder {path}; expected PNG layouts{f'. {unread}' if unread else ''}"
                )
            files += found
        elif path.is_file():
            if unread := foreign([path]):
                raise UserError(unread)
            files += named_well([path])
        else:
            raise UserError(f"no layout {path}")
    return files


def loose_layouts(files: Sequence[Path], convention: Convention | ClassTable) -> FileDataSet:
    """A data set of layout files without photographs, named after the files.

    Files of the same name get the suffix behind it (`a_bmp`) if they lie in the same folder, else their folder's name
    before it.

    Raises:
        UserError: Two files are named alike even so.
    """
    stems = [path.stem for path in files]
    names = [path.stem if stems.count(path.stem) == 1 else _told_apart(path, files) for path in files]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"several layouts would be written as {twice}; give them in separate runs")
    return FileDataSet([Pair(n, f, None) for n, f in zip(names, files, strict=True)], convention)


def _told_apart(path: Path, files: Sequence[Path]) -> str:
    alike = [other for other in files if other.stem == path.stem]
    beside = [other for other in alike if other.parent == path.parent]
    name = f"{path.stem}_{path.suffix[1:].lower()}" if len(beside) > 1 else path.stem
    return name if len(beside) == len(alike) or not path.parent.name else f"{path.parent.name}_{name}"
