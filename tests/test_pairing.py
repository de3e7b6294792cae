"""Which label belongs to which photograph, and what is said of those that have no partner."""

import pytest

from crn_tf.data.datasets import open_data_set
from crn_tf.data.pairing import Chosen, spread
from crn_tf.errors import UserError
from tests.drawn_data import draw_label, draw_pairs, draw_photo, match, paired


def test_names_that_do_not_pair_are_told_once_with_the_nearest(tmp_path):
    with pytest.raises(UserError) as caught:
        match(tmp_path, ["frame_a.jpg", "frame_b.jpg", "frame_c.jpg"], ["fframe_a.png", "fframe_b.png", "fframe_c.png"])
    message = str(caught.value)
    assert f"the layout {tmp_path}/labels/fframe_a.png (and 2 more like it) has no photograph; expected" in message
    assert f"the nearest is {tmp_path}/photos/frame_a.jpg" in message and "an ending behind it" in message


def test_a_file_that_has_a_partner_is_not_the_nearest(tmp_path):
    with pytest.raises(UserError) as caught:
        match(tmp_path, ["frame_1.jpg", "frame_2.jpg"], ["frame_1.png"])
    assert "the nearest" not in str(caught.value)


@pytest.mark.parametrize("lacking", ["photos", "labels"])
def test_a_few_incomplete_ones_are_left_out_within_the_share(tmp_path, lacking):
    names = {
        "photos": [f"photos/train/{n}.jpg" for n in range(25)],
        "labels": [f"labels/train/{n}.png" for n in range(25)],
    }
    names[lacking].pop(11)
    draw_pairs(tmp_path, *names.values())
    data = open_data_set(tmp_path, None, "train", 32, max_incomplete=0.05)
    data.check_sizes(max_incomplete=0.05)
    kept = "labels/train/11.png" if lacking == "photos" else "photos/train/11.jpg"
    assert len(data) == 24 and len(data.left_out) == 1 and f"{tmp_path}/{kept} has no" in data.left_out[0]
    with pytest.raises(UserError, match=r"has no (layout|photograph); expected"):
        open_data_set(tmp_path, None, "train", 32)


def test_more_incomplete_ones_stop_with_their_number_and_an_example(tmp_path):
    photos = [f"{n:02}.jpg" for n in range(25)]
    labels = [f"{n:02}.png" for n in range(25) if n not in (3, 4)]
    with pytest.raises(UserError) as caught:
        match(tmp_path, photos, labels, max_incomplete=0.05)
    assert str(caught.value).startswith(
        "2 of 25 pairs are incomplete; more than --max-unreadable 0.05 of them is too many"
    )
    assert f"the photograph {tmp_path}/photos/03.jpg (and 1 more like it) has no layout" in str(caught.value)


def test_names_that_are_not_listed_are_not_incomplete(tmp_path):
    listed = frozenset({"a", "b"})
    chosen = Chosen(listed.__contains__, listed)
    found = match(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], ["a.png", "b.png", "d.png"], chosen=chosen)
    assert [name for name, *_ in paired(found)] == ["a", "b"] and not found.left_out
    with pytest.raises(UserError, match=r"list has b, but .*/photos has no such file"):
        match(tmp_path, ["a.jpg"], ["a.png"], chosen=chosen)


# --- a share for validation


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(10, 0.2, {2, 7}), (4, 0.01, {2}), (2, 0.9, {1}), (3, 0.5, {0, 2})]
)
def test_the_share_for_validation_is_spread_evenly(count, share, expected):
    assert spread(count, share) == expected


def test_a_validation_split_is_split_off_by_name(tmp_path):
    draw_pairs(
        tmp_path, [f"photos/train/{n}.jpg" for n in "abcdefghij"], [f"labels/train/{n}.png" for n in "abcdefghij"]
    )
    train, val = (open_data_set(tmp_path, None, split, 32, validation_share=0.2) for split in ("train", "val"))
    assert [val.name(i) for i in range(len(val))] == ["c", "h"] and len(train) == 8
    draw_photo(tmp_path / "photos/val/own.jpg")
    draw_label(tmp_path / "labels/val/own.png")
    train, val = (open_data_set(tmp_path, None, split, 32, validation_share=0.2) for split in ("train", "val"))
    assert [val.name(0)] == ["own"] and len(train) == 10


def test_of_one_pair_none_can_be_split_off(tmp_path):
    draw_pairs(tmp_path, ["photos/train/a.jpg"], ["labels/train/a.png"])
    for split in ("train", "val"):
        with pytest.raises(UserError, match="has one training pair; expected at least two"):
            open_data_set(tmp_path, None, split, 32, validation_share=0.2)
