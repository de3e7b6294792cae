"""Connections to a page that this machine serves. Only what serves imports this: uvicorn takes a moment to import."""

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from crn_tf.pages import guard


class Connection(H11Protocol):
    """A connection that is closed if the head of a request does not come in time.

    Uvicorn waits for the first request as long as it takes, and for any other once a byte of it has come.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of a request, or stop if it is there."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Leave it to uvicorn to wait for the next request's first byte."""
        self._stop_waiting()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Wait from now on, if not since earlier: single bytes gain no time."""
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(guard.SLOWEST_REQUEST, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
