"""The generator's structure and its parts, against independent computations."""

import numpy as np
import pytest

from crn_tf import build_generator
from crn_tf.model.cascade import module_heights
from tests.conftest import GOLDEN
from tests.parity.compare_normalization import compare


@pytest.mark.parametrize(
    ("height", "num_images", "count"), [(256, 9, 97_875_483), (512, 1, 98_622_851), (1024, 1, 98_674_531)]
)
def test_parameter_counts_are_the_releases(height, num_images, count):
    generator = build_generator(height, num_classes=20, num_images=num_images)
    assert generator.count_params() == count
    assert generator.output_shape == (None, num_images, height, 2 * height, 3)


def test_a_smaller_models_modules_find_their_names_in_a_taller_one():
    small, tall = (
        {v.path: tuple(v.shape) for v in build_generator(height, 4, 1, width=0.01).variables} for height in (16, 32)
    )
    shared = {path: shape for path, shape in small.items() if not path.startswith("projection")}
    assert shared.items() <= tall.items()
    assert not any(path.startswith("projection_16") for path in tall)


def test_other_aspect_ratios_come_from_other_base_grids():
    generator = build_generator(24, num_classes=5, num_images=2, width=0.01, base_grid=(3, 4))
    assert generator.input_shape == (None, 24, 32, 5)
    assert generator.output_shape == (None, 2, 24, 32, 3)


@pytest.mark.parametrize("arguments", [{"height": 100}, {"height": 2048}, {"num_images": 0}, {"width": 0.0}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        build_generator(**{"height": 8, "width": 0.01, **arguments})


def test_the_height_error_names_the_heights_that_work():
    with pytest.raises(ValueError, match="100 is not on the cascade of 4 rows: 4, 8, 16, 32, 64, 128, 256, 512, 1024"):
        module_heights(100, 4)


def test_layouts_are_downsampled_by_area():
    generator = build_generator(16, num_classes=3, width=0.01)
    layout = np.random.default_rng(0).random((1, 16, 32, 3)).astype("float32")
    coarse = generator.get_layer("layout_4")
    pooled = layout
    for name in ("layout_8", "layout_4"):
        pooled = generator.get_layer(name)(pooled)
    assert coarse.output.shape == (None, 4, 8, 3)
    np.testing.assert_allclose(pooled, layout.reshape(1, 4, 4, 8, 4, 3).mean(axis=(2, 4)), rtol=1e-5)


def test_consecutive_triples_of_the_projection_form_an_image():
    generator = build_generator(4, num_classes=2, num_images=3, width=0.002)
    projection = generator.get_layer("projection_4")
    projection.set_weights([np.zeros(projection.kernel.shape), np.linspace(-1, 1, 9)])
    images = np.asarray(generator(np.zeros((1, 4, 8, 2), "float32")))
    expected = (np.linspace(-1, 1, 9) + 1) / 2 * 255
    np.testing.assert_allclose(images[0, :, 0, 0], expected.reshape(3, 3), atol=1e-3)


def test_pixels_are_not_clipped():
    generator = build_generator(4, num_classes=2, width=0.002)
    generator.get_layer("projection_4").bias.assign([-3.0, 0.0, 3.0])
    generator.get_layer("projection_4").kernel.assign(np.zeros((1, 1, 2, 3)))
    images = np.asarray(generator(np.zeros((1, 4, 8, 2), "float32")))
    np.testing.assert_allclose(images[0, 0, 0, 0], [-255, 127.5, 510])


def test_normalization_is_the_addons_forward_and_gradient():
    """The generator's normalization against tensorflow-addons' GroupNormalization(groups=1), as `make parity`."""
    differences = compare(GOLDEN / "tfa_group_normalization.npz")
    assert differences["y"] < 1e-4 and differences["dx"] < 1e-4
