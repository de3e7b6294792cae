"""Mixed precision trains as float32 does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
from crn_tf.datasets import ToyDataSet
from crn_tf.pipeline import InputPipeline
from crn_tf.training_run import PRECISION_POLICIES

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
