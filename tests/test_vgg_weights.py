"""VGG19's weights: each published format gives the same kernels, and each bad file is explained."""

import hashlib

import h5py
import numpy as np
import pytest
import scipy.io

from crn_tf.errors import UserError
from crn_tf.fetching import Known
from crn_tf.model import vgg_weights
from crn_tf.model.vgg_weights import find_weights, read_kernels
from tests.test_fetching import CONTENT, MD5, server  # noqa: F401  (fixture)

SHAPES = {"block1_conv1": (3, 3, 3, 4), "block1_conv2": (3, 3, 4, 4), "block2_conv1": (3, 3, 4, 2)}


@pytest.fixture
def kernels():
    """For RGB input."""
    noise = np.random.default_rng(0)
    return {
        name: (noise.normal(size=shape).astype("float32"), noise.normal(size=shape[-1]).astype("float32"))
        for name, shape in SHAPES.items()
    }


def write_keras(path, kernels, inside=None, spelling="{layer}_W_1:0 {layer}_b_1:0"):
    """As Keras 2.0 wrote the published file: a group per layer, kernels for BGR."""
    with h5py.File(path, "w") as file:
        root = file.create_group(inside) if inside else file
        root.attrs["layer_names"] = [b"input_1", *(name.encode() for name in kernels)]
        root.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for name, (kernel, bias) in kernels.items():
            group = root.create_group(name)
            keys = spelling.format(layer=name).split()
            group.attrs["weight_names"] = [key.encode() for key in keys]
            group[keys[0]] = kernel[:, :, ::-1] if kernel.shape[2] == 3 else kernel
            group[keys[1]] = bias
    return path


def write_matconvnet(path, kernels, older=False):
    """As MatConvNet's file: conv, relu and pool layers, one struct each in a 1 x n cell; kernels for RGB."""
    layers = []
    for name, (kernel, bias) in kernels.items():
        bias = bias[None]
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = kernel, bias
        own = {"filters": kernel, "biases": bias} if older else {"weights": weights}
        layers += [{"type": "conv", "name": name, "pad": 1.0, **own}, {"type": "relu", "name": f"{name}_relu"}]
    layers.append({"type": "pool", "name": "pool1", "stride": 2.0})
    cell = np.empty((1, len(layers)), object)
    cell[0] = layers
    scipy.io.savemat(path, {"layers": cell, "meta": {"classes": "not needed"}}, do_compression=True)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, (kernel, bias) in expected.items():
        assert found[name][0].dtype == found[name][1].dtype == np.float32
        np.testing.assert_array_equal(found[name][0], kernel)
        np.testing.assert_array_equal(found[name][1], bias)


@pytest.mark.parametrize("inside", [None, "model_weights"])
@pytest.mark.parametrize("spelling", ["{layer}_W_1:0 {layer}_b_1:0", "{layer}/kernel:0 {layer}/bias:0"])
def test_a_keras_file_gives_rgb_kernels(tmp_path, kernels, inside, spelling):
    path = write_keras(tmp_path / "a.h5", kernels, inside, spelling)
    assert_same(read_kernels(path, SHAPES), kernels)


def test_half_precision_kernels_become_float32(tmp_path, kernels):
    halves = {name: (kernel.astype("float16"), bias.astype("float16")) for name, (kernel, bias) in kernels.items()}
    assert_same(read_kernels(write_keras(tmp_path / "a.h5", halves), SHAPES), halves)


@pytest.mark.parametrize("older", [False, True])
def test_a_matconvnet_file_gives_the_same_kernels_as_keras(tmp_path, kernels, older):
    path = write_matconvnet(tmp_path / "a.mat", kernels, older)
    assert_same(read_kernels(path, SHAPES), read_kernels(write_keras(tmp_path / "a.h5", kernels), SHAPES))


@pytest.mark.parametrize("write", [write_keras, write_matconvnet])
def test_layers_past_the_wanted_ones_are_left_out(tmp_path, kernels, write):
    path = write(tmp_path / ("a.h5" if write is write_keras else "a.mat"), kernels)
    wanted = dict(list(SHAPES.items())[:2])
    assert list(read_kernels(str(path), wanted)) == list(wanted)


@pytest.mark.parametrize(("write", "suffix"), [(write_keras, "h5"), (write_matconvnet, "mat")])
def test_a_kernel_of_another_shape_is_told_with_both_shapes(tmp_path, kernels, write, suffix):
    kernels["block1_conv2"] = np.zeros((5, 5, 4, 4), "float32"), np.zeros(4, "float32")
    path = write(tmp_path / f"a.{suffix}", kernels)
    message = rf"a\.{suffix} is not VGG19: kernel of block1_conv2 is \(5, 5, 4, 4\), expected \(3, 3, 4, 4\)"
    with pytest.raises(UserError, match=message):
        read_kernels(path, SHAPES)


@pytest.mark.parametrize(("write", "suffix"), [(write_keras, "h5"), (write_matconvnet, "mat")])
def test_a_bias_of_another_shape_is_told_as_such(tmp_path, kernels, write, suffix):
    kernels["block1_conv2"] = kernels["block1_conv2"][0], np.zeros(7, "float32")
    with pytest.raises(UserError, match=r"is not VGG19: bias of block1_conv2 is \(7,\), expected \(4,\)"):
        read_kernels(write(tmp_path / f"a.{suffix}", kernels), SHAPES)


def test_a_missing_layer_is_named(tmp_path, kernels):
    del kernels["block2_conv1"]
    with pytest.raises(UserError, match=r"a\.h5 is not VGG19: it has no layer block2_conv1"):
        read_kernels(write_keras(tmp_path / "a.h5", kernels), SHAPES)
    with pytest.raises(UserError, match=r"a\.mat is not VGG19: it has 2 convolutions, expected at least 3"):
        read_kernels(write_matconvnet(tmp_path / "a.mat", kernels), SHAPES)


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(("write", "suffix"), [(write_keras, "h5"), (write_matconvnet, "mat")])
def test_a_truncated_file_is_refused(tmp_path, kernels, write, suffix, kept):
    path = write(tmp_path / f"a.{suffix}", kernels)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(UserError, match=rf"cannot read .*/a\.{suffix}( as MatConvNet's VGG19)?: "):
        read_kernels(path, SHAPES)


@pytest.mark.parametrize("names", [[b"one"], [b"one", b"two", b"three"], [b"none", b"such"]])
def test_a_layer_without_a_kernel_and_a_bias_is_refused(tmp_path, kernels, names):
    path = write_keras(tmp_path / "a.h5", kernels)
    with h5py.File(path, "a") as file:
        group = file["block1_conv2"]
        for name in (b"one", b"two", b"three"):
            group[name] = np.zeros(1)
        group.attrs["weight_names"] = names
    with pytest.raises(UserError, match=r"cannot read .*/a\.h5 as a Keras weights file"):
        read_kernels(path, SHAPES)


def test_a_mat_file_of_something_else_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.eye(3)})
    with pytest.raises(UserError, match=r"cannot read .*/a\.mat as MatConvNet's VGG19: .*layers"):
        read_kernels(tmp_path / "a.mat", SHAPES)


@pytest.mark.parametrize("name", ["a.npz", "weights"])
def test_another_kind_of_file_is_refused(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=f"{name} is neither a Keras .h5 file nor a MatConvNet .mat file"):
        read_kernels(tmp_path / name, SHAPES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=f"no VGG19 weights file {tmp_path}/a.h5; see vgg_weights/README.md"):
        read_kernels(tmp_path / "a.h5", SHAPES)


def test_random_kernels_are_he_normal_and_always_the_same():
    shapes = {"a": (3, 3, 8, 512), "b": (3, 3, 512, 64)}
    found = read_kernels("random", shapes)
    assert_same(found, read_kernels("random", shapes))
    for name, shape in shapes.items():
        kernel, bias = found[name]
        assert kernel.shape == shape and bias.shape == shape[-1:] and not bias.any()
        assert kernel.std() == pytest.approx((2 / np.prod(shape[:3])) ** 0.5, rel=0.02)


def test_the_keras_file_is_found_before_the_matlab_one(tmp_path):
    (tmp_path / "imagenet-vgg-verydeep-19.mat").touch()
    assert find_weights(tmp_path).name == "imagenet-vgg-verydeep-19.mat"
    (tmp_path / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    assert find_weights(tmp_path).name == "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


def test_without_weights_the_message_says_where_to_get_them(tmp_path):
    with pytest.raises(UserError) as caught:
        find_weights(tmp_path / "vgg_weights")
    message = str(caught.value)
    assert f"no VGG19 weights in {tmp_path}/vgg_weights/" in message
    for part in ("https://storage.googleapis.com/", "notop.h5", "https://cqf.io/", ".mat", "imagenet", "random"):
        assert part in message


@pytest.fixture
def published(tmp_path, monkeypatch, kernels):
    """A file in the place of the published one's address."""
    path = write_keras(tmp_path / "published.h5", kernels)
    monkeypatch.setattr(vgg_weights, "KERAS_URL", path.as_uri())
    monkeypatch.setattr(vgg_weights, "KERAS_KNOWN", Known(hashlib.md5(path.read_bytes()).hexdigest()))
    monkeypatch.setattr(vgg_weights, "WEIGHTS_FOLDER", tmp_path / "vgg_weights")
    return path


def test_imagenet_downloads_the_keras_file_into_the_weights_folder(published, tmp_path, kernels):
    assert_same(read_kernels("imagenet", SHAPES), kernels)
    assert find_weights(tmp_path / "vgg_weights").read_bytes() == published.read_bytes()
    published.unlink()
    assert_same(read_kernels("imagenet", SHAPES), kernels)  # what was downloaded is used again


def test_a_failed_download_is_explained(published, tmp_path):
    published.unlink()
    with pytest.raises(UserError, match=r"cannot download file:.*/published\.h5: .*put the file into .*/vgg_weights"):
        read_kernels("imagenet", SHAPES)
    assert not list((tmp_path / "vgg_weights").glob("*"))


def test_a_damaged_download_is_not_left_to_be_found(published, tmp_path):
    published.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"published\.h5 has the MD5 .* it was removed"):
        read_kernels("imagenet", SHAPES)
    with pytest.raises(UserError, match="no VGG19 weights in"):
        find_weights(tmp_path / "vgg_weights")


def test_imagenet_goes_on_with_what_an_earlier_download_left(server, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(vgg_weights, "KERAS_URL", server.url)
    monkeypatch.setattr(vgg_weights, "KERAS_KNOWN", Known(MD5))
    monkeypatch.setattr(vgg_weights, "WEIGHTS_FOLDER", tmp_path / "vgg_weights")
    server.break_at = 300_000
    with pytest.raises(UserError, match=r"broke off at 300,000 of 1,048,576 bytes, which are kept: call again"):
        read_kernels("imagenet", SHAPES)
    with pytest.raises(UserError, match=r"cannot read the weights .*/vgg_weights/vgg19_.*notop\.h5"):
        read_kernels("imagenet", SHAPES)  # the file is whole now, and no VGG19
    assert server.ranges == [None, "bytes=300000-"]
    assert find_weights(tmp_path / "vgg_weights").read_bytes() == CONTENT


def test_imagenet_takes_no_other_file_of_that_name(published, tmp_path, kernels):
    """Nor does it write over one: somebody has put it there."""
    kernels["block1_conv1"] = kernels["block1_conv1"][0] + 1, kernels["block1_conv1"][1]
    (tmp_path / "vgg_weights").mkdir()
    path = write_keras(tmp_path / "vgg_weights/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", kernels)
    with pytest.raises(UserError, match=rf"^{path} is not the file that Keras publishes.* with --vgg-weights {path}$"):
        read_kernels("imagenet", SHAPES)
    assert_same(read_kernels(path, SHAPES), kernels)


def test_the_standins_published_format_is_read(shared):
    path = shared / "data/vgg19_standin/vgg19_standin_notop.h5"
    found = read_kernels(path, {"block1_conv1": (3, 3, 3, 64), "block5_conv2": (3, 3, 512, 512)})
    with h5py.File(path) as file:
        stored = file["block1_conv1/block1_conv1_W_1:0"][()]
    np.testing.assert_array_equal(found["block1_conv1"][0], stored[:, :, [2, 1, 0]].astype("float32"))
