"""Order, mirroring and errors of the input pipeline."""

import re

import numpy as np
import pytest
import tensorflow as tf

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.datasets import open_data_set
from crn_tf.data.pipeline import InputPipeline
from crn_tf.errors import UserError


class Numbered:
    """A data set whose pair i is filled with the number i; the left column has 100 more."""

    classes = ClassTable(("a",), ((255, 0, 0),), (0,), (1,))

    def __init__(self, count: int):
        self.count, self.loads = count, 0

    def __len__(self):
        return self.count

    def load(self, index, size, fit):
        self.loads += 1
        layout = np.full(size, index, np.uint8)
        layout[:, 0] += 100
        return np.repeat(layout[..., None], 3, -1), layout

    def load_layout(self, index, size, fit):
        return self.load(index, size, fit)[1]

    def warning(self):
        return None

    def fingerprint(self):
        return f"numbered{self.count}"

    def name(self, index):
        return str(index)


def numbers(pipeline, first, last):
    """The pair numbers in each batch, negative where mirrored."""
    result = []
    for photos, layouts in pipeline.batches(first, last):
        photos, layouts = photos.numpy(), layouts.numpy()
        np.testing.assert_array_equal(photos[..., 0], layouts)  # a photograph and its layout are mirrored together
        mirrored = layouts[:, 0, -1] >= 100
        result.append(np.where(mirrored, -1, 1) * layouts[:, 0, 1].astype(int))
    return np.array(result)


def test_batches_are_uint8_of_the_asked_size():
    pipeline = InputPipeline(Numbered(3), (4, 6), batch=2, seed=0)
    photos, layouts = next(iter(pipeline.batches(0, 1)))
    assert (photos.dtype.name, photos.shape) == ("uint8", (2, 4, 6, 3))
    assert (layouts.dtype.name, layouts.shape) == ("uint8", (2, 4, 6))


def test_every_epoch_has_every_pair_in_an_order_of_its_own():
    pipeline = InputPipeline(Numbered(50), (2, 4), seed=1)
    epochs = numbers(pipeline, 0, 150).reshape(3, 50)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(50))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    assert (epochs[0] != np.arange(50)).any()


class Coordinates(Numbered):
    """A layout tells its pixels' columns, a photograph rows, columns and the pair's number."""

    def load(self, index, size, fit):
        rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
        return np.stack([rows, columns, np.full(size, index, np.uint8)], -1), columns


def windows(first, last, **options):
    """Pair, top and left of each window, and whether it is mirrored."""
    pipeline = InputPipeline(Coordinates(20), (64, 128), seed=1, **options)
    found = []
    for photos, layouts in pipeline.batches(first, last):
        photo, layout = photos.numpy()[0], layouts.numpy()[0]
        np.testing.assert_array_equal(photo[..., 1], layout)  # the same window of both
        step = int(layout[0, 1]) - int(layout[0, 0])
        np.testing.assert_array_equal(photo[:, 0, 0], photo[0, 0, 0] + np.arange(64))
        np.testing.assert_array_equal(layout[0].astype(int), layout[0, 0] + step * np.arange(128))
        found.append((photo[0, 0, 2], photo[0, 0, 0], min(layout[0, 0], layout[0, -1]), step))
    return np.array(found, int)


def test_jitter_cuts_each_pair_elsewhere_in_each_epoch():
    cut, whole = windows(0, 40, flip=True, jitter=True), windows(0, 40, flip=True)
    np.testing.assert_array_equal(cut[:, [0, 3]], whole[:, [0, 3]])  # order and mirroring stay as they were
    assert (whole[:, 1:3] == 0).all()
    of_pair = {pair: cut[cut[:, 0] == pair][:, 1:3].tolist() for pair in range(20)}
    assert sum(first != second for first, second in of_pair.values()) > 15
    assert set(cut[:, 1]) <= set(range(9)) and set(cut[:, 2]) <= set(range(16))  # 72 - 64 rows, 143 - 128 columns
    assert len(set(cut[:, 1])) > 5 and len(set(cut[:, 2])) > 8
    np.testing.assert_array_equal(windows(25, 40, flip=True, jitter=True), cut[25:])


def test_another_seed_gives_another_order():
    orders = [numbers(InputPipeline(Numbered(50), (2, 4), seed=seed), 0, 50) for seed in (1, 2, 1)]
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(orders[0], orders[2])


def test_without_a_seed_the_order_is_the_data_sets():
    np.testing.assert_array_equal(numbers(InputPipeline(Numbered(5), (2, 4)), 0, 5)[:, 0], np.arange(5))


@pytest.mark.parametrize("start", [1, 7, 13, 20])
def test_a_continued_run_sees_what_it_would_have_seen(start):
    pipeline = InputPipeline(Numbered(20), (2, 4), batch=3, seed=4, flip=True)
    whole = numbers(pipeline, 0, 30)
    again = InputPipeline(Numbered(20), (2, 4), batch=3, seed=4, flip=True)
    np.testing.assert_array_equal(numbers(again, start, 30), whole[start:])


def test_the_last_batch_of_an_epoch_is_filled_from_its_beginning():
    pipeline = InputPipeline(Numbered(5), (2, 4), batch=2, seed=0)
    assert pipeline.steps_per_epoch == 3
    epoch = numbers(pipeline, 0, 3).ravel()
    np.testing.assert_array_equal(np.sort(epoch[:5]), np.arange(5))
    assert epoch[5] == epoch[0]


def test_a_batch_may_be_larger_than_the_data_set():
    assert numbers(InputPipeline(Numbered(2), (2, 4), batch=5, seed=0), 0, 2).shape == (2, 5)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_workers_shards_side_by_side_are_the_batch(workers):
    whole = numbers(InputPipeline(Numbered(8), (4, 6), batch=6, seed=1, flip=True), 1, 5)
    shards = [
        numbers(InputPipeline(Numbered(8), (4, 6), batch=6, seed=1, flip=True, shard=(index, workers)), 1, 5)
        for index in range(workers)
    ]
    assert {shard.shape for shard in shards} == {(4, 6 // workers)}
    np.testing.assert_array_equal(np.concatenate(shards, axis=1), whole)


def test_a_worker_reads_only_its_own_shard():
    data = Numbered(8)
    numbers(InputPipeline(data, (4, 6), batch=4, shard=(1, 4)), 0, 2)
    assert data.loads == 2


def test_half_of_the_pairs_are_mirrored_another_half_each_epoch():
    pipeline = InputPipeline(Numbered(90), (2, 4), seed=3, flip=True)
    epochs = [{abs(n): n < 0 for n in numbers(pipeline, 90 * e, 90 * (e + 1))[:, 0] if n} for e in range(2)]
    for mirrored in epochs:
        assert 25 < sum(mirrored.values()) < 65
    assert epochs[0] != epochs[1]


def test_nothing_is_mirrored_unless_asked():
    assert (numbers(InputPipeline(Numbered(40), (2, 4), seed=3), 0, 40) >= 0).all()


def test_a_bad_file_is_reported_in_the_readers_own_words(folder_data):
    (folder_data / "photos/train/3.png").write_bytes(b"not a picture")
    data = open_data_set(folder_data, None, "train", 32)
    with pytest.raises(UserError, match=r"1 of 5 pairs .* cannot read the image .*photos/train/3.png: not a picture"):
        list(InputPipeline(data, (32, 64), seed=0).batches(0, 5))


class Spoiled(Numbered):
    """Numbered pairs of which some cannot be read."""

    def __init__(self, count: int, unreadable: set[int]):
        super().__init__(count)
        self.unreadable = unreadable

    def load(self, index, size, fit):
        if index in self.unreadable:
            self.loads += 1
            raise UserError(f"cannot read the image {index}.png")
        return super().load(index, size, fit)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_pair_that_cannot_be_read_leaves_its_place_to_another(batch):
    pipeline = InputPipeline(Spoiled(40, {3, 8}), (2, 4), batch=batch, seed=4, flip=True, max_unreadable=0.05)
    steps = 3 * pipeline.steps_per_epoch
    whole = numbers(InputPipeline(Numbered(40), (2, 4), batch=batch, seed=4, flip=True), 0, steps)
    found = numbers(pipeline, 0, steps)
    spoiled = np.isin(np.abs(whole), [3, 8])
    np.testing.assert_array_equal(found[~spoiled], whole[~spoiled])  # all others stay where they were
    assert not np.isin(np.abs(found), [3, 8]).any() and spoiled.sum() >= 6
    assert len(set(np.abs(found[spoiled]))) >= 4  # not always the same substitute
    assert sorted(pipeline.unreadable) == ["cannot read the image 3.png", "cannot read the image 8.png"]


@pytest.mark.parametrize("start", [1, 9, 25])
def test_a_continued_run_gets_the_same_substitutes(start):
    def pipeline():
        return InputPipeline(Spoiled(20, {1, 2, 3, 5}), (2, 4), batch=3, seed=4, flip=True, max_unreadable=0.2)

    np.testing.assert_array_equal(numbers(pipeline(), start, 40), numbers(pipeline(), 0, 40)[start:])


def test_without_a_seed_the_next_pairs_are_the_substitutes():
    pipeline = InputPipeline(Spoiled(6, {1, 2, 5}), (2, 4), max_unreadable=0.5)
    assert numbers(pipeline, 0, 6)[:, 0].tolist() == [0, 3, 3, 3, 4, 0]


def test_an_unreadable_pair_is_tried_once_only():
    data = Spoiled(8, {1})
    numbers(InputPipeline(data, (2, 4), seed=0, max_unreadable=0.2), 0, 80)
    assert data.loads == 80 + 1


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.1, 3), (0.14, 3), (0.15, 4)])
def test_more_than_the_named_share_stops_the_reading(share, count):
    data = Spoiled(20, {2, 3, 5, 7, 11})
    pipeline = InputPipeline(data, (2, 4), seed=0, max_unreadable=share)
    with pytest.raises(UserError) as caught:
        list(pipeline.batches(0, 20))
    message = str(caught.value)
    assert re.match(rf"[{count}-5] of 20 pairs cannot be read; more than --max-unreadable {share:g} of them", message)
    assert re.search(r"The first: cannot read the image \d+\.png$", message)


def test_when_nothing_can_be_read_no_share_is_large_enough():
    with pytest.raises(UserError, match=r"^2 of 2 pairs cannot be read\. The first: cannot read the image [01].png"):
        list(InputPipeline(Spoiled(2, {0, 1}), (2, 4), max_unreadable=1.0).batches(0, 2))


def test_when_other_threads_met_the_last_readable_pair_the_error_is_as_clear():
    """A thread that comes when every pair is known to be unreadable has none to try."""
    pipeline = InputPipeline(Spoiled(2, {0, 1}), (2, 4), seed=0, max_unreadable=1.0)
    with pytest.raises(UserError):
        list(pipeline.batches(0, 1))
    assert len(pipeline.unreadable) == 2
    with pytest.raises(tf.errors.OpError, match=r"UserError: 2 of 2 pairs cannot be read\. The first: cannot read"):
        list(pipeline.dataset(0, 1))  # the thread's own error, before `batches` makes one line of it
    with pytest.raises(UserError, match=r"^2 of 2 pairs cannot be read\. The first: cannot read the image [01]\.png$"):
        list(pipeline.batches(0, 1))
