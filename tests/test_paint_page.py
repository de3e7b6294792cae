"""Keys, view, fingers, and the page for painting as a whole."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.paint_pages import CAR, ROAD, SIZE, VOID, Painter, painting, stamped
from tests.paint_stand_in import COLORS, counts, start_ids

FOLDER = ROOT / "crn_tf/pages/static/paint"


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


def test_one_finger_paints_and_two_zoom_and_move(paint_server, open_page):
    page = open_page(paint_server, has_touch=True)
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


def test_the_page_asks_nobody_else_and_has_nothing_inline(paint_server, open_page):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(paint_server)
    Painter(page).wait_for_picture()
    own = [url for url in asked if url.startswith(paint_server)]
    assert asked == own and f"{paint_server}encoder.js" in own
    names = {path.name for path in FOLDER.iterdir()} - {"index.html"}
    assert names <= {url.removeprefix(paint_server) for url in own}  # no file is left over
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)|https?://", html)
    assert not [
        name for name in names if re.search(r"innerHTML|https?://(?!www\.w3\.org)", (FOLDER / name).read_text())
    ]


def test_controls_have_names_and_the_page_fits_small_and_upright_windows(paint_server, open_page):
    for width, height in ((1280, 800), (820, 1180), (400, 800)):
        page = open_page(paint_server, viewport={"width": width, "height": height})
        Painter(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select')].filter((each) => !each.hidden"
            " && !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).map((each) => each.outerHTML)"
        )
        assert nameless == []
        assert page.locator("#layout-stage").bounding_box()["width"] > 200


def test_painting_a_large_layout_keeps_up_with_the_screen_while_a_picture_takes_seconds(open_page):
    with painting(open_page, "--size", "256x512", "--delay", 2) as painter:
        painter.size(64)
        took = painter.page.evaluate(DURING)
        assert np.median(took) < 1000 / 60
        assert (painter.ids == ROAD).sum() > 30_000
        assert counts(painter.address)["computed"] <= 2


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
