"""What the commands' lines have in common, and how a message tells which command to type next."""

import sys
from pathlib import Path

from tyro.conf import FlagCreatePairsOff

from crn_tf.errors import UsageError

INSTEAD = "(default: {})".format  # in a flag's help: what is used where it is not given
Switch = FlagCreatePairsOff[bool]  # --resume, but no --no-resume

_AT_THE_TOP = ("train", "test")  # commands that have a file of their own beside the package


def require_at_least_one(settings: object, *names: str) -> None:
    """Compare numbers of a command line with the least that they may be; None is none.

    Args:
        settings: Has them.
        names: Of the options, one word each.

    Raises:
        UsageError: One is below 1.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, not {value}")


def how_to_call(command: str) -> str:
    """What to type for a command, by how this process was started: `crn train`, or `python train.py`."""
    program = Path(sys.argv[0])
    if program.name == "crn":
        return f"crn {command}"
    if program.parent == Path(__file__).parent:  # python -m
        return f"python -m crn_tf {command}" if program.name == "__main__.py" else f"python -m crn_tf.{command}"
    return f"python {command}.py" if command in _AT_THE_TOP else f"python -m crn_tf.{command}"
