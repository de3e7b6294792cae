"""Fetching files from the net: what breaks off goes on later, and a file has its name only when it is complete."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from crn_tf.errors import UserError, one_line
from crn_tf.files import lock, system_words

_CHUNK = 1 << 18  # bytes read at once
_TIMEOUT = 60  # seconds without a byte
_BEGINNING = 256  # bytes that tell a page
_PAGE = "a page (HTML) instead of the file"
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title", b"<!--", b"<?xml")


@dataclass(frozen=True)
class Known:
    """What is known of a published file before it is fetched.

    Attributes:
        md5: Its checksum; None if none is published.
        size: Its bytes; None if that is not published.
        least: Bytes that it has at least.
        begins: Its first bytes.
    """

    md5: str | None = None
    size: int | None = None
    least: int = 1
    begins: bytes = b""

    def check_size(self, found: int) -> None:
        """Compare a size in bytes with what is known.

        Raises:
            ValueError: The file has another size; the text says what was found and expected.
        """
        if self.size is not None and found != self.size:
            raise ValueError(f"{found:,} bytes, expected {self.size:,}")
        if found < self.least:
            raise ValueError(f"{found:,} bytes, expected at least {self.least:,}")

    def check_beginning(self, beginning: bytes) -> None:
        """Compare a file's first bytes, some hundred, with what is known. No published model begins like a page.

        Raises:
            ValueError: They are a page's, or another file's; the text says what was found.
        """
        start = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower()
        if start.startswith(_PAGES):
            raise ValueError(_PAGE)
        if not beginning.startswith(self.begins[: len(beginning)]):
            raise ValueError(f"a file that begins with {beginning[:16]!r}, expected {self.begins!r}")


def fetch(url: str, path: Path, known: Known = Known()) -> None:
    """Fetch a file, going on with what an earlier try left beside it.

    If another process is fetching it, this one waits for that, and takes what it has got. A page in its place, as a
    parked domain or a company's filter sends it, is refused, and what had arrived before stays.

    Args:
        url: Where it is.
        path: Where it goes. Until it is complete and checked, it is called `path` with `.part` behind.
        known: What it has to be.

    Raises:
        UserError: The server, the connection or the disk failed, or the file is not what it should be.
    """
    part = path.with_name(path.name + ".part")
    with lock(part, waiting=f"waiting for another process that fetches {path}"):
        try:
            if not path.exists():  # else that process has fetched it
                _finish(part, path, url, _receive_rest(url, part, path.name, known), known)
        finally:
            if part.exists() and not part.stat().st_size:  # nothing to go on with
                part.unlink()


def md5_of(path: Path) -> str:
    """A file's MD5 checksum, as published ones are written.

    Raises:
        UserError: The file is missing or may not be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {system_words(error)}") from error


def _receive_rest(url: str, part: Path, name: str, known: Known) -> int | None:
    """Add to a part what is missing of a file.

    Returns:
        The whole file's size in bytes, as the server tells it; None if it does not.

    Raises:
        UserError: The server, the connection or the disk failed, or another file is there. What has arrived is kept.
    """
    have = part.stat().st_size
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != 206:  # the server sends all of it again
                have = 0
            size = _number(response.headers, "Content-Length")
            total = None if size is None else have + size
            first = response.read(_CHUNK)
            try:
                if response.headers.get_content_type() == "text/html":
                    raise ValueError(_PAGE)
                if not have:
                    known.check_beginning(first)
                if total is not None:
                    known.check_size(total)
            except ValueError as error:
                raise _another(url, error) from error
            _receive(first, response, part, have, total, name)
            return total
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: there is nothing behind what we have
            raise UserError(f"cannot download {url}: {error.code} {one_line(error.reason)}") from error
        if _number(error.headers, "Content-Range") != have:
            part.unlink()
            raise UserError(f"{part} did not fit {url} and was removed; call again") from error
        return have
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error  # of an URLError: the system's error
        kept = f"; {part.stat().st_size:,} bytes are kept: call again to go on" if part.stat().st_size else ""
        raise UserError(f"cannot download {url}: {one_line(reason)}{kept}") from error


def _number(headers: Message, name: str) -> int | None:
    """The number that a header ends with, such as "bytes */1234"; None if there is no header or no number."""
    text = headers.get(name, "").rpartition("/")[2]
    return int(text) if text.isdecimal() else None


def _another(url: str, error: ValueError) -> UserError:
    return UserError(
        f"{url} sent {error}: the address may have moved, or a filter or a login page answers instead; try another "
        "network, or put the file into place by hand"
    )


def _receive(first: bytes, response: BinaryIO, part: Path, have: int, total: int | None, name: str) -> None:
    """Add the first bytes of a response, which have been read, and the others to a part that has some."""
    with (
        open(part, "ab") as file,
        tqdm(desc=name, total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024) as bar,
    ):
        file.truncate(have)
        chunk = first
        while chunk:
            file.write(chunk)
            bar.update(len(chunk))
            chunk = response.read(_CHUNK)


def _finish(part: Path, path: Path, url: str, total: int | None, known: Known) -> None:
    """Check what was received, and give it its name.

    Raises:
        UserError: What was received is incomplete (and kept, to go on with), or another file (and removed).
    """
    size = part.stat().st_size
    if total is not None and size < total:
        raise UserError(
            f"the connection to {url} broke off at {size:,} of {total:,} bytes, which are kept: call again to go on"
        )
    if total is not None and size > total:
        part.unlink()
        raise UserError(f"{url} sent {size:,} bytes, expected {total:,}; they were removed: call again")
    try:
        with open(part, "rb") as file:
            known.check_beginning(file.read(_BEGINNING))
        known.check_size(size)
    except ValueError as error:
        part.unlink()
        raise _another(url, error) from error
    if known.md5:
        found = md5_of(part)
        if found != known.md5:
            part.unlink()
            raise UserError(f"{url} has the MD5 {found}, expected {known.md5}; it was removed: call again")
    os.replace(part, path)
