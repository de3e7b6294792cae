"""Layouts to start painting from: drawn ones, the model's validation layouts, a data set's. Each is read when it is
asked for.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from crn_tf.data import scenes
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.datasets import DataSet, FileDataSet, ToyDataSet
from crn_tf.data.images import Fit, Size
from crn_tf.tensors import Layout, Pixels

Group = Literal["drawn", "validation", "data"]
# Seeds of streets in no split of the toy data set. They were chosen: no bonnet, and each has something of its own.
_STREETS = tuple(2_000_000 + chosen for chosen in (1, 3, 6, 9, 14, 22, 27, 31))


@dataclass(frozen=True)
class Start:
    """A layout to start from.

    Attributes:
        name: Of it.
        group: Where it is from.
        layout: Reads it at a size: uint8 [H, W].
        photo: Reads its photograph at a size, uint8 [H, W, 3]; None if there is none.
    """

    name: str
    group: Group
    layout: Callable[[Size], Layout]
    photo: Callable[[Size], Pixels | None] | None


class Starts(Protocol):
    """Some layouts to start from."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Start: ...


class DrawnStarts:
    """Layouts that come with the project: streets where the classes are the toy data set's, and nothing at all."""

    def __init__(self, classes: ClassTable) -> None:
        """Draw for a model of these classes."""
        self._void = classes.void
        self._seeds = _STREETS if classes.names == ToyDataSet.classes.names else ()

    def __len__(self) -> int:
        return len(self._seeds) or 1

    def __getitem__(self, index: int, /) -> Start:
        if not self._seeds:
            return Start("empty", "drawn", lambda size: np.full(size, self._void, np.uint8), None)
        seed = self._seeds[index]
        return Start(
            f"street {index + 1}",
            "drawn",
            lambda size: scenes.draw_scene(seed, *size)[1],
            lambda size: scenes.draw_scene(seed, *size)[0],
        )


class DataStarts:
    """The layouts of a data set."""

    def __init__(self, group: Group, data: DataSet, fit: Fit) -> None:
        """Take over a data set that has been opened.

        Args:
            group: What its layouts are to the model.
            data: The layouts.
            fit: What is done with those of another shape.
        """
        self._group, self._data, self._fit = group, data, fit

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int, /) -> Start:
        data, fit = self._data, self._fit
        without = isinstance(data, FileDataSet) and data.pairs[index].photo is None
        return Start(
            data.name(index),
            self._group,
            lambda size: data.load_layout(index, size, fit),
            None if without else lambda size: data.load_photo(index, size, fit),
        )


class AllStarts:
    """Several of these, one after the other."""

    def __init__(self, parts: Sequence[Starts]) -> None:
        """Put them in this order."""
        self._parts = parts
        self._ends = list(itertools.accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int, /) -> Start:
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]
