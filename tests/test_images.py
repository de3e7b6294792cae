"""Photographs: what is read, what is refused and how it is said, and how sizes change."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.images import image_size, read_photo, resize, write_image
from crn_tf.data.layouts import LayoutReader
from crn_tf.errors import UserError
from tests.conftest import ROOT
from tests.fuzz_readers import exif as camera_exif
from tests.fuzz_readers import png_chunk

COLORS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)  # 2x2
GREYS = np.array([[0, 80], [160, 255]], np.uint8)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def error_of(path, size=(2, 2)):
    """The message, which must be one line that names the file."""
    with pytest.raises(UserError) as caught:
        read_photo(path, size)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def with_alpha(pixels, alpha):
    return Image.fromarray(np.dstack([pixels, np.array(alpha, np.uint8)]))


def paletted(**info):
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    image.putpalette(COLORS.tobytes())
    image.info |= info
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(COLORS), COLORS),
        (Image.fromarray(GREYS), np.dstack([GREYS] * 3)),
        (paletted(), COLORS),
        (with_alpha(COLORS, [[255, 255]] * 2), COLORS),
        (with_alpha(GREYS, [[255, 255]] * 2), np.dstack([GREYS] * 3)),
        (Image.fromarray(np.array([[True, False], [False, True]])), np.dstack([np.eye(2, dtype=np.uint8) * 255] * 3)),
    ],
    ids=["RGB", "grey", "palette", "opaque RGBA", "opaque grey with alpha", "1 bit"],
)
def test_a_lossless_photograph_of_each_kind_becomes_exact_rgb(tmp_path, image, expected):
    image.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", (2, 2))
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, expected)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("RGB", (16, 16), (250, 20, 20)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    photo = read_photo(tmp_path / "a.jpg", (16, 16))
    assert np.abs(photo.astype(int) - (250, 20, 20)).max() <= 5


def test_transparent_pixels_are_refused(tmp_path):
    with_alpha(COLORS, [[255, 254], [255, 255]]).save(tmp_path / "a.png")
    assert re.search("transparent pixels; expected an opaque picture", error_of(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("image", "transparency"), [(Image.fromarray(COLORS), (0, 0, 255)), (Image.fromarray(GREYS), 80), (paletted(), 2)]
)
def test_a_transparent_colour_is_refused(tmp_path, image, transparency):
    image.save(tmp_path / "a.png", transparency=transparency)
    assert "transparent pixels" in error_of(tmp_path / "a.png")


def test_the_opacity_of_more_colours_than_there_can_be_is_refused(tmp_path):
    path = tmp_path / "a.png"
    paletted().save(path)
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    path.write_bytes(content[:at] + png_chunk(b"tRNS", b"\xff" * 299 + b"\0") + content[at:])
    assert error_of(path).startswith("cannot read the image ")
    with pytest.raises(UserError, match="cannot read the image "):
        LayoutReader(CITYSCAPES).read(path)


def test_a_transparent_colour_that_no_pixel_has_is_no_transparency(tmp_path):
    Image.fromarray(COLORS).save(tmp_path / "a.png", transparency=(1, 2, 3))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png", (2, 2)), COLORS)


@pytest.mark.parametrize(("kind", "name"), [(np.uint16, "a.png"), (np.int32, "a.tif"), (np.float32, "a.tif")])
def test_more_than_8_bits_are_refused(tmp_path, kind, name):
    Image.fromarray(np.array([[0, 300], [40000, 65535]], kind)).save(tmp_path / name)
    assert "16 or 32 bits per channel; expected a photograph with 8" in error_of(tmp_path / name)


def test_a_missing_photograph(tmp_path):
    assert error_of(tmp_path / "a.png").startswith("no image ")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("content", [b"", b"hello, I am a text"])
def test_what_is_no_picture_is_called_so(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert ": not a picture, or its header is damaged; expected PNG, JPEG" in error_of(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: not a picture"):
        image_size(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
def test_a_truncated_photograph_is_refused(tmp_path, name, kept):
    Image.fromarray(noise(64, 64)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    assert error_of(tmp_path / name, (64, 64)).startswith("cannot read the image ")


def test_a_damaged_chunk_is_refused(tmp_path):
    Image.fromarray(noise(64, 64)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    assert error_of(tmp_path / "a.png", (64, 64)).startswith("cannot read the image ")


def unturned(stored):
    return stored


def upright(stored):
    """Orientation 6, as in `camera_exif`."""
    return np.rot90(stored, -1)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, unturned),
        (2, np.fliplr),
        (3, lambda stored: np.rot90(stored, 2)),
        (4, np.flipud),
        (5, lambda stored: np.swapaxes(stored, 0, 1)),
        (6, upright),
        (7, lambda stored: np.rot90(np.flipud(stored))),
        (8, np.rot90),
        (9, unturned),  # which means nothing
    ],
)
def test_a_photograph_is_turned_as_its_camera_said(tmp_path, name, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = noise(3, 5)
    Image.fromarray(stored).save(tmp_path / name, exif=exif, lossless=True)
    shown = turned(stored)
    assert image_size(tmp_path / name) == shown.shape[:2]
    np.testing.assert_array_equal(read_photo(tmp_path / name, shown.shape[:2]), shown)


def encoded(pixels, kind, exif=b"") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, exif=exif, lossless=True)
    return buffer.getvalue()


def damaged_exif():
    """A camera's EXIF cut off anywhere, and with any byte changed, but never to another orientation that exists."""
    good = camera_exif()
    for at in range(1, len(good)):
        yield good[:at]
        for changed in (good[at] ^ 0xFF, good[at] ^ 8):
            yield good[:at] + bytes([changed]) + good[at + 1 :]


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow on the damage
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_sound_photograph_with_damaged_exif_is_read_turned_or_as_it_is_stored(tmp_path, kind):
    path = tmp_path / "a.png"  # whatever the file is called
    pixels = noise(3, 5)
    path.write_bytes(encoded(pixels, kind))
    stored = read_photo(path, (3, 5))
    shapes = set()
    for exif in damaged_exif():
        path.write_bytes(encoded(pixels, kind, exif))
        size = image_size(path)
        np.testing.assert_array_equal(read_photo(path, size), upright(stored) if size == (5, 3) else stored)
        shapes.add(size)
    assert shapes == {(3, 5), (5, 3)}


@pytest.mark.parametrize("ahead", [True, False])
def test_only_exif_ahead_of_a_pngs_pixels_turns_it(tmp_path, ahead):
    pixels, path = noise(3, 5), tmp_path / "a.png"
    content, chunk = encoded(pixels, "PNG"), png_chunk(b"eXIf", camera_exif().removeprefix(b"Exif\0\0"))
    at = content.index(b"IDAT" if ahead else b"IEND") - 4
    path.write_bytes(content[:at] + chunk + content[at:])
    shown = upright(pixels) if ahead else pixels
    assert image_size(path) == shown.shape[:2]
    np.testing.assert_array_equal(read_photo(path, shown.shape[:2]), shown)


def read_all(folder, before="") -> str:
    """What a process prints that reads all pictures in a folder, in several threads."""
    code = f"""
import sys, warnings, logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy, PIL.Image
def of_the_process():
    logger = logging.getLogger("PIL")
    return warnings.filters[:], warnings.showwarning, logger.handlers[:], logger.filters[:], logger.level
found = of_the_process()
from crn_tf.data.images import image_size, read_photo
assert of_the_process() == found, "by the import"
{before}
found = of_the_process()
with ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda path: (image_size(path), read_photo(path, (3, 5))), Path(sys.argv[1]).iterdir()))
assert of_the_process() == found, "by reading"
"""
    child = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    return child.stdout + child.stderr


@pytest.fixture
def damaged(tmp_path):
    """Sound photographs with damaged EXIF."""
    for number, exif in enumerate(damaged_exif()):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(noise(3, 5), "JPEG", exif))
    return tmp_path


def test_a_program_that_reads_pictures_keeps_its_own_warnings_and_logging(damaged):
    assert "UserWarning" in read_all(damaged)


def test_pillow_prints_nothing_about_damaged_exif_in_a_command(damaged):
    assert read_all(damaged, before="from crn_tf.starting import silence_pillow; silence_pillow()") == ""


def test_image_size_is_height_and_width_from_the_header_alone(tmp_path):
    Image.fromarray(noise(64, 80)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:200])
    assert image_size(tmp_path / "a.png") == (64, 80)


def test_reduction_is_antialiased(tmp_path):
    checkerboard = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checkerboard).save(tmp_path / "a.png")
    assert np.abs(read_photo(tmp_path / "a.png", (16, 16)).astype(int) - 127.5).max() <= 3


def test_enlarging_keeps_the_borders_of_the_picture_in_place(tmp_path):
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), 2, 0)).save(tmp_path / "a.png")
    row = read_photo(tmp_path / "a.png", (8, 8))[3, :, 0].astype(int)
    assert row[0] <= 5 and row[-1] >= 250 and abs(row[3] + row[4] - 255) <= 1  # the edge stays in the middle


def ramps(height, width):
    """Red is the column's number, green the row's, so that a pixel tells where it came from."""
    rows, columns = np.indices((height, width))
    return np.dstack([columns, rows, rows * 0]).astype(np.uint8)


@pytest.mark.parametrize(
    ("stored", "wanted", "first", "last"),  # (column, row) of the source that the corners show
    [
        ((40, 200), (40, 80), (60, 0), (139, 39)),  # too wide: the sides go
        ((200, 40), (20, 40), (0, 90), (39, 109)),  # too tall: top and bottom go
        ((100, 200), (50, 100), (0.5, 0.5), (198.5, 98.5)),  # the same shape: nothing goes
        ((90, 120), (32, 64), (0.4, 15.4), (118.6, 73.6)),  # reduced, and top and bottom go
    ],
)
def test_crop_cuts_the_centre_without_stretching(tmp_path, stored, wanted, first, last):
    Image.fromarray(ramps(*stored)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", wanted, "crop").astype(float)
    assert photo.shape == (*wanted, 3)
    np.testing.assert_allclose(photo[0, 0, :2], first, atol=1.1)
    np.testing.assert_allclose(photo[-1, -1, :2], last, atol=1.1)


def test_resize_stretches_to_the_whole_picture(tmp_path):
    Image.fromarray(ramps(40, 200)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", (40, 50)).astype(float)
    np.testing.assert_allclose(photo[0, [0, -1], 0], (1.5, 197.5), atol=1.1)


@pytest.mark.parametrize("fit", ["resize", "crop"])
@pytest.mark.parametrize("wanted", [(30, 40), (16, 64), (64, 16), (120, 160), (33, 47)])
def test_a_photograph_and_its_layout_stay_aligned(wanted, fit):
    rows, columns = np.indices((75, 100))
    quarters = ((rows >= 30) ^ (columns >= 55)).astype(np.uint8)
    layout = np.asarray(resize(Image.fromarray(quarters), wanted, fit, Image.Resampling.NEAREST))
    photo = np.asarray(resize(Image.fromarray(quarters * 255), wanted, fit, Image.Resampling.BICUBIC)) / 255
    flat = (photo < 0.02) | (photo > 0.98)
    assert flat.mean() > 0.7 and set(layout[flat]) == {0, 1}
    np.testing.assert_array_equal(np.round(photo)[flat], layout[flat])


def test_a_png_is_written_exactly(tmp_path):
    write_image(tmp_path / "new" / "a.png", noise(20, 30))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), noise(20, 30))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_a_jpeg_is_written_closely_with_full_colour_resolution(tmp_path, name):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2] = (200, 30, 30)  # thin red lines, which halved chroma would wash out
    write_image(tmp_path / name, pixels)
    with Image.open(tmp_path / name) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 4


def test_writing_into_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"cannot make the folder .*/taken"):
        write_image(tmp_path / "taken" / "a.png", noise(2, 2))
