"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one under its final name; reading small
ones so that none takes all memory, or for ever.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from crn_tf.errors import UserError

ABANDONED = 86400.0  # seconds after which a file that others may be writing counts as left behind
_TOKEN = "[0-9a-f]" * 8  # in temporary names: not the process' number, which is the same in many containers
SMALL = 1 << 20  # bytes of a JSON file, at most; the largest of ours has some 20,000


@contextmanager
def written_aside(path: Path, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, what was written there becomes `path`.

    Works for a file and for a folder (which must not exist yet under its final name).

    Args:
        path: The final place. Missing parent folders are made.
        durable: Wait until all is on the disk before the renaming, and until that is too, so that not even a crash of
            the machine leaves half of it.

    Yields:
        The temporary path to write to; it does not exist yet.

    Raises:
        UserError: The folder cannot be written or the disk is full; `path` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        make_folder(path.parent)
        yield temporary
        if durable:
            for written in [*temporary.rglob("*"), temporary]:
                synchronize(written)
        os.replace(temporary, path)
        if durable:
            synchronize(path.parent)
    except OSError as error:
        # Not strerror: libraries put whole stories there.
        raise UserError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from error
    finally:
        with suppress(OSError):  # its folder is a file, its name too long: it never was there
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)


def synchronize(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    Raises:
        OSError: The disk failed, or is full.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path, untouched_for: float = 0.0) -> None:
    """Remove what `written_aside` leaves in a folder when its process is killed.

    Args:
        folder: The folder.
        untouched_for: Only what nobody has written to for so many seconds; 0 if no process can be writing there.
    """
    now = time.time()
    for path in folder.glob(f".*.{_TOKEN}.part*"):
        if untouched_for and _last_written(path) > now - untouched_for:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    """When a file, or anything in a folder, was last written to, in seconds since 1970; now if it is just vanishing."""
    try:
        return max(inside.lstat().st_mtime for inside in [path, *path.rglob("*")])
    except OSError:
        return time.time()


def lock(path: Path, refusal: str = "", waiting: str = "") -> BinaryIO:
    """Lock a file, which is made if it is missing, for as long as what is returned stays open and this process lives.

    Where the file system knows no locks, a warning says so.

    Args:
        path: The file; its folder is made.
        refusal: What to raise if another process has locked it.
        waiting: Instead, wait for that process, and say this.

    Raises:
        UserError: Another process has, or the file cannot be written.
    """
    make_folder(path.parent)
    try:
        file = open(path, "ab")  # noqa: SIM115 (open as long as it is locked)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if not waiting:
            file.close()
            raise UserError(refusal) from error
        print(waiting, file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        print(f"warning: {path} cannot be locked ({error.strerror}): use one process at a time", file=sys.stderr)
    return file


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
    """Write a small text file, aside and renamed, and wait until it is on the disk.

    Raises:
        UserError: It cannot be written.
    """
    with written_aside(path, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe or a device, which could make us wait or read for ever, is refused.

    Raises:
        OSError: It is missing, cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # waits for no writer of a pipe
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, expected a file")
    return os.fdopen(descriptor, "rb")


def read_small_text(path: Path) -> str:
    """Read a text file of at most `SMALL` bytes.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger, or not UTF-8.
    """
    with open_regular(path) as file:
        content = file.read(SMALL + 1)
    if len(content) > SMALL:
        raise ValueError(f"it is larger than {SMALL:,} bytes")
    return content.decode("utf-8")


def parse_json(text: str) -> Any:
    """The value that a JSON text describes.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than `SMALL` bytes, not UTF-8, not JSON, or nested too deeply.
    """
    return parse_json(read_small_text(path))
