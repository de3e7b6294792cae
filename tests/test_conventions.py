"""What label files mean as a set: ids or colours, whose ids, and what is said where they contradict the class table."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.conventions import decide
from crn_tf.data.label_looks import VOC_COLORS
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.errors import UsageError, UserError
from tests.test_layouts import BLACK, BLUE, GREEN, PINK, RED, RGB, save, save_palette

STREET = [[23, 23, 23, 23, 21, 21], [11, 11, 21, 11, 20, 17], [7, 7, 26, 26, 8, 24], [7, 7, 7, 7, 8, 0]]  # labelIds
TWO = ClassTable(("background", "object"), (RED, GREEN), (0, 1), (255,))


def train_ids(label_ids):
    layout = CITYSCAPES.class_of_id[np.array(label_ids)]
    return np.where(layout == CITYSCAPES.void, 255, layout)


def read(files, classes, asked=None):
    reader = LayoutReader(decide(files, classes, asked))
    return [reader.read(file).tolist() for file in files]


def refusal(files, classes, asked=None):
    with pytest.raises(UserError) as caught:
        decide(files, classes, asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def drawn(tmp_path, count, draw):
    return [save(tmp_path / f"{n:03}.png", draw(n)) for n in range(count)]


# --- Cityscapes' two sets of ids


def test_train_ids_are_the_same_picture_as_label_ids(tmp_path):
    labels, trains = save(tmp_path / "a.png", STREET), save(tmp_path / "b.png", train_ids(STREET))
    by_label, by_train = decide([labels], CITYSCAPES), decide([trains], CITYSCAPES)
    assert (by_label.form, by_train.form) == ("labelids", "trainids")
    assert by_label.evidence.endswith("in the file looked at: Cityscapes labelIds") and not by_label.warnings
    assert "ids 0..2, 5, 7, 8, 10, 11, 13 and 255 in the file looked at: Cityscapes trainIds" in by_train.evidence
    assert "read as Cityscapes' trainIds" in by_train.warnings[0] and "--labels labelids" in by_train.warnings[0]
    expected = CITYSCAPES.class_of_id[np.array(STREET)].tolist()
    assert read([labels], CITYSCAPES) == read([trains], CITYSCAPES) == [expected]


def test_many_files_of_train_ids_need_no_warning(tmp_path):
    def draw(n):
        return np.array([[*range(19), 255]])

    found = decide(drawn(tmp_path, 60, draw), CITYSCAPES)
    assert found.evidence == "labels: grey, ids 0..18 and 255 in 50 of 50 files looked at: Cityscapes trainIds"
    assert found.form == "trainids" and found.warnings == () and found.classes.ids == tuple(range(19))


def test_a_model_of_train_ids_reads_both(tmp_path):
    """Its class table travels with it."""
    table = decide([save(tmp_path / "a.png", train_ids(STREET))], CITYSCAPES).classes
    files = [save(tmp_path / "b.png", STREET)], [save(tmp_path / "c.png", [[0, 1, 2]])]
    assert read(files[0], table) == [CITYSCAPES.class_of_id[np.array(STREET)].tolist()]
    assert read(files[1], table) == [[[0, 1, 2]]]


def test_ids_that_could_be_both_stop(tmp_path):
    files = [save(tmp_path / "a.png", [[0, 7, 8, 11]])]
    message = refusal(files, CITYSCAPES)
    assert (
        "road, sidewalk, building, void as labelIds, or road, traffic sign, vegetation, person as trainIds" in message
    )
    assert str(files[0]) in message and "--labels labelids or --labels trainids" in message
    assert read(files, CITYSCAPES, "labelids") == [[[19, 0, 1, 2]]]
    assert read(files, CITYSCAPES, "trainids") == [[[0, 7, 8, 11]]]


def test_names_tell_what_ids_cannot(tmp_path):
    labels = save(tmp_path / "a_gtFine_labelIds.png", [[0, 7, 8, 11]])
    trains = save(tmp_path / "a_gtFine_labelTrainIds.png", [[0, 7, 8, 11]])
    assert (decide([labels], CITYSCAPES).form, decide([trains], CITYSCAPES).form) == ("labelids", "trainids")
    wrong = save(tmp_path / "b_gtFine_labelIds.png", train_ids(STREET))
    assert f"{wrong} should hold labelIds, as the names say, but" in refusal([wrong], CITYSCAPES)


def test_both_in_one_set_stop(tmp_path):
    files = [save(tmp_path / "a.png", STREET), save(tmp_path / "b.png", train_ids(STREET))]
    message = refusal(files, CITYSCAPES)
    assert f"{files[0]} has ids" in message and f"and {files[1]} " in message and "--labels trainids" in message


def test_label_ids_of_other_classes_are_said(tmp_path):
    (warning,) = decide([save(tmp_path / "a.png", [[7, 21, 40, 41]])], CITYSCAPES).warnings
    assert "the ids 40, 41 (50.0% of the pixels) are above all of the class table's" in warning


def test_train_ids_of_ones_own_table_are_named(tmp_path):
    table = dataclasses.replace(RGB, ids=(7, 8, 11), void_ids=(0,))
    files = [save(tmp_path / "a.png", [[0, 1, 2, 255]])]
    assert "say --labels trainids if they are" in refusal(files, table)
    assert read(files, table, "trainids") == [[[0, 1, 2, 3]]]
    with pytest.raises(UsageError, match="labelids is for Cityscapes' classes only"):
        decide(files, table, "labelids")


# --- ids without a name


def test_masks_of_0_and_255_stop(tmp_path):
    files = drawn(tmp_path, 4, lambda n: [[0, 0, 255, 0]])
    message = refusal(files, TWO)
    assert f"{files[0]} (and 3 more): the ids are 0 and 255 only, and 255 is void, so background" in message
    assert '"ids": [0, 255]' in message and '"void": 254' in message
    assert "255 has no name" in refusal(files, dataclasses.replace(TWO, void_ids=(9,)))
    assert read(files[:1], TWO, "ids") == [[[0, 0, 2, 0]]]
    assert read(files[:1], dataclasses.replace(TWO, ids=(0, 255), void_ids=(254,))) == [[[0, 0, 1, 0]]]


def test_other_masks_are_read(tmp_path):
    assert read([save(tmp_path / "a.png", [[0, 1, 1, 255]])], TWO) == [[[0, 1, 1, 2]]]
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "b.png")
    assert read([tmp_path / "b.png"], TWO) == [[[0, 1]]]


def test_ids_from_1_on_stop(tmp_path):
    one_based = ClassTable(("road", "tree"), (GREEN, BLUE), (1, 2), (0,))  # of the names sky, road, tree and void 0
    files = drawn(tmp_path, 24, lambda n: [[0, 1, 2, 3 if n == 17 else 1]])
    message = refusal(files, one_based)
    assert f"{files[17]} has the id 3, one beyond the names" in message and "0 has to be named too" in message
    assert decide(files[:17], one_based).form == "ids"
    assert "the id 3, one beyond the names" in refusal([save(tmp_path / "b.png", [[1, 2, 3]])], RGB)


def test_ids_without_a_name_are_listed(tmp_path):
    message = refusal(drawn(tmp_path, 3, lambda n: [[0, 1, 5, 6, 7, 200]]), RGB)
    assert "(and 2 more) has ids without a name: 5..7 and 200; expected 0..2, and void 9" in message
    assert '"void": [5, ...]' in message
    few = decide(drawn(tmp_path, 50, lambda n: [[0, 1, 2, 77 if n == 8 else 1]]), RGB)
    assert "008.png has ids without a name: 77" in few.warnings[0]  # reading leaves it out


def test_gaps_and_several_void_ids(tmp_path):
    table = dataclasses.replace(RGB, ids=(3, 70, 1000), void_ids=(0, 255))
    file = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 3, 70, 255, 1000]], np.uint16)).save(file)
    found = decide([file], table)
    assert found.evidence == "labels: grey, ids 0, 3, 70, 255 and 1000 in the file looked at" and not found.warnings
    assert read([file], table) == [[[3, 0, 1, 3, 2]]]


# --- ids or colours


def test_ids_saved_as_colours_are_ids(tmp_path):
    def draw(n):
        return np.repeat(np.array([[[0], [1], [2]]] if n else [[[0], [0], [0]]]), 3, -1)

    files = drawn(tmp_path, 4, draw)
    found = decide(files, RGB)
    assert found.form == "ids" and found.evidence == "labels: grey in RGB, ids 0..2 in 4 of 4 files looked at"
    assert read(files, RGB) == [[[0, 0, 0]]] + [[[0, 1, 2]]] * 3  # also where there is nothing but the first id
    red = save(tmp_path / "carla.png", [[[0, 0, 0, 255], [2, 0, 0, 255]]])
    assert "labels: red channel, ids 0 and 2" in decide([red], RGB).evidence and read([red], RGB) == [[[0, 2]]]


def test_codes_in_two_channels_are_named(tmp_path):
    pixels = np.array([[[10, 93, 1], [20, 4, 2], [0, 177, 3]]])
    message = refusal([save(tmp_path / "a.png", pixels)], RGB)
    assert "class codes in red and green, instances in blue, as ADE20K's full set has them; expected" in message


def test_the_palette_of_labelling_tools_is_no_palette_of_colours(tmp_path):
    """CamVid's classes, whose colours are nearly all in it, for other classes."""
    colors = [(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)]
    camvid = ClassTable(tuple("abcdef"), tuple(colors), tuple(range(6)), (255,))
    ids = [[0, 1, 2, 3, 4, 5]]
    indexed = save_palette(tmp_path / "a.png", ids, VOC_COLORS[:6].tolist())
    assert read([indexed], camvid) == read([save(tmp_path / "b.png", ids)], camvid) == [ids]
    assert decide([indexed], camvid).evidence == "labels: palette indices, ids 0..5 in the file looked at"
    own = save_palette(tmp_path / "c.png", ids, colors[::-1])  # its own colours, in any order
    assert decide([own], camvid).form == "colours" and read([own], camvid) == [[[5, 4, 3, 2, 1, 0]]]


def test_a_transparent_index_is_an_id(tmp_path):
    ids = [[0, 0, 1, 2]]
    indexed = save_palette(tmp_path / "a.png", ids, [BLACK, (128, 0, 0), (0, 128, 0)], transparency=0)
    table = dataclasses.replace(RGB, palette=((70, 130, 180), (128, 64, 128), (107, 142, 35)))
    assert read([indexed], table) == read([save(tmp_path / "b.png", ids)], table) == [ids]


def test_colours_two_levels_off_are_colours(tmp_path):
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    exact = colorize(ids, CITYSCAPES)
    files = [save(tmp_path / "a.png", exact), save(tmp_path / "b.png", np.clip(exact.astype(int) + [1, -2, 2], 0, 255))]
    found = decide(files[1:], CITYSCAPES)
    assert found.form == "colours" and not found.warnings
    assert found.evidence == "labels: colours, 19 of 19 classes' in the file looked at"
    assert read(files[:1], CITYSCAPES) == read(files[1:], CITYSCAPES) == [ids.tolist()]


def test_unknown_colours_are_said_with_the_nearest_class(tmp_path):
    (warning,) = decide([save(tmp_path / "a.png", [[RED, GREEN, PINK, BLUE]])], RGB).warnings
    assert "25.0% of the pixels have a colour that is not the class table's" in warning
    assert f"{PINK} 25.0% (nearest: a {RED}, 200 levels off)" in warning


def test_grey_files_and_colours_side_by_side_are_each_read_by_itself(tmp_path):
    files = [save(tmp_path / "a.png", [[0, 1]]), save(tmp_path / "b.png", [[RED, BLUE]])]
    found = decide(files, RGB)
    assert found.form is None and "holds ids and" in found.warnings[0] and "--labels colours" in found.warnings[0]
    assert read(files, RGB) == [[[0, 1]], [[0, 2]]]
    assert "has colours; --labels ids expects class ids" in refusal(files, RGB, "ids")


# --- what is suspicious


def test_classes_never_seen_and_one_that_is_most_of_all_are_said(tmp_path):
    files = drawn(tmp_path, 5, lambda n: [[0] * 99 + [1]])
    never, most = decide(files, RGB).warnings
    assert never == "never seen in 5 of 5 files looked at: c; rare classes may be in the others"
    assert most == "a is 99.0% of all that is labelled in 5 of 5 files looked at"
    assert decide(files[:4], RGB).warnings == ()  # few files say nothing of that
    (nothing,) = decide([save(tmp_path / "b.png", [[9]])], RGB).warnings
    assert nothing == "none of the 3 classes occurs in the file looked at: all of it would be void"


def test_files_that_cannot_be_read_are_left_to_others(tmp_path):
    files = drawn(tmp_path, 3, lambda n: [[0, 1, 2]])
    files[0].write_bytes(b"nothing")
    assert "in 2 of 2 files looked at" in decide(files, RGB).evidence
    assert decide(files[:1], RGB).evidence == "labels: none of the files looked at can be read"
    jpeg = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(jpeg)
    with pytest.raises(UserError, match="is a JPEG, which blurs class ids"):
        LayoutReader(decide([jpeg], RGB)).read(jpeg)


def test_jpegs_of_colours_are_colours(tmp_path):
    ids = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 3, (4, 8)), 16, 0), 16, 1).astype(np.uint8)
    Image.fromarray(colorize(ids, RGB)).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    assert decide([tmp_path / "a.jpg"], RGB).form == "colours"
    (layout,) = read([tmp_path / "a.jpg"], RGB)
    assert (np.array(layout) == ids).mean() > 0.97
