"""Which pictures of a folder answer which layout."""

import pytest
from PIL import Image

from crn_tf.data.datasets import ToyDataSet, open_data_set
from crn_tf.data.picture_folders import PictureFolder, parse_folder, stems
from crn_tf.errors import UsageError, UserError


def draw(folder, *names):
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / name)


def test_one_picture_or_several_answer_a_layout(tmp_path):
    draw(tmp_path, "a.png", "b_0.jpg", "b_1.png", "b_3.png", "contact_sheet.png", "c_1.png")
    folder = PictureFolder(tmp_path)
    assert [path.name for path in folder.answers(["a"])] == ["a.png"]
    assert [path.name for path in folder.answers(["other", "b"])] == ["b_0.jpg", "b_1.png"]
    assert folder.answers(["c"]) == []
    others = folder.others([folder.answers(["a"]), folder.answers(["b"])])
    assert [path.name for path in others] == ["b_3.png", "c_1.png"]


def test_empty_folders_and_names_twice_are_refused(tmp_path):
    with pytest.raises(UserError, match="no pictures in"):
        PictureFolder(tmp_path)
    draw(tmp_path, "a.png", "a.jpg")
    with pytest.raises(UserError, match="have the same name"):
        PictureFolder(tmp_path)


def test_names_of_the_pair_its_layout_and_its_photograph_count(folder_data):
    data = open_data_set(folder_data, None, "val", 32)
    assert stems(data, 0) == ["0"]
    assert stems(ToyDataSet("val"), 3) == ["toy_val_0003"]


def test_a_name_and_a_folder(tmp_path):
    assert parse_folder(f"a b={tmp_path}", "--a") == ("a b", tmp_path)
    for text in ("x", "=x", "x=", f"taken={tmp_path}", "x=nowhere"):
        with pytest.raises(UsageError, match=r"^--a "):
            parse_folder(text, "--a", ["taken"])
