"""The training step."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver, content_loss, tap_error
from crn_tf.precision import computing_in

WEIGHTS = LOSS_WEIGHTS["inverse-elements"]


@pytest.fixture(scope="module")
def perceiver():
    return build_perceiver("random")


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    layouts = np.repeat(np.repeat(random.integers(0, 4, (2, 4, 8)), 4, 1), 4, 2).astype("uint8")
    photos = (layouts[..., None] * 60 + random.integers(0, 30, (2, 16, 32, 3))).astype("uint8")
    return tf.constant(photos), tf.constant(layouts)


def trainer(perceiver, loss="content", images=1, learning_rate=1e-3):
    keras.utils.set_random_seed(0)
    return Trainer(build_generator(16, 4, images, width=0.05), perceiver, loss, WEIGHTS, learning_rate)


def test_a_step_is_adam_on_the_content_loss(perceiver, batch):
    photos, layouts = batch
    subject = trainer(perceiver)
    generator = keras.models.clone_model(subject.generator)
    generator.set_weights(subject.generator.get_weights())
    photo = tf.cast(photos, "float32")
    with tf.GradientTape() as tape:
        images = generator(tf.one_hot(layouts, 4))
        pairs = zip([photo, *perceiver(photo)], [images[:, 0], *perceiver(images[:, 0])], strict=True)
        expected, _ = content_loss([tap_error(a, b[:, None]) for a, b in pairs], WEIGHTS)
    gradients = tape.gradient(expected, generator.trainable_variables)

    loss, terms = subject.train_step(photos, layouts)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    assert float(np.sum(terms)) == pytest.approx(float(expected), rel=1e-4)
    for before, after, gradient in zip(
        generator.get_weights(), subject.generator.get_weights(), gradients, strict=True
    ):
        # Adam's first step is the learning rate against the gradient's sign, where the gradient is not tiny.
        clear = np.abs(gradient) > 1e-2 * np.abs(gradient).max()
        np.testing.assert_allclose((after - before)[clear], -1e-3 * np.sign(gradient)[clear], rtol=2e-2)


def test_the_images_of_a_collection_are_compared_with_their_own_photograph(perceiver, batch):
    subject = trainer(perceiver, "best-image", images=3)
    collections = subject.generator(tf.one_hot(batch[1], 4)).numpy()
    photos = batch[0].numpy().astype("float32")
    best = []
    for photo, collection in zip(photos, collections, strict=True):
        reference = [photo[None], *perceiver(photo[None])]
        losses = []
        for image in collection:
            taps = [image[None], *perceiver(image[None])]
            losses.append(sum(np.abs(np.asarray(a) - b).mean() for a, b in zip(reference, taps, strict=True)))
        assert np.ptp(losses) > 0.01 * np.min(losses)  # the images differ, so a mix-up would show
        best.append(min(losses))
    assert float(subject.evaluate(*batch)[0]) == pytest.approx(np.mean(best), rel=1e-4)


@pytest.mark.parametrize(("loss", "images"), [("content", 1), ("best-image", 3), ("best-per-class", 3)])
def test_training_on_one_batch_brings_every_loss_down(perceiver, batch, loss, images):
    subject = trainer(perceiver, loss, images)
    losses = [float(subject.train_step(*batch)[0]) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]
    assert float(subject.evaluate(*batch)[0]) < losses[-2]


def test_rebalancing_makes_all_taps_contribute_equally(perceiver, batch):
    subject = trainer(perceiver, "best-per-class", images=2, learning_rate=0.0)  # nothing changes but the weights
    subject.loss_weights.assign([1, 2, 0.5, 3, 1, 7])
    subject.start_measuring()
    _, before = subject.train_step(*batch)
    subject.train_step(*batch)
    subject.rebalance()
    np.testing.assert_allclose(subject.loss_weights, np.array([1, 2, 0.5, 3, 1, 7]) / before, rtol=1e-4)


def test_a_tap_that_is_left_out_stays_out(perceiver, batch):
    subject = trainer(perceiver)
    subject.loss_weights.assign([1, 0, 1, 1, 1, 1])
    subject.start_measuring()
    subject.measure(*batch)
    subject.rebalance()
    assert float(subject.loss_weights[1]) == 0
    _, terms, _ = subject.evaluate(*batch)
    np.testing.assert_allclose(terms, [1, 0, 1, 1, 1, 1], rtol=1e-4)


def test_only_the_named_modules_are_trained(perceiver, batch):
    keras.utils.set_random_seed(0)
    generator = build_generator(16, 4, width=0.05)
    subject = Trainer(generator, perceiver, "content", WEIGHTS, 1e-3, train_modules=[8, 16])
    before = {v.path: np.array(v) for v in generator.variables}
    subject.train_step(*batch)
    changed = {path for path, v in before.items() if (np.array(dict_of(generator)[path]) != v).any()}
    assert changed == {path for path in before if path.startswith(("module_8_", "module_16_", "projection_16"))}


def dict_of(generator):
    return {variable.path: variable for variable in generator.variables}


def state(subject):
    return {name: np.array(variable) for name, variable in subject.variables().items()}


def test_a_step_with_an_infinite_gradient_changes_nothing(perceiver, batch):
    subject = trainer(perceiver)
    subject.train_step(*batch)
    before = state(subject)
    for weight in (np.inf, np.nan, 1e30):  # with the last one, gradients' squares overflow
        subject.loss_weights.assign([weight, 1, 1, 1, 1, 1])
        loss, _ = subject.train_step(*batch)
        assert np.isfinite(loss) == (weight == 1e30)
        assert subject.skipped_last()
        subject.loss_weights.assign(WEIGHTS)
        for name, value in state(subject).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)
    window = subject.read_window()
    assert (window.applied, window.skipped, window.skipped_in_a_row, window.loss_scale) == (1, 3, 3, None)
    loss, terms = subject.train_step(*batch)
    assert not subject.skipped_last() and int(subject.optimizer.iterations) == 2
    window = subject.read_window()
    assert (window.applied, window.skipped, window.skipped_in_a_row) == (1, 0, 0)
    np.testing.assert_array_equal(window.terms, terms)


def test_a_window_tells_of_the_steps_since_the_one_before(perceiver, batch):
    subject = trainer(perceiver)
    assert subject.read_window().terms is None
    terms = [subject.train_step(*batch)[1] for _ in range(3)]
    subject.loss_weights.assign([np.nan, 1, 1, 1, 1, 1])
    for _ in range(2):
        subject.train_step(*batch)
    window = subject.read_window()
    assert (window.applied, window.skipped, window.skipped_in_a_row) == (3, 2, 2)
    np.testing.assert_allclose(window.terms, np.mean(terms, axis=0), rtol=1e-6)
    subject.train_step(*batch)
    window = subject.read_window()
    assert window.terms is None and (window.applied, window.skipped, window.skipped_in_a_row) == (0, 1, 3)


def test_weights_that_are_no_numbers_are_noticed(perceiver, batch):
    subject = trainer(perceiver)
    assert subject.is_finite()
    kernel = subject.generator.get_layer("module_8_conv2").kernel
    kernel.assign(np.where(np.arange(kernel.shape[-1]) == 3, np.inf, kernel.numpy()))
    assert not subject.is_finite()


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_adams_first_step_is_the_release_formula_with_its_epsilon(perceiver, batch, epsilon):
    """TensorFlow 1's Adam: rate * sqrt(1 - beta2) / (1 - beta1) * m / (sqrt(v) + epsilon)."""
    keras.utils.set_random_seed(0)
    subject = Trainer(build_generator(16, 4, 1, width=0.05), perceiver, "content", WEIGHTS, 1e-3, epsilon=epsilon)
    default = trainer(perceiver)
    assert default.optimizer.epsilon == 1e-8
    before = subject.generator.get_weights()
    subject.train_step(*batch)
    moments = {v.path.rpartition("/")[2]: v.numpy() for v in subject.optimizer.variables}
    for variable, was in zip(subject.generator.trainable_variables, before, strict=True):
        name = variable.path.replace("/", "_")
        m, v = moments[f"{name}_momentum"], moments[f"{name}_velocity"]
        expected = was - 1e-3 * np.sqrt(1 - 0.999) / (1 - 0.9) * m / (np.sqrt(v) + epsilon)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_evaluating_changes_nothing(perceiver, batch):
    subject = trainer(perceiver)
    before = subject.generator.get_weights()
    first, second = (float(subject.evaluate(*batch)[0]) for _ in range(2))
    assert first == second
    for a, b in zip(before, subject.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_traced_before_is_not_traced_again(perceiver, batch, monkeypatch):
    plain, ahead = trainer(perceiver), trainer(perceiver)
    thread = threading.Thread(target=ahead.trace_step, args=(2,))
    thread.start()
    ahead.evaluate(*batch)  # as validation does meanwhile
    thread.join()
    expected = plain.train_step(*batch)[0].numpy()
    monkeypatch.setattr("crn_tf.training.trainer.tap_errors", None)
    assert ahead.train_step(*batch)[0].numpy() == expected


def test_the_perceiver_stays_as_it_is(perceiver, batch):
    before = perceiver.get_weights()
    subject = trainer(perceiver)
    subject.train_step(*batch)
    for a, b in zip(before, perceiver.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_mixed_precision_starts_at_the_same_loss_and_learns(perceiver, batch, precision):
    exact = trainer(perceiver)
    exact_loss = float(exact.evaluate(*batch)[0])
    with computing_in(precision):
        subject = trainer(build_perceiver("random"))
    assert (subject.read_window().loss_scale is not None) == (precision == "float16")
    assert {variable.dtype for variable in subject.generator.variables} == {"float32"}
    losses = [float(subject.train_step(*batch)[0]) for _ in range(20)]
    assert losses[0] == pytest.approx(exact_loss, rel=0.02)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("loss", "images"), [("content", 1), pytest.param("best-per-class", 2, marks=pytest.mark.slow)]
)
def test_a_step_compiled_whole_learns_the_same(perceiver, batch, loss, images):
    losses = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        generator = build_generator(16, 4, images, width=0.05)
        subject = Trainer(generator, perceiver, loss, WEIGHTS, 1e-4, recompute=images > 1, jit=jit)
        losses.append([float(subject.train_step(*batch)[0]) for _ in range(5)])
        assert subject.read_window().applied == 5
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[0][4] != pytest.approx(losses[0][0], rel=1e-3)


def test_a_step_that_a_strategy_shares_is_not_compiled_whole(perceiver):
    with tf.distribute.OneDeviceStrategy("CPU:0").scope(), pytest.raises(ValueError, match="one device only"):
        Trainer(build_generator(8, 4, 1, width=0.05), perceiver, "content", WEIGHTS, jit=True)
