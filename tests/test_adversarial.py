"""Adversarial training: what a step does to both networks, and that it goes on as if it had never stopped."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import build_generator
from crn_tf.model.adversarial_losses import discriminator_loss, fooling_loss, segmentation_loss
from crn_tf.model.other_networks.by_name import build_network
from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator, with_seed_input
from crn_tf.model.perceiver import build_perceiver
from crn_tf.precision import computing_in
from crn_tf.training.adversarial import AdversarialTrainer
from crn_tf.training.objectives import OBJECTIVES

SIZE, CLASSES = (16, 32), 3


def make_trainer(loss="pix2pix", network="pix2pix", **options) -> AdversarialTrainer:
    keras.utils.set_random_seed(1)
    objective = OBJECTIVES[loss]
    return AdversarialTrainer(
        build_network(network, SIZE, CLASSES, width=1 / 16),
        build_perceiver("random"),
        build_pix2pix_discriminator(SIZE, CLASSES, 1 / 16),
        loss,
        objective.weights or objective.shares,
        **options,
    )


def a_batch(seed=0, count=2):
    random = np.random.default_rng(seed)
    return (
        tf.constant(random.integers(0, 256, (count, *SIZE, 3)), "uint8"),
        tf.constant(random.integers(0, CLASSES, (count, *SIZE)), "uint8"),
    )


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def test_losses_are_those_of_their_papers():
    real, fake = np.array([2.0, -1.0]).reshape(1, 1, 2, 1), np.array([0.5, 3.0]).reshape(1, 1, 2, 1)
    probability = lambda logits: 1 / (1 + np.exp(-logits))  # noqa: E731
    assert float(fooling_loss(fake)) == pytest.approx(-np.log(probability(fake)).mean(), rel=1e-5)
    expected = (-np.log(probability(real)).mean() - np.log(1 - probability(fake)).mean()) / 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_void_pixels_do_not_count_for_a_segmenter():
    scores = np.random.default_rng(0).standard_normal((1, 2, 2, 2)).astype("float32")
    layout = np.eye(3, dtype="float32")[np.array([[[0, 1], [2, 2]]])]
    likelihood = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = -(np.log(likelihood[0, 0, 0, 0]) + np.log(likelihood[0, 0, 1, 1])) / 2
    assert float(segmentation_loss(scores, layout)) == pytest.approx(expected, rel=1e-5)
    assert float(segmentation_loss(scores, np.eye(3, dtype="float32")[np.full((1, 2, 2), 2)])) == 0


def test_a_step_is_one_of_adam_for_both_networks_from_the_same_weights():
    """Both updates are found again from gradients that are computed one by one, by Keras' own Adam."""
    trainer = make_trainer(epsilon=1e-7)
    photos, layouts = a_batch()
    generator, discriminator = keras.models.clone_model(trainer.generator), trainer.discriminator
    generator.set_weights(trainer.generator.get_weights())
    other = keras.models.clone_model(discriminator)
    other.set_weights(discriminator.get_weights())
    one_hot = keras.ops.one_hot(layouts, CLASSES, dtype="float32")
    photo = tf.cast(photos, "float32")
    with tf.GradientTape(persistent=True) as tape:
        images = with_seed_input(generator)([one_hot, tf.constant([0, 0])], training=True)[:, 0]
        fake, real = (other([one_hot, pictures], training=True) for pictures in (images, photo))
        expected = 100 * tf.reduce_mean(tf.abs(images - photo)) / 127.5 + tf.reduce_mean(tf.nn.softplus(-fake))
        of_other = (tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))) / 2
    for model, loss in ((generator, expected), (other, of_other)):
        adam = keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-7)
        adam.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    loss, terms = trainer.train_step(photos, layouts)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(terms[1]) == pytest.approx(float(tf.reduce_mean(tf.nn.softplus(-fake))), rel=1e-5)
    window = trainer.read_window()
    assert window.applied == 1 and window.discriminator == pytest.approx(float(of_other), rel=1e-5)
    for mine, found in ((generator, trainer.generator), (other, trainer.discriminator)):
        for one, two in zip(mine.get_weights(), found.get_weights(), strict=True):
            # A step of Adam is about the rate for every weight: where a gradient is nearly zero, its sign is rounding.
            assert np.mean(np.abs(one - two) > 2e-6) < 0.02


@pytest.mark.parametrize("broken", ["generator", "discriminator"])
def test_a_step_that_is_not_finite_changes_neither_network(broken):
    trainer = make_trainer()
    trainer.train_step(*a_batch())
    network = getattr(trainer, broken)
    weight = next(v for v in network.trainable_variables if "bias" in v.path)
    good = weight.numpy()
    weight.assign(np.full_like(good, np.nan))
    before = values(trainer.variables().values())
    trainer.train_step(*a_batch(1))
    after = values(trainer.variables().values())
    assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(before, after, strict=True))
    assert trainer.read_window().skipped == 1 and not trainer.is_finite()
    weight.assign(good)
    trainer.train_step(*a_batch(1))
    assert trainer.read_window().applied == 1 and trainer.is_finite()


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_steps_go_on_from_what_is_saved_bit_for_bit(precision):
    with computing_in(precision):
        trainer, other = make_trainer(seed=7), make_trainer(seed=7)
    for step in range(2):
        trainer.train_step(*a_batch(step))
    for name, variable in other.variables().items():
        variable.assign(trainer.variables()[name])
    losses = [[float(each.train_step(*a_batch(step))[0]) for step in (2, 3)] for each in (trainer, other)]
    assert losses[0] == losses[1]
    for name, variable in other.variables().items():
        assert np.array_equal(variable.numpy(), trainer.variables()[name].numpy()), name


def test_dropout_follows_from_seed_and_step():
    def losses(seed):
        trainer = make_trainer(seed=seed, learning_rate=0.0)  # weights stay as they are
        return [float(trainer.train_step(*a_batch())[0]) for _ in range(3)]

    first = losses(3)
    assert first == losses(3) and len(set(first)) == 3 and first != losses(4)


def test_validation_is_the_same_every_time():
    trainer = make_trainer()
    found = [[value.numpy().tolist() for value in trainer.evaluate(*a_batch())] for _ in range(2)]
    assert found[0] == found[1] and found[0][0] == pytest.approx(sum(found[0][1]), rel=1e-6)


def test_recomputation_gives_the_same_step_of_the_composite_loss():
    losses = []
    for recompute in (False, True):
        keras.utils.set_random_seed(1)
        trainer = AdversarialTrainer(
            build_generator(16, CLASSES, 1, 1 / 64),
            build_perceiver("random"),
            build_pix2pix_discriminator(SIZE, CLASSES, 1 / 16),
            "composite",
            OBJECTIVES["composite"].shares,
            recompute=recompute,
        )
        losses.append([float(trainer.train_step(*a_batch(step))[0]) for step in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_each_part_of_the_composite_loss_starts_equal():
    trainer = AdversarialTrainer(
        build_generator(16, CLASSES, 1, 1 / 64),
        build_perceiver("random"),
        build_pix2pix_discriminator(SIZE, CLASSES, 1 / 16),
        "composite",
        OBJECTIVES["composite"].shares,
    )
    trainer.start_measuring()
    trainer.measure(*a_batch())
    trainer.rebalance()
    _, terms, _ = trainer.evaluate(*a_batch())
    image, adversary, features = float(terms[0]), float(terms[-1]), float(sum(terms[1:-1]))
    assert image == pytest.approx(1, rel=0.02) and features == pytest.approx(1, rel=0.02)
    assert adversary == pytest.approx(1, rel=0.02)


def test_objectives_name_what_they_weigh():
    for name, objective in OBJECTIVES.items():
        weights = objective.weights or objective.shares
        assert weights is None or len(weights) == len(objective.terms), name
        assert json.dumps(objective.terms)
