"""One thread that computes for many clients: each has one place to wait, in which the newest request replaces the
older.

A computation of TensorFlow cannot be stopped. So what has been overtaken, and what nobody waits for any more, is
dropped before it begins.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Result = TypeVar("Result")


class OvertakenError(Exception):
    """A newer request of the same client came while this one was waiting."""


class BusyError(Exception):
    """As many requests are waiting as may."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    work: Callable[[], Any]
    future: "Future[Any]"


class Worker:
    """Does one thing after the other, in a thread of its own."""

    def __init__(self, most_waiting: int) -> None:
        """Begin to wait for work.

        Args:
            most_waiting: So many requests may wait.
        """
        self._most = most_waiting
        self._changed = threading.Condition()  # of what is waiting; its lock may be taken again by the same thread
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()
        self._closed = False
        # A daemon: a second Ctrl-C need not wait for a computation.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, client: str | None, work: Callable[[], Result]) -> "Future[Result]":
        """Have something done when its turn comes.

        Args:
            client: Who asks. What they asked before and is still waiting is overtaken: its place in the queue is the
                new request's. None never overtakes.
            work: Called in the worker's thread.

        Returns:
            The result, in future. Cancelling it drops the request if it has not begun. `OvertakenError` is among what
            it may raise.

        Raises:
            BusyError: Too many are waiting, or the worker has been closed.
        """
        mine = _Waiting(work, Future())
        key: Hashable = object() if client is None else client
        with self._changed:
            older = self._waiting.get(key)
            if self._closed or (older is None and len(self._waiting) >= self._most):
                raise BusyError
            self._waiting[key] = mine  # where the older one was, if there was one
            self._changed.notify()
        mine.future.add_done_callback(lambda _: self._forget(key, mine))
        if older and older.future.set_running_or_notify_cancel():
            older.future.set_exception(OvertakenError())
        return mine.future

    def waiting(self) -> int:
        """How many requests wait."""
        with self._changed:
            return len(self._waiting)

    def _forget(self, key: Hashable, done: _Waiting) -> None:
        """Give a place free whose request was dropped."""
        with self._changed:
            if self._waiting.get(key) is done:
                del self._waiting[key]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                _, next_ = self._waiting.popitem(last=False)
            if next_.future.set_running_or_notify_cancel():
                try:
                    next_.future.set_result(next_.work())
                except BaseException as error:  # whoever waits for it has to know
                    next_.future.set_exception(error)

    def close(self) -> None:
        """Wait for what is being done, and drop what is waiting."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting.values())
            self._changed.notify()
        for each in waiting:
            each.future.cancel()
        self._thread.join()


class Recent(Generic[Key, Value]):
    """The last few of something, by a key. Several threads may use it."""

    def __init__(self, most: int) -> None:
        """Keep so many."""
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """What was put there, unless others have been asked for or put since; None if it is not there."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Key, value: Value) -> None:
        """Keep something, and forget what has not been asked for longest."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
