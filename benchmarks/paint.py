"""How long from a layout to its picture over HTTP? Layouts as the page sends them, to `crn paint` in its own process.

python benchmarks/paint.py                                     # a model of the demo's shape, untrained
python benchmarks/paint.py --browser                           # on the page, from the mouse to the picture shown
python benchmarks/paint.py --weights runs/NAME --strokes 100 --json paint.json
"""

import http.client
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import tyro
from PIL import Image
from tyro.conf import arg

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import WORKER
from crn_tf.command_line import INSTEAD, Switch, require_at_least_one
from crn_tf.errors import UserError, run_command
from crn_tf.files import write_text
from crn_tf.starting import start_tensorflow

FIRST = 5  # strokes that do not count
LIMIT = 0.150  # seconds that feel like at once


@dataclass(frozen=True)
class PaintBenchmark:
    """Measure the time from a layout to its picture: encoding the layout, the request, decoding."""

    weights: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("an untrained one"))] = None
    """The model, as `crn paint` takes it."""
    strokes: int = 50
    """To measure."""
    browser: Switch = False
    """Paint with the mouse on the page, in chromium without a screen, and wait for the picture that it shows."""
    json: Path | None = None
    """File for the results."""


def main() -> None:
    """Measure, print a line and JSON."""
    if sys.argv[1:2] == [WORKER]:
        make_model(Path(sys.argv[2]))
        return
    options = tyro.cli(PaintBenchmark)
    require_at_least_one(options, "strokes")
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None:
            weights = Path(folder) / "demo.weights.h5"
            subprocess.run([sys.executable, __file__, WORKER, str(weights)], check=True)
        result = measure(weights, options.strokes, options.browser)
    print("{what}, {size}, {parameters:,} parameters: median {median:.0f} ms, nine of ten below {p90:.0f}, "
          "slowest {slowest:.0f}; synthesis alone {synthesis:.0f} ms".format_map(result))  # fmt: skip
    print(f"on {result['device']}; {'below' if result['median'] < 1000 * LIMIT else 'NOT below'} {1000 * LIMIT:.0f} ms")
    print(json.dumps(result))
    if options.json:
        write_text(options.json, json.dumps(result) + "\n")


def make_model(path: Path) -> None:
    """Write a model of the demo's shape. Speed does not depend on the values of weights."""
    from crn_tf.data.toy import ToyDataSet
    from crn_tf.training.flags import DEMO

    settings = DEMO.resolved()
    start_tensorflow()
    from crn_tf.model.description import ModelDescription
    from crn_tf.saved.checkpoints import save_weights

    shape = settings.size[0], settings.base_grid, settings.images, settings.width
    description = ModelDescription(*shape, ToyDataSet.classes)
    save_weights(path, description.build(), description)


def measure(weights: Path, strokes: int, browser: bool) -> dict:
    """Start a server, paint strokes on a layout, and time each.

    Args:
        weights: Of the model.
        strokes: How many.
        browser: Paint on the page, instead of sending layouts.

    Raises:
        UserError: The server does not start, or answers with an error.
    """
    command = [sys.executable, "-m", "crn_tf.paint", "--weights", str(weights), "--port", "0", "--no-browser"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            lines = []
            for line in server.stdout:
                lines.append(line)
                if line.startswith("serving "):
                    break
            if not lines or not lines[-1].startswith("serving "):
                raise UserError((server.stderr.read().strip().splitlines() or ["the server died"])[-1])
            address = lines[-1].split()[1]
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=600)
            about = json.loads(answer(connection, "GET", "/api/model")[0])
            if browser:
                times = on_the_page(address, FIRST + strokes)[FIRST:]
            else:
                times = [stroke(connection, about, layout) for layout in painting(about, FIRST + strokes)][FIRST:]
        finally:
            server.kill()
    milliseconds = sorted(1000 * seconds for seconds, _ in times)
    return {
        "what": "mouse to picture on the page" if browser else "layout to picture over HTTP",
        "size": "{}x{}".format(*about["size"]),
        "parameters": about["models"][0]["parameters"],
        "strokes": strokes,
        "median": statistics.median(milliseconds),
        "p90": milliseconds[int(0.9 * (len(milliseconds) - 1))],
        "slowest": milliseconds[-1],
        "synthesis": 1000 * statistics.median(seconds for _, seconds in times),
        "device": lines[0].removeprefix("on ").strip(),
    }


# From the last event of a stroke, when the browser got it, to the frame after the one in which its picture was drawn.
UNTIL_SHOWN = """() => { window.shown = new Promise((resolve) => addEventListener("pointerup", ({ timeStamp }) => {
  const look = () => {
    const picture = paint.pictures.shown(paint.pictures.large[0]);
    if (paint.desk.layout.editing || picture?.revision !== paint.layout.revision) return requestAnimationFrame(look);
    requestAnimationFrame(() => resolve([(performance.now() - timeStamp) / 1000, picture.seconds]));
  };
  requestAnimationFrame(look);
}, { capture: true, once: true })); }"""
AT_REST = """() => { const picture = paint.pictures.shown(paint.pictures.large[0]);
  return picture?.revision === paint.layout.revision && paint.pictures.lanes.every(({ asked }) => asked === null); }"""


def on_the_page(address: str, strokes: int) -> list[tuple[float, float]]:
    """Paint strokes with the mouse: seconds from the release to the picture on the screen, and those of the synthesis.

    Raises:
        UserError: There is no browser, or nothing that drives it.
    """
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        raise UserError("--browser needs chromium on the PATH, and playwright: requirements-dev.txt has it")
    chance, times = np.random.default_rng(0), []
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        page.goto(address)
        page.wait_for_selector("body.ready")
        box = page.locator("#layout-canvas").bounding_box()
        for number in range(strokes):
            page.wait_for_function(AT_REST)
            page.wait_for_timeout(300)  # and what comes at rest
            page.wait_for_function(AT_REST)
            page.evaluate(f"paint.desk.choose({number % 2})")
            places = box["x"] + box["width"] * chance.random(6), box["y"] + box["height"] * chance.random(6)
            page.mouse.move(places[0][0], places[1][0])
            page.mouse.down()
            for x, y in zip(*places, strict=True):
                page.mouse.move(x, y, steps=5)
            page.evaluate(UNTIL_SHOWN)
            page.mouse.up()
            times.append(tuple(page.evaluate("() => window.shown")))
    return times


def painting(about: dict, count: int) -> list[np.ndarray]:
    """A layout of stripes, and a round brush's stroke more each time: uint8 [H, W] of places in the list of classes."""
    height, width = about["size"]
    chance, classes = np.random.default_rng(0), len(about["classes"])
    layout = (np.arange(height) * classes // height).astype(np.uint8)[:, None].repeat(width, 1)
    rows, columns = np.mgrid[:height, :width]
    layouts = []
    for _ in range(count):
        y, x = chance.integers(height), chance.integers(width)
        layout = np.where((rows - y) ** 2 + (columns - x) ** 2 < (height // 8) ** 2, chance.integers(classes), layout)
        layouts.append(layout.astype(np.uint8))
    return layouts


def stroke(connection: http.client.HTTPConnection, about: dict, layout: np.ndarray) -> tuple[float, float]:
    """Seconds until there is a layout's picture, and those of them that the synthesis took."""
    ids = np.array([each["file_id"] for each in about["classes"]], np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[ids] = [each["color"] for each in about["classes"]]
    start = time.perf_counter()
    image, file = Image.fromarray(ids[layout], "P"), io.BytesIO()
    image.putpalette(palette.tobytes())
    image.save(file, "PNG")
    picture, took = answer(connection, "POST", "/api/synthesize?labels=ids&format=jpeg&client=me", file.getvalue())
    np.asarray(Image.open(io.BytesIO(picture)))
    return time.perf_counter() - start, float(took)


def answer(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple:
    """What is answered, and the seconds of the computation, if there was one.

    Raises:
        UserError: It is an error.
    """
    connection.request(method, path, body)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise UserError(f"{path}: {json.loads(content)['error']}")
    return content, response.headers.get("x-seconds", "0")


if __name__ == "__main__":
    run_command(main)
