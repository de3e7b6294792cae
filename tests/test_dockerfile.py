"""What can be told of the image without Docker: what it copies is there and sent, and it does not run as root."""

import fnmatch
import json
import re
import shlex

import pytest

from crn_tf.supported import refusal
from tests.conftest import ROOT

TEXT = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
STEPS = [line.split(maxsplit=1) for line in TEXT.replace("\\\n", " ").splitlines() if line.strip()]


def of(instruction: str) -> list[str]:
    return [value for name, value in STEPS if name == instruction]


COPIED = [source for value in of("COPY") for source in value.split()[:-1]]


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_is_there_and_is_sent(source):
    assert (ROOT / source).exists()
    sent = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert sent[0] == "*" and f"!{source.rstrip('/')}" in sent


def test_nothing_large_or_private_is_sent():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#"]
    for path in ("runs", "data", "vgg_weights", ".venv", ".git", "results", "tests"):
        decided = [line for line in ignored if fnmatch.fnmatch(path, line.lstrip("!"))]
        assert decided and not decided[-1].startswith("!"), path


def test_an_argument_chooses_the_requirements_which_have_been_copied_before():
    run = next(value for value in of("RUN") if "--requirement" in value)
    chosen = dict(re.findall(r"(\d)\) requirements=(\S+)", run))
    assert chosen == {"0": "requirements.txt", "1": "requirements-gpu.txt"}
    assert set(chosen.values()) <= set(COPIED) and "GPU=0" in of("ARG")
    order = [value for name, value in STEPS if name in ("COPY", "RUN")]
    assert order[0].split()[:-1] == list(chosen.values()) and order[1] == run


def test_the_package_is_built_from_what_is_copied():
    """setuptools reads all of these: pyproject.toml names them."""
    project = (ROOT / "pyproject.toml").read_text()
    for name in ("README.md", "LICENSE", "requirements.txt"):
        assert f'"{name}"' in project and name in COPIED
    assert {"pyproject.toml", "crn_tf/"} <= set(COPIED)


def test_it_runs_the_command_and_not_as_root_with_its_data_outside():
    names = [name for name, _ in STEPS]
    assert of("USER") == ["crn"] and names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    assert any(shlex.split(part)[0] == "useradd" for value in of("RUN") for part in value.split("&&"))
    (folder,) = of("WORKDIR")
    assert json.loads(of("VOLUME")[0]) == [f"{folder}/{name}" for name in ("runs", "data", "vgg_weights")]
    assert json.loads(of("ENTRYPOINT")[0]) == ["crn"]


def test_its_python_is_a_supported_one():
    (version,) = re.findall(r"PYTHON=(\d)\.(\d+)", " ".join(of("ARG")))
    assert refusal((int(version[0]), int(version[1])), "linux", "x86_64") is None
    assert of("FROM") == ["python:${PYTHON}-slim"]
