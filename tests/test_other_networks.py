"""The other methods' networks: known counts and shapes, forward passes in NumPy, what a pixel sees, and dropout."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Synthesizer, Trainer, build_generator, build_perceiver
from crn_tf.data.class_tables import ClassTable
from crn_tf.errors import UsageError
from crn_tf.model.description import ModelDescription
from crn_tf.model.layers import NormalizedLeakyReLU
from crn_tf.model.other_networks.by_name import ONE_IMAGE, OTHER_NETWORKS, build_network
from crn_tf.model.other_networks.dcgan import build_dcgan_generator
from crn_tf.model.other_networks.encoder_decoder import build_encoder_decoder
from crn_tf.model.other_networks.full_resolution import build_full_resolution
from crn_tf.model.other_networks.parts import BatchStatisticsNormalization, SeededDropout
from crn_tf.model.other_networks.pix2pix import (
    build_pix2pix_discriminator,
    build_pix2pix_generator,
    plan_pix2pix_discriminator,
    with_seed_input,
)
from crn_tf.model.planning import count_parameters
from crn_tf.precision import computing_in

TINY = 1 / 32
GRIDS = {(64, 128): (4, 8), (37, 50): (37, 50), (12, 9): (12, 9), (256, 256): (4, 4)}  # of a CRN of these sizes
TWO_CLASSES = ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), None)


def layouts(size, batch=2, classes=3, seed=0) -> np.ndarray:
    """Random one-hot layouts, float32 [B, H, W, C]."""
    ids = np.random.default_rng(seed).integers(0, classes, (batch, *size))
    return np.eye(classes, dtype="float32")[ids]


def with_random_weights(model: keras.Model, seed=0) -> keras.Model:
    """Weights large enough that every one of them matters."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.3 + ("gamma" in variable.path))
    return model


def seeded(*values) -> np.ndarray:
    return np.array(values, "int32")


# Known counts and shapes


def test_pix2pix_has_as_many_parameters_as_its_release():
    """54.414 M and 2.769 M at 256x256, for layouts of three channels."""
    assert build_pix2pix_generator((256, 256), 3).count_params() == 54_413_955
    assert build_pix2pix_discriminator((256, 256), 3).count_params() == 2_768_705


def test_pix2pix_has_its_papers_channels():
    generator = build_pix2pix_generator((256, 256), 3)

    def shapes(part, count):
        return [generator.get_layer(f"{part}_{i}_convolution").output.shape[1:] for i in range(1, count + 1)]

    sides = (128, 64, 32, 16, 8, 4, 2, 1)
    assert shapes("encoder", 8) == [(n, n, c) for n, c in zip(sides, (64, 128, 256, *5 * [512]), strict=True)]
    assert shapes("decoder", 7) == [(n, n, c) for n, c in zip(sides[-2::-1], (*4 * [512], 256, 128, 64), strict=True)]
    normalized = [layer.name for layer in generator.layers if isinstance(layer, BatchStatisticsNormalization)]
    assert [name for name in normalized if "encoder" in name] == [f"encoder_{i}_normalization" for i in range(2, 8)]
    assert len(normalized) == 6 + 7
    assert [layer.name for layer in generator.layers if isinstance(layer, SeededDropout)] == [
        f"decoder_{i}_dropout" for i in (1, 2, 3)
    ]


@pytest.mark.parametrize(("size", "grid"), [((64, 128), (4, 8)), ((192, 256), (3, 4))])
def test_the_encoder_decoder_has_about_as_many_parameters_as_the_crn(size, grid):
    of_crn = build_generator(size[0], 20, width=0.5, base_grid=grid).count_params()
    assert build_encoder_decoder(size, 20, width=0.5).count_params() == pytest.approx(of_crn, rel=0.02)


@pytest.mark.parametrize("size", [(64, 128), (35, 51), (9, 7)])
@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_each_network_synthesizes_at_any_size_and_all_of_it_is_trained(name, size):
    generator = build_network(name, size, num_classes=3, width=0.03125)
    for variable in generator.variables:  # fresh gains of single channels may be behind a ReLU that is never open
        variable.assign(np.abs(variable) + 0.01)
    with tf.GradientTape() as tape:
        images = generator(layouts(size), training=True)
        loss = tf.reduce_mean(images * tf.random.stateless_normal(images.shape, (0, 0)))
    assert images.shape == (2, 1, *size, 3) and images.dtype == "float32"
    assert np.isfinite(images).all()
    gradients = tape.gradient(loss, generator.trainable_variables)
    assert [v.path for v, g in zip(generator.trainable_variables, gradients, strict=True) if g is None] == []
    assert Synthesizer(generator)(np.zeros((1, *size), "uint8")).shape == (1, 1, *size, 3)


@pytest.mark.parametrize("name", ["encoder-decoder", "full-resolution"])
def test_networks_for_the_crns_losses_synthesize_collections(name):
    generator = build_network(name, (16, 24), num_classes=3, num_images=3, width=TINY)
    projection = generator.get_layer("projection")
    projection.set_weights([np.zeros(projection.kernel.shape), np.linspace(-1, 1, 9)])
    images = np.asarray(generator(layouts((16, 24), 1)))
    expected = (np.linspace(-1, 1, 9) + 1) / 2 * 255
    np.testing.assert_allclose(images[0, :, 7, 5], expected.reshape(3, 3), atol=1e-3)


@pytest.mark.parametrize("name", ["encoder-decoder", "full-resolution"])
def test_the_trainer_trains_them_with_the_content_loss(name):
    keras.utils.set_random_seed(0)
    generator = build_network(name, (16, 32), num_classes=3, width=TINY)
    trainer = Trainer(generator, build_perceiver("random"), "content", LOSS_WEIGHTS["inverse-elements"], 1e-2)
    photos = np.full((1, 16, 32, 3), 200, "uint8")
    losses = [float(trainer.train_step(photos, np.zeros((1, 16, 32), "uint8"))[0]) for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("build", "arguments"),
    [
        (build_pix2pix_generator, {"size": (1, 8)}),
        (build_pix2pix_generator, {"seed": -1}),
        (build_pix2pix_generator, {"num_classes": 0}),
        (build_pix2pix_discriminator, {"size": (2, 8)}),
        (build_dcgan_generator, {"size": (8, 1)}),
        (build_full_resolution, {"width": 0.0}),
        (build_encoder_decoder, {"num_images": 0}),
    ],
)
def test_impossible_arguments_are_refused(build, arguments):
    with pytest.raises(ValueError, match=r"must be positive|at least|expected a seed"):
        build(**{"size": (16, 16), "num_classes": 3, "width": TINY, **arguments})


def test_other_names_and_collections_of_adversarial_networks_are_refused():
    with pytest.raises(
        ValueError, match="no network 'unet'; expected one of encoder-decoder, full-resolution, pix2pix"
    ):
        build_network("unet", (16, 16))
    with pytest.raises(ValueError, match="pix2pix synthesizes one image for each layout, not 9"):
        build_network("pix2pix", (16, 16), num_images=9)


# Forward passes in NumPy


def convolve(x, kernel, stride, size, bias=0.0) -> np.ndarray:
    """A 4x4 convolution that begins one pixel outside of the picture, to a result of that size."""
    x = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    y = np.zeros((len(x), *size, kernel.shape[3]))
    for row, column in np.ndindex(*size):
        patch = x[:, row * stride : row * stride + 4, column * stride : column * stride + 4]
        y[:, row, column] = np.einsum("bijd,ijdf->bf", patch, kernel)
    return y + bias


def transposed(x, kernel, size, bias=0.0) -> np.ndarray:
    """A 4x4 transposed convolution with stride 2: each pixel adds its kernel around it. Cut to the size."""
    y = np.zeros((len(x), 2 * x.shape[1] + 2, 2 * x.shape[2] + 2, kernel.shape[2]))
    for row, column in np.ndindex(x.shape[1:3]):
        y[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += np.einsum(
            "bd,ijfd->bijf", x[:, row, column], kernel
        )
    return y[:, 1 : size[0] + 1, 1 : size[1] + 1] + bias


def normalize(x, gamma, beta, axes=(0, 1, 2)) -> np.ndarray:
    deviation = x - x.mean(axes, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(axes, keepdims=True) + 1e-5) * gamma + beta


def leaky(x) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {variable.path: np.asarray(variable, "float64") for variable in model.variables}


def dropped(shape, number, seed, training) -> np.ndarray:
    """What a dropout multiplies with: 0 or 2."""
    return np.asarray(SeededDropout(number)([tf.ones(shape), seed], training=training))


@pytest.mark.parametrize("training", [True, False])
def test_the_pix2pix_generator_is_what_numpy_computes(training):
    size = (12, 20)
    generator = with_random_weights(build_pix2pix_generator(size, 3, TINY))
    layout, weights, seed = layouts(size), weights_of(generator), seeded(5, 8)
    axes = (0, 1, 2) if training else (1, 2)

    def normalized(x, name):
        return normalize(x, weights[f"{name}_normalization/gamma"], weights[f"{name}_normalization/beta"], axes)

    x, encoded = layout, []
    for level, sides in ((1, (6, 10)), (2, (3, 5)), (3, (2, 3)), (4, (1, 2))):
        x = convolve(x if level == 1 else leaky(x), weights[f"encoder_{level}_convolution/kernel"], 2, sides)
        x = normalized(x, f"encoder_{level}") if level in (2, 3) else x
        encoded.append(x)
    for number, skip in ((1, encoded[2]), (2, encoded[1]), (3, encoded[0])):
        x = transposed(np.maximum(x, 0), weights[f"decoder_{number}_convolution/kernel"], skip.shape[1:3])
        x = normalized(x, f"decoder_{number}") * dropped(x.shape, number, seed, training)
        x = np.concatenate([skip, x], -1)
    x = transposed(np.maximum(x, 0), weights["output_convolution/kernel"], size, weights["output_convolution/bias"])
    expected = (np.tanh(x) + 1) / 2 * 255

    found = np.asarray(with_seed_input(generator)([layout, seed], training=training))
    assert expected.std() > 20
    np.testing.assert_allclose(found[:, 0], expected, atol=0.02)


@pytest.mark.parametrize(
    ("size", "patches"),
    [
        ((24, 26), [(12, 13), (6, 6), (3, 3), (2, 2)]),
        ((13, 15), [(6, 7), (3, 3), (2, 2)]),
        ((3, 5), [(2, 4)]),
    ],
)
def test_the_pix2pix_discriminator_is_what_numpy_computes(size, patches):
    discriminator = with_random_weights(build_pix2pix_discriminator(size, 3, TINY))
    layout, weights = layouts(size), weights_of(discriminator)
    picture = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype("float32")
    x = np.concatenate([layout, picture / 127.5 - 1], -1)
    for number, sides in enumerate(patches, 1):
        name, stride = f"patch_{number}", 2 if number < len(patches) else 1
        x = convolve(x, weights[f"{name}_convolution/kernel"], stride, sides)
        if number == 1:
            x = x + weights[f"{name}_convolution/bias"]
        else:
            x = normalize(x, weights[f"{name}_normalization/gamma"], weights[f"{name}_normalization/beta"])
        x = leaky(x)
    sides = patches[-1][0] - 1, patches[-1][1] - 1
    expected = convolve(x, weights["logits_convolution/kernel"], 1, sides, weights["logits_convolution/bias"])
    found = np.asarray(discriminator([layout, picture], training=True))
    assert len(discriminator.variables) == 4 + 3 * (len(patches) - 1)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_the_dcgan_generator_is_what_numpy_computes():
    size = (17, 21)  # halved twice: 9x11, 5x6
    generator = with_random_weights(build_dcgan_generator(size, 3, TINY))
    layout, weights = layouts(size), weights_of(generator)

    def normalized(x, name):
        return normalize(x, weights[f"{name}_normalization/gamma"], weights[f"{name}_normalization/beta"])

    bias = weights["encoder_1_convolution/bias"]
    x = leaky(convolve(layout, weights["encoder_1_convolution/kernel"], 2, (9, 11), bias))
    x = leaky(normalized(convolve(x, weights["encoder_2_convolution/kernel"], 2, (5, 6)), "encoder_2"))
    x = normalized(transposed(x, weights["generator_1_convolution/kernel"], (9, 11)), "generator_1")
    x = np.maximum(x, 0)
    x = transposed(x, weights["output_convolution/kernel"], size, weights["output_convolution/bias"])
    found = np.asarray(generator(layout, training=True))
    np.testing.assert_allclose(found[:, 0], (np.tanh(x) + 1) / 2 * 255, atol=0.02)


def test_the_encoder_decoder_joins_each_height_with_its_own():
    generator = build_encoder_decoder((32, 64), 3, width=TINY)
    for rows in (8, 16, 32):
        below, skip = generator.get_layer(f"decoder_{rows}_conv1").input
        assert skip is generator.get_layer(f"encoder_{rows}_norm2").output
        coarser = f"decoder_{rows // 2}_norm2" if rows > 8 else "encoder_4_norm2"
        assert below is generator.get_layer(coarser).output
        assert generator.get_layer(f"encoder_{rows // 2}_pooling").input is skip


def test_the_encoder_decoder_fills_up_odd_sizes_and_cuts_them_again():
    odd, even = (with_random_weights(build_encoder_decoder(size, 3, width=TINY)) for size in ((13, 22), (16, 24)))
    layout = layouts((13, 22))
    filled = np.pad(layout, ((0, 0), (0, 3), (0, 2), (0, 0)))
    np.testing.assert_allclose(odd(layout), np.asarray(even(filled))[:, :, :13, :22], rtol=1e-3, atol=0.1)


# What a pixel sees


def seen_by(model: keras.Model, inputs, at) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the first input that one place of the result depends on."""
    inputs = [tf.constant(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        one = tf.reduce_sum(model(inputs if len(inputs) > 1 else inputs[0])[at])
    gradient = np.abs(np.asarray(tape.gradient(one, inputs)[0])).sum((0, 3)) > 0
    rows, columns = gradient.any(1).nonzero()[0], gradient.any(0).nonzero()[0]
    assert gradient[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return rows, columns


def with_positive_kernels(model: keras.Model) -> keras.Model:
    for variable in model.variables:
        variable.assign(np.full(variable.shape, 0.05))
    return model


def test_the_discriminators_patches_are_70x70(monkeypatch):
    # Without the normalization, by which every place depends on the whole picture.
    monkeypatch.setattr(BatchStatisticsNormalization, "call", lambda self, x, training=False: x)
    discriminator = with_positive_kernels(build_pix2pix_discriminator((256, 256), 3, TINY / 2))
    assert discriminator.output_shape == (None, 30, 30, 1)
    inputs = [np.ones((1, 256, 256, 3), "float32"), np.ones((1, 256, 256, 3), "float32")]
    rows, columns = seen_by(discriminator, inputs, (0, 15, 12))
    assert (len(rows), len(columns)) == (70, 70)
    # Patches are eight pixels apart; the first begins outside, by the borders of five convolutions.
    assert (rows[0], columns[0]) == (15 * 8 - 23, 12 * 8 - 23)


def test_a_pixel_of_the_full_resolution_network_sees_257_pixels(monkeypatch):
    monkeypatch.setattr(NormalizedLeakyReLU, "call", lambda self, x: x)
    network = with_positive_kernels(build_full_resolution((5, 301), 2, width=TINY))
    dilations = [layer.dilation_rate[0] for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert dilations == [1, 2, 4, 8, 16, 32, 64, 1, 1]
    rows, columns = seen_by(network, [np.ones((1, 5, 301, 2), "float32")], (0, 0, 2, 150))
    assert len(rows) == 5 and (columns[0], columns[-1]) == (150 - 128, 150 + 128)


# Statistics, dropout, and what is kept between calls: nothing


@pytest.mark.parametrize("training", [True, False])
def test_normalization_takes_the_batchs_statistics_in_training_and_a_samples_own_else(training):
    layer = BatchStatisticsNormalization()
    x = np.random.default_rng(0).normal(3, 5, (3, 4, 5, 6)).astype("float32")
    layer.build(x.shape)
    gamma, beta = np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6)
    layer.set_weights([gamma, beta])
    expected = normalize(x, gamma, beta, (0, 1, 2) if training else (1, 2))
    np.testing.assert_allclose(layer(x, training=training), expected, atol=1e-5)


def test_statistics_are_float32_in_every_precision():
    """The squares of these do not fit into float16, their sum not into bfloat16's eight bits."""
    x = tf.cast(np.random.default_rng(0).normal(500, 300, (1, 64, 64, 2)), "float16")
    layer = BatchStatisticsNormalization(dtype="mixed_float16")
    layer.build(x.shape)
    layer.set_weights([np.ones(2), np.zeros(2)])
    found = layer(x)
    assert found.dtype == "float16"
    np.testing.assert_allclose(found, normalize(np.asarray(x, "float64"), 1, 0), atol=0.005)


def test_dropout_drops_half_and_doubles_the_rest():
    for training, masks in ((True, 4), (False, 1)):
        kept = dropped((4, 16, 16, 64), 1, seeded(1, 2), training)
        assert set(np.unique(kept)) == {0, 2}
        assert kept.mean() == pytest.approx(1, abs=0.02)
        assert len(np.unique(kept, axis=0)) == masks  # each sample has its own in training only


def test_dropout_is_a_function_of_seed_step_and_layer():
    first = dropped((1, 8, 8, 32), 1, seeded(1, 2), True)
    np.testing.assert_array_equal(dropped((1, 8, 8, 32), 1, seeded(1, 2), True), first)
    for number, seed in ((2, (1, 2)), (1, (2, 2)), (1, (1, 3)), (1, (2, 1))):
        assert (dropped((1, 8, 8, 32), number, seeded(*seed), True) != first).mean() == pytest.approx(0.5, abs=0.1)


def test_a_given_seed_takes_the_place_of_the_stored_one_inside_of_a_graph():
    generator = with_random_weights(build_pix2pix_generator((16, 32), 3, TINY, seed=7))
    network, layout = with_seed_input(generator), layouts((16, 32))
    assert network.variables == generator.variables
    step = tf.function(lambda layout, seed: network([layout, seed], training=True))
    pictures = [np.asarray(step(layout, tf.constant(seeded(*seed)))) for seed in ((7, 0), (7, 1), (7, 0))]
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert np.abs(pictures[0] - pictures[1]).mean() > 1
    np.testing.assert_allclose(pictures[0], generator(layout, training=True), atol=1e-2)


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_one_layout_is_one_picture_whatever_is_synthesized_with_it_or_before(name):
    generator = with_random_weights(build_network(name, (16, 32), 3, width=TINY))
    before = generator.get_weights()
    assert generator.non_trainable_variables == []
    three = layouts((16, 32), 3)
    alone = np.asarray(generator(three[:1]))
    np.testing.assert_allclose(generator(three)[0], alone[0], atol=0.02)
    np.testing.assert_allclose(generator(three[::-1])[2], alone[0], atol=0.02)
    generator(three, training=True)
    np.testing.assert_array_equal(generator(three[:1]), alone)
    for weights, same in zip(generator.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, same)


def test_dropout_stays_on_in_an_exported_model_and_is_the_same_in_each_request(tmp_path):
    synthesizers = []
    for seed in (3, 4):
        synthesizers.append(Synthesizer(with_random_weights(build_pix2pix_generator((16, 32), 3, TINY, seed=seed))))
    ids = np.random.default_rng(0).integers(0, 3, (2, 16, 32)).astype("uint8")
    expected = synthesizers[0](ids)
    assert (expected != synthesizers[1](ids)).mean() > 0.5
    synthesizers[0].model.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path)
    for _ in range(2):
        assert np.abs(np.asarray(served.serve(ids), int) - expected).max() <= 1
    assert np.abs(np.asarray(served.serve(ids[1:]), int) - expected[1:]).max() <= 1


def test_networks_can_be_cloned_from_their_configuration():
    generator = with_random_weights(build_pix2pix_generator((16, 32), 3, TINY, seed=5))
    clone = keras.models.clone_model(generator)
    clone.set_weights(generator.get_weights())
    np.testing.assert_allclose(clone(layouts((16, 32))), generator(layouts((16, 32))), atol=0.02)


def test_fresh_weights_are_the_papers():
    generator = build_pix2pix_generator((64, 64), 3, 0.25)
    same_shape = [generator.get_layer(f"encoder_{i}_convolution").kernel.numpy() for i in (5, 6)]
    assert same_shape[0].std() == pytest.approx(0.02, rel=0.02)
    assert np.abs(same_shape[0] - same_shape[1]).mean() > 0.01  # not the same numbers
    gains = np.asarray(generator.get_layer("encoder_5_normalization").gamma)
    assert (gains.mean(), gains.std()) == (pytest.approx(1, abs=0.01), pytest.approx(0.02, rel=0.3))


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_low_precision_gives_nearly_the_same_picture_in_float32(name):
    wide = with_random_weights(build_network(name, (16, 32), 3, width=TINY * 4))
    with computing_in("bfloat16"):
        narrow = build_network(name, (16, 32), 3, width=TINY * 4)
    for layer in narrow.layers:
        if layer.weights and layer.name not in ("projection", "output_convolution"):
            assert layer.compute_dtype == "bfloat16" and layer.variable_dtype == "float32"
    narrow.set_weights(wide.get_weights())
    found, expected = (np.asarray(model(layouts((16, 32)))) for model in (narrow, wide))
    assert found.dtype == "float32"
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected - expected.mean())


# Plans


@pytest.mark.parametrize("size", [(64, 128), (37, 50), (12, 9), (256, 256)])
@pytest.mark.parametrize("name", ["crn", *OTHER_NETWORKS])
def test_what_is_planned_is_what_is_built(name, size):
    images = 1 if name in ONE_IMAGE else 2
    grid = GRIDS[size] if name == "crn" else size
    description = ModelDescription(size[0], grid, images, 1 / 16, TWO_CLASSES, network=name)
    generator = description.build()
    assert description.parameters == generator.count_params()
    assert description.image_size == size and generator.output_shape == (None, images, *size, 3)
    if size in ((64, 128), (256, 256)):  # else some results are cut before they are used
        built = [layer.output.shape[1:] for layer in generator.layers if _convolves(layer)]
        assert sorted((p.size, p.channels) for p in description.plan()) == sorted(((h, w), c) for h, w, c in built)
    assert ModelDescription.from_json(description.to_json()) == description


def _convolves(layer):
    return any("kernel" in variable.path for variable in layer.variables)


def test_a_discriminator_is_planned_as_it_is_built():
    for size in (256, 256), (64, 128), (20, 9), (3, 4):
        built = build_pix2pix_discriminator(size, 4, width=1 / 8)
        plan = plan_pix2pix_discriminator(size, 4, 1 / 8)
        assert count_parameters(plan) == built.count_params()
        shapes = [layer.output.shape[1:] for layer in built.layers if _convolves(layer)]
        assert [(*each.size, each.channels) for each in plan] == shapes


def test_only_a_crn_can_have_another_size():
    description = ModelDescription(24, (24, 32), 1, 0.1, TWO_CLASSES, network="full-resolution")
    with pytest.raises(UsageError, match="is made for one size; only a CRN"):
        description.at_size((24, 64))
