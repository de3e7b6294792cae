"""Small data sets that tests draw: photographs, label files, and a `classes.json`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from crn_tf.data.label_names import Side
from crn_tf.data.pairing import Chosen, Pairing, pair

CLASSES = '{"names": ["sky", "road"], "palette": [[255, 0, 0], [0, 255, 0]], "void": 2}'
SIZE = (8, 16)


def draw_photo(path: Path, value: int = 100, size: tuple[int, int] = SIZE) -> None:
    """A photograph of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def draw_label(path: Path, number: int = 0, size: tuple[int, int] = SIZE) -> None:
    """A grey label file of one id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, number, np.uint8)).save(path)


def draw_pairs(root: Path, photos: Iterable[str], labels: Iterable[str], classes: bool = True) -> Path:
    """A data set with these files in it; each photograph is as bright as its label's id, 10 for each."""
    for number, path in enumerate(photos):
        draw_photo(root / path, 10 * (number % 2))
    for number, path in enumerate(labels):
        draw_label(root / path, number % 2)
    if classes:
        (root / "classes.json").write_text(CLASSES)
    return root


def match(
    root: Path,
    photos: Iterable[str],
    labels: Iterable[str],
    max_incomplete: float = 0.0,
    chosen: Chosen | None = None,
) -> Pairing:
    """Pair files of these names, which are not there."""
    sides = []
    for part, names in (("labels", labels), ("photos", photos)):
        (root / part).mkdir(exist_ok=True)
        sides.append(Side(root / part, [root / part / name for name in sorted(names)]))
    return pair(*sides, need_photos=True, max_incomplete=max_incomplete, chosen=chosen)


def paired(pairing: Pairing) -> list[tuple[str, str, str]]:
    """The name, photograph and label of each pair."""
    return [(found.name, found.photo.name, found.layout.name) for found in pairing.pairs if found.photo]
