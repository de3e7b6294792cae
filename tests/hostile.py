"""Reading files that mean harm, in a process of its own: with a limit on its memory and its time."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_CHILD = """
import json, resource, sys
{setup}
resource.setrlimit(resource.RLIMIT_AS, ({address_space},) * 2)
from crn_tf.errors import UserError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {statement}
    outcome, message = "accepted", ""
except UserError as error:
    outcome, message = "refused", str(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([outcome, message, (after - before) / 1024]))
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a read: "accepted" or "refused", the message, and by how many megabytes the process grew."""

    outcome: str
    message: str
    megabytes: float


def read_guarded(setup: str, statement: str, *arguments: Path, gigabytes: float = 4, seconds: float = 60) -> Outcome:
    """Run `setup` (imports), then `statement`, in a child process that gets `arguments` in `sys.argv[1:]`.

    Raises:
        AssertionError: It crashed, or something else than UserError was raised.
        subprocess.TimeoutExpired: It hung.
    """
    code = _CHILD.format(setup=setup, statement=statement, address_space=int(gigabytes * 2**30))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    assert child.returncode == 0, f"exit code {child.returncode}: {child.stderr[-2000:]}"
    return Outcome(*json.loads(child.stdout.splitlines()[-1]))
