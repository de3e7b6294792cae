"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one under its final name; reading small
ones so that none takes all memory, or for ever.
"""

import errno
import functools
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from crn_tf.errors import UserError, one_line

ABANDONED = 86400.0  # seconds after which a file that others may be writing counts as left behind
_TOKEN = "[0-9a-f]" * 8  # in temporary names: not the process' number, which is the same in many containers
_LOCKING_TRIES = 10
# What a file system answers to a request that it does not know. EBADF: to waiting for what is open for reading only.
_UNKNOWN_REQUEST = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
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
        UserError: The path is that of a folder (".", "/"), its folder may not be written to, or the disk is full;
            `path` is as it was before.
    """
    if not path.name:  # no name to put another beside
        raise UserError(f"cannot write {path}: {os.strerror(errno.EISDIR)}")
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
        raise UserError(f"cannot write {path}: {system_words(error)}") from error
    finally:
        with suppress(OSError):  # its folder is a file, its name too long: it never was there
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)


def system_words(error: OSError) -> str:
    """The operating system's words for an error; those of a library that raised it, if it names no number."""
    return os.strerror(error.errno) if error.errno else one_line(error)  # its strerror may be a library's whole story


def why_not_written(error: Exception, folder: Path, size: int) -> str:
    """Why a library could not write a file, in the operating system's words.

    Libraries wrap those into texts of their own, or lose them. So the system is asked again: for a file of that size.

    Args:
        error: What the library raised. If it has the system's number, nothing is asked.
        folder: Where it was writing.
        size: Bytes that it was going to write, about.

    Returns:
        Such as "No space left on device"; the library's own words if the system has nothing against the file.
    """
    if isinstance(error, OSError) and error.errno:
        return system_words(error)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file.fileno(), size)
    except OSError as refusal:
        return system_words(refusal)
    return one_line(error)


def reserve(descriptor: int, size: int) -> None:
    """Have the file system set space aside for an open file; nothing happens where it knows no such request.

    Args:
        descriptor: The file's, open for writing.
        size: Bytes.

    Raises:
        OSError: The disk is full, or the file may not become so large.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(descriptor, 0, max(1, size))
    except OSError as error:
        if error.errno not in _UNKNOWN_REQUEST:
            raise


def synchronize(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    Some network and FUSE file systems know no such request, mostly for folders: a warning says so, once.

    Raises:
        OSError: The disk failed, or is full.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        if not path.is_dir():
            raise
        return  # a folder that may be written to, but not listed
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNKNOWN_REQUEST:
            raise
        _warn_unsynchronized(system_words(error))
    finally:
        os.close(descriptor)


@functools.cache  # said once
def _warn_unsynchronized(why: str) -> None:
    print(
        f"warning: this file system does not say when files are on the disk ({why}): what was written last may be lost "
        "if the machine crashes",
        file=sys.stderr,
    )


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
            with suppress(OSError):  # gone already, or somebody else's
                path.unlink()


def _last_written(path: Path) -> float:
    """When a file, or anything in a folder, was last written to, in seconds since 1970; now if it is just vanishing."""
    try:
        return max(inside.lstat().st_mtime for inside in [path, *path.rglob("*")])
    except OSError:
        return time.time()


def lock(path: Path, refusal: str = "", waiting: str = "") -> BinaryIO:
    """Lock a file, which is made if it is missing, for as long as what is returned stays open and this process lives.

    Where the file system knows no locks, a warning says so, once for each folder.

    Args:
        path: The file; its folder is made.
        refusal: What to raise if another process has locked it.
        waiting: Instead, wait for that process, and say this.

    Raises:
        UserError: Another process has locked it, or it cannot be made: the folder may not be written to.
    """
    make_folder(path.parent)
    file = _open_locked(path, refusal, waiting)
    for _ in range(_LOCKING_TRIES):  # not for ever: some file systems do not know a file again
        if _is_at(file, path):
            break
        file.close()  # the process that had it has renamed or removed it: others would lock a new one
        file = _open_locked(path, refusal, waiting)
    return file


def _open_locked(path: Path, refusal: str, waiting: str) -> BinaryIO:
    """Arguments and errors as `lock`; when it returns, the path may lead to another file."""
    try:
        file = open(path, "ab")  # noqa: SIM115 (open as long as it is locked)
    except OSError as error:
        raise UserError(f"cannot write {path}: {system_words(error)}") from error
    try:
        if not _try_to_lock(file):
            if not waiting:
                file.close()
                raise UserError(refusal)
            print(waiting, file=sys.stderr)
            _try_to_lock(file, wait=True)
    except OSError as error:
        _warn_unlocked(path.parent, system_words(error))
    return file


def _try_to_lock(file: BinaryIO, wait: bool = False) -> bool:
    """Lock an open file. Returns False if another process has it, and this one is not to wait.

    Raises:
        OSError: The file system, or the operating system, knows no such locks.
    """
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@functools.cache  # said once for each folder
def _warn_unlocked(folder: Path, why: str) -> None:
    print(f"warning: files in {folder} cannot be locked ({why}): use one process at a time", file=sys.stderr)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def make_folder(path: Path) -> Path:
    """Make a folder and its parents if they are missing.

    Raises:
        UserError: A file has its name or a parent's, or the parent may not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {system_words(error)}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a small text file, aside and renamed, and wait until it is on the disk.

    Raises:
        UserError: The file's folder may not be written to, or the disk is full.
    """
    with written_aside(path, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 checksum of a file, or of the names and contents of all files in a folder.

    Raises:
        UserError: There is no such file, or one cannot be read.
    """
    files = sorted(inside for inside in path.rglob("*") if inside.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            with open_regular(file) as content:
                digest = hashlib.sha256()
                while block := content.read(SMALL):
                    digest.update(block)
            found.append(digest.hexdigest())
        except OSError as error:
            raise UserError(f"cannot read {file}: {system_words(error)}") from error
    if not path.is_dir():
        return found[0]
    listed = "".join(f"{sha256}  {file.relative_to(path)}\n" for sha256, file in zip(found, files, strict=True))
    return hashlib.sha256(listed.encode()).hexdigest()


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe or a device, which could make us wait or read for ever, is refused.

    Raises:
        OSError: The file is missing, may not be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # waits for no writer of a pipe
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, expected a file")
    return os.fdopen(descriptor, "rb")


def read_small(path: Path) -> bytes:
    """Read a file of at most `SMALL` bytes.

    Raises:
        OSError: The file is missing, may not be read, or is no regular file.
        ValueError: The file is larger.
    """
    with open_regular(path) as file:
        content = file.read(SMALL + 1)
    if len(content) > SMALL:
        raise ValueError(f"it is larger than {SMALL:,} bytes")
    return content


def read_small_text(path: Path) -> str:
    """Read a text file of at most `SMALL` bytes.

    Raises:
        OSError: The file is missing, may not be read, or is no regular file.
        ValueError: The file is larger, or not UTF-8.
    """
    return read_small(path).decode("utf-8")


def parse_json(text: str) -> Any:
    """The value that a JSON text describes.

    Raises:
        ValueError: The text is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: The file is missing, may not be read, or is no regular file.
        ValueError: The file is larger than `SMALL` bytes, not UTF-8, not JSON, or nested too deeply.
    """
    return parse_json(read_small_text(path))
