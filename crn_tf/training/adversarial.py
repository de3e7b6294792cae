"""Adversarial training: a discriminator beside the generator, both trained in one step (docs/methods.md)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from crn_tf.model.adversarial_losses import discriminator_loss, fooling_loss, segmentation_loss
from crn_tf.model.other_networks.pix2pix import has_seed, with_seed_input
from crn_tf.tensors import ClassIds, Images, OneHotLayout, Photos, TapErrors, Tensor
from crn_tf.training.objectives import ADVERSARIAL, SEGMENTATION, LossName
from crn_tf.training.optimizer import ADAM_EPSILON, Update, apply_if_finite, build_optimizer
from crn_tf.training.replicas import mean_of_replicas
from crn_tf.training.trainer import Trainer, Window


class AdversarialTrainer(Trainer):
    """A trainer whose loss has what a discriminator says among its terms, and trains that too.

    Both networks' gradients are taken at the same weights, from one pass, and both or neither are applied: a step that
    is not finite changes nothing.

    Attributes:
        discriminator: From `build_pix2pix_discriminator`.
        discriminator_optimizer: Its own.
    """

    has_adversary = True

    def __init__(
        self,
        generator: keras.Model,
        perceiver: keras.Model,
        discriminator: keras.Model,
        loss: LossName,
        loss_weights: Sequence[float],
        learning_rate: float = 2e-4,
        segmenter: keras.Model | None = None,
        seed: int = 0,
        epsilon: float = ADAM_EPSILON,
        **options: Any,
    ):
        """Prepare training.

        Args:
            generator: Of one image for each layout.
            perceiver: From `build_perceiver`.
            discriminator: From `build_pix2pix_discriminator`, for the generator's size and classes.
            loss: A name in `objectives.OBJECTIVES` of a loss with an adversarial term.
            loss_weights: A weight for each of its terms.
            learning_rate: Adam's, of both networks.
            segmenter: From `build_segmenter`, frozen, if the loss asks for one: from images to scores of each class but
                void.
            seed: Of the generator's dropout, if it has any: what is dropped follows from it, the step and the device.
            epsilon: Of both networks' Adam.
            **options: Of the generator's training, as `Trainer` takes them.

        Raises:
            ValueError: XLA is to compile a step that a distribution strategy shares, or the loss asks for a segmenter.
        """
        super().__init__(generator, perceiver, loss, loss_weights, learning_rate, epsilon=epsilon, **options)
        if SEGMENTATION in self.objective.terms and segmenter is None:
            raise ValueError(f"the loss {loss} asks for a segmenter")
        self.discriminator, self._segmenter, self._seed = discriminator, segmenter, seed % 2**31
        self.discriminator_optimizer = build_optimizer(discriminator, learning_rate, epsilon, self.objective.beta_1)
        self._window_discriminator = keras.Variable(
            0.0, dtype="float32", name="window_discriminator", trainable=False, aggregation="only_first_replica"
        )
        if has_seed(generator):
            seeded = with_seed_input(generator)
            self._synthesize = lambda layouts: seeded([layouts, self._dropout_seed()], training=True)

    def variables(self) -> dict[str, keras.Variable]:
        """All that training changes, by its name in a checkpoint, and the segmenter that it is measured by."""
        own = {f"discriminator/{variable.path}": variable for variable in self.discriminator.variables}
        own |= {f"discriminator_optimizer/{v.path}": v for v in self.discriminator_optimizer.variables}
        if self._segmenter is not None:
            own |= {f"segmenter/{variable.path}": variable for variable in self.segmenter_head.variables}
        return super().variables() | own

    @property
    def segmenter_head(self) -> keras.Model:
        """The segmenter's part beside the perceiver, from `build_segmenter_head`.

        Raises:
            ValueError: The loss asks for no segmenter.
        """
        if self._segmenter is None:
            raise ValueError("the loss asks for no segmenter")
        return self._segmenter.get_layer("segmenter_head")

    def set_learning_rate(self, rate: float) -> None:
        """Take steps of another size from now on, of both networks."""
        super().set_learning_rate(rate)
        self.discriminator_optimizer.learning_rate = rate

    def read_window(self) -> Window:
        """What happened since this was called before; waits for the steps that are under way."""
        window, total = super().read_window(), float(self._window_discriminator.numpy())
        self._window_discriminator.assign(0.0)
        return window._replace(discriminator=total / window.applied if window.applied else None)

    def _trained(self) -> list[keras.Variable]:
        """Both networks' weights."""
        return [*super()._trained(), *self.discriminator.variables]

    def _train_replica(self, photos: Photos, layouts: ClassIds) -> tuple[Tensor, Tensor]:
        layouts = ops.one_hot(layouts, self.num_classes, dtype="float32")
        replicas = self._strategy.num_replicas_in_sync
        ours, other = self.generator.trainable_variables, self.discriminator.trainable_variables
        # A tape for each, or the discriminator's gradient would lead back through the generator.
        with _tape_of(ours) as tape, _tape_of(other) as other_tape:
            images = self._synthesize(layouts)
            synthesized = self._judge(layouts, images, training=True)
            real = self._judge(layouts, photos[:, None], training=True)
            of_discriminator = discriminator_loss(real, synthesized)
            loss, terms = self._weigh_all(self._compare_taps(photos, images), images, layouts, synthesized)
            scaled_loss = self.optimizer.scale_loss(loss / replicas)
            scaled_other = self.discriminator_optimizer.scale_loss(of_discriminator / replicas)
        updates = [
            Update(self.optimizer, tape.gradient(scaled_loss, ours), ours),
            Update(self.discriminator_optimizer, other_tape.gradient(scaled_other, other), other),
        ]
        applied = apply_if_finite(loss + of_discriminator, *updates)
        loss, terms, of_discriminator = mean_of_replicas(loss, terms, of_discriminator)
        self._note_step(terms, applied)
        self._window_discriminator.assign_add(tf.where(applied, of_discriminator, tf.zeros_like(of_discriminator)))
        return loss, terms

    def _weigh(self, errors: list[TapErrors], images: Images, layouts: OneHotLayout) -> tuple[Tensor, Tensor]:
        return self._weigh_all(errors, images, layouts, self._judge(layouts, images, training=False))

    def _weigh_all(
        self, errors: list[TapErrors], images: Images, layouts: OneHotLayout, logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The generator's loss, and each of its terms."""
        weights = ops.unstack(self.loss_weights)
        terms = []
        if errors:
            _, of_taps = self._loss(errors, weights[: len(errors)], layouts)
            terms += ops.unstack(of_taps)
        for name, weight in zip(self.objective.terms[len(errors) :], weights[len(errors) :], strict=True):
            terms.append(
                weight * (fooling_loss(logits) if name == ADVERSARIAL else self._segmentation(images, layouts))
            )
        stacked = ops.stack(terms)
        return ops.sum(stacked), stacked

    def _judge(self, layouts: OneHotLayout, images: Images, training: bool) -> Tensor:
        """What the discriminator says of the first image of each layout [B, k, H, W, 3]: a logit for each patch."""
        return self.discriminator([layouts, ops.cast(images[:, 0], "float32")], training=training)

    def _segmentation(self, images: Images, layouts: OneHotLayout) -> Tensor:
        assert self._segmenter is not None  # seen to when this was made
        return segmentation_loss(self._segmenter(images[:, 0], training=False), layouts)

    def _dropout_seed(self) -> Tensor:
        """Of this step, on this device: int32 [2]."""
        context = tf.distribute.get_replica_context()
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)  # of float16's loss scaling
        step = ops.cast(optimizer.iterations, "int32") * self._strategy.num_replicas_in_sync
        return ops.stack([ops.convert_to_tensor(self._seed, "int32"), step + context.replica_id_in_sync_group])


def _tape_of(variables: Sequence[keras.Variable]) -> tf.GradientTape:
    """A tape that records what follows from some variables, and nothing else."""
    tape = tf.GradientTape(watch_accessed_variables=False)
    with tape:
        tape.watch([variable.value for variable in variables])
    return tape
