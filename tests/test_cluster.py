"""TF_CONFIG, and the watchdog over the other workers."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from crn_tf.errors import RESTART, UserError
from crn_tf.training.cluster import Cluster, Watchdog, tf_config, wait_for_others


def cluster(config) -> Cluster | None:
    return Cluster.from_environment({"TF_CONFIG": config if isinstance(config, str) else json.dumps(config)})


WORKERS = ["one:1234", "10.0.0.2:1234"]


def test_workers_and_chief_are_read():
    assert cluster(tf_config(WORKERS, 1)) == Cluster(("one:1234", "10.0.0.2:1234"), 1)
    jobs = {"chief": ["[fe80::1]:1"], "worker": WORKERS}
    assert cluster({"cluster": jobs, "task": {"type": "chief", "index": 0}}).index == 0
    found = cluster({"cluster": jobs, "task": {"type": "worker", "index": 1}})
    assert found.index == 2 and found.others == {0: "[fe80::1]:1", 1: "one:1234"}


@pytest.mark.parametrize("config", ["", " ", "{}", '{"task": {"type": "worker", "index": 0}}'])
def test_without_a_cluster_there_is_none(config):
    assert cluster(config) is None
    assert Cluster.from_environment({}) is None


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("worker:1234", "Expecting value"),
        ("[1]", "no JSON object"),
        ({"cluster": {"worker": WORKERS}}, "it has no 'task'"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker"}}, "it has no 'index'"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 2}}, "no worker 2"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": "1"}}, "no worker 1"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "evaluator", "index": 0}}, "no evaluator 0"),
        ({"cluster": {"worker": WORKERS, "ps": ["a:1"]}, "task": {"type": "worker", "index": 0}}, "'ps'"),
        ({"cluster": {"worker": ["one"]}, "task": {"type": "worker", "index": 0}}, "'one' is no address"),
        ({"cluster": {"worker": ["a:0"]}, "task": {"type": "worker", "index": 0}}, "'a:0' has a port that is none"),
        ({"cluster": {"worker": ["a:65536"]}, "task": {"type": "worker", "index": 0}}, "expected 1 to 65535"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}, "the same address"),
        ({"cluster": {"worker": 7}, "task": {"type": "worker", "index": 0}}, "int"),
        ({"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}, "a:1"),
    ],
)
def test_a_malformed_tf_config_is_explained(config, found):
    with pytest.raises(UserError, match="cannot use TF_CONFIG") as error:
        cluster(config)
    assert found in str(error.value) and '"index": 0' in str(error.value) and "\n" not in str(error.value)


def test_the_watchdog_leaves_when_a_worker_stops_answering(capfd):
    with socket.create_server(("127.0.0.1", 0)) as worker:
        address = f"127.0.0.1:{worker.getsockname()[1]}"
        left: list[int] = []
        watchdog = Watchdog(Cluster(("127.0.0.1:1", address), 0), patience=0.5, interval=0.05, leave=left.append)
        watchdog.start()
        time.sleep(1.0)
        assert left == []  # longer than its patience, and the worker answers
    watchdog.join(5)
    assert left == [RESTART]
    message = capfd.readouterr().err
    assert f"error: worker 1 ({address}) has not answered" in message and "--resume" in message


@pytest.mark.parametrize("stderr", ["/dev/full", "closed pipe"])
def test_the_watchdog_leaves_even_if_it_cannot_say_why(monkeypatch, stderr):
    if stderr == "closed pipe":
        reading, writing = os.pipe()
        os.close(reading)
        stderr = writing
    left: list[int] = []
    with suppress(OSError), open(stderr, "w") as unwritable:
        monkeypatch.setattr("sys.stderr", unwritable)
        Watchdog(Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0), leave=left.append).leave("worker 1 is gone")
    assert left == [RESTART]


def test_who_does_not_join_is_named_and_not_waited_for_for_ever(capfd):
    with socket.create_server(("127.0.0.1", 0)) as worker:
        there = f"127.0.0.1:{worker.getsockname()[1]}"
        cluster = Cluster((free_address(), there, "127.0.0.1:3"), 0)
        words = r"^worker 2 \(127.0.0.1:3\) did not join within 1 seconds: see why there"
        with pytest.raises(UserError, match=words) as caught:
            wait_for_others(cluster, patience=1, interval=0.05, tell_interval=0.3)
    assert caught.value.exit_code == RESTART
    assert set(capfd.readouterr().err.splitlines()) == {"still waiting for worker 2 (127.0.0.1:3)"}


def test_workers_find_each_other_in_any_order():
    addresses = tuple(free_address() for _ in range(3))
    done = []

    def join(index):
        time.sleep(0.2 * index)
        wait_for_others(Cluster(addresses, index), patience=20, interval=0.05)
        with socket.create_server(("127.0.0.1", int(addresses[index].rpartition(":")[2]))):  # as TensorFlow then does
            done.append(index)
            while len(done) < 3:
                time.sleep(0.05)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(join, range(3)))


def test_an_address_in_use_is_said():
    with socket.create_server(("", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UserError, match=f"worker 0 cannot join at {address}: Address already in use"):
            wait_for_others(Cluster((address, "127.0.0.1:3"), 0))


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_stopped_watchdog_lets_workers_go():
    left: list[int] = []
    watchdog = Watchdog(Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0), patience=0.2, interval=0.05, leave=left.append)
    watchdog.start()
    watchdog.stop()
    watchdog.join(5)
    time.sleep(0.3)
    assert left == []
