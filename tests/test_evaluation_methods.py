"""Which pictures answer which layouts, and what is said of those that do not."""

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.datasets import open_data_set
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.asking import outside_of, parse_folders, parse_models, user_cache
from crn_tf.evaluation.methods import Judged, MeanColors, PictureFolder, answered, first_size, match_pictures


@pytest.fixture
def data(folder_data):
    return open_data_set(folder_data, "folder", "train", 40)  # 0 ... 4


def picture_folder(path, *names, size=(20, 28)) -> PictureFolder:
    path.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(np.full((*size, 3), number, np.uint8)).save(path / name)
    return PictureFolder(path)


def match(data, folder, indices=(0, 1, 2), size=(20, 28)):
    return match_pictures("ours", folder, Judged(data, indices, size, "resize"))


def test_those_with_a_picture_in_the_first_folder_are_judged_by_name(data, tmp_path):
    folder = picture_folder(tmp_path / "p", "3.jpg", "1.png", "contact_sheet.png", "nine.png")
    assert answered(data, folder, None) == (1, 3)
    assert answered(data, folder, 1) == (1,)
    assert first_size(folder, data, (1, 3)) == (20, 28)


def test_no_name_in_common_is_an_error(data, tmp_path):
    with pytest.raises(UserError, match=r"no picture in .* is called as one of the 5 layouts"):
        answered(data, picture_folder(tmp_path / "p", "x.png"), None)


def test_pictures_are_read_in_the_order_of_layouts_at_the_scored_size(data, tmp_path):
    found, lines = match(data, picture_folder(tmp_path / "p", "2.png", "0.png", "1.png"), size=(40, 56))
    assert [int(found.read(position, None, None)[0].max()) for position in range(3)] == [1, 2, 0]
    assert found.read(0, None, None)[0].shape == (40, 56, 3)
    assert lines == ["ours: pictures of 20x28 are resized to 40x56, bicubically"]


def test_several_images_of_a_layout_are_numbered(data, tmp_path):
    names = [f"{layout}_{u}.png" for layout in range(3) for u in range(2)]
    found, lines = match(data, picture_folder(tmp_path / "p", *names))
    assert found.images == 2 and lines == []
    assert [path.name for path in found.files(1)] == ["1_0.png", "1_1.png"]


def test_missing_pictures_are_named(data, tmp_path):
    with pytest.raises(UserError, match=r"ours has no picture for 2 of 3 layouts: 0, 2; expected one"):
        match(data, picture_folder(tmp_path / "p", "1.png"))


def test_another_size_is_named(data, tmp_path):
    folder = picture_folder(tmp_path / "p", "0.png", "1.png", "2.png")
    Image.new("RGB", (8, 6)).save(tmp_path / "p/1.png")
    with pytest.raises(UserError, match=r"1 of 3 pictures of ours are not 20x28 .*1\.png \(6x8\); expected one size"):
        match(data, folder)


def test_extra_pictures_are_named_but_not_those_of_layouts_that_are_not_judged(data, tmp_path):
    _, lines = match(data, picture_folder(tmp_path / "p", "0.png", "1.png", "2.png", "4.png", "night.png"))
    assert len(lines) == 1
    assert "1 pictures in" in lines[0] and "night.png" in lines[0]


def test_more_pictures_for_some_layouts_are_an_error(data, tmp_path):
    with pytest.raises(UserError, match=r"ours has 1 pictures like .*0\.png but 2 like .*1_0\.png"):
        match(data, picture_folder(tmp_path / "p", "0.png", "1_0.png", "1_1.png", "2.png"))


def test_two_pictures_of_one_name_are_an_error(tmp_path):
    with pytest.raises(UserError, match="same name"):
        picture_folder(tmp_path / "p", "0.png", "0.jpg")


def test_the_floor_is_each_class_in_its_mean_colour(data):
    pairs = [data.load(index, (40, 56), "resize") for index in range(5)]
    photos, layouts = (np.stack(each) for each in zip(*pairs, strict=True))
    floor = MeanColors.of(iter(pairs), 3)
    (picture,) = floor.read(0, photos[0], layouts[0])
    for number in range(3):
        expected = photos[layouts == number].mean(0)
        assert np.abs(picture[layouts[0] == number] - expected).max() <= 0.5


def test_methods_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "g.weights.h5").touch()
    assert parse_folders([f"A={tmp_path}/a"]) == {"A": tmp_path / "a"}
    models = parse_models([f"{tmp_path}/run", f"{tmp_path}/g.weights.h5", f"B={tmp_path}/run"], ["A"])
    assert models == {"run": tmp_path / "run", "g": tmp_path / "g.weights.h5", "B": tmp_path / "run"}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["a"], "expected NAME=FOLDER"),
        (["a=b"], "there is no folder b"),
        (["photographs=."], "two methods are called 'photographs'"),
        (["a=.", "a=."], "two methods are called 'a'"),
        (["../a=."], "cannot be called '../a'"),
    ],
)
def test_wrong_names_are_one_line(named, message):
    with pytest.raises(UsageError, match=message):
        parse_folders(named)


def test_a_model_that_is_not_there_is_an_error():
    with pytest.raises(UserError, match="no weights nowhere"):
        parse_models(["nowhere"], [])


def test_nothing_is_written_into_the_data(tmp_path):
    outside_of(tmp_path / "data", "--out", tmp_path / "evaluation")
    for inside in (tmp_path / "data", tmp_path / "data/x/y", tmp_path / "other/../data/x"):
        with pytest.raises(UsageError, match=r"--out .* lies in the data's folder"):
            outside_of(tmp_path / "data", "--out", inside)


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "crn_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in user_cache().parents
