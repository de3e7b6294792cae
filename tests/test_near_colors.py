"""Colours that are nearly a table's: no colour is near to two classes, and only blends are mended."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.near_colors import REACH, mend_edges, near_table, nearest, reaches

colors = st.tuples(*[st.integers(0, 255)] * 3).filter(any)


@given(st.lists(colors, min_size=2, max_size=12, unique=True))
def test_no_colour_is_within_reach_of_two_classes(palette):
    table = ClassTable(tuple(map(str, palette)), tuple(palette), tuple(range(len(palette))), (255,))
    near, known = reaches(table), table.class_colors
    for one, reach in near.items():
        assert 0 <= reach <= REACH
        for other, its in near.items():
            if known[one] != known[other]:
                assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > reach + its


def test_the_table_of_near_colours_ends_at_their_reach():
    table = near_table(CITYSCAPES).reshape(256, 256, 256)
    assert table[128, 64, 128] == table[120, 72, 136] == 0 and table[119, 64, 128] == 255
    assert table[0, 0, 0] == table[8, 0, 8] == 19  # void
    assert table[0, 0, 142] == 13 and table[0, 0, 70] == 14 and table[0, 0, 78] == 14 and table[0, 0, 79] == 255
    assert nearest((0, 0, 83), CITYSCAPES) == ((0, 0, 90), 7)


def test_blends_are_mended_from_both_sides_only():
    rgb = np.array([[[0, 0, 0]] * 3 + [[60, 0, 0], [190, 0, 0]] + [[250, 0, 0]] * 3 + [[120, 0, 0]]], np.uint8)
    layout = np.array([[0, 0, 0, 255, 255, 1, 1, 1, 255]], np.uint8)
    assert mend_edges(rgb, layout).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 255]]  # the last has one side only


def test_wide_areas_of_a_blend_stay_unknown():
    rgb = np.array([[[0, 0, 0]] * 3 + [[120, 0, 0]] * 20 + [[250, 0, 0]] * 3], np.uint8)
    layout = np.array([[0] * 3 + [255] * 20 + [1] * 3], np.uint8)
    assert mend_edges(rgb, layout).tolist() == layout.tolist()
