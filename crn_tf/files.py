"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one under its final name."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crn_tf.errors import UserError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, what was written there becomes `path`.

    Works for a file and for a folder (which must not exist yet under its final name).

    Args:
        path: The final place. Missing parent folders are made.

    Yields:
        The temporary path to write to; it does not exist yet.

    Raises:
        UserError: The folder cannot be written or the disk is full; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # its folder is a file, its name too long: it never was there
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder and its parents if they are missing.

    Raises:
        UserError: It cannot be made, for example because a file has that name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a small text file, aside and renamed.

    Raises:
        UserError: It cannot be written.
    """
    with written_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
