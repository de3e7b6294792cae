"""Data sets: which files belong together, how incomplete ones are reported, and what is read from a pair."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.datasets import EvenSample, find_kind, layout_files, loose_layouts, open_data_set, splits
from crn_tf.errors import UsageError, UserError

CLASSES = '{"names": ["sky", "road"], "palette": [[255, 0, 0], [0, 255, 0]], "void": 2}'
SIZE = (4, 8)


def photo(path, value=100, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def layout(path, number=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, number, np.uint8)).save(path)


def color_layout(path, color, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), color, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two training pairs and one validation pair in the form of one's own data."""
    for split, name, number in (("train", "b", 1), ("train", "a", 0), ("val", "c", 2)):
        photo(tmp_path / "photos" / split / f"{name}.jpg", 10 * number)
        layout(tmp_path / "labels" / split / f"{name}.png", number)
    (tmp_path / "classes.json").write_text(CLASSES)
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path):
    for city, number in (("ulm", 8), ("bonn", 7)):
        photo(tmp_path / f"leftImg8bit/train/{city}/{city}_0_leftImg8bit.png", number)
        layout(tmp_path / f"gtFine/train/{city}/{city}_0_gtFine_labelIds.png", number)
        color_layout(tmp_path / f"gtFine/train/{city}/{city}_0_gtFine_color.png", CITYSCAPES.palette[number])
        layout(tmp_path / f"gtFine/train/{city}/{city}_0_gtFine_instanceIds.png", 99)
    return tmp_path


@pytest.fixture
def release(tmp_path):
    """Two heights; the training pair shows a road, the validation pair a sidewalk."""
    for height in (256, 1024):
        for number, color in ((1, (128, 64, 128)), (100001, (244, 35, 232))):
            color_layout(tmp_path / f"Label{height}Full/{number:08}.png", color)
            photo(tmp_path / f"RGB{height}Full/{number:08}.png", height // 8)
    return tmp_path


def names(data):
    return [data.name(i) for i in range(len(data))]


def pixel(array):
    """The value that all pixels have."""
    assert (array == array[0, 0]).all()
    return array[0, 0].tolist()


# --- the four kinds


def test_cityscapes_pairs_its_label_ids(cityscapes):
    data = open_data_set(cityscapes, None, "train", 256)
    assert names(data) == ["bonn_0", "ulm_0"] and data.classes == CITYSCAPES
    image, ids = data.load(1, SIZE, "resize")
    assert pixel(image) == [8, 8, 8] and pixel(ids) == 1  # labelId 8 is sidewalk


def test_cityscapes_without_label_ids_is_read_by_colour(cityscapes):
    for path in cityscapes.glob("gtFine/*/*/*_labelIds.png"):
        path.unlink()
    data = open_data_set(cityscapes, None, "train", 256)
    assert names(data) == ["bonn_0", "ulm_0"]
    assert pixel(data.load_layout(1, SIZE, "resize")) == 8  # the fixture's colour of class 8, not of labelId 8
    assert data.warning() is None


def test_two_cities_may_have_files_of_the_same_name(tmp_path):
    for city, number in (("ulm", 8), ("bonn", 7)):
        photo(tmp_path / f"leftImg8bit/train/{city}/0_leftImg8bit.png", number)
        layout(tmp_path / f"gtFine/train/{city}/0_gtFine_labelIds.png", number)
    data = open_data_set(tmp_path, None, "train", 256)
    assert names(data) == ["bonn_0", "ulm_0"]  # results are written under these names
    assert [pixel(data.load(i, SIZE, "resize")[0])[0] for i in (0, 1)] == [7, 8]


@pytest.mark.parametrize(("height", "chosen"), [(128, 256), (256, 256), (257, 1024), (512, 1024), (2048, 1024)])
def test_the_release_is_read_at_the_smallest_height_that_is_enough(release, height, chosen):
    data = open_data_set(release, None, "train", height)
    assert pixel(data.load(0, SIZE, "resize")[0]) == [chosen // 8] * 3


def test_the_releases_numbers_tell_the_split(release):
    for split, name, number in (("train", "00000001", 0), ("val", "00100001", 1)):
        data = open_data_set(release, "release", split, 256)
        assert names(data) == [name] and pixel(data.load_layout(0, SIZE, "resize")) == number


def test_the_releases_layouts_need_their_photographs_only_for_training(release):
    for path in (release / "RGB256Full").iterdir():
        path.unlink()
    (release / "RGB256Full").rmdir()
    with pytest.raises(UserError, match=r"no folder .*RGB256Full; .* no photographs to train with"):
        open_data_set(release, None, "train", 256)
    assert names(open_data_set(release, None, "train", 256, need_photos=False)) == ["00000001"]


def test_ones_own_folder_pairs_by_name(folder):
    data = open_data_set(folder, None, "train", 256)
    assert names(data) == ["a", "b"] and data.classes.names == ("sky", "road")
    image, ids = data.load(1, (2, 2), "resize")
    assert image.shape == (2, 2, 3) and np.abs(image.astype(int) - 10).max() <= 2 and pixel(ids) == 1
    assert data.layout_size(0) == SIZE
    assert names(open_data_set(folder, None, "val", 256)) == ["c"]


def test_toy_needs_no_folder_and_its_splits_differ():
    train, val = (open_data_set(None, "toy", split, 256) for split in ("train", "val"))
    assert (len(train), len(val)) == (160, 24) and names(val)[:2] == ["toy_val_0000", "toy_val_0001"]
    (first, ids), (again, _), (other, _) = (d.load(3, (32, 64), "resize") for d in (train, train, val))
    assert first.shape == (32, 64, 3) and ids.shape == (32, 64) and ids.max() <= train.classes.void
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    np.testing.assert_array_equal(train.load_layout(3, (32, 64), "resize"), ids)


# --- kinds and splits


@pytest.mark.parametrize("kind", ["cityscapes", "release", "folder"])
def test_the_kind_is_found_from_the_folders_shape(kind, request):
    assert find_kind(request.getfixturevalue(kind)) == kind


def test_a_folder_of_no_known_shape_is_told_all_shapes(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is no known kind of data set") as caught:
        find_kind(tmp_path)
    for part in ("gtFine/SPLIT/CITY/*_gtFine_labelIds.png", "Label256Full/*.png", "labels/SPLIT/*.png"):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", [None, "cityscapes", "release", "folder"])
def test_a_missing_folder_is_called_missing(tmp_path, kind):
    with pytest.raises(UserError, match=f"no folder {tmp_path}/nowhere$"):
        open_data_set(tmp_path / "nowhere", kind, "train", 256)


def test_no_folder_at_all_is_wrong_usage():
    with pytest.raises(UsageError, match="the folder data needs its folder: --data FOLDER"):
        open_data_set(None, "folder", "train", 256)
    with pytest.raises(UsageError, match="the cityscapes data needs its folder: --data FOLDER"):
        splits(None, "cityscapes")


def test_a_missing_split_is_told_the_splits_there_are(folder):
    assert splits(folder, "folder") == ["train", "val"]
    with pytest.raises(UserError, match=f"{folder} has no split 'test'; it has train, val"):
        open_data_set(folder, None, "test", 256)
    with pytest.raises(UserError, match="the toy data set has the splits train and val, not 'test'"):
        open_data_set(None, "toy", "test", 256)


def test_an_empty_split_is_reported(folder, tmp_path):
    (folder / "labels" / "empty").mkdir()
    with pytest.raises(UserError, match=f"no layouts in the split 'empty' of {folder}"):
        open_data_set(folder, None, "empty", 256)
    with pytest.raises(UserError, match="is no data set of the kind release; expected one of"):
        open_data_set(tmp_path, "release", "train", 256)


def test_a_folder_without_classes_json_is_reported(folder):
    (folder / "classes.json").unlink()
    with pytest.raises(UserError, match=f"no {folder}/classes.json"):
        open_data_set(folder, None, "train", 256)


# --- incomplete and inconsistent pairs


def test_a_layout_without_a_photograph_is_named(folder):
    (folder / "photos/train/b.jpg").unlink()
    with pytest.raises(UserError, match=r"the layout .*/labels/train/b\.png has no photograph; expected"):
        open_data_set(folder, None, "train", 256)


def test_photographs_without_layouts_are_counted(folder):
    for name in "xyz":
        photo(folder / f"photos/train/{name}.png")
    with pytest.raises(UserError, match=r"the photograph .*/x\.png \(and 2 more like it\) has no layout"):
        open_data_set(folder, None, "train", 256)


def test_cityscapes_pairs_are_looked_for_in_the_same_city(cityscapes):
    photo(cityscapes / "leftImg8bit/train/bonn/ulm_0_leftImg8bit.png")
    (cityscapes / "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png").unlink()
    with pytest.raises(UserError, match=r"the layout .*/ulm/ulm_0_gtFine_labelIds\.png has no photograph"):
        open_data_set(cityscapes, None, "train", 256)


def test_layouts_alone_are_enough_where_photographs_are_not_needed(folder):
    for path in (folder / "photos/train").iterdir():
        path.unlink()
    photo(folder / "photos/train/without_layout.jpg")
    data = open_data_set(folder, None, "train", 256, need_photos=False)
    assert names(data) == ["a", "b"] and pixel(data.load_layout(1, SIZE, "resize")) == 1
    data.check_sizes()
    with pytest.raises(UserError, match=r"the layout .*/labels/train/a\.png has no photograph"):
        data.load(0, SIZE, "resize")
    before = data.fingerprint()
    layout(folder / "labels/train/a.png", 1, (8, 8))
    assert open_data_set(folder, None, "train", 256, need_photos=False).fingerprint() != before


@pytest.mark.parametrize("path", ["photos/train/a.png", "labels/train/a.bmp"])
def test_two_files_for_one_name_are_refused(folder, path):
    photo(folder / path)
    with pytest.raises(UserError) as caught:
        open_data_set(folder, None, "train", 256)
    assert re.search(r"/a\.(png|bmp|jpg) and .*/a\.(png|bmp|jpg) have the same name", str(caught.value))
    assert str(folder / path) in str(caught.value)


def test_other_files_beside_the_pictures_do_not_disturb(folder):
    (folder / "photos/train/Thumbs.db").write_text("x")
    (folder / "labels/train/notes.txt").write_text("x")
    assert names(open_data_set(folder, None, "train", 256)) == ["a", "b"]


def test_sizes_that_disagree_are_both_told(folder):
    data = open_data_set(folder, None, "train", 256)
    data.check_sizes()
    layout(folder / "labels/train/b.png", size=(5, 9))
    with pytest.raises(UserError, match=r"train/b\.jpg is 4x8 but its layout .*/b\.png is 5x9 \(height x width\)"):
        data.check_sizes()


def test_check_sizes_may_leave_out_what_cannot_be_read(folder):
    (folder / "photos/train/a.jpg").write_text("text")
    data = open_data_set(folder, None, "train", 256)
    data.check_sizes(skip_unreadable=True)
    layout(folder / "labels/train/b.png", size=(5, 9))
    with pytest.raises(UserError, match=r"train/b\.jpg is 4x8 but its layout"):
        data.check_sizes(skip_unreadable=True)


def test_check_sizes_meets_a_file_that_is_no_picture(folder):
    (folder / "photos/train/b.jpg").write_text("text")
    with pytest.raises(UserError, match=r"b\.jpg: not a picture"):
        open_data_set(folder, None, "train", 256).check_sizes()


def test_the_fingerprint_changes_with_files_and_classes_only(folder):
    def fingerprint():
        return open_data_set(folder, None, "train", 256).fingerprint()

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    os.utime(folder / "photos/train/a.jpg", ns=(1, 1))
    seen.append(fingerprint())
    path = folder / "labels/train/a.png"
    written = path.stat().st_mtime_ns
    layout(path, 1, (30, 30))
    os.utime(path, ns=(written, written))
    seen.append(fingerprint())
    (folder / "classes.json").write_text(CLASSES.replace("255", "254"))
    seen.append(fingerprint())
    assert len(set(seen)) == 4


# --- samples and loose layouts


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (4, [0, 40, 80, 120]), (3, [0, 53, 106])])
def test_a_sample_is_spread_evenly(count, expected):
    toy = open_data_set(None, "toy", "train", 256)
    sample = EvenSample(toy, count)
    assert names(sample) == [f"toy_train_{i:04}" for i in expected]
    last, same = sample.load_layout(count - 1, SIZE, "crop"), toy.load_layout(expected[-1], SIZE, "crop")
    np.testing.assert_array_equal(last, same)


def test_a_sample_of_more_than_there_are_is_everything(folder):
    assert names(EvenSample(open_data_set(folder, None, "train", 256), 32)) == ["a", "b"]


def test_layouts_are_gathered_from_files_and_folders(folder):
    files = layout_files([folder / "labels/val/c.png", folder / "labels/train"])
    assert [f.name for f in files] == ["c.png", "a.png", "b.png"]
    data = loose_layouts(files, CITYSCAPES)
    assert names(data) == ["c", "a", "b"]
    assert pixel(data.load_layout(2, SIZE, "resize")) == CITYSCAPES.void


def test_layouts_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=f"no layout {tmp_path}/a.png$"):
        layout_files([tmp_path / "a.png"])
    with pytest.raises(UserError, match=f"no pictures in the folder {tmp_path}; expected PNG layouts"):
        layout_files([tmp_path])


def test_layouts_of_the_same_name_are_told_apart_by_their_folder(tmp_path):
    files = [tmp_path / "x/1.png", tmp_path / "y/1.png", tmp_path / "y/2.png"]
    assert names(loose_layouts(files, CITYSCAPES)) == ["x_1", "y_1", "2"]


def test_layouts_of_the_same_name_in_one_folder_are_told_apart_by_their_suffix(tmp_path):
    files = [tmp_path / "x/a.png", tmp_path / "x/a.BMP", tmp_path / "x/b.png"]
    assert names(loose_layouts(files, CITYSCAPES)) == ["a_png", "a_bmp", "b"]
    files = [Path("a.png"), Path("a.bmp"), Path("y/a.png")]
    assert names(loose_layouts(files, CITYSCAPES)) == ["a_png", "a_bmp", "y_a"]


def test_layouts_that_even_their_folder_does_not_tell_apart_are_refused(tmp_path):
    with pytest.raises(UserError, match="several layouts would be written as x_1; give them in separate runs"):
        loose_layouts([tmp_path / "p/x/1.png", tmp_path / "q/x/1.png"], CITYSCAPES)


# --- real files


def test_camvid_is_complete(shared):
    train, val = (open_data_set(shared / "data/camvid", None, split, 192) for split in ("train", "val"))
    assert (len(train), len(val)) == (367, 101) and train.classes.num_classes == 12
    train.check_sizes()
    val.check_sizes()
    image, ids = val.load(100, (192, 256), "crop")
    assert image.shape == (192, 256, 3) and ids.shape == (192, 256) and len(np.unique(ids)) >= 5


def test_the_cityscapes_sample_is_complete(shared):
    data = open_data_set(shared / "data/cityscapes_sample", None, "train", 1024)
    assert names(data) == [f"aachen_{i:06}_000019" for i in range(4)]
    data.check_sizes()
    image, ids = data.load(0, (256, 512), "resize")
    sky, road = (image[ids == CITYSCAPES.names.index(name)].mean() for name in ("sky", "road"))
    assert sky > 1.5 * road  # the photograph is the layout's


def test_the_releases_own_layouts_are_the_validation_split(shared):
    root = shared / "data/release/cityscapes"
    with pytest.raises(UserError, match=r"no folder .*RGB512Full"):
        open_data_set(root, None, "val", 512)
    data = open_data_set(root, None, "val", 512, need_photos=False)
    assert len(data) == 6 and names(data)[0] == "00100027" and data.layout_size(0) == (512, 1024)
    with pytest.raises(UserError, match="has no split 'train'; it has val"):
        open_data_set(root, None, "train", 512, need_photos=False)
