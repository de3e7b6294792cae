"""What every page that this machine serves itself has: who may ask, how much, and what a browser may do with it.

A page of ours listens to this machine only, unless it is told otherwise. Other pages in the same browser can send
requests to it too, so it answers only those whose `Host` is its own and whose `Origin`, if there is one, is as well. No
path of a request becomes a path of the disk: what can be asked for is listed beforehand.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crn_tf.errors import UsageError, UserError, one_line
from crn_tf.files import parse_json, system_words

LARGEST_REQUEST = 1 << 16  # bytes of a request's body, if a page does not say otherwise
_SLOWEST_REQUEST = 20.0  # seconds in which a body has to come
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Addresses:
    """Under which addresses a page is reached: values of `Host` and `Origin` that are answered."""

    hosts: frozenset[str]
    origins: frozenset[str]


def listen(host: str, port: int) -> socket.socket:
    """Begin to listen.

    Args:
        host: An address or name of this machine; 0.0.0.0 for all of its addresses.
        port: 0 for one that is free.

    Raises:
        UserError: The port is taken, or the machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # With its protocol: else asyncio does not see that it is TCP, and answers wait 40 ms (Nagle's algorithm).
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()  # whoever comes before the server runs waits for it
    except socket.gaierror as error:
        raise UserError(
            f"--host {host}: {one_line(error.strerror or error)}; expected an address of this machine"
        ) from error
    except OSError as error:
        raise UserError(f"cannot listen at {host}, port {port}: {system_words(error)}; try another --port") from error
    return listening


def addresses(listening: socket.socket, host: str, outside: str | None = None) -> Addresses:
    """Under which addresses a page is reached that listens there.

    Args:
        listening: From `listen`.
        host: What it was given: a name, or an address.
        outside: The address that a web server in front of it has, such as https://study.example.org; None if there is
            none.

    Raises:
        UsageError: That is no such address.
    """
    own, port = listening.getsockname()[:2]
    names = {host, own}
    if own in ("127.0.0.1", "::1", "0.0.0.0", "::"):
        names |= {"localhost", "127.0.0.1", "::1"}
    if own in ("0.0.0.0", "::"):
        names = (names | _names_of_this_machine()) - {"0.0.0.0", "::"}
    written = {f"[{name}]" if ":" in name else name.lower() for name in names}
    hosts = {f"{name}:{port}" for name in written} | (written if port == 80 else set[str]())
    origins = {f"http://{one}" for one in hosts}
    if outside is not None:
        parts = urlsplit(outside)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
            raise UsageError(f"--address {outside}: expected an address such as https://study.example.org")
        hosts.add(parts.netloc.lower())
        origins.add(f"{parts.scheme}://{parts.netloc.lower()}")
    return Addresses(frozenset(hosts), frozenset(origins))


def _names_of_this_machine() -> set[str]:
    import psutil

    interfaces = psutil.net_if_addrs().values()
    found = {each.address.partition("%")[0] for some in interfaces for each in some if each.family != psutil.AF_LINK}
    return found | {socket.gethostname(), socket.getfqdn()}


class _Refused(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Guard:
    """Lets only requests of the page's own through, of a size that is allowed, and puts headers on each answer."""

    def __init__(self, app: ASGIApp, known: Addresses, largest: int) -> None:
        self._app, self._known, self._largest = app, known, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # starting and stopping; no page of ours has WebSockets
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                mine = {name.encode(): value.encode() for name, value in HEADERS.items()}
                message["headers"] = [*((n, v) for n, v in message["headers"] if n.lower() not in mine), *mine.items()]
            await send(message)

        try:
            self._check_sender(scope)
            body = await asyncio.wait_for(self._read(receive), _SLOWEST_REQUEST)
        except TimeoutError:
            await _problem(408, "the request took too long")(scope, receive, send_with_headers)
            return
        except _Refused as refusal:
            await _problem(refusal.status, str(refusal))(scope, receive, send_with_headers)
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, receive_again, send_with_headers)

    def _check_sender(self, scope: Scope) -> None:
        """Compare a request's headers with what the page listens on.

        Raises:
            _Refused: They are another page's, or the request is larger than allowed.
        """

        def values(wanted: bytes) -> list[str]:
            return [value.decode("latin-1").lower() for name, value in scope["headers"] if name.lower() == wanted]

        hosts = values(b"host")
        if len(hosts) != 1 or hosts[0] not in self._known.hosts:
            raise _Refused(403, "this page is not served under that name")
        if any(origin not in self._known.origins for origin in values(b"origin")):
            raise _Refused(403, "requests of other pages are not answered")
        lengths = values(b"content-length")
        if any(not length.isdecimal() or int(length[:20]) > self._largest for length in lengths):
            raise _Refused(413, f"the request is larger than {self._largest:,} bytes")

    async def _read(self, receive: Receive) -> bytes:
        """Read a request's body, of which no length may have been told.

        Raises:
            _Refused: It is larger than allowed.
        """
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._largest:
                raise _Refused(413, f"the request is larger than {self._largest:,} bytes")
        return bytes(body)


def _problem(status: int, why: str) -> JSONResponse:
    """An answer that says in one line what is wrong."""
    return JSONResponse({"error": one_line(why)}, status)


async def _say(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _problem(error.status_code, error.detail)
    if isinstance(error, UserError):  # the disk is full: whoever started the server reads it too
        print(f"error: {error}", file=sys.stderr)
        return _problem(503, str(error))
    return _problem(500, "the server made a mistake; its terminal says which")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)


def guarded(routes: Sequence[BaseRoute], known: Addresses, largest_request: int = LARGEST_REQUEST) -> ASGIApp:
    """A page's application, behind the guard.

    Args:
        routes: What can be asked for. An endpoint raises `HTTPException` or `UserError` for what becomes one line.
        known: Under which addresses it is reached.
        largest_request: Bytes of a request's body, at most.
    """
    everywhere: list[BaseRoute] = [Route("/favicon.ico", _no_icon, methods=["GET"])]  # browsers ask for it unasked
    handlers: dict[Any, Any] = {HTTPException: _say, UserError: _say, Exception: _say}
    return _Guard(Starlette(routes=[*routes, *everywhere], exception_handlers=handlers), known, largest_request)


def static_routes(folder: str, files: dict[str, str]) -> list[BaseRoute]:
    """Routes to a page's own files, which are read now.

    Args:
        folder: Of them, in `crn_tf/pages/static/`.
        files: Each address on the server, such as "/", and the file's name.
    """

    def route(address: str, name: str) -> Route:
        content = resources.files("crn_tf.pages").joinpath("static", folder, name).read_bytes()
        media_type = next(kind for suffix, kind in _MEDIA_TYPES.items() if name.endswith(suffix))

        async def answer(request: Request) -> Response:
            return Response(content, media_type=media_type)

        return Route(address, answer, methods=["GET"])

    return [route(address, name) for address, name in files.items()]


def json_object(body: bytes, content_type: str | None) -> dict[str, Any]:
    """What a request says.

    Raises:
        HTTPException: It is no JSON object.
    """
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "expected application/json")
    try:
        found = parse_json(body.decode("utf-8"))
    except ValueError as error:  # json's and the decoder's errors are of this kind
        raise HTTPException(400, f"expected JSON: {one_line(error)}") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM. Nothing is logged of who asks."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,  # whoever asks is not asked for
        ws="none",
        lifespan="off",
        limit_concurrency=256,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(settings).run(sockets=[listening])


def page_address(listening: socket.socket, host: str) -> str:
    """What to open in a browser on this machine."""
    own, port = listening.getsockname()[:2]
    name = "127.0.0.1" if own in ("0.0.0.0", "::") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"
