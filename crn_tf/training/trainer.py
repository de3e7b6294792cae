"""The trainer: a generator, its perceiver, loss and optimizer, and one training step."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from crn_tf.model.cascade import module_height
from crn_tf.model.losses import LOSSES, perceptual_distance, tap_errors
from crn_tf.model.perceiver import split_blocks
from crn_tf.model.recomputing import is_cascade, recomputing_blocks, recomputing_generator
from crn_tf.saved.checkpoints import named
from crn_tf.tensors import (
    ClassIds,
    Images,
    LossFunction,
    OneHotLayout,
    PerceiverBlock,
    PerReplica,
    Photos,
    TapErrors,
    Tensor,
)
from crn_tf.training.averaging import AveragedGenerator
from crn_tf.training.objectives import OBJECTIVES, LossName
from crn_tf.training.optimizer import ADAM_EPSILON, Update, apply_if_finite, build_optimizer
from crn_tf.training.replicas import mean_of_replicas, split


class Window(NamedTuple):
    """What happened in the steps since `Trainer.read_window` was called before.

    Attributes:
        terms: Each term of the loss, the mean over the steps that were applied, float32 [terms]; None without any.
        applied: Steps that changed the weights.
        skipped: Steps whose loss or gradients were not finite.
        skipped_in_a_row: How many of the newest steps were skipped, also of earlier windows.
        loss_scale: Float16's; None in other precisions.
        discriminator: The discriminator's loss, the mean over the steps that were applied; None without any, or without
            a discriminator.
    """

    terms: np.ndarray | None
    applied: int
    skipped: int
    skipped_in_a_row: int
    loss_scale: float | None
    discriminator: float | None = None


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

    has_adversary = False

    def __init__(
        self,
        generator: keras.Model,
        perceiver: keras.Model,
        loss: LossName,
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
            loss: A name in `objectives.OBJECTIVES` of a loss that needs no discriminator (else see `adversarial`).
            loss_weights: A weight for each of its terms: each tap, the image first.
            learning_rate: Adam's.
            train_modules: Heights of the modules to train, with the projection of that height; None trains all. (The
                release trained only 512 and 1024 at 1024p.)
            recompute: Keep less for the backward pass and compute it again, which takes longer (see `recomputing`).
            epsilon: Adam's, which is added to the root of its second moment.
            jit: Have XLA compile the whole step. Results differ by rounding.
            averaging: Of the generator's weights; None for none.

        Raises:
            ValueError: XLA is to compile a step that a distribution strategy shares, or the loss needs a discriminator.
        """
        if OBJECTIVES[loss].adversarial and not self.has_adversary:
            raise ValueError(f"the loss {loss} needs a discriminator: see AdversarialTrainer")
        self._strategy = tf.distribute.get_strategy()
        if jit and tf.distribute.has_strategy():
            raise ValueError("XLA compiles steps of one device only: make the trainer outside of a strategy's scope")
        self._take_step = tf.function(self._step_together, jit_compile=jit or None, autograph=False)
        self.generator, self.perceiver, self.recompute = generator, perceiver, recompute
        self._synthesize: Callable[[OneHotLayout], Images] = functools.partial(generator, training=True)
        self._blocks = split_blocks(perceiver)
        if recompute:
            if is_cascade(generator):
                self._synthesize = recomputing_generator(generator)
            self._blocks = recomputing_blocks(self._blocks)
        self.averaging = averaging
        self.num_classes = generator.input_shape[-1]
        self.objective = OBJECTIVES[loss]
        self._loss: LossFunction = LOSSES[self.objective.comparison]
        # Variables, so that they can change during training, and are kept in checkpoints.
        self.loss_weights = keras.Variable(loss_weights, dtype="float32", trainable=False, name="loss_weights")
        # All replicas assign the same to these.
        alike = {"trainable": False, "aggregation": "only_first_replica"}
        zeros = np.zeros(len(self.objective.terms))
        self._measured = keras.Variable(zeros, dtype="float32", name="measured", **alike)
        self._measured_steps = keras.Variable(0, dtype="int64", name="measured_steps", **alike)
        # Since `read_window`; not in checkpoints.
        self._window_terms = keras.Variable(zeros, dtype="float32", name="window_terms", **alike)
        # Steps applied, steps skipped, steps skipped in a row until now.
        self._window_steps = keras.Variable(np.zeros(3), dtype="int64", name="window_steps", **alike)
        if train_modules is not None:
            for layer in generator.layers:
                if layer.weights:
                    layer.trainable = module_height(layer.name) in train_modules
        self.optimizer = build_optimizer(generator, learning_rate, epsilon, self.objective.beta_1)

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
        """Adam's."""
        return float(self.optimizer.learning_rate.numpy())

    def set_learning_rate(self, rate: float) -> None:
        """Take steps of another size from now on. Waits for nothing."""
        self.optimizer.learning_rate = rate

    def start_measuring(self) -> None:
        """From here on, sum up each tap's unweighted term, until `rebalance`."""
        self._measured.assign(np.zeros(len(self.objective.terms)))
        self._measured_steps.assign(0)

    def rebalance(self) -> None:
        """Set each term's weight to the inverse of its mean since `start_measuring`: all contribute equally (or by the
        shares that the objective gives them).

        The authors of the release did so by hand after half of the epochs. A weight of zero stays zero.
        """
        mean = self._measured.numpy() / max(1, int(self._measured_steps.numpy()))
        old = self.loss_weights.numpy()
        shares = np.array(self.objective.shares or np.ones_like(old), np.float32)
        self.loss_weights.assign(np.where((old > 0) & (mean > 0), shares / np.maximum(mean, 1e-30), old))

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
        applied = apply_if_finite(loss, Update(self.optimizer, gradients, self.generator.trainable_variables))
        loss, terms = mean_of_replicas(loss, terms)
        self._note_step(terms, applied)
        return loss, terms

    def _note_step(self, terms: Tensor, applied: Tensor) -> None:
        """Average what a step has changed, and keep for `read_window` and `rebalance` what it found out."""
        if self.averaging:
            self.averaging.update(applied)
        self._measure(terms, applied)
        self._window_terms.assign_add(tf.where(applied, terms, tf.zeros_like(terms)))
        done, skipped, in_a_row = tf.unstack(self._window_steps.value)
        one = tf.cast(applied, "int64")
        counts = [done + one, skipped + 1 - one, tf.where(applied, tf.zeros_like(in_a_row), in_a_row + 1)]
        self._window_steps.assign(tf.stack(counts))

    def read_window(self) -> Window:
        """What happened since this was called before; waits for the steps that are under way."""
        applied, skipped, in_a_row = map(int, self._window_steps.numpy())
        terms = self._window_terms.numpy() / np.float32(applied) if applied else None
        self._window_terms.assign(np.zeros(len(self.objective.terms)))
        self._window_steps.assign([0, 0, in_a_row])
        scale = getattr(self.optimizer, "dynamic_scale", None)  # of Keras' optimizer for loss scaling
        return Window(terms, applied, skipped, in_a_row, None if scale is None else float(scale.numpy()))

    def skipped_last(self) -> bool:
        """Whether the newest step was skipped; waits for it."""
        return int(self._window_steps.numpy()[2]) > 0

    def is_finite(self) -> bool:
        """Whether all weights are numbers; waits for the steps that are under way."""
        return bool(tf.reduce_all([tf.reduce_all(tf.math.is_finite(v.value)) for v in self._trained()]))

    def _trained(self) -> list[keras.Variable]:
        """All weights that steps change, and those beside them."""
        return self.generator.variables

    @tf.function(autograph=False)
    def evaluate(self, photos: tf.Tensor, layouts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The `model`'s loss, each term of it, and the perceptual distance, without a step, on one device.

        Arguments and results as `train_step`; the distance is a scalar.
        """
        layouts = ops.one_hot(layouts, self.num_classes, dtype="float32")
        images = self.model(layouts)
        errors = self._compare(photos, images, self._blocks)
        return *self._weigh(errors[: self.objective.taps], images, layouts), perceptual_distance(errors)

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
        images = self._synthesize(layouts)  # [B, k, H, W, 3]
        return self._weigh(self._compare_taps(photos, images), images, layouts)

    def _compare_taps(self, photos: Photos, images: Images) -> list[TapErrors]:
        """Errors at the taps that the loss compares, which may be none."""
        taps = self.objective.taps
        return self._compare(photos, images, self._blocks[: max(0, taps - 1)])[:taps]

    def _compare(self, photos: Photos, images: Images, blocks: Sequence[PerceiverBlock]) -> list[TapErrors]:
        """Errors at the image and at taps."""
        with tf.control_dependencies([images]):  # or the photograph's taps would be computed early, and kept
            photos = ops.cast(photos, "float32")
        return tap_errors(blocks, photos, images)

    def _weigh(self, errors: list[TapErrors], images: Images, layouts: OneHotLayout) -> tuple[Tensor, Tensor]:
        """The loss, and each of its terms. What `images` are is for losses that look at more than errors."""
        return self._loss(errors, ops.unstack(self.loss_weights), layouts)
