"""What a data set is to whoever reads it, and a part of one."""

from typing import Protocol

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Fit, Size
from crn_tf.data.spacing import evenly_spaced
from crn_tf.tensors import Layout, Pixels


class DataSet(Protocol):
    """Pairs of a photograph and a layout, read one at a time."""

    classes: ClassTable

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """A file name's stem, unique in the data set."""

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        """Read a pair at a size: photograph uint8 [H, W, 3], layout uint8 [H, W].

        Raises:
            UserError: One of the pair's files is missing, damaged, or not what it should be.
        """

    def load_photo(self, index: int, size: Size, fit: Fit) -> Pixels | None:
        """Read a photograph at a size, uint8 [H, W, 3]; None if there is only a layout.

        Raises:
            UserError: The file is missing or damaged.
        """

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        """Read a layout at a size: uint8 [H, W].

        Raises:
            UserError: The file is missing, damaged, or has ids that are no class.
        """

    def layout_size(self, index: int) -> Size | None:
        """Height and width of a layout as it is kept; None if it comes in any size.

        Raises:
            UserError: The file is missing or damaged.
        """

    def warning(self) -> str | None:
        """One line about odd things found in what was read so far, or None."""


class EvenSample:
    """Some pairs of a data set, evenly spaced: neighbouring video frames look alike."""

    def __init__(self, data: DataSet, count: int) -> None:
        """Choose `count` pairs of a data set; all of them if it has fewer."""
        self._data, self.classes = data, data.classes
        self._indices = evenly_spaced(count, len(data))

    @property
    def indices(self) -> tuple[int, ...]:
        """Which pairs of the data set they are."""
        return tuple(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def name(self, index: int) -> str:
        return self._data.name(self._indices[index])

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        return self._data.load(self._indices[index], size, fit)

    def load_photo(self, index: int, size: Size, fit: Fit) -> Pixels | None:
        return self._data.load_photo(self._indices[index], size, fit)

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self._data.load_layout(self._indices[index], size, fit)

    def layout_size(self, index: int) -> Size | None:
        return self._data.layout_size(self._indices[index])

    def warning(self) -> str | None:
        return self._data.warning()
