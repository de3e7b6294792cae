"""A data set of files: reading a photograph and its layout at a given size."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import Convention
from crn_tf.data.images import Fit, Size, image_size, read_photo
from crn_tf.data.layouts import LayoutReader
from crn_tf.data.pairing import Pair
from crn_tf.errors import UserError
from crn_tf.tensors import Layout, Pixels

_LOOKED_AT = 16  # layouts, before the rest is read
_STRETCHED = 0.03  # at most, where shapes are the same: in a small picture, a pixel is more than rounding


class FileDataSet:
    """A data set of files. Reading checks each pair; `check_sizes` checks all of them from their headers.

    Attributes:
        pairs: Its files.
        convention: How the label files are read.
        classes: What they show.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        convention: Convention | ClassTable,
        left_out: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Take over pairs of files that write classes by a convention.

        Args:
            pairs: The files.
            convention: How the label files are read; with a class table alone, each by what it tells itself.
            left_out: What was found beside them that has no partner.
            notes: What there is to say about how they were found.
        """
        self.pairs = pairs
        self.convention = convention if isinstance(convention, Convention) else Convention(None, convention, "")
        self.classes = self.convention.classes
        self._alone, self._notes = tuple(left_out), tuple(notes)
        self._reader = LayoutReader(convention)
        self._refused: dict[int, str] = {}  # why `check_sizes` left out a pair
        self._size_note: str | None = None
        self._photo_sizes: list[tuple[str, Size]] = []

    @property
    def left_out(self) -> list[str]:
        """A line for each photograph, layout or pair that cannot be used, as far as is known without reading them."""
        return [*self._alone, *self._refused.values()]

    @property
    def notes(self) -> list[str]:
        """Lines about how files were taken, where that is not plain."""
        return [*self._notes, *([self._size_note] if self._size_note else [])]

    @property
    def photo_sizes(self) -> list[tuple[str, Size]]:
        """The photographs, with heights and widths, as `check_sizes` found them."""
        return self._photo_sizes

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs[index].name

    def load(self, index: int, size: Size, fit: Fit) -> tuple[Pixels, Layout]:
        pair = self.pairs[index]
        if index in self._refused:
            raise UserError(self._refused[index])
        if pair.photo is None:
            raise UserError(f"the layout {pair.layout} has no photograph; expected a photograph of the same name")
        return read_photo(pair.photo, size, fit), self.load_layout(index, size, fit)

    def load_photo(self, index: int, size: Size, fit: Fit) -> Pixels | None:
        photo = self.pairs[index].photo
        return None if photo is None else read_photo(photo, size, fit)

    def load_layout(self, index: int, size: Size, fit: Fit) -> Layout:
        return self._reader.read(self.pairs[index].layout, size, fit)

    def layout_size(self, index: int) -> Size:
        return image_size(self.pairs[index].layout)

    def warning(self) -> str | None:
        return self._reader.warning()

    def look_for_unknown(self, most: float) -> None:
        """Read some layouts, evenly spaced, before anybody waits for the rest (see `check_unknown`).

        Where they were looked at to decide on the convention, and too little was unknown, none is read again.

        Args:
            most: The share of pixels that may be in no class table.

        Raises:
            UserError: The share is larger.
        """
        seen = self.convention.unknown_share
        if seen is not None and seen <= most:
            return
        for index in range(0, len(self), -(-len(self) // _LOOKED_AT)):
            with suppress(UserError):  # whoever reads them all says so
                self._reader.read(self.pairs[index].layout)
        self.check_unknown(most)

    def check_unknown(self, most: float) -> None:
        """Compare the share of pixels that are in no class table, of layouts read so far, with what is allowed.

        Raises:
            UserError: The share is larger.
        """
        share = self.unknown_share()
        if share > most:
            raise UserError(
                f"{share:.0%} of the labels' pixels are in no class table, more than --max-unknown {most:g} of them: "
                f"{self.warning()}"
            )

    def unknown_share(self) -> float:
        """Of the pixels of layouts read so far, the share that is in no table (see `LayoutReader`)."""
        return self._reader.unknown_share()

    def check_sizes(self, skip_unreadable: bool = False, max_incomplete: float = 0.0) -> None:
        """Compare the shapes of photographs and layouts, from the headers. Layouts alone have nothing to agree with.

        A layout may have another size than its photograph, of the same shape: both are resized when they are read.
        Pairs of another shape, and those that cannot be read, are left out within the share: `load` refuses them.

        Args:
            skip_unreadable: Do not count pairs of which one cannot be read.
            max_incomplete: The share of the pairs that may be left out, what has no partner counted in.

        Raises:
            UserError: The shapes of more pairs differ, or more pairs cannot be read.
        """
        others, unread, refused = list[Pair](), dict[int, str](), dict[int, str]()
        sizes: list[tuple[str, Size]] = []
        bar = tqdm(self.pairs, desc="checking sizes", unit="pair", leave=False, delay=2, disable=None)
        for index, pair in enumerate(bar):
            if pair.photo is None:
                continue
            try:
                photo, layout = image_size(pair.photo), image_size(pair.layout)
            except UserError as error:
                unread[index] = str(error)
                continue
            sizes.append((str(pair.photo), photo))
            if not same_shape(photo, layout):
                refused[index] = other_shape(pair.photo, photo, pair.layout, layout)
            elif photo != layout:
                others.append(pair)
        self._check_left_out(refused if skip_unreadable else refused | unread, max_incomplete)
        self._refused, self._photo_sizes = refused, sizes
        if others:
            self._size_note = (
                f"{len(others)} of {len(self.pairs)} layouts have another size than their photographs and the same "
                f"shape, for example {others[0].layout}: they are resized with nearest neighbour"
            )

    def _check_left_out(self, why: Mapping[int, str], max_incomplete: float) -> None:
        """Compare what is left out with what may be.

        Raises:
            UserError: It is more.
        """
        count, total = len(why) + len(self._alone), len(self.pairs) + len(self._alone)
        if not why or (count <= max_incomplete * total and len(why) < len(self.pairs)):
            return
        first = why[min(why)]
        if max_incomplete or len(why) > 1:
            share = f", more than --max-unreadable {max_incomplete:g} of them is too many" if max_incomplete else ""
            raise UserError(f"{count} of {total} pairs cannot be used{share}. The first: {first}")
        raise UserError(first)

    def fingerprint(self) -> str:
        """Changes when the files do: names a cache of decoded pairs."""
        digest = hashlib.sha256(repr((self.classes, self.convention.form)).encode())
        for pair in self.pairs:
            for path in filter(None, (pair.photo, pair.layout)):
                digest.update(os.path.realpath(path).encode())
                with suppress(OSError):  # it is not there: reading it will say so
                    status = path.stat()
                    digest.update(f":{status.st_size}:{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


def same_shape(photo: Size, layout: Size) -> bool:
    """Whether one is the other reduced, to a pixel of rounding, and neither is stretched to be seen.

    Args:
        photo: Height and width.
        layout: Height and width.
    """
    height, width = photo
    rows, columns = layout
    difference = abs(rows * width - columns * height)
    return difference <= max(height, width, rows, columns) and difference <= _STRETCHED * columns * height


def other_shape(photo: Path, photo_size: Size, layout: Path, layout_size: Size) -> str:
    """A line for a pair whose shapes, height and width each, differ."""
    (height, width), (rows, columns) = photo_size, layout_size
    return (
        f"{photo} is {height}x{width} but its layout {layout} is {rows}x{columns} (height x width); expected the same "
        "size, or the same shape reduced"
    )
