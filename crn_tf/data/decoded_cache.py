"""Pairs of a data set that were decoded and resized once, and are kept on disk as the bytes that a batch takes."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from crn_tf.data.datasets import FileDataSet, ToyDataSet
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UserError
from crn_tf.files import ABANDONED, lock, read_json, read_small_text, remove_unfinished, written_aside


class DamagedCacheError(UserError):
    """The cache's own files are not what was written: no pair of it can be trusted."""


class DecodedCache:
    """A data set whose pairs were decoded and resized once, and are kept as uint8 in two files on disk.

    A pair that could not be read then cannot be read here, for the same reason, until its files change. Pairs come at
    the size and fit that the cache was made for, and no other.
    """

    def __init__(self, data: FileDataSet | ToyDataSet, size: Size, fit: Fit, folder: Path):
        """Open the cache of `data` at `size` in `folder`, and make it first if it is not there.

        Args:
            data: What is cached.
            size: Height and width of its pairs in the cache.
            fit: How a pair of another aspect ratio is brought to `size`.
            folder: Where caches are; each data set, size and fit has a folder of its own in it.

        Raises:
            DamagedCacheError: Files of a cache that was made before are missing or altered.
            UserError: The cache cannot be written: the disk is full, or the folder belongs to somebody else.
        """
        self._data, self.classes = data, data.classes
        self._size, self._fit = size, fit
        self._shapes: dict[str, tuple[int, ...]] = {"photos.uint8": (*size, 3), "layouts.uint8": size}
        name = f"{data.fingerprint()}_{size[0]}x{size[1]}_{fit}"
        self._folder = folder / name
        if not self._folder.is_dir():
            with lock(folder / f".{name}.lock", waiting=f"waiting for another process that fills the cache {folder}"):
                if not self._folder.is_dir():  # else another process has made it meanwhile
                    self._make(folder)
        # Now, so that damage is known before hours of training rather than after.
        self._unreadable, self._warning = self._read_unreadable(), self._read_warning()

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
            return self._data.load(index, self._size, self._fit)
        except UserError as error:
            return error

    def _read_unreadable(self) -> dict[int, str]:
        """Why pairs are not in the cache, by their numbers."""
        path = self._folder / "unreadable.json"
        try:
            return {int(index): str(why) for index, why in read_json(path).items()}
        except (OSError, ValueError, AttributeError) as error:
            raise self._damaged() from error

    def _read_warning(self) -> str | None:
        """What was odd about the files that were decoded."""
        try:
            return read_small_text(self._folder / "warning.txt") or None
        except (OSError, ValueError) as error:
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
                        photo, layout = (np.zeros(shape, np.uint8) for shape in self._shapes.values())
                    else:
                        photo, layout = pair
                    photos.write(photo.tobytes())
                    layouts.write(layout.tobytes())
                    bar.update()
        (folder / "unreadable.json").write_text(json.dumps(unreadable, indent=1) + "\n", encoding="utf-8")
        (folder / "warning.txt").write_text(self._data.warning() or "", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._data)

    def name(self, index: int) -> str:
        """The pair's name in the data set."""
        return self._data.name(index)

    def load(self, index: int, size: Size, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
        """A pair, at the size and fit that the cache holds.

        Returns:
            Photograph uint8 [H, W, 3], layout uint8 [H, W].

        Raises:
            UserError: The pair could not be read when the cache was made.
            DamagedCacheError: The cache's files are missing or too short.
            ValueError: Another size or fit is asked for than the cache holds.
        """
        layout = self.load_layout(index, size, fit)
        return self._read("photos.uint8", index), layout

    def load_photo(self, index: int, size: Size, fit: Fit) -> np.ndarray:
        """The photograph of a pair, uint8 [H, W, 3]. Arguments and errors as `load`."""
        return self.load(index, size, fit)[0]

    def load_layout(self, index: int, size: Size, fit: Fit) -> np.ndarray:
        """The layout of a pair, uint8 [H, W]. Arguments and errors as `load`."""
        if (tuple(size), fit) != (tuple(self._size), self._fit):
            held = f"{self._size[0]}x{self._size[1]} with fit {self._fit}"
            asked = f"{size[0]}x{size[1]} with fit {fit}"
            raise ValueError(f"the cache {self._folder} holds pairs of {held}, not of {asked}")
        if index in self._unreadable:
            raise UserError(self._unreadable[index])
        return self._read("layouts.uint8", index)

    def _read(self, file: str, index: int) -> np.ndarray:
        shape = self._shapes[file]
        count = int(np.prod(shape))
        try:
            return np.fromfile(self._folder / file, np.uint8, count, offset=index * count).reshape(shape)
        except (OSError, ValueError) as error:  # not there, or too short
            raise self._damaged() from error

    def layout_size(self, index: int) -> Size | None:
        """Height and width of the layout in the data set's own file; None if it comes in any size."""
        return self._data.layout_size(index)

    def warning(self) -> str | None:
        """One line about odd things found in the files when they were decoded, or None."""
        return self._warning
