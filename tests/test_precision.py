"""Mixed precision trains as float32 does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
from crn_tf.data.datasets import ToyDataSet
from crn_tf.data.pipeline import InputPipeline
from crn_tf.precision import PRECISION_POLICIES, slowness_on_cpu

STEPS = 60


def losses(precision: str) -> np.ndarray:
    """The losses of a short training; data, order and first weights are the same in every precision."""
    keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
    keras.utils.set_random_seed(0)
    data = ToyDataSet("train")
    generator = build_generator(32, data.classes.num_classes, 1, width=0.03)
    trainer = Trainer(generator, build_perceiver("random"), "content", LOSS_WEIGHTS["inverse-elements"], 1e-3)
    batches = InputPipeline(data, (32, 64), batch=2, seed=0).batches(0, STEPS)
    return np.array([float(trainer.train_step(tf.constant(photos), layouts)[0]) for photos, layouts in batches])


@pytest.mark.slow
@pytest.mark.usefixtures("float32_policy")
def test_the_loss_curve_of_bfloat16_lies_on_that_of_float32():
    wide, narrow = losses("float32"), losses("bfloat16")
    assert wide[-10:].mean() < 0.6 * wide[:3].mean()  # it learns, or equality would mean nothing
    smooth = [np.convolve(curve, np.ones(10) / 10, "valid") for curve in (wide, narrow)]
    difference = np.abs(smooth[1] - smooth[0]) / smooth[0]
    assert difference.mean() < 0.02 and difference.max() < 0.06, (difference.mean(), difference.max())


@pytest.mark.usefixtures("float32_policy")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_images_are_float32_in_every_precision(precision):
    """In bfloat16, a pixel could only be a whole grey level."""
    keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
    generator = build_generator(8, 4, 2, width=0.02)
    assert generator.get_layer("module_8_conv2").compute_dtype == precision
    images = generator(np.eye(4, dtype="float32")[np.arange(128).reshape(1, 8, 16) % 4])
    assert images.dtype == "float32"
    between = tf.cast(tf.cast(images, precision), "float32") != images
    assert np.mean(between) > 0.5


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", {"bfloat16", "float16"}),
        ("flags\t\t: fpu avx512_bf16\n", {"float16"}),
        ("flags\t\t: fpu amx_bf16 avx512_fp16\n", set()),
        ("Features\t: fp asimd fphp bf16\n", set()),
        ("", set()),
    ],
)
def test_a_precision_that_the_cpu_imitates_is_warned_of(tmp_path, text, warned):
    (tmp_path / "cpuinfo").write_text(text)
    found = {p for p in PRECISION_POLICIES if slowness_on_cpu(p, tmp_path / "cpuinfo")}
    assert found == warned
    assert slowness_on_cpu("bfloat16", tmp_path / "missing") is None
