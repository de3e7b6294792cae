"""Grids of pictures, and getting the pictures back out of them."""

import numpy as np
import pytest

from crn_tf.data.sheets import TILE_WIDTH, Column, collection_columns, draw_sheet, tile_size, tiles


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3)).astype("uint8")


@pytest.mark.parametrize("rows", [1, 3])
def test_tiles_are_the_pictures_that_were_drawn(rows):
    columns = [Column("a", pictures(rows, 20, 30, 1)), Column("b", pictures(rows, 20, 30, 2))]
    sheet = draw_sheet(columns)
    for number, column in enumerate(columns):
        found = tiles(sheet, number, (20, 30))
        assert len(found) == rows
        np.testing.assert_array_equal(np.stack(found), column.pictures)


def test_wide_pictures_are_scaled_down_in_proportion():
    assert tile_size(512, 1024) == (TILE_WIDTH // 2, TILE_WIDTH)
    sheet = draw_sheet([Column("a", np.full((2, 512, 1024, 3), 77, np.uint8))])
    assert sheet.shape[1] == TILE_WIDTH
    for tile in tiles(sheet, 0, (512, 1024)):
        np.testing.assert_array_equal(tile, np.full((TILE_WIDTH // 2, TILE_WIDTH, 3), 77))


def test_a_heading_is_written_above_each_column():
    blank, written = (draw_sheet([Column(text, pictures(1, 20, 90))])[:18] for text in ("", "layout"))
    assert (blank == 255).all() and (written < 128).any()


def test_collections_get_numbered_columns_as_their_files_do():
    images = np.arange(6, dtype="uint8").reshape(3, 2, 1, 1, 1).repeat(3, -1)
    columns = collection_columns(images)
    assert [column.heading for column in columns] == ["synthesized 0", "synthesized 1"]
    np.testing.assert_array_equal(columns[1].pictures, images[:, 1])
    assert [column.heading for column in collection_columns(images[:, :1])] == ["synthesized"]
