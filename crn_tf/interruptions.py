"""Ctrl-C and SIGTERM while a command gets ready, when there is nothing to save yet. No TensorFlow."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crn_tf.errors import RESTART, STOPPED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_begun = threading.Event()


@contextmanager
def leaving_at_once(leave: Callable[[int], None] = os._exit) -> Iterator[Callable[[], None]]:
    """In the block, until `training_begins`, Ctrl-C and SIGTERM end the process, whatever it is doing.

    Python's own handlers would wait until TensorFlow returns, which may be waiting for another worker. So a thread is
    told of the signals.

    Args:
        leave: Ends the process with an exit code: `RESTART` after SIGTERM, `STOPPED` after Ctrl-C.

    Yields:
        A function that takes the signals back, to be called after something that may have taken them: so does
        TensorFlow, with SIGTERM, when it joins other workers.
    """
    _begun.clear()
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    descriptor = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)  # gets a byte, the signal's number
    threading.Thread(target=_wait, args=(receiving, leave), name="interruptions", daemon=True).start()

    def take() -> None:
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: None)  # only Python's handlers write to the descriptor

    take()
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)
        sending.close()


def training_begins() -> None:
    """From here on, handlers are there that save: leave the signals to them."""
    _begun.set()


def _wait(receiving: socket.socket, leave: Callable[[int], None]) -> None:
    with receiving:
        while received := receiving.recv(1):
            if received[0] in _SIGNALS and not _begun.is_set():
                code, what = (RESTART, "SIGTERM") if received[0] == signal.SIGTERM else (STOPPED, "stopped")
                try:
                    print(f"{what} before training began: nothing was to be saved", file=sys.stderr, flush=True)
                finally:
                    leave(code)
