"""What `make` installs, with which Python, and what it says where it cannot. Nothing is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def clone(tmp_path) -> Path:
    """What a fresh clone has that make looks at."""
    (tmp_path / "clone/crn_tf").mkdir(parents=True)
    for name in ("Makefile", "crn_tf/supported.py", *(path.name for path in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


def program(path: Path, *lines: str) -> Path:
    """A shell script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def make(clone: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    # Not what `make test` hands on to the tests.
    own = ("GPU", "PYTHON", "VENV", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in own and "MAKE" not in name}
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.fixture
def card(tmp_path) -> Path:
    """A folder with an nvidia-smi that lists two cards."""
    cards = [f'echo "GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-5e1f-{n})"' for n in range(2)]
    return program(tmp_path / "with_card/nvidia-smi", *cards).parent


@pytest.fixture
def no_card(tmp_path) -> Path:
    """A folder with an nvidia-smi that finds none."""
    return program(tmp_path / "without_card/nvidia-smi", 'echo "NVIDIA-SMI has failed"; exit 9').parent


@pytest.mark.parametrize("target", ["install", "demo", "paint", "install-dev"])
def test_a_card_brings_cuda_unless_gpu_decides_otherwise(clone, card, no_card, target):
    for folder, given, chosen, why in (
        (card, (), "requirements-gpu.txt", "nvidia-smi lists GPU 0: NVIDIA H100 80GB HBM3"),
        (card, ("GPU=0",), "requirements.txt", "GPU=0"),
        (no_card, (), "requirements.txt", "nvidia-smi lists no card"),
        (no_card, ("GPU=1",), "requirements-gpu.txt", "GPU=1"),
    ):
        told = make(clone, "--dry-run", target, *given, path=folder).stdout
        assert f".venv/bin/python -m pip install --quiet --requirement {chosen}\n" in told
        (line,) = make(clone, "requirements", *given, path=folder).stdout.splitlines()
        assert line.startswith(f"installing {chosen} into .venv: {why}") and f"echo '{line}'" in told


def test_painting_is_a_command_and_the_demo_ends_with_it(clone):
    assert make(clone, "--dry-run", "paint").stdout.splitlines()[-1] == ".venv/bin/python -m crn_tf.paint"
    told = make(clone, "--dry-run", "demo").stdout.splitlines()
    (run,) = (line.rpartition(" ")[2] for line in told if "train.py --demo" in line)
    assert told[-1] == f"echo 'To paint layouts for it: .venv/bin/python -m crn_tf.paint --weights {run}'"


def test_gpu_is_0_or_1(clone):
    done = make(clone, "install", "GPU=yes")
    assert done.returncode == 2 and "GPU=yes: expected 0 or 1" in done.stderr


def test_an_unsupported_python_is_one_line_before_anything_is_made(clone, tmp_path):
    (tmp_path / "as_314").mkdir()
    (tmp_path / "as_314/sitecustomize.py").write_text("import sys\nsys.version_info = (3, 14, 0, 'final', 0)\n")
    answers = f'PYTHONPATH={tmp_path / "as_314"} exec {sys.executable} "$@"'
    stand_in = program(tmp_path / "stand_in/python3.14", answers)
    done = make(clone, "install", f"PYTHON={stand_in}")
    first, makes_own = done.stderr.splitlines()
    assert done.returncode == 2 and makes_own.startswith("make: ***")
    assert first == (
        "error: this is Python 3.14; TensorFlow 2.21 is there for Python 3.11 to 3.13: use one of these, such as: "
        "make install PYTHON=python3.13"
    )
    assert done.stdout == "" and not (clone / ".venv").exists()


def test_a_python_that_is_not_there_is_one_line(clone):
    first = make(clone, "install", "PYTHON=python3.99").stderr.splitlines()[0]
    assert first == "error: there is no python3.99: name a Python that is here, such as: make PYTHON=python3.12"


def test_another_python_gets_an_environment_of_its_own(clone, tmp_path):
    program(tmp_path / "old/python", "echo 3.11").rename(tmp_path / "python_of_the_environment")
    (clone / ".venv/bin").mkdir(parents=True)
    (tmp_path / "python_of_the_environment").rename(clone / ".venv/bin/python")
    other, same = (program(tmp_path / f"pythons/{name}", f"echo {name[6:]}") for name in ("python3.12", "python3.11"))
    assert "into .venv-3.12:" in make(clone, "requirements", f"PYTHON={other}").stdout
    assert "into .venv:" in make(clone, "requirements", f"PYTHON={same}").stdout
    assert "into .venv:" in make(clone, "requirements").stdout
    assert "into elsewhere:" in make(clone, "requirements", f"PYTHON={other}", "VENV=elsewhere").stdout
    assert ".venv-3.12/bin/python -m pytest" in make(clone, "--dry-run", "test", f"PYTHON={other}").stdout
