"""Sizes of photographs and layouts: what is the same shape, what is left out, what stops."""

import pytest

from crn_tf.data.datasets import FileDataSet, open_data_set
from crn_tf.data.file_pairs import same_shape
from crn_tf.errors import UserError
from tests.drawn_data import draw_label, draw_pairs, draw_photo


def draw(tmp_path, count, photo, label) -> FileDataSet:
    """Pairs of which all photographs and all labels have a size."""
    for number in range(count):
        draw_photo(tmp_path / f"photos/train/{number:02}.png", 10 * number, photo)
        draw_label(tmp_path / f"labels/train/{number:02}.png", number % 2, label)
    draw_pairs(tmp_path, [], [])
    data = open_data_set(tmp_path, None, "train", 32)
    assert isinstance(data, FileDataSet)
    return data


@pytest.mark.parametrize(
    ("photo", "layout", "same"),
    [
        ((64, 128), (32, 64), True),
        ((33, 65), (32, 64), True),
        ((33, 65), (16, 32), True),
        ((375, 1242), (187, 621), True),
        ((256, 512), (1024, 2048), True),
        ((1052, 1914), (1052, 1914), True),
        ((1024, 2048), (1024, 2000), False),
        ((4, 8), (5, 9), False),
        ((64, 128), (128, 64), False),
        ((100, 100), (100, 102), False),
        ((1, 1), (30, 40), False),
    ],
)
def test_the_same_shape_is_the_same_to_a_pixel_of_rounding(photo, layout, same):
    assert same_shape(photo, layout) == same == same_shape(layout, photo)


@pytest.mark.parametrize(("photo", "label"), [((64, 128), (32, 64)), ((33, 65), (32, 64))])
def test_labels_of_another_size_and_the_same_shape_are_resized(tmp_path, photo, label):
    data = draw(tmp_path, 4, photo, label)
    data.check_sizes()
    data.check_sizes()
    assert data.notes == [
        f"4 of 4 layouts have another size than their photographs and the same shape, for example "
        f"{tmp_path}/labels/train/00.png: they are resized with nearest neighbour"
    ]
    photograph, layout = data.load(1, (16, 32), "crop")
    assert photograph.shape == (16, 32, 3) and layout.shape == (16, 32) and layout.min() == 1 and not data.left_out


def test_a_few_of_another_shape_are_left_out_within_the_share(tmp_path):
    data = draw(tmp_path, 25, (32, 64), (32, 64))
    draw_label(tmp_path / "labels/train/11.png", size=(64, 64))
    data.check_sizes(max_incomplete=0.05)
    told = f"{tmp_path}/photos/train/11.png is 32x64 but its layout {tmp_path}/labels/train/11.png is 64x64"
    assert len(data.left_out) == 1 and data.left_out[0].startswith(told)
    with pytest.raises(UserError, match=r"11\.png is 32x64 but its layout"):
        data.load(11, (16, 32), "resize")  # the input pipeline takes another in its place
    assert data.load(12, (16, 32), "resize")[1].shape == (16, 32)
    with pytest.raises(UserError, match=r"11\.png is 32x64 but its layout"):
        data.check_sizes()
    draw_label(tmp_path / "labels/train/13.png", size=(64, 64))
    with pytest.raises(UserError, match=r"2 of 25 pairs cannot be used, more than --max-unreadable 0\.05.*11\.png is"):
        data.check_sizes(max_incomplete=0.05)


def test_damaged_headers_count_with_the_others(tmp_path):
    data = draw(tmp_path, 25, (32, 64), (32, 64))
    (tmp_path / "photos/train/03.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    data.check_sizes(max_incomplete=0.05)
    with pytest.raises(UserError, match=r"03\.png"):
        data.load(3, (16, 32), "resize")
    (tmp_path / "photos/train/04.png").write_text("text")
    with pytest.raises(UserError, match=r"2 of 25 pairs cannot be used.*03\.png"):
        data.check_sizes(max_incomplete=0.05)
    data.check_sizes(skip_unreadable=True)
    for path in (tmp_path / "photos/train").iterdir():
        path.write_text("text")
    with pytest.raises(UserError, match="25 of 25 pairs cannot be used"):
        data.check_sizes(max_incomplete=1.0)
