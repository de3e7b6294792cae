"""The perceiver's features, against Keras' own VGG19 and between file formats."""

import h5py
import keras
import numpy as np
import pytest
import scipy.io

from crn_tf import build_perceiver
from crn_tf.errors import UserError
from crn_tf.model.perceiver import TAPS

CONVOLUTIONS = [f"block{block}_conv{n}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, count + 1)]


@pytest.fixture(scope="module")
def vgg19():
    """Keras' own VGG19, with weights that make features of a realistic size, for BGR input."""
    model = keras.applications.VGG19(include_top=False, weights=None)
    random = np.random.default_rng(1)
    for name in CONVOLUTIONS:
        layer = model.get_layer(name)
        shape = layer.kernel.shape
        kernel = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        layer.set_weights([kernel.astype("float32"), random.standard_normal(shape[-1]).astype("float32") * 0.1])
    return model


@pytest.fixture(scope="module")
def keras_file(vgg19, tmp_path_factory):
    """The weights in the published Keras file's format."""
    path = tmp_path_factory.mktemp("vgg") / "notop.h5"
    with h5py.File(path, "w") as file:
        for name in CONVOLUTIONS:
            group = file.create_group(name)
            names = [f"{name}_W_1:0", f"{name}_b_1:0"]
            group.attrs["weight_names"] = names
            for key, value in zip(names, vgg19.get_layer(name).get_weights(), strict=True):
                group[key] = value
    return path


@pytest.fixture(scope="module")
def matlab_file(vgg19, tmp_path_factory):
    """The same weights in MatConvNet's format, for RGB input."""
    structs = np.empty((1, 43), object)
    for index in range(43):
        structs[0, index] = np.array([[("relu",)]], dtype=[("type", object)])
    for index, name in enumerate(CONVOLUTIONS):
        kernel, bias = vgg19.get_layer(name).get_weights()
        cell = np.empty((1, 2), object)
        cell[0, :] = [kernel[:, :, ::-1] if index == 0 else kernel, bias[None]]
        struct = np.empty((1, 1), dtype=[("type", object), ("weights", object)])
        struct[0, 0] = ("conv", cell)
        structs[0, 2 * index] = struct
    path = tmp_path_factory.mktemp("vgg") / "vgg.mat"
    scipy.io.savemat(path, {"layers": structs})
    return path


@pytest.fixture
def photos():
    return np.random.default_rng(2).integers(0, 256, (2, 32, 48, 3)).astype("float32")


def test_features_are_those_of_keras_vgg19(vgg19, keras_file, photos):
    expected = keras.Model(vgg19.input, [vgg19.get_layer(name).output for name in TAPS])(
        keras.applications.vgg19.preprocess_input(photos.copy())
    )
    found = build_perceiver(keras_file, "max")(photos)
    for tap, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(tap, reference, rtol=1e-3, atol=1e-3 * np.std(reference))


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_both_file_formats_give_the_same_features(keras_file, matlab_file, photos, pooling):
    for a, b in zip(*(build_perceiver(file, pooling)(photos) for file in (keras_file, matlab_file)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_average_pooling_replaces_maximum_pooling(keras_file, photos):
    average, maximum = (build_perceiver(keras_file, pooling)(photos) for pooling in ("avg", "max"))
    np.testing.assert_allclose(average[0], maximum[0])  # before the first pooling
    assert np.abs(average[1] - maximum[1]).max() > 1


def test_mixed_precision_subtracts_the_mean_exactly(float32_policy):
    photos = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    perceiver = build_perceiver("random")
    difference = keras.Model(perceiver.input, perceiver.get_layer("minus_mean").output)(photos)
    np.testing.assert_allclose(difference, photos - np.float32([123.68, 116.779, 103.939]), atol=1e-4)


def test_it_ends_at_conv5_2_and_is_frozen():
    perceiver = build_perceiver("random")
    assert perceiver.layers[-1].name == "block5_conv2"
    assert perceiver.trainable_variables == []
    shapes = [tap.shape for tap in perceiver(np.zeros((1, 32, 64, 3), "float32"))]
    assert shapes == [(1, 32, 64, 64), (1, 16, 32, 128), (1, 8, 16, 256), (1, 4, 8, 512), (1, 2, 4, 512)]


def test_random_weights_are_the_same_each_time():
    a, b = (build_perceiver("random").get_layer("block3_conv1").get_weights()[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert a.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.01)


def test_the_standin_is_read(standin):
    features = build_perceiver(standin)(np.full((1, 32, 32, 3), 128, "float32"))
    assert all(np.isfinite(tap).all() and np.max(tap) > 0 for tap in features)


def test_a_file_of_another_network_is_refused(vgg19, keras_file, tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(keras_file) as source, h5py.File(path, "w") as copy:
        for name in source:
            source.copy(name, copy)
        del copy["block2_conv1/block2_conv1_W_1:0"]
        copy["block2_conv1/block2_conv1_W_1:0"] = np.zeros((5, 5, 64, 128), "float32")
    with pytest.raises(UserError, match=r"other.h5 is not VGG19: kernel of block2_conv1 is \(5, 5, 64, 128\)"):
        build_perceiver(path)
