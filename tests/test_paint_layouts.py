"""Layouts that are sent: read as test.py reads a file, and refused in one line that names no file of ours."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.toy import ToyDataSet
from crn_tf.errors import UserError
from crn_tf.pages import paint_layouts
from crn_tf.pages.paint_layouts import read_sent_layout
from tests.paintings import encoded, indexed_png

TOY = ToyDataSet.classes
LAYOUT = ToyDataSet("val").load_layout(3, (24, 48), "resize")


def read(content, classes=TOY, size=(24, 48), labels="auto", fit="resize"):
    return read_sent_layout(content, classes, size, fit, labels)


@pytest.mark.parametrize("labels", ["auto", "ids"])
def test_what_the_page_sends_is_what_was_painted(labels):
    found = read(indexed_png(LAYOUT, TOY), labels=labels)
    np.testing.assert_array_equal(found.layout, LAYOUT)
    assert found.warnings == () and len(found.how) == 1


@pytest.mark.parametrize("classes", [TOY, CITYSCAPES], ids=["toy", "cityscapes"])
def test_ids_that_are_said_to_be_ids_are_never_guessed(classes):
    layouts = [np.full((4, 8), number, np.uint8) for number in range(classes.num_classes)]
    for layout in layouts:  # alone, 7 and 8 could be trainIds too, and void says nothing
        found = read(indexed_png(layout, classes), classes, (4, 8), "ids")
        np.testing.assert_array_equal(found.layout, layout)


def test_grey_and_colours_are_read_by_the_projects_rules():
    np.testing.assert_array_equal(read(encoded(Image.fromarray(LAYOUT))).layout, LAYOUT)
    colors = np.array([*TOY.palette, (0, 0, 0)], np.uint8)[LAYOUT]
    found = read(encoded(Image.fromarray(colors)))
    np.testing.assert_array_equal(found.layout, LAYOUT)
    assert "colours" in found.how[0]
    colors[0, :5] = (1, 250, 3)
    found = read(encoded(Image.fromarray(colors)))
    assert (found.layout[0, :5] == TOY.void).all() and "count as void" in found.warnings[-1]
    assert "(1, 250, 3) in the layout" in found.warnings[-1] and "/" not in " ".join(found.warnings)


def test_another_size_and_shape_are_told():
    content = indexed_png(LAYOUT, TOY)
    twice = read(content, size=(48, 96))
    np.testing.assert_array_equal(twice.layout, LAYOUT.repeat(2, 0).repeat(2, 1))
    assert twice.how[1] == "it is 24x48 (height x width): resized to 48x96 with nearest neighbour"
    assert "stretched 2.00 times" in read(content, size=(24, 24)).how[1]
    cut = read(content, size=(24, 24), fit="crop")
    np.testing.assert_array_equal(cut.layout, LAYOUT[:, 12:36])
    assert "without 50% of it" in cut.how[1]


def test_what_could_be_two_things_says_so_and_how_to_say_which():
    content = encoded(Image.fromarray(np.array([[7, 8], [7, 8]], np.uint8)))
    with pytest.raises(
        UserError, match=r"^the layout: the ids 7, 8 are .* labels=labelids or labels=trainids"
    ) as error:
        read(content, CITYSCAPES, (2, 2))
    assert "--labels" not in str(error.value)
    assert read(content, CITYSCAPES, (2, 2), "labelids").layout.tolist() == [[0, 1], [0, 1]]
    assert read(content, CITYSCAPES, (2, 2), "trainids").layout.tolist() == [[7, 8], [7, 8]]
    with pytest.raises(UserError, match="Cityscapes"):
        read(content, TOY, (2, 2), "labelids")


def png_of(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "cannot read the layout: not a picture"),
        (indexed_png(LAYOUT, TOY)[:200], "cannot read the layout"),
        (png_of(60000, 60000, zlib.compress(bytes(1000))), "its header says"),
        (png_of(5000, 5000, zlib.compress(bytes(5000 * 5001), 9)), "expected at most 16,777,216 pixels"),
        (png_of(500, 500, zlib.compress(bytes(1000))), "cannot read the layout"),
        (encoded(Image.fromarray(np.full((4, 8), 77, np.uint8))), "77"),
        (encoded(Image.fromarray(LAYOUT), "JPEG"), "JPEG"),
        (encoded(Image.fromarray(np.full((9, 9, 3), (5, 200, 100), np.uint8))), "100% of the pixels of the layout are"),
    ],
)
def test_what_is_no_layout_is_one_line(content, words, tmp_path, monkeypatch):
    monkeypatch.setattr(paint_layouts.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError) as error:
        read(content)
    said = str(error.value)
    assert words in said and "\n" not in said and str(tmp_path) not in said and "crn_paint_" not in said
    assert not list(tmp_path.iterdir())


def test_a_class_table_of_shared_colours_and_ids_beyond_a_byte_is_read_by_its_ids():
    classes = ClassTable(("a", "b"), ((9, 9, 9), (9, 9, 9)), (300, 700), (0,))
    layout = np.array([[0, 1, 2]], np.uint8)
    grey = io.BytesIO()
    Image.fromarray(np.array(classes.file_ids, np.uint16)[layout]).save(grey, "PNG")
    np.testing.assert_array_equal(read(grey.getvalue(), classes, (1, 3)).layout, layout)
    trainids = encoded(Image.fromarray(np.array([[0, 1, 255]], np.uint8)))
    np.testing.assert_array_equal(read(trainids, classes, (1, 3), "trainids").layout, layout)
