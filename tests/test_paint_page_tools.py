"""What each tool of the page for painting does to the layout: exact class ids."""

import numpy as np
import pytest

from tests.paint_pages import BUILDING, CAR, HEIGHT, ROAD, SIZE, SKY, VOID, WIDTH, disc, stamped
from tests.paint_stand_in import COLORS, picture_of, start_ids


@pytest.mark.parametrize("shape", ["round", "square", "diamond"])
def test_a_stroke_puts_exactly_the_brush_and_its_class(painter, shape):
    painter.page.locator(f"[data-shape={shape}]").click()
    painter.choose(CAR)
    painter.size(7)
    painter.drag((20, 30), (60, 30), (60, 50))
    across, down = [(x, 30) for x in range(20, 61)], [(60, y) for y in range(30, 51)]
    expected = stamped([*across, *down], 7, CAR, shape)
    painter.drag((0, 2))  # the corner cuts it off
    expected = stamped([(0, 2)], 7, CAR, shape, on=expected)
    assert (painter.ids == expected).all()
    painter.page.evaluate("new Promise(requestAnimationFrame)")
    assert (painter.pixels("#layout-canvas") == COLORS[expected]).all()


def test_brushes_of_even_sizes_are_symmetric_and_slanted_strokes_have_no_gaps(painter):
    painter.size(6)
    painter.drag((20, 20))
    ids = painter.ids
    rows, columns = np.nonzero(ids == ROAD)
    assert (np.ptp(rows), np.ptp(columns)) == (5, 5)
    patch = ids[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == ROAD
    assert (patch == disc(6)).all() and (patch == patch[::-1]).all() and (patch == patch.T).all()
    painter.press("Control+z")
    painter.size(1)
    painter.drag((3, 5), (100, 51))
    rows, columns = np.nonzero(painter.ids == ROAD)
    assert len(columns) == 98 and (np.diff(rows[np.argsort(columns)]) <= 1).all()  # one in each column


def test_straight_lines_with_shift_and_the_line_tool(painter):
    painter.size(1)
    painter.drag((10, 10), (15, 40), (50, 10), keys=("Shift",))  # only where it ends counts
    expected = stamped([(x, 10) for x in range(10, 51)], 1, ROAD)
    assert (painter.ids == expected).all()
    painter.drag((50, 30), keys=("Shift",))  # a click: on from there
    expected = stamped([(50, y) for y in range(10, 31)], 1, ROAD, on=expected)
    assert (painter.ids == expected).all()
    painter.tool("line")
    painter.drag((90, 20), (95, 50), (70, 40))
    painter.press("Control+z")
    assert (painter.ids == expected).all()
    painter.drag((90, 20), (80, 42), (80, 31), keys=("Shift",))  # nearly 45 degrees
    rows, columns = np.nonzero((painter.ids == ROAD) & (expected != ROAD))
    assert len(rows) > 8 and (rows - 20 == 90 - columns).all()


def test_rectangle_square_and_polygon(painter):
    painter.tool("rectangle")
    painter.drag((40, 30), (20, 50), (10, 5))
    expected = np.full(SIZE, VOID, np.uint8)
    expected[5:31, 10:41] = ROAD
    assert (painter.ids == expected).all()
    painter.choose(SKY)
    painter.drag((60, 10), (70, 14), keys=("Shift",))
    expected[10:21, 60:71] = SKY
    painter.drag((100, 10), (110, 10), keys=("Shift",))  # straight sideways, as a square as well
    expected[10:21, 100:111] = SKY
    assert (painter.ids == expected).all()
    painter.tool("polygon")
    painter.choose(CAR)
    corners = [(75, 40), (120, 33), (101, 45), (118, 60)]  # with a dent
    for corner in corners:
        painter.drag(corner)
    assert (painter.ids == expected).all()  # nothing before it is closed
    painter.drag(corners[0])
    inside = inside_polygon(corners)
    expected[inside == 1] = CAR
    assert (painter.ids == expected)[inside >= 0].all() and (painter.ids == CAR).sum() > 300
    for corner in [(5, 40), (30, 40), (30, 60), (60, 62)]:
        painter.drag(corner)
    painter.press("Backspace")
    painter.press("Enter")
    assert painter.ids[50, 28] == CAR and painter.ids[61, 40] == VOID
    painter.drag((70, 2))
    painter.drag((80, 2))
    painter.press("Escape")
    painter.drag((90, 3))
    assert painter.state("tool.corners.length") == 1
    painter.page.locator("#undo").click()
    assert painter.state("tool.corners.length") == 0


def inside_polygon(corners) -> np.ndarray:
    """1 for pixels whose centre is inside, 0 outside, -1 on the outline: int [H, W]. Corners are pixels' centres."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    winding, on = np.zeros(SIZE), np.zeros(SIZE, bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        cross = (x0 - x) * (y1 - y) - (x1 - x) * (y0 - y)
        dot = (x0 - x) * (x1 - x) + (y0 - y) * (y1 - y)
        winding += np.arctan2(cross, dot)
        on |= (np.abs(cross) < 1e-9) & (dot <= 1e-9)
    return np.where(on, -1, (np.abs(winding) > np.pi).astype(int))


def test_fill_takes_exactly_the_connected_pixels_of_a_class(painter):
    ids = np.random.default_rng(0).choice([ROAD, SKY], SIZE, p=[0.6, 0.4]).astype(np.uint8)
    ids[20, :64] = ROAD
    painter.begin(ids)
    painter.tool("fill")
    painter.choose(CAR)
    painter.drag((5, 20))
    expected = np.where(connected(ids, 20, 5), CAR, ids)
    assert (painter.ids == expected).all() and 100 < (expected == CAR).sum() < (ids == ROAD).sum()
    painter.drag((5, 20), keys=("Shift",))  # everywhere; it is the class already
    assert "nothing is different" in painter.page.locator("#said").inner_text()
    painter.choose(BUILDING)
    row, column = np.argwhere(expected == ROAD)[0]
    painter.drag((column, row), keys=("Shift",))
    assert (painter.ids == np.where(expected == ROAD, BUILDING, expected)).all()


def connected(ids: np.ndarray, row: int, column: int) -> np.ndarray:
    """Pixels of one class that are connected along rows and columns, by growing: bool [H, W]."""
    same = np.pad(ids == ids[row, column], 1)
    found = np.zeros_like(same)
    found[row + 1, column + 1] = True
    while True:
        grown = found.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                grown |= np.roll(found, step, axis)
        grown &= same
        if (grown == found).all():
            return found[1:-1, 1:-1]
        found = grown


def test_only_over_one_class_holds_for_every_tool(painter):
    ids = np.full(SIZE, SKY, np.uint8)
    ids[:, 60:] = BUILDING
    painter.begin(ids)
    painter.page.locator("#only").select_option(label="building")
    painter.choose(CAR)
    painter.size(9)
    painter.drag((40, 20), (80, 20))
    full = stamped([(x, 20) for x in range(40, 81)], 9, CAR, on=ids)
    expected = np.where(ids == BUILDING, full, ids)
    assert (painter.ids == expected).all() and (expected == CAR).any()
    painter.tool("rectangle")
    painter.drag((50, 40), (70, 50))
    expected[40:51, 60:71] = CAR
    assert (painter.ids == expected).all()
    painter.tool("fill")
    painter.drag((5, 5))
    assert (painter.ids == expected).all()
    assert "only over building" in painter.page.locator("#said").inner_text()
    painter.page.mouse.move(*painter.at(5, 5))
    painter.press("o")
    assert painter.state("only") is None
    painter.press("o")
    assert painter.state("only") == SKY and painter.page.locator("#only").input_value() == str(SKY)
    painter.drag((5, 5))
    assert (painter.ids == np.where(expected == SKY, CAR, expected)).all()


def test_the_eyedropper_alt_and_the_right_button_take_a_class_and_paint_nothing(painter):
    ids = start_ids(0, SIZE)
    painter.begin(ids)
    places = {wanted: tuple(np.argwhere(ids == wanted)[10][::-1]) for wanted in (SKY, CAR, BUILDING)}
    painter.tool("eyedropper")
    painter.drag(places[CAR])
    assert painter.state("chosen") == CAR
    painter.tool("brush")
    painter.drag(places[SKY], keys=("Alt",))
    assert painter.state("chosen") == SKY
    painter.drag(places[BUILDING], button="right")
    assert painter.state("chosen") == BUILDING and (painter.ids == ids).all()
    assert painter.page.locator("#classes [aria-pressed=true] .name").inner_text() == "building"


def start(painter, number: int) -> None:
    painter.page.locator("#starts-list button").nth(number).click()
    painter.page.wait_for_function("name => paint.desk.name === name", arg=f"street {number}")


def test_everything_can_be_undone_and_done_again(painter):
    states = [painter.ids]

    def done(action) -> None:
        action()
        states.append(painter.ids)
        assert (states[-1] != states[-2]).any()

    done(lambda: painter.drag((10, 10), (60, 40), (100, 10)))
    painter.choose(SKY)
    done(lambda: painter.drag((10, 50), (90, 50), keys=("Shift",)))
    painter.tool("rectangle")
    done(lambda: painter.drag((5, 5), (50, 30)))
    painter.tool("polygon")
    for corner in [(60, 10), (90, 20)]:
        painter.drag(corner)
    painter.drag((70, 40))
    done(lambda: painter.press("Enter"))
    painter.tool("fill")
    painter.choose(BUILDING)
    done(lambda: painter.drag((125, 60)))
    done(lambda: start(painter, 0))
    done(lambda: painter.page.locator("#clear").click())
    painter.tool("brush")
    for number in range(10):
        painter.choose(number % 5)
        done(lambda n=number: painter.drag((12 * n, 20), (12 * n, 30)))
    for expected in states[-2::-1]:
        painter.press("Control+z")
        assert (painter.ids == expected).all()
    assert painter.page.locator("#undo").is_disabled()
    for expected in states[1:]:
        painter.press("Control+Shift+z")
        assert (painter.ids == expected).all()
    assert painter.page.locator("#redo").is_disabled()
    assert (painter.wait_for_picture() == picture_of(states[-1])).all()
    painter.press("Control+z")
    painter.drag((0, 0))  # a new stroke: what was undone is gone
    assert painter.page.locator("#redo").is_disabled()


def test_escape_and_a_cancelled_pointer_take_back_what_is_under_way(painter):
    painter.page.mouse.move(*painter.at(20, 20))
    painter.page.mouse.down()
    painter.page.mouse.move(*painter.at(60, 20))
    assert (painter.ids == ROAD).any()
    painter.press("Escape")
    painter.page.mouse.move(*painter.at(60, 50))
    painter.page.mouse.up()
    assert (painter.ids == VOID).all() and painter.page.locator("#undo").is_disabled()
    painter.drag((20, 20), (30, 20))
    assert (painter.ids == ROAD).any()


def test_the_first_corners_of_a_polygon_can_be_taken_back_with_the_button(painter):
    painter.tool("polygon")
    undo = painter.page.locator("#undo")
    assert undo.is_disabled()
    painter.drag((20, 20))
    painter.drag((40, 20))
    undo.click()
    assert painter.state("tool.corners.length") == 1
    undo.click()
    assert painter.state("tool.corners.length") == 0 and undo.is_disabled()


def test_undo_brings_back_the_name_and_the_photograph_of_a_layout(painter):
    photo = painter.page.locator("#photo-button")
    painter.drag((10, 10), (60, 10))
    start(painter, 1)
    painter.drag((10, 10), (60, 10))
    start(painter, 2)
    found = []
    for key in ("Control+z", "Control+z", "Control+z", "Control+Shift+z", "Control+Shift+z", "Control+Shift+z"):
        painter.press(key)
        found.append((painter.state("name"), photo.is_enabled()))
    with_photo, before, after = ("street 1", True), ("painting", False), ("street 2", False)
    assert found == [with_photo, with_photo, before, with_photo, with_photo, after]
