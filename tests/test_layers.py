"""The generator's own layers against what they stand for, step by step: values and gradients, fused or not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from crn_tf.model import passes
from crn_tf.model.layers import Convolution, NormalizedLeakyReLU, UpsampledConvolution

random = np.random.default_rng(0)


def normal(*shape) -> tf.Tensor:
    return tf.constant(random.standard_normal(shape), "float32")


def results(function, arguments, variables=()) -> list[np.ndarray]:
    """A function's value, and the gradients of a random linear function of it."""

    @tf.function
    def run(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            y = function(*arguments)
            weights = tf.random.stateless_normal(y.shape, (1, 2))
            total = tf.reduce_sum(tf.cast(y, "float32") * weights)
        return [y, *tape.gradient(total, [*arguments, *variables])]

    return [np.asarray(tf.cast(value, "float32")) for value in run(*arguments)]


def difference(found, expected) -> float:
    """The largest relative difference (L2)."""
    return max(np.linalg.norm(f - e) / np.linalg.norm(e) for f, e in zip(found, expected, strict=True))


def interpolation(n: int) -> np.ndarray:
    """Bilinear doubling with corners aligned, [2n, n], by numpy."""
    at = np.arange(2 * n) * (n - 1) / (2 * n - 1)
    return np.stack([np.interp(at, range(n), row) for row in np.eye(n)], axis=1).astype("float32")


@pytest.fixture(params=[False, True], ids=["operations", "fused"])
def fused(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(passes, "FUSE_FROM", 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 5)])
def test_upsampled_convolution_upsamples_joins_and_convolves(fused, size):
    features, layout = normal(2, *size, 4), normal(2, 2 * size[0], 2 * size[1], 3)
    layer = UpsampledConvolution(5)
    layer.build([features.shape, layout.shape])
    layer.kernel.assign(normal(*layer.kernel.shape))

    def plain(features, layout):
        up = tf.einsum("ij,bjwd->biwd", interpolation(size[0]), features)
        up = tf.einsum("ij,bhjd->bhid", interpolation(size[1]), up)
        return tf.nn.conv2d(tf.concat([up, layout], -1), layer.kernel.value, 1, "SAME")

    expected = results(plain, (features, layout), [layer.kernel.value])
    found = results(lambda *inputs: layer(list(inputs)), (features, layout), [layer.kernel.value])
    assert difference(found, expected) < 3e-6


def test_upsampling_adds_up_in_float32_in_every_precision(fused):
    features, layout = tf.cast(normal(1, 16, 16, 32), "bfloat16"), tf.zeros((1, 32, 32, 1), "bfloat16")
    narrow = UpsampledConvolution(32, dtype="mixed_bfloat16")
    wide = UpsampledConvolution(32)
    kernel = tf.cast(tf.cast(normal(3, 3, 33, 32), "bfloat16"), "float32")
    for layer in (narrow, wide):
        layer.build([features.shape, layout.shape])
        layer.kernel.assign(kernel)
    expected = wide([tf.cast(features, "float32"), tf.cast(layout, "float32")])
    # Rounded where the taps are computed, after each of two axes, and at the end: four times up to 2**-9.
    assert difference([tf.cast(narrow([features, layout]), "float32")], [expected]) < 0.0045


def test_normalized_leaky_relu_is_group_normalization_and_leaky_relu(fused):
    x = 3 * normal(2, 4, 6, 5) + 1
    layer, normalization = NormalizedLeakyReLU(), layers.GroupNormalization(groups=1, epsilon=1e-12)
    for each in (layer, normalization):
        each.build(x.shape)
        each.set_weights([np.linspace(-1, 2, 5), np.linspace(1, -1, 5)])
    relu = layers.LeakyReLU(negative_slope=0.2)
    expected = results(lambda x: relu(normalization(x)), [x], [normalization.gamma.value, normalization.beta.value])
    found = results(layer, [x], [layer.gamma.value, layer.beta.value])
    assert difference(found, expected) < 3e-6


def test_statistics_are_float32_in_bfloat16(fused):
    """In bfloat16, the mean of large values of almost one size would drown."""
    x = tf.cast(200 + normal(1, 8, 16, 4), "bfloat16")
    layer = NormalizedLeakyReLU(dtype="mixed_bfloat16")
    layer.build(x.shape)
    wide = tf.cast(x, "float32").numpy()
    y = (wide - wide.mean()) / wide.std()
    np.testing.assert_allclose(tf.cast(layer(x), "float32"), np.where(y > 0, y, 0.2 * y), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("dtype", "channels", "limit"), [("float32", 512, 3e-6), ("bfloat16", 128, 5e-3)])
def test_convolution_is_keras_own_in_float32(dtype, channels, limit):
    policy = "float32" if dtype == "float32" else "mixed_bfloat16"
    x = tf.cast(normal(2, 3, 5, channels), dtype)
    kernel = tf.cast(tf.cast(normal(3, 3, channels, channels), dtype), "float32")
    layer = Convolution(channels, 3, padding="same", use_bias=False, dtype=policy)
    keras_own = layers.Conv2D(channels, 3, padding="same", use_bias=False, dtype="float32")
    for each in (layer, keras_own):
        each.build(x.shape)
        each.kernel.assign(kernel)
    expected = results(keras_own, [tf.cast(x, "float32")], [keras_own.kernel.value])
    assert difference(results(layer, [x], [layer.kernel.value]), expected) < limit


@pytest.mark.parametrize("layer", [NormalizedLeakyReLU(), Convolution(512, 3, padding="same", use_bias=False)])
def test_layers_work_without_a_graph(layer):
    x = normal(1, 2, 4, 512)
    assert np.all(np.isfinite(layer(x)))


def test_where_xla_cannot_compile_nothing_is_fused_and_it_is_told_once(monkeypatch):
    def fail() -> None:
        raise tf.errors.InternalError(None, None, "libdevice not found\nat ./libdevice.10.bc")

    monkeypatch.setattr(passes, "FUSE_FROM", 1)
    monkeypatch.setattr(passes, "_try_compiler", fail)
    passes.compiler_failure.cache_clear()
    try:
        x = tf.constant(normal(2, 3, 4, 5))
        graph = tf.function(NormalizedLeakyReLU()).get_concrete_function(x)
        assert not any(node.attr["_XlaMustCompile"].b for node in all_nodes(graph))
        warning = passes.unfused_warning()
        assert warning.startswith("warning: XLA cannot compile here") and "libdevice not found at" in warning
    finally:
        passes.compiler_failure.cache_clear()
    monkeypatch.undo()
    assert passes.unfused_warning() is None
    monkeypatch.setattr(passes, "FUSE_FROM", 1)
    graph = tf.function(NormalizedLeakyReLU()).get_concrete_function(x)
    assert any(node.attr["_XlaMustCompile"].b for node in all_nodes(graph))


def all_nodes(graph) -> list:
    """What a traced function does, with the functions it calls."""
    definition = graph.graph.as_graph_def()
    functions = definition.library.function
    return [*definition.node, *functions, *(node for function in functions for node in function.node_def)]


def test_models_with_these_layers_can_be_cloned_and_saved(tmp_path):
    features, layout = keras.Input((2, 4, 3)), keras.Input((4, 8, 2))
    model = keras.Model([features, layout], NormalizedLeakyReLU(0.1)(UpsampledConvolution(5)([features, layout])))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    inputs = [normal(1, 2, 4, 3), normal(1, 4, 8, 2)]
    for other in (clone, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_array_equal(other(inputs), model(inputs))
