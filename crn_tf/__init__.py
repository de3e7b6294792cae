"""Cascaded Refinement Networks in TensorFlow and Keras: from semantic layouts to photographs."""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:  # for editors and type checkers; else `__getattr__` imports what is used
    from crn_tf.checkpoints import save_weights
    from crn_tf.generator import build_generator
    from crn_tf.layouts import CITYSCAPES, ClassTable
    from crn_tf.loading import load_generator, take_over_weights
    from crn_tf.loss_weights import LOSS_WEIGHTS
    from crn_tf.losses import best_image_loss, best_per_class_loss, content_loss, tap_error
    from crn_tf.model_description import ModelDescription
    from crn_tf.perceiver import build_perceiver
    from crn_tf.release import build_generator_from_release, load_release_checkpoint
    from crn_tf.synthesizer import Synthesizer
    from crn_tf.trainer import Trainer

__all__ = [
    "CITYSCAPES",
    "LOSS_WEIGHTS",
    "ClassTable",
    "ModelDescription",
    "Synthesizer",
    "Trainer",
    "best_image_loss",
    "best_per_class_loss",
    "build_generator",
    "build_generator_from_release",
    "build_perceiver",
    "content_loss",
    "load_generator",
    "load_release_checkpoint",
    "save_weights",
    "take_over_weights",
    "tap_error",
]
_MODULE_OF = {
    "build_generator": "generator",
    "build_perceiver": "perceiver",
    "tap_error": "losses",
    "content_loss": "losses",
    "best_image_loss": "losses",
    "best_per_class_loss": "losses",
    "LOSS_WEIGHTS": "loss_weights",
    "Trainer": "trainer",
    "Synthesizer": "synthesizer",
    "load_generator": "loading",
    "build_generator_from_release": "release",
    "load_release_checkpoint": "release",
    "save_weights": "checkpoints",
    "take_over_weights": "loading",
    "ModelDescription": "model_description",
    "ClassTable": "layouts",
    "CITYSCAPES": "layouts",
}

if not TYPE_CHECKING:  # or a type checker would believe in any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: TensorFlow takes seconds, `--help` should not."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'crn_tf' has no attribute {name!r}")
        return getattr(importlib.import_module(f"crn_tf.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
