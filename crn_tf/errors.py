"""Errors that a person can act on, and how a command turns them into one line and an exit code."""

import os
import sys
import unicodedata
from collections.abc import Callable


class UserError(Exception):
    """Something outside the code is wrong: a file, a setting, the disk. The message is all the user sees.

    A message names what was looked at, what was found, what was expected and what to do. Exit code 1.
    """

    exit_code = 1


class UsageError(UserError):
    """The command was called with arguments that do not make sense. Exit code 2."""

    exit_code = 2


STOPPED = 130  # exit code after Ctrl-C, as shells have it
RESTART = 75  # EX_TEMPFAIL of sysexits.h: after SIGTERM, saved; the same command with --resume goes on


def unprintable(text: str) -> bool:
    """Whether a text has line breaks, other control characters, or bytes that are not UTF-8.

    As a name it could not be shown in one line, be written to a log, or be part of another file's name.
    """
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def run_command(command: Callable[[], int | None]) -> None:
    """Run a command and leave the process: errors meant for the user become one message without a traceback.

    Args:
        command: Does the work and returns the exit code, or None for success.

    Raises:
        SystemExit: Always. 0 or the returned code, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
    """
    try:
        for argument in filter(unprintable, sys.argv[1:]):
            raise UsageError(f"the argument {argument!r} has a line break or bytes that are not UTF-8: rename the file")
        sys.exit(command())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output (head, less) went away: nothing to report to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
