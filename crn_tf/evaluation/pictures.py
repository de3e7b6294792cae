"""Pictures as the perceiver sees them: looked at once, however many measures ask."""

import hashlib
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from crn_tf.files import sha256_of
from crn_tf.model.perceiver import build_perceiver
from crn_tf.model.vgg_weights import KERAS_FILE, WEIGHTS_FOLDER
from crn_tf.tensors import Features, Pixels


class Picture:
    """A picture, and what the perceiver makes of it when it is asked.

    Attributes:
        pixels: uint8 [H, W, 3].
    """

    def __init__(self, pixels: Pixels, viewer: "Viewer") -> None:
        """Take over pixels, and what looks at them."""
        self.pixels = pixels
        self._viewer = viewer

    @cached_property
    def taps(self) -> list[Features]:
        """The perceiver's activations, [1, h, w, D] each, finest first."""
        return self._viewer.look(self.pixels)

    @cached_property
    def digest(self) -> str:
        """Names its content: SHA-256 of shape and pixels."""
        shape = "x".join(map(str, self.pixels.shape))
        return hashlib.sha256(shape.encode() + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


class Viewer:
    """The perceiver that pictures are looked at with.

    Attributes:
        perceiver: From `build_perceiver`.
        identity: Names its weights and pooling: SHA-256 of the file.
        name: The same for people.
    """

    def __init__(self, weights: str, pooling: str) -> None:
        """Read the perceiver.

        Args:
            weights: A file, "imagenet" or "random" (see `build_perceiver`).
            pooling: "avg" or "max".

        Raises:
            UserError: The file is missing, damaged or not VGG19.
        """
        self.perceiver: keras.Model = build_perceiver(weights, "max" if pooling == "max" else "avg")
        file = WEIGHTS_FOLDER / KERAS_FILE if weights == "imagenet" else Path(weights)
        self.sha256 = None if weights == "random" else sha256_of(file)
        self.identity = f"{self.sha256 or weights}, {pooling}"
        self.name = f"{file.name if self.sha256 else weights}, {pooling} pooling"

    def look(self, pixels: Pixels) -> list[Features]:
        """uint8 [H, W, 3] -> the taps [1, h, w, D]."""
        return list(self.perceiver(pixels[None].astype(np.float32), training=False))
