"""The 2017 release's checkpoints: names, shapes, order of channels, Adam, and clear errors."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import build_generator, build_generator_from_release, load_release_checkpoint
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.layouts import LayoutReader
from crn_tf.errors import UserError
from crn_tf.saved.loading import load_generator
from crn_tf.saved.release import describe_release, release_prefix
from tests.conftest import GOLDEN
from tests.release_recipe import recipe, reds_greens_blues, release_name

SMALL = {"height": 8, "num_classes": 20, "num_images": 3, "width": 4 / 1024}


def write_checkpoint(prefix, values: dict[str, np.ndarray]):
    """Write variables as TensorFlow 1's Saver did."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = list(values)
    tensors = [tf.constant(values[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return prefix


def release_values(generator) -> dict[str, np.ndarray]:
    """The recipe's weights for every variable of a generator, under the release's names."""
    names = [(release_name(variable.path), tuple(variable.shape)) for variable in generator.variables]
    return {name: recipe(name, shape) for name, shape in names}


@pytest.fixture
def values():
    return release_values(build_generator(**SMALL))


@pytest.fixture
def prefix(tmp_path, values):
    return write_checkpoint(tmp_path / "result_256p/model.ckpt", values)


@pytest.mark.parametrize(
    ("folder", "height", "num_images"),
    [("result_256p", 256, 9), ("result_512p", 512, 1), ("result_1024p", 1024, 1), ("result_GTA", 256, 9)],
)
def test_the_published_indices_fit_the_generator_in_every_variable(shared, folder, height, num_images):
    prefix = shared / "data/release" / folder / "model.ckpt"
    description = describe_release(prefix)
    assert (description.height, description.num_images, description.width) == (height, num_images, 1.0)
    assert description.classes == CITYSCAPES and description.base_grid == (4, 8)
    shapes = tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()
    published = {n: tuple(s) for n, s in shapes.items() if n.startswith("g_") and "/Adam" not in n}
    generator = description.build()
    assert {release_name(v.path): tuple(v.shape) for v in generator.variables} == published
    # The importer compares the same, and then misses the weights, which are not in the sample.
    name = folder.removeprefix("result_").lower()
    words = rf"no .*{folder}/model.ckpt.data-00000-of-00001: .*crn_tf.download release-{name}"
    with pytest.raises(UserError, match=words):
        load_release_checkpoint(generator, prefix)


def test_every_variable_arrives(prefix, values):
    generator = build_generator_from_release(prefix)
    assert generator.output_shape == (None, 3, 8, 16, 3)
    for variable in generator.variables:
        name = release_name(variable.path)
        expected = reds_greens_blues(values[name]) if "conv100" in name else values[name]
        np.testing.assert_array_equal(variable, expected, err_msg=name)


def test_reds_greens_and_blues_become_triples(prefix, values):
    values["g_8_conv100/weights"][:] = 0
    values["g_8_conv100/biases"] = np.float32([1, 2, 3, 10, 20, 30, 100, 200, 300])  # reds, greens, blues
    generator = build_generator_from_release(write_checkpoint(prefix, values))
    images = (np.asarray(generator(np.zeros((1, 8, 16, 20), "float32"))) - 127.5) / 127.5
    np.testing.assert_allclose(images[0, :, 0, 0], [[1, 10, 100], [2, 20, 200], [3, 30, 300]], rtol=1e-4)


@pytest.mark.slow
def test_a_full_256p_checkpoint_reproduces_the_releases_nine_images(shared, tmp_path):
    prefix = write_checkpoint(tmp_path / "result_256p/model.ckpt", release_values(build_generator(256, 20, 9)))
    generator, description = load_generator(prefix)
    ids = LayoutReader(description.classes).read(shared / "data/release/cityscapes/Label256Full/00100027.png")
    images = generator.predict_on_batch(np.eye(20, dtype="float32")[ids][None])[0]
    golden = np.load(GOLDEN / "golden_256p_diversity.npz")["output_strided"]
    assert np.linalg.norm(images[:, ::4, ::4] - golden) < 1e-4 * np.linalg.norm(golden)


def test_adam_goes_on_where_the_authors_stopped(prefix, values):
    random = np.random.default_rng(0)
    slots = [(f"{name}/{slot}", value.shape) for name, value in values.items() for slot in ("Adam", "Adam_1")]
    moments = {slot: np.float32(random.random(shape)) for slot, shape in slots}
    powers = {"beta1_power": np.float32(0.9**1001), "beta2_power": np.float32(0.999**1001)}
    write_checkpoint(prefix, values | moments | powers)
    generator = build_generator(**SMALL)
    optimizer = keras.optimizers.Adam(name="adam")
    optimizer.build(generator.trainable_variables)
    load_release_checkpoint(generator, prefix, optimizer)
    assert int(optimizer.iterations) == 1000
    slots = {variable.path: variable for variable in optimizer.variables}
    for variable in generator.variables:
        name, slot = release_name(variable.path), "adam/" + variable.path.replace("/", "_")
        for suffix, moment in (("Adam", "momentum"), ("Adam_1", "velocity")):
            expected = moments[f"{name}/{suffix}"]
            expected = reds_greens_blues(expected) if "conv100" in name else expected
            np.testing.assert_array_equal(slots[f"{slot}_{moment}"], expected, err_msg=name)


def test_a_power_below_the_least_float_is_a_late_step(prefix, values):
    write_checkpoint(prefix, values | {"beta2_power": np.float32(0)})
    generator = build_generator(**SMALL)
    optimizer = keras.optimizers.Adam(name="adam")
    optimizer.build(generator.trainable_variables)
    load_release_checkpoint(generator, prefix, optimizer)
    assert int(optimizer.iterations) > 100_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("g_8_conv2/LayerNorm/beta"), r"has no variable g_8_conv2/LayerNorm/beta"),
        (lambda v: v.update({"g_8_conv3/weights": np.zeros(1, "float32")}), r"has a variable g_8_conv3/weights that"),
        (
            lambda v: v.update({"g_8_conv1/weights": np.zeros((3, 3, 4, 4), "float32")}),
            r"g_8_conv1/weights in .*model.ckpt is \[3, 3, 4, 4\], expected \[3, 3, 24, 4\]",
        ),
    ],
)
def test_a_variable_that_does_not_fit_is_named(prefix, values, change, words):
    change(values)
    write_checkpoint(prefix, values)
    generator = build_generator(**SMALL)
    before = generator.get_weights()
    with pytest.raises(UserError, match=words):
        load_release_checkpoint(generator, prefix)
    for a, b in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_network_and_a_damaged_index_are_refused(tmp_path):
    other = write_checkpoint(tmp_path / "other.ckpt", {"w": np.zeros(3, "float32")})
    with pytest.raises(UserError, match=r"other.ckpt is not a checkpoint of the 2017 release"):
        build_generator_from_release(other)
    (tmp_path / "bad.ckpt.index").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*bad.ckpt"):
        build_generator_from_release(tmp_path / "bad.ckpt")
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*missing.ckpt"):
        build_generator_from_release(tmp_path / "missing.ckpt")


def test_a_truncated_data_file_is_one_line(prefix):
    data = prefix.with_name("model.ckpt.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    words = r"cannot read the checkpoint .*model.ckpt: .* lies behind the end of the data, which has 1000 bytes"
    with pytest.raises(UserError, match=words):
        build_generator_from_release(prefix)


def test_a_checkpoint_is_found_by_prefix_index_or_folder(prefix, tmp_path):
    for path in (prefix, prefix.with_name("model.ckpt.index"), prefix.parent):
        assert release_prefix(path) == prefix
    assert release_prefix(tmp_path) is None
    generator, description = load_generator(prefix.parent)
    assert description.image_size == (8, 16) and generator.input_shape == (None, 8, 16, 20)


@pytest.mark.parametrize("path", [".", "..", "/", "inner/.."])
def test_a_folder_may_be_given_by_any_path(prefix, monkeypatch, path):
    """`.` and `/` have no name that could be part of a file's."""
    (prefix.parent / "inner").mkdir()
    monkeypatch.chdir(prefix.parent / "inner" if path == ".." else prefix.parent)
    if path == "/":
        assert release_prefix(Path(path)) is None
    else:
        assert release_prefix(Path(path)) == Path(path) / "model.ckpt"
        assert build_generator_from_release(path).output_shape == (None, 3, 8, 16, 3)
        load_release_checkpoint(build_generator(**SMALL), path)


@pytest.mark.parametrize("path", [".", "..", "/", "inner/..", "other.ckpt", "other.ckpt.index"])
def test_a_folder_without_a_checkpoint_is_told_what_is_missing(tmp_path, monkeypatch, path):
    (tmp_path / "here/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert release_prefix(Path(path)) is None
    name = "other.ckpt" if "other" in path else "model.ckpt"
    words = rf"^cannot read the checkpoint {path}: there is no {name}.index$"
    for read in (build_generator_from_release, describe_release):
        with pytest.raises(UserError, match=words):
            read(path)


@pytest.mark.parametrize(
    ("folder", "advice"),
    [("result_GTA", "release-gta"), ("result_512p", "release-512p"), ("elsewhere", "release-NAME")],
)
def test_missing_weights_are_advised_by_their_folders_name_wherever_one_stands(
    prefix, tmp_path, monkeypatch, folder, advice
):
    prefix.parent.rename(tmp_path / folder)
    (tmp_path / folder / "model.ckpt.data-00000-of-00001").unlink()
    monkeypatch.chdir(tmp_path / folder)
    for path in (".", tmp_path / folder, "model.ckpt", "model.ckpt.index"):
        with pytest.raises(UserError, match=rf"no .*: the index is there, .* python -m crn_tf.download {advice}$"):
            load_generator(path)


def test_models_of_other_classes_have_nameless_ones(tmp_path):
    generator = build_generator(**{**SMALL, "num_classes": 6})
    prefix = write_checkpoint(tmp_path / "model.ckpt", release_values(generator))
    description = describe_release(prefix)
    assert description.classes.num_classes == 6 and description.classes.names[0] == "class 0"
