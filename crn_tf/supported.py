"""Whether this Python and this computer can run the commands: one line where they cannot, before anything is imported
that is missing there.

Nothing here is newer than Python 3.6, so that older ones can say so too. `make` runs this file by itself.
"""

import importlib.util
import os
import sys
from typing import Optional, Sequence, Tuple

TENSORFLOW = "2.21"  # as in requirements.txt
OLDEST, NEWEST = (3, 11), (3, 13)  # that there are packages of that TensorFlow for
PAGE = "docs/machines.md"


def refusal(version: Tuple[int, int], system: str, machine: str) -> Optional[str]:
    """Why the commands cannot run, and what to use instead; None if they can.

    Args:
        version: Of Python, such as (3, 12).
        system: As `sys.platform` names it.
        machine: The processor, as `os.uname` names it.
    """
    if system in ("win32", "cygwin"):
        return f"this is Windows without WSL: use WSL2, where all is as on Linux (wsl --install; see {PAGE})"
    if system == "darwin" and machine == "x86_64":
        return (
            "this Python is for Macs with an Intel processor, for which TensorFlow ended with 2.16, and "
            f"{TENSORFLOW} is needed: use a Python for arm64 on a Mac with Apple silicon, else a container or Linux "
            f"(see {PAGE})"
        )
    if not OLDEST <= version <= NEWEST:
        oldest, newest = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
        return (
            f"this is Python {version[0]}.{version[1]}; TensorFlow {TENSORFLOW} is there for Python {oldest} to "
            f"{newest}: use one of these, such as: make install PYTHON=python{newest}"
        )
    return None


def refuse_unsupported() -> None:
    """Leave the process, with one line and exit code 2, if the commands cannot run here.

    Raises:
        SystemExit: They cannot.
    """
    machine = os.uname().machine if hasattr(os, "uname") else ""  # Windows has none
    why = refusal((sys.version_info[0], sys.version_info[1]), sys.platform, machine)
    if why:
        sys.stderr.write(f"error: {why}\n")
        sys.exit(2)


def refuse_without_libraries() -> None:
    """Leave the process, with one line and exit code 2, if what `make install` installs is not there.

    Raises:
        SystemExit: It is not.
    """
    missing = [name for name in ("numpy", "tyro") if not importlib.util.find_spec(name)]
    if missing:
        sys.stderr.write(
            f"error: {sys.executable} has no {' and no '.join(missing)}: make install && . .venv/bin/activate\n"
        )
        sys.exit(2)


def is_command(program: str, arguments: Sequence[str]) -> bool:
    """Whether this process is being started as one of the project's commands, not another program that imports it.

    Args:
        program: `sys.argv[0]`, as it is while the package is imported.
        arguments: What Python itself was called with.
    """
    if program == "-m":  # Python looks for the module
        return any(argument.split(".")[0] == "crn_tf" for argument in arguments)
    folder, name = os.path.split(os.path.abspath(program))
    project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.splitext(name)[0] == "crn" or (folder == project and name in ("train.py", "test.py"))


if __name__ == "__main__":
    refuse_unsupported()
