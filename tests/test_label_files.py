"""Label files before anything is known of their meaning: numbers, colours, what is clear, and how they are turned."""

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from crn_tf.data.images import image_size
from crn_tf.data.label_files import read_label
from crn_tf.data.layouts import LayoutReader
from tests.test_layouts import BLUE, GREEN, RED, RGB, save, save_palette


def exif(orientation: int, endian: str = "<") -> Image.Exif:
    tags = Image.Exif()
    tags.endian = endian
    tags[0x010E], tags[0x0112] = "a label", orientation
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "colours", "palette", "alpha", "16 bits"])
def test_a_label_is_turned_as_its_photograph_would_be(tmp_path, orientation, kind):
    ids = np.random.default_rng(0).integers(0, 3, (4, 6)).astype(np.uint8)
    pixels = {
        "grey": ids,
        "colours": np.array([RED, GREEN, BLUE], np.uint8)[ids],
        "palette": ids,
        "alpha": np.dstack([ids, np.full((4, 6), 255, np.uint8)]),
        "16 bits": ids.astype(np.uint16),
    }[kind]
    stored = Image.fromarray(pixels)
    if kind == "palette":
        stored.putpalette([200, 1, 2, 200, 3, 4, 200, 5, 6])
    stored.save(tmp_path / "a.png", exif=exif(orientation))
    turned = np.asarray(Image.fromarray(ids).transpose(TURNS[orientation]) if orientation > 1 else ids)
    layout = LayoutReader(RGB).read(tmp_path / "a.png")
    np.testing.assert_array_equal(layout, turned)
    assert image_size(tmp_path / "a.png") == layout.shape
    small = LayoutReader(RGB).read(tmp_path / "a.png", (2, 3))
    np.testing.assert_array_equal(small, Image.fromarray(turned).resize((3, 2), Image.Resampling.NEAREST))


TURNS = {  # EXIF's definition: where the stored first row and column are shown
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def test_megabytes_of_text_in_a_png_are_read_over(tmp_path):
    text = PngInfo()
    text.add_text("document", "x" * 5_000_000, zip=True)
    text.add_itxt("more", "y" * 3_000_000)
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "a.png", pnginfo=text)
    assert LayoutReader(RGB).read(tmp_path / "a.png").tolist() == [[0, 1, 2]]


def test_numbers_have_their_palette_and_what_it_calls_transparent(tmp_path):
    label = read_label(save_palette(tmp_path / "a.png", [[0, 2, 1]], [RED, GREEN, BLUE], transparency=b"\xff\x7f\x80"))
    assert label.ids.tolist() == [[0, 2, 1]] and label.colors is None and label.clear is None
    assert label.palette[:4].tolist() == [[*RED], [*GREEN], [*BLUE], [0, 0, 0]] and label.palette.shape == (256, 3)
    assert label.clear_ids == (1,) and label.shape == (1, 3)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([[[3, 3, 3], [4, 4, 4]]], ("grey", [[3, 4]])),
        ([[[0, 0, 0], [0, 0, 0]]], ("grey", [[0, 0]])),
        ([[[3, 0, 0], [0, 0, 0]]], ("red", [[3, 0]])),
        ([[[0, 3, 0], [0, 4, 0]]], ("green", [[3, 4]])),
        ([[[0, 0, 9], [0, 0, 0]]], ("blue", [[9, 0]])),
        ([[[3, 3, 3], [4, 4, 5]]], None),
        ([[[3, 0, 0], [0, 4, 0]]], None),
        ([[[3, 3, 3, 255], [4, 9, 5, 0]]], ("grey", [[3, 4]])),  # a clear pixel does not matter
    ],
)
def test_numbers_in_the_pixels_of_colours(tmp_path, pixels, expected):
    found = read_label(save(tmp_path / "a.png", pixels)).as_numbers()
    if expected is None:
        assert found is None
    else:
        assert (found[1], found[0].tolist()) == expected


def test_a_file_of_one_bit_holds_zero_and_one(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    assert read_label(tmp_path / "a.png").ids.tolist() == [[0, 1]]
