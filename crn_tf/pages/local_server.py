"""What every page that this machine serves itself has: who may ask, how much, and what a browser may do with it.

A page of ours listens to this machine only, unless it is told otherwise. Other pages in the same browser can send
requests to it too, so it answers only those whose `Host` is its own and whose `Origin`, if there is one, is as well. No
path of a request becomes a path of the disk: what can be asked for is listed beforehand.
"""

import socket
import sys
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from crn_tf.errors import UsageError, UserError, one_line
from crn_tf.files import parse_json, system_words
from crn_tf.pages.guard import LARGEST_REQUEST, Addresses, Guard, Problem

if TYPE_CHECKING:
    import uvicorn

_ALL = ("0.0.0.0", "::")  # addresses of a machine, as it writes them itself
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def listen(host: str, port: int) -> socket.socket:
    """Begin to listen.

    Args:
        host: An address or name of this machine; 0.0.0.0 for all of its addresses.
        port: 0 for one that is free.

    Raises:
        UsageError: There are no such ports.
        UserError: The port is taken, or the machine has no such address.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port must be 0 to 65535, not {port}")
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
    if own in ("127.0.0.1", "::1", *_ALL):
        names |= {"localhost", "127.0.0.1", "::1"}
    if own in _ALL:
        names = (names | _names_of_this_machine()) - set(_ALL)
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


async def _say(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return Problem(error.status_code, error.detail)
    if isinstance(error, UserError):  # the disk is full: whoever started the server reads it too
        print(f"error: {error}", file=sys.stderr)
        return Problem(503, str(error))
    return Problem(500, "the server made a mistake; its terminal says which")


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
    return Guard(Starlette(routes=[*routes, *everywhere], exception_handlers=handlers), known, largest_request)


def page_files(folder: str) -> dict[str, str]:
    """The files of a page's folder in `crn_tf/pages/static/` by their addresses, for `static_routes`.

    index.html is at "/". Editors and systems leave files of other kinds there, which are no part of the page.
    """
    names = [file.name for file in resources.files("crn_tf.pages").joinpath("static", folder).iterdir()]
    own = sorted(name for name in names if not name.startswith(".") and name.endswith(tuple(_MEDIA_TYPES)))
    return {"/" if name == "index.html" else f"/{name}": name for name in own}


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


def make_server(app: ASGIApp) -> "uvicorn.Server":
    """A server that has not begun: its `run` takes the sockets. Nothing is logged of who asks."""
    import uvicorn

    from crn_tf.pages.connections import Connection

    settings = uvicorn.Config(
        app,
        http=Connection,
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,  # whoever asks is not asked for
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(settings)


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    make_server(app).run(sockets=[listening])


def page_address(listening: socket.socket, host: str) -> str:
    """What to open in a browser on this machine."""
    own = listening.getsockname()[0]
    return _address(listening, "127.0.0.1" if own in _ALL else host)


def network_address(listening: socket.socket) -> str | None:
    """What to open in a browser on another machine; None if the page listens at one address, which is told already."""
    if listening.getsockname()[0] not in _ALL:
        return None
    with socket.socket(listening.family, socket.SOCK_DGRAM) as unused:
        try:
            # Nothing is sent: the system only says from which of its addresses it would send to others.
            unused.connect(("2001:db8::1" if listening.family == socket.AF_INET6 else "192.0.2.1", 9))
            name = unused.getsockname()[0]
        except OSError:  # no network
            name = socket.gethostname().lower()
    return _address(listening, name)


def _address(listening: socket.socket, name: str) -> str:
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
