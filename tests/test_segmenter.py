"""The segmenter on the perceiver: sizes, what is trained, and that it learns."""

import keras
import numpy as np
import pytest

from crn_tf import build_perceiver
from crn_tf.model.segmenter import UpsampledLike, build_segmenter, build_segmenter_head

DEPTHS = (256, 512, 512)


@pytest.fixture(scope="module")
def perceiver():
    return build_perceiver("random")


@pytest.mark.parametrize("size", [(32, 64), (33, 47), (16, 16)])
def test_scores_have_the_pictures_size_also_if_it_is_odd(perceiver, size):
    segmenter = build_segmenter(perceiver, build_segmenter_head(DEPTHS, 3, channels=4))
    assert segmenter(np.zeros((2, *size, 3), "float32")).shape == (2, *size, 3)


def test_upsampling_is_bilinear_and_cut():
    x = np.arange(6, dtype="float32").reshape(1, 2, 3, 1)
    found = np.asarray(UpsampledLike(2)([x, np.zeros((1, 3, 5, 1))]))
    expected = np.asarray(keras.layers.UpSampling2D(2, interpolation="bilinear")(x))[:, :3, :5]
    np.testing.assert_allclose(found, expected)
    assert found[0, 0, 1, 0] == pytest.approx(0.25)


def test_only_the_head_is_trained_and_it_learns_which_class_has_which_colour(perceiver):
    segmenter = build_segmenter(perceiver, build_segmenter_head(DEPTHS, 2, channels=8))
    before = [np.asarray(variable) for variable in perceiver.variables]
    assert len(segmenter.trainable_variables) == len(segmenter.get_layer("segmenter_head").trainable_variables)
    random = np.random.default_rng(0)
    layouts = np.kron(random.integers(0, 2, (2, 2, 4)), np.ones((16, 16), int))
    photos = np.where(layouts[..., None], [220.0, 40, 40], [40.0, 40, 220]) + random.normal(0, 10, (*layouts.shape, 3))
    segmenter.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    losses = [float(segmenter.train_on_batch(photos.astype("float32"), layouts)) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]
    for variable, value in zip(perceiver.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


def test_a_head_starts_the_same_every_time():
    first, second = (build_segmenter_head(DEPTHS, 3, channels=4).get_weights() for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
