"""Grids of pictures, and getting the pictures back out of them."""

import numpy as np
import pytest

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.sheets import (
    TILE_WIDTH,
    Column,
    Sheet,
    draw_sheet,
    headings,
    legend_of,
    plan_grid,
    rows_that_fit,
    tiles,
)

CLASSES = ClassTable(("sky", "road", "tree"), ((0, 0, 255), (90, 90, 90), (0, 200, 0)), (0, 1, 2), (255,))


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3)).astype("uint8")


@pytest.mark.parametrize("rows", [1, 3, 7, 24])
def test_tiles_are_the_pictures_that_were_drawn_enlarged_by_a_whole_factor(rows):
    columns = [Column("a", pictures(rows, 20, 30, 1)), Column("b", pictures(rows, 20, 30, 2))]
    sheet, grid = draw_sheet(columns), plan_grid(rows, 2, (20, 30))
    factor = grid.tile[0] // 20
    assert grid.tile == (20 * factor, 30 * factor) and factor > 1
    for number, column in enumerate(columns):
        found = tiles(sheet, number, grid)
        assert len(found) == rows
        np.testing.assert_array_equal(np.stack(found), np.kron(column.pictures, np.ones((1, factor, factor, 1), int)))


@pytest.mark.parametrize("size", [(64, 128), (256, 512), (1024, 2048), (192, 256), (512, 256), (17, 901)])
@pytest.mark.parametrize("columns", [2, 3, 11])
@pytest.mark.parametrize("most", [1, 4, 24])
def test_a_sheet_fits_a_screen_and_its_pictures_can_be_seen(size, columns, most):
    rows = rows_that_fit(columns, size, most)
    grid = plan_grid(rows, columns, size)
    height, width = grid.size
    assert 1 <= rows <= most and height <= 1000 and width <= 1900
    assert grid.tile[1] <= max(TILE_WIDTH, 1)
    assert grid.tile[1] >= min(160, plan_grid(1, columns, size).tile[1])
    corners = [grid.corner(row, column) for row in range(rows) for column in range(columns)]
    assert len(set(corners)) == rows * columns
    for top, left in corners:
        assert top + grid.tile[0] <= height and left + grid.tile[1] <= width


def test_many_rows_are_put_beside_each_other():
    grid = plan_grid(24, 2, (256, 512))
    assert grid.blocks > 1 and grid.down * grid.blocks >= 24
    assert grid.tile[1] > plan_grid(24, 8, (256, 512)).tile[1]


def test_wide_pictures_are_scaled_down_in_proportion():
    grid = plan_grid(2, 1, (512, 1024))
    assert grid.tile == (TILE_WIDTH // 2, TILE_WIDTH)
    sheet = draw_sheet([Column("a", np.full((2, 512, 1024, 3), 77, np.uint8))])
    for tile in tiles(sheet, 0, grid):
        np.testing.assert_array_equal(tile, np.full((TILE_WIDTH // 2, TILE_WIDTH, 3), 77))


def test_a_heading_is_written_above_each_column_of_each_block():
    blank, written = (draw_sheet([Column(text, pictures(30, 60, 90))])[:18] for text in ("", "layout"))
    grid = plan_grid(30, 1, (60, 90))
    assert (blank == 255).all() and grid.blocks > 1
    for block in range(grid.blocks):
        left = grid.corner(block * grid.down, 0)[1]
        assert (written[:, left : left + 50] < 128).any()


def test_a_sheet_of_another_grid_gives_no_tiles():
    sheet = draw_sheet([Column("a", pictures(3, 256, 512))])
    assert tiles(sheet, 0, plan_grid(3, 2, (256, 512))) == []
    assert tiles(sheet[:100], 0, plan_grid(3, 1, (256, 512))) == []


def test_a_legend_names_the_classes_that_occur_the_largest_first():
    layouts = np.array([[[1, 1, 1, 0], [1, 3, 3, 1]]], np.uint8)
    legend = legend_of(layouts, CLASSES)
    assert legend == [("road", (90, 90, 90)), ("void", (0, 0, 0)), ("sky", (0, 0, 255))]
    columns = [Column("layout", pictures(1, 20, 90))]
    without, with_it = draw_sheet(columns), draw_sheet(columns, legend)
    np.testing.assert_array_equal(with_it[: len(without)], without)
    below = with_it[len(without) :].reshape(-1, 3)
    assert len(with_it) > len(without)
    for color in ((90, 90, 90), (0, 0, 255)):
        assert (below == color).all(-1).sum() > 80
    assert not (below == (0, 200, 0)).all(-1).any()
    np.testing.assert_array_equal(
        tiles(with_it, 0, plan_grid(1, 1, (20, 90))), tiles(without, 0, plan_grid(1, 1, (20, 90)))
    )


def test_a_legend_of_many_classes_stays_short():
    legend = [(f"class number {number}", (number, 255 - number, 0)) for number in range(200)]
    sheet = draw_sheet([Column("layout", pictures(1, 20, 90))], legend)
    assert len(sheet) <= plan_grid(1, 1, (20, 90)).size[0] + 4 + 60
    assert ((sheet == (0, 255, 0)).all(-1)).any() and not (sheet == (150, 105, 0)).all(-1).any()


def test_a_sheet_can_be_filled_in_any_order():
    own = pictures(6, 20, 30)
    sheet = Sheet(["a", "b"], 3, (20, 30))
    for number in (5, 0, 3, 1, 2, 4):
        sheet.put(number // 2, number % 2, own[number])
    np.testing.assert_array_equal(sheet.finish(), draw_sheet([Column("a", own[::2]), Column("b", own[1::2])]))


def test_columns_have_one_order_and_collections_numbers_as_their_files():
    assert headings(True, 1) == ["layout", "photograph", "synthesized"]
    assert headings(False, 2) == ["layout", "synthesized 0", "synthesized 1"]
