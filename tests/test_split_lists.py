"""Split lists: which files are ones, and which photographs their lines name."""

import pytest

from crn_tf.data.split_lists import split_lists
from crn_tf.errors import UserError


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("2007_000032", "2007_000032"),
        ("images/a.jpg labels/a.png", "a"),
        ("/SegNet/CamVid/train/0001TP_006690.PNG /SegNet/CamVid/trainannot/0001TP_006690.png", "0001TP_006690"),
        ("frame 1.jpg", "frame 1"),
        ("frame.0001", "frame.0001"),
        ("gro\u0308\u00dfe.jpg", "gr\u00f6\u00dfe"),
    ],
)
def test_a_line_names_a_photograph_however_it_is_written(tmp_path, line, name):
    (tmp_path / "train.txt").write_text(f"\n  {line}\r\n\n", encoding="utf-8")
    assert split_lists(tmp_path) == {"train": {name}}


def test_only_files_called_like_splits_are_lists(tmp_path):
    for name in ("Train", "valid", "test", "trainval", "aeroplane_train", "codes", "README"):
        (tmp_path / f"{name}.txt").write_text("a\n")
    assert sorted(split_lists(tmp_path)) == ["test", "train", "trainval", "val"]
    assert split_lists(tmp_path / "nowhere") == {}


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match=f"cannot read the split list {tmp_path}/val.txt: "):
        split_lists(tmp_path)
