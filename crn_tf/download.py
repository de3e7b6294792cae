"""Fetch the published files into place: `python -m crn_tf.download release-256p`, or another name; `--help` lists them.

A download that broke off goes on where it stopped. A file has its final name only when it is complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from crn_tf.command_line import how_to_call
from crn_tf.errors import run_command
from crn_tf.fetching import Known, fetch
from crn_tf.model.vgg_weights import (
    KERAS_FILE,
    KERAS_KNOWN,
    KERAS_URL,
    MATLAB_FILE,
    MATLAB_KNOWN,
    MATLAB_URL,
    WEIGHTS_FOLDER,
)

RELEASE_URL = "https://cqf.io/data/Tensorflow_models"


@dataclass(frozen=True)
class PublishedFile:
    """Where a file comes from, where it goes, and what is known of it."""

    url: str
    path: Path
    known: Known = field(default_factory=Known)


def _release(folder: str, parameters: int) -> list[PublishedFile]:
    """A published model, of which no sizes are published, but how many numbers it has to hold, in float32: the large
    file last, so that a mistake shows early.
    """
    least = {
        "model.ckpt.index": 1000,  # a name, shape and checksum for each of more than a hundred variables
        "model.ckpt.meta": 10_000,  # a graph of some thousand operations
        "model.ckpt.data-00000-of-00001": 4 * parameters,
    }
    return [
        PublishedFile(f"{RELEASE_URL}/{folder}/{name}", Path(folder) / name, Known(least=size))
        for name, size in least.items()
    ]


PUBLISHED: dict[str, list[PublishedFile]] = {
    "release-1024p": _release("result_1024p", 98_674_531),
    "release-512p": _release("result_512p", 98_622_851),
    "release-256p": _release("result_256p", 97_875_483),
    "release-gta": _release("result_GTA", 97_875_483),
    "vgg19": [PublishedFile(KERAS_URL, WEIGHTS_FOLDER / KERAS_FILE, KERAS_KNOWN)],
    "vgg19-mat": [PublishedFile(MATLAB_URL, WEIGHTS_FOLDER / MATLAB_FILE, MATLAB_KNOWN)],
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch what the command line names.

    Args:
        arguments: Instead of this process' command line.

    Raises:
        UserError: The server, the connection or the disk failed, or a file is not what it should be.
    """
    settings = tyro.cli(DownloadSettings, args=arguments, prog=how_to_call("download"))
    for file in PUBLISHED[settings.name]:
        download(file.url, settings.folder / file.path, file.known)


def download(url: str, path: Path, known: Known = Known()) -> None:  # noqa: B008 (it is frozen)
    """Fetch a file, unless it is there already, and say so. Arguments and errors as `crn_tf.fetching.fetch`."""
    if path.exists():
        print(f"{path} is there already")
        return
    fetch(url, path, known)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_command(main)
