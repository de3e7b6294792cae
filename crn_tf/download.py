"""Fetch the published files into place: `python -m crn_tf.download release-256p`, or another name; `--help` lists them.

A download that broke off goes on where it stopped. A file has its final name only when it is complete.
"""

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

from crn_tf.errors import UserError, run_command
from crn_tf.files import make_folder
from crn_tf.vgg_weights import KERAS_FILE, KERAS_MD5, KERAS_URL, MATLAB_FILE, MATLAB_URL, WEIGHTS_FOLDER

RELEASE_URL = "https://cqf.io/data/Tensorflow_models"
_CHUNK = 1 << 18  # bytes read at once
_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class PublishedFile:
    """Where a file comes from, where it goes, and its MD5 where one is published."""

    url: str
    path: Path
    md5: str | None = None


def _release(folder: str) -> list[PublishedFile]:
    """A published model: the large file last, so that a mistake shows early."""
    names = ("model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001")
    return [PublishedFile(f"{RELEASE_URL}/{folder}/{name}", Path(folder) / name) for name in names]


PUBLISHED: dict[str, list[PublishedFile]] = {
    "release-1024p": _release("result_1024p"),
    "release-512p": _release("result_512p"),
    "release-256p": _release("result_256p"),
    "release-gta": _release("result_GTA"),
    "vgg19": [PublishedFile(KERAS_URL, WEIGHTS_FOLDER / KERAS_FILE, KERAS_MD5)],
    "vgg19-mat": [PublishedFile(MATLAB_URL, WEIGHTS_FOLDER / MATLAB_FILE)],
}


@dataclass(frozen=True)
class DownloadSettings:
    """Fetch the 2017 release's published models, or VGG19, into place."""

    name: tyro.conf.Positional[
        Literal["release-1024p", "release-512p", "release-256p", "release-gta", "vgg19", "vgg19-mat"]
    ]
    """What to fetch."""
    folder: Path = Path(".")
    """Where result_256p/ or vgg_weights/ go; here, if not given."""


def main() -> None:
    """Fetch what the command line names."""
    settings = tyro.cli(DownloadSettings)
    for file in PUBLISHED[settings.name]:
        path = settings.folder / file.path
        if path.exists():
            print(f"{path} is there already")
            continue
        download(file.url, path, file.md5)
        print(f"{path}: {path.stat().st_size:,} bytes")


def download(url: str, path: Path, md5: str | None = None) -> None:
    """Fetch a file, going on with what an earlier try left beside it.

    Args:
        url: Where it is.
        path: Where it goes. Until it is complete and checked, it is called `path` with `.part` behind.
        md5: Its checksum, if one is published.

    Raises:
        UserError: The server, the connection or the disk failed, or the file is not what it should be.
    """
    make_folder(path.parent)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != 206:  # the server sends all of it again
                have = 0
            size = int(response.headers.get("Content-Length", -1))
            total = have + size if size >= 0 else None
            _receive(response, part, have, total, path.name)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: there is nothing behind what we have
            raise UserError(f"cannot download {url}: {error.code} {error.reason}") from error
        total = int(error.headers.get("Content-Range", "").rpartition("/")[2] or -1)
        if total != have:
            part.unlink()
            raise UserError(f"{part} did not fit {url} and was removed; call again") from error
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        kept = f"; {part.stat().st_size:,} bytes are kept: call again to go on" if part.exists() else ""
        raise UserError(f"cannot download {url}: {reason}{kept}") from error
    _finish(part, path, url, total, md5)


def _receive(response, part: Path, have: int, total: int | None, name: str) -> None:
    with (
        open(part, "ab" if have else "wb") as file,
        tqdm(desc=name, total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024) as bar,
    ):
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _finish(part: Path, path: Path, url: str, total: int | None, md5: str | None) -> None:
    """Check what was received, and give it its name.

    Raises:
        UserError: It is incomplete (and kept, to go on with), or its checksum is another (and removed).
    """
    size = part.stat().st_size
    if total is not None and size < total:
        raise UserError(
            f"the connection to {url} broke off at {size:,} of {total:,} bytes, which are kept: call again to go on"
        )
    if total is not None and size > total:
        part.unlink()
        raise UserError(f"{url} sent {size:,} bytes, expected {total:,}; they were removed: call again")
    if md5:
        with open(part, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            part.unlink()
            raise UserError(f"{url} has the MD5 {found}, expected {md5}; it was removed: call again")
    os.replace(part, path)


if __name__ == "__main__":
    run_command(main)
