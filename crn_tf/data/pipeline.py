"""The input pipeline: uint8 photographs and class ids, decoded in parallel, ahead of the training step.

Which pair comes when, and which are mirrored, follows from the seed and the step alone, so that a run can be
continued at any step with the order it would have had. A pair whose files cannot be read is left out, and its place
taken by another that follows from seed and step as well.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from crn_tf.data.datasets import DataSet
from crn_tf.data.decoded_cache import DamagedCacheError
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UserError


@dataclass
class InputPipeline:
    """Batches of a data set.

    Attributes:
        data: Where pairs are read.
        size: Height and width of the batches.
        fit: How a pair of another aspect ratio is brought to `size`.
        batch: Pairs in a batch.
        seed: Decides the order; None keeps the data set's order.
        flip: Mirror half of the pairs, another half each epoch.
        jitter: Read pairs at `enlarged(size)`, and cut them at random, each epoch elsewhere.
        max_unreadable: The share of pairs that may be unreadable, and are left out; with more, reading stops.
        shard: Which part of each batch to read: its index, and how many equal parts there are. The parts of all
            workers, one after the other, are the batch that one of them alone would read.
    """

    data: DataSet
    size: Size
    fit: Fit = "resize"
    batch: int = 1
    seed: int | None = None
    flip: bool = False
    max_unreadable: float = 0.0
    shard: tuple[int, int] = (0, 1)
    jitter: bool = False

    def __post_init__(self) -> None:
        self._failure: UserError | None = None
        self._unreadable: dict[int, str] = {}  # why, by the pair's number, in the order they were met
        self._lock = threading.Lock()  # pairs are read in several threads
        self._epoch_order = lru_cache(maxsize=2)(self._draw_epoch_order)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every pair occurs; the last one is filled up from the epoch's beginning."""
        return -(-len(self.data) // self.batch)

    @property
    def unreadable(self) -> list[str]:
        """Why pairs were left out: one message for each that could not be read so far."""
        with self._lock:
            return list(self._unreadable.values())

    def are_unreadable(self) -> NDArray[np.bool_]:
        """Which pairs could not be read so far: [pairs], in the data set's order."""
        found = np.zeros(len(self.data), bool)
        with self._lock:
            found[list(self._unreadable)] = True
        return found

    def batches(self, first_step: int, last_step: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The batches of steps `first_step` to `last_step` - 1, counted from the start of training.

        Yields:
            Photographs uint8 [B, H, W, 3] and layouts uint8 [B, H, W], of this shard.

        Raises:
            UserError: More pairs than `max_unreadable` cannot be read, or a cache is damaged.
        """
        try:
            yield from self.dataset(first_step, last_step)
        except tf.errors.OpError:
            if self._failure:  # a reader thread met it
                raise self._failure from None
            raise

    def dataset(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """The same batches as a `tf.data.Dataset`, whose iteration ends with TensorFlow's errors."""
        height, width = self.size
        index, count = self.shard
        share = self.batch // count

        def read(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            photo, layout = tf.numpy_function(self._read, [position], (tf.uint8, tf.uint8), stateful=False)
            return tf.ensure_shape(photo, (height, width, 3)), tf.ensure_shape(layout, (height, width))

        positions = tf.data.Dataset.range(first_step * self.batch, last_step * self.batch)
        if count > 1:
            positions = positions.filter(lambda position: position % self.batch // share == index)
        samples = positions.map(read, num_parallel_calls=os.cpu_count(), deterministic=True)
        return samples.batch(share, drop_remainder=True).prefetch(2)

    def _read(self, position: np.int64) -> tuple[np.ndarray, np.ndarray]:
        """Read the pair that is at `position` in the endless sequence of all epochs.

        Raises:
            UserError: Too many pairs cannot be read.
        """
        step, place = divmod(int(position), self.batch)
        epoch, step = divmod(step, self.steps_per_epoch)
        order, mirrored, corners = self._epoch_order(epoch)
        place = (step * self.batch + place) % len(self.data)
        pairs = map(self._load, self._candidates(int(order[place]), int(position)))
        pair = next((pair for pair in pairs if pair), None)
        if not pair:  # all were met before, or meanwhile by other threads
            raise self._failed(self._too_many(len(self.data)))
        photo, layout = pair
        if self.jitter:
            spare = np.subtract(enlarged(self.size), self.size) + 1  # positions that a corner can have
            top, left = (corners[place] * spare).astype(int)
            window = slice(top, top + self.size[0]), slice(left, left + self.size[1])
            photo, layout = photo[window], layout[window]
        if mirrored[place]:
            photo, layout = photo[:, ::-1], layout[:, ::-1]
        return np.ascontiguousarray(photo), np.ascontiguousarray(layout)

    def _candidates(self, index: int, position: int) -> Iterator[int]:
        """The pair that belongs to a position, then those that take its place if it cannot be read.

        Which ones does not depend on what was met before, only on what can be read: a continued run, and any number of
        reader threads, come to the same.
        """
        yield index
        if self.seed is None:  # the next ones
            yield from ((index + step) % len(self.data) for step in range(1, len(self.data)))
        else:
            yield from map(int, np.random.default_rng([self.seed, position, 1]).permutation(len(self.data)))

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        """A pair, or None if it cannot be read.

        Raises:
            DamagedCacheError: The pair was to come from a cache whose files are damaged.
            UserError: With it, too many pairs cannot be read.
        """
        with self._lock:
            if index in self._unreadable:
                return None
        try:
            return self.data.load(index, enlarged(self.size) if self.jitter else self.size, self.fit)
        except DamagedCacheError as error:
            raise self._failed(error) from None
        except UserError as error:
            with self._lock:
                self._unreadable[index] = str(error)
            try:
                self.check_unreadable(len(self.unreadable))
            except UserError as too_many:
                raise self._failed(too_many) from None
            return None

    def _failed(self, error: UserError) -> UserError:
        """The same error, kept: of what a reader thread raises, TensorFlow passes on only the traceback, as text."""
        self._failure = error
        return error

    def check_unreadable(self, bad: int) -> None:
        """Compare a number of unreadable pairs with what is allowed.

        Args:
            bad: How many pairs cannot be read, of all that there are.

        Raises:
            UserError: The unreadable pairs are more than `max_unreadable`, or all.
        """
        if bad > self.max_unreadable * len(self.data) or bad == len(self.data):
            raise self._too_many(bad)

    def _too_many(self, bad: int) -> UserError:
        counted = f"{bad} of {len(self.data)} pairs cannot be read"
        limit = f"; more than --max-unreadable {self.max_unreadable:g} of them is too many"
        first = "".join(f". The first: {why}" for why in self.unreadable[:1])
        return UserError(f"{counted}{limit if bad < len(self.data) else ''}{first}")

    def _draw_epoch_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of an epoch's places: which pair comes there, whether it is mirrored, and where it is cut (0..1)."""
        count = len(self.data)
        if self.seed is None:
            return np.arange(count), np.zeros(count, bool), np.full((count, 2), 0.5)
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(count)
        mirrored = (random.random(count) < 0.5) & self.flip
        return order, mirrored, random.random((count, 2))


def enlarged(size: Size) -> Size:
    """The size at which pairs are read that will be cut to another at random: larger by 286/256, as pix2pix's."""
    return round(size[0] * 286 / 256), round(size[1] * 286 / 256)
