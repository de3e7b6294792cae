"""Segmenters and networks of features: the perceiver's, those in files, those that may not be installed."""

import json
import sys
import types

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from crn_tf import CITYSCAPES
from crn_tf.data.class_tables import ClassTable
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.feature_cache import FeatureCache
from crn_tf.evaluation.features import RememberedFeatures, open_features
from crn_tf.evaluation.pictures import Picture, Viewer
from crn_tf.evaluation.segmenters import KerasHubSegmenter, open_segmenter

CLASSES = ClassTable(("red", "green", "blue"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), (0, 1, 2), (3,))


@pytest.fixture(scope="module")
def viewer():
    return Viewer("random", "avg")


@pytest.fixture
def picture(viewer):
    """Red, green and blue stripes, none of them pure."""
    layout = np.repeat([0, 1, 2], 8)[None].repeat(16, 0)
    pixels = np.full((16, 24, 3), 30, np.uint8)
    np.put_along_axis(pixels, layout[..., None], 200, -1)
    return Picture(pixels, viewer), layout


def write_network(path, nodes, output_rank: int = 4, **beside):
    """An ONNX file of nodes from "x" to "y", and what stands beside it."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None, None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * output_rank)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    if beside:
        path.with_suffix(".json").write_text(json.dumps(beside))
    return str(path)


def unchanged():
    return [helper.make_node("Identity", ["x"], ["y"])]


def never():
    raise AssertionError("not asked for")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_network_in_a_file_is_a_segmenter(tmp_path, picture, layout):
    """The channel with the highest value is the class: red, green and blue are the classes' scores."""
    found = open_segmenter(write_network(tmp_path / "s.onnx", unchanged(), layout=layout), CLASSES, never)
    np.testing.assert_array_equal(found(picture[0]), picture[1])
    assert (found.name, found.shared) == ("s.onnx", False)


def test_its_outputs_are_mapped_by_name_and_its_input_is_what_it_wants(tmp_path, picture):
    file = write_network(
        tmp_path / "s.onnx",
        unchanged(),
        order="BGR",
        size=[32, 48],
        scale=1,
        mean=[100, 100, 100],
        classes={"0": "blue", "1": "green", "2": "red"},
    )
    np.testing.assert_array_equal(open_segmenter(file, CLASSES, never)(picture[0]), picture[1])


def test_outputs_that_are_no_class_are_not_chosen(tmp_path, picture):
    names = {"0": "red", "1": "green", "2": "sky"}
    table = ClassTable(("red", "green"), CLASSES.palette[:2], (0, 1), (3,))
    found = open_segmenter(write_network(tmp_path / "s.onnx", unchanged(), classes=names), table, never)(picture[0])
    np.testing.assert_array_equal(found[:, :16], picture[1][:, :16])
    assert set(np.unique(found)) <= {0, 1}


def test_a_network_may_have_more_outputs_than_are_named(tmp_path, picture):
    table = ClassTable(("red", "green"), CLASSES.palette[:2], (0, 1), (3,))
    file = write_network(tmp_path / "s.onnx", unchanged(), classes={"0": "red", "1": "green"})
    found = open_segmenter(file, table, never)(picture[0])
    np.testing.assert_array_equal(found[:, :16], picture[1][:, :16])


def test_ids_are_taken_as_they_are(tmp_path, picture):
    nodes = [
        helper.make_node("ArgMax", ["x"], ["ids"], axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["y"], to=TensorProto.FLOAT),
    ]
    found = open_segmenter(write_network(tmp_path / "s.onnx", nodes, 3), CLASSES, never)
    np.testing.assert_array_equal(found(picture[0]), picture[1])


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"classes": {"0": "red", "1": "green"}}, "names no output for 'blue'"),
        ({"classes": {"0": "red", "1": "green", "2": "blues"}}, r"but 'blues'"),
        ({"sizes": [1, 2]}, "expected a JSON object"),
        ({"mean": [1, 2]}, "expected a JSON object"),
        ({"std": [1, 0, 1]}, "std has a zero"),
        ({"layout": "CHW"}, "layout 'CHW'"),
    ],
)
def test_what_is_wrong_beside_a_network_is_one_line(tmp_path, beside, message):
    with pytest.raises(UserError, match=message) as error:
        open_segmenter(write_network(tmp_path / "s.onnx", unchanged(), **beside), CLASSES, never)
    assert "\n" not in str(error.value)


def test_a_network_of_other_classes_is_refused(tmp_path, picture):
    found = open_segmenter(write_network(tmp_path / "s.onnx", unchanged()), CITYSCAPES, never)
    with pytest.raises(UserError, match="has 3 classes, expected 19"):
        found(picture[0])


def test_damaged_and_missing_networks_are_one_line(tmp_path):
    (tmp_path / "s.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"cannot read the network .*s\.onnx"):
        open_segmenter(str(tmp_path / "s.onnx"), CLASSES, never)
    with pytest.raises(UserError, match="there is no file"):
        open_features(str(tmp_path / "t.onnx"), None)


@pytest.mark.parametrize(
    ("asked", "module", "package"),
    [("keras-hub:x", "keras_hub", "keras-hub"), ("s.onnx", "onnxruntime", "onnxruntime")],
)
def test_a_missing_extra_of_a_segmenter_is_one_line(monkeypatch, asked, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"--segmenter {asked} needs {package}.*pip install {package}") as error:
        open_segmenter(asked, CLASSES, never)
    assert "\n" not in str(error.value)


def test_a_missing_clean_fid_is_one_line(monkeypatch, viewer):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"--features inception needs clean-fid.*pip install clean-fid"):
        open_features("inception", viewer)


def test_other_names_are_refused(viewer):
    with pytest.raises(UsageError, match="expected fcn, keras-hub:PRESET or"):
        open_segmenter("deeplab", CLASSES, never)
    with pytest.raises(UsageError, match="expected vgg19, inception or"):
        open_features("clip", viewer)
    with pytest.raises(UsageError, match="weights of ADE20K"):
        open_segmenter("keras-hub:segformer_b1_cityscapes_1024", CITYSCAPES, never)


def fake_hub(windows: list):
    """A KerasHub whose network gives the channels of its windows of 16x16, at half the size."""

    class Segmenter:
        output_shape = (None, 16, 16, 3)
        preprocessor = types.SimpleNamespace(image_converter=lambda x: x)
        preprocessor.image_converter.image_size = (16, 16)

        def __call__(self, batch, training):
            windows.append(batch.shape)
            return batch[:, ::2, ::2]

    models = types.SimpleNamespace(ImageSegmenter=types.SimpleNamespace(from_preset=lambda preset: Segmenter()))
    return types.SimpleNamespace(models=models)


def test_a_published_network_sees_wide_pictures_through_windows(monkeypatch, viewer):
    windows = []
    monkeypatch.setitem(sys.modules, "keras_hub", fake_hub(windows))
    segmenter = KerasHubSegmenter("some", CLASSES)
    layout = np.kron(np.array([[0, 1, 2, 1]]), np.ones((16, 16), int))  # four windows wide
    pixels = np.full((16, 64, 3), 30, np.uint8)
    np.put_along_axis(pixels, layout[..., None], 200, -1)
    found = segmenter(Picture(pixels, viewer))
    assert set(windows) == {(1, 16, 16, 3)} and len(windows) == 5  # they overlap by a quarter
    assert (found == layout).mean() > 0.95  # but for the edges: its scores are coarse


def test_features_of_the_perceiver_are_means_of_its_taps_at_one_length(viewer, picture):
    features = open_features("vgg19", viewer)
    found = features(picture[0])
    assert found.shape == (64 + 128 + 256 + 512 + 512,)
    mean = np.asarray(picture[0].taps[0]).mean((0, 1, 2))
    np.testing.assert_allclose(found[:64] / found[0], mean / mean[0], rtol=1e-3)
    lengths = [np.linalg.norm(tap) for tap in np.split(found, np.cumsum([64, 128, 256, 512]))]
    np.testing.assert_allclose(lengths, np.sqrt(1472 / 5), rtol=1e-5)
    assert features.shared and features.identity == open_features("vgg19", Viewer("random", "avg")).identity
    assert features.identity != open_features("vgg19", Viewer("random", "max")).identity


def test_features_of_a_network_in_a_file_are_pooled(tmp_path, viewer, picture):
    features = open_features(write_network(tmp_path / "f.onnx", unchanged()), viewer)
    np.testing.assert_allclose(features(picture[0]), picture[0].pixels.mean((0, 1)) / 255, rtol=1e-4)


def test_features_are_computed_once_for_each_content(tmp_path, viewer, picture):
    pixels = picture[0].pixels
    with FeatureCache(tmp_path) as cache:
        features = RememberedFeatures(open_features("vgg19", viewer), cache)
        first = features(Picture(pixels, viewer))
        assert features.computed == 1
    with FeatureCache(tmp_path) as cache:  # another process
        features = RememberedFeatures(open_features("vgg19", viewer), cache)
        np.testing.assert_array_equal(features(Picture(pixels.copy(), viewer)), first)
        assert features.computed == 0
        features(Picture(pixels + 1, viewer))
        assert features.computed == 1
        other = Viewer("random", "max")
        features = RememberedFeatures(open_features("vgg19", other), cache)
        assert not np.array_equal(features(Picture(pixels, other)), first)


def test_a_damaged_cache_is_one_line(tmp_path):
    (tmp_path / "features.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"cannot use the cache of features .*; remove it"):
        FeatureCache(tmp_path)
