"""What is kept off standard error, and what is not."""

import os
import re

import pytest

from crn_tf.starting import OF_THE_MACHINE, kept_back


def write(*lines: str) -> None:
    """As a library in C++ does, past Python's own standard error."""
    for line in lines:
        os.write(2, f"{line}\n".encode())


def test_only_noise_is_kept_back_and_the_rest_is_shown_in_the_end(capfd):
    with kept_back(re.compile(b"noise")):
        write("noise", "a warning", "more noise")
        write("the last")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "a warning\nthe last\n"
    write("afterwards")
    assert capfd.readouterr().err == "afterwards\n"


def test_without_noise_to_look_for_everything_is_shown_after_a_failure_only(capfd):
    with kept_back():
        write("one", "two")
    assert capfd.readouterr().err == ""
    with pytest.raises(KeyboardInterrupt), kept_back():
        write("one", "two")
        raise KeyboardInterrupt
    assert capfd.readouterr().err == "one\ntwo\n"


def test_a_failure_shows_no_noise(capfd):
    with pytest.raises(ZeroDivisionError), kept_back(re.compile(b"noise")):
        write("noise", "a warning")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "a warning\n"


@pytest.mark.parametrize(
    ("line", "noise"),
    [
        (
            b"E0000 00:00:1 7 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: UNKNOWN ERROR (303)",
            True,
        ),
        (b"E0000 00:00:1 7 util.cc:131] oneDNN supports DT_UINT16 only on platforms with AVX-512. Falling back", True),
        (b"E0000 00:00:1 7 cuda_executor.cc:9] CUDA_ERROR_OUT_OF_MEMORY: out of memory", False),
        (b"error: cuInit", False),
    ],
)
def test_tensorflows_words_on_the_machine_are_told_from_errors(line, noise):
    assert bool(OF_THE_MACHINE.search(line)) == noise
