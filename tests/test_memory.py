"""What is recomputed, chosen by the memory there is."""

import keras
import pytest

from crn_tf import build_generator, build_perceiver, memory
from crn_tf.memory import choose_recomputation, training_memory_gb

# Gigabytes, by height and number of images.
MEASURED = {"float32": {(256, 9): 6.73}, "mixed_bfloat16": {(256, 9): 4.81}}


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


def test_available_memory_is_that_of_this_machine():
    assert 0.1 < memory.available_gb() < 10_000
