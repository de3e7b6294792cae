"""The trainer: a generator, its perceiver, loss and optimizer, and one training step."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from crn_tf.cascade import module_height
from crn_tf.checkpoints import named
from crn_tf.distribution import mean_of_replicas, split
from crn_tf.layouts import ClassTable
from crn_tf.loss_weights import TAP_NAMES, find_loss_weights
from crn_tf.losses import LOSSES, tap_errors
from crn_tf.memory import choose_recomputation
from crn_tf.model_description import ModelDescription
from crn_tf.optimizer import Adam, apply_if_finite
from crn_tf.perceiver import build_perceiver, split_blocks
from crn_tf.recomputing import recomputing_blocks, recomputing_generator
from crn_tf.settings import TrainSettings


def describe_model(settings: TrainSettings, classes: ClassTable) -> ModelDescription:
    """The model that resolved settings ask for, with a data set's classes."""
    return ModelDescription(settings.image_size[0], settings.grid, settings.images, settings.width, classes)


def build_trainer(settings: TrainSettings, description: ModelDescription, replicas: int = 1) -> tuple["Trainer", str]:
    """The trainer that resolved settings ask for, with fresh weights, and a line about its memory.

    Args:
        settings: The settings, with the perceiver's weights.
        description: Of the model to train.
        replicas: Devices that share a batch.

    Raises:
        UserError: A file of weights cannot be used.
    """
    perceiver = build_perceiver(settings.vgg_weights, settings.vgg_pool)
    generator = description.build()
    batch = settings.batch // replicas
    recompute, why = choose_recomputation(settings.remat, generator, perceiver, batch, settings.precision)
    weights = find_loss_weights(settings.loss_weights)
    trainer = Trainer(generator, perceiver, settings.loss, weights, settings.lr, settings.trained_heights, recompute)
    return trainer, why


class Trainer:
    """Computes losses of a generator and takes training steps.

    Made in the scope of a distribution strategy, with networks made there, it shares each step among its replicas.
    """

    def __init__(
        self,
        generator: keras.Model,
        perceiver: keras.Model,
        loss: str,
        loss_weights: Sequence[float],
        learning_rate: float = 1e-4,
        train_modules: Sequence[int] | None = None,
        recompute: bool = False,
    ):
        """Prepare training.

        Args:
            generator: From `build_generator`.
            perceiver: From `build_perceiver`.
            loss: A name in `losses.LOSSES`.
            loss_weights: A weight for each tap, the image first.
            learning_rate: Adam's.
            train_modules: Heights of the modules to train, with the projection of that height; None trains all. (The
                release trained only 512 and 1024 at 1024p.)
            recompute: Keep less for the backward pass and compute it again, which takes longer (see `recomputing`).
        """
        self._strategy = tf.distribute.get_strategy()
        self.generator, self.perceiver, self.recompute = generator, perceiver, recompute
        self._synthesize, self._blocks = generator, split_blocks(perceiver)
        if recompute:
            self._synthesize = recomputing_generator(generator)
            self._blocks = recomputing_blocks(self._blocks)
        self.num_classes = generator.input_shape[-1]
        self._loss = LOSSES[loss]
        # Variables, so that they can change during training, and are kept in checkpoints.
        self.loss_weights = keras.Variable(loss_weights, dtype="float32", trainable=False, name="loss_weights")
        # All replicas assign the same to these.
        alike = {"trainable": False, "aggregation": "only_first_replica"}
        self._measured = keras.Variable(np.zeros(len(TAP_NAMES)), dtype="float32", name="measured", **alike)
        self._measured_steps = keras.Variable(0, dtype="int64", name="measured_steps", **alike)
        self.skipped_in_a_row = keras.Variable(0, dtype="int64", name="skipped_in_a_row", **alike)
        if train_modules is not None:
            for layer in generator.layers:
                if layer.weights:
                    layer.trainable = module_height(layer.name) in train_modules
        self.optimizer = Adam(learning_rate, name="adam")
        if keras.config.dtype_policy().compute_dtype == "float16":  # small gradients would become zero
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer, name="loss_scale")
        self.optimizer.build(generator.trainable_variables)

    def variables(self) -> dict[str, keras.Variable]:
        """All that training changes, by its name in a checkpoint."""
        own = (self.loss_weights, self._measured, self._measured_steps)
        return named(self.generator, self.optimizer) | {f"trainer/{variable.name}": variable for variable in own}

    def start_measuring(self) -> None:
        """From here on, sum up each tap's unweighted term, until `rebalance`."""
        self._measured.assign(np.zeros(len(TAP_NAMES)))
        self._measured_steps.assign(0)

    def rebalance(self) -> None:
        """Set each tap's weight to the inverse of its mean term since `start_measuring`: all contribute equally.

        The authors of the release did so by hand after half of the epochs. A weight of zero stays zero.
        """
        mean = self._measured.numpy() / max(1, int(self._measured_steps.numpy()))
        old = self.loss_weights.numpy()
        self.loss_weights.assign(np.where((old > 0) & (mean > 0), 1 / np.maximum(mean, 1e-30), old))

    def train_step(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step of Adam, unless the loss or a gradient is not finite: then nothing is changed but
        `skipped_in_a_row` (and float16's loss scale, which is halved).

        Args:
            photos: uint8 [B, H, W, 3]; of several workers, this one's part of the batch.
            layouts: Class ids, uint8 [B, H, W].

        Returns:
            The loss before the step, and each tap's part of it [taps], over the whole batch.
        """
        return self._train_step(*split(self._strategy, photos, layouts))

    @tf.function
    def _train_step(self, photos, layouts):
        return self._on_replicas(self._train_replica, photos, layouts)

    def _train_replica(self, photos, layouts):
        with tf.GradientTape() as tape:
            loss, terms = self._compute_loss(photos, layouts)
            # The optimizer adds up the replicas' gradients.
            scaled_loss = self.optimizer.scale_loss(loss / self._strategy.num_replicas_in_sync)
        gradients = tape.gradient(scaled_loss, self.generator.trainable_variables)
        applied = apply_if_finite(self.optimizer, loss, gradients, self.generator.trainable_variables)
        self.skipped_in_a_row.assign(tf.where(applied, tf.zeros((), "int64"), self.skipped_in_a_row.value + 1))
        loss, terms = mean_of_replicas(loss, terms)
        self._measure(terms, applied)
        return loss, terms

    @property
    def loss_scale(self) -> keras.Variable | None:
        """What the loss is multiplied with for float16's gradients; None in other precisions."""
        return getattr(self.optimizer, "dynamic_scale", None)

    @tf.function
    def evaluate(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss and each tap's part of it, without a step, on one device. Arguments and results as `train_step`."""
        return self._compute_loss(photos, layouts)

    def measure(self, photos: tf.Tensor, layouts: tf.Tensor) -> None:
        """Count a batch's terms for `rebalance`, without a step. Arguments as `train_step`."""
        self._measure_step(*split(self._strategy, photos, layouts))

    @tf.function
    def _measure_step(self, photos, layouts):
        self._on_replicas(self._measure_replica, photos, layouts)

    def _measure_replica(self, photos, layouts):
        _, terms = mean_of_replicas(*self._compute_loss(photos, layouts))
        self._measure(terms, tf.reduce_all(tf.math.is_finite(terms)))
        return terms

    def _on_replicas(self, function, *arguments):
        """Run a function on all replicas, and return the first one's results."""
        results = self._strategy.run(function, arguments)
        return tf.nest.map_structure(lambda result: self._strategy.experimental_local_results(result)[0], results)

    def _measure(self, terms, finite) -> None:
        unweighted = tf.math.divide_no_nan(terms, self.loss_weights.value)
        self._measured.assign_add(tf.where(finite, unweighted, tf.zeros_like(unweighted)))
        self._measured_steps.assign_add(tf.cast(finite, "int64"))

    def _compute_loss(self, photos, layouts):
        layouts = ops.one_hot(layouts, self.num_classes)
        images = self._synthesize(layouts)  # [B, k, H, W, 3]
        with tf.control_dependencies([images]):  # or the photograph's taps would be computed early, and kept
            photos = ops.cast(photos, "float32")
        errors = tap_errors(self._blocks, photos, images)
        return self._loss(errors, ops.unstack(self.loss_weights), layouts)
