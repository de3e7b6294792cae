"""The package as a wheel: what is in it, and that it trains and synthesizes from an empty folder."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the files that belong to the project, in a copy, since building leaves things behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    kinds = ("crn_tf", "*.toml", "*.txt", "*.md", "LICENSE")
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *kinds]
    listed = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in (name for name in listed if (ROOT / name).is_file()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of a fresh environment with the wheel; the libraries it needs are borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"]
    subprocess.run([*install, str(wheel)], check=True)
    return folder / "bin"


def test_the_wheel_has_every_module_and_needs_what_requirements_txt_says(wheel):
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.startswith("crn_tf/")}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
        (entries,) = (archive.read(n).decode() for n in archive.namelist() if n.endswith("/entry_points.txt"))
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "crn_tf").rglob("*") if path.is_file()}
    assert found == {name for name in files if "__pycache__" not in name}
    assert "crn_tf/py.typed" in found
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    needed = re.findall(r"^Requires-Dist: (\S+)", metadata, re.MULTILINE)
    assert [re.split("[<>=]", name)[0] for name in needed] == [re.split("[<>=]", line)[0] for line in lines if line]
    assert "crn = crn_tf.__main__:main" in entries
    assert re.findall(r"^Requires-Python: (.*)", metadata, re.MULTILINE) == ["<3.14,>=3.11"]


def test_the_installed_command_trains_the_toy_in_an_empty_folder_and_synthesizes(installed, tmp_path):
    def crn(*arguments: str) -> str:
        done = subprocess.run([installed / "crn", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    toy = ("--dataset", "toy", "--vgg-weights", "random", "--size", "16x32", "--width", "0.01", "--images", "1")
    told = crn("train", *toy, "--steps", "2", "--validation-limit", "2", "--out", "run")
    assert "done at step 2" in told
    assert crn("test", "--help").startswith("usage: crn test ")
    crn("test", "--weights", "run", "--limit", "1")
    assert (tmp_path / "results/toy_val_0000.png").is_file()
    where = [installed / "python", "-c", "import crn_tf.train; print(crn_tf.train.__file__)"]
    file = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(file.strip()).is_relative_to(installed.parent)  # not this checkout
