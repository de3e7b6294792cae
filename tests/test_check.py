"""`crn check`: what it says of data sets, sound ones and others."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crn_tf.check import main
from crn_tf.data.class_tables import read_class_table
from crn_tf.errors import UsageError, UserError
from tests.drawn_data import CLASSES, draw_label, draw_pairs, draw_photo


def check(data: Path, out: Path, *more: str) -> tuple[int, dict]:
    """The exit code, and what is in the JSON file."""
    code = main([str(data), "--out", str(out), *more])
    return code, json.loads((out / "check.json").read_text())


@pytest.fixture
def data(tmp_path):
    """A sound data set of both splits; no photograph twice."""
    (tmp_path / "data").mkdir()
    root = draw_pairs(tmp_path / "data", [], [])
    for number in range(24):
        draw_photo(root / f"photos/train/{number:02d}.png", number)
        half = np.full((8, 16), 0, np.uint8)
        half[:, 8:] = 1
        half[0, : number % 2] = 2  # void, in every second
        (root / "labels/train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(half).save(root / f"labels/train/{number:02d}.png")
    draw_photo(root / "photos/val/100.png", 100)
    draw_label(root / "labels/val/100.png", 1)
    return root


def levels(values: dict, word: str) -> list[str]:
    """The levels of the findings that say a word."""
    return [each["level"] for each in values["findings"] if word in each["what"]]


def test_a_sound_data_set_is_counted_and_can_be_trained_on(data, tmp_path, capsys):
    code, values = check(data, tmp_path / "out")
    assert code == 0
    assert values["can_be_trained_on"]
    train = values["splits"]["train"]
    assert train["pairs"] == 24
    assert train["classes"] == [
        {"name": "sky", "pixels": 24 * 64 - 12, "pictures": 24},
        {"name": "road", "pixels": 24 * 64, "pictures": 24},
        {"name": "void", "pixels": 12, "pictures": 12},
    ]
    assert train["sizes"] == [{"height": 8, "width": 16, "pictures": 24}]
    told = capsys.readouterr().out
    assert "labels: grey, ids 0..2 in 24 of 24 files looked at" in told
    assert "train: 24 pairs: 24 of 8x16 (height x width)" in told
    assert "it can be trained on" in told


def test_the_sheet_shows_photograph_layout_and_both(data, tmp_path):
    check(data, tmp_path / "out", "--rows", "2")
    sheet = np.asarray(Image.open(tmp_path / "out/check.png")).reshape(-1, 3).tolist()
    assert [255, 0, 0] in sheet  # sky
    assert [0, 255, 0] in sheet  # road
    assert any(red > 120 and green == blue < 30 for red, green, blue in sheet)  # sky over a dark photograph


def test_broken_files_are_named_and_too_many_are_a_problem(data, tmp_path):
    photo, label = data / "photos/train/03.png", data / "labels/train/05.png"
    photo.write_bytes(photo.read_bytes()[:-30])
    label.write_bytes(b"")
    code, values = check(data, tmp_path / "out")
    assert code == 1
    assert levels(values, "2 of 24 pairs cannot be used") == ["problem"]
    faults = values["splits"]["train"]["cannot_be_used"]
    assert [Path(path).name for path in faults] == ["03.png", "05.png"]
    assert str(photo) in faults[str(data / "labels/train/03.png")][0]
    code, values = check(data, tmp_path / "out", "--max-unreadable", "0.1")
    assert code == 0
    assert levels(values, "2 of 24 pairs cannot be used") == ["warning"]


def test_files_without_a_partner_are_named_with_what_it_might_be(data, tmp_path):
    (data / "labels/train/07.png").rename(data / "labels/train/07_b.png")
    code, values = check(data, tmp_path / "out")
    assert code == 1
    assert levels(values, "2 files without a partner") == ["problem"]
    alone = values["splits"]["train"]["without_partner"]
    assert any(
        f"{data / 'photos/train/07.png'} has no layout; its partner might be {data / 'labels/train/07_b.png'}" in line
        for line in alone
    )
    assert values["splits"]["train"]["classes"][0]["pictures"] == 23  # the others are looked at all the same


def test_other_shapes_are_named(data, tmp_path):
    draw_label(data / "labels/train/00.png", 0, (8, 8))
    _, values = check(data, tmp_path / "out")
    assert "is 8x16 but its layout" in values["findings"][0]["what"]


def test_unknown_colours_come_with_the_nearest_class_and_its_distance(data, tmp_path, capsys):
    pixels = np.full((8, 16, 3), (255, 0, 0), np.uint8)
    pixels[:, 4:] = (0, 255, 60)
    for path in sorted((data / "labels").rglob("*.png")):
        Image.fromarray(pixels).save(path)
    code, values = check(data, tmp_path / "out")
    assert code == 1
    said = levels(values, "75.00% of the pixels are in no class table, more than --max-unknown 0.3")
    assert said == ["problem", "problem"]  # of both splits
    assert "(0, 255, 60) (75.00%; nearest: road (0, 255, 0), 60 levels off)" in capsys.readouterr().out
    assert values["splits"]["train"]["unknown"] == [{"color": [0, 255, 60], "pixels": 24 * 96}]
    assert check(data, tmp_path / "out", "--max-unknown", "0.8")[0] == 0


def test_all_void_is_a_problem(data, tmp_path):
    for path in sorted((data / "labels/train").iterdir()):
        draw_label(path, 2)
    code, values = check(data, tmp_path / "out")
    assert code == 1
    assert "problem" in levels(values, "all is void")


def test_a_photograph_in_both_splits_is_told(data, tmp_path):
    draw_photo(data / "photos/val/100.png", 11)
    code, values = check(data, tmp_path / "out")
    assert code == 0
    assert levels(values, "1 validation photograph can be trained on too") == ["warning"]


def test_ids_that_can_be_read_in_two_ways_are_counted_and_left_undecided(data, tmp_path, capsys):
    (data / "classes.json").write_text(CLASSES.replace('"void": 2', '"void": 255'))
    for path in sorted((data / "labels/train").iterdir()):
        half = np.zeros((8, 16), np.uint8)
        half[:, 4:] = 255
        Image.fromarray(half).save(path)
    code, values = check(data, tmp_path / "out")
    assert code == 1
    assert values["labels"] is None
    assert values["splits"]["train"]["ids"] == {"0": 24 * 32, "255": 24 * 96}
    assert "train: ids 255 (75.00%), 0 (25.00%)" in capsys.readouterr().out
    assert (tmp_path / "out/check.png").exists()  # in made-up colours


def test_no_class_table_is_a_problem_and_one_can_be_made(data, tmp_path, capsys):
    (data / "classes.json").unlink()
    code, _ = check(data, tmp_path / "out", "--write-classes")
    assert code == 1
    table = read_class_table(data / "classes.json")
    assert (table.names, table.ids, table.void_ids) == (("class 0", "class 1", "class 2"), (0, 1, 2), ())
    assert len(set(table.palette)) == 3
    assert f"{data / 'classes.json'}: fill in the names" in capsys.readouterr().out
    assert check(data, tmp_path / "out")[0] == 0  # and now it can be trained on


def test_a_class_list_is_never_written_over(data, tmp_path):
    before = (data / "classes.json").read_text()
    check(data, tmp_path / "out", "--write-classes")
    assert (data / "classes.json").read_text() == before
    assert read_class_table(tmp_path / "out/classes.json").names == ("sky", "road")
    with pytest.raises(UserError, match="is there already: move it elsewhere first"):
        check(data, tmp_path / "out", "--write-classes")


def test_layouts_without_photographs_cannot_be_trained_on_but_are_looked_at(data, tmp_path):
    for path in (data / "photos/train").iterdir():
        path.unlink()
    (data / "photos/train").rmdir()
    code, values = check(data, tmp_path / "out")
    assert code == 1
    assert values["splits"]["train"]["classes"][1]["pictures"] == 24


def test_a_part_can_be_looked_at(data, tmp_path):
    _, values = check(data, tmp_path / "out", "--limit", "6")
    assert sum(each["pictures"] for each in values["splits"]["train"]["sizes"]) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-unknown", "2"], "--max-unknown must be 0 to 1, not 2"),
        (["--limit", "0"], "--limit must be at least 1, not 0"),
        (["--dataset", "toy"], "the toy data set is built in"),
    ],
)
def test_wrong_usage_is_one_line(data, tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        main([str(data), "--out", str(tmp_path / "out"), *arguments])


def test_a_folder_that_is_no_data_set_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        main([str(tmp_path / "nothing")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no known kind of data set"):
        main([str(tmp_path / "empty")])
