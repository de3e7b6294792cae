"""The census: every pair read once, in this process or in several."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crn_tf.checking import census
from crn_tf.checking.census import Census, take_census
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import Convention
from crn_tf.data.pairing import Pair
from crn_tf.errors import UserError
from tests.drawn_data import draw_label, draw_photo

TABLE = ClassTable(("sky", "road"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))
IDS = Convention("ids", TABLE, "")


@pytest.fixture
def pairs(tmp_path):
    found = []
    for number in range(6):
        photo, layout = tmp_path / f"p{number}.png", tmp_path / f"l{number}.png"
        draw_photo(photo, number)
        draw_label(layout, number % 3)
        found.append(Pair(str(number), layout, photo))
    return found


def test_several_processes_find_what_one_does_in_the_same_order(pairs, monkeypatch):
    pairs[2].layout.write_bytes(b"no picture")
    alone = list(take_census(pairs, IDS))
    monkeypatch.setattr(census, "_AT_ONCE", 2)
    monkeypatch.setattr(census.os, "cpu_count", lambda: 2)
    assert list(take_census(pairs, IDS)) == alone
    assert [one.pair.name for one in alone] == list("012345")
    assert [bool(one.faults) for one in alone] == [False, False, True, False, False, False]


def test_pixels_and_pictures_of_each_class(pairs):
    counted = Census(list(take_census(pairs, IDS)), TABLE)
    assert counted.pixels() == [256, 256, 256]
    assert counted.pictures() == [2, 2, 2]
    assert counted.ids() == {0: 256, 1: 256, 2: 256}
    assert counted.sizes() == {(8, 16): 6}


def test_without_a_convention_only_numbers_and_colours_are_counted(pairs):
    Image.fromarray(np.full((8, 16, 3), (9, 8, 7), np.uint8)).save(pairs[0].layout)
    counted = Census(list(take_census(pairs, None)), None)
    assert counted.pixels() == []
    assert counted.colors() == {(9, 8, 7): 128}
    assert counted.ids() == {0: 128, 1: 256, 2: 256}


def test_unknown_values_are_counted_over_all_layouts(pairs):
    table = replace(TABLE, void_ids=None)
    draw_label(pairs[0].layout, 40)
    draw_label(pairs[1].layout, 41)
    counted = Census(list(take_census(pairs, Convention("ids", table, ""))), table)
    assert counted.unknown() == {40: 128, 41: 128, 2: 256}
    assert counted.unknown_share() == 512 / 768  # the others are 0 and 1


def test_a_process_that_dies_is_told(pairs, monkeypatch):
    monkeypatch.setattr(census, "_AT_ONCE", 2)
    monkeypatch.setattr(census.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(census, "_examine", _die)
    with pytest.raises(UserError, match=r"a process that reads .*l0\.png or one of the next files was ended"):
        list(take_census(pairs, IDS))


def _die(pair):
    census.os._exit(9)
