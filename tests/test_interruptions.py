"""Ctrl-C and SIGTERM before training has begun, while it lasts, and after it."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from crn_tf.errors import RESTART, STOPPED
from crn_tf.training.interruptions import Interruptions, PreemptedError, StopRequest
from tests.conftest import ROOT, raise_signal

# A main thread that Python's own handlers cannot reach: it waits in C for a lock that it has itself.
BUSY = """
import ctypes
from crn_tf.training.interruptions import Interruptions, StopRequest
with Interruptions() as interruptions:
    {before}
    mutex = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    print("ready", flush=True)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
TRAINED = "with interruptions.saving(StopRequest()): pass"

# Another handler was there meanwhile.
TAKEN = """
import os, signal, time
from crn_tf.training.interruptions import Interruptions
with Interruptions() as interruptions:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interruptions.take_back()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "code", "words"), [(signal.SIGTERM, RESTART, "SIGTERM"), (signal.SIGINT, STOPPED, "stopped")]
)
@pytest.mark.parametrize(
    ("before", "when"),
    [("pass", "before training began: nothing was to be saved"),
     (TRAINED, "after training: nothing more is to be saved here")],
)  # fmt: skip
def test_a_process_that_has_nothing_to_save_leaves_at_once(number, code, words, before, when):
    command = [sys.executable, "-c", BUSY.format(before=before)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        start = time.monotonic()
        process.send_signal(number)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == code and time.monotonic() - start < 10
    assert errors == f"{words} {when}\n"


def test_what_has_begun_is_asked_to_stop_and_does_not_leave():
    left = []
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruptions(left.append) as interruptions:
        for number, preempted in ((signal.SIGINT, False), (signal.SIGTERM, True)):
            request = StopRequest()
            with interruptions.saving(request):
                assert not request.stop
                raise_signal(number)
                assert request.stop and request.preempted == preempted
                time.sleep(0.2)
            assert left == []
        raise_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert left == [RESTART]
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert signal.set_wakeup_fd(-1) == -1


def test_a_second_ctrl_c_stops_at_once():
    request = StopRequest()
    with pytest.raises(KeyboardInterrupt), Interruptions().saving(request):
        raise_signal(signal.SIGINT)
        assert request.stop
        raise_signal(signal.SIGINT)


def test_what_is_only_measured_ends_when_sigterm_comes():
    request = StopRequest()
    seen = []
    with pytest.raises(PreemptedError):
        for item in request.unless_preempted(range(5)):
            seen.append(item)
            request.stop = True  # Ctrl-C lets it come to its end
            request.preempted = item == 2
    assert seen == [0, 1, 2]


def test_a_thread_that_gets_no_signals_trains_without():
    trained = []

    def train():
        with Interruptions().saving(StopRequest()):
            trained.append(True)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert trained == [True]


def test_signals_are_taken_back():
    assert subprocess.run([sys.executable, "-c", TAKEN], cwd=ROOT, capture_output=True).returncode == RESTART
