"""A small server that paints no pictures, for tests of the page that `crn paint` serves: quick, and the same each time.

A picture is the layout's colours; another image's channels are turned by its number, and another model's colours are
inverted. `python -m tests.paint_stand_in --delay 0.5` serves it for a look by hand.
"""

import argparse
import asyncio
import contextlib
import io
import json
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.pages.local_server import addresses, guarded, listen, page_address, serve, static_routes

ROOT = Path(__file__).parents[1]  # not from conftest.py, whose libraries take a second in each server
CLASSES = CITYSCAPES  # ids in its files are not those in memory
STARTS = 30
LARGEST = 1 << 20  # bytes of a file
COLORS = np.array([*CLASSES.palette, (0, 0, 0)], np.uint8)


def picture_of(ids: np.ndarray, image: int = 0, model: str = "model") -> np.ndarray:
    """What the server answers for class ids [H, W]: uint8 [H, W, 3]."""
    pixels = np.roll(COLORS[ids], image, axis=-1)
    return pixels if model == "model" else 255 - pixels


class StandIn:
    """What the page asks for."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self._settings = settings
        self._size = settings.size
        self._worker = asyncio.Lock()
        self._waiting: dict[str, object] = {}
        self._first = settings.first_start
        self._cache: dict[tuple[str, bytes], float] = {}
        self._counts = {"requests": 0, "computed": 0, "thumbnails": 0, "photos": 0}
        self._run = secrets.token_hex(8)

    def routes(self) -> list[Route]:
        """The contract of `crn paint`, and /counts."""
        names = [each.name for each in resources.files("crn_tf.pages").joinpath("static", "paint").iterdir()]
        return [
            *static_routes("paint", {"/" if name == "index.html" else f"/{name}": name for name in names}),
            Route("/api/model", self.about),
            Route("/api/synthesize", self.synthesize, methods=["POST"]),
            Route("/api/read", self.read, methods=["POST"]),
            Route("/api/starts", self.starts),
            Route("/api/starts/{number:int}/{what}", self.start),
            Route("/counts", self.counts),
        ]

    async def counts(self, request: Request) -> Response:
        return JSONResponse(self._counts)

    async def about(self, request: Request) -> Response:
        names = [*CLASSES.names, "void"]
        files = CLASSES.file_ids
        classes = [
            {"id": number, "name": name, "color": COLORS[number].tolist(), "file_id": files[number]}
            for number, name in enumerate(names)
        ]
        models = [
            {"name": name, "size": self._size, "images": self._settings.images, "draft": name == "draft"}
            for name in self._settings.models
        ]
        common = {"size": self._size, "images": self._settings.images, "classes": classes, "void": len(names) - 1}
        return JSONResponse(
            {**common, "run": self._run, "models": models, "starts": STARTS, "limits": {"bytes": LARGEST}}
        )

    async def synthesize(self, request: Request) -> Response:
        self._counts["requests"] += 1
        asked = request.query_params
        model, image, client = asked["model"], int(asked["image"]), asked["client"]
        if asked["labels"] != "ids":
            raise HTTPException(400, "the page sends ids")
        ids = _ids(await request.body())
        if self._settings.refuse and (ids == self._settings.refuse).any():
            raise HTTPException(400, f"the layout has {CLASSES.names[self._settings.refuse]}")
        mine = self._waiting[client] = object()
        async with self._worker:
            if self._waiting.get(client) is not mine:
                raise HTTPException(409, "overtaken by a newer layout")
            seconds = await self._compute(model, ids)
        kind = asked["format"].upper()
        content = io.BytesIO()
        Image.fromarray(picture_of(ids, image, model)).save(
            content, kind, **({"quality": 90} if kind == "JPEG" else {})
        )
        headers = {"x-seconds": f"{seconds:.3f}", "x-images": str(self._settings.images), "x-said": "%5B%5D"}
        return Response(content.getvalue(), media_type=f"image/{kind.lower()}", headers=headers)

    async def _compute(self, model: str, ids: np.ndarray) -> float:
        key = (model, ids.tobytes())
        if key not in self._cache:
            self._counts["computed"] += 1
            self._counts[model] = self._counts.get(model, 0) + 1
            delay = self._settings.delay if model != "draft" else 0.01
            await asyncio.sleep(delay)
            self._cache = {**dict(list(self._cache.items())[-7:]), key: delay}
        return self._cache[key]

    async def read(self, request: Request) -> Response:
        content, labels = await request.body(), request.query_params["labels"]
        if len(content) == self._settings.ambiguous and labels == "auto":
            raise HTTPException(400, "the layout could be either; name it: labels=labelids or labels=trainids")
        ids = _ids(content)
        height, width = self._size
        rows = np.arange(height) * ids.shape[0] // height
        columns = np.arange(width) * ids.shape[1] // width
        said = [f"labels: the stand-in read {ids.shape[0]}x{ids.shape[1]} as {labels}"]
        return _raw(ids[rows][:, columns], said)

    async def starts(self, request: Request) -> Response:
        first, count = int(request.query_params["from"]), int(request.query_params["count"])
        numbers = range(first, min(STARTS, first + count))
        group = ["drawn", "validation", "data"]
        return JSONResponse(
            [
                {"number": n, "name": f"street {n + self._first}", "group": group[n % 3], "photo": n % 2 == 1}
                for n in numbers
            ]
        )

    async def start(self, request: Request) -> Response:
        number, what = request.path_params["number"], request.path_params["what"]
        if not 0 <= number < STARTS or (what == "photo" and number % 2 == 0):
            raise HTTPException(404, "no such layout")
        if what != "layout":
            self._counts[f"{what}s"] += 1
        if what == "thumbnail" and self._counts["thumbnails"] <= self._settings.busy:
            raise HTTPException(503, "too much to do")
        ids = start_ids(number + self._first, self._size)
        if what == "layout":
            return _raw(ids, [])
        content = io.BytesIO()
        Image.fromarray(COLORS[ids] // (2 if what == "photo" else 1)).save(
            content, "JPEG" if what == "photo" else "PNG"
        )
        return Response(content.getvalue(), media_type="image/jpeg" if what == "photo" else "image/png")


def start_ids(number: int, size: tuple[int, int]) -> np.ndarray:
    """A layout to start from: sky, buildings and a road, uint8 [H, W]."""
    height, width = size
    names = CLASSES.names
    ids = np.full(size, names.index("sky"), np.uint8)
    random = np.random.default_rng(number)
    for left in range(0, width, width // 8):
        ids[random.integers(height // 8, height // 2) :, left : left + width // 8] = names.index("building")
    ids[height * 2 // 3 :] = names.index("sidewalk")
    rows = np.arange(height * 2 // 3, height)
    for row in rows:
        reach = (row - rows[0] + 4) * width // (2 * len(rows) + 8)
        ids[row, max(0, width // 2 - reach) : width // 2 + reach] = names.index("road")
    ids[height * 2 // 3 : height * 3 // 4, width // 3 : width // 3 + width // 8] = names.index("car")
    return ids


def _ids(content: bytes) -> np.ndarray:
    """Class ids of a layout PNG: uint8 [h, w]."""
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except OSError as error:
        raise HTTPException(400, "is no layout; expected a PNG of class ids or colours") from error
    if picture.mode == "RGB":
        packed = np.asarray(picture).astype(np.int32) @ [1 << 16, 1 << 8, 1]
        return CLASSES.class_of_color[packed].astype(np.uint8)
    return CLASSES.class_of_id[np.asarray(picture)].astype(np.uint8)


def _raw(ids: np.ndarray, said: list[str]) -> Response:
    headers = {"x-said": quote(json.dumps(said))}
    return Response(ids.tobytes(), media_type="application/octet-stream", headers=headers)


@contextlib.contextmanager
def stand_in(*options: object, port: int = 0) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve in a process of its own: its address, and the process, which is killed at the end."""
    command = [sys.executable, "-m", "tests.paint_stand_in", "--port", str(port), *map(str, options)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def counts(address: str) -> dict[str, Any]:
    """How many pictures were asked for, and how many computed, in all and by each model."""
    with urllib.request.urlopen(f"{address}counts", timeout=20) as answer:
        return json.load(answer)


def _size(text: str) -> tuple[int, int]:
    height, width = map(int, re.fullmatch(r"(\d+)x(\d+)", text).groups())
    return height, width


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", type=_size, default=(64, 128))
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=["model"])
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a picture takes")
    parser.add_argument("--refuse", type=int, help="the class id that is refused")
    parser.add_argument("--ambiguous", type=int, help="a file of so many bytes can be read in two ways")
    parser.add_argument("--busy", type=int, default=0, help="so many thumbnails are refused at first")
    parser.add_argument("--first-start", type=int, default=0, help="the number of the first layout to start from")
    settings = parser.parse_args()
    listening = listen("127.0.0.1", settings.port)
    app = guarded(StandIn(settings).routes(), addresses(listening, "127.0.0.1"), LARGEST)
    print(f"serving {page_address(listening, '127.0.0.1')}", flush=True)
    serve(app, listening)


if __name__ == "__main__":
    main()
