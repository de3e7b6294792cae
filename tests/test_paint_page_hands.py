"""Fingers, pens and keys that come while something is under way."""

import numpy as np
import pytest

from tests.paint_pages import CAR, HEIGHT, ROAD, SIZE, VOID, WIDTH, Painter, stamped
from tests.paint_stand_in import start_ids

ROW = [(x, 20) for x in range(20, 61)]


def stroke_under_way(painter: Painter, size: int = 3) -> np.ndarray:
    """The mouse is down: what it has painted."""
    painter.size(size)
    mouse = painter.page.mouse
    mouse.move(*painter.at(20, 20))
    mouse.down()
    mouse.move(*painter.at(60, 20))
    return stamped(ROW, size, ROAD)


def lift(painter: Painter) -> None:
    painter.page.mouse.move(*painter.at(60, 40))
    painter.page.mouse.up()


@pytest.mark.parametrize("key", ["r", "f", "p", "i"])
def test_another_tool_in_mid_stroke_ends_it_where_it_is(painter, key):
    expected = stroke_under_way(painter)
    painter.press(key)
    lift(painter)
    assert (painter.ids == expected).all()
    painter.press("b")
    painter.drag((20, 50), (40, 50))  # the brush paints on
    both = stamped([(x, 50) for x in range(20, 41)], 3, ROAD, on=expected)
    assert (painter.ids == both).all()
    painter.press("Control+z")
    assert (painter.ids == expected).all()
    painter.press("Control+z")
    assert (painter.ids == VOID).all()


def test_another_layout_in_mid_stroke_is_an_edit_of_its_own(painter):
    expected = stroke_under_way(painter)
    painter.begin(start_ids(1, SIZE))
    lift(painter)
    assert (painter.ids == start_ids(1, SIZE)).all()
    painter.choose(CAR)
    painter.drag((20, 50), (40, 50))
    assert (painter.ids == stamped([(x, 50) for x in range(20, 41)], 3, CAR, on=start_ids(1, SIZE))).all()
    painter.press("Control+z")
    painter.press("Control+z")
    assert (painter.ids == expected).all()


def test_another_tool_while_enter_holds_one_ends_what_it_paints(painter):
    painter.size(1)
    painter.stage.focus()
    painter.press("ArrowRight")
    painter.press("Enter")
    painter.press("ArrowRight")
    painter.press("r")
    painter.press("Shift+ArrowDown")  # moves only: nothing holds the rectangle
    expected = stamped([(65, 32), (66, 32)], 1, ROAD)
    assert (painter.ids == expected).all()
    painter.press("Enter")
    painter.press("ArrowRight")
    painter.press("Enter")
    expected[42, 66:68] = ROAD
    assert (painter.ids == expected).all()


def test_a_pointer_ends_what_the_keyboard_holds_and_the_other_way_round(painter):
    painter.size(1)
    painter.stage.focus()
    painter.press("ArrowRight")
    painter.press("Enter")
    painter.drag((20, 20), (30, 20))
    painter.stage.focus()
    expected = stamped([(65, 32), *((x, 20) for x in range(20, 31))], 1, ROAD)
    assert (painter.ids == expected).all()
    painter.page.mouse.move(*painter.at(5, 5))
    painter.page.mouse.down()
    for key in ("ArrowRight", "Enter", "ArrowRight"):
        painter.press(key)
    painter.page.mouse.move(*painter.at(9, 5))
    painter.press("Enter")
    painter.page.mouse.up()
    expected = stamped([(5, 5), (65, 32), (66, 32)], 1, ROAD, on=expected)
    assert (painter.ids == expected).all()


def touch(session, kind: str, *places: tuple[float, float]) -> None:
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


@pytest.fixture
def fingers(paint_server, open_page):
    """A page that is touched, and what touches it."""
    page = open_page(paint_server, has_touch=True)
    painter = Painter(page)
    return painter, page.context.new_cdp_session(page)


def pinch(painter: Painter, session) -> None:
    (left, y), (right, _) = painter.at(40, 30), painter.at(80, 30)
    touch(session, "Start", (left, y))
    touch(session, "Start", (left, y), (right, y))
    touch(session, "Move", (left - 20, y), (right + 20, y))
    touch(session, "End", (left - 20, y))
    touch(session, "End")


def test_one_finger_paints_and_two_zoom_and_move(fingers):
    painter, session = fingers
    painter.size(3)
    touch(session, "Start", painter.at(10, 10))
    touch(session, "Move", painter.at(30, 10))
    touch(session, "Move", painter.at(50, 10))
    touch(session, "End")
    expected = stamped([(x, 10) for x in range(10, 51)], 3, ROAD)
    assert (painter.ids == expected).all()
    painter.page.evaluate("paint.pointers.young = 60_000")  # however long the test takes
    scale = painter.page.evaluate("paint.view.scale")
    (left, y), (right, _) = painter.at(40, 32), painter.at(80, 32)
    touch(session, "Start", (left, y))
    touch(session, "Move", (left + 3, y))
    touch(session, "Start", (left + 3, y), (right, y))  # the first was not meant to paint
    for step in range(1, 11):
        touch(session, "Move", (left - 5 * step, y), (right + 5 * step, y))
    touch(session, "End", (left - 50, y))
    touch(session, "Move", (left, y + 20))  # what is left of it does not paint
    touch(session, "End")
    assert (painter.ids == expected).all()
    zoomed = painter.page.evaluate("paint.view.scale") / scale
    assert zoomed == pytest.approx((right - left + 100) / (right - left), rel=0.05)
    touch(session, "Start", painter.at(60, 30))
    touch(session, "End")
    expected = stamped([(60, 30)], 3, ROAD, on=expected)
    assert (painter.ids == expected).all()


def test_what_a_finger_has_painted_for_a_while_stays_when_a_second_one_comes(fingers):
    painter, session = fingers
    painter.size(3)
    painter.page.evaluate("paint.pointers.young = -1")
    touch(session, "Start", painter.at(20, 20))
    touch(session, "Move", painter.at(60, 20))
    touch(session, "Start", painter.at(60, 20), painter.at(90, 40))
    touch(session, "Move", painter.at(70, 30), painter.at(90, 50))
    touch(session, "End")
    assert (painter.ids == stamped(ROW, 3, ROAD)).all()
    painter.press("Control+z")
    assert (painter.ids == VOID).all()


def test_two_fingers_zoom_with_every_tool_and_a_tap_uses_it(fingers):
    painter, session = fingers
    scale = painter.page.evaluate("paint.view.scale")
    painter.tool("fill")
    pinch(painter, session)
    assert (painter.ids == VOID).all() and painter.page.evaluate("paint.view.scale") > scale
    touch(session, "Start", painter.at(60, 30))
    touch(session, "End")
    assert (painter.ids == ROAD).all()
    painter.page.locator("#whole").click()
    painter.tool("polygon")
    painter.choose(CAR)
    for corner in [(10, 10), (50, 10), (50, 40)]:
        touch(session, "Start", painter.at(*corner))
        touch(session, "End")
    pinch(painter, session)
    assert painter.state("tool.corners.length") == 3 and painter.state("outline.length") == 3
    painter.page.locator("#whole").click()
    touch(session, "Start", painter.at(10, 10))
    touch(session, "End")
    assert painter.ids[15, 40] == CAR and painter.ids[35, 15] == ROAD
    painter.tool("eyedropper")
    pinch(painter, session)
    assert painter.state("chosen") == CAR


def test_a_pen_paints_its_other_end_erases_and_the_hand_beside_it_does_nothing(painter):
    painter.size(3)
    pen, hand = {"pointerType": "pen", "pointerId": 9}, {"pointerType": "touch", "pointerId": 5}
    painter.pointer("down", (100, 60), **hand)  # first the hand
    painter.pointer("move", (101, 60), **hand)
    painter.pointer("down", (20, 20), **pen)
    painter.pointer("move", (40, 20), **pen)
    painter.pointer("move", (100, 55), **hand)
    painter.pointer("down", (110, 60), pointerType="touch", pointerId=6)  # and more of it
    painter.pointer("move", (60, 20), **pen)
    painter.pointer("up", (60, 20), **pen)
    expected = stamped(ROW, 3, ROAD)
    assert (painter.ids == expected).all()
    painter.pointer("down", (30, 40), **pen)  # it still rests there
    painter.pointer("up", (30, 40), **pen)
    painter.pointer("up", (100, 55), **hand)
    expected = stamped([(30, 40)], 3, ROAD, on=expected)
    assert (painter.ids == expected).all()
    eraser = {**pen, "button": 5}
    painter.pointer("down", (40, 20), **eraser)
    painter.pointer("move", (60, 20), **pen)
    painter.pointer("up", (60, 20), **eraser)
    expected = stamped([(x, 20) for x in range(40, 61)], 3, VOID, on=expected)
    assert (painter.ids == expected).all() and painter.state("chosen") == ROAD
    painter.pointer("down", (60, 50), **hand)  # fingers paint as before
    painter.pointer("up", (60, 50), **hand)
    assert (painter.ids == stamped([(60, 50)], 3, ROAD, on=expected)).all()


def test_a_tool_that_fails_does_not_keep_the_pointer(painter, open_page):
    open_page.expected.append("on purpose")
    painter.size(3)
    painter.page.evaluate("() => { paint.desk.tools.fill.release = () => { throw new Error('on purpose'); }; }")
    painter.tool("fill")
    painter.drag((20, 20))
    painter.tool("brush")
    painter.choose(CAR)
    painter.drag((20, 20), (60, 20))
    assert (painter.ids == stamped(ROW, 3, CAR, on=np.full((HEIGHT, WIDTH), ROAD, np.uint8))).all()
