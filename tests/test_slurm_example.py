"""cluster/slurm.sh, with stand-ins for Slurm's commands and for train.py's interpreter."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Runs the command once for each of two nodes; returns the highest exit code, as Slurm's does.
SRUN = """#!/bin/bash
while [ "${1:0:1}" = - ]; do shift; done
highest=0
for node in 0 1; do SLURM_NODEID=$node "$@"; code=$?; [ $code -gt $highest ] && highest=$code; done
exit $highest
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf 'node7\\nnode9\\n'; else echo "scontrol $*" >> requeued; fi
"""
PYTHON = """#!/bin/bash
echo "$TF_CONFIG" >> tf_config
echo "$*" >> arguments
exit $((SLURM_NODEID == 1 ? EXIT_CODE : OTHERS_CODE))
"""


@pytest.fixture
def submit(tmp_path):
    """Run the job script as Slurm would: -> exit code."""
    for name, text in (("bin/srun", SRUN), ("bin/scontrol", SCONTROL), (".venv/bin/python", PYTHON)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(*arguments: str, code: int = 0, others: int = 0, restarts: int = 0) -> int:
        environment = {
            **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "EXIT_CODE": str(code),
            "OTHERS_CODE": str(others),
            "SLURM_JOB_NODELIST": "node[7,9]", "SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": str(restarts),
        }  # fmt: skip
        command = ["bash", ROOT / "cluster/slurm.sh", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path).returncode

    return run


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_each_node_is_a_worker(submit, tmp_path):
    assert submit("runs/my run", "--data", "a b") == 0
    configs = [json.loads(line) for line in lines(tmp_path / "tf_config")]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(2)]
    assert all(config["cluster"] == {"worker": ["node7:23456", "node9:23456"]} for config in configs)
    assert (
        lines(tmp_path / "arguments")
        == ["train.py --strategy multi-worker --resume-or-start --out runs/my run --data a b"] * 2
    )
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize("code", [1, 2])
def test_a_failure_that_stays_is_not_started_again_though_the_others_ask_for_it(submit, tmp_path, capfd, code):
    assert submit("run", code=code, others=75) == 75
    assert not (tmp_path / "requeued").exists()
    assert f"worker 1 failed with {code}: not started again" in capfd.readouterr().out
    assert submit("run", code=75, others=75) == 75  # what was left behind does not count when it is submitted again
    assert (tmp_path / "requeued").exists()


def test_sigterm_waits_for_what_python_saves(submit, tmp_path):
    (tmp_path / ".venv/bin/python").write_text("#!/bin/bash\nkill -TERM $PPID; sleep 0.5; exit 75\n")
    assert submit("run") == 75
    assert (tmp_path / "requeued").exists()


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"), [(75, 0, True), (137, 3, True), (75, 20, False), (1, 0, False), (130, 0, False)]
)
def test_what_another_start_may_mend_is_started_again(submit, tmp_path, code, restarts, requeued):
    assert submit("run", code=code, restarts=restarts) == code
    assert (tmp_path / "requeued").exists() == requeued
