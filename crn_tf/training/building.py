"""From settings to a model's description, and to the trainer with its networks."""

from typing import Any

import keras

from crn_tf.data.class_tables import ClassTable
from crn_tf.model.description import ModelDescription
from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator
from crn_tf.model.perceiver import build_perceiver
from crn_tf.model.segmenter import HEAD_TAPS, build_segmenter, build_segmenter_head
from crn_tf.precision import computing_in
from crn_tf.training.adversarial import AdversarialTrainer
from crn_tf.training.averaging import AveragedGenerator
from crn_tf.training.memory_needs import StepKind, choose_recomputation
from crn_tf.training.objectives import OBJECTIVES, SEGMENTATION, first_weights
from crn_tf.training.settings import TrainSettings
from crn_tf.training.trainer import Trainer


def describe_model(settings: TrainSettings, classes: ClassTable) -> ModelDescription:
    """The model that resolved settings ask for, with a data set's classes."""
    return ModelDescription(
        settings.size[0],
        settings.base_grid,
        settings.images,
        settings.width,
        classes,
        settings.fit,
        network=settings.model,
    )


def build_trainer(settings: TrainSettings, description: ModelDescription, replicas: int = 1) -> tuple[Trainer, str]:
    """The trainer that resolved settings ask for, with fresh weights, and a line about its memory.

    Args:
        settings: The settings, with the perceiver's weights.
        description: Of the model to train.
        replicas: Devices that share a batch.

    Raises:
        UserError: A file of weights cannot be used.
    """
    objective, batch = OBJECTIVES[settings.loss], settings.batch // replicas
    recompute, why = choose_recomputation(settings.remat, description, batch, settings.precision, StepKind.of(settings))
    first = settings.loss, first_weights(settings.loss, settings.loss_weights), settings.lr
    with computing_in(settings.precision):
        perceiver = build_perceiver(settings.vgg_weights, settings.vgg_pool)
        generator = description.build()
        classes = description.classes.num_classes
        discriminator = segmenter = None
        if objective.adversarial:
            discriminator = build_pix2pix_discriminator(description.image_size, classes, settings.width)
        if SEGMENTATION in objective.terms:
            segmenter = build_segmenter(perceiver, _fresh_head(perceiver, classes - 1))
        options: dict[str, Any] = {
            "train_modules": settings.train_modules,
            "recompute": recompute,
            "epsilon": settings.adam_epsilon,
            "jit": settings.jit == "on",
            "averaging": _averaging(generator, description, settings.ema),
        }
        if discriminator is None:
            return Trainer(generator, perceiver, *first, **options), why
        networks = generator, perceiver, discriminator
        return AdversarialTrainer(*networks, *first, segmenter, settings.seed, **options), why


def _averaging(generator: keras.Model, description: ModelDescription, decay: float | None) -> AveragedGenerator | None:
    """The average of a generator's weights, if there is to be one: made last, so that it changes no random start."""
    return AveragedGenerator(generator, description.build(), decay) if decay else None


def _fresh_head(perceiver: keras.Model, num_classes: int) -> keras.Model:
    """A segmenter's head for a perceiver, whose weights are still to be given to it."""
    return build_segmenter_head([int(tap.shape[-1]) for tap in perceiver.outputs[-HEAD_TAPS:]], num_classes)
