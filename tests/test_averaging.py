"""Averaged weights: what they are after each step, and who uses them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
from crn_tf.precision import computing_in
from crn_tf.training.averaging import AveragedGenerator

WEIGHTS = LOSS_WEIGHTS["inverse-elements"]


@pytest.fixture(scope="module")
def perceiver():
    return build_perceiver("random")


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)
    layouts = random.integers(0, 4, (1, 16, 32)).astype("uint8")
    return tf.constant((layouts[..., None] * 60).repeat(3, -1)), tf.constant(layouts)


def trainer(perceiver, decay=None, **options) -> Trainer:
    """A trainer of the same weights each time."""
    keras.utils.set_random_seed(0)
    generator, average = (build_generator(16, 4, 1, width=0.05) for _ in range(2))
    averaging = AveragedGenerator(generator, average, decay) if decay else None
    return Trainer(generator, perceiver, "content", WEIGHTS, 1e-2, averaging=averaging, **options)


def state(subject: Trainer) -> dict[str, np.ndarray]:
    return {name: np.array(variable) for name, variable in subject.variables().items()}


def skip_a_step(subject: Trainer, batch) -> None:
    subject.loss_weights.assign(np.full(6, np.nan))
    subject.train_step(*batch)
    assert subject.skipped_last()
    subject.loss_weights.assign(WEIGHTS)


def test_an_average_follows_the_weights_slower_and_slower(perceiver, batch):
    subject = trainer(perceiver, decay=0.2)
    expected = subject.generator.get_weights()
    for decay in (1 / 10, 2 / 11, 0.2, 0.2):  # (1 + n) / (10 + n), but no more than was asked for
        subject.train_step(*batch)
        now = subject.generator.get_weights()
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, now, strict=True)]
    for found, value in zip(subject.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
    assert np.abs(expected[0] - now[0]).max() > 1e-4


def test_what_is_trained_does_not_depend_on_the_average(perceiver, batch):
    plain, averaged = trainer(perceiver), trainer(perceiver, decay=0.9)
    for _ in range(3):
        losses = [subject.train_step(*batch)[0].numpy() for subject in (plain, averaged)]
        assert losses[0] == losses[1]
    assert plain.model is plain.generator and averaged.model is not averaged.generator
    for a, b in zip(plain.generator.get_weights(), averaged.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoints_generator_is_the_average(perceiver, batch):
    subject = trainer(perceiver, decay=0.9)
    subject.train_step(*batch)
    kept = state(subject)
    assert kept["trainer/averaged_steps"] == 1
    for prefix, model in (("generator", subject.model), ("trained", subject.generator)):
        for variable in model.variables:
            np.testing.assert_array_equal(kept[f"{prefix}/{variable.path}"], variable.numpy())
    # Nothing of it is in checkpoints of runs without an average, which older versions read.
    assert not any("averag" in name or name.startswith("trained/") for name in trainer(perceiver).variables())


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
def test_a_step_that_is_skipped_changes_no_average(perceiver, batch, precision):
    with computing_in(precision):
        subject = trainer(build_perceiver("random"), decay=0.9)
    subject.train_step(*batch)
    before = {name: value for name, value in state(subject).items() if not name.startswith("optimizer/loss_scale")}
    skip_a_step(subject, batch)
    after = state(subject)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert {variable.dtype for variable in subject.model.variables} == {"float32"}


def test_what_is_evaluated_is_the_average(perceiver, batch):
    subject = trainer(perceiver, decay=0.9)
    for _ in range(4):
        subject.train_step(*batch)
    other = trainer(perceiver)
    losses = []
    for model in (subject.model, subject.generator):
        other.generator.set_weights(model.get_weights())
        losses.append(float(other.evaluate(*batch)[0]))
    assert float(subject.evaluate(*batch)[0]) == pytest.approx(losses[0], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_an_average_that_begins_again_is_the_trained_weights(perceiver, batch):
    subject = trainer(perceiver, decay=0.9)
    for _ in range(2):
        subject.train_step(*batch)
    subject.averaging.restart()
    assert state(subject)["trainer/averaged_steps"] == 0
    for a, b in zip(subject.model.get_weights(), subject.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_modules_that_are_not_trained_stay_as_they_are(perceiver, batch):
    subject = trainer(perceiver, decay=0.9, train_modules=[16])
    before = {variable.path: variable.numpy() for variable in subject.model.variables}
    subject.train_step(*batch)
    changed = {v.path for v in subject.model.variables if (v.numpy() != before[v.path]).any()}
    assert changed == {path for path in before if path.startswith(("module_16_", "projection_16"))}


def test_a_step_compiled_whole_averages_too(perceiver, batch):
    plain, compiled = trainer(perceiver, decay=0.9), trainer(perceiver, decay=0.9, jit=True)
    for subject in (plain, compiled):
        subject.train_step(*batch)
    for a, b in zip(plain.model.get_weights(), compiled.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-3)
        assert np.isfinite(b).all()
    assert state(compiled)["trainer/averaged_steps"] == 1
