"""Trained generators at other sizes, and growing: a taller model starts from a smaller one."""

import json

import h5py
import numpy as np
import pytest

from crn_tf import build_generator
from crn_tf.data.class_tables import ClassTable
from crn_tf.errors import UsageError, UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoints import DESCRIPTION_ATTRIBUTE, save_weights
from crn_tf.saved.loading import load_generator, take_over_weights

CLASSES = ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))


@pytest.fixture
def trained(tmp_path):
    """A weights file of a model of height 8 with two images, and the model."""
    description = ModelDescription(8, (4, 8), 2, 0.01, CLASSES)
    generator = description.build()
    random = np.random.default_rng(0)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape))
    save_weights(tmp_path / "small.weights.h5", generator, description)
    return tmp_path / "small.weights.h5", {v.path: np.array(v) for v in generator.variables}


def test_modules_that_exist_are_taken_over_and_new_ones_start_fresh(trained):
    path, small = trained
    taller = build_generator(16, 3, 2, 0.01)
    before = {v.path: np.array(v) for v in taller.variables}
    assert take_over_weights(taller, path) == ([4, 8], [16])
    for variable in taller.variables:
        source = small if variable.path.startswith(("module_4_", "module_8_")) else before
        np.testing.assert_array_equal(variable, source[variable.path], err_msg=variable.path)


def test_the_projection_is_taken_over_by_an_equal_model_only(trained):
    path, small = trained
    same, other = build_generator(8, 3, 2, 0.01), build_generator(8, 3, 5, 0.01)
    for generator in (same, other):
        assert take_over_weights(generator, path) == ([4, 8], [])
    np.testing.assert_array_equal(same.get_layer("projection_8").kernel, small["projection_8/kernel"])
    assert other.get_layer("projection_8").kernel.shape == (1, 1, 10, 15)


@pytest.mark.parametrize(("classes", "width"), [(4, 0.01), (3, 0.02)])
def test_other_classes_and_widths_are_refused(trained, classes, width):
    generator = build_generator(16, classes, 2, width)
    before = generator.get_weights()
    with pytest.raises(UserError, match=r"module_4_conv1/kernel of .*small.weights.h5 is .*: it has other classes or"):
        take_over_weights(generator, trained[0])
    for a, b in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_base_grid_is_refused(trained):
    with pytest.raises(UserError, match="no module in common"):
        take_over_weights(build_generator(12, 3, 2, 0.01, base_grid=(3, 4)), trained[0])


# --- another size than trained


@pytest.mark.parametrize(("size", "grid"), [((8, 24), (4, 12)), ((12, 10), (6, 5)), ((2, 2), (1, 1))])
def test_another_size_has_the_same_weights_on_another_base_grid(trained, size, grid):
    path, _ = trained
    generator, description = load_generator(path, size=size)
    assert description.image_size == size and description.base_grid == grid and description.trained_size == (8, 16)
    assert generator.input_shape[1:3] == size
    again, found = load_generator(path)
    assert found.trained_size is None and again.input_shape[1:3] == (8, 16)
    assert [np.asarray(v).tolist() for v in generator.variables] == [np.asarray(v).tolist() for v in again.variables]
    assert {v.path for v in generator.variables} == {v.path for v in description.build().variables}


def test_on_a_plain_layout_a_wider_image_is_what_the_trained_size_gives_inside(tmp_path):
    """One module sees three pixels around each and no upsampling: columns far from the border agree.

    The normalization does not change: its mean and variance are those of a repeated pattern.
    """
    description = ModelDescription(6, (6, 12), 1, 0.01, CLASSES)
    generator = description.build()
    random = np.random.default_rng(0)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape) + (1 if variable.path.endswith("gamma") else 0))
    save_weights(tmp_path / "one.weights.h5", generator, description)
    wide, _ = load_generator(tmp_path / "one.weights.h5", size=(6, 480))
    wider, _ = load_generator(tmp_path / "one.weights.h5", size=(6, 960))
    layout = np.eye(3, dtype="float32")[random.integers(0, 3, (1, 6, 12))]
    a, b = (np.asarray(model(np.tile(layout, (1, 1, times, 1)))) for model, times in ((wide, 40), (wider, 80)))
    difference = np.abs(a[..., 228:252, :] - b[..., 228:252, :])  # borders are a hundredth of the statistics
    assert difference.max() < 0.05 * np.ptp(a)


def test_at_the_trained_size_nothing_changes(trained):
    path, small = trained
    generator, description = load_generator(path, size=(8, 16))
    assert description == load_generator(path)[1] and "trained_size" not in description.to_json()
    for variable in generator.variables:
        np.testing.assert_array_equal(variable, small[variable.path])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((9, 16), "--size 9x16: the model has 2 modules, so height and width have to be multiples of 2; the nearest"),
        ((8, 21), "such size is 8x20"),
        ((1, 17), "such size is 2x16"),
        ((8, 16384), "--size 8x16384: expected at most 8192 rows and columns"),
    ],
)
def test_a_size_the_modules_cannot_have_is_refused(trained, size, words):
    with pytest.raises(UsageError, match=words):
        load_generator(trained[0], size=size)


def test_weights_of_another_size_remember_the_trained_one(trained, tmp_path):
    generator, description = load_generator(trained[0], size=(12, 24))
    save_weights(tmp_path / "large.weights.h5", generator, description)
    _, found = load_generator(tmp_path / "large.weights.h5", size=(8, 24))
    assert found.trained_size == (8, 16) and found.image_size == (8, 24)
    back, found = load_generator(tmp_path / "large.weights.h5", size=(8, 16))
    assert found.trained_size is None
    for variable in back.variables:
        np.testing.assert_array_equal(variable, trained[1][variable.path])


# --- fit


def test_a_weights_file_says_how_pictures_were_fitted(tmp_path):
    description = ModelDescription(8, (4, 8), 2, 0.01, CLASSES, "crop")
    save_weights(tmp_path / "a.weights.h5", description.build(), description)
    assert load_generator(tmp_path / "a.weights.h5")[1] == description


@pytest.mark.parametrize(
    ("settings", "fit"), [('{"fit": "crop"}', "crop"), ('{"fit": "x"}', "resize"), ("[", "resize")]
)
def test_of_a_file_that_does_not_say_its_runs_settings_do(trained, settings, fit):
    path = trained[0]
    with h5py.File(path, "r+") as file:
        told = json.loads(file.attrs[DESCRIPTION_ATTRIBUTE])
        assert told.pop("fit") == "resize"
        file.attrs[DESCRIPTION_ATTRIBUTE] = json.dumps(told)
    assert load_generator(path)[1].fit == "resize"
    (path.parent / "settings.json").write_text(settings)
    assert load_generator(path)[1].fit == fit
