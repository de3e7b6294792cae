"""Ctrl-C and SIGTERM before training has begun."""

import signal
import subprocess
import sys
import time

import pytest

from crn_tf.errors import RESTART, STOPPED
from tests.conftest import ROOT

# A main thread that Python's own handlers cannot reach: it waits in C for a lock that it has itself.
BUSY = """
import ctypes
from crn_tf.interruptions import leaving_at_once
with leaving_at_once():
    mutex = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    print("ready", flush=True)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""

# Interrupted when the training loop's handlers are there, at its very beginning.
BEGUN = """
import os, signal, time
from crn_tf.interruptions import leaving_at_once, training_begins
received = []
with leaving_at_once():
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    training_begins()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
assert received == [signal.SIGTERM]
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and signal.set_wakeup_fd(-1) == -1
"""

# Another handler was there meanwhile.
TAKEN = """
import os, signal, time
from crn_tf.interruptions import leaving_at_once
with leaving_at_once() as take_signals:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    take_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "code", "words"), [(signal.SIGTERM, RESTART, "SIGTERM"), (signal.SIGINT, STOPPED, "stopped")]
)
def test_a_process_that_gets_ready_leaves_at_once(number, code, words):
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        start = time.monotonic()
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == code and time.monotonic() - start < 10
    assert errors == f"{words} before training began: nothing was to be saved\n"


def test_what_has_begun_gets_the_signals_itself():
    subprocess.run([sys.executable, "-c", BEGUN], cwd=ROOT, check=True)


def test_signals_are_taken_back():
    assert subprocess.run([sys.executable, "-c", TAKEN], cwd=ROOT, capture_output=True).returncode == RESTART
