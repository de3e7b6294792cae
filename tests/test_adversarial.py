"""Adversarial training: what a step does to both networks, and that it goes on as if it had never stopped."""

import dataclasses
import functools
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import Trainer, build_generator
from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.errors import UserError
from crn_tf.model.adversarial_losses import discriminator_loss, fooling_loss, segmentation_loss
from crn_tf.model.description import ModelDescription
from crn_tf.model.loss_weights import TAP_NAMES
from crn_tf.model.other_networks.by_name import build_network
from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator, with_seed_input
from crn_tf.model.perceiver import build_perceiver
from crn_tf.model.segmenter import HEAD_TAPS, build_segmenter, build_segmenter_head
from crn_tf.precision import computing_in
from crn_tf.saved.checkpoints import save_weights
from crn_tf.saved.loading import load_generator
from crn_tf.training import adversarial, run_segmenter
from crn_tf.training.adversarial import AdversarialTrainer
from crn_tf.training.flags import TrainFlags
from crn_tf.training.objectives import OBJECTIVES
from crn_tf.training.settings import TrainSettings
from tests.test_training_run import assert_same_state, logged, start

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


def run_settings(data, **given) -> TrainSettings:
    return TrainFlags.of(size="32x64", data=data, vgg_weights="random", width=1 / 32, **given).resolved()


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


@pytest.mark.parametrize(("loss", "network"), [("gan-segmentation", "dcgan"), ("composite", "encoder-decoder")])
def test_a_step_minimizes_what_is_validated(loss, network):
    """Without dropout, the terms of a step on one pair are those that validation finds before it."""
    perceiver = build_perceiver("random")
    head = build_segmenter_head([int(tap.shape[-1]) for tap in perceiver.outputs[-HEAD_TAPS:]], CLASSES - 1)
    trainer = make_trainer(loss, network, segmenter=build_segmenter(perceiver, head))
    for step in range(2):
        pair = a_batch(step, count=1)
        _, expected, _ = trainer.evaluate(*pair)
        _, terms = trainer.train_step(*pair)
        assert terms.numpy() == pytest.approx(expected.numpy(), rel=1e-4)
    assert len(terms) == len(OBJECTIVES[loss].terms)


@pytest.mark.parametrize(("loss", "network"), [("gan-segmentation", "dcgan"), ("composite", "encoder-decoder")])
def test_every_term_is_trained(loss, network):
    """The generator's gradients, as Adam's first moments keep them, are those of each term, weighted and added up."""
    perceiver = build_perceiver("random")
    head = build_segmenter_head([int(tap.shape[-1]) for tap in perceiver.outputs[-HEAD_TAPS:]], CLASSES - 1)
    segmenter = build_segmenter(perceiver, head)
    trainer = make_trainer(loss, network, segmenter=segmenter)
    photos, layouts = a_batch(count=1)
    one_hot, photo = keras.ops.one_hot(layouts, CLASSES, dtype="float32"), tf.cast(photos, "float32")
    weights = trainer.loss_weights.numpy()
    with tf.GradientTape() as tape:
        images = trainer.generator(one_hot, training=True)
        total = 0.0
        for name, weight in zip(trainer.objective.terms, weights, strict=True):
            if name == "adversarial":
                logits = trainer.discriminator([one_hot, images[:, 0]], training=True)
                term = tf.reduce_mean(tf.nn.softplus(-logits))
            elif name == "segmentation":
                known = tf.reduce_sum(one_hot[..., :-1])
                scores = tf.nn.log_softmax(segmenter(images[:, 0], training=False))
                term = -tf.reduce_sum(one_hot[..., :-1] * scores) / known
            else:
                taps = [
                    image if name == "image" else dict(zip(TAP_NAMES[1:], trainer.perceiver(image), strict=True))[name]
                    for image in (images[:, 0], photo)
                ]
                term = tf.reduce_mean(tf.abs(taps[0] - taps[1]))
            total += float(weight) * term
    expected = tape.gradient(total, trainer.generator.trainable_variables)
    trainer.train_step(photos, layouts)
    moments = [v.numpy() / (1 - 0.5) for v in trainer.optimizer._momentums]
    for one, two in zip(expected, moments, strict=True):
        assert np.linalg.norm(one - two) <= 2e-3 * np.linalg.norm(one) + 1e-7


@pytest.mark.parametrize("loss", ["composite"])
def test_modules_that_are_not_to_be_trained_stay_as_they_are(loss, folder_data, tmp_path):
    run = start(run_settings(folder_data, loss=loss, train_modules="32", steps=1), tmp_path / "run")
    before = {variable.path: variable.numpy() for variable in run.trainer.generator.variables}
    assert run.run()
    changed = {v.path.split("/")[0] for v in run.trainer.generator.variables if (v.numpy() != before[v.path]).any()}
    assert changed == {"module_32_conv1", "module_32_norm1", "module_32_conv2", "module_32_norm2", "projection_32"}


def test_both_networks_learn_at_the_rate_that_is_set():
    trainer = make_trainer()
    trainer.set_learning_rate(0.0)
    before = values([*trainer.generator.variables, *trainer.discriminator.variables])
    trainer.train_step(*a_batch())
    assert all(map(np.array_equal, before, values([*trainer.generator.variables, *trainer.discriminator.variables])))


def test_a_trainer_without_a_discriminator_refuses_a_loss_that_needs_one():
    with pytest.raises(ValueError, match="composite needs a discriminator"):
        Trainer(build_generator(16, CLASSES, 1, 1 / 64), build_perceiver("random"), "composite", (1.0,) * 7)


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


@pytest.mark.parametrize("part", ["loss", "real"])
def test_a_gradient_of_one_network_that_is_not_finite_stops_both(part, monkeypatch):
    """Only the generator's loss, or only what the discriminator says of photographs, is not a number."""
    trainer = make_trainer()
    photos, layouts = a_batch()
    if part == "loss":
        trainer.loss_weights.assign([np.nan, 1.0])
    else:
        monkeypatch.setattr(
            adversarial, "discriminator_loss", lambda real, other: discriminator_loss(real, other) * np.nan
        )
    before = values(trainer.variables().values())
    trainer.train_step(photos, layouts)
    assert all(map(functools.partial(np.array_equal, equal_nan=True), before, values(trainer.variables().values())))
    assert trainer.read_window().skipped == 1


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


@pytest.mark.parametrize(
    "method", [{"model": "pix2pix", "jitter": True, "ema": 0.9}, {"loss": "composite", "batch": 2}]
)
def test_a_continued_run_ends_as_an_uninterrupted_one(folder_data, tmp_path, method):
    settings = run_settings(folder_data, flip=True, epochs=2, **method)
    whole = start(settings, tmp_path / "whole")
    assert whole.run()
    assert start(dataclasses.replace(settings, steps=4), tmp_path / "parts").run()
    continued = start(settings, tmp_path / "parts")
    assert continued.step == 4 and continued.run()
    assert_same_state(whole, continued)
    found = logged(tmp_path / "whole" / "logs")
    assert "train/adversarial" in found and "train/discriminator_loss" in found


def test_a_run_against_a_segmenter_keeps_it_and_goes_on_without_its_file(folder_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_segmenter, "STEPS_SHARE", 1)
    settings = run_settings(folder_data, loss="gan-segmentation", steps=3)
    assert (settings.model, settings.images, settings.lr) == ("dcgan", 1, 2e-4)
    whole = start(settings, tmp_path / "whole")
    assert whole.run()
    kept = TrainSettings.read(whole.folder.settings).segmenter
    assert kept.parent == tmp_path / "whole" / "segmenters"
    assert f"training the segmenter on 5 photographs; it is kept in {kept}" in capsys.readouterr().out
    given = dataclasses.replace(settings, segmenter=kept)
    assert start(dataclasses.replace(given, steps=2), tmp_path / "parts").run()
    shutil.rmtree(kept)  # its weights are in the checkpoint
    continued = start(given, tmp_path / "parts")
    assert continued.step == 2 and continued.run()
    assert_same_state(whole, continued)


def test_the_judge_is_another_segmenter_than_the_one_trained_against():
    one, other = (build_segmenter_head([8, 8, 8], 3, start=start).get_weights() for start in (0, run_segmenter.START))
    assert sum(np.abs(x - y).max() > 0 for x, y in zip(one, other, strict=True)) >= 4


def test_a_segmenter_of_other_classes_is_refused(folder_data, tmp_path, monkeypatch):
    monkeypatch.setattr(run_segmenter, "STEPS_SHARE", 1)
    run = start(run_settings(folder_data, loss="gan-segmentation", steps=1), tmp_path / "run")
    kept = run.settings.segmenter
    about = json.loads((kept / "segmenter.json").read_text())
    about["settings"]["classes"] = ["b", "a"]
    (kept / "segmenter.json").write_text(json.dumps(about))
    again = run_settings(folder_data, loss="gan-segmentation", steps=1, segmenter=kept)
    with pytest.raises(UserError, match="has other classes than this run"):
        start(again, tmp_path / "other")
    with pytest.raises(UserError, match=r"no segmenter in .*: expected a folder as RUN/segmenters/NAME"):
        start(dataclasses.replace(again, segmenter=tmp_path), tmp_path / "third")


@pytest.mark.parametrize("method", ["encoder-decoder", "full-resolution", "pix2pix", "dcgan"])
def test_a_trained_network_of_another_method_is_found_as_it_was(method, tmp_path):
    description = ModelDescription(20, (20, 36), 1, 1 / 32, CITYSCAPES, network=method)
    generator = description.build()
    save_weights(tmp_path / "it.weights.h5", generator, description)
    found, told = load_generator(tmp_path / "it.weights.h5")
    assert told == description
    layout = np.eye(CITYSCAPES.num_classes, dtype="float32")[np.zeros((1, 20, 36), int)]
    assert np.array_equal(found(layout), generator(layout))


def test_a_segmenter_of_more_classes_is_refused_before_it_is_read(folder_data, tmp_path, monkeypatch):
    monkeypatch.setattr(run_segmenter, "STEPS_SHARE", 1)
    toys = TrainFlags.of(
        size="32x64", dataset="toy", vgg_weights="random", width=1 / 32, loss="gan-segmentation", steps=1
    )
    kept = start(toys.resolved(), tmp_path / "toys").settings.segmenter
    with pytest.raises(UserError, match="has other classes than this run"):
        start(run_settings(folder_data, loss="gan-segmentation", segmenter=kept), tmp_path / "run")
    (kept / "segmenter.json").write_text("[]")
    with pytest.raises(UserError, match="it has no settings"):
        run_settings(folder_data, loss="gan-segmentation", segmenter=kept)


def test_another_network_starts_from_its_like_alone(folder_data, tmp_path):
    file, classes = tmp_path / "it.weights.h5", ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), None)
    small = ModelDescription(32, (32, 64), 1, 1 / 32, classes, network="pix2pix")
    trained = small.build()
    save_weights(file, trained, small)
    run = start(run_settings(folder_data, model="pix2pix", init_from=file), tmp_path / "run")
    assert f"all weights taken over from {file}" in run.notes
    assert all(map(np.array_equal, run.trainer.generator.get_weights(), trained.get_weights()))
    with pytest.raises(UserError, match="is of another network, size, width, or number of classes or images"):
        start(run_settings(folder_data, model="full-resolution", init_from=file), tmp_path / "other")


def test_objectives_name_what_they_weigh():
    for name, objective in OBJECTIVES.items():
        weights = objective.weights or objective.shares
        assert weights is None or len(weights) == len(objective.terms), name
        assert json.dumps(objective.terms)
