"""A census of a data set: every pair read once, in parallel, and what is in it counted."""

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from crn_tf.data.class_tables import ClassTable, Color
from crn_tf.data.conventions import Convention
from crn_tf.data.file_pairs import other_shape, same_shape
from crn_tf.data.images import Size, image_size, read_photo
from crn_tf.data.label_files import LabelPixels, read_label
from crn_tf.data.label_looks import most_frequent_colors, number_counts
from crn_tf.data.layouts import LayoutReader, PixelCount, unknown_share
from crn_tf.data.pairing import Pair
from crn_tf.errors import UserError
from crn_tf.files import open_regular
from crn_tf.starting import silence_pillow

_AT_ONCE = 64  # pairs that are worth a process of their own
_ANY_SIZE = (8, 8)  # photographs are decoded to see whether they can be; this is as good as any


@dataclass(frozen=True)
class PairCensus:
    """What one pair holds.

    Attributes:
        pair: Its files.
        photo_size: Height and width of the photograph; None if there is none, or it cannot be read.
        layout_size: Height and width of the layout; None if it cannot be read.
        faults: Why the pair cannot be used, a line each; empty if it can.
        by_class: Pixels of each class, void the last; None if the layout cannot be read by the class table.
        count: How these pixels' classes were found.
        ids: The numbers in the layout and how many pixels have each; none for a file of colours.
        colors: The most frequent colours of a file of colours, and how many pixels have each.
        digest: Of the photograph's bytes: the same photograph twice has the same.
    """

    pair: Pair
    photo_size: Size | None = None
    layout_size: Size | None = None
    faults: tuple[str, ...] = ()
    by_class: tuple[int, ...] | None = None
    count: PixelCount | None = None
    ids: Counter[int] = field(default_factory=Counter)
    colors: Counter[Color] = field(default_factory=Counter)
    digest: str = ""


class Examiner:
    """Reads pairs and counts what is in them."""

    def __init__(self, convention: Convention | None) -> None:
        """Begin, for label files of a convention; None counts their numbers and colours only."""
        self._reader = LayoutReader(convention) if convention else None

    def examine(self, pair: Pair) -> PairCensus:
        """Read a pair. What is wrong with it is no error, but part of the answer."""
        faults: list[str] = []
        photo_size, digest = self._examine_photo(pair.photo, faults) if pair.photo else (None, "")
        try:
            label = read_label(pair.layout)
        except UserError as error:
            return PairCensus(pair, photo_size, None, (*faults, str(error)), digest=digest)
        if pair.photo and photo_size and not same_shape(photo_size, label.shape):
            faults.append(other_shape(pair.photo, photo_size, pair.layout, label.shape))
        by_class, count = self._count_classes(pair.layout, label, faults)
        ids, colors = _raw(label)
        return PairCensus(pair, photo_size, label.shape, tuple(faults), by_class, count, ids, colors, digest)

    def _examine_photo(self, path: Path, faults: list[str]) -> tuple[Size | None, str]:
        """Decode a photograph: its size, and a digest of its bytes."""
        try:
            size = image_size(path)
            read_photo(path, _ANY_SIZE)
            with open_regular(path) as file:
                return size, hashlib.blake2b(file.read()).hexdigest()
        except UserError as error:
            faults.append(str(error))
        except OSError as error:
            faults.append(f"cannot read {path}: {error.strerror}")
        return None, ""

    def _count_classes(
        self, path: Path, label: LabelPixels, faults: list[str]
    ) -> tuple[tuple[int, ...] | None, PixelCount | None]:
        """The pixels of each class, if the layout can be read."""
        if self._reader is None:
            return None, None
        try:
            layout, count = self._reader.decode(label, path)
        except UserError as error:
            faults.append(str(error))
            return None, None
        by_class = np.bincount(layout.reshape(-1), minlength=self._reader.classes.num_classes)
        return tuple(by_class.tolist()), count


def _raw(label: LabelPixels) -> tuple[Counter[int], Counter[Color]]:
    """A label file's numbers, or its most frequent colours, whatever they mean."""
    if label.ids is not None:
        return number_counts(label.ids, label), Counter()
    numbers = label.as_numbers()
    if numbers is not None:
        return number_counts(numbers[0], label), Counter()
    assert label.colors is not None
    return Counter(), most_frequent_colors(label.colors if label.clear is None else label.colors[~label.clear])


def take_census(pairs: Sequence[Pair], convention: Convention | None) -> Iterator[PairCensus]:
    """Read every pair of a data set, on all cores, with a progress bar.

    Args:
        pairs: Of photographs and layouts, or of layouts alone.
        convention: How the label files are read; None counts their numbers and colours only.

    Yields:
        What each pair holds, in order.

    Raises:
        UserError: A file ended the process that read it.
    """
    processes = min(os.cpu_count() or 1, len(pairs) // _AT_ONCE + 1)
    bar = tqdm(total=len(pairs), desc="looking at all pairs", unit="pair", leave=False, delay=1, disable=None)
    with bar:
        if processes == 1:
            examiner = Examiner(convention)
            for pair in pairs:
                yield examiner.examine(pair)
                bar.update()
            return
        # Processes, since much of the counting holds Python's lock; spawned, since this one may have threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _begin, (convention,)) as pool:
            try:
                for found in pool.map(_examine, pairs, chunksize=8):
                    yield found
                    bar.update()
            except BrokenProcessPool as error:
                raise UserError(
                    f"a process that reads {pairs[int(bar.n)].layout} or one of the next files was ended: it is "
                    "damaged in a way that ends programs, or there is too little memory"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


_examiners: list[Examiner] = []  # of this process


def _begin(convention: Convention | None) -> None:
    silence_pillow()
    _examiners[:] = [Examiner(convention)]


def _examine(pair: Pair) -> PairCensus:
    return _examiners[0].examine(pair)


@dataclass(frozen=True)
class Census:
    """What the pairs of a split hold together.

    Attributes:
        pairs: Each pair's, in order.
        classes: The class table; None if it is not known how the layouts are read.
    """

    pairs: Sequence[PairCensus]
    classes: ClassTable | None

    def pixels(self) -> list[int]:
        """Pixels of each class, void the last; none if it is not known how the layouts are read."""
        return [sum(counts) for counts in zip(*self._by_class(), strict=True)]

    def pictures(self) -> list[int]:
        """In how many layouts each class occurs, void the last."""
        return [sum(map(bool, counts)) for counts in zip(*self._by_class(), strict=True)]

    def _by_class(self) -> Iterator[tuple[int, ...]]:
        return (found.by_class for found in self.pairs if found.by_class is not None)

    def ids(self) -> Counter[int]:
        """All numbers in the layouts, and how many pixels have each."""
        return _sum(found.ids for found in self.pairs)

    def colors(self) -> Counter[Color]:
        """The most frequent colours in the layouts, and how many pixels have each."""
        return _sum(found.colors for found in self.pairs)

    def unknown(self) -> Counter[Color | int]:
        """The most frequent colours and ids that are in no class table, and how many pixels have each."""
        return _sum(found.count.unknown_values for found in self.pairs if found.count)

    def unknown_share(self) -> float:
        """Of the pixels that have a class or should have one, the share that is in no class table: 0..1."""
        return unknown_share([found.count for found in self.pairs if found.count])

    def sizes(self) -> Counter[Size]:
        """Heights and widths of the photographs (of the layouts, where there are none), and how many have each."""
        return Counter(size for found in self.pairs if (size := found.photo_size or found.layout_size))


T = TypeVar("T")


def _sum(counters: Iterable[Counter[T]]) -> Counter[T]:
    total: Counter[T] = Counter()
    for counter in counters:
        total.update(counter)
    return total
