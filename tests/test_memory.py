"""How much memory there is: of the system, a container, a GPU."""

import math
import re
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from crn_tf.training import memory
from crn_tf.training.memory import UnknownMemoryError, available_in_words
from crn_tf.training.memory_needs import check_memory, choose_recomputation
from tests.test_memory_needs import MODEL, settings


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (
            "0::/\n",
            {"memory.max": "8000", "memory.current": "3000", "memory.stat": "anon 2000\ninactive_file 900"},
            5900,
        ),
        ("0::/\n", {"memory.max": "max", "memory.current": "3000", "memory.stat": "anon 1"}, math.inf),
        (
            "1:name=systemd:/\n0::/slurm/job_7/step_0\n",
            {
                "slurm/job_7/step_0/memory.max": "max",
                "slurm/job_7/memory.max": "9000",
                "slurm/job_7/memory.current": "2000",
                "slurm/job_7/memory.stat": "anon 1",
                "slurm/memory.max": "99000",
                "slurm/memory.current": "3000",
                "slurm/memory.stat": "anon 1",
            },
            7000,
        ),
        (
            "4:cpu,memory:/docker/1\n",
            {
                "memory/docker/1/memory.limit_in_bytes": "500",
                "memory/docker/1/memory.usage_in_bytes": "21",
                "memory/docker/1/memory.stat": "inactive_file 3\ntotal_inactive_file 20",
            },
            499,
        ),
        ("", {}, math.inf),
    ],
)
def test_a_container_has_what_its_groups_leave(tmp_path, groups, files, expected):
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(text + "\n")
    assert memory.left_to_container(tmp_path / "groups", tmp_path / "mount") == expected
    assert memory.left_to_container(tmp_path / "missing", tmp_path / "mount") == math.inf


def test_available_memory_is_that_of_this_machine():
    assert 0.1 < memory.available_gb() < 10_000


# index, UUID, whether divided, memory in units of 2**20 bytes
H100, SMALL = ("0", "GPU-8932f937-d72c", "Disabled", "81559"), ("1", "GPU-18c75ab2-6fa4", "[N/A]", "8192")
DIVIDED = ("0", "GPU-8932f937-d72c", "Enabled", "81559")
UNIFIED = ("0", "GPU-8932f937-d72c", "[N/A]", "[N/A]")

NVIDIA_SMI = """#!{python}
import sys
fields = ("index", "uuid", "mig.mode.current", "memory.total")
query, *others = sys.argv[1:]
assert sorted(others) == ["--format=csv,noheader,nounits"], others
name, _, asked = query.partition("=")
assert name == "--query-gpu", name
for row in {rows}:
    print(", ".join(row[fields.index(field)] for field in asked.split(",")))
"""


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Make TensorFlow see a GPU, and a program that tells of the given ones."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["/physical_device:GPU:0"])
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "programs").mkdir()

    def install(*rows: tuple, program: str = NVIDIA_SMI) -> Path:
        path = tmp_path / "programs/nvidia-smi"
        path.write_text(program.format(python=sys.executable, rows=rows))
        path.chmod(0o755)
        return path

    return install


@pytest.mark.parametrize(
    ("gpus", "environment", "size"),
    [
        ([H100], {}, 81559),
        ([H100, H100], {"CUDA_VISIBLE_DEVICES": "1,0"}, 81559),
        ([H100, SMALL], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, 81559),
        ([H100, SMALL], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": " 1 , 0"}, 8192),
        ([H100, SMALL], {"CUDA_VISIBLE_DEVICES": "GPU-18c75ab2-6fa4,GPU-8932f937-d72c"}, 8192),
        ([H100, SMALL], {"CUDA_VISIBLE_DEVICES": "GPU-8932"}, 81559),  # enough of it to tell it from others
    ],
)
def test_a_gpus_memory_is_all_of_the_first_visible_ones(nvidia_smi, monkeypatch, gpus, environment, size):
    nvidia_smi(*gpus)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert memory.available_gb() == pytest.approx(size * 2**20 / 1e9)


@pytest.mark.parametrize(
    ("gpus", "visible", "why"),
    [
        ([H100, SMALL], None, r"there are different ones; CUDA_DEVICE_ORDER=PCI_BUS_ID would tell which"),
        ([H100], "1", r"nvidia-smi knows no GPU '1', which CUDA_VISIBLE_DEVICES names"),
        ([H100], "GPU-18c7", r"nvidia-smi knows no GPU 'GPU-18c7'"),
        ([H100], "all", r"nvidia-smi knows no GPU 'all'"),
        ([H100], "MIG-8932f937", r"it is divided into instances \(MIG\)"),
        ([DIVIDED], None, r"it is divided into instances \(MIG\)"),
        ([UNIFIED], None, r"nvidia-smi does not tell it: 0, GPU-8932f937-d72c, \[N/A\], \[N/A\]"),
        ([], None, r"nvidia-smi knows no GPU '0'"),
    ],
)
def test_what_cannot_be_known_of_gpus_is_not_guessed(nvidia_smi, monkeypatch, gpus, visible, why):
    nvidia_smi(*gpus)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UnknownMemoryError, match=why):
        memory.available_gb()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (None, "there is no nvidia-smi to ask"),
        ("#!/bin/sh\necho 'No devices were found'; exit 6\n", "nvidia-smi fails: Command .* exit status 6"),
        ("#!/bin/sh\necho 'No devices were found'\n", "nvidia-smi does not tell it: No devices were found"),
    ],
)
def test_without_an_answer_recomputation_is_on_and_says_why(nvidia_smi, program, why):
    if program:
        nvidia_smi(program=program)
    with pytest.raises(UnknownMemoryError, match=why):
        memory.available_gb()
    recompute, told = choose_recomputation("auto", MODEL, 1, "float32")
    assert recompute and "\n" not in told
    assert re.match("recomputation on: about .* GB are needed without it, and what the GPU has is not known: ", told)
    assert choose_recomputation("off", MODEL, 1, "float32") == (False, "recomputation off")
    assert re.match(f"what the GPU has is not known: {why}", available_in_words())
    check_memory(settings(batch=1000), MODEL)  # is not refused without knowing


def test_memory_in_words_is_what_there_is(monkeypatch):
    monkeypatch.setattr(memory, "available_gb", lambda: 12.34)
    assert available_in_words() == "12.3 GB are available"


def test_without_a_gpu_nvidia_smi_is_not_asked(nvidia_smi, tmp_path, monkeypatch):
    nvidia_smi(program=f"#!/bin/sh\necho asked > {tmp_path}/asked\n")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert 0.1 < memory.available_gb() < 10_000
    assert not (tmp_path / "asked").exists()
