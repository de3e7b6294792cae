"""Who may ask a page that this machine serves, how much, how slowly, and how many at once."""

import asyncio
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crn_tf.errors import one_line

LARGEST_REQUEST = 1 << 16  # bytes of a request's body, if a page does not say otherwise
SLOWEST_REQUEST = 20.0  # seconds in which a request's head has to come, and then its body
_MOST_REQUESTS = 256  # at once
_MOST_DROPPED = 1 << 25  # bytes of a refused body that are read, so that whoever sends it comes to read the answer
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


class Problem(JSONResponse):
    """An answer that says in one line what is wrong."""

    def __init__(self, status: int, why: str) -> None:
        """Answer with a status.

        Args:
            status: Of HTTP.
            why: What is wrong.
        """
        super().__init__({"error": one_line(why)}, status)

    def render(self, content: object) -> bytes:
        """A line of JSON."""
        return super().render(content) + b"\n"  # else a terminal goes on in the same line


class Guard:
    """Lets only requests of the page's own through, of a size that is allowed, and puts headers on each answer."""

    def __init__(self, app: ASGIApp, known: Addresses, largest: int) -> None:
        """Stand before an application.

        Args:
            app: The page's.
            known: Under which addresses it is reached.
            largest: Bytes of a request's body, at most.
        """
        self._app, self._known, self._largest = app, known, largest
        self._requests = 0  # that are being read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":  # starting and stopping; no page of ours has WebSockets
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                mine = {name.encode(): value.encode() for name, value in HEADERS.items()}
                message["headers"] = [*((n, v) for n, v in message["headers"] if n.lower() not in mine), *mine.items()]
            await send(message)

        self._requests += 1
        try:
            await self._answer(scope, receive, send_with_headers)
        finally:
            self._requests -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem, body = self._find_problem(scope), b""
        # A body is read even if it is refused, or its sender would not come to read the answer. If they wait to be told
        # to send it, they are not told.
        if problem is None or not _values(scope, b"expect"):
            try:
                async with asyncio.timeout(SLOWEST_REQUEST):
                    body = await _read(receive, self._largest)
            except TimeoutError:
                problem = problem or Problem(408, "the request took too long")
        if len(body) > self._largest:
            problem = problem or self._too_large()
        if problem is not None:
            await problem(scope, receive, send)
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, receive_again, send)

    def _find_problem(self, scope: Scope) -> Problem | None:
        """What a request's headers already say against it: it is another page's, too large, or one too many."""
        if self._requests > _MOST_REQUESTS:
            return Problem(503, "too many requests at once; try again in a moment")
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._known.hosts:
            asked = one_line(" and ".join(hosts), 80) or "no name"
            return Problem(
                403, f"this page was asked for as {asked}; open it under the address that its terminal printed"
            )
        if any(origin not in self._known.origins for origin in _values(scope, b"origin")):
            return Problem(403, "requests of other pages are not answered")
        lengths = _values(scope, b"content-length")
        if any(not length.isdecimal() or int(length[:20]) > self._largest for length in lengths):
            return self._too_large()
        return None

    def _too_large(self) -> Problem:
        return Problem(413, f"the request is larger than {self._largest:,} bytes")


def _values(scope: Scope, wanted: bytes) -> list[str]:
    """What a request's headers of a name say, in small letters."""
    return [value.decode("latin-1").lower() for name, value in scope["headers"] if name.lower() == wanted]


async def _read(receive: Receive, most: int) -> bytes:
    """Read a request's body, of which no length may have been told.

    Returns:
        It, or the first `most` + 1 bytes of a larger one.
    """
    body, read, more = bytearray(), 0, True
    while more and read <= max(most, _MOST_DROPPED):
        message = await receive()
        part = message.get("body", b"")
        read += len(part)
        body += part[: most + 1 - len(body)]
        more = message.get("more_body", False)
    return bytes(body)
