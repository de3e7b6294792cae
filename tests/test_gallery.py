"""The gallery: its files, and what it does in a real browser, opened from the disk."""

import json
import re

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from crn_tf.errors import UserError
from crn_tf.pages.gallery import GalleryRow, check_gallery_folder, write_gallery

COLORS = {"sky": (0, 0, 255), "road": (90, 90, 90), "tree": (0, 200, 0)}


def plain(value, width=60, height=30):
    return np.full((height, width, 3), value, np.uint8)


def some_rows(count=6, methods=("ours", "<b>theirs</b>"), width=60):
    for number in range(count):
        yield GalleryRow(
            f"street_{number}",
            plain((0, 0, 255), width, width // 2),
            plain(number % 100, width, width // 2) if number != 1 else None,
            {method: [plain(40 * k + number % 100, width, width // 2) for k in range(2)] for method in methods},
            {methods[0]: {"l1": (number * 5) % 6 + 0.5, "ssim": float("nan") if number == 2 else 0.1}},
            ["sky", "road"] if number % 2 else ["sky", "tree"],
        )


def told(folder):
    """What the page is told."""
    text = (folder / "data.js").read_text("ascii")
    return json.loads(re.fullmatch(r"window\.GALLERY = (.*);\n", text)[1])


def test_what_the_page_is_told(tmp_path):
    page = write_gallery(tmp_path / "g", some_rows(), "A title", COLORS)
    assert page == tmp_path / "g/index.html"
    data = told(tmp_path / "g")
    assert data["title"] == "A title" and data["methods"] == ["ours", "<b>theirs</b>"]
    assert data["scores"] == [{"method": 0, "measure": "l1"}, {"method": 0, "measure": "ssim"}]
    assert data["rows"][2]["scores"] == [4.5, None] and data["rows"][1]["photograph"] is None
    assert data["classes"][2] == {"name": "tree", "color": "#00c800"}
    assert data["rows"][0]["classes"] == [0, 2]
    files = [picture["file"] for row in data["rows"] for some in row["pictures"] for picture in some]
    assert len(set(files)) == 24
    with Image.open(tmp_path / "g" / data["rows"][3]["pictures"][1][1]["file"]) as image:
        assert image.size == (60, 30) and image.getpixel((0, 0)) == (43, 43, 43)


def test_names_are_no_paths_and_pictures_carry_no_metadata(tmp_path):
    text, exif = PngImagePlugin.PngInfo(), Image.Exif()
    text.add_text("Author", "somebody")
    exif[0x013B] = "somebody"
    exif[0x0112] = 6  # turned
    Image.fromarray(plain(9)).save(tmp_path / "told.png", pnginfo=text)
    Image.fromarray(plain(9)).save(tmp_path / "plain.png")
    Image.fromarray(plain(9)).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(plain(9)).save(tmp_path / "other.bmp")
    files = [tmp_path / name for name in ("told.png", "plain.png", "turned.jpg", "other.bmp")]
    row = GalleryRow("../../evil", plain(1), files[0], {"../x": files, "__proto__": [plain(3)]}, {}, ["nowhere"])
    write_gallery(tmp_path / "g", [row], "", COLORS)
    (row,) = told(tmp_path / "g")["rows"]
    described = [row["layout"], row["photograph"], *(picture for some in row["pictures"] for picture in some)]
    assert all(re.fullmatch(r"pictures/00000-\d(-small)?\.(png|jpg)", each["file"]) for each in described)
    for each in described:
        with Image.open(tmp_path / "g" / each["file"]) as image:
            assert not set(image.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert image.size == (each["width"], each["height"])
    assert (described[4]["width"], described[4]["height"]) == (30, 60)
    assert (tmp_path / "g" / described[3]["file"]).read_bytes() == files[1].read_bytes()


def test_large_pictures_have_thumbnails_and_those_of_layouts_no_other_colours(tmp_path):
    layout = plain((0, 0, 255), 1000, 500)
    layout[:, ::3] = (90, 90, 90)
    write_gallery(tmp_path / "g", [GalleryRow("a", layout, layout, {})], "", COLORS)
    (row,) = told(tmp_path / "g")["rows"]
    with Image.open(tmp_path / "g" / row["layout"]["thumbnail"]) as image:
        assert image.size == (400, 200)
        assert {color for _, color in image.getcolors()} == {(0, 0, 255), (90, 90, 90)}
    assert row["photograph"]["thumbnail"].endswith(".jpg") and row["photograph"]["file"].endswith(".png")


def test_a_gallery_is_replaced_and_nothing_else_is(tmp_path):
    write_gallery(tmp_path / "g", some_rows(3), "one", COLORS)
    write_gallery(tmp_path / "g", some_rows(1), "two", COLORS)
    assert told(tmp_path / "g")["title"] == "two" and len(list((tmp_path / "g/pictures").iterdir())) == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("")
    for check in (check_gallery_folder, lambda folder: write_gallery(folder, some_rows(1), "", COLORS)):
        with pytest.raises(UserError, match=r"mine has other files in it \(thesis\.tex\)"):
            check(tmp_path / "mine")
    (tmp_path / "g/index.html").touch()
    broken = GalleryRow("a", tmp_path / "nowhere.png", None, {})
    with pytest.raises(UserError, match=r"no image .*nowhere\.png"):
        write_gallery(tmp_path / "g", [broken], "three", COLORS)
    assert told(tmp_path / "g")["title"] == "two" and sorted(path.name for path in tmp_path.iterdir()) == ["g", "mine"]


def order(page):
    return [text.removeprefix("street_") for text in page.locator(".row h2").all_text_contents()]


def test_rows_are_sorted_filtered_and_found(tmp_path, open_page):
    page = open_page(write_gallery(tmp_path / "g", some_rows(), "<i>A</i> title", COLORS).as_uri())
    assert page.title() == "<i>A</i> title" and page.locator("h1").inner_text() == "<i>A</i> title"
    assert order(page) == list("012345")
    page.get_by_label("Sort by").select_option(label="ours: l1")
    assert order(page) == list("054321")
    page.locator("#direction").click()
    assert order(page) == list("123450")
    page.get_by_label("Sort by").select_option(label="ours: ssim")
    assert order(page)[-1] == "2"  # which has none, whatever the direction
    page.locator("#direction").click()
    assert order(page)[-1] == "2"
    page.get_by_label("Sort by").select_option(label="name")
    page.get_by_role("button", name="tree (3)").click()
    assert order(page) == list("024") and page.locator("#count").inner_text() == "3 of 6 layouts"
    page.get_by_role("button", name="road (3)").click()
    assert order(page) == []
    page.get_by_role("button", name="tree (3)").click()
    page.get_by_label("Find").fill("_3")
    assert order(page) == ["3"]
    assert page.locator(".row figcaption strong").all_text_contents() == [
        "layout",
        "photograph",
        "ours",
        "<b>theirs</b>",
    ]


def test_the_large_view_compares_two_pictures_that_move_together(tmp_path, open_page):
    page = open_page(write_gallery(tmp_path / "g", some_rows(), "", COLORS).as_uri())
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert page.locator("#name").inner_text() == "street_1 (2 of 6)"

    def chosen():
        return [page.locator(f"#{side} option:checked").inner_text() for side in ("left", "right")]

    assert chosen() == ["layout", "<b>theirs</b> 1"]  # this one has no photograph
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Digit2")
    page.keyboard.press("3")
    assert page.locator("#name").inner_text() == "street_2 (3 of 6)" and chosen() == ["photograph", "ours 0"]
    assert page.locator("#right-label").inner_text() == "ours 0 · l1 4.5"
    page.keyboard.press(" ")
    assert chosen() == ["ours 0", "photograph"]

    def places():
        transform = "element => element.style.transform"
        return [page.locator(f"#{side}-picture").evaluate(transform) for side in ("left", "right")]

    whole = places()
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -500)
    page.wait_for_function("before => document.getElementById('left-picture').style.transform !== before", arg=whole[0])
    zoomed = places()
    assert zoomed[0] == zoomed[1] != whole[0]
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130, steps=3)
    page.mouse.up()
    panned = places()
    assert panned[0] == panned[1] != zoomed[0]
    line = page.locator("#line").bounding_box()["x"]
    page.mouse.move(line, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(line - 200, box["y"] + 300, steps=3)
    page.mouse.up()
    assert abs(page.locator("#line").bounding_box()["x"] - (line - 200)) < 3 and places() == panned
    page.keyboard.press("0")
    assert places() == whole
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    page.locator(".tile").nth(3).click()
    assert page.locator("#viewer").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_a_bright_and_on_a_dark_page(tmp_path, open_page, scheme):
    page = open_page(write_gallery(tmp_path / "g", some_rows(1), "", COLORS).as_uri(), color_scheme=scheme)
    page.keyboard.press("?")
    for selector in ("h1", ".row h2", "figcaption", "#keys td", ".class"):
        ink, paper = page.locator(selector).first.evaluate(
            """element => {
                let behind = element;
                const clear = (each) => getComputedStyle(each).backgroundColor === "rgba(0, 0, 0, 0)";
                while (behind && clear(behind)) behind = behind.parentElement;
                return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
            }"""
        )
        assert contrast(ink, paper) > 4.5, selector


def contrast(one, other):
    """As the Web Content Accessibility Guidelines have it."""

    def luminance(color):
        values = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_five_hundred_rows_are_there_and_only_what_is_seen_is_loaded(tmp_path, open_page):
    page = open_page("about:blank")
    loaded = []
    page.on("request", lambda request: loaded.append(request.url) if "pictures/" in request.url else None)
    page.goto(write_gallery(tmp_path / "g", some_rows(500, width=16), "", COLORS).as_uri())
    assert page.locator(".row").count() == 500
    assert 0 < len(loaded) < 1000  # of 2999
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('.row:last-child img').complete")
    page.get_by_label("Find").fill("street_499")
    assert order(page) == ["499"]
