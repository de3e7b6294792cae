"""What is recomputed, chosen by the memory there is."""

import math

import keras
import pytest

from crn_tf import build_generator, build_perceiver, memory
from crn_tf.memory import choose_recomputation, training_memory_gb

# Gigabytes, by height and number of images.
MEASURED = {
    "float32": {(256, 9): 6.59, (512, 1): 6.82, (1024, 1): 11.33},
    "mixed_bfloat16": {(256, 9): 4.94, (512, 1): 5.30, (1024, 1): 7.77},
}


@pytest.fixture(scope="module")
def perceiver():
    return build_perceiver("random")


@pytest.mark.usefixtures("float32_policy")
def test_the_estimate_is_near_what_was_measured(perceiver):
    """Peaks of benchmarks/train_step.py --remat off --precision bfloat16 and float32, full width; see the README."""
    for policy, measured in MEASURED.items():
        keras.config.set_dtype_policy(policy)
        for (height, images), gigabytes in measured.items():
            generator = build_generator(height, 20, images)
            assert training_memory_gb(generator, perceiver, 1) == pytest.approx(gigabytes, rel=0.2)


def test_auto_recomputes_where_memory_would_not_do(perceiver, monkeypatch):
    generator = build_generator(16, 4, 1, width=0.01)
    needed = training_memory_gb(generator, perceiver, 1)
    for available, expected in ((2 * needed, False), (needed, True)):
        monkeypatch.setattr(memory, "available_gb", lambda available=available: available)
        recompute, why = choose_recomputation("auto", generator, perceiver, 1)
        assert recompute is expected
        assert f"{needed:.1f} GB are needed" in why and f"{available:.1f} GB are available" in why
        assert why.startswith("recomputation on" if expected else "recomputation off")
        assert choose_recomputation("on", generator, perceiver, 1)[0]
        assert not choose_recomputation("off", generator, perceiver, 1)[0]


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
    assert memory._left_to_container(tmp_path / "groups", tmp_path / "mount") == expected
    assert memory._left_to_container(tmp_path / "missing", tmp_path / "mount") == math.inf


def test_available_memory_is_that_of_this_machine():
    assert 0.1 < memory.available_gb() < 10_000
