"""What a training step needs, whether it is recomputed, and what is refused because it cannot fit."""

import re
from dataclasses import replace

import keras
import pytest

from crn_tf import CITYSCAPES, ModelDescription, build_perceiver
from crn_tf.errors import UserError
from crn_tf.training import memory_needs
from crn_tf.training.flags import TrainFlags
from crn_tf.training.memory import UnknownMemoryError
from crn_tf.training.memory_needs import (
    ACCURACY,
    PERCEIVER_BLOCKS,
    StepKind,
    check_memory,
    check_synthesis_memory,
    choose_recomputation,
    synthesis_memory_gb,
    training_memory_gb,
)

MODEL = ModelDescription(256, (4, 8), 9, 0.25, CITYSCAPES)

# Peaks of benchmarks/train_step.py: height, images, width, batch, precision: without and with recomputation, in GB.
MEASURED = {
    (256, 9, 1.0, 1, "float32"): (6.59, 5.6),
    (512, 1, 1.0, 1, "float32"): (6.82, 6.5),
    (1024, 1, 1.0, 1, "float32"): (11.33, 8.2),
    (256, 9, 1.0, 1, "bfloat16"): (4.94, 4.2),
    (512, 1, 1.0, 1, "bfloat16"): (5.30, 5.0),
    (1024, 1, 1.0, 1, "bfloat16"): (7.77, 6.3),
    (128, 1, 0.25, 1, "float32"): (1.36, 1.34),
    (128, 9, 0.25, 1, "float32"): (1.78, 1.64),
    (128, 9, 0.25, 4, "float32"): (3.71, 3.11),
    (256, 1, 0.25, 1, "float32"): (1.86, 1.71),
    (256, 9, 0.25, 1, "float32"): (3.66, 3.17),
    (256, 1, 0.25, 1, "bfloat16"): (1.72, 1.72),
    (256, 9, 0.25, 1, "bfloat16"): (2.71, 2.47),
    (1024, 1, 0.125, 1, "float32"): (6.03, 5.37),
    (512, 4, 0.25, 1, "float32"): (5.87, None),
    (256, 9, 0.25, 4, "float32"): (None, 9.16),
}


def settings(**flags):
    given = {"res": 256, "images": 9, "width": 0.25, "dataset": "toy", "vgg_weights": "random"}
    return TrainFlags.of(**given | flags).resolved()


@pytest.fixture
def available(monkeypatch):
    """Sets how much memory there is, in GB."""
    return lambda gigabytes: monkeypatch.setattr(memory_needs, "available_gb", lambda: gigabytes)


@pytest.mark.parametrize("case", MEASURED, ids=str)
def test_the_estimate_is_near_what_was_measured(case):
    height, images, width, batch, precision = case
    model = ModelDescription(height, (4, 8), images, width, CITYSCAPES)
    for recompute, measured in zip((False, True), MEASURED[case], strict=True):
        if measured:
            assert training_memory_gb(model, batch, precision, recompute) == pytest.approx(measured, rel=ACCURACY)


def test_averages_are_one_more_copy_of_the_weights(available):
    kinds = [StepKind(averaged=averaged) for averaged in (True, False)]
    with_averages, without = (training_memory_gb(MODEL, 2, "bfloat16", False, kind) for kind in kinds)
    assert with_averages - without == pytest.approx(4 * MODEL.parameters / 1e9)
    available((with_averages + without) / 2 / memory_needs.SHARE)
    assert [choose_recomputation("auto", MODEL, 2, "bfloat16", kind)[0] for kind in kinds] == [True, False]
    tight = training_memory_gb(MODEL, 1, "float32", True) / (1 + ACCURACY)
    available(tight + 1e-3)
    check_memory(settings(), MODEL)
    with pytest.raises(UserError, match="not enough memory"):
        check_memory(settings(ema=0.9), MODEL)


def test_the_perceivers_blocks_are_those_that_are_built():
    convolutions = [layer for layer in build_perceiver("random").layers if isinstance(layer, keras.layers.Conv2D)]
    built = [(layer.name[: len("block1")], layer.filters) for layer in convolutions]
    assert built == [(f"block{i}", depth) for i, (depth, count) in enumerate(PERCEIVER_BLOCKS, 1) for _ in range(count)]


def test_auto_recomputes_where_memory_would_not_do(available):
    without, with_it = (training_memory_gb(MODEL, 1, "float32", recompute) for recompute in (False, True))
    assert with_it < without
    for gigabytes, expected in ((2 * without, False), (without, True)):
        available(gigabytes)
        recompute, why = choose_recomputation("auto", MODEL, 1, "float32")
        assert recompute is expected
        assert f"{without:.1f} GB are needed" in why and f"{gigabytes:.1f} GB are available" in why
        assert why.startswith("recomputation on" if expected else "recomputation off")
        assert choose_recomputation("on", MODEL, 1, "float32")[0]
        assert not choose_recomputation("off", MODEL, 1, "float32")[0]


def test_what_cannot_fit_is_refused_with_what_would(available):
    available(4.0)
    check_memory(settings(), MODEL)  # recomputes
    with pytest.raises(
        UserError, match=r"^not enough memory for a training step: about .* with recomputation, 4\.0 GB"
    ) as error:
        check_memory(settings(batch=8), MODEL)
    fits = re.search(r"what would fit: --batch (\d+) \(", str(error.value))
    assert training_memory_gb(MODEL, int(fits[1]), "float32", True) <= 4
    assert training_memory_gb(MODEL, int(fits[1]) + 1, "float32", True) > 4
    assert "\n" not in str(error.value) and "--images 1" not in str(error.value)


def test_recomputation_that_was_turned_off_is_among_what_would_fit(available):
    needed = training_memory_gb(MODEL, 2, "float32", True)
    available(needed + 0.01)
    told = rf"without recomputation.* fit: --remat on \({needed:.1f} GB\), or --batch 1 \(.* GB\), or --images \d"
    with pytest.raises(UserError, match=told):
        check_memory(settings(batch=2, remat="off"), MODEL, replicas=1)
    check_memory(settings(batch=2, remat="on"), MODEL, replicas=2)  # each device has one pair


def test_several_changes_are_told_where_none_is_enough(available):
    tall = replace(MODEL, height=1024, width=1.0)
    available(17.7)
    with pytest.raises(UserError, match=r"what would fit: --batch 1 --images \d \(1\d\.\d GB\)$"):
        check_memory(settings(res=1024, batch=8, width=1.0), tall)
    available(0.5)
    with pytest.raises(UserError, match=r"; try a smaller --size$"):
        check_memory(settings(res=1024, batch=8, width=1.0), tall)


def test_what_may_fit_is_not_refused(available):
    needed = training_memory_gb(MODEL, 1, "float32", True)
    available(needed / (1 + ACCURACY) + 0.01)
    check_memory(settings(), MODEL)
    available(needed / (1 + ACCURACY) - 0.01)
    with pytest.raises(UserError):
        check_memory(settings(), MODEL)


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
    monkeypatch.setattr(memory_needs, "available_gb", lambda: 0.9 * needed)
    check_synthesis_memory(model, 1, "float32")
    monkeypatch.setattr(memory_needs, "available_gb", lambda: 0.7 * needed)
    with pytest.raises(
        UserError, match=rf"at 256x512 needs about {needed:.1f} GB of memory, and {0.7 * needed:.1f} GB"
    ):
        check_synthesis_memory(model, 1, "float32")

    def unknown():
        raise UnknownMemoryError("nobody tells")

    monkeypatch.setattr(memory_needs, "available_gb", unknown)
    check_synthesis_memory(model, 1, "float32")
