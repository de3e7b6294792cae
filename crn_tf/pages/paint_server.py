"""What the painting page, and whoever uses it from a program, may ask for. docs/painting.md describes it."""

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar, get_args
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from crn_tf.data.conventions import Labels
from crn_tf.data.images import ImageFormat, Size, encode_image
from crn_tf.data.layouts import colorize
from crn_tf.errors import UserError, one_line
from crn_tf.pages.guard import Addresses
from crn_tf.pages.local_server import guarded, page_files, static_routes
from crn_tf.pages.paint_layouts import read_sent_layout
from crn_tf.pages.paint_models import Painted, Painter, PaintModel
from crn_tf.pages.paint_requests import choice, is_number, layout_file, parameters, whole_number
from crn_tf.pages.paint_starts import Start, Starts
from crn_tf.pages.paint_work import BusyError, OvertakenError, Worker

LARGEST = 1 << 23  # bytes of a layout file
_MOST_WAITING = 32  # clients
_MOST_STARTS = 100  # in one list
_LONGEST_CLIENT = 256  # characters
_THUMBNAIL = 160  # pixels of its longer side
_FORMATS: dict[str, ImageFormat] = {"png": "png", "jpeg": "jpg"}
_MEDIA_TYPES: dict[ImageFormat, str] = {"png": "image/png", "jpg": "image/jpeg"}
_LABELS: dict[str, Labels] = {name: name for name in get_args(Labels)}
_GONE = 499  # as nginx calls it: whoever asked has gone, and nobody reads this
Result = TypeVar("Result")


class PaintPage:
    """What the page asks for."""

    def __init__(self, painter: Painter, starts: Starts) -> None:
        """Serve a painter's pictures, and layouts to start from.

        Args:
            painter: With at least one model.
            starts: The layouts.
        """
        self._painter, self._starts = painter, starts
        self._run = secrets.token_hex(8)
        # What is read for the page does not wait for a picture that takes seconds, nor a dropped file for thumbnails.
        self._painting, self._reading, self._starting = (Worker(_MOST_WAITING) for _ in range(3))

    def waiting(self) -> int:
        """How many requests wait for pictures."""
        return self._painting.waiting()

    def close(self) -> None:
        """Wait for what is being computed."""
        for worker in (self._painting, self._reading, self._starting):
            worker.close()

    def routes(self) -> list[BaseRoute]:
        """What can be asked for."""
        return [
            *static_routes("paint", page_files("paint")),
            Route("/api/model", self.about, methods=["GET"]),
            Route("/api/synthesize", self.synthesize, methods=["POST"]),
            Route("/api/read", self.read, methods=["POST"]),
            Route("/api/starts", self.starts, methods=["GET"]),
            Route("/api/starts/{number}/layout", self.start_layout, methods=["GET"]),
            Route("/api/starts/{number}/thumbnail", self.start_thumbnail, methods=["GET"]),
            Route("/api/starts/{number}/photo", self.start_photo, methods=["GET"]),
        ]

    async def about(self, request: Request) -> Response:
        """The models and their classes."""
        parameters(request)
        first = self._painter.default.description
        classes = first.classes.for_drawing()
        models = [
            {
                "name": model.name,
                "size": model.description.image_size,
                "images": model.description.num_images,
                "draft": model.draft,
                "precision": model.precision,
                "parameters": model.description.parameters,
            }
            for model in self._painter.models.values()
        ]
        return JSONResponse(
            {
                "run": self._run,
                "size": first.image_size,
                "images": first.num_images,
                "classes": [{"file_id": row.pop("png_id"), **row} for row in classes],
                "void": first.classes.void,
                "models": models,
                "limits": {"bytes": LARGEST},
                "starts": len(self._starts),
            }
        )

    async def synthesize(self, request: Request) -> Response:
        """The picture of a layout."""
        asked = parameters(request, "model", "image", "format", "client", "labels")
        model = self._model(asked.get("model"))
        image = whole_number(asked, "image", 0, model.description.num_images - 1)
        form = choice(asked, "format", "png", _FORMATS)
        labels = choice(asked, "labels", "auto", _LABELS)
        client = asked.get("client")
        if client is not None and not 1 <= len(client) <= _LONGEST_CLIENT:
            raise HTTPException(400, f"client: expected 1 to {_LONGEST_CLIENT} characters")
        content = await layout_file(request)
        painted = self._painter.known(model, content, labels)
        if painted is None:
            painted = await _answer(
                request, self._painting, client, lambda: self._painter.paint(model, content, labels)
            )
        return await _picture(painted, image, form)

    async def read(self, request: Request) -> Response:
        """The class ids of a layout, at the size of the canvas."""
        labels = choice(parameters(request, "labels"), "labels", "auto", _LABELS)
        content = await layout_file(request)
        description, size = self._painter.default.description, self._painter.size()
        found = await _answer(
            request,
            self._reading,
            None,
            lambda: read_sent_layout(content, description.classes, size, description.fit, labels),
        )
        return Response(
            found.layout.tobytes(), media_type="application/octet-stream", headers=_said((*found.how, *found.warnings))
        )

    async def starts(self, request: Request) -> Response:
        """Some of the layouts to start from."""
        asked = parameters(request, "from", "count")
        first = whole_number(asked, "from", 0)
        count = whole_number(asked, "count", 24, _MOST_STARTS)
        numbers = range(min(first, len(self._starts)), min(first + count, len(self._starts)))
        return JSONResponse(
            [
                {"number": number, "name": start.name, "group": start.group, "photo": start.photo is not None}
                for number, start in ((number, self._starts[number]) for number in numbers)
            ]
        )

    async def start_layout(self, request: Request) -> Response:
        """Class ids of a layout to start from, at the size of the canvas."""
        start, size = self._start(request), self._painter.size()
        layout = await self._read_start(request, start, lambda: start.layout(size))
        return Response(layout.tobytes(), media_type="application/octet-stream", headers=_said(()))

    async def start_thumbnail(self, request: Request) -> Response:
        """A small picture of a layout to start from, in its classes' colours."""
        start, size = self._start(request), _small(self._painter.size())
        classes = self._painter.default.description.classes

        def draw() -> bytes:
            return encode_image(colorize(start.layout(size), classes), "png")

        return Response(await self._read_start(request, start, draw), media_type="image/png")

    async def start_photo(self, request: Request) -> Response:
        """The photograph of a layout to start from, at the size of the canvas."""
        start, size = self._start(request), self._painter.size()
        read = start.photo

        def encode() -> bytes | None:
            photo = read(size) if read else None
            return None if photo is None else encode_image(photo, "jpg")

        content = await self._read_start(request, start, encode)
        if content is None:
            raise HTTPException(404, "this layout has no photograph")
        return Response(content, media_type="image/jpeg")

    async def _read_start(self, request: Request, start: Start, read: Callable[[], Result]) -> Result:
        """What is read of a layout to start from.

        Raises:
            HTTPException: Its file is not there any more, or damaged. Where files lie is told in the terminal only.
        """

        def read_or_say() -> Result | UserError:
            try:
                return read()
            except UserError as error:
                return error

        found = await _answer(request, self._starting, None, read_or_say)
        if isinstance(found, UserError):
            print(f"warning: {found}", file=sys.stderr)
            raise HTTPException(404, f"{start.name} cannot be read; the server's terminal says why")
        return found

    def _model(self, name: str | None) -> PaintModel:
        """The model of a name; the first if none is given.

        Raises:
            HTTPException: There is none of that name.
        """
        models = self._painter.models
        if name is None:
            return self._painter.default
        if name not in models:
            raise HTTPException(400, f"there is no model {one_line(name, 80)!r}; there are {', '.join(models)}")
        return models[name]

    def _start(self, request: Request) -> Start:
        """The layout whose number is in a request's path.

        Raises:
            HTTPException: There is none.
        """
        parameters(request)
        number = request.path_params["number"]
        if not is_number(number) or int(number) >= len(self._starts):
            raise HTTPException(404, f"no such layout; they are numbered from 0 to {len(self._starts) - 1}")
        return self._starts[int(number)]


async def _answer(request: Request, worker: Worker, client: str | None, work: Callable[[], Result]) -> Result:
    """What a worker finds, as long as somebody waits for it.

    Args:
        request: Of whoever waits.
        worker: Does it.
        client: Whose earlier request it overtakes; None for nobody's.
        work: What to do.

    Raises:
        HTTPException: It found a user's mistake, or did not come to it.
    """
    try:
        found = worker.ask(client, work)
    except BusyError:
        raise HTTPException(503, "too many requests are waiting; try again in a moment") from None
    try:
        return await _unless_gone(request, found)
    except OvertakenError:
        raise HTTPException(409, "overtaken by a newer layout") from None
    except UserError as error:
        raise HTTPException(400, str(error)) from error


async def _unless_gone(request: Request, found: "Future[Result]") -> Result:
    """Wait for a result; if whoever asked goes away first, it is dropped.

    Raises:
        HTTPException: They have gone.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    result, going = asyncio.wrap_future(found), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((result, going), return_when=asyncio.FIRST_COMPLETED)
    finally:
        going.cancel()
        if not result.done():
            result.cancel()  # before it begins; what has begun ends
    if result.cancelled():
        raise HTTPException(_GONE, "dropped")
    return result.result()


async def _picture(painted: Painted, image: int, form: ImageFormat) -> Response:
    """One of the images, encoded."""
    content = await asyncio.to_thread(encode_image, painted.images[image], form)
    headers = {"x-seconds": f"{painted.seconds:.4f}", "x-images": str(len(painted.images)), **_said(painted.said)}
    return Response(content, media_type=_MEDIA_TYPES[form], headers=headers)


def _said(lines: Sequence[str]) -> dict[str, str]:
    """A header of lines."""
    return {"x-said": quote(json.dumps(list(lines)))}


def _small(size: Size) -> Size:
    """Height and width of a thumbnail of something of that size."""
    scale = min(1.0, _THUMBNAIL / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def paint_app(page: PaintPage, known: Addresses) -> ASGIApp:
    """The application that serves a page to paint on."""
    return guarded(page.routes(), known, LARGEST)
