"""Runs train.py again and again without importing TensorFlow each time, which takes longer than the training here.

A program of its own, because only a process that has not used TensorFlow yet may fork. It prints what happened as JSON.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import train
from crn_tf.errors import run_command
from crn_tf.training import opening  # noqa: F401 (what takes long)

TIMEOUT = 60  # seconds until a checkpoint appears


def fork(arguments: list[str], log: Path) -> int:
    """Start train.py with these arguments in a child process. Returns its id."""
    child = os.fork()
    if child:
        return child
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["train.py", *arguments]
    try:
        run_command(train.main)
    except SystemExit as stop:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(stop.code or 0)
    finally:
        os._exit(99)


def wait_until(condition) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kills", type=int)
    known, arguments = parser.parse_known_args()
    checkpoints, log = known.out / "checkpoints", known.out.with_suffix(".log")
    chance = random.Random(1)
    unfinished = 0
    codes = []

    def start() -> tuple[int, float]:
        return fork([*arguments, "--resume-or-start", "--out", str(known.out)], log), time.time_ns()

    def newest(pattern: str) -> int:
        """When the newest of some folders was made, in nanoseconds."""
        times = [0]
        for path in checkpoints.glob(pattern):
            try:
                times.append(path.stat().st_mtime_ns)
            except FileNotFoundError:  # renamed or removed meanwhile
                continue
        return max(times)

    for number in range(known.kills):
        child, since = start()
        if number % 5 == 4:  # as it starts
            time.sleep(chance.uniform(0, 3))
        else:
            wait_until(lambda since=since: newest("step_*") > since)
            time.sleep(chance.uniform(0, 0.25))
            if number % 5 in (1, 3):  # as it writes
                wait_until(lambda: newest(".step_*.part"))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        codes.append(os.waitstatus_to_exitcode(status))
        unfinished += any(checkpoints.glob(".step_*.part"))
    if known.kills:
        child, since = start()
        wait_until(lambda: newest("step_*") > since)
        os.kill(child, signal.SIGTERM)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    child, _ = start()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps({"codes": codes, "unfinished": unfinished}))


if __name__ == "__main__":
    main()
