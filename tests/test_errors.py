"""What a user sees of an error: one line, and an exit code."""

import sys
from functools import partial

import pytest

from crn_tf.errors import UserError, one_line, run_command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError("all of it\n\n  and\tits story; (even 'this')\u2028\n"),
            "all of it and its story; (even 'this')",
        ),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ValueError("bell \a, escape \x1b[31m, half a character \udcff"), "bell ?, escape ?[31m, half a character ?"),
        (ValueError(), "ValueError"),
        (KeyError("\n"), r"'\n'"),
        (ValueError(" \n"), "ValueError"),
    ],
)
def test_what_a_library_says_becomes_one_whole_line(error, line):
    assert one_line(error) == line


def test_a_line_has_a_limit():
    assert one_line(ValueError("x" * 300)) == "x" * 300
    assert one_line(ValueError("x" * 301)) == "x" * 297 + "..."
    assert one_line(ValueError("a few words too many"), longest=12) == "a few wor..."


def exit_code(command, *arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        run_command(command, *arguments)
    return stop.value.code


def test_a_command_gets_the_arguments_that_are_given_and_those_are_checked(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(sys, "argv", ["program", "of\nsomebody else"])
    assert exit_code(seen.append, ["--out", "here"]) is None
    assert seen == [["--out", "here"]]
    assert exit_code(seen.append, ["--out", "line\nbreak"]) == 2
    assert len(seen) == 1
    assert capsys.readouterr().err.startswith(r"error: the argument 'line\nbreak' has a line break")


def test_without_arguments_those_of_the_process_are_checked(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(sys, "argv", ["program", "bad\rname"])
    assert exit_code(partial(seen.append, "called")) == 2
    assert not seen and "has a line break" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["program\n", "name"])
    assert exit_code(partial(seen.append, "called")) is None
    assert seen == ["called"]


def test_a_users_error_is_one_line_and_the_code_is_passed_on(capsys):
    def fail(arguments):
        raise UserError(f"cannot read {arguments[0]}")

    assert exit_code(fail, ["a.png"]) == 1
    assert capsys.readouterr().err == "error: cannot read a.png\n"
    assert exit_code(lambda arguments: 75, []) == 75
