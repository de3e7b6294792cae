"""Errors that a person can act on, and how a command turns them into one line and an exit code."""

import errno
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence


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


def one_line(error: BaseException | str, longest: int = 300) -> str:
    """What a library says, whole, as one line that can be part of a message.

    Args:
        error: Any error, or its text. One without a text is called by its kind.
        longest: Characters; a longer text is cut at its end.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join("?" if unprintable(character) else character for character in text)
    return text if len(text) <= longest else text[: longest - 3].rstrip() + "..."


def run_command(command: Callable[..., int | None], arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process: errors meant for the user become one message without a traceback.

    Args:
        command: Does the work and returns the exit code, or None for success.
        arguments: What the user gave to the command, which is called with them; if None, it is called without any, and
            takes them from the command line itself.

    Raises:
        SystemExit: Always. 0 or the returned code, 1 for a failure, 2 for wrong usage, `STOPPED` after Ctrl-C.
    """
    try:
        for argument in filter(unprintable, sys.argv[1:] if arguments is None else arguments):
            raise UsageError(f"the argument {argument!r} has a line break or bytes that are not UTF-8: rename the file")
        sys.exit(command() if arguments is None else command(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(STOPPED)
    except BrokenPipeError:  # the reader of our output (head, less) went away: nothing to report to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:  # of standard output, which has no name
            raise
        print(f"error: cannot write the output: {os.strerror(errno.ENOSPC)}", file=sys.stderr)
        os._exit(1)  # Python would try to write the rest of it
