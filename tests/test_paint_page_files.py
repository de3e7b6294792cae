"""Layout files, starts and links to the page for painting, and downloads from it."""

import io

import numpy as np
from PIL import Image

from tests.paint_pages import SIZE, VOID, Painter, painting
from tests.paint_stand_in import CLASSES, COLORS, LARGEST, counts, picture_of, start_ids

DROP = """([name, bytes]) => {
  const carried = new DataTransfer();
  const content = typeof bytes === "number" ? new Uint8Array(bytes) : Uint8Array.from(bytes);
  carried.items.add(new File([content], name, { type: "image/png" }));
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
    assert painter.page.locator("#said").inner_text().endswith("the stand-in read 128x256 as auto")
    assert not painter.page.locator("body.dropping").count()
    other = start_ids(6, SIZE)
    files = np.array(CLASSES.file_ids, np.uint8)
    payload = {"name": "ids.png", "mimeType": "image/png", "buffer": png(files[other])}
    painter.page.locator("#file").set_input_files(payload)
    painter.page.wait_for_function("() => paint.desk.name === 'ids'")
    assert (painter.ids == other).all()
    painter.press("Control+z")
    assert (painter.ids == wanted).all()


def test_a_file_that_can_be_read_in_two_ways_is_read_as_its_owner_says(open_page):
    open_page.expected.append("status of 400")
    wanted = start_ids(5, SIZE)
    content = png(COLORS[wanted])
    with painting(open_page, "--ambiguous", len(content)) as painter:
        painter.page.evaluate(DROP, ["street.png", list(content)])
        answers = painter.page.locator("#said button")
        answers.first.wait_for()
        assert answers.all_inner_texts() == ["labels=labelids", "labels=trainids"]
        answers.nth(1).click()
        painter.page.wait_for_function("() => paint.layout.canUndo")
        assert (painter.ids == wanted).all() and answers.count() == 0
        assert painter.page.locator("#said").inner_text().endswith("as trainids")
        painter.page.evaluate(DROP, ["large.png", LARGEST + 1])
        assert painter.page.locator("#said").inner_text() == "large.png has 1,048,577 bytes; expected at most 1,048,576"


def test_a_file_that_is_no_layout_is_one_line(painter, open_page):
    painter.page.evaluate(DROP, ["notes.png", [1, 2, 3]])
    painter.page.wait_for_function("() => document.getElementById('said').innerText.includes('is no layout')")
    assert painter.page.locator("#said").inner_text().startswith("notes.png: ")
    assert not painter.state("layout.canUndo")
    open_page.expected.append("status of 400")


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
    with painting(open_page, "--delay", 0.5) as painter:
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


def test_a_link_brings_the_layout_with_it_and_other_links_are_told(paint_server, open_page):
    page = open_page(paint_server, permissions=["clipboard-read", "clipboard-write"])
    painter = Painter(page)
    wanted = start_ids(3, SIZE)
    painter.begin(wanted)
    page.locator("#downloads summary").click()
    page.locator("#link").click()
    page.wait_for_function("() => document.getElementById('said').innerText.includes('copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{paint_server}#") and len(link) < 1000
    other = Painter(open_page(link))
    assert (other.ids == wanted).all() and other.page.evaluate("location.href") == paint_server
    other.press("Control+z")
    assert (other.ids == VOID).all()
    form, size, names, packed = link.removeprefix(f"{paint_server}#").split(".")
    assert (form, size) == ("l2", "64x128")
    for wrong, why in (
        (link[:-30], ""),
        (f"{paint_server}#l1.%", "it is damaged, or of another version"),
        (f"{paint_server}#{form}.128x64.{names}.{packed}", "it has 128x64 pixels; expected 64x128"),
        (f"{paint_server}#{form}.{size}.{'0' * 8}.{packed}", "it is of other classes"),
    ):
        broken = Painter(open_page(wrong))
        assert broken.page.locator("#said").inner_text().startswith(f"the link holds no layout of this model: {why}")
        assert (broken.ids == VOID).all()


def link_of(painter: Painter) -> str:
    painter.page.locator("#downloads summary").click()
    painter.page.locator("#link").click()
    painter.page.wait_for_function("() => location.hash")
    return painter.page.evaluate("location.href")


NO_CLIPBOARD = "navigator.clipboard.writeText = async () => { throw new Error('not here'); }"


def test_a_links_layout_is_kept_and_the_link_goes_when_something_is_painted(paint_server, open_page):
    page = open_page("about:blank")
    page.add_init_script(NO_CLIPBOARD)
    page.goto(paint_server)
    painter = Painter(page)
    painter.begin(start_ids(3, SIZE))
    link = link_of(painter)
    painter.drag((10, 10), (60, 10))
    assert page.evaluate("location.href") == paint_server  # else a reload would undo that
    other = Painter(open_page(link))
    other.page.wait_for_timeout(300)  # until it is written
    other.page.reload()
    other = Painter(other.page)
    assert (other.ids == start_ids(3, SIZE)).all()
    other.press("Control+z")
    other.page.goto(link)  # in the open page: only what is behind the # changes
    other.page.wait_for_function("() => paint.desk.said.startsWith('the layout of the link')")
    assert (other.ids == start_ids(3, SIZE)).all() and other.page.evaluate("location.href") == paint_server


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


DROP_MANY = """(folder) => {
  const carried = new DataTransfer();
  for (const name of folder ? ["a folder"] : ["one.png", "two.png"]) carried.items.add(new File(["x"], name));
  const event = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
  if (folder) DataTransferItem.prototype.webkitGetAsEntry = () => ({ isDirectory: true });
  document.body.dispatchEvent(event);
}"""


def test_a_photograph_that_does_not_come_is_a_line_and_is_asked_for_again(painter, open_page):
    open_page.expected.append("status of 503")
    refused = []

    def refuse(route) -> None:
        refused.append(route.request.url)
        route.fulfill(status=503, body='{"error": "too many clients wait"}')

    painter.page.route("**/photo", refuse)
    painter.page.locator("#starts-list button").nth(1).click()
    painter.page.wait_for_function("() => paint.desk.name === 'street 1'")
    photo = painter.page.locator("#photo-button")
    photo.click()
    painter.page.wait_for_function("() => paint.desk.said === 'too many clients wait'")
    painter.size(5)  # what else changes does not ask again
    assert len(refused) == 1
    painter.page.unroute("**/photo")
    photo.click()
    photo.click()
    painter.page.wait_for_function("() => document.getElementById('photo').naturalWidth === 128")


def test_folders_and_several_files_are_told(painter):
    said = painter.page.locator("#said")
    painter.page.evaluate(DROP_MANY, False)
    assert said.inner_text() == "2 files were dropped; expected one layout file"
    painter.page.evaluate(DROP_MANY, True)
    assert said.inner_text() == "a folder is a folder; expected a layout file"
    assert (painter.ids == VOID).all()


def test_a_picture_is_saved_though_the_layout_cannot_be(painter):
    painter.drag((10, 10), (60, 10))
    painter.wait_for_picture()
    painter.page.evaluate("() => { paint.desk.classes[0].file_id = 300; }")  # a palette ends at 255
    ((name, _),) = painter.download("both")
    assert name == "painting_0.png"
    painter.page.wait_for_function("() => paint.desk.said.startsWith('no palette: ')")


def test_thumbnails_that_a_busy_server_refuses_come_later(open_page):
    open_page.expected.append("status of 503")
    with painting(open_page, "--busy", 3) as painter:
        painter.page.wait_for_function(
            "() => [...document.querySelectorAll('#starts-list img')].slice(0, 5).every((one) => one.naturalWidth > 0)"
        )
        assert counts(painter.address)["thumbnails"] > 3
