"""Generator, perceiver and loss together reproduce the numbers of the 2017 release's own graph."""

import numpy as np
import tensorflow as tf
from keras import ops

from crn_tf import LOSS_WEIGHTS, Trainer, best_per_class_loss, build_generator, build_perceiver, tap_error
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.layouts import LayoutReader
from crn_tf.model.losses import class_errors, layout_pyramid
from tests.conftest import GOLDEN
from tests.release_recipe import assign_recipe, reds_greens_blues, release_name

WEIGHTS = LOSS_WEIGHTS["release-256p"]


def relative_error(name, found, expected) -> float:
    """L2 norm of the difference over that of the expected values; printed, for `pytest -s`."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    print(f"{name:40} relative error {error:.1e}")
    return error


def test_nine_images_at_256p_with_loss_and_gradients(shared, standin):
    golden = np.load(GOLDEN / "golden_256p_diversity.npz")
    ids = LayoutReader(CITYSCAPES).read(shared / "data/release/cityscapes/Label256Full/00100027.png")
    layout = ops.one_hot(ids[None], 20)
    photo = ops.convert_to_tensor(golden["photo"][None].astype("float32"))
    generator, perceiver = build_generator(256, 20, 9), build_perceiver(standin, "avg")
    assign_recipe(generator)

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            images = generator(layout)
            flat = images[0]
            errors = [
                tap_error(reference, tap[None])
                for reference, tap in zip([photo, *perceiver(photo)], [flat, *perceiver(flat)], strict=True)
            ]
            loss, terms = best_per_class_loss(errors, WEIGHTS, layout)
        gradients = tape.gradient(loss, generator.trainable_variables)
        pyramid = layout_pyramid(layout, errors)
        by_class = [w * class_errors(e, at) for w, e, at in zip(WEIGHTS, errors, pyramid, strict=True)]
        return images, by_class, loss, terms, gradients

    images, by_class, loss, terms, gradients = compute()
    images = np.asarray(images)[0]
    assert relative_error("output", images[:, ::4, ::4], golden["output_strided"]) < 1e-4
    assert relative_error("output mean", images.mean((1, 2)), golden["output_mean"]) < 1e-4
    assert relative_error("output deviation", images.std((1, 2)), golden["output_std"]) < 1e-4
    for tap, errors in enumerate(by_class):
        assert relative_error(f"p{tap}", errors[0], golden[f"p{tap}"]) < 1e-4
    assert relative_error("loss", loss, float(golden["loss"])) < 1e-4
    assert relative_error("sum of terms", np.sum(terms), float(golden["loss"])) < 1e-4
    trainer = Trainer(generator, perceiver, "best-per-class", WEIGHTS)
    evaluated = trainer.evaluate(golden["photo"][None], ids[None])[0]
    assert relative_error("loss by the trainer", evaluated, float(golden["loss"])) < 1e-4

    compared = 0
    for variable, gradient in zip(generator.trainable_variables, gradients, strict=True):
        name = release_name(variable.path)
        if f"grad:{name}" not in golden:
            continue
        compared += 1
        gradient = np.asarray(gradient)
        assert relative_error(f"gradnorm {name}", np.linalg.norm(gradient), golden[f"gradnorm:{name}"]) < 1e-3
        expected = golden[f"grad:{name}"]
        if "conv100" in name:
            expected = reds_greens_blues(expected)
        sample = gradient if gradient.shape == expected.shape else gradient.ravel()[::97]
        assert relative_error(f"grad {name}", sample, expected) < 1e-3
    assert compared == 4
