"""What label files are called beside their photographs."""

import unicodedata

import pytest

from crn_tf.data.datasets import open_data_set
from crn_tf.errors import UserError
from tests.drawn_data import draw_pairs, match, paired


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
