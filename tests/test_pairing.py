"""Which label belongs to which photograph, and what is said of those that have no partner."""

import unicodedata

import pytest

from crn_tf.data.datasets import open_data_set
from crn_tf.data.label_names import Side
from crn_tf.data.pairing import Chosen, Pairing, pair, spread
from crn_tf.errors import UserError
from tests.drawn_data import draw_label, draw_pairs, draw_photo


def match(tmp_path, photos, labels, **options) -> Pairing:
    """Pair files of these names."""
    sides = []
    for part, names in (("labels", labels), ("photos", photos)):
        (tmp_path / part).mkdir(exist_ok=True)
        sides.append(Side(tmp_path / part, [tmp_path / part / name for name in sorted(names)]))
    return pair(*sides, need_photos=True, **options)


def paired(pairing) -> list[tuple[str, str, str]]:
    return [(found.name, found.photo.name, found.layout.name) for found in pairing.pairs]


@pytest.mark.parametrize(
    "ending",
    ["_mask", "_label", "_labelIds", "_L", "_gt", "_seg", "-mask", ".jpg", "_gtFine_labelIds", "_train_id", " copy"],
)
def test_an_ending_that_all_labels_have_is_found(tmp_path, ending):
    photos = [f"frame_{number:03}.jpg" for number in range(12)]
    found = match(tmp_path, photos, [f"frame_{number:03}{ending}.png" for number in range(12)])
    assert paired(found)[11] == ("frame_011", "frame_011.jpg", f"frame_011{ending}.png") and len(found.pairs) == 12
    assert found.notes == (
        f"labels end in {ending!r} behind the photograph's name: frame_000{ending}.png belongs to frame_000.jpg",
    )


def test_labels_may_be_called_like_the_whole_file_of_any_format(tmp_path):
    found = match(tmp_path, ["a.jpg", "b.jpeg", "c.PNG"], ["a.jpg.png", "b.jpeg.png", "c.PNG.png"])
    assert paired(found) == [("a", "a.jpg", "a.jpg.png"), ("b", "b.jpeg", "b.jpeg.png"), ("c", "c.PNG", "c.PNG.png")]


def test_plain_names_have_no_ending_though_one_continues_another(tmp_path):
    found = match(tmp_path, ["a.jpg", "ab.jpg", "a_1.jpg", "a_10.jpg"], ["a.png", "ab.png", "a_1.png", "a_10.png"])
    assert [name for name, *_ in paired(found)] == ["a", "a_1", "a_10", "ab"] and not found.notes


def test_digits_are_no_ending(tmp_path):
    with pytest.raises(UserError, match="has no photograph"):
        match(tmp_path, ["a_1.jpg"], ["a_10.png"])


@pytest.mark.parametrize(
    ("photo", "label"),
    [("image_{}.jpg", "mask_{}.png"), ("{}_sat.jpg", "{}_mask.png"), ("img{}.jpg", "label{}.png")],
)
def test_names_may_say_what_they_are_on_both_sides(tmp_path, photo, label):
    numbers = ["01", "02", "13"]
    found = match(tmp_path, map(photo.format, numbers), map(label.format, numbers))
    assert [(p, f) for _, p, f in paired(found)] == [(photo.format(n), label.format(n)) for n in numbers]
    assert label.format("01") in found.notes[0] and photo.format("01") in found.notes[0]


def test_other_words_on_both_sides_are_not_guessed(tmp_path):
    with pytest.raises(UserError, match="has no photograph"):
        match(tmp_path, ["berlin_1.jpg", "berlin_2.jpg"], ["paris_1.png", "paris_2.png"])


def test_names_are_compared_composed(tmp_path):
    """Archives of macOS hold decomposed names, the tools of other systems write composed ones."""
    names = [f"größe_café_{number}" for number in range(4)]
    photos = [f"photos/train/{unicodedata.normalize('NFC', name)}.jpg" for name in names]
    labels = [f"labels/train/{unicodedata.normalize('NFD', name)}.png" for name in names]
    data = open_data_set(draw_pairs(tmp_path, photos, labels), None, "train", 32)
    assert [data.name(index) for index in range(len(data))] == [unicodedata.normalize("NFC", name) for name in names]
    assert data.load(1, (8, 16), "resize")[1].max() == 1


def test_label_ids_are_taken_where_there_are_other_pictures_of_them(tmp_path):
    kinds = ("labelIds", "color", "instanceIds", "labelTrainIds")
    labels = [f"{name}_gtFine_{kind}.png" for name in "ab" for kind in kinds]
    found = match(tmp_path, ["a.jpg", "b.jpg"], labels)
    assert [file for *_, file in paired(found)] == ["a_gtFine_labelIds.png", "b_gtFine_labelIds.png"]


def test_pictures_to_look_at_are_no_labels(tmp_path):
    found = match(tmp_path, ["a.jpg", "b.jpg"], ["a.png", "a_overlay.png", "b.png", "b_overlay.png"])
    assert [file for *_, file in paired(found)] == ["a.png", "b.png"]
    assert "2 files that end in '_overlay'" in found.notes[0]


def test_two_labels_for_each_photograph_are_told(tmp_path):
    with pytest.raises(UserError, match=r"a\.jpg has several labels, .*a_left\.png and .*a_right\.png; expected one"):
        match(tmp_path, ["a.jpg", "b.jpg"], [f"{name}_{side}.png" for name in "ab" for side in ("left", "right")])


def test_files_in_folders_inside_belong_to_those_in_the_same(tmp_path):
    names = ["one/1", "two/1", "two/deeper/2"]
    data = open_data_set(
        draw_pairs(tmp_path, [f"photos/train/{n}.jpg" for n in names], [f"labels/train/{n}.png" for n in names]),
        *(None, "train", 32),
    )
    assert [data.name(index) for index in range(3)] == ["one_1", "two_1", "two_deeper_2"]


# --- incomplete ones


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
