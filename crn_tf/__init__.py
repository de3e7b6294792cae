"""Cascaded Refinement Networks in TensorFlow and Keras: from semantic layouts to photographs."""

import importlib
import sys
from typing import TYPE_CHECKING

from crn_tf.supported import is_command, refuse_unsupported, refuse_without_libraries

if is_command(sys.argv[0] if sys.argv else "", getattr(sys, "orig_argv", ["crn_tf"])):
    refuse_unsupported()  # before a command imports what is missing where it cannot run
    refuse_without_libraries()

__version__ = "0.2.0"

if TYPE_CHECKING:  # for editors and type checkers; else `__getattr__` imports what is used
    from crn_tf.data.class_tables import CITYSCAPES, ClassTable
    from crn_tf.model.description import ModelDescription
    from crn_tf.model.generator import build_generator
    from crn_tf.model.loss_weights import LOSS_WEIGHTS
    from crn_tf.model.losses import best_image_loss, best_per_class_loss, content_loss, tap_error
    from crn_tf.model.perceiver import build_perceiver
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.saved.checkpoints import save_weights
    from crn_tf.saved.loading import load_generator, take_over_weights
    from crn_tf.saved.release import build_generator_from_release, load_release_checkpoint
    from crn_tf.training.trainer import Trainer

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
    "build_generator": "model.generator",
    "build_perceiver": "model.perceiver",
    "tap_error": "model.losses",
    "content_loss": "model.losses",
    "best_image_loss": "model.losses",
    "best_per_class_loss": "model.losses",
    "LOSS_WEIGHTS": "model.loss_weights",
    "Trainer": "training.trainer",
    "Synthesizer": "model.synthesizer",
    "load_generator": "saved.loading",
    "build_generator_from_release": "saved.release",
    "load_release_checkpoint": "saved.release",
    "save_weights": "saved.checkpoints",
    "take_over_weights": "saved.loading",
    "ModelDescription": "model.description",
    "ClassTable": "data.class_tables",
    "CITYSCAPES": "data.class_tables",
}

if not TYPE_CHECKING:  # or a type checker would believe in any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: TensorFlow takes seconds, `--help` should not."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'crn_tf' has no attribute {name!r}")
        return getattr(importlib.import_module(f"crn_tf.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
