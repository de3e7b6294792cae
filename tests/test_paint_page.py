"""The page of `crn paint` in a real browser, before a server that answers with the layout's colours."""

import base64
import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.paint_stand_in import CLASSES, COLORS, counts, picture_of, stand_in, start_ids

FOLDER = ROOT / "crn_tf/pages/static/paint"
SIZE = HEIGHT, WIDTH = 64, 128
VOID = CLASSES.void
ROAD, SIDEWALK, BUILDING, SKY, CAR = (CLASSES.names.index(n) for n in ("road", "sidewalk", "building", "sky", "car"))


@pytest.fixture(scope="module")
def server():
    with stand_in() as (address, _):
        yield address


# Bytes as text, which travels quicker than a list of numbers.
BASE64 = """(bytes) => {
  let text = "";
  for (let from = 0; from < bytes.length; from += 8192) text += String.fromCharCode(...bytes.subarray(from, from + 8192));
  return btoa(text);
}"""


class Painter:
    """A page, used with mouse and keys. Places are the layout's pixels, found where the browser shows them."""

    def __init__(self, page) -> None:
        self.page = page
        page.wait_for_selector("body.ready")
        page.wait_for_function("() => paint.view.scale !== 1 || paint.view.room.width > 1")
        self.stage = page.locator("#layout-stage")

    @property
    def ids(self) -> np.ndarray:
        return np.frombuffer(base64.b64decode(self.page.evaluate(f"({BASE64})(paint.layout.ids)")), np.uint8).reshape(
            self.shape
        )

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.page.evaluate("[paint.layout.height, paint.layout.width]")
        return height, width

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where the middle of a pixel is in the window."""
        box = self.page.evaluate(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.getElementById('layout-canvas').getBoundingClientRect())"
        )
        height, width = self.shape
        return box[0] + (x + 0.5) * box[2] / width, box[1] + (y + 0.5) * box[3] / height

    def under(self, place: tuple[float, float]) -> tuple[float, float]:
        """Which of the layout's pixels is at a place in the window, with fractions."""
        (left, top), (right, bottom) = self.at(-0.5, -0.5), self.at(self.shape[1] - 0.5, self.shape[0] - 0.5)
        across, down = (place[0] - left) / (right - left), (place[1] - top) / (bottom - top)
        return across * self.shape[1], down * self.shape[0]

    def drag(self, *places: tuple[float, float], keys: tuple[str, ...] = (), button: str = "left") -> None:
        mouse = self.page.mouse
        for key in keys:
            self.page.keyboard.down(key)
        mouse.move(*self.at(*places[0]))
        mouse.down(button=button)
        for place in places[1:]:
            mouse.move(*self.at(*place))
        mouse.up(button=button)
        for key in keys:
            self.page.keyboard.up(key)

    def choose(self, class_id: int) -> None:
        self.page.locator(f"#classes [data-id='{class_id}']").click()

    def tool(self, name: str) -> None:
        self.page.locator(f"[data-tool={name}]").click()

    def size(self, size: int) -> None:
        self.page.locator("#size").fill(str(size))

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def state(self, what: str):
        return self.page.evaluate(f"paint.desk.{what}")

    def begin(self, ids: np.ndarray) -> None:
        self.page.evaluate("ids => paint.desk.begin(Uint8Array.from(ids), { name: 'given' })", ids.ravel().tolist())

    def wait_for_picture(self, pane: int = 0) -> np.ndarray:
        """The large picture, once it is the layout's as it is now, at rest: uint8 [H, W, 3]."""
        self.page.wait_for_function(
            "pane => { const shown = paint.pictures.shown(paint.pictures.large[pane]);"
            " return shown && shown.revision === paint.layout.revision && shown.format === 'png'; }",
            arg=pane,
        )
        return self.pixels(".pane.picture .sheet canvas", pane)

    def pixels(self, selector: str, number: int = 0) -> np.ndarray:
        height, width, text = self.page.evaluate(
            "([selector, number]) => { const canvas = document.querySelectorAll(selector)[number];"
            " const { width, height } = canvas;"
            " const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);"
            f" return [height, width, ({BASE64})(data)]; }}",
            [selector, number],
        )
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]

    def download(self, what: str, count: int = 1) -> list[Path]:
        self.page.locator("#downloads summary").click()
        found = []
        take = lambda each: found.append(each)  # noqa: E731
        self.page.on("download", take)
        self.page.locator(f"[data-download={what}]").click()
        for _ in range(100):
            if len(found) == count:
                break
            self.page.wait_for_timeout(50)
        self.page.remove_listener("download", take)
        return sorted(((each.suggested_filename, each.path()) for each in found), key=lambda pair: pair[0])


@contextlib.contextmanager
def painting(open_page, *options: object, port: int = 0):
    """A page before a server of its own, and the server's address. The page goes first: it asks until then."""
    with stand_in(*options, port=port) as (address, _):
        painter = Painter(open_page(address))
        yield painter, address
        painter.page.close()


@pytest.fixture
def painter(server, open_page) -> Painter:
    return Painter(open_page(server))


def disc(size: int, shape: str = "round") -> np.ndarray:
    """A brush's pixels: those whose centres are inside, bool [size, size]."""
    away = np.abs(np.arange(size) + 0.5 - size / 2)
    dy, dx = away[:, None], away[None]
    inside = {"round": dx**2 + dy**2 <= size**2 / 4, "square": dx + dy >= 0, "diamond": dx + dy <= size / 2}
    return inside[shape]


def stamped(places, size: int, class_id: int, shape: str = "round", on: np.ndarray | None = None) -> np.ndarray:
    """A layout with a brush at pixels (x, y), for an odd size."""
    ids = np.full((HEIGHT + 2 * size, WIDTH + 2 * size), VOID, np.uint8)
    if on is not None:
        ids[size:-size, size:-size] = on
    for x, y in places:
        top, left = y - size // 2 + size, x - size // 2 + size
        ids[top : top + size, left : left + size][disc(size, shape)] = class_id
    return ids[size:-size, size:-size]


# ---- painting


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
    done(lambda: painter.page.locator("#starts-list button").first.click() or painter.page.wait_for_timeout(300))
    done(lambda: painter.page.locator("#clear").click())
    painter.tool("brush")
    for number in range(30):
        painter.choose(number % 5)
        done(lambda n=number: painter.drag((4 * n, 20), (4 * n, 30)))
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


# ---- keys, view, touch


def test_keys_choose_tools_classes_and_the_brush(painter):
    painter.page.mouse.move(*painter.at(20, 20))
    tools = {"l": "line", "r": "rectangle", "p": "polygon", "f": "fill", "i": "eyedropper", "b": "brush"}
    for key, name in tools.items():
        painter.press(key)
        assert painter.state("toolName") == name
        assert painter.page.locator(f"[data-tool={name}]").get_attribute("aria-pressed") == "true"
    painter.press("3")
    assert painter.state("chosen") == 2
    painter.page.wait_for_timeout(800)
    painter.press("1")
    painter.press("4")
    assert painter.state("chosen") == CAR  # the fourteenth
    painter.press("0")
    assert painter.state("chosen") == VOID
    painter.press("e")
    assert painter.state("chosen") == CAR
    painter.press("e")
    assert painter.state("chosen") == VOID
    painter.size(5)
    for key, size in (("]", 6), ("]", 7), ("[", 6)):
        painter.press(key)
        assert painter.state("brush.size") == size
    painter.page.mouse.move(*painter.at(20, 20))
    painter.page.mouse.wheel(0, -100)
    painter.page.wait_for_function("() => paint.desk.brush.size === 7")
    painter.page.mouse.wheel(0, 100)
    painter.page.wait_for_function("() => paint.desk.brush.size === 6")
    painter.press("s")
    assert painter.state("brush.shape") == "square"
    painter.press("/")
    painter.page.keyboard.type("veg")
    assert painter.page.locator("#classes li:visible").count() == 1
    painter.press("Enter")
    assert painter.state("classOf(paint.desk.chosen).name") == "vegetation"
    assert painter.page.locator("#classes li:visible").count() == 20
    painter.press("?")
    assert painter.page.locator("#keys").is_visible()
    painter.press("Escape")
    assert not painter.page.locator("#keys").is_visible()


def test_a_layout_is_painted_with_the_keyboard_alone(painter):
    painter.stage.focus()
    painter.size(1)
    painter.stage.focus()
    painter.press("ArrowRight")  # from the middle
    painter.press("Enter")
    for _ in range(2):
        painter.press("Shift+ArrowRight")
    painter.press("Enter")
    painter.press("ArrowDown")
    painter.press("3")
    painter.press("r")
    painter.press("Enter")
    painter.press("Shift+ArrowDown")
    painter.press("ArrowLeft")
    painter.press("Enter")
    expected = stamped([(x, 32) for x in range(65, 86)], 1, ROAD)
    expected[33:44, 84:86] = 2
    assert (painter.ids == expected).all()


def test_zoom_keeps_what_is_under_the_pointer_and_painting_stays_exact(painter):
    painter.begin(start_ids(1, SIZE))
    page = painter.page
    before = tuple(map(int, painter.at(90, 20)))  # of wheels, browsers tell whole pixels
    page.mouse.move(*before)
    held = painter.under(before)
    page.keyboard.down("Control")
    for _ in range(6):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_function("() => paint.view.scale > 12")
    assert painter.under(before) == pytest.approx(held, abs=1e-3)
    painter.size(1)
    painter.choose(CAR)
    painter.drag((90, 20))
    assert painter.ids[20, 90] == CAR and (painter.ids != start_ids(1, SIZE)).sum() == 1
    page.mouse.move(5, 5)  # no outline over it
    page.evaluate("new Promise(requestAnimationFrame)")
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    x, y = painter.at(90, 20)
    half = int(page.evaluate("paint.view.scale") / 2) - 1
    square = shot[int(y) - half : int(y) + half, int(x) - half : int(x) + half]
    assert (square == COLORS[CAR]).all()  # the pixel is seen where it was painted, with hard edges
    for key, button in ((" ", "left"), (None, "middle")):
        page.mouse.move(*before)
        if key:
            page.keyboard.down(key)
        page.mouse.down(button=button)
        page.mouse.move(before[0] + 30, before[1] - 20)
        page.mouse.up(button=button)
        if key:
            page.keyboard.up(key)
    assert painter.under((before[0] + 60, before[1] - 40)) == pytest.approx(held, abs=1e-3)
    painter.drag((91, 22))
    assert painter.ids[22, 91] == CAR and (painter.ids != start_ids(1, SIZE)).sum() == 2
    others = page.locator(".pane.picture .sheet").evaluate("each => each.style.transform")
    assert others == page.locator("#layout-sheet").evaluate("each => each.style.transform")
    page.locator("#whole").click()
    assert page.evaluate("paint.view.scale === paint.view.fitting()")


def test_the_picture_can_be_painted_on_as_well(painter):
    box = painter.page.locator(".pane.picture .stage").bounding_box()
    own = painter.stage.bounding_box()
    painter.size(3)
    x, y = painter.at(40, 20)
    painter.page.mouse.click(x - own["x"] + box["x"], y - own["y"] + box["y"])
    assert (painter.ids == stamped([(40, 20)], 3, ROAD)).all()


def touch(session, kind: str, *places: tuple[float, float]) -> None:
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def test_one_finger_paints_and_two_zoom_and_move(server, open_page):
    page = open_page(server, has_touch=True)
    painter = Painter(page)
    session = page.context.new_cdp_session(page)
    painter.size(3)
    touch(session, "Start", painter.at(10, 10))
    touch(session, "Move", painter.at(30, 10))
    touch(session, "Move", painter.at(50, 10))
    touch(session, "End")
    expected = stamped([(x, 10) for x in range(10, 51)], 3, ROAD)
    assert (painter.ids == expected).all()
    scale = page.evaluate("paint.view.scale")
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
    zoomed = page.evaluate("paint.view.scale") / scale
    assert zoomed == pytest.approx((right - left + 100) / (right - left), rel=0.05)
    touch(session, "Start", painter.at(60, 30))
    touch(session, "End")
    assert (painter.ids == stamped([(60, 30)], 3, ROAD, on=expected)).all()


# ---- pictures


def test_a_burst_of_200_strokes_asks_for_few_pictures_and_ends_with_the_right_one(open_page):
    with painting(open_page, "--delay", 0.25) as (painter, address):
        painter.wait_for_picture()
        before = counts(address)
        started = painter.page.evaluate("performance.now()")
        painter.page.evaluate(STROKES, 200)
        seconds = (painter.page.evaluate("performance.now()") - started) / 1000
        shown = painter.wait_for_picture()
        ids = painter.ids
        assert len(np.unique(ids)) > 5 and (shown == picture_of(ids)).all()
        computed = counts(address)["computed"] - before["computed"]
        assert 1 <= computed <= seconds / 0.25 + 3
        assert counts(address)["requests"] - before["requests"] <= computed + 2


# Strokes as a mouse makes them, some in each frame.
STROKES = """async (count) => {
  const stage = document.getElementById("layout-stage");
  const box = document.getElementById("layout-canvas").getBoundingClientRect();
  const send = (kind, x, y, buttons) => stage.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, pointerType: "mouse", isPrimary: true, bubbles: true, cancelable: true, button: 0, buttons,
    clientX: box.left + x * box.width, clientY: box.top + y * box.height,
  }));
  stage.setPointerCapture = () => {};
  for (let stroke = 0; stroke < count; stroke += 1) {
    paint.desk.choose(stroke % 8);
    send("pointerdown", Math.random(), Math.random(), 1);
    for (let step = 0; step < 4; step += 1) send("pointermove", Math.random(), Math.random(), 1);
    send("pointerup", Math.random(), Math.random(), 0);
    if (stroke % 5 === 4) await new Promise(requestAnimationFrame);
  }
}"""


def test_a_picture_that_is_older_than_the_layout_says_so_and_how_long_it_took(open_page):
    with painting(open_page, "--delay", 0.8) as (painter, address):
        mark, took = painter.page.locator(".picture .mark"), painter.page.locator(".picture .took")
        painter.wait_for_picture()
        assert mark.inner_text() == "" and took.inner_text() == "800 ms"
        painter.drag((20, 20), (60, 20))
        painter.page.wait_for_function("() => document.querySelector('.picture.older .mark').innerText === 'older'")
        painter.page.wait_for_function("() => document.querySelector('.took').innerText.startsWith('computing, ')")
        painter.wait_for_picture()
        painter.page.wait_for_selector(".picture:not(.older)")
        assert mark.inner_text() == ""


def test_all_images_are_thumbnails_and_one_is_large(open_page):
    with painting(open_page, "--images", 3) as (painter, address):
        painter.drag((20, 20), (60, 40))
        thumbnails = painter.page.locator(".images button")
        assert thumbnails.count() == 3
        painter.page.wait_for_selector(".images:not(:has(.older))")
        thumbnails.nth(2).click()
        assert thumbnails.nth(2).get_attribute("aria-pressed") == "true"
        assert (painter.wait_for_picture() == picture_of(painter.ids, 2)).all()
        painter.drag((90, 20), (60, 40))
        assert (painter.wait_for_picture() == picture_of(painter.ids, 2)).all()
        painter.page.wait_for_selector(".images:not(:has(.older))")
        told = counts(address)
        assert told["requests"] > told["computed"]


def test_models_side_by_side_and_the_picture_over_the_layout(open_page):
    with painting(open_page, "--models", "model", "other") as (painter, address):
        painter.drag((20, 20), (60, 40))
        ids = painter.ids
        assert (painter.wait_for_picture(0) == picture_of(ids)).all()
        assert (painter.wait_for_picture(1) == picture_of(ids, model="other")).all()
        assert painter.page.locator(".pane.picture h2").all_inner_texts() == ["model", "other"]
        over = painter.page.locator("#over")
        assert not over.is_visible()
        painter.page.locator("#opacity").fill("40")
        assert over.is_visible() and over.evaluate("each => getComputedStyle(each).opacity") == "0.4"
        painter.drag((90, 20), (60, 40))
        painter.wait_for_picture(0)
        painter.page.evaluate("new Promise(requestAnimationFrame)")
        assert (painter.pixels("#over") == picture_of(painter.ids)).all()


def test_a_draft_follows_the_brush_and_the_large_model_comes_at_rest(open_page):
    with painting(open_page, "--models", "model", "draft", "--delay", 0.3) as (painter, address):
        painter.wait_for_picture()
        before = counts(address)
        assert painter.page.locator(".pane.picture").count() == 1
        mouse = painter.page.mouse
        mouse.move(*painter.at(20, 20))
        mouse.down()
        for step in range(12):
            mouse.move(*painter.at(20 + 5 * step, 20 + 2 * step))
            painter.page.wait_for_timeout(30)
        painter.page.wait_for_function("() => document.querySelector('.picture .mark').innerText === 'draft'")
        assert counts(address)["model"] == before["model"]
        mouse.up()
        shown = painter.wait_for_picture()
        assert (shown == picture_of(painter.ids)).all()
        assert counts(address)["model"] == before["model"] + 1
        assert counts(address)["draft"] > before.get("draft", 0)
        assert painter.page.locator(".picture .mark").inner_text() == ""


def test_a_layout_that_the_server_refuses_is_one_line_and_painting_goes_on(open_page):
    with painting(open_page, "--refuse", CAR) as (painter, address):
        painter.choose(CAR)
        painter.drag((20, 20), (60, 20))
        painter.page.wait_for_function("() => document.querySelector('.why').innerText === 'the layout has car'")
        asked = counts(address)["requests"]
        painter.page.wait_for_timeout(300)
        assert counts(address)["requests"] == asked  # once for a layout
        painter.press("Control+z")
        assert (painter.wait_for_picture() == picture_of(painter.ids)).all()
        assert not painter.page.locator(".why").is_visible()
    open_page.complaints[:] = [each for each in open_page.complaints if "status of 400" not in each]


# ---- the server's death, and what is kept


def without_connection_errors(open_page) -> None:
    # Which error it is depends on how far a request was when the server ended.
    open_page.complaints[:] = [each for each in open_page.complaints if "net::ERR_" not in each]


def test_a_server_killed_and_started_again_in_mid_painting_loses_nothing(open_page):
    with stand_in("--delay", 0.3) as (address, process):
        port = int(re.search(r":(\d+)/", address)[1])
        painter = Painter(open_page(address))
        painter.drag((10, 10), (60, 10))
        mouse = painter.page.mouse
        mouse.move(*painter.at(10, 30))
        mouse.down()
        mouse.move(*painter.at(40, 30))
        process.kill()
        process.wait()
        mouse.move(*painter.at(90, 30))
        mouse.up()
        painter.page.wait_for_selector("#away:not([hidden])")
        assert "Nothing is lost" in painter.page.locator("#away").inner_text()
        painter.drag((10, 50), (60, 50))
        painter.press("Control+z")
        painter.drag((20, 50), (70, 50))
        ids = painter.ids
        assert all((ids[row] == ROAD).any() for row in (10, 30, 50))
        with stand_in(port=port) as _:
            painter.page.wait_for_selector("#away", state="hidden")
            assert (painter.wait_for_picture() == picture_of(ids)).all()
            painter.page.reload()
            again = Painter(painter.page)
            assert (again.ids == ids).all()
            again.press("Control+z")
            assert (again.ids == VOID).all()
            painter.page.close()
    without_connection_errors(open_page)


def test_a_server_that_comes_back_with_another_model_is_told(open_page):
    with contextlib.ExitStack() as first:
        address, _ = first.enter_context(stand_in())
        painter = Painter(open_page(address))
        first.close()
        painter.drag((10, 10), (60, 10))
        painter.page.wait_for_selector("#away:not([hidden])")
        with stand_in("--size", "32x32", port=int(re.search(r":(\d+)/", address)[1])):
            painter.page.wait_for_selector("#reload:not([hidden])")
            painter.page.locator("#reload").click()
            assert Painter(painter.page).shape == (32, 32)
            painter.page.close()
    without_connection_errors(open_page)


def test_a_browser_that_keeps_nothing_says_so_and_paints(server, open_page):
    page = open_page("about:blank")
    page.add_init_script("indexedDB.open = () => { throw new Error('not allowed here'); }")
    page.goto(server)
    painter = Painter(page)
    assert page.locator("#said").inner_text().startswith("this browser keeps nothing for later (not allowed here)")
    painter.drag((10, 10), (60, 10))
    assert (painter.wait_for_picture() == picture_of(painter.ids)).all()


# ---- files


DROP = """([name, bytes]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_a_layout_file_dropped_or_opened_is_read_by_the_server(painter):
    wanted = start_ids(5, SIZE)
    large = np.repeat(np.repeat(wanted, 2, 0), 2, 1)
    painter.page.evaluate(DROP, ["my street.png", list(png(COLORS[large]))])
    painter.page.wait_for_function("() => paint.layout.canUndo")
    assert (painter.ids == wanted).all()
    assert painter.page.locator("#said").inner_text().endswith("the stand-in read 128x256")
    assert not painter.page.locator("body.dropping").count()
    other = start_ids(6, SIZE)
    files = np.array(CLASSES.file_ids, np.uint8)
    payload = {"name": "ids.png", "mimeType": "image/png", "buffer": png(files[other])}
    painter.page.locator("#file").set_input_files(payload)
    painter.page.wait_for_function("() => paint.desk.name === 'ids'")
    assert (painter.ids == other).all()
    painter.press("Control+z")
    assert (painter.ids == wanted).all()


def test_a_file_that_is_no_layout_is_one_line(painter, open_page):
    painter.page.evaluate(DROP, ["notes.png", [1, 2, 3]])
    painter.page.wait_for_function("() => document.getElementById('said').innerText.includes('is no layout')")
    assert painter.page.locator("#said").inner_text().startswith("notes.png: ")
    assert not painter.state("layout.canUndo")
    open_page.complaints[:] = [each for each in open_page.complaints if "status of 400" not in each]


def test_downloads_are_the_exact_layout_and_picture(painter):
    wanted = np.random.default_rng(1).integers(0, VOID + 1, SIZE).astype(np.uint8)
    painter.begin(wanted)
    files = np.array(CLASSES.file_ids)
    ((name, path),) = painter.download("ids")
    with Image.open(path) as picture:
        assert (name, picture.mode) == ("given_ids.png", "L")
        assert (np.asarray(picture) == files[wanted]).all()
    ((name, path),) = painter.download("palette")
    with Image.open(path) as picture:
        assert (name, picture.mode) == ("given_palette.png", "P")
        assert (np.asarray(picture) == files[wanted]).all()
        assert (np.asarray(picture.convert("RGB")) == COLORS[wanted]).all()
    ((name, path),) = painter.download("colors")
    with Image.open(path) as picture:
        assert (name, picture.mode) == ("given_colors.png", "RGB")
        assert (np.asarray(picture) == COLORS[wanted]).all()
    ((name, path),) = painter.download("picture")
    with Image.open(path) as picture:
        assert (name, picture.format) == ("given_0.png", "PNG")
        assert (np.asarray(picture) == picture_of(wanted)).all()
    assert [name for name, _ in painter.download("both", 2)] == ["given_0.png", "given_palette.png"]


def test_a_picture_is_downloaded_of_the_layout_as_it_is_not_of_an_older_one(open_page):
    with painting(open_page, "--delay", 0.5) as (painter, address):
        painter.wait_for_picture()
        painter.drag((20, 20), (60, 40))
        ((_, path),) = painter.download("picture")
        with Image.open(path) as picture:
            assert (np.asarray(picture) == picture_of(painter.ids)).all()


WRITE = """async ([kind, ids, height, width, classes]) => {
  const { KINDS } = await import("/png.js");
  const png = await KINDS[kind](Uint8Array.from(ids), height, width, classes);
  return [...new Uint8Array(await png.arrayBuffer())];
}"""


def test_ids_above_255_are_16_bits_and_colours_that_tell_no_class_are_not_sent(painter):
    ids = np.random.default_rng(2).integers(0, 3, (5, 7))

    def written(kind: str, file_ids, colors) -> np.ndarray:
        classes = [{"id": n, "file_id": f, "color": c} for n, (f, c) in enumerate(zip(file_ids, colors, strict=True))]
        content = painter.page.evaluate(WRITE, [kind, ids.ravel().tolist(), 5, 7, classes])
        with Image.open(io.BytesIO(bytes(content))) as picture:
            assert picture.mode == ("I;16" if max(file_ids) > 255 else picture.mode)
            return picture.mode, np.asarray(picture)

    different, alike = [[1, 1, 1], [2, 2, 2], [3, 3, 3]], [[1, 1, 1], [2, 2, 2], [1, 1, 1]]
    for file_ids, colors, mode in (
        ([7, 300, 65535], different, "I;16"),
        ([7, 30, 255], different, "P"),
        ([7, 30, 255], alike, "L"),
    ):
        found, pixels = written("exact", file_ids, colors)
        assert found == mode and (pixels == np.array(file_ids)[ids]).all()


def test_a_link_brings_the_layout_with_it_and_other_links_are_told(server, open_page):
    page = open_page(server, permissions=["clipboard-read", "clipboard-write"])
    painter = Painter(page)
    wanted = start_ids(3, SIZE)
    painter.begin(wanted)
    page.locator("#downloads summary").click()
    page.locator("#link").click()
    page.wait_for_function("() => document.getElementById('said').innerText.includes('copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server}#") and len(link) < 1000
    other = Painter(open_page(link))
    assert (other.ids == wanted).all() and other.page.url == server
    other.press("Control+z")
    assert (other.ids == VOID).all()
    for wrong in (link[:-30], f"{server}#l1.AAAA", f"{server}#l1.%"):
        broken = Painter(open_page(wrong))
        assert broken.page.locator("#said").inner_text().startswith("the link holds no layout of this model: ")
        assert (broken.ids == VOID).all()


def test_starts_are_listed_as_they_come_into_view_and_their_photographs_shown_beside(painter):
    page = painter.page
    page.wait_for_function("() => document.querySelectorAll('#starts-list button').length >= 24")
    page.locator("#starts-list").evaluate("each => { each.scrollLeft = each.scrollWidth; }")
    page.wait_for_function("() => document.querySelectorAll('#starts-list button').length === 30")
    page.locator("#starts-list button").nth(29).click()
    page.wait_for_function("() => paint.desk.name === 'street 29'")
    assert (painter.ids == start_ids(29, SIZE)).all()
    assert not page.locator("#photo-pane").is_visible()
    page.locator("#photo-button").click()
    assert page.locator("#photo-pane").is_visible()
    page.wait_for_function("() => document.getElementById('photo').naturalWidth === 128")
    page.locator("#starts-list button").nth(28).click()  # which has none
    page.wait_for_function("() => paint.desk.name === 'street 28'")
    assert not page.locator("#photo-pane").is_visible() and page.locator("#photo-button").is_disabled()


# ---- the page as a whole


def test_the_page_asks_nobody_else_and_has_nothing_inline(server, open_page):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server)
    Painter(page).wait_for_picture()
    own = [url for url in asked if url.startswith(server)]
    assert asked == own and f"{server}encoder.js" in own
    names = {path.name for path in FOLDER.iterdir()} - {"index.html"}
    assert names <= {url.removeprefix(server) for url in own}  # no file is left over
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)|https?://", html)
    assert not [
        name for name in names if re.search(r"innerHTML|https?://(?!www\.w3\.org)", (FOLDER / name).read_text())
    ]


def test_controls_have_names_and_the_page_fits_small_and_upright_windows(server, open_page):
    for width, height in ((1280, 800), (820, 1180), (400, 800)):
        page = open_page(server, viewport={"width": width, "height": height})
        Painter(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select')].filter((each) => !each.hidden"
            " && !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).map((each) => each.outerHTML)"
        )
        assert nameless == []
        assert page.locator("#layout-stage").bounding_box()["width"] > 200


def test_painting_a_large_layout_keeps_up_with_the_screen_while_a_picture_takes_seconds(open_page):
    with painting(open_page, "--size", "256x512", "--delay", 2) as (painter, address):
        painter.size(64)
        took = painter.page.evaluate(DURING)
        assert np.median(took) < 1000 / 60
        assert (painter.ids == ROAD).sum() > 30_000
        assert counts(address)["computed"] <= 2


# Milliseconds that the strokes of each frame take together with what is drawn then, of a wide brush that moves quickly.
DURING = """async () => {
  const { desk } = paint;
  const found = [];
  desk.tool.press({ x: 0, y: 128 }, {});
  for (let step = 0; step < 60; step += 1) {
    const since = performance.now();
    desk.tool.move({ x: 256 + 250 * Math.cos(step / 4), y: 128 + 120 * Math.sin(step / 3) }, {});
    const stroke = performance.now() - since;
    await new Promise((resolve) => {
      requestAnimationFrame((began) => { // after the page's own
        found.push(stroke + performance.now() - began);
        resolve();
      });
    });
  }
  desk.tool.release({ x: 0, y: 0 });
  return found;
}"""
