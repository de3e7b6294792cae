"""Who may ask a page that this machine serves, how much, how slowly, and how many at once."""

import asyncio
from contextlib import suppress
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


class _Refused(Exception):
    """A request that is not answered, with the status that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


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
        try:
            async with asyncio.timeout(SLOWEST_REQUEST):
                body = await self._checked(scope, receive)
        except TimeoutError:
            await Problem(408, "the request took too long")(scope, receive, send)
            return
        except _Refused as refusal:
            await Problem(refusal.status, str(refusal))(scope, receive, send)
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, receive_again, send)

    async def _checked(self, scope: Scope, receive: Receive) -> bytes:
        """A request's body, if it is answered at all.

        Raises:
            _Refused: It is not. What its sender has still to say is read before, or they would not read the answer.
        """
        try:
            if self._requests > _MOST_REQUESTS:
                raise _Refused(503, "too many requests at once; try again in a moment")
            self._check_sender(scope)
            return await self._read(receive)
        except _Refused:
            if not _values(scope, b"expect"):  # else they wait to be told to send it
                with suppress(TimeoutError):
                    await _drop(receive)
            raise

    def _check_sender(self, scope: Scope) -> None:
        """Compare a request's headers with what the page listens on.

        Raises:
            _Refused: They are another page's, or the request is larger than allowed.
        """
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._known.hosts:
            asked = one_line(" and ".join(hosts) or "no name", 80)
            raise _Refused(
                403, f"this page was asked for as {asked}; open it under the address that its terminal printed"
            )
        if any(origin not in self._known.origins for origin in _values(scope, b"origin")):
            raise _Refused(403, "requests of other pages are not answered")
        lengths = _values(scope, b"content-length")
        if any(not length.isdecimal() or int(length[:20]) > self._largest for length in lengths):
            raise self._too_large()

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
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._largest:,} bytes")


def _values(scope: Scope, wanted: bytes) -> list[str]:
    """What a request's headers of a name say, in small letters."""
    return [value.decode("latin-1").lower() for name, value in scope["headers"] if name.lower() == wanted]


async def _drop(receive: Receive) -> None:
    """Read what is left of a body, and forget it."""
    read, more = 0, True
    while more and read < _MOST_DROPPED:
        message = await receive()
        read += len(message.get("body", b""))
        more = message.get("more_body", False)
