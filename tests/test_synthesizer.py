"""From class ids to uint8 images."""

import numpy as np
import pytest

from crn_tf import Synthesizer, build_generator


@pytest.fixture
def generator():
    return build_generator(8, num_classes=4, num_images=2, width=0.02)


def test_images_are_the_generators_rounded_and_clipped(generator):
    generator.get_layer("projection_8").kernel.assign(np.random.default_rng(0).normal(size=(1, 1, 20, 6)) * 0.5)
    layouts = np.random.default_rng(1).integers(0, 4, (3, 8, 16)).astype("uint8")
    images = Synthesizer(generator)(layouts)
    exact = np.asarray(generator(np.eye(4, dtype="float32")[layouts]))
    assert exact.min() < 0 and exact.max() > 255  # both ends are clipped
    assert images.dtype == np.uint8 and images.shape == (3, 2, 8, 16, 3)
    assert np.abs(images - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-3


def test_an_id_that_is_no_class_is_refused(generator):
    with pytest.raises(ValueError, match="class id 4, the generator has 4 classes"):
        Synthesizer(generator)(np.full((1, 8, 16), 4, "uint8"))


def test_another_size_is_refused(generator):
    with pytest.raises(ValueError, match=r"\(16, 16\), the generator's size is \(8, 16\)"):
        Synthesizer(generator)(np.zeros((1, 16, 16), "uint8"))
