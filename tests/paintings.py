"""Painted layouts for tests: files as the page sends them, a model that only colours, a server of its own."""

import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from crn_tf.data.class_tables import ClassTable
from tests.conftest import ROOT


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def indexed_png(layout: np.ndarray, classes: ClassTable) -> bytes:
    """A layout as the page sends it: indices are the ids of files, the palette has the classes' colours."""
    palette = np.zeros((256, 3), np.uint8)
    rows = classes.for_drawing()
    for row in rows:
        palette[row["png_id"]] = row["color"]
    image = Image.fromarray(np.array([row["png_id"] for row in rows], np.uint8)[layout], "P")
    image.putpalette(palette.tobytes())
    return encoded(image)


def decoded(content: bytes) -> np.ndarray:
    """A picture's pixels."""
    return np.asarray(Image.open(io.BytesIO(content)))


class Colours:
    """Instead of a network: k images, of which image u has id * 20 + u in every channel. Counts its calls."""

    def __init__(self, images: int = 2) -> None:
        self._images, self.calls = images, []

    def __call__(self, layouts: np.ndarray) -> np.ndarray:
        self.calls.append(layouts[0].copy())
        one = (
            layouts[:, None, ..., None] * np.uint8(20)
            + np.arange(self._images, dtype=np.uint8)[None, :, None, None, None]
        )
        return one.repeat(3, -1)


@contextlib.contextmanager
def served(*options: object, cwd: Path = ROOT) -> Iterator[tuple[str, subprocess.Popen, list[str]]]:
    """`crn paint` in a process of its own: its address, the process, and what it said before."""
    command = [sys.executable, "-m", "crn_tf.paint", "--no-browser", "--port", "0", *map(str, options)]
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("serving "):
                break
        assert lines and lines[-1].startswith("serving "), "".join(lines) + process.stderr.read()
        yield lines[-1].split()[1].rstrip("/"), process, lines
    finally:
        process.kill()
        process.communicate()
