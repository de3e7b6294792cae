"""The page of `crn paint` in a real browser, used with mouse and keys, for its tests."""

import base64
import contextlib
from pathlib import Path

import numpy as np

from tests.paint_stand_in import CLASSES, stand_in

SIZE = HEIGHT, WIDTH = 64, 128
VOID = CLASSES.void
ROAD, SIDEWALK, BUILDING, SKY, CAR = (CLASSES.names.index(n) for n in ("road", "sidewalk", "building", "sky", "car"))


# Bytes as text, which travels quicker than a list of numbers.
BASE64 = """(bytes) => {
  let text = "";
  for (let from = 0; from < bytes.length; from += 8192) {
    text += String.fromCharCode(...bytes.subarray(from, from + 8192));
  }
  return btoa(text);
}"""


class Painter:
    """A page, used with mouse and keys. Places are the layout's pixels, found where the browser shows them."""

    def __init__(self, page) -> None:
        self.page = page
        page.wait_for_selector("body.ready")
        page.wait_for_function(
            "() => document.querySelector('#starts-list button')"  # listed when they come into view
            " || document.getElementById('starts').getBoundingClientRect().top > innerHeight"
        )
        page.wait_for_function("() => paint.view.room.width > 1")
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

    def pointer(self, kind: str, *places: tuple[float, float], **what: object) -> None:
        """Events as a browser makes them of pens and hands: `pointer("down", (x, y), pointerType="pen")`."""
        stage = "document.getElementById('layout-stage')"
        self.page.evaluate(f"{stage}.setPointerCapture = () => {{}}")  # there is no such pointer
        for place in places:
            x, y = self.at(*place)
            options = {"pointerId": 1, "button": 0, "clientX": x, "clientY": y, "bubbles": True, "cancelable": True}
            self.page.evaluate(
                f"([kind, options]) => {stage}.dispatchEvent(new PointerEvent(kind, options))",
                [f"pointer{kind}", {**options, **what}],
            )

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

    def download(self, what: str, count: int = 1) -> list[tuple[str, Path]]:
        """Names and contents of what comes, in the order of the names."""
        self.page.locator("#downloads summary").click()
        found = []

        def take(download) -> None:
            found.append(download)

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
    """A page before a server of its own, whose `address` it knows. The page is closed first: it asks until then."""
    with stand_in(*options, port=port) as (address, _):
        painter = Painter(open_page(address))
        painter.address = address
        yield painter
        painter.page.close()


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
