"""Rows of a gallery."""

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.datasets import EvenSample, ToyDataSet, open_data_set
from crn_tf.data.layouts import colorize
from crn_tf.evaluation.methods import Judged, MeanColors, Photographs, PictureFiles
from crn_tf.pages.gallery_rows import class_colors, rows_of_evaluation, rows_of_synthesis

SIZE = (16, 32)


@pytest.fixture
def files(tmp_path):
    """Two images of each of three layouts."""
    paths = [[tmp_path / f"{layout}_{number}.png" for number in range(2)] for layout in range(3)]
    for path in (path for some in paths for path in some):
        Image.new("RGB", SIZE[::-1]).save(path)
    return paths


def test_rows_of_what_was_synthesized(files):
    data = EvenSample(ToyDataSet("val"), 3)
    rows = list(rows_of_synthesis(data, [0, 2], files, "mine", SIZE, "resize"))
    assert [row.name for row in rows] == ["toy_val_0000", "toy_val_0016"]
    photo, layout = ToyDataSet("val").load(16, SIZE, "resize")
    np.testing.assert_array_equal(rows[1].layout, colorize(layout, data.classes))
    np.testing.assert_array_equal(rows[1].photograph, photo)
    assert dict(rows[1].pictures) == {"mine": files[2]}
    names = [data.classes.names[number] for number in np.unique(layout) if number < len(data.classes.names)]
    assert rows[1].classes == names and "road" in names


def test_layouts_without_photographs_have_rows_too(folder_data, files):
    for photo in (folder_data / "photos/val").iterdir():
        photo.unlink()
    data = open_data_set(folder_data, "folder", "val", 40, need_photos=False)
    rows = list(rows_of_synthesis(data, [0, 1], files, "mine", (40, 56), "resize"))
    assert [row.photograph for row in rows] == [None, None]


def test_rows_of_what_was_judged(files):
    data = ToyDataSet("val")
    judged = Judged(data, (3, 7, 11), SIZE, "resize")
    colors = np.arange(data.classes.num_classes)[:, None].repeat(3, 1).astype(np.float32)
    methods = [Photographs(), MeanColors(colors), PictureFiles("mine", files, SIZE, SIZE)]
    scores = [
        {"methods": {method.name: {"scores": {"l1": float(number), "ssim": None}} for method in methods}}
        for number in range(3)
    ]
    rows = list(rows_of_evaluation(judged, methods, scores))
    assert [row.name for row in rows] == ["toy_val_0003", "toy_val_0007", "toy_val_0011"]
    photo, layout = data.load(7, SIZE, "resize")
    np.testing.assert_array_equal(rows[1].photograph, photo)
    assert list(rows[1].pictures) == ["mean-colours", "mine"]  # photographs have a column of their own
    np.testing.assert_array_equal(rows[1].pictures["mean-colours"][0], layout[..., None].repeat(3, -1))
    assert rows[1].pictures["mine"] == files[1]
    assert rows[1].scores == {"mean-colours": {"l1": 1.0}, "mine": {"l1": 1.0}}


def test_colours_are_the_tables(files):
    classes = ToyDataSet.classes
    assert list(class_colors(classes)) == list(classes.names)
    assert class_colors(classes)["sky"] == classes.palette[classes.names.index("sky")]
