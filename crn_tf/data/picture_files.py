"""Which files of a folder are pictures, and what to do about those in formats that are not read."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from crn_tf.data.images import SUFFIXES
from crn_tf.errors import UserError, unprintable

_DEEPEST = 4  # folders inside of a split's folder
_TO_PNG = "save them as PNG or JPEG"
_DRAWN = "they have to be drawn as grey PNGs of class ids, which the labelling tool exports"

# Formats that photographs and layouts come in and that are not read: what they are, and what to do.
_FOREIGN = {
    **dict.fromkeys((".heic", ".heif"), ("HEIC", _TO_PNG)),
    ".avif": ("AVIF", _TO_PNG),
    ".jxl": ("JPEG XL", _TO_PNG),
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), ("JPEG 2000", _TO_PNG)),
    **dict.fromkeys((".psd", ".psb"), ("Photoshop", "export them as PNG")),
    ".xcf": ("GIMP", "export them as PNG"),
    ".kra": ("Krita", "export them as PNG"),
    **dict.fromkeys((".eps", ".ps", ".pdf"), ("PostScript or PDF", "export them as PNG")),
    ".svg": ("SVG", "export them as PNG, without antialiasing if they are layouts"),
    ".tga": ("Targa", "save them as PNG"),
    ".ico": ("icon", "save them as PNG"),
    **dict.fromkeys((".exr", ".hdr"), ("high dynamic range", "save photographs with 8 bits per channel, as PNG")),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf"), ("raw camera", "develop them to JPEG")),
    **dict.fromkeys((".npy", ".npz"), ("NumPy", "save them as grey PNGs of class ids")),
    ".mat": ("MATLAB", "save them as grey PNGs of class ids"),
    ".json": ("JSON", _DRAWN),
    ".xml": ("XML", _DRAWN),
}


def hidden(path: Path) -> bool:
    """Whether a file or folder is no part of the data.

    True of what systems leave beside the data's own files: `._NAME` and `__MACOSX` of macOS, `@eaDir` of network
    drives, and everything else whose name begins with a dot.
    """
    return path.name.startswith((".", "@")) or path.name == "__MACOSX"


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture which can be read."""
    return path.suffix.lower() in SUFFIXES and not hidden(path)


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, in order; none if there is no such folder.

    Raises:
        UserError: The name of one cannot be shown in one line.
    """
    return named_well(path for path in folder.glob("*") if is_picture(path))


def pictures_inside(folder: Path) -> list[Path]:
    """The pictures of a folder and of the folders inside of it, in order.

    Raises:
        UserError: The name of one cannot be shown in one line.
    """
    return named_well(filter(is_picture, files_inside(folder)))


def files_inside(folder: Path) -> Iterator[Path]:
    """The files of a folder and of the folders inside of it that are not hidden; links in circles are not followed.

    Raises:
        UserError: A folder cannot be read.
    """
    return _walk(folder, (os.path.realpath(folder.parent),))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above or len(above) > _DEEPEST:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from error
    for entry in entries:
        path = folder / entry.name
        if hidden(path):
            continue
        # Only links need to be looked at: of the others, the folder itself says what they are.
        if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(path)):
            yield from _walk(path, (*above, real))
        else:
            yield path


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, in order.

    Raises:
        UserError: The name of one cannot be shown in one line.
    """
    return [path for path in named_well(folder.glob("*")) if path.is_dir() and not hidden(path)]


def named_well(paths: Iterable[Path]) -> list[Path]:
    """The files in order.

    Raises:
        UserError: A name cannot be shown in one line, or written to a log: results could not be named after it.
    """
    found = sorted(paths)
    for path in found:
        if unprintable(str(path)):
            raise UserError(f"the name of {str(path)!r} has a line break or bytes that are not UTF-8: rename the file")
    return found


def foreign(paths: Iterable[Path]) -> str | None:
    """One line that names files in a format that is not read, and what to do; None if there are none."""
    found = [path for path in paths if path.suffix.lower() in _FOREIGN and not hidden(path)]
    if not found:
        return None
    first = found[0]
    name, remedy = _FOREIGN[first.suffix.lower()]
    others = sum(path.suffix.lower() == first.suffix.lower() for path in found) - 1
    more = f" and {others} more" if others else ""
    return f"{first}{more}: {name} files are not read; {remedy}"
