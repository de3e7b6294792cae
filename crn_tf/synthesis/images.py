"""Synthesizing images of layouts, and writing them."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from crn_tf.data import sheets
from crn_tf.data.datasets import DataSet, FileDataSet
from crn_tf.data.images import Fit, Size, resize, write_image
from crn_tf.data.layouts import colorize
from crn_tf.data.spacing import evenly_spaced
from crn_tf.errors import UsageError, UserError
from crn_tf.synthesis.request import TestSettings
from crn_tf.tensors import Layout, Pixels

if TYPE_CHECKING:
    from crn_tf.model.synthesizer import Synthesizer

CONTACT_SHEET = "contact_sheet.png"
SHEET_ROWS = 24  # of the contact sheet, at most


def output_paths(settings: TestSettings, names: list[str], num_images: int) -> list[list[Path]]:
    """Where each layout's images go: NAME.png, or NAME_0.png, NAME_1.png, ... for several."""
    suffixes = [f"_{number}" for number in range(num_images)] if num_images > 1 else [""]
    return [[settings.out / f"{name}{suffix}.{settings.format}" for suffix in suffixes] for name in names]


def check_outputs(outputs: list[list[Path]], data: DataSet) -> None:
    """Make sure that no image is written over a file of the data, another image or the contact sheet.

    Raises:
        UsageError: An image would be written over one of them.
    """
    pairs = data.pairs if isinstance(data, FileDataSet) else []
    taken = {os.path.realpath(path) for pair in pairs for path in (pair.layout, pair.photo) if path}
    for path in (path for paths in outputs for path in paths):
        if os.path.realpath(path) in taken or path.name == CONTACT_SHEET:
            raise UsageError(f"{path} would be written over another file: choose another --out, or rename the layout")
        taken.add(os.path.realpath(path))


def synthesize(
    settings: TestSettings,
    data: DataSet,
    fit: Fit,
    outputs: Sequence[tuple[list[Path], Size | None]],
    synthesizer: "Synthesizer",
) -> list[int]:
    """Synthesize the layouts of a data set, and write an image each and a contact sheet.

    Args:
        settings: What was asked for.
        data: The layouts. One of several that cannot be read is named and left out.
        fit: What is done with layouts of another aspect ratio.
        outputs: Where the images of each layout go, and what size they are to have; None for the model's.
        synthesizer: Of the model.

    Returns:
        The numbers of the layouts of which there are images.

    Raises:
        UserError: No layout can be read, or an image cannot be written.
    """
    sheet = ContactSheet(data, fit, synthesizer.size, synthesizer.num_images, len(outputs))
    written: list[int] = []
    with tqdm(total=len(outputs), unit="layout") as bar:
        for batch in batches(readable_layouts(data, len(outputs), synthesizer.size, fit, bar), settings.batch):
            collections = synthesizer(np.stack([layout for _, layout in batch]))
            for (index, layout), images in zip(batch, collections, strict=True):
                paths, size = outputs[index]
                for path, image in zip(paths, images, strict=True):
                    if size and size != image.shape[:2]:
                        image = np.asarray(resize(Image.fromarray(image), size, "resize", Image.Resampling.BICUBIC))
                    write_image(path, image)
                sheet.show(index, layout, images)
                written.append(index)
            bar.update(len(batch))
    if not written:
        raise UserError(f"none of the {len(outputs)} layouts could be read: no images were written")
    write_image(settings.out / CONTACT_SHEET, sheet.finish())
    return written


class ContactSheet:
    """Some of the layouts, evenly spaced, with their photographs where there are any, and the images of them."""

    def __init__(self, data: DataSet, fit: Fit, size: Size, num_images: int, count: int) -> None:
        """Begin the sheet of the first layouts of a data set.

        Args:
            data: The layouts.
            fit: How they are brought to the size.
            size: Height and width of the images.
            num_images: Of each layout.
            count: How many layouts.
        """
        self._data, self._fit, self._size = data, fit, size
        self._photographs = self._photograph(0) is not None
        headings = sheets.headings(self._photographs, num_images)
        rows = sheets.rows_that_fit(len(headings), size, min(count, SHEET_ROWS))
        self._rows = {index: row for row, index in enumerate(evenly_spaced(rows, count))}
        self._sheet = sheets.Sheet(headings, rows, size)
        self._seen: list[Layout] = []

    def show(self, index: int, layout: Layout, images: Pixels) -> None:
        """Show a layout, uint8 [H, W], and the images of it, uint8 [k, H, W, 3], if it is among the chosen."""
        row = self._rows.get(index)
        if row is None:
            return
        self._seen.append(layout)
        pictures = [colorize(layout, self._data.classes), *images]
        if self._photographs:
            photo = self._photograph(index)
            pictures.insert(1, np.full_like(pictures[0], 255) if photo is None else photo)
        for column, picture in enumerate(pictures):
            self._sheet.put(row, column, picture)

    def finish(self) -> Pixels:
        """The sheet, with a legend of the classes: uint8 [height, width, 3]."""
        legend = sheets.legend_of(np.stack(self._seen), self._data.classes) if self._seen else ()
        return self._sheet.finish(legend)

    def _photograph(self, index: int) -> Pixels | None:
        try:
            return self._data.load_photo(index, self._size, self._fit)
        except UserError:  # images do without it
            return None


def readable_layouts(data: DataSet, count: int, size: Size, fit: Fit, bar: "tqdm[Any]") -> Iterator[tuple[int, Layout]]:
    """Read the first layouts of a data set, and their numbers; those that cannot be read are named and left out.

    Raises:
        UserError: The only layout cannot be read.
    """
    for index in range(count):
        try:
            layout = data.load_layout(index, size, fit)
        except UserError as error:
            if count == 1:
                raise
            bar.write(f"warning: {error}; the layout is left out", file=sys.stderr)
            bar.update(1)
        else:
            yield index, layout


def batches(layouts: Iterator[tuple[int, Layout]], size: int) -> Iterator[list[tuple[int, Layout]]]:
    """So many at a time; less the last time."""
    while batch := list(itertools.islice(layouts, size)):
        yield batch
