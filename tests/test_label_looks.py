"""What one label file tells by itself: the palette of labelling tools, and how many pixels have each class."""

import numpy as np
import pytest

from crn_tf.data.label_looks import VOC_COLORS, is_standard_palette, look_at
from crn_tf.data.near_colors import near_table
from tests.test_layouts import BLUE, GREEN, PINK, RED, RGB, save


def test_the_palette_of_labelling_tools_is_pascal_vocs():
    published = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert VOC_COLORS[:7].tolist() == [list(color) for color in published]
    assert VOC_COLORS[20].tolist() == [0, 64, 128] and VOC_COLORS[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize(
    ("known", "used", "standard"),
    [
        (256, [0], True),
        (22, [0, 1], True),
        (4, [0, 3], True),
        (4, [3, 255], True),
        (4, [0, 4], False),
        (2, [0, 1], False),
    ],
)
def test_how_much_of_it_is_needed(known, used, standard):
    palette, counts = VOC_COLORS.copy(), np.zeros(256, bool)
    palette[known:], counts[used] = 77, True
    assert is_standard_palette(palette, counts) is standard


def test_a_look_counts_classes_and_unknown_colours(tmp_path):
    near_red = (250, 5, 0)
    look = look_at(save(tmp_path / "a.png", [[RED, near_red, GREEN, BLUE, PINK, PINK]]), RGB, near_table(RGB))
    assert look.colors == {0: 2, 1: 1, 2: 1, 255: 2} and look.unknown == {PINK: 2}
    assert look.numbers is None and look.holds_ids is False and not look.ids
    look = look_at(save(tmp_path / "b.png", [[0, 0, 2]]), RGB, near_table(RGB))
    assert look.ids == {0: 2, 2: 1} and look.numbers == "grey" and look.holds_ids and look.colors is None
