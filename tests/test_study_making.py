"""A study's folder: everyone's pictures alike but for what they show."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.pages.study_plan import read_study
from crn_tf.study import main
from tests.studies import make_study


@pytest.fixture
def own(tmp_path, folder_data):
    """Two methods' pictures of a data set: PNG with a text, and JPEG with EXIF, of other sizes."""
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", "somebody")
    exif = Image.Exif()
    exif[0x013B] = "somebody"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for number in range(2):
        pixels = np.full((20, 28, 3), 50 + number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"a/{number}.png", pnginfo=told)
        Image.fromarray(pixels[:, :, ::-1]).resize((56, 40)).save(tmp_path / f"b/{number}.jpg", exif=exif)
    return ["new", "--a", f"A={tmp_path}/a", "--b", f"B={tmp_path}/b", "--data", str(folder_data)]


def test_pictures_have_random_names_one_size_one_encoding_and_no_metadata(own, tmp_path):
    main([*own, "--out", str(tmp_path / "study")])
    folder = tmp_path / "study"
    plan = json.loads((folder / "study.json").read_text())
    assert list(plan["pictures"]) == [PHOTOGRAPHS, "A", "B"] and plan["layouts"] == ["0", "1"]
    names = [name for some in plan["pictures"].values() for name in some]
    assert sorted(names) == sorted(path.name for path in (folder / "pictures").iterdir()) and len(set(names)) == 6
    assert all(len(name) == 20 and int(name.removesuffix(".png"), 16) >= 0 for name in names)
    for name in names:
        with Image.open(folder / "pictures" / name) as image:
            assert (image.size, image.mode, image.format, image.info) == ((280, 200), "RGB", "PNG", {})
    with Image.open(folder / "pictures" / plan["pictures"]["A"][1]) as image:
        assert image.getpixel((100, 100)) == (51, 51, 51)


def test_names_cannot_be_guessed_from_the_seed(own, tmp_path):
    found = []
    for out in ("one", "two"):
        main([*own, "--out", str(tmp_path / out), "--seed", "7"])
        found.append(json.loads((tmp_path / out / "study.json").read_text()))
    assert found[0]["sets"] == found[1]["sets"]
    names = [{name for some in plan["pictures"].values() for name in some} for plan in found]
    assert not names[0] & names[1]


def test_missing_pictures_are_named_and_nothing_is_left_behind(own, tmp_path):
    (tmp_path / "b/1.jpg").unlink()
    with pytest.raises(UserError, match=r"b has no picture of the layout 1, of which .*a has one"):
        main([*own, "--out", str(tmp_path / "study")])
    (tmp_path / "a/1.png").unlink()
    main([*own, "--out", str(tmp_path / "study")])  # what A has counts
    assert json.loads((tmp_path / "study/study.json").read_text())["layouts"] == ["0"]
    (tmp_path / "a/0.png").rename(tmp_path / "a/other.png")
    with pytest.raises(UserError, match="is called as one of the 2 layouts"):
        main([*own, "--out", str(tmp_path / "study 2")])
    with pytest.raises(UsageError, match="is there already"):
        main([*own, "--out", str(tmp_path / "study")])
    assert not list(tmp_path.glob(".study*"))


def test_a_damaged_picture_is_one_line_and_leaves_no_study(own, tmp_path):
    (tmp_path / "b/1.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"b/1\.jpg"):
        main([*own, "--out", str(tmp_path / "study")])
    assert not (tmp_path / "study").exists()


def test_a_limit_takes_layouts_evenly_spaced(tmp_path):
    folder = make_study(tmp_path, "--limit", 3, "--size", "10x20")
    assert read_study(folder).layouts == ["toy_val_0000", "toy_val_0004", "toy_val_0008"]


def test_the_first_of_several_images_of_a_layout_is_taken(own, tmp_path):
    (tmp_path / "a/0.png").rename(tmp_path / "a/0_0.png")
    Image.new("RGB", (28, 20), (200, 0, 0)).save(tmp_path / "a/0_1.png")
    main([*own, "--out", str(tmp_path / "study")])
    plan = json.loads((tmp_path / "study/study.json").read_text())
    with Image.open(tmp_path / "study/pictures" / plan["pictures"]["A"][0]) as image:
        assert image.getpixel((9, 9)) == (50, 50, 50)
