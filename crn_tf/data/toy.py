"""The toy data set: street scenes that are drawn when they are asked for."""

from typing import ClassVar

from crn_tf.data import scenes
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Fit, Size
from crn_tf.tensors import Layout, Pixels


class ToyDataSet:
    """The built-in street scenes, drawn when they are asked for."""

    SIZES: ClassVar = {"train": 160, "val": 24}
    classes = ClassTable(scenes.NAMES, scenes.PALETTE, tuple(range(len(scenes.NAMES))), (scenes.VOID,))

    def __init__(self, split: str) -> None:
        """Begin the split "train" or "val"."""
        self.split = split
        self._first_seed = 0 if split == "train" else 1_000_000

    def __len__(self) -> int:
        return self.SIZES[self.split]

    def name(self, index: int) -> str:
        return f"toy_{self.split}_{index:04d}"

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        return scenes.draw_scene(self._first_seed + index, *size)

    def load_photo(self, index: int, size: Size, fit: Fit) -> Pixels:
        return self.load(index, size, fit)[0]

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self.load(index, size, fit)[1]

    def layout_size(self, index: int) -> None:
        return None

    def warning(self) -> str | None:
        return None

    def fingerprint(self) -> str:
        """Names a cache of decoded pairs."""
        return f"toy_{self.split}"
