"""The input pipeline: uint8 photographs and class ids, decoded in parallel, ahead of the training step.

Which pair comes when, and which are mirrored, follows from the seed and the step alone, so that a run can be
continued at any step with the order it would have had. A pair whose files cannot be read is left out, and its place
taken by another that follows from seed and step as well.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from crn_tf.datasets import DataSet, FileDataSet, ToyDataSet
from crn_tf.errors import UserError
from crn_tf.files import ABANDONED, remove_unfinished, written_aside
from crn_tf.images import Fit, Size


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

    def __post_init__(self):
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

    def batches(self, first_step: int, last_step: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The batches of steps `first_step` to `last_step` - 1, counted from the start of training.

        Yields:
            Photographs uint8 [B, H, W, 3] and layouts uint8 [B, H, W], of this shard.

        Raises:
            UserError: More pairs than `max_unreadable` cannot be read.
        """
        try:
            yield from self.dataset(first_step, last_step)
        except tf.errors.OpError:
            if self._failure:  # a reader thread met it; TensorFlow passes on only its traceback as text
                raise self._failure from None
            raise

    def dataset(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """The same batches as a `tf.data.Dataset`."""
        height, width = self.size
        index, count = self.shard
        share = self.batch // count

        def read(position):
            photo, layout = tf.numpy_function(self._read, [position], (tf.uint8, tf.uint8), stateful=False)
            return tf.ensure_shape(photo, (height, width, 3)), tf.ensure_shape(layout, (height, width))

        positions = tf.data.Dataset.range(first_step * self.batch, last_step * self.batch)
        if count > 1:
            positions = positions.filter(lambda position: position % self.batch // share == index)
        samples = positions.map(read, num_parallel_calls=os.cpu_count(), deterministic=True)
        return samples.batch(share, drop_remainder=True).prefetch(2)

    def _read(self, position: np.int64) -> tuple[np.ndarray, np.ndarray]:
        """Read the pair that is at `position` in the endless sequence of all epochs."""
        step, place = divmod(int(position), self.batch)
        epoch, step = divmod(step, self.steps_per_epoch)
        order, mirrored = self._epoch_order(epoch)
        place = (step * self.batch + place) % len(self.data)
        for index in self._candidates(int(order[place]), position):
            pair = self._load(index)
            if pair:
                break
        photo, layout = pair
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
            yield from map(int, np.random.default_rng([self.seed, int(position), 1]).permutation(len(self.data)))

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        """A pair, or None if it cannot be read.

        Raises:
            UserError: With it, too many cannot be read.
        """
        with self._lock:
            if index in self._unreadable:
                return None
        try:
            return self.data.load(index, self.size, self.fit)
        except DamagedCacheError as error:
            self._failure = error
            raise
        except UserError as error:
            with self._lock:
                self._unreadable[index] = str(error)
                bad, first = len(self._unreadable), next(iter(self._unreadable.values()))
            if bad > self.max_unreadable * len(self.data) or bad == len(self.data):
                counted = f"{bad} of {len(self.data)} pairs cannot be read"
                limit = f"; more than --max-unreadable {self.max_unreadable:g} of them is too many"
                self._failure = UserError(f"{counted}{limit if bad < len(self.data) else ''}. The first: {first}")
                raise self._failure from error
            return None

    def _draw_epoch_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self.data)
        if self.seed is None:
            return np.arange(count), np.zeros(count, bool)
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(count)
        return order, (random.random(count) < 0.5) & self.flip


class DamagedCacheError(UserError):
    """The cache's own files are not what was written: no pair of it can be trusted."""


class DecodedCache:
    """A data set whose pairs were decoded and resized once, and are kept as uint8 in two files on disk."""

    def __init__(self, data: FileDataSet | ToyDataSet, size: Size, fit: Fit, folder: Path):
        """Open the cache of `data` at `size` in `folder`, and make it first if it is not there.

        Raises:
            UserError: A pair cannot be read, or the cache not written.
        """
        self._data, self.classes = data, data.classes
        self._shapes = ((*size, 3), size)
        name = f"{data.fingerprint()}_{size[0]}x{size[1]}_{fit}"
        self._folder = folder / name
        if not self._folder.is_dir():
            remove_unfinished(folder, untouched_for=ABANDONED)
            try:
                with written_aside(self._folder) as temporary:
                    temporary.mkdir()
                    self._fill(temporary, size, fit)
            except UserError:
                if not self._folder.is_dir():  # else another run made the same cache meanwhile
                    raise

    def _fill(self, folder: Path, size: Size, fit: Fit) -> None:
        with (
            open(folder / "photos.uint8", "wb") as photos,
            open(folder / "layouts.uint8", "wb") as layouts,
            ThreadPoolExecutor() as threads,
            tqdm(total=len(self._data), desc="decoding into the cache", unit="pair") as bar,
        ):
            # Not one `map` over everything: it would read ahead of the disk and fill the memory.
            for start in range(0, len(self), 64):
                indices = range(start, min(start + 64, len(self)))
                for photo, layout in threads.map(lambda index: self._data.load(index, size, fit), indices):
                    photos.write(photo.tobytes())
                    layouts.write(layout.tobytes())
                    bar.update()
        (folder / "warning.txt").write_text(self._data.warning() or "", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._data)

    def name(self, index: int) -> str:
        return self._data.name(index)

    def load(self, index: int, size: Size, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
        return self._read("photos.uint8", index, self._shapes[0]), self.load_layout(index, size, fit)

    def load_layout(self, index: int, size: Size, fit: Fit) -> np.ndarray:
        return self._read("layouts.uint8", index, self._shapes[1])

    def _read(self, file: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        count = int(np.prod(shape))
        try:
            return np.fromfile(self._folder / file, np.uint8, count, offset=index * count).reshape(shape)
        except (OSError, ValueError) as error:  # not there, or too short
            raise DamagedCacheError(f"the cache {self._folder} is damaged: remove it, it will be made again") from error

    def layout_size(self, index: int) -> Size | None:
        return self._data.layout_size(index)

    def warning(self) -> str | None:
        return (self._folder / "warning.txt").read_text(encoding="utf-8") or None
