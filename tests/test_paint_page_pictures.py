"""Pictures that follow the brush, and what is kept when the server is away."""

import contextlib
import re

import numpy as np

from tests.paint_pages import CAR, ROAD, VOID, Painter, painting
from tests.paint_stand_in import counts, picture_of, stand_in


def test_a_burst_of_200_strokes_asks_for_few_pictures_and_ends_with_the_right_one(open_page):
    with painting(open_page, "--delay", 0.25) as painter:
        painter.wait_for_picture()
        before = counts(painter.address)
        started = painter.page.evaluate("performance.now()")
        painter.page.evaluate(STROKES, 200)
        seconds = (painter.page.evaluate("performance.now()") - started) / 1000
        shown = painter.wait_for_picture()
        ids = painter.ids
        assert len(np.unique(ids)) > 5 and (shown == picture_of(ids)).all()
        computed = counts(painter.address)["computed"] - before["computed"]
        assert 1 <= computed <= seconds / 0.25 + 3
        assert counts(painter.address)["requests"] - before["requests"] <= computed + 2


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
    with painting(open_page, "--delay", 0.8) as painter:
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
    with painting(open_page, "--images", 3) as painter:
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
        told = counts(painter.address)
        assert told["requests"] > told["computed"]


def test_models_side_by_side_and_the_picture_over_the_layout(open_page):
    with painting(open_page, "--models", "model", "other") as painter:
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
    with painting(open_page, "--models", "model", "draft", "--delay", 0.3) as painter:
        painter.wait_for_picture()
        before = counts(painter.address)
        assert painter.page.locator(".pane.picture").count() == 1
        mouse = painter.page.mouse
        mouse.move(*painter.at(20, 20))
        mouse.down()
        for step in range(12):
            mouse.move(*painter.at(20 + 5 * step, 20 + 2 * step))
            painter.page.wait_for_timeout(30)
        painter.page.wait_for_function("() => document.querySelector('.picture .mark').innerText === 'draft'")
        assert counts(painter.address)["model"] == before["model"]
        mouse.up()
        shown = painter.wait_for_picture()
        assert (shown == picture_of(painter.ids)).all()
        assert counts(painter.address)["model"] == before["model"] + 1
        assert counts(painter.address)["draft"] > before.get("draft", 0)
        assert painter.page.locator(".picture .mark").inner_text() == ""


def test_a_layout_that_the_server_refuses_is_one_line_and_painting_goes_on(open_page):
    with painting(open_page, "--refuse", CAR) as painter:
        painter.choose(CAR)
        painter.drag((20, 20), (60, 20))
        painter.page.wait_for_function("() => document.querySelector('.why').innerText === 'the layout has car'")
        asked = counts(painter.address)["requests"]
        painter.page.wait_for_timeout(300)
        assert counts(painter.address)["requests"] == asked  # once for a layout
        painter.press("Control+z")
        assert (painter.wait_for_picture() == picture_of(painter.ids)).all()
        assert not painter.page.locator(".why").is_visible()
    open_page.expected.append("status of 400")


def test_a_server_killed_and_started_again_in_mid_painting_loses_nothing(open_page):
    open_page.expected.append("net::ERR_")  # which one depends on how far a request was
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


def begin_street(painter: Painter, name: str) -> None:
    painter.page.locator(f"#starts-list button[title='start from {name}']").click()
    painter.page.wait_for_function("name => paint.desk.name === name", arg=name)


def test_pictures_photographs_and_starts_of_an_earlier_run_of_the_server_are_old(open_page):
    open_page.expected.append("net::ERR_")
    with contextlib.ExitStack() as first:
        address, _ = first.enter_context(stand_in())
        painter = Painter(open_page(address))
        page, photo = painter.page, painter.page.locator("#photo-button")
        begin_street(painter, "street 1")
        photo.click()
        page.wait_for_function("() => document.getElementById('photo').naturalWidth === 128")
        before = painter.wait_for_picture()
        first.close()
        with stand_in("--first-start", 100, port=int(re.search(r":(\d+)/", address)[1])):
            page.evaluate("dispatchEvent(new Event('focus'))")  # somebody comes back to the page; nothing is painted
            page.wait_for_selector("#starts-list button[title='start from street 100']")
            page.wait_for_function("() => paint.pictures.sent > 1")
            assert (painter.wait_for_picture() == before).all()
            assert counts(address)["computed"] == 1  # asked for anew
            assert photo.is_disabled() and painter.state("name") == "street 1"
            page.wait_for_function("() => document.querySelector('#starts-list img').naturalWidth > 0")
            assert counts(address)["thumbnails"] > 0
            begin_street(painter, "street 101")
            page.wait_for_function("() => document.getElementById('photo').naturalWidth === 128")
            assert counts(address)["photos"] == 1
            painter.press("Control+z")
            assert photo.is_disabled()
            page.close()


def test_a_connection_that_broke_off_leaves_the_pictures_as_they_are(open_page):
    open_page.expected.append("net::ERR_")
    with painting(open_page) as painter:
        painter.wait_for_picture()
        painter.page.context.set_offline(True)
        painter.page.evaluate("dispatchEvent(new Event('focus'))")
        painter.page.wait_for_selector("#away:not([hidden])")
        painter.page.context.set_offline(False)
        painter.page.wait_for_selector("#away", state="hidden")
        painter.wait_for_picture()
        assert counts(painter.address)["requests"] == 1


def test_two_browsers_at_once_get_the_pictures_of_their_own_layouts(open_page):
    with painting(open_page, "--delay", 0.1) as one:
        two = Painter(open_page(one.address))
        two.choose(CAR)
        for row in (10, 30, 50):
            one.drag((10, row), (60, row))
            two.drag((60, row), (110, row))
        for each, class_id in ((one, ROAD), (two, CAR)):
            assert set(np.unique(each.ids)) == {class_id, VOID}
            assert (each.wait_for_picture() == picture_of(each.ids)).all()
        two.page.close()


def kept(painter: Painter) -> None:
    """Waits until what is painted is written."""
    painter.page.wait_for_timeout(300)


def test_each_tab_keeps_its_own_layout_and_a_new_one_begins_with_the_newest(paint_server, open_page):
    one = Painter(open_page(paint_server))
    one.drag((10, 10), (60, 10))
    kept(one)
    context = one.page.context

    def opened(address: str = paint_server) -> Painter:
        page = context.new_page()
        page.goto(address)
        return Painter(page)

    two = opened()
    assert (two.ids == one.ids).all()
    two.drag((10, 50), (20, 50))
    kept(two)
    three = opened()
    assert (three.ids == two.ids).all()
    expected = [each.ids for each in (one, two)]
    for each, ids in zip((one, two), expected, strict=True):
        each.page.bring_to_front()
        each.page.reload()
        assert (Painter(each.page).ids == ids).all()
    with context.expect_page() as copied:  # which has a copy of the session's storage
        one.page.evaluate("() => { open('/'); }")
    copy = Painter(copied.value)
    assert (copy.ids == expected[0]).all()
    copy.drag((10, 30), (60, 30))
    kept(copy)
    one.page.reload()
    assert (Painter(one.page).ids == expected[0]).all()


def test_the_name_and_the_photograph_are_kept_with_the_layout(painter):
    painter.page.locator("#starts-list button").nth(1).click()
    painter.page.wait_for_function("() => paint.desk.name === 'street 1'")
    kept(painter)
    painter.page.reload()
    again = Painter(painter.page)
    assert again.state("name") == "street 1" and again.page.locator("#photo-button").is_enabled()


def test_a_server_that_comes_back_with_another_model_is_told(open_page):
    open_page.expected.append("net::ERR_")
    with contextlib.ExitStack() as first:
        address, _ = first.enter_context(stand_in())
        painter = Painter(open_page(address))
        first.close()
        painter.drag((10, 10), (60, 10))
        painter.page.wait_for_selector("#away:not([hidden])")
        with stand_in("--size", "32x32", port=int(re.search(r":(\d+)/", address)[1])):
            painter.page.wait_for_selector("#reload:not([hidden])")
            said = painter.page.locator("#away-said").inner_text()
            assert said.startswith("The server is back with a model of 32 x 32 pixels instead of 64 x 128.")
            assert (painter.ids[10] == ROAD).any()
            painter.page.locator("#reload").click()
            assert Painter(painter.page).shape == (32, 32)
            painter.page.close()


def test_a_browser_that_keeps_nothing_says_so_and_paints(paint_server, open_page):
    page = open_page("about:blank")
    page.add_init_script("indexedDB.open = () => { throw new Error('not allowed here'); }")
    page.goto(paint_server)
    painter = Painter(page)
    assert page.locator("#said").inner_text().startswith("this browser keeps nothing for later (not allowed here)")
    painter.drag((10, 10), (60, 10))
    assert (painter.wait_for_picture() == picture_of(painter.ids)).all()
