"""What is asked for of `test.py`: a data set, or layouts."""

from pathlib import Path

import pytest

from crn_tf.errors import UsageError, UserError
from crn_tf.synthesis.request import TestSettings as Settings
from crn_tf.synthesis.request import is_data_set, wants_whole_data_set
from tests.drawn_data import draw_label, draw_pairs


def test_folders_of_layouts_are_no_data_sets(tmp_path):
    draw_label(tmp_path / "drawings/a.png")
    draw_pairs(tmp_path / "data", ["photos/train/a.jpg"], ["labels/train/a.png"])
    assert (
        not is_data_set(tmp_path / "drawings") and is_data_set(tmp_path / "data") and not is_data_set(Path("nowhere"))
    )
    assert not wants_whole_data_set(Settings(layouts=(tmp_path / "drawings", tmp_path / "data")))
    with pytest.raises(UsageError, match="takes one data set"):
        wants_whole_data_set(Settings(layouts=(tmp_path / "data", tmp_path / "data")))


def test_what_could_be_several_data_sets_is_not_taken_for_a_folder_of_layouts(tmp_path):
    for name in "xy":
        draw_pairs(tmp_path / "both" / name, ["photos/train/a.jpg"], ["labels/train/a.png"])
    with pytest.raises(UserError, match="has several data sets"):
        wants_whole_data_set(Settings(layouts=(tmp_path / "both",)))
    draw_pairs(tmp_path / "twice", ["images/train/a.jpg"], ["masks/train/a.png", "gt/train/a.png"])
    with pytest.raises(UserError, match="could both be meant"):
        wants_whole_data_set(Settings(layouts=(tmp_path / "twice",)))
