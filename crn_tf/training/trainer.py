"""The trainer: a generator, its perceiver, loss and optimizer, and one training step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from crn_tf.data.class_tables import ClassTable
from crn_tf.model.cascade import module_height
from crn_tf.model.description import ModelDescription
from crn_tf.model.loss_weights import TAP_NAMES, find_loss_weights
from crn_tf.model.losses import LOSSES, perceptual_distance, tap_errors
from crn_tf.model.perceiver import build_perceiver, split_blocks
from crn_tf.model.recomputing import recomputing_blocks, recomputing_generator
from crn_tf.precision import computing_in, own_defaults
from crn_tf.saved.checkpoints import named
from crn_tf.tensors import ClassIds, Images, LossFunction, OneHotLayout, PerReplica, Photos, TapErrors, Tensor
from crn_tf.training.averaging import AveragedGenerator
from crn_tf.training.memory_needs import choose_recomputation
from crn_tf.training.optimizer import ADAM_EPSILON, Adam, apply_if_finite
from crn_tf.training.replicas import mean_of_replicas, split
from crn_tf.training.settings import TrainSettings


def describe_model(settings: TrainSettings, classes: ClassTable) -> ModelDescription:
    """The model that resolved settings ask for, with a data set's classes."""
    return ModelDescription(
        settings.size[0], settings.base_grid, settings.images, settings.width, classes, settings.fit
    )


def build_trainer(settings: TrainSettings, description: ModelDescription, replicas: int = 1) -> tuple["Trainer", str]:
    """The trainer that resolved settings ask for, with fresh weights, and a line about its memory.

    Args:
        settings: The settings, with the perceiver's weights.
        description: Of the model to train.
        replicas: Devices that share a batch.

    Raises:
        UserError: A file of weights cannot be used.
    """
    batch = settings.batch // replicas
    recompute, why = choose_recomputation(settings.remat, description, batch, settings.precision, bool(settings.ema))
    with computing_in(settings.precision):
        perceiver = build_perceiver(settings.vgg_weights, settings.vgg_pool)
        generator = description.build()
        averaging = AveragedGenerator(generator, description.build(), settings.ema) if settings.ema else None
        trainer = Trainer(
            generator,
            perceiver,
            settings.loss,
            find_loss_weights(settings.loss_weights),
            settings.lr,
            settings.train_modules,
            recompute,
            settings.adam_epsilon,
            settings.jit == "on",
            averaging,
        )
    return trainer, why


@dataclass(frozen=True)
class Window:
    """What happened in the steps since `Trainer.read_window` was called before.

    Attributes:
        terms: Each tap's part of the loss, the mean over the steps that were applied, float32 [taps]; None without any.
        applied: Steps that changed the weights.
        skipped: Steps whose loss or gradients were not finite.
        skipped_in_a_row: How many of the newest steps were skipped, also of earlier windows.
        loss_scale: Float16's; None in other precisions.
    """

    terms: np.ndarray | None
    applied: int
    skipped: int
    skipped_in_a_row: int
    loss_scale: float | None


class Trainer:
    """Computes losses of a generator and takes training steps.

    Made in the scope of a distribution strategy, with networks made there, it shares each step among its replicas.
    A step waits for nothing: what it found out stays on the device until `read_window`.

    Example:
        >>> import numpy as np
        >>> from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
        >>> generator = build_generator(height=8, num_classes=3, width=0.01)
        >>> trainer = Trainer(generator, build_perceiver("random"), "content", LOSS_WEIGHTS["inverse-elements"], 1e-3)
        >>> photos = np.full((1, 8, 16, 3), 200, "uint8")
        >>> layouts = np.zeros((1, 8, 16), "uint8")
        >>> losses = [float(trainer.train_step(photos, layouts)[0]) for _ in range(5)]
        >>> losses[-1] < losses[0]
        True
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
        epsilon: float = ADAM_EPSILON,
        jit: bool = False,
        averaging: AveragedGenerator | None = None,
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
            epsilon: Adam's, which is added to the root of its second moment.
            jit: Have XLA compile the whole step. Results differ by rounding.
            averaging: Of the generator's weights; None for none.

        Raises:
            ValueError: XLA is to compile a step that a distribution strategy shares.
        """
        self._strategy = tf.distribute.get_strategy()
        if jit and tf.distribute.has_strategy():
            raise ValueError("XLA compiles steps of one device only: make the trainer outside of a strategy's scope")
        self._take_step = tf.function(self._step_together, jit_compile=jit or None, autograph=False)
        self.generator, self.perceiver, self.recompute = generator, perceiver, recompute
        self._synthesize, self._blocks = generator, split_blocks(perceiver)
        if recompute:
            self._synthesize = recomputing_generator(generator)
            self._blocks = recomputing_blocks(self._blocks)
        self.averaging = averaging
        self.num_classes = generator.input_shape[-1]
        self._loss: LossFunction = LOSSES[loss]
        # Variables, so that they can change during training, and are kept in checkpoints.
        self.loss_weights = keras.Variable(loss_weights, dtype="float32", trainable=False, name="loss_weights")
        # All replicas assign the same to these.
        alike = {"trainable": False, "aggregation": "only_first_replica"}
        self._measured = keras.Variable(np.zeros(len(TAP_NAMES)), dtype="float32", name="measured", **alike)
        self._measured_steps = keras.Variable(0, dtype="int64", name="measured_steps", **alike)
        # Since `read_window`; not in checkpoints.
        self._window_terms = keras.Variable(np.zeros(len(TAP_NAMES)), dtype="float32", name="window_terms", **alike)
        # Steps applied, steps skipped, steps skipped in a row until now.
        self._window_steps = keras.Variable(np.zeros(3), dtype="int64", name="window_steps", **alike)
        if train_modules is not None:
            for layer in generator.layers:
                if layer.weights:
                    layer.trainable = module_height(layer.name) in train_modules
        with own_defaults():  # its learning rate is float32
            self.optimizer = Adam(learning_rate, epsilon=epsilon, name="adam")
        if any(layer.compute_dtype == "float16" for layer in generator.layers):  # small gradients would become zero
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer, name="loss_scale")
        self.optimizer.build(generator.trainable_variables)

    @property
    def model(self) -> keras.Model:
        """What is validated, shown and kept: the averaged generator if there is one, else the trained."""
        return self.averaging.generator if self.averaging else self.generator

    def variables(self) -> dict[str, keras.Variable]:
        """All that training changes, by its name in a checkpoint, whose generator is the `model`."""
        own = (self.loss_weights, self._measured, self._measured_steps)
        averaged = self.averaging.variables() if self.averaging else {}
        return named(self.model, self.optimizer) | {f"trainer/{variable.name}": variable for variable in own} | averaged

    @property
    def learning_rate(self) -> float:
        """Adam's, of the steps to come. To set it waits for nothing."""
        return float(self.optimizer.learning_rate.numpy())

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.optimizer.learning_rate = rate

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
        """Take one step of Adam, unless the loss or a gradient is not finite: then nothing is changed but what
        `read_window` tells (and float16's loss scale, which is halved).

        Args:
            photos: uint8 [B, H, W, 3]; of several workers, this one's part of the batch.
            layouts: Class ids, uint8 [B, H, W].

        Returns:
            The loss before the step, and each tap's part of it [taps], over the whole batch.
        """
        return self._take_step(*split(self._strategy, photos, layouts))

    def trace_step(self, batch: int) -> None:
        """Trace the training step, which its first call would do; to be called from a thread of its own, so that the
        first step finds it done. Several devices trace when they are used.

        Args:
            batch: Layouts in each step.
        """
        if self._strategy.num_replicas_in_sync == 1:
            height, width = self.generator.input_shape[1:3]
            photos = tf.TensorSpec((batch, height, width, 3), "uint8")
            self._take_step.get_concrete_function(photos, tf.TensorSpec((batch, height, width), "uint8"))

    def _step_together(self, photos: PerReplica, layouts: PerReplica) -> tuple[Tensor, Tensor]:
        return self._on_replicas(self._train_replica, photos, layouts)

    def _train_replica(self, photos: Photos, layouts: ClassIds) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            loss, terms = self._compute_loss(photos, layouts)
            # The optimizer adds up the replicas' gradients.
            scaled_loss = self.optimizer.scale_loss(loss / self._strategy.num_replicas_in_sync)
        gradients = tape.gradient(scaled_loss, self.generator.trainable_variables)
        applied = apply_if_finite(self.optimizer, loss, gradients, self.generator.trainable_variables)
        if self.averaging:
            self.averaging.update(applied)
        loss, terms = mean_of_replicas(loss, terms)
        self._measure(terms, applied)
        self._window_terms.assign_add(tf.where(applied, terms, tf.zeros_like(terms)))
        done, skipped, in_a_row = tf.unstack(self._window_steps.value)
        one = tf.cast(applied, "int64")
        counts = [done + one, skipped + 1 - one, tf.where(applied, tf.zeros_like(in_a_row), in_a_row + 1)]
        self._window_steps.assign(tf.stack(counts))
        return loss, terms

    def read_window(self) -> Window:
        """What happened since this was called before; waits for the steps that are under way."""
        applied, skipped, in_a_row = map(int, self._window_steps.numpy())
        terms = self._window_terms.numpy() / np.float32(applied) if applied else None
        self._window_terms.assign(np.zeros(len(TAP_NAMES)))
        self._window_steps.assign([0, 0, in_a_row])
        scale = getattr(self.optimizer, "dynamic_scale", None)  # of Keras' optimizer for loss scaling
        return Window(terms, applied, skipped, in_a_row, None if scale is None else float(scale.numpy()))

    def skipped_last(self) -> bool:
        """Whether the newest step was skipped; waits for it."""
        return int(self._window_steps.numpy()[2]) > 0

    def is_finite(self) -> bool:
        """Whether all weights are numbers; waits for the steps that are under way."""
        return bool(tf.reduce_all([tf.reduce_all(tf.math.is_finite(v.value)) for v in self.generator.variables]))

    @tf.function(autograph=False)
    def evaluate(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The `model`'s loss, each tap's part of it, and the perceptual distance, without a step, on one device.

        Arguments and results as `train_step`; the distance is a scalar.
        """
        layouts = ops.one_hot(layouts, self.num_classes, dtype="float32")
        errors = self._compute_errors(photos, layouts, self.model if self.averaging else self._synthesize)
        return *self._loss(errors, ops.unstack(self.loss_weights), layouts), perceptual_distance(errors)

    def measure(self, photos: tf.Tensor, layouts: tf.Tensor) -> None:
        """Count a batch's terms for `rebalance`, without a step. Arguments as `train_step`."""
        self._measure_step(*split(self._strategy, photos, layouts))

    @tf.function(autograph=False)
    def _measure_step(self, photos: PerReplica, layouts: PerReplica) -> None:
        self._on_replicas(self._measure_replica, photos, layouts)

    def _measure_replica(self, photos: Photos, layouts: ClassIds) -> Tensor:
        _, terms = mean_of_replicas(*self._compute_loss(photos, layouts))
        self._measure(terms, tf.reduce_all(tf.math.is_finite(terms)))
        return terms

    def _on_replicas(self, function: Callable[..., Any], *arguments: PerReplica) -> Any:
        """Run a function on all replicas, and return the first one's results."""
        results = self._strategy.run(function, arguments)
        return tf.nest.map_structure(lambda result: self._strategy.experimental_local_results(result)[0], results)

    def _measure(self, terms: Tensor, finite: Tensor) -> None:
        unweighted = tf.math.divide_no_nan(terms, self.loss_weights.value)
        self._measured.assign_add(tf.where(finite, unweighted, tf.zeros_like(unweighted)))
        self._measured_steps.assign_add(tf.cast(finite, "int64"))

    def _compute_loss(self, photos: Photos, layouts: ClassIds) -> tuple[Tensor, Tensor]:
        layouts = ops.one_hot(layouts, self.num_classes, dtype="float32")
        errors = self._compute_errors(photos, layouts, self._synthesize)
        return self._loss(errors, ops.unstack(self.loss_weights), layouts)

    def _compute_errors(
        self, photos: Photos, layouts: OneHotLayout, synthesize: Callable[[OneHotLayout], Images]
    ) -> list[TapErrors]:
        images = synthesize(layouts)  # [B, k, H, W, 3]
        with tf.control_dependencies([images]):  # or the photograph's taps would be computed early, and kept
            photos = ops.cast(photos, "float32")
        return tap_errors(self._blocks, photos, images)
