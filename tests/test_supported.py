"""Pythons and computers without TensorFlow get one line, at once, from every command."""

import os
import re
import subprocess
import sys
import tomllib

import pytest

from crn_tf import __main__
from crn_tf.supported import NEWEST, OLDEST, TENSORFLOW, is_command, refusal
from tests.conftest import ROOT

MODULES = ("crn_tf", *(f"crn_tf.{name}" for name in __main__.COMMANDS))
COMMANDS = [["train.py"], ["test.py"], *(["-m", module] for module in MODULES)]


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_what_tensorflow_has_packages_for_is_supported(version, system, machine):
    assert refusal(version, system, machine) is None


@pytest.mark.parametrize(
    ("version", "system", "machine", "found", "instead"),
    [
        ((3, 14), "linux", "x86_64", "Python 3.14", "Python 3.11 to 3.13"),
        ((3, 10), "linux", "aarch64", "Python 3.10", "Python 3.11 to 3.13"),
        ((4, 0), "darwin", "arm64", "Python 4.0", "Python 3.11 to 3.13"),
        ((3, 12), "darwin", "x86_64", "Intel", "container"),
        ((3, 12), "win32", "", "Windows without WSL", "WSL2"),
        ((3, 14), "cygwin", "x86_64", "Windows without WSL", "WSL2"),
    ],
)
def test_others_are_told_what_there_is_and_what_to_use_instead(version, system, machine, found, instead):
    told = refusal(version, system, machine)
    assert found in told and instead in told and "\n" not in told


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("pretended", "found"),
    [("sys.version_info = (3, 14, 0, 'final', 0)", "Python 3.14"), ("sys.platform = 'win32'", "Windows without WSL")],
)
def test_every_command_says_so_before_it_imports_a_library(tmp_path, command, pretended, found):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\n{pretended}\n")
    for name in ("numpy", "tyro", "PIL", "tensorflow", "keras", "fcntl"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "") and line.startswith("error: this is ") and found in line


def test_missing_libraries_are_one_line(tmp_path):
    without = [sys.executable, "-S", "train.py", "--help"]  # -S: no site-packages
    done = subprocess.run(without, cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.endswith("has no numpy and no tyro: make install && . .venv/bin/activate")


def test_other_programs_that_import_the_package_are_left_alone():
    assert is_command("-m", ["python", "-m", "crn_tf.train"]) and is_command("/usr/bin/crn", [])
    assert is_command(str(ROOT / "train.py"), []) and is_command(r"Scripts/crn.exe", [])
    assert not is_command("-m", ["python", "-m", "pytest", "tests/test_crn_tf.py"])
    assert not is_command("/somewhere/train.py", []) and not is_command("", []) and not is_command("-c", [])


def test_all_places_name_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]},<{NEWEST[0]}.{NEWEST[1] + 1}"
    for name in ("requirements.txt", "requirements-gpu.txt"):
        (found,) = re.findall(r"^tensorflow\S*>=(\S+),<", (ROOT / name).read_text(), re.MULTILINE)
        assert found == TENSORFLOW


def test_the_gpu_requirements_are_the_others_and_cuda():
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements-gpu.txt").read_text().splitlines()]
    (plain,) = re.findall(r"^tensorflow(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert [line for line in lines if line] == ["--requirement requirements.txt", f"tensorflow[and-cuda]{plain}"]
