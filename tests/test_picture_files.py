"""Which files are pictures: endings, hidden files, formats that are not read."""

import io

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.datasets import layout_files, open_data_set
from crn_tf.data.images import SUFFIXES, read_image, read_photo
from crn_tf.data.picture_files import foreign, pictures, pictures_inside
from crn_tf.errors import UserError
from tests.drawn_data import draw_label, draw_pairs, draw_photo

SIZE = (8, 16)
IDS = np.arange(128, dtype=np.uint8).reshape(SIZE) % 19


def test_hidden_files_are_no_pictures(tmp_path):
    """macOS leaves `._NAME` beside every file on drives of other systems, and archives bring them along."""
    draw_pairs(tmp_path, ["photos/train/a.jpg", "photos/val/b.jpg"], ["labels/train/a.png", "labels/val/b.png"])
    for path in [*tmp_path.glob("*/*/*"), *tmp_path.glob("*/*")]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        ")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "photos/train" / name).write_text("x")
    draw_label(tmp_path / "labels/train/@eaDir/a.png")
    draw_label(tmp_path / "labels/train/__MACOSX/a.png")
    data = open_data_set(tmp_path, None, "train", 32)
    data.check_sizes()
    assert [data.name(i) for i in range(len(data))] == ["a"]
    assert [path.name for path in layout_files([tmp_path / "labels/train"])] == ["a.png"]


def test_folders_inside_are_walked_in_order_and_circles_once(tmp_path):
    for name in ("b/x.png", "a/y.png", "a/deeper/z.png"):
        draw_label(tmp_path / name)
    (tmp_path / "a/again").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in pictures_inside(tmp_path)] == [
        *("a/deeper/z.png", "a/y.png", "b/x.png")
    ]
    assert pictures(tmp_path) == [] and pictures_inside(tmp_path / "nowhere") == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("change", [str, str.upper])
def test_every_ending_is_read_as_a_photograph(tmp_path, suffix, change):
    path = tmp_path / f"a{change(suffix)}"
    mode = {".pgm": "L", ".pbm": "1"}.get(suffix, "RGB")
    kind = {".pgm": "PPM", ".pbm": "PPM", ".ppm": "PPM", ".pnm": "PPM", ".dib": "BMP"}.get(suffix)
    Image.new(mode, (16, 8), "white").save(path, kind or Image.registered_extensions().get(suffix, "JPEG"))
    assert pictures(tmp_path) == [path]
    assert read_photo(path, SIZE).min() >= 254


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_formats_that_keep_ids_keep_them(tmp_path, kind):
    path = tmp_path / "a"
    Image.fromarray(IDS).save(path, kind)
    np.testing.assert_array_equal(np.asarray(read_image(path)), IDS)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("highest", [18, 254, 255, 300, 65535])
def test_the_ids_of_a_pgm_are_not_stretched(tmp_path, highest, plain):
    """Pillow stretches a PGM whose highest value is 18 to 0..255."""
    path = tmp_path / "a.pgm"
    ids = IDS.astype(int)
    if plain:
        content = f"P2\n16 8\n{highest}\n{' '.join(map(str, ids.ravel()))}\n".encode()
    else:
        content = f"P5\n16 8\n{highest}\n".encode() + ids.astype(">u2" if highest > 255 else np.uint8).tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(np.asarray(read_image(path)), ids)


@pytest.mark.parametrize("kind", ["GIF", "PPM"])
def test_a_cut_file_is_refused(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(buffer, kind)
    (tmp_path / "a").write_bytes(buffer.getvalue()[:-2000])
    with pytest.raises(UserError, match="cannot read the image"):
        read_image(tmp_path / "a")


def test_postscript_is_never_opened(tmp_path):
    """Pillow starts another program for it, whatever the file is called."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="not a picture"):
        read_photo(tmp_path / "a.png", SIZE)


@pytest.mark.parametrize(
    ("name", "told"),
    [("a.HEIC", "HEIC files"), ("a.avif", "AVIF"), ("a.psd", "Photoshop"), ("a.eps", "PostScript"), ("a.npy", "NumPy")],
)
def test_other_formats_are_named_with_what_to_do(tmp_path, name, told):
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=f"{name}: {told}.* are not read; (save|export)"):
        layout_files([tmp_path / name])
    with pytest.raises(UserError, match=rf"no pictures in the folder {tmp_path}; .* are not read"):
        layout_files([tmp_path])
    (tmp_path / f"._{name}").write_text("x")
    assert foreign([tmp_path / f"._{name}"]) is None


def test_a_photograph_in_another_format_is_found_beside_the_label_that_lacks_it(tmp_path):
    draw_pairs(tmp_path, ["photos/train/a.jpg"], ["labels/train/a.png", "labels/train/b.png"])
    (tmp_path / "photos/train/b.heic").write_text("x")
    with pytest.raises(UserError, match=r"labels/train/b\.png has no photograph; .*b\.heic: HEIC files are not read"):
        open_data_set(tmp_path, None, "train", 32)


def test_polygons_in_place_of_labels_are_named(tmp_path):
    draw_photo(tmp_path / "photos/train/a.jpg")
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.json").write_text("{}")
    with pytest.raises(UserError, match=r"no layouts in the split 'train'.*a\.json: JSON files are not read"):
        open_data_set(tmp_path, None, "train", 32)
