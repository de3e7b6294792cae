"""Rows of a gallery: of what was synthesized, and of what was judged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.datasets import DataSet
from crn_tf.data.images import Fit, Size
from crn_tf.data.layouts import colorize
from crn_tf.errors import UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS, Judged, Method
from crn_tf.pages.gallery import GalleryRow, Picture
from crn_tf.tensors import Layout


def rows_of_synthesis(
    data: DataSet, indices: Sequence[int], images: Sequence[Sequence[Path]], method: str, size: Size, fit: Fit
) -> Iterator[GalleryRow]:
    """What a model made of layouts.

    Args:
        data: The layouts.
        indices: Those of which there are images.
        images: The images of each layout of the data.
        method: What the model is called.
        size: Height and width at which layouts and photographs are shown.
        fit: How they are brought to it.

    Raises:
        UserError: A layout cannot be read any more.
    """
    for index in indices:
        layout = data.load_layout(index, size, fit)
        try:
            photo = data.load_photo(index, size, fit)
        except UserError:  # images do without it
            photo = None
        colored = colorize(layout, data.classes)
        occurring = _occurring(layout, data.classes)
        yield GalleryRow(data.name(index), colored, photo, {method: images[index]}, classes=occurring)


def rows_of_evaluation(
    judged: Judged, methods: Sequence[Method], scores: Sequence[Mapping[str, Any]]
) -> Iterator[GalleryRow]:
    """What was judged: the photograph, each method's pictures, and their scores.

    Args:
        judged: The pairs.
        methods: That were judged. Pictures that are in no files are made again.
        scores: Of each pair, by the method's name, as `evaluation.json` has them under `methods` in `pictures`.

    Raises:
        UserError: A file cannot be read any more.
    """
    for position, row in enumerate(scores):
        photo, layout = judged.load(position)
        pictures: dict[str, Sequence[Picture]] = {
            one.name: one.files(position) or one.read(position, photo, layout)
            for one in methods
            if one.name != PHOTOGRAPHS
        }
        yield GalleryRow(
            judged.names[position],
            colorize(layout, judged.data.classes),
            photo,
            pictures,
            {name: _known(row["methods"][name]["scores"]) for name in pictures},
            _occurring(layout, judged.data.classes),
        )


def _known(scores: Mapping[str, float | None]) -> dict[str, float]:
    return {measure: value for measure, value in scores.items() if value is not None}


def _occurring(layout: Layout, classes: ClassTable) -> list[str]:
    return [classes.names[number] for number in np.unique(layout) if number != classes.void]


def class_colors(classes: ClassTable) -> dict[str, tuple[int, int, int]]:
    """Each class' colour, in the order of the table."""
    return dict(zip(classes.names, classes.palette, strict=True))
