"""Files that mean harm are refused with one line, or read: without much memory, without waiting, without a crash."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, read_class_table
from crn_tf.data.datasets import find_kind, layout_files, loose_layouts, open_data_set, splits
from crn_tf.data.images import MAX_PIXELS, image_size, read_image, read_photo
from crn_tf.data.layouts import LayoutReader
from crn_tf.errors import UserError, unprintable
from crn_tf.files import SMALL
from crn_tf.model.loss_weights import TAP_NAMES, find_loss_weights
from crn_tf.training.flags import DEMO
from crn_tf.training.settings import TrainSettings
from tests.conftest import ROOT
from tests.fuzz_readers import interlaced_rows, png, png_chunk
from tests.hostile import read_guarded

IMAGES = "from pathlib import Path; from crn_tf.data.images import image_size, read_photo"


def rgb_rows(height, width, value=7) -> bytes:
    return (b"\0" + bytes([value]) * (3 * width)) * height


def jpeg(height, width) -> bytes:
    """A JPEG of 64x64 whose header says another size."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    content = buffer.getvalue()
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


def webp(side) -> bytes:
    """An animated WebP of which only the canvas is there."""
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 2) + (side - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp(height, width) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    content = buffer.getvalue()
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


def tiff(height, width) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (77, 33)).save(buffer, "TIFF")
    content = buffer.getvalue()
    for tag, before, after in ((256, 77, width), (257, 33, height)):  # each one long number
        entry = struct.pack("<HHLL", tag, 4, 1, before)
        assert entry in content
        content = content.replace(entry, struct.pack("<HHLL", tag, 4, 1, after))
    return content


def refusal(read, *arguments) -> str:
    """The message of a refusal, which must be one short line."""
    with pytest.raises(UserError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and not unprintable(message)
    return message


# --- pictures


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", png(50_000, 50_000, rgb_rows(10, 10))),
        ("a.jpg", jpeg(50_000, 50_000)),
        ("a.webp", webp(16_384)),
        ("a.bmp", bmp(50_000, 50_000)),
        ("a.tif", tiff(50_000, 50_000)),
        ("few_rows.png", png(8000, 8000, rgb_rows(10, 10))),
        ("few_rows.jpg", jpeg(8000, 8000)),
        ("few_rows.bmp", bmp(8000, 8000)),
    ],
)
def test_a_header_that_promises_too_much_costs_no_memory(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert len(content) < 20_000
    found = read_guarded(IMAGES, "read_photo(Path(sys.argv[1]), (8, 8))", path, gigabytes=2)
    assert found.outcome == "refused" and str(path) in found.message and "\n" not in found.message
    assert found.megabytes < 300
    if not name.startswith("few"):
        assert "header" in found.message
        assert refusal(image_size, path) == found.message


def test_a_picture_that_inflates_to_more_than_is_allowed_is_refused_from_its_header(tmp_path):
    path = tmp_path / "a.png"
    height, width = 40_000, 50_000
    deflate = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    with open(path, "wb") as file:  # black, one bit a pixel: all of it is there
        data = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
        header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
        file.write(
            b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
        )
    found = read_guarded(IMAGES, "read_photo(Path(sys.argv[1]), (8, 8))", path, gigabytes=2)
    assert found.outcome == "refused" and found.megabytes < 50
    assert "header" in found.message and f"{MAX_PIXELS:,} pixels" in found.message


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("missing", [1, 19, 20])
def test_a_png_that_lacks_rows_is_refused(tmp_path, missing, value):
    path = tmp_path / "a.png"
    path.write_bytes(png(20, 10, rgb_rows(20 - missing, 10, value)))
    expected = "image file is truncated" if missing == 20 else "fewer pixels than its header says: it is damaged"
    assert expected in refusal(read_image, path)
    path.write_bytes(png(20, 10, rgb_rows(20, 10, value)))
    assert (np.asarray(read_image(path)) == value).all()


@pytest.mark.parametrize("kind", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 33)])
def test_a_black_png_lacks_nothing(tmp_path, kind, size):
    Image.new(kind, size[::-1]).save(tmp_path / "a.png")
    assert not np.asarray(read_image(tmp_path / "a.png")).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8), (9, 21)])
def test_an_interlaced_png_is_read_and_may_lack_no_row_either(tmp_path, size):
    picture = np.random.default_rng(0).integers(1, 256, size, np.uint8)
    rows = interlaced_rows(picture)
    path = tmp_path / "a.png"
    path.write_bytes(png(*size, rows, color=0, interlaced=1))
    np.testing.assert_array_equal(read_image(path), picture)
    path.write_bytes(png(*size, rows[: -1 - size[1]], color=0, interlaced=1))
    assert re.search("fewer pixels than its header says|image file is truncated", refusal(read_image, path))


@pytest.mark.parametrize(
    "content",
    [
        png(20, 10, rgb_rows(20, 10), header_damage=1),  # the header's checksum
        png(20, 10, rgb_rows(20, 10), color=9),
        png(0, 10, b""),
        png(20, 10, rgb_rows(20, 10))[:-30],  # cut off
        png(20, 10, rgb_rows(20, 10), level=0).replace(b"\x07" * 30, b"\x07" * 29 + b"\x08", 1),  # the data's checksum
    ],
)
def test_a_png_with_a_wrong_checksum_or_header_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert "cannot read the image " in refusal(read_image, tmp_path / "a.png")


def test_a_real_jpeg_of_one_colour_is_not_taken_for_a_lie(tmp_path):
    Image.new("L", (4000, 3000), 90).save(tmp_path / "a.jpg", quality=1, optimize=True)
    Image.new("RGB", (4000, 3000)).save(tmp_path / "b.jpg", quality=1, optimize=True, progressive=True, subsampling=2)
    for name in ("a.jpg", "b.jpg"):
        assert image_size(tmp_path / name) == (3000, 4000)
        read_photo(tmp_path / name, (30, 40))


def test_pictures_that_are_programs_are_not_run(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    assert "not a picture" in refusal(read_image, tmp_path / "a.png")


def test_a_jpeg_with_a_preview_behind_it_is_no_layout_either(tmp_path):
    pictures = [Image.new("L", (8, 8)) for _ in range(2)]
    pictures[0].save(tmp_path / "a.png", "MPO", save_all=True, append_images=pictures[1:])
    assert "is a JPEG, which blurs" in refusal(LayoutReader(CITYSCAPES).read, tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png", (8, 8)).max() <= 1


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        assert "expected a file" in refusal(read_image, path)
        assert "expected a file" in refusal(read_class_table, path)


# --- JSON


def deep(brackets: str) -> str:
    return brackets[0] * 100_000 + brackets[1] * 100_000


def good_settings() -> dict:
    return json.loads(DEMO.resolved().to_json())


READERS = {
    "classes.json": read_class_table,
    "weights.json": lambda path: find_loss_weights(str(path)),
    "settings.json": TrainSettings.read,
}


@pytest.mark.parametrize("name", READERS)
def test_a_huge_json_file_is_not_read_into_memory(tmp_path, name):
    path = tmp_path / name
    with open(path, "w") as file:
        file.write('{"names": [')
        for _ in range(100):
            file.write('"road",' * 150_000)
        file.write('"road"]}')
    assert path.stat().st_size > 100_000_000
    setup = (
        "from pathlib import Path; from crn_tf.training.settings import TrainSettings;"
        "from crn_tf.data.class_tables import read_class_table; from crn_tf.model.loss_weights import find_loss_weights"
    )
    calls = {
        "classes.json": "read_class_table(Path(sys.argv[1]))",
        "weights.json": "find_loss_weights(sys.argv[1])",
        "settings.json": "TrainSettings.read(Path(sys.argv[1]))",
    }
    found = read_guarded(setup, calls[name], path, gigabytes=2)
    assert found.outcome == "refused" and found.megabytes < 20
    assert str(path) in found.message and f"larger than {SMALL:,} bytes" in found.message


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content",
    [
        deep("[]"),
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '{"names": ' + deep("[]") + ', "palette": [[1, 2, 3]], "void": 0}',
        "9" * 10_000,
        "\ufeff{}",
        '"\\ud800"',
        "[" + "NaN," * 10 + "NaN]",
        '{"data": ["x"], "cache": null, "init_from": null}',
    ],
    ids=[
        "lists",
        "objects",
        "inside",
        "long number",
        "byte order mark",
        "half a character",
        "nan",
        "a list for a path",
    ],
)
def test_json_that_means_harm_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert str(tmp_path / name) in refusal(READERS[name], tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff\xfe" * 20)
    assert str(tmp_path / name) in refusal(READERS[name], tmp_path / name)


@pytest.mark.parametrize("void", [10**4000, "x" * 100_000, [[[[[]]]]], "a\nb"])
def test_a_value_that_fills_a_page_is_shown_short(tmp_path, void):
    values = {"names": ["a"], "palette": [[1, 2, 3]], "void": void}
    (tmp_path / "classes.json").write_text(json.dumps(values))
    assert "; expected the id of void" in refusal(read_class_table, tmp_path / "classes.json")


def test_class_names_are_shown_in_one_line(tmp_path):
    values = {"names": ["sky\nerror: all is lost"], "palette": [[1, 2, 3]], "void": 9}
    (tmp_path / "classes.json").write_text(json.dumps(values))
    assert r"'sky\nerror: all is lost' has a line break" in refusal(read_class_table, tmp_path / "classes.json")


@pytest.mark.parametrize("value", [10**400, 1e38, float("inf"), float("nan"), [[]] * 1000])
def test_loss_weights_stay_in_the_range_of_float32(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps({**dict.fromkeys(TAP_NAMES, 1), "conv2_2": value}))
    assert "expected a number, zero or greater" in refusal(find_loss_weights, str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", "many"), ("images", 1.5), ("flip", 1), ("loss", "best"), ("lr", "0.1"), ("size", 9), ("batch", None)],
)
def test_settings_of_another_type_are_refused(tmp_path, name, value):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(good_settings() | {name: value}))
    assert f"{name} is {value!r}, expected" in refusal(TrainSettings.read, path)
    path.write_text(json.dumps(good_settings()))
    assert TrainSettings.read(path) == DEMO.resolved()


# --- names and links


@pytest.mark.parametrize("name", [b"a\nb.png", b"\xff\xfe.png", b"a\x1b[2J.png", "a\u2028b.png".encode()])
def test_a_name_that_cannot_be_shown_is_refused_and_escaped(folder_data, name):
    for part in ("photos", "labels"):
        folder = folder_data / part / "train"
        os.rename(folder / "0.png", os.path.join(os.fsencode(folder), name))
    message = refusal(open_data_set, folder_data, None, "train", 32)
    assert "has a line break or bytes that are not UTF-8: rename the file" in message
    assert str(folder_data / "photos/train") in message or str(folder_data / "labels/train") in message
    assert "rename the file" in refusal(layout_files, [folder_data / "labels/train"])
    assert "rename the file" in refusal(layout_files, [Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))])


def test_names_in_any_language_are_fine(folder_data):
    for part in ("photos", "labels"):
        os.rename(folder_data / part / "train/0.png", folder_data / part / "train/Straße 東京\u202f1.png")
    data = open_data_set(folder_data, None, "train", 32)
    assert "Straße 東京\u202f1" in [data.name(index) for index in range(len(data))]
    data.check_sizes()


@pytest.mark.parametrize("program", ["train.py", "test.py"])
@pytest.mark.parametrize("argument", [b"a\nb", b"\xff"])
def test_arguments_that_cannot_be_shown_are_escaped(tmp_path, program, argument):
    command = [sys.executable, str(ROOT / program), "--out", argument]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert child.returncode == 2 and child.stdout == b""
    shown = repr(os.fsdecode(argument)).encode()
    assert child.stderr.startswith(b"error: the argument " + shown) and child.stderr.count(b"\n") == 1


def test_links_in_circles_are_refused(folder_data, tmp_path):
    for part in ("photos", "labels"):
        folder = folder_data / part / "train"
        (folder / "loop.png").symlink_to("loop.png")
        (folder / "a").symlink_to("b")
        (folder / "b").symlink_to("a")
        (folder_data / part / "again").symlink_to(folder_data / part)
        (folder_data / part / "nowhere").symlink_to("nowhere")
    data = open_data_set(folder_data, None, "train", 32)
    assert "loop.png: Too many levels of symbolic links" in refusal(data.check_sizes)
    assert data.fingerprint() == open_data_set(folder_data, None, "train", 32).fingerprint()
    assert splits(folder_data, "folder") == ["again", "train", "val"]
    assert "no layouts in the split 'again'" in refusal(open_data_set, folder_data, None, "again", 32)
    for read in (find_kind, lambda path: open_data_set(path, "folder", "train", 32), lambda path: layout_files([path])):
        assert refusal(read, folder_data / "labels/nowhere").startswith("no ")
    loose = loose_layouts([folder_data / "labels/train/loop.png"], CITYSCAPES)
    assert "Too many levels" in refusal(loose.load_layout, 0, (32, 32), "resize")
    (tmp_path / "classes.json").symlink_to("classes.json")
    assert "Too many levels" in refusal(read_class_table, tmp_path / "classes.json")


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    folder = tmp_path / "gtFine/train"
    folder.mkdir(parents=True)
    for name in ("ulm", "bonn"):
        (folder / name).symlink_to(folder)
    assert "no layouts in the split 'train'" in refusal(open_data_set, tmp_path, None, "train", 256, False)
