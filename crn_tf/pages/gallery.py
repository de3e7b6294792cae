"""The gallery: a static page of layouts, photographs and what methods make of them.

It opens from the disk without a server, so its data is a classic script beside it, and it can be put on any web host:
names of files and methods are no paths in it, and pictures carry no metadata.
"""

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image

from crn_tf.data.class_lists import Color, hex_color
from crn_tf.data.images import image_size, read_image, read_photo, resize, write_image
from crn_tf.errors import UserError
from crn_tf.files import system_words, written_aside
from crn_tf.tensors import Pixels

Picture = Path | Pixels  # as it is to be shown: a file, or uint8 [H, W, 3]
PAGE, DATA = "index.html", "data.js"
_STATIC = (PAGE, "gallery.css", "gallery.js")
_THUMBNAIL_WIDTH = 400  # pixels; pictures up to this width are their own thumbnails
_THUMBNAIL_QUALITY = 85  # of JPEG
# What Pillow finds in files that have nothing but pixels, and how to show them.
_PLAIN = {"raw mode", "turn", "dpi", "gamma", "srgb", "jfif", "jfif_version", "jfif_unit", "jfif_density"} | {
    "adobe",
    "adobe_transform",
    "progressive",
    "progression",
}


@dataclass(frozen=True)
class GalleryRow:
    """One layout, and everything that is shown of it.

    Attributes:
        name: Of the layout.
        layout: As it is to be shown, in the colours of its classes.
        photograph: None if there is none.
        pictures: What each method made of the layout: its k images.
        scores: Each method's numbers for this layout, by the measure's name; those that are not finite are none.
        classes: Names of the classes that occur in the layout.
    """

    name: str
    layout: Picture
    photograph: Picture | None
    pictures: Mapping[str, Sequence[Picture]]
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)


def write_gallery(folder: Path, rows: Iterable[GalleryRow], title: str, class_colors: Mapping[str, Color]) -> Path:
    """Write a gallery. One that an earlier call left in the folder is replaced.

    Args:
        folder: Where to; it is made.
        rows: In their order, taken one at a time: no more than a row's pictures are in memory.
        title: Of the page.
        class_colors: Each class' colour (red, green, blue, 0..255), in the order of the filter.

    Returns:
        The page, `index.html` in the folder.

    Raises:
        UserError: A picture cannot be read, the folder cannot be written, or has something else in it.
    """
    check_gallery_folder(folder)
    with written_aside(folder) as aside:
        (aside / "pictures").mkdir(parents=True)
        data = _Data(list(class_colors))
        described = [data.describe(row, aside, number) for number, row in enumerate(rows)]
        whole = data.whole(described, title, class_colors)
        # ASCII only: U+2028 and its like would end a line of a script.
        (aside / DATA).write_text(f"window.GALLERY = {json.dumps(whole, allow_nan=False)};\n", encoding="ascii")
        for name in _STATIC:
            content = resources.files("crn_tf.pages").joinpath("static", "gallery", name).read_bytes()
            (aside / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
    return folder / PAGE


def check_gallery_folder(folder: Path) -> None:
    """Make sure that a gallery can be written to a folder, before anybody waits for its pictures.

    Raises:
        UserError: There is something else.
    """
    try:
        found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {system_words(error)}") from error
    if found and not {PAGE, DATA} <= set(found):
        raise UserError(f"{folder} has other files in it ({found[0]}); expected a new folder, or a gallery to replace")


class _Data:
    """Collects what the page is told; names become numbers, in the order in which they come."""

    def __init__(self, classes: list[str]) -> None:
        self._classes = classes
        self._methods: dict[str, int] = {}
        self._scores: dict[tuple[str, str], int] = {}

    def describe(self, row: GalleryRow, folder: Path, number: int) -> dict[str, Any]:
        """Write a row's pictures, and say where they are."""
        names = (f"pictures/{number:05d}-{count}" for count in itertools.count())
        for method in (*row.pictures, *row.scores):
            self._methods.setdefault(method, len(self._methods))
        for method, measures in row.scores.items():
            for measure in measures:
                self._scores.setdefault((method, measure), len(self._scores))
        return {
            "name": row.name,
            "layout": _write_picture(row.layout, folder, next(names), flat=True),
            "photograph": None if row.photograph is None else _write_picture(row.photograph, folder, next(names)),
            "pictures": {
                self._methods[method]: [_write_picture(picture, folder, next(names)) for picture in pictures]
                for method, pictures in row.pictures.items()
            },
            "scores": {
                self._scores[method, measure]: value
                for method, measures in row.scores.items()
                for measure, value in measures.items()
                if isfinite(value)
            },
            "classes": sorted(self._classes.index(name) for name in row.classes if name in self._classes),
        }

    def whole(self, rows: list[dict[str, Any]], title: str, class_colors: Mapping[str, Color]) -> dict[str, Any]:
        """All that the page is told: rows in which each method and score has its place."""
        for row in rows:
            row["pictures"] = [row["pictures"].get(number, []) for number in range(len(self._methods))]
            row["scores"] = [row["scores"].get(number) for number in range(len(self._scores))]
        return {
            "title": title,
            "methods": list(self._methods),
            "scores": [{"method": self._methods[method], "measure": measure} for method, measure in self._scores],
            "classes": [{"name": name, "color": hex_color(color)} for name, color in class_colors.items()],
            "photographs": any(row["photograph"] for row in rows),
            "rows": rows,
        }


def _write_picture(picture: Picture, folder: Path, name: str, flat: bool = False) -> dict[str, Any]:
    """Write a picture and its thumbnail, and say where they are.

    Args:
        picture: The picture.
        folder: The gallery's.
        name: Of the files, without suffix.
        flat: Whether it is areas of one colour each, whose thumbnail is to have no others.

    Raises:
        UserError: It cannot be read.
    """
    pixels = read_photo(picture, image_size(picture)) if isinstance(picture, Path) else picture
    height, width = pixels.shape[:2]
    suffix = _copied_as(picture) if isinstance(picture, Path) else None
    if isinstance(picture, Path) and suffix:
        shutil.copyfile(picture, folder / f"{name}{suffix}")
    else:
        jpeg = isinstance(picture, Path) and picture.suffix.lower() in (".jpg", ".jpeg")
        suffix = ".jpg" if jpeg else ".png"
        write_image(folder / f"{name}{suffix}", pixels)
    described = {"file": f"{name}{suffix}", "thumbnail": f"{name}{suffix}", "width": width, "height": height}
    if width > _THUMBNAIL_WIDTH:
        size = max(1, round(height * _THUMBNAIL_WIDTH / width)), _THUMBNAIL_WIDTH
        resample = Image.Resampling.NEAREST if flat else Image.Resampling.BICUBIC
        small = resize(Image.fromarray(pixels), size, "resize", resample)
        thumbnail = f"{name}-small{'.png' if flat else '.jpg'}"
        small.save(folder / thumbnail, quality=_THUMBNAIL_QUALITY)  # which PNG has no use for
        described["thumbnail"] = thumbnail
    return described


def _copied_as(path: Path) -> str | None:
    """The suffix under which a file can be copied; None if browsers do not show it, or it has more than pixels.

    A photograph may say where and by whom it was taken.
    """
    image = read_image(path)
    suffix = {"PNG": ".png", "JPEG": ".jpg"}.get(image.format or "")
    plain = set(image.info) <= _PLAIN and image.info.get("turn") is None and image.mode in ("RGB", "L")
    return suffix if plain else None
