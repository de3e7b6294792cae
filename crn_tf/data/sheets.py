"""Sheets: grids of pictures that show results at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from crn_tf.tensors import Pixels

TILE_WIDTH = 384  # pixels, at most: a sheet is to be looked at, not measured
_GAP, _HEADING = 4, 20
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


@dataclass(frozen=True)
class Column:
    """A sheet's column: a heading and pictures, each uint8 [H, W, 3], all of one size."""

    heading: str
    pictures: Sequence[Pixels] | Pixels  # one by one, or uint8 [N, H, W, 3]


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which a sheet shows pictures of a size."""
    return round(height * min(1, TILE_WIDTH / width)), min(width, TILE_WIDTH)


def draw_sheet(columns: Sequence[Column]) -> Pixels:
    """Draw pictures in columns, row by row, scaled down to `TILE_WIDTH` if they are wider.

    Returns:
        uint8 [height, width, 3].
    """
    tile = tile_size(*columns[0].pictures[0].shape[:2])
    below_right = _corner(len(columns[0].pictures), len(columns), tile)
    sheet = Image.new("RGB", (below_right[1] - _GAP, below_right[0] - _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for number, column in enumerate(columns):
        draw.text((_corner(0, number, tile)[1] + 2, 1), column.heading, _INK, font)
        for row, picture in enumerate(column.pictures):
            top, left = _corner(row, number, tile)
            sheet.paste(Image.fromarray(picture).resize(tile[::-1], Image.Resampling.BICUBIC), (left, top))
    return np.asarray(sheet)


def tiles(sheet: Pixels, column: int, size: tuple[int, int]) -> list[Pixels]:
    """The pictures in a column of a sheet that shows pictures of `size` (height, width)."""
    tile = tile_size(*size)
    rows = (sheet.shape[0] + _GAP - _HEADING) // (tile[0] + _GAP)
    corners = [_corner(row, column, tile) for row in range(rows)]
    return [sheet[top : top + tile[0], left : left + tile[1]] for top, left in corners]


def _corner(row: int, column: int, tile: tuple[int, int]) -> tuple[int, int]:
    """Top and left of a tile."""
    return _HEADING + row * (tile[0] + _GAP), column * (tile[1] + _GAP)


def collection_columns(images: Pixels) -> list[Column]:
    """Columns for the k images of each layout: uint8 [N, k, H, W, 3]."""
    count = images.shape[1]
    return [Column("synthesized" if count == 1 else f"synthesized {u}", images[:, u]) for u in range(count)]
