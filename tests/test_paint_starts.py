"""Layouts to start from: drawn, or a data set's, read only when they are asked for."""

import numpy as np

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.datasets import open_data_set
from crn_tf.data.toy import ToyDataSet
from crn_tf.pages.paint_starts import AllStarts, DataStarts, DrawnStarts


def test_streets_are_drawn_for_their_classes_and_differ():
    starts = DrawnStarts(ToyDataSet.classes)
    layouts = [starts[index].layout((24, 48)) for index in range(len(starts))]
    assert 6 <= len(starts) <= 8 and len({layout.tobytes() for layout in layouts}) == len(starts)
    assert all((layout != ToyDataSet.classes.void).all() for layout in layouts)
    known = [ToyDataSet(split).load_layout(0, (24, 48), "resize").tobytes() for split in ("train", "val")]
    assert not {layout.tobytes() for layout in layouts} & set(known)
    photo = starts[2].photo((24, 48))
    assert photo.shape == (24, 48, 3) and photo.std() > 10
    assert {starts[index].group for index in range(len(starts))} == {"drawn"}


def test_other_classes_begin_with_nothing():
    (start,) = (DrawnStarts(CITYSCAPES)[0],)
    assert len(DrawnStarts(CITYSCAPES)) == 1 and start.photo is None
    np.testing.assert_array_equal(start.layout((4, 8)), np.full((4, 8), 19))


def test_a_data_sets_files_are_read_when_they_are_asked_for(folder_data):
    data = open_data_set(folder_data, None, "train", 40, need_photos=False)
    starts = AllStarts(
        [DrawnStarts(data.classes), DataStarts("data", data, "resize"), DataStarts("data", data, "crop")]
    )
    for path in folder_data.glob("*/train/*.png"):  # whoever looked at a file now would fail
        path.rename(path.with_suffix(".away"))
    assert len(starts) == 1 + 5 + 5
    names = [starts[index].name for index in range(len(starts))]
    assert names == ["empty", *"01234", *"01234"] and starts[3].photo is not None
    for path in folder_data.glob("*/train/*.away"):
        path.rename(path.with_suffix(".png"))
    np.testing.assert_array_equal(starts[3].layout((40, 56)), data.load_layout(2, (40, 56), "resize"))
    np.testing.assert_array_equal(starts[5].photo((40, 56)), data.load_photo(4, (40, 56), "resize"))
    square = starts[6].layout((40, 40))
    np.testing.assert_array_equal(square, data.load_layout(0, (40, 56), "resize")[:, 8:48])


def test_layouts_without_photographs_say_so(folder_data):
    (folder_data / "photos/train/1.png").unlink()
    data = open_data_set(folder_data, None, "train", 40, need_photos=False)
    starts = DataStarts("data", data, "resize")
    assert [starts[index].photo is None for index in range(5)] == [False, True, False, False, False]
