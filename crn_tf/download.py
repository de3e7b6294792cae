"""Fetch the published files into place: `python -m crn_tf.download release-256p`, or another name; `--help` lists them.

A download that broke off goes on where it stopped. A file has its final name only when it is complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from crn_tf.command_line import how_to_call
from crn_tf.errors import run_command
from crn_tf.fetching import fetch
from crn_tf.model.vgg_weights import KERAS_FILE, KERAS_MD5, KERAS_URL, MATLAB_FILE, MATLAB_URL, WEIGHTS_FOLDER

RELEASE_URL = "https://cqf.io/data/Tensorflow_models"


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch what the command line names.

    Args:
        arguments: Instead of this process' command line.

    Raises:
        UserError: The server, the connection or the disk failed, or a file is not what it should be.
    """
    settings = tyro.cli(DownloadSettings, args=arguments, prog=how_to_call("download"))
    for file in PUBLISHED[settings.name]:
        path = settings.folder / file.path
        if path.exists():
            print(f"{path} is there already")
            continue
        fetch(file.url, path, file.md5)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_command(main)
