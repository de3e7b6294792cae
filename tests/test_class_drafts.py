"""Class tables made of what label files hold."""

from collections import Counter
from pathlib import Path

import pytest

from crn_tf.checking.census import Census, PairCensus
from crn_tf.checking.class_drafts import draft_convention, extended
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.layouts import PixelCount
from crn_tf.data.pairing import Pair
from crn_tf.errors import UserError

PAIR = Pair("a", Path("a.png"), None)
TABLE = ClassTable(("sky", "road"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))


def of(*pairs: PairCensus, classes: ClassTable | None = None) -> list[Census]:
    return [Census(pairs, classes)]


def test_ids_become_classes_and_255_void():
    drafted = draft_convention(of(PairCensus(PAIR, ids=Counter({7: 5, 0: 9, 255: 3}))))
    assert drafted.form == "ids"
    assert (drafted.classes.ids, drafted.classes.void_ids) == ((0, 7), (255,))
    assert drafted.classes.names == ("class 0", "class 7")


def test_masks_of_0_and_255_keep_their_object():
    drafted = draft_convention(of(PairCensus(PAIR, ids=Counter({255: 3}))))
    assert drafted.classes.ids == (255,)


def test_colours_become_classes_without_those_that_are_nearly_another_or_rare():
    colors = Counter({(10, 10, 10): 50_000, (200, 0, 0): 40_000, (203, 0, 0): 5_000, (90, 5, 5): 3})
    drafted = draft_convention(of(PairCensus(PAIR, colors=colors)))
    assert drafted.form == "colours"
    assert drafted.classes.palette == ((10, 10, 10), (200, 0, 0))


def test_what_is_not_in_a_table_is_added_to_it():
    count = PixelCount(1000, 500, unknown=450, colors=True, unknown_values=Counter({(0, 0, 255): 440, (0, 250, 0): 10}))
    pair = PairCensus(PAIR, by_class=(250, 250, 500), count=count)
    table = extended(TABLE, of(pair, classes=TABLE))
    assert table.names == ("sky", "road", "class 3")
    assert table.palette[2:] == ((0, 0, 255),)  # the other is nearly the road's
    assert table.ids == (0, 1, 3)


def test_ids_that_are_not_in_a_table_keep_their_numbers():
    count = PixelCount(1000, 500, unknown=500, unknown_values=Counter({40: 500}))
    table = extended(TABLE, of(PairCensus(PAIR, by_class=(250, 250, 500), count=count)))
    assert table.ids == (0, 1, 40)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (PairCensus(PAIR, ids=Counter(range(300))), "299 ids, 0..299; expected at most 254"),
        (
            PairCensus(PAIR, colors=Counter({(r, g, 0): 10 for r in range(0, 255, 12) for g in range(0, 255, 12)})),
            "484 colours; expected at most 254",
        ),
        (PairCensus(PAIR, ids=Counter([1]), colors=Counter([(1, 2, 3)])), "some layouts hold ids and some colours"),
        (PairCensus(PAIR), "no layout can be read"),
    ],
)
def test_what_no_table_can_be_made_of_is_said(pair, message):
    with pytest.raises(UserError, match=message):
        draft_convention(of(pair))
