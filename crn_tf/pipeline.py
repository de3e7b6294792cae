"""The input pipeline: uint8 photographs and class ids, decoded in parallel, ahead of the training step.

Which pair comes when, and which are mirrored, follows from the seed and the step alone, so that a run can be
continued at any step with the order it would have had. A pair whose files cannot be read is left out, and its place
taken by another that follows from seed and step as well.
"""

import json
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
from crn_tf.files import ABANDONED, lock, read_json, remove_unfinished, written_aside
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
            try:
                self.check_unreadable(len(self.unreadable))
            except UserError as too_many:
                self._failure = too_many
                raise
            return None

    def check_unreadable(self, bad: int) -> None:
        """Compare a number of unreadable pairs with what is allowed.

        Raises:
            UserError: They are too many.
        """
        if bad > self.max_unreadable * len(self.data) or bad == len(self.data):
            counted = f"{bad} of {len(self.data)} pairs cannot be read"
            limit = f"; more than --max-unreadable {self.max_unreadable:g} of them is too many"
            first = "".join(f". The first: {why}" for why in self.unreadable[:1])
            raise UserError(f"{counted}{limit if bad < len(self.data) else ''}{first}")

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
    """A data set whose pairs were decoded and resized once, and are kept as uint8 in two files on disk.

    A pair that could not be read then cannot be read here, for the same reason, until its files change.
    """

    def __init__(self, data: FileDataSet | ToyDataSet, size: Size, fit: Fit, folder: Path):
        """Open the cache of `data` at `size` in `folder`, and make it first if it is not there.

        Raises:
            UserError: The cache cannot be written or read.
        """
        self._data, self.classes = data, data.classes
        self._shapes, self._fit = ((*size, 3), size), fit
        name = f"{data.fingerprint()}_{size[0]}x{size[1]}_{fit}"
        self._folder = folder / name
        if not self._folder.is_dir():
            with lock(folder / f".{name}.lock", waiting=f"waiting for another process that fills the cache {folder}"):
                if not self._folder.is_dir():  # else another process has made it meanwhile
                    self._make(folder)
        self._unreadable = self._read_unreadable()

    def _make(self, folder: Path) -> None:
        remove_unfinished(folder, untouched_for=ABANDONED)
        try:
            with written_aside(self._folder) as temporary:
                temporary.mkdir()
                self._fill(temporary)
        except UserError:
            if not self._folder.is_dir():  # else another process has made it: locks do not work here
                raise

    def _load_original(self, index: int) -> tuple[np.ndarray, np.ndarray] | UserError:
        try:
            return self._data.load(index, self._shapes[1], self._fit)
        except UserError as error:
            return error

    def _read_unreadable(self) -> dict[int, str]:
        """Why pairs are not in the cache, by their numbers."""
        path = self._folder / "unreadable.json"
        try:
            return {int(index): str(why) for index, why in read_json(path).items()}
        except (OSError, ValueError, AttributeError) as error:
            raise self._damaged() from error

    def _damaged(self) -> DamagedCacheError:
        return DamagedCacheError(f"the cache {self._folder} is damaged: remove it, it will be made again")

    def _fill(self, folder: Path) -> None:
        unreadable: dict[int, str] = {}
        with (
            open(folder / "photos.uint8", "wb") as photos,
            open(folder / "layouts.uint8", "wb") as layouts,
            ThreadPoolExecutor() as threads,
            tqdm(total=len(self._data), desc="decoding into the cache", unit="pair") as bar,
        ):
            # Not one `map` over everything: it would read ahead of the disk and fill the memory.
            for start in range(0, len(self), 64):
                indices = range(start, min(start + 64, len(self)))
                for index, pair in zip(indices, threads.map(self._load_original, indices), strict=True):
                    if isinstance(pair, UserError):
                        unreadable[index] = str(pair)
                        pair = (np.zeros(shape, np.uint8) for shape in self._shapes)
                    for file, pixels in zip((photos, layouts), pair, strict=True):
                        file.write(pixels.tobytes())
                    bar.update()
        (folder / "unreadable.json").write_text(json.dumps(unreadable, indent=1) + "\n", encoding="utf-8")
        (folder / "warning.txt").write_text(self._data.warning() or "", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._data)

    def name(self, index: int) -> str:
        return self._data.name(index)

    def load(self, index: int, size: Size, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
        layout = self.load_layout(index, size, fit)
        return self._read("photos.uint8", index, self._shapes[0]), layout

    def load_layout(self, index: int, size: Size, fit: Fit) -> np.ndarray:
        if index in self._unreadable:
            raise UserError(self._unreadable[index])
        return self._read("layouts.uint8", index, self._shapes[1])

    def _read(self, file: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        count = int(np.prod(shape))
        try:
            return np.fromfile(self._folder / file, np.uint8, count, offset=index * count).reshape(shape)
        except (OSError, ValueError) as error:  # not there, or too short
            raise self._damaged() from error

    def layout_size(self, index: int) -> Size | None:
        return self._data.layout_size(index)

    def warning(self) -> str | None:
        return (self._folder / "warning.txt").read_text(encoding="utf-8") or None
