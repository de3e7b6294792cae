"""Keys, view, fingers, and the page for painting as a whole."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.paint_pages import CAR, ROAD, SIZE, VOID, Painter, painting, stamped
from tests.paint_stand_in import COLORS, start_ids

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


def test_the_page_asks_nobody_else_and_has_nothing_inline(paint_server, open_page):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(paint_server)
    Painter(page).wait_for_picture()
    own = [url for url in asked if url.startswith(paint_server)]
    assert [url for url in asked if not url.startswith("blob:")] == own  # blobs are the page's own thumbnails
    assert f"{paint_server}encoder.js" in own
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


def test_painting_a_large_layout_draws_little_in_each_frame_while_a_picture_takes_seconds(open_page):
    with painting(open_page, "--size", "256x512", "--delay", 2) as painter:
        painter.size(64)
        found = painter.page.evaluate(DURING)
        assert len(found) == 60 and max(each["draws"] for each in found) == 1  # of several moves
        assert all(each["pixels"] <= each["moved"] for each in found)
        assert (painter.ids == ROAD).sum() > 30_000
        assert painter.page.evaluate("paint.pictures.sent") <= 2


# How often and how much of the layout is drawn in each frame, of a wide brush that moves quickly, and the largest box
# around what it has painted meanwhile.
DURING = """async () => {
  const { desk } = paint;
  const context = document.getElementById("layout-canvas").getContext("2d", { alpha: false });
  const put = context.putImageData;
  let now = null;
  context.putImageData = (...all) => {
    now.draws += 1;
    now.pixels += all[5] * all[6];
    return put.apply(context, all);
  };
  const found = [];
  let last = { x: 256, y: 128 };
  now = { draws: 0, pixels: 0 };
  desk.tool.press(last, {});
  for (let frame = 0; frame < 60; frame += 1) {
    const box = [last];
    for (let move = 0; move < 4; move += 1) {
      const step = frame + move / 4;
      last = { x: 256 + 150 * Math.sin(step / 4), y: 128 + 80 * Math.sin(step / 3) };
      box.push(last);
      desk.tool.move(last, {});
    }
    await new Promise(requestAnimationFrame); // after the page's own
    const reach = (axis) => Math.max(...box.map((place) => place[axis])) - Math.min(...box.map((place) => place[axis]));
    found.push({ ...now, moved: (reach("x") + 66) * (reach("y") + 66) });
    now = { draws: 0, pixels: 0 };
  }
  desk.tool.release(last);
  return found;
}"""


def test_the_keyboards_place_is_seen_with_every_tool(painter):
    def crosses() -> list[str]:
        return painter.page.locator("#layout-stage .overlay .line:last-child").evaluate_all(
            "each => each.map((one) => one.getAttribute('d'))"
        )

    for tool in ("brush", "rectangle", "polygon", "fill", "eyedropper"):
        painter.tool(tool)
        painter.stage.focus()
        painter.press("ArrowRight")
        (cross,) = crosses()
        assert cross.startswith("M")
        painter.page.mouse.move(*painter.at(20, 20))  # which has a cursor
        painter.page.mouse.move(*painter.at(21, 20))
        assert crosses() == [""]
        painter.page.mouse.move(5, 5)


def test_keys_of_buttons_menus_and_other_keyboards(painter):
    page = painter.page
    painter.press("Tab")
    page.locator("[data-tool=line]").focus()
    page.mouse.move(*painter.at(20, 20))
    painter.press(" ")  # the button's, though the mouse rests over the layout
    assert painter.state("toolName") == "line"
    page.locator("[data-tool=brush]").click()  # by mouse: space moves
    before = page.evaluate("paint.view.left")
    page.mouse.move(*painter.at(20, 20))
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(*painter.at(50, 20))
    page.mouse.up()
    page.keyboard.up(" ")
    assert page.evaluate("paint.view.left") > before and (painter.ids == VOID).all()
    size = painter.state("brush.size")
    for other in ({"altKey": True}, {"altKey": True, "ctrlKey": True}):  # Option, AltGr
        page.evaluate(
            "what => document.body.dispatchEvent(new KeyboardEvent('keydown', { key: ']', bubbles: true, ...what }))",
            other,
        )
        size += 1
        assert painter.state("brush.size") == size
    menu = page.locator("#downloads")
    menu.locator("summary").click()
    assert menu.evaluate("each => each.open")
    painter.press("Escape")
    assert not menu.evaluate("each => each.open")
    assert page.evaluate("document.activeElement.matches('#downloads summary')")


def test_what_is_said_is_not_said_again_when_something_else_changes(painter):
    painter.page.evaluate("paint.desk.say('a line', [{ name: 'one', act() {} }])")
    painter.page.evaluate("document.querySelector('#said button').focus()")
    painter.page.evaluate("paint.desk.setSize(5)")
    assert painter.page.evaluate("document.activeElement.textContent") == "one"
    assert painter.page.locator("#said").inner_text() == "onea line"
    assert painter.page.locator(".mark[role]").count() == 0  # "older" at every stroke is not to be read out
