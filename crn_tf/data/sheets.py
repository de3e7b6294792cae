"""Sheets: grids of pictures that show results at a glance, on one screen, with a legend of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from crn_tf.data.class_lists import Color
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Size
from crn_tf.tensors import Layout, Pixels

TILE_WIDTH = 384  # pixels, at most: a sheet is to be looked at, not measured
_SCREEN = (1000, 1900)  # rows and columns of a sheet without its legend, at most: a usual screen has 1080x1920
_READABLE = 160  # columns of a tile: with narrower ones, fewer rows are shown
_GAP, _BLOCK_GAP, _HEADING = 4, 20, 20
_LEGEND_LINE, _LEGEND_LINES, _SWATCH = 20, 3, 12
_LEAST_WIDTH = 320  # of a sheet, so that there is room for a legend
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


@dataclass(frozen=True)
class Column:
    """A sheet's column: a heading and pictures, each uint8 [H, W, 3], all of one size."""

    heading: str
    pictures: Sequence[Pixels] | Pixels  # one by one, or uint8 [N, H, W, 3]


@dataclass(frozen=True)
class Grid:
    """Where pictures are on a sheet: rows of a few columns, in blocks beside each other.

    Attributes:
        rows: Of pictures, in all blocks.
        columns: Of a block.
        blocks: Beside each other; each has about the same number of rows.
        tile: Height and width of a picture on the sheet.
    """

    rows: int
    columns: int
    blocks: int
    tile: Size

    @property
    def down(self) -> int:
        """Rows of a block."""
        return -(-self.rows // self.blocks)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Top and left of a picture. A block is filled from top to bottom, then the next one."""
        block, line = divmod(row, self.down)
        return _HEADING + line * (self.tile[0] + _GAP), block * self._block_width + column * (self.tile[1] + _GAP)

    @property
    def size(self) -> Size:
        """Height and width of the whole."""
        bottom = _HEADING + self.down * (self.tile[0] + _GAP) - _GAP
        return bottom, max(_LEAST_WIDTH, self.blocks * self._block_width - _BLOCK_GAP)

    @property
    def _block_width(self) -> int:
        return self.columns * (self.tile[1] + _GAP) - _GAP + _BLOCK_GAP


def plan_grid(rows: int, columns: int, size: Size) -> Grid:
    """The grid that shows pictures largest on one screen.

    Args:
        rows: How many.
        columns: How many.
        size: Height and width of the pictures. Small ones are enlarged, by a whole factor.
    """
    grids = [Grid(rows, columns, blocks, _tile(rows, columns, blocks, size)) for blocks in range(1, rows + 1)]
    return max(grids, key=lambda grid: grid.tile)  # of those alike, the one with the fewest blocks


def _tile(rows: int, columns: int, blocks: int, size: Size) -> Size:
    """The largest height and width at which so many pictures are seen at once."""
    height, width = size
    down, across = -(-rows // blocks), columns * blocks
    room_down = (_SCREEN[0] - _HEADING) / down - _GAP
    room_across = (_SCREEN[1] - (blocks - 1) * _BLOCK_GAP) / across - _GAP
    scale = min(room_down / height, min(room_across, TILE_WIDTH) / width)
    if scale >= 1:
        scale = int(scale)
    return max(1, int(height * scale)), max(1, int(width * scale))


def rows_that_fit(columns: int, size: Size, most: int) -> int:
    """How many rows a sheet can show, if its pictures are not to become too small to be seen.

    Args:
        columns: How many.
        size: Height and width of the pictures.
        most: Rows that there are.
    """
    readable = min(_READABLE, plan_grid(1, columns, size).tile[1])
    return next(rows for rows in range(most, 0, -1) if plan_grid(rows, columns, size).tile[1] >= readable)


class Sheet:
    """A sheet that is filled picture by picture, so that they need not be in memory together."""

    def __init__(self, headings: Sequence[str], rows: int, size: Size) -> None:
        """Begin a sheet.

        Args:
            headings: Of the columns.
            rows: How many.
            size: Height and width of the pictures.
        """
        self._grid = plan_grid(rows, len(headings), size)
        height, width = self._grid.size
        self._sheet = Image.new("RGB", (width, height), _PAPER)
        draw, font = ImageDraw.Draw(self._sheet), _font()
        for block in range(-(-rows // self._grid.down)):
            for number, heading in enumerate(headings):
                left = self._grid.corner(block * self._grid.down, number)[1]
                text = _cut(heading, self._grid.tile[1] - 2, font)
                draw.text((left + 2, 1), text, _INK, font)

    def put(self, row: int, column: int, picture: Pixels) -> None:
        """Draw a picture, uint8 [H, W, 3]: enlarged as it is, or reduced with antialiasing."""
        top, left = self._grid.corner(row, column)
        height, width = self._grid.tile
        larger = width > picture.shape[1]
        resample = Image.Resampling.NEAREST if larger else Image.Resampling.BICUBIC
        self._sheet.paste(Image.fromarray(picture).resize((width, height), resample), (left, top))

    def finish(self, legend: Sequence[tuple[str, Color]] = ()) -> Pixels:
        """The sheet, with colours and their names below: uint8 [height, width, 3]."""
        if not legend:
            return np.asarray(self._sheet)
        below = _draw_legend(legend, self._sheet.width)
        whole = Image.new("RGB", (self._sheet.width, self._sheet.height + _GAP + below.height), _PAPER)
        whole.paste(self._sheet, (0, 0))
        whole.paste(below, (0, self._sheet.height + _GAP))
        return np.asarray(whole)


def draw_sheet(columns: Sequence[Column], legend: Sequence[tuple[str, Color]] = ()) -> Pixels:
    """Draw pictures in columns, row by row, in as many blocks beside each other as show them largest on one screen.

    Args:
        columns: Of pictures; all have equally many.
        legend: Names and colours to explain below, such as those of `legend_of`.

    Returns:
        uint8 [height, width, 3].
    """
    rows = len(columns[0].pictures)
    height, width = columns[0].pictures[0].shape[:2]
    sheet = Sheet([column.heading for column in columns], rows, (height, width))
    for number, column in enumerate(columns):
        for row, picture in enumerate(column.pictures):
            sheet.put(row, number, picture)
    return sheet.finish(legend)


def legend_of(layouts: Layout, classes: ClassTable) -> list[tuple[str, Color]]:
    """The classes that occur in layouts, those with the most pixels first, and their colours in pictures of layouts.

    Args:
        layouts: uint8 [..., H, W].
        classes: Their classes.
    """
    counts = np.bincount(np.asarray(layouts).ravel(), minlength=classes.num_classes)
    names, colors = (*classes.names, "void"), (*classes.palette, (0, 0, 0))
    return [(names[number], colors[number]) for number in np.argsort(-counts, kind="stable") if counts[number]]


def _draw_legend(legend: Sequence[tuple[str, Color]], width: int) -> Image.Image:
    """Colours and names, in lines; of too many, those that come first."""
    picture = Image.new("RGB", (width, _LEGEND_LINE * _LEGEND_LINES), _PAPER)
    draw, font = ImageDraw.Draw(picture), _font()
    left = line = 0
    for number, (name, color) in enumerate(legend):
        more = f"and {len(legend) - number} more"
        text = _cut(name, min(width, TILE_WIDTH) - _SWATCH - 10, font)
        needed = _SWATCH + 6 + int(font.getlength(text)) + 16
        last = line == _LEGEND_LINES - 1
        reserved = int(font.getlength(more)) if last and number + 1 < len(legend) else 0
        if left + needed + reserved > width and left:
            if last:
                draw.text((left, line * _LEGEND_LINE + 1), more, _INK, font)
                break
            left, line = 0, line + 1
        top = line * _LEGEND_LINE + 4
        draw.rectangle((left + 1, top, left + _SWATCH, top + _SWATCH - 1), color, _INK)
        draw.text((left + _SWATCH + 6, line * _LEGEND_LINE + 1), text, _INK, font)
        left += needed
    return picture.crop((0, 0, width, (line + 1) * _LEGEND_LINE))


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """A text, shortened to so many pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)


def tiles(sheet: Pixels, column: int, grid: Grid) -> list[Pixels]:
    """The pictures in a column of a sheet; none if the sheet does not have that grid, as one of an older version."""
    height, width = grid.size
    if sheet.shape[1] != width or sheet.shape[0] < height:
        return []
    corners = [grid.corner(row, column) for row in range(grid.rows)]
    return [sheet[top : top + grid.tile[0], left : left + grid.tile[1]] for top, left in corners]


def headings(photographs: bool, images: int) -> list[str]:
    """What columns are called, in the order in which every sheet has them: layout, photograph, k synthesized images."""
    synthesized = ["synthesized"] if images == 1 else [f"synthesized {number}" for number in range(images)]
    return ["layout", *(["photograph"] if photographs else []), *synthesized]
