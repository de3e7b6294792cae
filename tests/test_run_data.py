"""What a run trains and validates on, and what is said of it before."""

import pytest

from crn_tf.data import conventions, datasets
from crn_tf.data.layouts import LayoutReader
from crn_tf.training.flags import TrainFlags
from crn_tf.training.run_data import open_run_data
from tests.drawn_data import draw_label, draw_pairs, draw_photo


def open_drawn(root, **flags):
    return open_run_data(TrainFlags.of(size="8x16", data=root, vgg_weights="random", **flags).resolved())


def draw(root, splits, sizes=((8, 16),)):
    for split in splits:
        for number, size in enumerate(sizes * 3):
            draw_photo(root / f"photos/{split}/{number}.png", 10, size)
            draw_label(root / f"labels/{split}/{number}.png", number % 2, size)
    return draw_pairs(root, [], [])


@pytest.mark.parametrize(
    ("fit", "what"), [("resize", "stretched, up to 2.00 times"), ("crop", "cut to their centre, without up to 50%")]
)
def test_photographs_of_another_shape_are_told_once(tmp_path, fit, what):
    data = open_drawn(draw(tmp_path, ("train", "val"), ((8, 16), (16, 16))), fit=fit)
    told = [note for note in data.notes() if "the shape of 8x16" in note]
    assert (
        len(told) == 1 and told[0].startswith("6 of 12 photographs do not have the shape of 8x16 (") and what in told[0]
    )
    assert f"{tmp_path}/photos/" in told[0]


def test_photographs_of_the_models_shape_are_not_worth_a_word(tmp_path):
    data = open_drawn(draw(tmp_path, ("train",), ((8, 16), (16, 32))))
    assert not any("shape" in note for note in data.notes())


@pytest.mark.parametrize(("splits", "share"), [(("train", "val"), 0.0), (("train",), 0.4)])
def test_folders_are_looked_through_once(tmp_path, monkeypatch, splits, share):
    draw(tmp_path, splits)
    settings = TrainFlags.of(size="8x16", data=tmp_path, vgg_weights="random", validation_share=share).resolved()
    calls = []
    monkeypatch.setattr(datasets, "find_tree", lambda *a, real=datasets.find_tree: calls.append("tree") or real(*a))
    monkeypatch.setattr(datasets, "pair", lambda *a, real=datasets.pair: calls.append("pair") or real(*a))
    data = open_run_data(settings)
    assert data.validation and calls == ["tree", *["pair"] * len(splits)]


def test_training_labels_are_read_once_before_training(tmp_path, monkeypatch):
    draw(tmp_path, ("train", "val"))
    read = []
    real_look, real_read = conventions.look_at, LayoutReader.read
    monkeypatch.setattr(conventions, "look_at", lambda path, *a: read.append(path) or real_look(path, *a))
    monkeypatch.setattr(LayoutReader, "read", lambda self, path, *a: read.append(path) or real_read(self, path, *a))
    open_drawn(tmp_path)
    assert sorted(read) == sorted(tmp_path.glob("labels/*/*.png"))
