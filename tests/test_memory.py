"""What is recomputed, chosen by the memory there is."""

import math
import re
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from crn_tf import CITYSCAPES, ModelDescription, build_generator, build_perceiver
from crn_tf.errors import UserError
from crn_tf.precision import computing_in
from crn_tf.training import memory
from crn_tf.training.memory import (
    UnknownMemoryError,
    available_in_words,
    check_synthesis_memory,
    choose_recomputation,
    synthesis_memory_gb,
    training_memory_gb,
)

# Gigabytes, by height and number of images.
MEASURED = {
    "float32": {(256, 9): 6.59, (512, 1): 6.82, (1024, 1): 11.33},
    "bfloat16": {(256, 9): 4.94, (512, 1): 5.30, (1024, 1): 7.77},
}


@pytest.fixture(scope="module")
def perceiver():
    return build_perceiver("random")


def test_the_estimate_is_near_what_was_measured(perceiver):
    """Peaks of benchmarks/train_step.py --remat off --precision bfloat16 and float32, full width; see the README."""
    for precision, measured in MEASURED.items():
        for (height, images), gigabytes in measured.items():
            with computing_in(precision):
                generator = build_generator(height, 20, images)
            assert training_memory_gb(generator, perceiver, 1, precision) == pytest.approx(gigabytes, rel=0.2)


def test_the_estimate_is_of_the_named_precision_whatever_keras_policy_is(perceiver):
    generator = build_generator(64, 4, 1, width=0.05)

    def estimates() -> list[float]:
        precisions = ("float32", "bfloat16", "float16")
        return [training_memory_gb(generator, perceiver, 4, precision) for precision in precisions]

    single, *halves = estimates()
    assert halves[0] == halves[1] < single
    with computing_in("bfloat16"):
        assert estimates() == [single, *halves]


def test_auto_recomputes_where_memory_would_not_do(perceiver, monkeypatch):
    generator = build_generator(16, 4, 1, width=0.01)
    needed = training_memory_gb(generator, perceiver, 1, "float32")
    for available, expected in ((2 * needed, False), (needed, True)):
        monkeypatch.setattr(memory, "available_gb", lambda available=available: available)
        recompute, why = choose_recomputation("auto", generator, perceiver, 1, "float32")
        assert recompute is expected
        assert f"{needed:.1f} GB are needed" in why and f"{available:.1f} GB are available" in why
        assert why.startswith("recomputation on" if expected else "recomputation off")
        assert choose_recomputation("on", generator, perceiver, 1, "float32")[0]
        assert not choose_recomputation("off", generator, perceiver, 1, "float32")[0]


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
def test_without_an_answer_recomputation_is_on_and_says_why(nvidia_smi, perceiver, program, why):
    if program:
        nvidia_smi(program=program)
    with pytest.raises(UnknownMemoryError, match=why):
        memory.available_gb()
    generator = build_generator(16, 4, 1, width=0.01)
    recompute, told = choose_recomputation("auto", generator, perceiver, 1, "float32")
    assert recompute and "\n" not in told
    assert told.startswith("recomputation on: about 0.7 GB are needed without it, and what the GPU has is not known: ")
    assert choose_recomputation("off", generator, perceiver, 1, "float32") == (False, "recomputation off")
    assert re.match(f"what the GPU has is not known: {why}", available_in_words())


def test_memory_in_words_is_what_there_is(monkeypatch):
    monkeypatch.setattr(memory, "available_gb", lambda: 12.34)
    assert available_in_words() == "12.3 GB are available"


def test_without_a_gpu_nvidia_smi_is_not_asked(nvidia_smi, tmp_path, monkeypatch):
    nvidia_smi(program=f"#!/bin/sh\necho asked > {tmp_path}/asked\n")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert 0.1 < memory.available_gb() < 10_000
    assert not (tmp_path / "asked").exists()


def test_synthesis_of_larger_images_needs_more():
    small = ModelDescription(256, (4, 8), 1, 1.0, CITYSCAPES)
    wide = small.at_size((256, 1536))
    needs = [
        synthesis_memory_gb(*each) for each in ((small, 1, "bfloat16"), (small, 1, "float32"), (wide, 1, "float32"))
    ]
    assert needs == sorted(needs) and needs[2] > 2 * needs[1]
    assert synthesis_memory_gb(small, 4, "float32") > 2.5 * needs[1]


def test_synthesis_is_refused_only_where_it_is_hopeless(monkeypatch):
    model = ModelDescription(256, (4, 8), 1, 1.0, CITYSCAPES)
    needed = synthesis_memory_gb(model, 1, "float32")
    monkeypatch.setattr(memory, "available_gb", lambda: 0.9 * needed)
    check_synthesis_memory(model, 1, "float32")
    monkeypatch.setattr(memory, "available_gb", lambda: 0.7 * needed)
    with pytest.raises(
        UserError, match=rf"at 256x512 needs about {needed:.1f} GB of memory, and {0.7 * needed:.1f} GB"
    ):
        check_synthesis_memory(model, 1, "float32")

    def unknown():
        raise UnknownMemoryError("nobody tells")

    monkeypatch.setattr(memory, "available_gb", unknown)
    check_synthesis_memory(model, 1, "float32")
