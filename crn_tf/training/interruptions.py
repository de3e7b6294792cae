"""Ctrl-C and SIGTERM, while a command gets ready, trains, and ends. No TensorFlow."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from tqdm import tqdm

from crn_tf.errors import RESTART, STOPPED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


Item = TypeVar("Item")


class PreemptedError(Exception):
    """SIGTERM came while something was done that need not come to its end."""


@dataclass
class StopRequest:
    """What a person or a scheduler has asked for meanwhile."""

    stop: bool = False  # after this step
    preempted: bool = False  # by SIGTERM: what is only measured or shown ends at once, too

    def unless_preempted(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items.

        Raises:
            PreemptedError: SIGTERM came.
        """
        for item in items:
            if self.preempted:
                raise PreemptedError
            yield item


class Interruptions:
    """What Ctrl-C and SIGTERM do, one after the other in a command's life, from where its `main` begins.

    As a context: at once end the process, whatever it is doing, since there is nothing to save. Python's own handlers
    would wait until TensorFlow returns, which may be waiting for another worker; so a thread is told of the signals.

    In `saving`, inside the context or without it: ask the training loop to stop after its step. After it, the context
    does again what it did before, also for a process that only waits for another one's last save.
    """

    def __init__(self, leave: Callable[[int], Any] = os._exit):
        """Do nothing yet.

        Args:
            leave: Ends the process with an exit code: `RESTART` after SIGTERM, `STOPPED` after Ctrl-C.
        """
        self._leave = leave
        self._saving = False
        self._when = "before training began: nothing was to be saved"
        self._before: dict[int, Any] = {}
        self._stderr = 2

    def __enter__(self) -> "Interruptions":
        with suppress(OSError):  # where it was closed
            self._stderr = os.dup(2)  # starting TensorFlow keeps back what is written to the other one
        receiving, self._sending = socket.socketpair()
        self._sending.setblocking(False)
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        # It gets a byte for each signal: its number.
        self._descriptor = signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(receiving,), name="interruptions", daemon=True).start()
        self.take_back()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._sending.close()

    def take_back(self) -> None:
        """Take the signals again, after something that may have taken them: so does TensorFlow, with SIGTERM, when it
        joins other workers."""
        for number in _SIGNALS:
            signal.signal(number, _nothing)  # only Python's handlers write to the descriptor

    @contextmanager
    def saving(self, request: StopRequest) -> Iterator[None]:
        """In the block, Ctrl-C and SIGTERM only ask for an end, and a second Ctrl-C raises KeyboardInterrupt.

        In a thread that is not the main one, which Python tells of no signals, nothing is asked for.

        Args:
            request: Where it is noted.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT and request.stop:
                raise KeyboardInterrupt
            request.stop = True
            if number == signal.SIGTERM:
                request.preempted = True
                tqdm.write("SIGTERM: saving after this step", file=sys.stderr)
            else:
                tqdm.write("stopping after this step (Ctrl-C again: at once, without saving)", file=sys.stderr)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, ask) for number in _SIGNALS}
        self._saving = True
        try:
            yield
        finally:
            self._saving = False
            self._when = "after training: nothing more is to be saved here"
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wait(self, receiving: socket.socket) -> None:
        with receiving:
            while received := receiving.recv(1):
                if received[0] in _SIGNALS and not self._saving:
                    code, what = (RESTART, "SIGTERM") if received[0] == signal.SIGTERM else (STOPPED, "stopped")
                    try:
                        os.write(self._stderr, f"{what} {self._when}\n".encode())
                    finally:
                        self._leave(code)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler for signals that the thread acts on."""
