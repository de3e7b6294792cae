"""Layouts that a page sends: read by the project's own rules, as `test.py` reads a file, with what there is to say."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import Labels, asked_form, decide
from crn_tf.data.datasets import loose_layouts
from crn_tf.data.declared_classes import of_model
from crn_tf.data.fitting import NOTICEABLE, distortion
from crn_tf.data.images import Fit, Size, image_size
from crn_tf.errors import UserError, one_line
from crn_tf.synthesis.request import TestSettings
from crn_tf.tensors import Layout

MOST_PIXELS = 1 << 24  # of a layout, such as 4096x4096; decoding takes some 20 bytes for each


@dataclass(frozen=True)
class ReadLayout:
    """A layout that somebody sent.

    Attributes:
        layout: Class ids, uint8 [H, W], void last.
        how: How it was read, and whether it was resized: lines.
        warnings: What is odd about it: lines.
    """

    layout: Layout
    how: tuple[str, ...]
    warnings: tuple[str, ...]


def read_sent_layout(content: bytes, classes: ClassTable, size: Size, fit: Fit, labels: Labels) -> ReadLayout:
    """Read a layout file that came over the network.

    Args:
        content: Of the file: a PNG, or another picture that `test.py` reads.
        classes: Of the model.
        size: Height and width to bring it to, with nearest neighbour.
        fit: What is done with layouts of another shape.
        labels: What it holds; auto finds out from the file alone.

    Raises:
        UserError: It is no layout, is too large, or can be read in two ways.
    """
    # Files are what the project's reading takes, and what its messages name.
    with tempfile.NamedTemporaryFile(prefix="crn_paint_", suffix=".png") as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        try:
            return _read(path, classes, size, fit, labels)
        except UserError as error:
            raise type(error)(_told(str(error), path)) from error


def _read(path: Path, classes: ClassTable, size: Size, fit: Fit, labels: Labels) -> ReadLayout:
    height, width = found = image_size(path)
    if height * width > MOST_PIXELS:
        raise UserError(f"{path} is {height}x{width} (height x width); expected at most {MOST_PIXELS:,} pixels")
    convention = decide([path], of_model(classes), asked_form(labels))
    data = loose_layouts([path], convention)
    layout = data.load_layout(0, size, fit)
    warning = data.warning()
    if (share := data.unknown_share()) > TestSettings.max_unknown:
        raise UserError(f"{share:.0%} of the pixels of {path} are in no class table: {warning}")
    how = (convention.evidence, *_about_size(found, size, fit))
    warnings = (*convention.warnings, *([warning] if warning else []))
    how, warnings = (tuple(_told(line, path) for line in lines) for lines in (how, warnings))
    return ReadLayout(layout, how, warnings)


def _about_size(found: Size, size: Size, fit: Fit) -> list[str]:
    """What was done to bring a layout to a size, in at most one line."""
    if found == size:
        return []
    (rows, columns), (height, width) = found, size
    line = f"it is {rows}x{columns} (height x width): resized to {height}x{width} with nearest neighbour"
    if (most := distortion(found, size)) > NOTICEABLE:
        stretched = f", stretched {most:.2f} times as much one way as the other"
        line += stretched if fit == "resize" else f", cut to its centre, without {1 - 1 / most:.0%} of it"
    return [line]


def _told(line: str, path: Path) -> str:
    """A line of a message, for somebody who knows neither the file's path here nor a command line."""
    line = line.replace(f"the image {path}", "the layout").replace(str(path), "the layout")
    return one_line(re.sub(r"--labels (\w+)", r"labels=\1", line), longest=500)
