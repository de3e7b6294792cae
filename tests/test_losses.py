"""The losses against plain loops that follow the paper's equations."""

import numpy as np
import pytest
import tensorflow as tf

from crn_tf import best_image_loss, best_per_class_loss, content_loss, tap_error
from crn_tf.model import passes
from crn_tf.model.losses import class_errors, layout_pyramid, perceptual_distance

WEIGHTS = (1.0, 0.5, 3.0)
BATCH, IMAGES, CLASSES = 3, 4, 5


@pytest.fixture
def taps():
    """References [B, h, w, D] and synthesized [B, k, h, w, D] at three taps, and a one-hot layout."""
    random = np.random.default_rng(0)
    shapes = [(8, 16, 3), (8, 16, 6), (2, 4, 7)]
    references = [random.standard_normal((BATCH, *s)).astype("float32") for s in shapes]
    synthesized = [random.standard_normal((BATCH, IMAGES, *s)).astype("float32") for s in shapes]
    layout = np.eye(CLASSES, dtype="float32")[random.integers(0, CLASSES, (BATCH, 8, 16))]
    return references, synthesized, layout


def errors_of(taps):
    return [tap_error(reference, images) for reference, images in zip(taps[0], taps[1], strict=True)]


def by_loop(taps, per_class: bool) -> np.ndarray:
    """E[b, u, p] of the paper by loops; p is one class for all pixels unless `per_class`."""
    references, synthesized, layout = taps
    result = np.zeros((BATCH, IMAGES, CLASSES if per_class else 1))
    for weight, reference, images in zip(WEIGHTS, references, synthesized, strict=True):
        _, height, width, _ = reference.shape
        f = 8 // height
        at_tap = layout.reshape(BATCH, height, f, width, f, CLASSES).mean((2, 4))
        for b in range(BATCH):
            for u in range(IMAGES):
                e = np.abs(reference[b] - images[b, u]).mean(-1)
                for p in range(result.shape[2]):
                    mask = at_tap[b, :, :, p] if per_class else 1
                    result[b, u, p] += weight * (mask * e).sum() / (height * width)
    return result


def test_tap_error_is_the_mean_over_channels(taps):
    error = tap_error(taps[0][0], taps[1][0])
    assert error.shape == (BATCH, IMAGES, 8, 16)
    np.testing.assert_allclose(error[1, 2], np.abs(taps[0][0][1] - taps[1][0][1, 2]).mean(-1), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("fuse_from", [1, 1 << 30])
def test_tap_error_is_float32_in_every_precision(monkeypatch, dtype, fuse_from):
    """Differences and means of activations of low precision are not rounded once more."""
    monkeypatch.setattr(passes, "FUSE_FROM", fuse_from)
    random = np.random.default_rng(0)
    reference = tf.cast(random.standard_normal((1, 4, 4, 256)), dtype)
    images = tf.cast(random.standard_normal((1, 2, 4, 4, 256)), dtype)
    exact = np.abs(tf.cast(reference, "float64")[:, None] - tf.cast(images, "float64")).mean(-1)
    np.testing.assert_allclose(tap_error(reference, images), exact, rtol=1e-5)


def test_class_errors_sum_to_the_mean_error(taps):
    error = tap_error(taps[0][0], taps[1][0])
    shares = class_errors(error, taps[2])
    np.testing.assert_allclose(np.sum(shares, -1), np.mean(error, (2, 3)), rtol=1e-5)


def test_layout_pyramid_keeps_each_classes_area(taps):
    pyramid = layout_pyramid(taps[2], errors_of(taps))
    assert [level.shape[1:3] for level in pyramid] == [(8, 16), (8, 16), (2, 4)]
    np.testing.assert_allclose(np.mean(pyramid[2], (1, 2)), taps[2].mean((1, 2)), rtol=1e-5)


def test_layout_pyramid_follows_taps_that_one_axis_is_too_short_for():
    layout = np.ones((1, 8, 32, 2), "float32")
    pyramid = layout_pyramid(layout, [np.zeros((1, 1, *size)) for size in ((8, 32), (1, 4), (1, 2))])
    assert [level.shape[1:3] for level in pyramid] == [(8, 32), (1, 4), (1, 2)]


def test_content_loss_is_equation_1(taps):
    loss, terms = content_loss(errors_of(taps), WEIGHTS)
    np.testing.assert_allclose(loss, by_loop(taps, False).mean(), rtol=1e-5)
    np.testing.assert_allclose(np.sum(terms), loss, rtol=1e-5)
    np.testing.assert_allclose(terms[2], 3.0 * np.abs(taps[0][2][:, None] - taps[1][2]).mean(), rtol=1e-5)


def test_best_image_loss_takes_the_minimum_inside_each_sample(taps):
    loss, terms = best_image_loss(errors_of(taps), WEIGHTS)
    np.testing.assert_allclose(loss, by_loop(taps, False).min(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(np.sum(terms), loss, rtol=1e-5)


def test_best_per_class_loss_adds_the_releases_floor(taps):
    loss, terms = best_per_class_loss(errors_of(taps), WEIGHTS, taps[2])
    expected = by_loop(taps, True)
    expected = 0.999 * expected.min(1).sum(-1) + 0.001 * expected.mean(1).sum(-1)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(np.sum(terms), loss, rtol=1e-5)


def test_losses_of_a_batch_are_means_over_its_samples(taps):
    def sample(b):
        return [[tap[b : b + 1] for tap in part] for part in taps[:2]] + [taps[2][b : b + 1]]

    def per_image(t):
        return best_image_loss(errors_of(t), WEIGHTS)

    def per_class(t):
        return best_per_class_loss(errors_of(t), WEIGHTS, t[2])

    for loss in (per_image, per_class):
        alone = [float(loss(sample(b))[0]) for b in range(BATCH)]
        np.testing.assert_allclose(loss(taps)[0], np.mean(alone), rtol=1e-5)


def test_one_image_makes_all_three_losses_equal(taps):
    one = (taps[0], [images[:, :1] for images in taps[1]], taps[2])
    errors = errors_of(one)
    content = float(content_loss(errors, WEIGHTS)[0])
    assert float(best_image_loss(errors, WEIGHTS)[0]) == pytest.approx(content, rel=1e-5)
    assert float(best_per_class_loss(errors, WEIGHTS, taps[2])[0]) == pytest.approx(content, rel=1e-5)


def test_only_the_best_image_learns(taps):
    images = [tf.constant(tap) for tap in taps[1]]
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss, _ = best_image_loss([tap_error(r, i) for r, i in zip(taps[0], images, strict=True)], WEIGHTS)
    moved = np.abs(tape.gradient(loss, images)[0]).sum((2, 3, 4)) > 0
    best = by_loop(taps, False)[..., 0].argmin(1)
    np.testing.assert_array_equal(moved, np.eye(IMAGES, dtype=bool)[best])


def test_the_floor_keeps_every_image_learning_and_the_gradient_is_the_losses(taps):
    images = [tf.constant(tap) for tap in taps[1]]

    def loss_of(values):
        return best_per_class_loss([tap_error(r, i) for r, i in zip(taps[0], values, strict=True)], WEIGHTS, taps[2])[0]

    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = loss_of(images)
    gradients = tape.gradient(loss, images)
    assert (np.abs(gradients[0]).sum((2, 3, 4)) > 0).all()
    direction = [np.sign(g) * 1e-3 for g in gradients]
    slope = (float(loss_of([i + d for i, d in zip(images, direction, strict=True)])) - float(loss)) / 1e-3
    assert slope == pytest.approx(sum(np.abs(g).sum() for g in gradients), rel=0.02)


def test_tap_errors_gradient_is_the_sign_of_the_difference(taps, monkeypatch):
    reference, synthesized = tf.constant(taps[0][1]), tf.constant(taps[1][1])
    upstream = tf.constant(np.random.default_rng(1).random((BATCH, IMAGES, 8, 16)), "float32")
    for fuse_from in (passes.FUSE_FROM, 1):
        monkeypatch.setattr(passes, "FUSE_FROM", fuse_from)
        with tf.GradientTape() as tape:
            tape.watch([reference, synthesized])
            total = tf.reduce_sum(tap_error(reference, synthesized) * upstream)
        of_reference, of_synthesized = tape.gradient(total, [reference, synthesized])
        expected = np.sign(taps[1][1] - taps[0][1][:, None]) * upstream.numpy()[..., None] / 6
        np.testing.assert_allclose(of_synthesized, expected, rtol=1e-5)
        np.testing.assert_allclose(of_reference, -expected.sum(1), rtol=1e-5, atol=1e-6)


def test_the_perceptual_distance_is_that_of_the_nearest_image_with_the_releases_weights():
    # Two layouts with two images each; all pixels of a tap have one error: 2 images x 6 taps.
    of_taps = np.array([[[16, 1.6, 2.3, 1.8, 2.8, 0.8], [1, 1.6, 0, 0, 0, 0.08]], [[3, 0, 0, 0, 0, 0], [9] * 6]])
    errors = [np.tile(of_taps[:, :, tap, None, None], (1, 1, 4, 8)).astype("float32") for tap in range(6)]
    assert float(perceptual_distance(errors)) == pytest.approx(((1 + 1 + 1) + 3) / 2, rel=1e-5)
