"""The cluster that TF_CONFIG describes, and the watchdog that ends a worker when another one has died.

No TensorFlow: what is wrong with TF_CONFIG is said at once.
"""

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crn_tf.errors import RESTART, UserError
from crn_tf.files import parse_json

PATIENCE = 20.0  # seconds without an answer after which a worker counts as dead
JOINING_PATIENCE = 900.0  # seconds to wait for workers that were not started yet, or wait in a queue
TELL_INTERVAL = 30.0  # seconds between two lines that say who is missing
PROBE_INTERVAL = 2.0  # seconds between two questions to a worker
PROBE_TIMEOUT = 5.0  # seconds to wait for an answer
_EXPECTED = (
    'expected {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}, with '
    "another index for each worker"
)


def find_cluster(strategy: str) -> "Cluster | None":
    """The cluster that a --strategy may use; None if there is none.

    Raises:
        UserError: TF_CONFIG cannot be understood, or is missing where it is needed.
    """
    if strategy not in ("auto", "multi-worker"):
        return None
    cluster = Cluster.from_environment()
    if cluster is None and strategy == "multi-worker":
        raise UserError(f"--strategy multi-worker needs the environment variable TF_CONFIG: {_EXPECTED}")
    return cluster


@dataclass(frozen=True)
class Cluster:
    """The workers of a job, and which of them this process is. The first one is the chief."""

    addresses: tuple[str, ...]  # HOST:PORT
    index: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Cluster | None":
        """Read TF_CONFIG; None if it is not set, or names no cluster.

        Raises:
            UserError: TF_CONFIG cannot be understood.
        """
        text = environment.get("TF_CONFIG", "").strip()
        if not text:
            return None
        try:
            config = parse_json(text)
            if not isinstance(config, dict):
                raise ValueError("it is no JSON object")
            if not config.get("cluster"):
                return None
            return cls._from_config(config)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = f"it has no {error}" if isinstance(error, KeyError) else error
            raise UserError(f"cannot use TF_CONFIG: {found}; {_EXPECTED}") from error

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> "Cluster":
        """The cluster that a configuration describes.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: The configuration is wrong; the kind follows from how.
        """
        jobs, task = config["cluster"], config["task"]
        others = sorted(set(jobs) - {"chief", "worker"})
        if others:
            raise ValueError(f"its cluster has {others[0]!r}, which training here has no use for")
        chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
        for address in (*chiefs, *workers):
            if not isinstance(address, str) or not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):\d{1,5}", address):
                raise ValueError(f"{address!r} is no address")
            if not 1 <= int(address.rpartition(":")[2]) <= 65535:
                raise ValueError(f"{address!r} has a port that is none: expected 1 to 65535")
        if len({*chiefs, *workers}) < len(chiefs) + len(workers):
            raise ValueError("two workers have the same address")
        if len(chiefs) > 1:
            raise ValueError(f"its cluster has {len(chiefs)} chiefs")
        kind, index = task["type"], task["index"]
        if type(index) is not int or not 0 <= index < len(jobs.get(kind, [])):
            raise ValueError(f"its cluster has no {kind} {index}")
        return cls((*chiefs, *workers), index if kind == "chief" else index + len(chiefs))

    @property
    def others(self) -> dict[int, str]:
        """The other workers' addresses, by their index."""
        return {index: address for index, address in enumerate(self.addresses) if index != self.index}


class Watchdog(threading.Thread):
    """Asks the other workers again and again whether they are there, and ends the process if one is not.

    A step waits for the gradients of all workers. If one has died, TensorFlow sometimes notices and sometimes waits for
    ever, inside a call that nothing can interrupt; so the process is ended from here, by force. Nothing is lost but the
    steps since the last checkpoint: the weights may be in the middle of an update, and are not worth saving.

    "There" means that a connection to the address in TF_CONFIG is accepted, as TensorFlow's server does.
    """

    def __init__(
        self,
        cluster: Cluster,
        patience: float = PATIENCE,
        interval: float = PROBE_INTERVAL,
        leave: Callable[[int], None] = os._exit,
    ):
        super().__init__(name="watchdog", daemon=True)
        self._cluster, self._patience, self._interval, self._leave = cluster, patience, interval, leave
        self._stopped, self._paused = threading.Event(), threading.Event()

    def run(self) -> None:
        """Watch until `stop`."""
        answered = dict.fromkeys(self._cluster.others, time.monotonic())
        while not self._stopped.wait(self._interval):
            if self._paused.is_set():
                answered = dict.fromkeys(self._cluster.others, time.monotonic())
                continue
            for index, address in self._cluster.others.items():
                if answers(address):
                    answered[index] = time.monotonic()
                elif time.monotonic() - answered[index] > self._patience and not self._stopped.is_set():
                    self.leave(f"worker {index} ({address}) has not answered for {self._patience:.0f} seconds")
                    return

    def pause(self, paused: bool) -> None:
        """While paused, others may be gone: this process does something that needs nobody."""
        (self._paused.set if paused else self._paused.clear)()

    def hurry(self) -> None:
        """There is reason to think that a worker has died: be less patient."""
        self._patience = min(self._patience, self._interval)

    def stop(self) -> None:
        """Watch no more: the work is done, and who has finished may go."""
        self._stopped.set()

    def leave(self, why: str) -> None:
        """End the process at once, saying why, with the exit code that means "start me again"."""
        _leave_saying(
            f"error: {why}: it has died or cannot be reached. This worker ({self._cluster.index}) stops too; start all "
            "workers again with --resume to go on from the last checkpoint",
            self._leave,
        )


def wait_for_others(
    cluster: Cluster,
    patience: float = JOINING_PATIENCE,
    interval: float = PROBE_INTERVAL,
    tell_interval: float = TELL_INTERVAL,
) -> None:
    """Wait until every other worker was there once, and say now and then who is missing.

    TensorFlow would wait too, but deaf to signals, for an hour, and say nothing. "There" means that a connection to the
    address in TF_CONFIG is accepted: meanwhile by this function, then by TensorFlow's server.

    Args:
        cluster: The workers.
        patience: Seconds to wait.
        interval: Seconds between two questions to a worker.
        tell_interval: Seconds between two lines that say who is missing.

    Raises:
        NotThereError: Another worker stayed away. Exit code `RESTART`.
        UserError: This worker's own address cannot be used.
    """
    missing = dict(cluster.others)
    begun = told = time.monotonic()
    with _listening(cluster):
        while missing := {index: address for index, address in missing.items() if not answers(address)}:
            names = ", ".join(f"worker {index} ({address})" for index, address in missing.items())
            now = time.monotonic()
            if now - begun > patience:
                raise NotThereError(
                    f"{names} did not join within {patience:.0f} seconds: see why there, and whether TF_CONFIG is right"
                )
            if now - told > tell_interval:
                print(f"still waiting for {names}", file=sys.stderr)
                told = now
            time.sleep(interval)


class NotThereError(UserError):
    """Another worker did not come. All may be started again."""

    exit_code = RESTART


def _listening(cluster: Cluster) -> socket.socket:
    port = int(cluster.addresses[cluster.index].rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
    except OSError as error:
        address = cluster.addresses[cluster.index]
        raise UserError(f"worker {cluster.index} cannot join at {address}: {error.strerror or error}") from error


def _leave_saying(message: str, leave: Callable[[int], None]) -> None:
    """End the process with the exit code `RESTART`, even if nobody can be told why (a closed pipe, a full disk)."""
    try:
        print(message, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    finally:
        leave(RESTART)


def answers(address: str) -> bool:
    """Whether something accepts connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_TIMEOUT):
            return True
    except OSError:
        return False


def tf_config(addresses: list[str], index: int) -> str:
    """The TF_CONFIG of a worker."""
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
