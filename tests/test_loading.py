"""Growing: a taller model starts from a smaller one."""

import numpy as np
import pytest

from crn_tf import build_generator
from crn_tf.data.class_tables import ClassTable
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoints import save_weights
from crn_tf.saved.loading import take_over_weights

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
