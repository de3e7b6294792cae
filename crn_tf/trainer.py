"""The trainer: a generator, its perceiver, loss and optimizer, and one training step."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from crn_tf.losses import LOSSES, tap_error


class Trainer:
    """Computes losses of a generator and takes training steps."""

    def __init__(
        self,
        generator: keras.Model,
        perceiver: keras.Model,
        loss: str,
        loss_weights: Sequence[float],
        learning_rate: float = 1e-4,
    ):
        """Prepare training.

        Args:
            generator: From `build_generator`.
            perceiver: From `build_perceiver`.
            loss: A name in `losses.LOSSES`.
            loss_weights: A weight for each tap, the image first.
            learning_rate: Adam's.
        """
        self.generator, self.perceiver = generator, perceiver
        self.num_classes = generator.input_shape[-1]
        self._loss, self._loss_weights = LOSSES[loss], tuple(loss_weights)
        self.optimizer = keras.optimizers.Adam(learning_rate, name="adam")
        if keras.config.dtype_policy().compute_dtype == "float16":  # small gradients would become zero
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer, name="loss_scale")
        self.optimizer.build(generator.trainable_variables)

    @tf.function
    def train_step(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step of Adam.

        Args:
            photos: uint8 [B, H, W, 3].
            layouts: Class ids, uint8 [B, H, W].

        Returns:
            The loss before the step, and each tap's part of it [taps].
        """
        with tf.GradientTape() as tape:
            loss, terms = self._compute_loss(photos, layouts, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.generator.trainable_variables)
        self.optimizer.apply(gradients, self.generator.trainable_variables)
        return loss, terms

    @tf.function
    def evaluate(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss and each tap's part of it, without a step. Arguments and results as `train_step`."""
        return self._compute_loss(photos, layouts, training=False)

    def _compute_loss(self, photos, layouts, training: bool):
        layouts = ops.one_hot(layouts, self.num_classes)
        photos = ops.cast(photos, "float32")
        # Outside the tape's reach: no gradient flows into the photograph's taps.
        references = [ops.stop_gradient(tap) for tap in self._taps(photos)]
        images = self.generator(layouts, training=training)  # [B, k, H, W, 3]
        collection = images.shape[1]
        taps = self._taps(ops.reshape(images, (-1, *images.shape[2:])))
        taps = [ops.reshape(tap, (-1, collection, *tap.shape[1:])) for tap in taps]  # [B, k, h, w, D]
        errors = [tap_error(reference, tap) for reference, tap in zip(references, taps, strict=True)]
        return self._loss(errors, self._loss_weights, layouts)

    def _taps(self, images):
        return [images, *self.perceiver(images)]
