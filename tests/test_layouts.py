"""Layouts: class tables, and how each kind of file becomes class ids."""

import dataclasses
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFilter

from crn_tf.data.class_tables import CITYSCAPES, ClassTable, read_class_table
from crn_tf.data.conventions import Convention
from crn_tf.data.images import resize
from crn_tf.data.label_looks import VOC_COLORS
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.errors import UserError
from tests.test_serving_layouts import chunk, raw_png

RED, GREEN, BLUE, BLACK, PINK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 0, 200)
RGB = ClassTable(("a", "b", "c"), (RED, GREEN, BLUE), ids=(0, 1, 2), void_ids=(9,))
OWN = {"names": ["sky", "road", "car"], "palette": [RED, GREEN, BLUE], "void": 9}
# From spec/crn.md, section 1.
OFFICIAL_IDS = dict(zip((7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33), range(19), strict=True))


def save(path, pixels, kind=np.uint8):
    Image.fromarray(np.array(pixels, kind)).save(path)
    return path


def save_palette(path, indices, colors, **options):
    image = Image.fromarray(np.array(indices, np.uint8))
    image.putpalette([value for color in colors for value in color])
    image.save(path, **options)
    assert Image.open(path).mode == "P"
    return path


def error_of(path, classes=RGB):
    """The message, which must be one line that names the file."""
    with pytest.raises(UserError) as caught:
        LayoutReader(classes).read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


# --- class tables


def test_cityscapes_has_the_19_evaluation_classes_and_void_last():
    assert (len(CITYSCAPES.names), CITYSCAPES.num_classes, CITYSCAPES.void) == (19, 20, 19)
    assert len(set(CITYSCAPES.palette)) == 19
    table = dict(zip(CITYSCAPES.names, CITYSCAPES.palette, strict=True))
    assert table["road"] == (128, 64, 128) and table["train"] == (0, 80, 100) and table["bicycle"] == (119, 11, 32)


def test_every_cityscapes_id_that_is_no_evaluation_class_is_void(tmp_path):
    layout = LayoutReader(CITYSCAPES).read(save(tmp_path / "a.png", np.arange(256).reshape(16, 16)))
    expected = np.full(256, 19)
    expected[list(OFFICIAL_IDS)] = list(OFFICIAL_IDS.values())
    np.testing.assert_array_equal(layout.ravel(), expected)


def test_cityscapes_colours_come_back_from_a_picture_of_them(tmp_path):
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    reader = LayoutReader(CITYSCAPES)
    np.testing.assert_array_equal(reader.read(save(tmp_path / "a.png", colorize(ids, CITYSCAPES))), ids)
    assert reader.warning() is None


def test_the_official_colours_without_an_evaluation_class_are_void_without_a_warning(tmp_path):
    static, parking, rail_track, tunnel = (111, 74, 0), (250, 170, 160), (230, 150, 140), (150, 120, 90)
    reader = LayoutReader(CITYSCAPES)
    layout = reader.read(save(tmp_path / "a.png", [[BLACK, static, parking, rail_track, tunnel]]))
    assert layout.tolist() == [[19] * 5] and reader.warning() is None


@pytest.mark.parametrize("table", [CITYSCAPES, RGB])
def test_a_class_table_survives_json(table):
    assert ClassTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_colorize_keeps_leading_axes():
    pictures = colorize(np.array([[[0, 1]], [[2, 3]]], np.uint8), RGB)
    assert pictures.dtype == np.uint8
    assert pictures.tolist() == [[[[*RED], [*GREEN]]], [[[*BLUE], [*BLACK]]]]


def read_json(tmp_path, values):
    (tmp_path / "classes.json").write_text(values if isinstance(values, str) else json.dumps(values))
    return read_class_table(tmp_path / "classes.json")


def test_classes_json_names_the_ids_in_order(tmp_path):
    table = read_json(tmp_path, OWN)
    assert table == ClassTable(("sky", "road", "car"), (RED, GREEN, BLUE), (0, 1, 2), (9,), (BLACK,))


def test_void_may_be_one_of_the_names(tmp_path):
    table = read_json(tmp_path, OWN | {"void": 1})
    assert table == ClassTable(("sky", "car"), (RED, BLUE), (0, 2), (1,), (GREEN,))
    reader = LayoutReader(table)
    assert reader.read(save(tmp_path / "ids.png", [[0, 1, 2]])).tolist() == [[0, 2, 1]]
    assert reader.read(save(tmp_path / "colors.png", [[RED, GREEN, BLUE]])).tolist() == [[0, 2, 1]]
    assert reader.warning() is None


def test_a_class_may_be_black(tmp_path):
    table = read_json(tmp_path, OWN | {"palette": [RED, BLACK, BLUE]})
    assert LayoutReader(table).read(save(tmp_path / "a.png", [[RED, BLACK, BLUE]])).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"palette": OWN["palette"], "void": 9}, "has no 'names'; expected names, palette"),
        ({"names": OWN["names"], "void": 9}, "has no 'palette'; expected names, palette"),
        ('{"names": [', "cannot read .*; expected an object with names, palette and void"),
        ([OWN], "cannot read .*; expected an object"),
        ("null", "cannot read .*; expected an object"),
        (OWN | {"palette": [RED, GREEN]}, "2 palette colours for 3 names"),
        (OWN | {"palette": [RED, GREEN, (0, 0, 256)]}, "three whole numbers 0..255"),
        (OWN | {"palette": [RED, GREEN, (0, 0)]}, "three whole numbers 0..255"),
        (OWN | {"palette": [RED, GREEN, (0, 0, 0.5)]}, "three whole numbers 0..255"),
        (OWN | {"palette": [1, 2, 3]}, "cannot read .*; expected an object"),
        (OWN | {"void": "9"}, "void is '9'; expected the id"),
        (OWN | {"void": 9.0}, "void is 9.0; expected the id"),
        (OWN | {"void": True}, "void is True; expected the id"),
        (OWN | {"void": -1}, "void is -1; expected the id"),
        (OWN | {"names": [], "palette": []}, "names must be 1 to 254 texts, found 0"),
        (OWN | {"names": [1, 2, 3]}, "names must be 1 to 254 texts"),
        (OWN | {"names": ["x"] * 255, "palette": [(i, 0, 0) for i in range(255)]}, "1 to 254 texts, found 255"),
        ({"names": ["other"], "palette": [RED], "void": 0}, "the only name, 'other', is void"),
    ],
)
def test_a_bad_classes_json_is_explained(tmp_path, values, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        read_json(tmp_path, values)
    assert str(tmp_path / "classes.json") in str(caught.value)


def test_a_missing_classes_json_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"no .*/classes\.json; expected a file with the data set's names"):
        read_class_table(tmp_path / "classes.json")


# --- files


@pytest.mark.parametrize(("kind", "void"), [(np.uint8, 9), (np.uint16, 9), (np.uint16, 40000), (np.int32, 65535)])
def test_grey_values_are_class_ids(tmp_path, kind, void):
    path = save(tmp_path / "a.tif", [[0, 1, 2], [void, 2, 0]], kind)
    layout = LayoutReader(dataclasses.replace(RGB, void_ids=(void,))).read(path)
    assert layout.dtype == np.uint8 and layout.tolist() == [[0, 1, 2], [3, 2, 0]]


def test_a_16_bit_png_holds_class_ids(tmp_path):
    path = save(tmp_path / "a.png", [[0, 1, 700]], np.uint16)
    assert LayoutReader(dataclasses.replace(RGB, ids=(0, 1, 700))).read(path).tolist() == [[0, 1, 2]]


def test_grey_values_with_an_opaque_alpha_channel_are_class_ids(tmp_path):
    path = save(tmp_path / "a.png", [[[0, 255], [1, 255], [2, 255], [9, 255]]])
    assert Image.open(path).mode == "LA"
    assert LayoutReader(RGB).read(path).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("ids", "kind", "found"),
    [
        ([0, 4, 2], np.uint8, "class ids 4; "),
        ([5, 9, 4, 5], np.uint8, "class ids 4, 5; "),
        (list(range(10, 20)), np.uint8, "class ids 10, 11, 12, 13, 14, ...; "),
        ([0, 40000], np.uint16, "class ids 40000; "),
        ([0, -1, 70000], np.int32, "class ids -1, 70000; "),
    ],
)
def test_ids_that_are_no_class_are_listed(tmp_path, ids, kind, found):
    assert error_of(save(tmp_path / "a.tif", [ids], kind)).endswith(f"{found}expected 0..2 or 9 (void)")


def test_grey_of_16_bits_with_an_alpha_channel_holds_class_ids(tmp_path):
    """Pillow opens it as colours of eight bits, all of which would be void."""
    path = tmp_path / "a.png"
    path.write_bytes(raw_png(np.array([[0, 65535, 700, 65535, 1, 0]]), depth=16, kind=4))
    assert LayoutReader(dataclasses.replace(RGB, ids=(0, 1, 700))).read(path).tolist() == [[0, 2, 3]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_hold_class_ids(tmp_path, depth):
    ids = np.arange(2**depth).reshape(2, -1)
    path = tmp_path / "a.png"
    path.write_bytes(raw_png(ids, depth))
    table = ClassTable(tuple("abcdefghijklmnop"), tuple((i, 0, 0) for i in range(16)), tuple(range(16)), (99,))
    np.testing.assert_array_equal(LayoutReader(table).read(path), ids)


def test_ids_beyond_16_bits_are_not_mistaken_for_the_largest(tmp_path):
    path = save(tmp_path / "a.tif", [[-1, 70000]], np.int32)
    assert "class ids -1, 70000; expected" in error_of(path, dataclasses.replace(RGB, void_ids=(65535,)))
    everything_else = dataclasses.replace(RGB, void_ids=None)
    assert LayoutReader(everything_else).read(path).tolist() == [[3, 3]]


def test_the_expected_ids_leave_out_void_at_zero(tmp_path):
    table = ClassTable(("a", "b"), (RED, GREEN), ids=(1, 2), void_ids=(0,))
    assert error_of(save(tmp_path / "a.png", [[3]]), table).endswith("class ids 3; expected 1..2 or 0 (void)")


@pytest.mark.parametrize("alpha", [None, 255])
def test_a_colour_layout_is_read_by_the_palette(tmp_path, alpha):
    colors = [[[*c] + ([alpha] if alpha else []) for c in (BLUE, RED, BLACK, GREEN)]]
    reader = LayoutReader(RGB)
    assert reader.read(save(tmp_path / "a.png", colors)).tolist() == [[2, 0, 3, 1]]
    assert reader.warning() is None


@pytest.mark.parametrize("black", [1, 9])  # of 12 pixels: void says nothing about colours or indices
def test_a_palette_png_in_the_tables_colours_is_read_by_them(tmp_path, black):
    indices = [[0] * black + [1, 2, 3] * ((12 - black) // 3)]
    reader = LayoutReader(RGB)
    layout = reader.read(save_palette(tmp_path / "a.png", indices, [BLACK, BLUE, GREEN, RED]))
    assert layout.tolist() == [[{0: 3, 1: 2, 2: 1, 3: 0}[i] for i in indices[0]]]
    assert reader.warning() is None


def test_a_palette_png_in_other_colours_is_read_by_its_indices(tmp_path):
    greys = [(i, i, i) for i in range(10)]
    reader = LayoutReader(RGB)
    layout = reader.read(save_palette(tmp_path / "a.png", [[0, 1, 2, 9, 0, 0, 0]], greys))
    assert layout.tolist() == [[0, 1, 2, 3, 0, 0, 0]] and reader.warning() is None


def test_a_palette_png_in_other_colours_has_its_indices_checked(tmp_path):
    path = save_palette(tmp_path / "a.png", [[0, 5]], [PINK] * 6)
    assert error_of(path).endswith("has class ids 5; expected 0..2 or 9 (void)")


def test_a_palette_png_with_some_other_colours_is_still_read_by_colours(tmp_path):
    reader = LayoutReader(RGB)
    path = save_palette(tmp_path / "a.png", [[0, 0, 0, 1]], [BLUE, PINK])
    assert reader.read(path).tolist() == [[2, 2, 2, 3]]
    assert "1 pixels (25.0%) in 1 of 1 " in reader.warning() and str(PINK) in reader.warning()


@pytest.mark.filterwarnings("error::UserWarning")  # Pillow on opacities of a palette
def test_an_opaque_palette_png_that_says_so_is_read_by_its_colours(tmp_path):
    path = save_palette(tmp_path / "a.png", [[0, 0, 0, 1]], [BLUE, PINK], transparency=b"\xff\xff")
    reader = LayoutReader(RGB)
    assert reader.read(path).tolist() == [[2, 2, 2, 3]] and str(PINK) in reader.warning()


def test_unknown_colours_become_void_and_are_counted_over_all_files(tmp_path):
    reader = LayoutReader(RGB)
    assert reader.warning() is None
    reader.read(save(tmp_path / "ids.png", [[0, 1]]))  # not a colour layout: does not count
    reader.read(save(tmp_path / "good.png", [[RED, BLACK]]))
    assert reader.warning() is None
    second = save(tmp_path / "second.png", [[RED, PINK], [PINK, (1, 1, 1)]])
    assert reader.read(second).tolist() == [[0, 3], [3, 3]]
    assert "2 pixels (33.3%) in 1 of 2 colour layouts" in reader.warning()
    assert "1 pixels are up to 1 levels off a colour of the palette" in reader.warning()  # black is void
    reader.read(save(tmp_path / "third.png", np.full((40, 50, 3), 77)))
    assert "2,002 pixels (99.8%) in 2 of 3 colour layouts" in reader.warning()
    assert f"for example {PINK} in {second}; if it should be a class" in reader.warning()
    assert "\n" not in reader.warning()


def test_clear_pixels_are_void_whatever_is_below_and_painted_ones_are_not(tmp_path):
    reader = LayoutReader(RGB)
    grey = save(tmp_path / "grey.png", [[[0, 255], [1, 254], [2, 128], [2, 127], [77, 0]]])
    assert Image.open(grey).mode == "LA" and reader.read(grey).tolist() == [[0, 1, 2, 3, 3]]
    colors = save(tmp_path / "a.png", [[[*RED, 255], [*GREEN, 128], [*BLUE, 127], [*PINK, 0]]])
    assert reader.read(colors).tolist() == [[0, 1, 3, 3]]
    ids = save(tmp_path / "ids.png", [[[1, 1, 1, 255], [2, 2, 2, 200], [255, 255, 255, 0], [9, 8, 7, 3]]])
    assert reader.read(ids).tolist() == [[1, 2, 3, 3]]
    assert reader.warning() is None and reader.unknown_share() == 0


def test_a_transparent_colour_is_void(tmp_path):
    path = save_palette(tmp_path / "a.png", [[0, 1, 2]], [RED, GREEN, PINK], transparency=b"\xff\x00\x00")
    reader = LayoutReader(RGB)
    assert reader.read(path).tolist() == [[0, 3, 3]]
    Image.fromarray(np.array([[RED, GREEN, BLUE]], np.uint8)).save(tmp_path / "b.png", transparency=BLUE)
    assert reader.read(tmp_path / "b.png").tolist() == [[0, 1, 3]] and reader.warning() is None


def test_transparent_ids_are_ids_all_the_same(tmp_path):
    """Tools make index 0 transparent, to be drawn over a photograph; flattening would destroy it."""
    reader = LayoutReader(RGB)
    path = save_palette(tmp_path / "a.png", [[0, 1, 2, 5]], [BLACK, PINK, PINK, PINK, PINK, PINK], transparency=0)
    assert "class ids 5; expected" in error_of(path)
    save_palette(path, [[0, 1, 2, 5]], [BLACK, PINK, PINK] * 2, transparency=b"\x00\xff\xff\xff\xff\x00")
    assert reader.read(path).tolist() == [[0, 1, 2, 3]]  # 5 is no class, and clear
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(path, transparency=0)
    assert reader.read(path).tolist() == [[0, 1, 2]]


# --- ids in the pixels of colours


@pytest.mark.parametrize("channels", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("alpha", [None, 255])
def test_ids_may_be_in_all_channels_or_in_one(tmp_path, channels, alpha):
    pixels = [[[i * c for c in channels] + ([] if alpha is None else [alpha]) for i in (0, 1, 2, 9)]]
    reader = LayoutReader(RGB)
    assert reader.read(save(tmp_path / "a.png", pixels)).tolist() == [[0, 1, 2, 3]] and reader.warning() is None


def test_grey_colours_of_the_table_are_colours(tmp_path):
    building, pole = (70, 70, 70), (153, 153, 153)
    path = save(tmp_path / "a.png", [[building, pole, BLACK, (20, 20, 20)]])
    assert LayoutReader(CITYSCAPES).read(path).tolist() == [[2, 5, 19, 19]]


def test_colours_of_16_bits_that_are_ids_are_not_taken_for_black(tmp_path):
    row = b"\0" + b"".join(struct.pack(">3H", i, i, i) for i in (0, 1, 2))
    header = chunk(b"IHDR", struct.pack(">2I5B", 3, 1, 16, 2, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b""))
    assert "colours of 16 bits per channel that are all nearly black; expected" in error_of(path)


# --- colours that are nearly the table's


def test_colours_a_few_levels_off_are_the_tables_and_said(tmp_path):
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    exact = colorize(ids, CITYSCAPES).astype(int)
    moved = np.clip(exact + np.random.default_rng(0).integers(-2, 3, exact.shape), 0, 255)
    reader = LayoutReader(CITYSCAPES)
    np.testing.assert_array_equal(reader.read(save(tmp_path / "a.png", moved)), ids)
    assert "levels off a colour of the palette, and count as it" in reader.warning() and "up to 2" in reader.warning()
    assert reader.unknown_share() == 0


def test_soft_edges_take_the_nearer_side(tmp_path):
    colors = np.zeros((9, 40, 3), np.uint8)
    colors[:, :20], colors[:, 20:] = RED, GREEN
    blurred = np.array(Image.fromarray(colors).filter(ImageFilter.BoxBlur(1)))
    reader = LayoutReader(RGB)
    assert len(np.unique(blurred.reshape(-1, 3), axis=0)) == 4
    expected = np.repeat([[0] * 20 + [1] * 20], 9, 0)
    np.testing.assert_array_equal(reader.read(save(tmp_path / "a.png", blurred)), expected)
    assert "18 pixels at edges are blends of two colours" in reader.warning() and reader.unknown_share() == 0


def test_a_thin_line_of_another_colour_is_no_edge(tmp_path):
    colors = np.zeros((9, 40, 3), np.uint8)
    colors[:, :20], colors[:, 20:], colors[:, 20] = RED, GREEN, PINK
    reader = LayoutReader(RGB)
    assert (reader.read(save(tmp_path / "a.png", colors))[:, 20] == 3).all()
    assert "9 pixels (2.5%) in 1 of 1 colour layouts read have a colour outside the palette" in reader.warning()
    assert f"(the nearest is a {RED}, 200 levels off)" in reader.warning()
    assert reader.unknown_share() == pytest.approx(9 / 360)


def test_the_unknown_share_leaves_void_and_clear_pixels_out(tmp_path):
    reader = LayoutReader(RGB)
    assert reader.unknown_share() == 0
    pixels = np.zeros((1, 100, 4), np.uint8)  # half of it clear, a quarter void
    pixels[0, 50:] = [*BLACK, 255]
    pixels[0, 75:], pixels[0, 80:] = [*RED, 255], [200, 200, 30, 255]
    reader.read(save(tmp_path / "a.png", pixels))
    assert reader.unknown_share() == pytest.approx(20 / 25)
    reader.read(tmp_path / "a.png")  # a second time, as training does: it counts once
    assert "20 pixels (20.0%) in 1 of 1 " in reader.warning()


def test_ids_above_the_tables_are_unknown_where_every_other_id_is_void(tmp_path):
    reader = LayoutReader(CITYSCAPES)
    reader.read(save(tmp_path / "a.png", [[7, 0, 255, 40]]))
    assert reader.unknown_share() == 0.5
    assert "1 pixels (25.0%) in 1 of 1 layouts of ids read have an id above 33" in reader.warning()


def test_threads_lose_no_count(tmp_path):
    paths = [save(tmp_path / f"{i}.png", [[RED, PINK]]) for i in range(40)]
    reader = LayoutReader(RGB)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(reader.read, paths * 3))
    assert reader.warning().startswith("40 pixels (50.0%) in 40 of 40 colour layouts")


# --- conventions


def test_the_convention_says_how_files_are_read(tmp_path):
    grey, colors = save(tmp_path / "grey.png", [[0, 1, 2, 9]]), save(tmp_path / "colors.png", [[RED, GREEN, BLUE]])
    black = save(tmp_path / "black.png", [[BLACK]])
    indexed = save_palette(tmp_path / "indexed.png", [[0, 1, 2]], [BLUE, GREEN, RED])
    by_ids, by_colors = (LayoutReader(Convention(form, RGB, "")) for form in ("ids", "colours"))
    assert by_ids.read(grey).tolist() == [[0, 1, 2, 3]] and by_ids.read(black).tolist() == [[0]]
    assert by_ids.read(indexed).tolist() == [[0, 1, 2]] and by_colors.read(indexed).tolist() == [[2, 1, 0]]
    assert by_colors.read(colors).tolist() == [[0, 1, 2]] and by_colors.read(black).tolist() == [[3]]
    with pytest.raises(UserError, match="has colours, where the labels of its data set hold class ids"):
        by_ids.read(colors)
    assert by_colors.read(save(tmp_path / "white.png", [[255]])).tolist() == [[3]] and by_colors.unknown_share() > 0


def test_a_jpeg_of_colours_is_read_where_the_convention_says_colours(tmp_path):
    ids = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 3, (4, 8)), 16, 0), 16, 1).astype(np.uint8)
    Image.fromarray(colorize(ids, RGB)).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    Image.fromarray(colorize(ids, RGB)).save(tmp_path / "a.webp", quality=90)
    Image.fromarray(colorize(ids, RGB)).save(tmp_path / "b.webp", lossless=True)
    reader = LayoutReader(Convention("colours", RGB, ""))
    assert (reader.read(tmp_path / "a.jpg") == ids).mean() > 0.97 and "levels off" in reader.warning()
    assert "is a JPEG, which blurs" in error_of(tmp_path / "a.jpg")
    assert "is a lossy WebP, which blurs" in error_of(tmp_path / "a.webp")
    np.testing.assert_array_equal(LayoutReader(RGB).read(tmp_path / "b.webp"), ids)


def test_the_palette_of_labelling_tools_says_nothing_of_classes(tmp_path):
    """Pascal VOC's colours, three of which are this table's, for other classes."""
    red, green, olive = [tuple(color) for color in VOC_COLORS[[1, 2, 3]].tolist()]
    table = ClassTable(("a", "b", "c", "d"), (olive, red, green, PINK), (0, 1, 2, 3), (255,))
    reader = LayoutReader(table)
    path = save_palette(tmp_path / "a.png", [[0, 1, 2, 3, 255]], VOC_COLORS.tolist())
    assert reader.read(path).tolist() == [[0, 1, 2, 3, 4]]
    path = save_palette(tmp_path / "b.png", [[0, 1, 2]], [BLACK, green, olive])  # not that palette
    assert reader.read(path).tolist() == [[4, 2, 0]]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "called.png"])
def test_a_jpeg_is_no_layout_whatever_it_is_called(tmp_path, name):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name, format="JPEG")
    assert "is a JPEG, which blurs class ids and colours; expected a PNG" in error_of(tmp_path / name)


def test_other_kinds_of_pixels_are_refused(tmp_path):
    assert "pixels of kind F; expected class ids (grey) or palette colours" in error_of(
        save(tmp_path / "a.tif", [[0.5, 1]], np.float32)
    )


def test_missing_and_damaged_layouts_are_named(tmp_path):
    assert error_of(tmp_path / "missing.png").startswith("no image ")
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 3, (64, 64)))
    path.write_bytes(path.read_bytes()[:300])
    assert error_of(path).startswith("cannot read the image ")


@pytest.mark.parametrize("fit", ["resize", "crop"])
def test_a_layout_is_halved_by_picking_pixels(tmp_path, fit):
    ids = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 3, (8, 16)), 2, 0), 2, 1)
    path = save(tmp_path / "a.png", ids)
    np.testing.assert_array_equal(LayoutReader(RGB).read(path, (8, 16), fit), ids[::2, ::2])


def test_crop_cuts_a_layouts_centre(tmp_path):
    path = save(tmp_path / "a.png", np.repeat([[0, 1, 1, 1, 1, 2]], 2, 0))
    assert LayoutReader(RGB).read(path, (2, 4), "crop").tolist() == [[1, 1, 1, 1]] * 2
    assert LayoutReader(RGB).read(path, (2, 3), "resize").tolist() == [[1, 1, 2]] * 2


# --- properties

colors = st.tuples(*[st.integers(0, 255)] * 3)
tables = st.lists(colors.filter(any), min_size=1, max_size=30, unique=True)
sides = st.integers(1, 40)


@settings(max_examples=25, deadline=None)
@given(tables, st.data())
def test_every_layout_survives_being_painted_and_read_again(tmp_path_factory, palette, data):
    table = ClassTable(tuple(map(str, palette)), tuple(palette), tuple(range(len(palette))), (255,))
    ids = data.draw(arrays(np.uint8, st.tuples(sides, sides), elements=st.integers(0, len(palette))))
    path = tmp_path_factory.mktemp("layout") / "a.png"
    reader = LayoutReader(table)
    np.testing.assert_array_equal(reader.read(save(path, colorize(ids, table))), ids)
    assert reader.warning() is None


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(sides, sides)), st.tuples(sides, sides), st.sampled_from(["resize", "crop"]))
def test_nearest_resizing_never_invents_an_id_and_keeps_neighbours_in_order(ids, size, fit):
    rows = np.broadcast_to(np.arange(ids.shape[0], dtype=np.uint8)[:, None], ids.shape)
    resized, row_of = (np.asarray(resize(Image.fromarray(a), size, fit, Image.Resampling.NEAREST)) for a in (ids, rows))
    assert resized.shape == size and set(resized.ravel()) <= set(ids.ravel())
    assert (np.diff(row_of.astype(int), axis=0) >= 0).all() and (row_of == row_of[:, :1]).all()


# --- real files

RELEASE_LAYOUTS = [
    *[f"cityscapes/Label256Full/{n:08}.png" for n in (100027, 100167, 100338, 100343, 100437, 100499)],
    *[f"cityscapes/Label1024Full/{n:08}.png" for n in (100027, 100499)],
    "GTA/Label256Full/00100370.png",
]


@pytest.mark.parametrize("name", RELEASE_LAYOUTS)
def test_the_releases_colour_layouts_are_understood(shared, name):
    path = shared / "data/release" / name
    layout = LayoutReader(CITYSCAPES).read(path)
    rgb = np.asarray(Image.open(path).convert("RGB"))
    assert layout.shape == rgb.shape[:2]
    slow = np.full(layout.shape, 19)
    for number, color in enumerate(CITYSCAPES.palette):
        slow[(rgb == color).all(-1)] = number
    np.testing.assert_array_equal(layout, slow)
    unknown = (slow == 19) & ~np.any([(rgb == c).all(-1) for c in CITYSCAPES.void_colors], 0)
    assert unknown.mean() < 0.01
    assert len(np.unique(layout)) >= 8 and (layout == 0).mean() > 0.1  # a street: some road, some of much else


def test_the_official_label_ids_are_understood(shared):
    paths = sorted((shared / "data/cityscapes_sample").glob("gtFine/train/*/*_labelIds.png"))
    assert len(paths) == 4
    for path in paths:
        ids = np.asarray(Image.open(path))
        expected = np.full(ids.shape, 19)
        for official, number in OFFICIAL_IDS.items():
            expected[ids == official] = number
        reader = LayoutReader(CITYSCAPES)
        np.testing.assert_array_equal(reader.read(path), expected)
        assert reader.warning() is None and (expected != 19).mean() > 0.8
