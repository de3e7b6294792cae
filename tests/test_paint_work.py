"""One thread, a waiting place for each client: what is computed, what is overtaken, what is dropped."""

import threading
import time
from concurrent.futures import CancelledError

import pytest

from crn_tf.pages.paint_work import BusyError, OvertakenError, Recent, Worker


class Held:
    """A worker that is kept busy until it is let go, and what it did since."""

    def __init__(self, most_waiting: int = 3) -> None:
        self.worker, self.done = Worker(most_waiting), []
        self._go, begun = threading.Event(), threading.Event()
        self.first = self.worker.ask("first", lambda: (begun.set(), self._go.wait(20)))
        assert begun.wait(20)

    def ask(self, client, name):
        return self.worker.ask(client, lambda: self.done.append(name) or name)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def held():
    busy = Held()
    yield busy
    busy.let_go()
    busy.worker.close()


def test_the_newest_of_a_client_replaces_the_older_at_its_place(held):
    older, other = held.ask("a", "older"), held.ask("b", "other")
    burst = [held.ask("a", number) for number in range(200)]
    held.let_go()
    assert burst[-1].result(20) == 199 and other.result(20) == "other"
    assert held.done == [199, "other"]  # a was first in the queue, and stays there
    for each in (older, *burst[:-1]):
        with pytest.raises(OvertakenError):
            each.result(20)


def test_what_has_begun_is_not_replaced(held):
    second = held.ask("first", "second")
    held.let_go()
    assert held.first.result(20)[1] is True and second.result(20) == "second"


def test_those_without_a_name_replace_nobody_and_only_so_many_wait(held):
    asked = [held.ask(None, number) for number in range(3)]
    with pytest.raises(BusyError):
        held.ask(None, "too many")
    with pytest.raises(BusyError):
        held.ask("a", "too many")
    asked[1].cancel()  # its place is free again
    late = held.ask("a", "late")
    held.let_go()
    assert late.result(20) == "late" and held.done == [0, 2, "late"]


def test_who_waits_already_may_always_replace(held):
    for name in ("a", "b", "c"):
        held.ask(name, name)
    newer = held.ask("b", "newer")
    held.let_go()
    assert newer.result(20) == "newer" and held.ask("d", "d").result(20) == "d"
    assert held.done == ["a", "newer", "c", "d"]


def test_an_error_is_whoever_asked_s_and_the_worker_goes_on(held):
    wrong = held.worker.ask(None, lambda: 1 / 0)
    after = held.ask(None, "after")
    held.let_go()
    with pytest.raises(ZeroDivisionError):
        wrong.result(20)
    assert after.result(20) == "after"


def test_closing_waits_for_what_has_begun_and_drops_the_rest(held):
    waiting = held.ask("a", "waiting")
    threading.Timer(0.2, held.let_go).start()
    started = time.monotonic()
    held.worker.close()
    assert time.monotonic() - started > 0.1 and held.first.done() and held.done == []
    with pytest.raises(CancelledError):
        waiting.result(1)
    with pytest.raises(BusyError):
        held.ask("a", "later")


def test_many_threads_ask_at_once_and_each_is_answered():
    worker, answers = Worker(1000), []

    def ask(client: int) -> None:
        for number in range(50):
            try:
                answers.append(worker.ask(str(client), lambda n=number: n).result(20))
            except OvertakenError:  # never: each waits for its answer
                answers.append(None)

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.close()
    assert sorted(answers) == sorted(list(range(50)) * 8)


def test_the_last_few_are_kept():
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)  # b has not been asked for longest
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
