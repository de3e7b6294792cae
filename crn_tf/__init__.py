"""Cascaded Refinement Networks in TensorFlow and Keras: from semantic layouts to photographs."""

import importlib

__version__ = "0.2.0"

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
__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    """Import a public name when it is first used: TensorFlow takes seconds, `--help` should not."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'crn_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"crn_tf.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
