"""Segmenters, which read semantic classes from pictures: --segmenter of the command."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.images import resize
from crn_tf.errors import UsageError, UserError, one_line
from crn_tf.evaluation.onnx_networks import OnnxNetwork, extra
from crn_tf.evaluation.pictures import Picture
from crn_tf.model.segmenter import HEAD_TAPS
from crn_tf.tensors import Floats, Layout, Pixels

EXPECTED = "expected fcn, keras-hub:PRESET or FILE.onnx"
KERAS_HUB = "keras-hub:"
# These presets' weights were seen to be those of the ADE20K model.
_WRONG_PRESETS = ("segformer_b1_cityscapes_1024",)


class Segmenter(Protocol):
    """From a picture to class ids.

    Attributes:
        name: For tables.
        shared: Whether it sees through the perceiver, which the training loss compares with.
        about: What there is to say about it, as JSON values.
    """

    name: str
    shared: bool
    about: Mapping[str, Any]

    def __call__(self, picture: Picture) -> Layout:
        """Class ids uint8 [H, W] of a picture, none of them void."""


def open_segmenter(asked: str, classes: ClassTable, fcn: Callable[[], Segmenter]) -> Segmenter:
    """Find a segmenter.

    Args:
        asked: "fcn", "keras-hub:PRESET" or FILE.onnx.
        classes: What it has to tell apart.
        fcn: Finds or trains the first.

    Raises:
        UsageError: It is something else, or a preset that is known to be wrong.
        UserError: What it needs is not installed, its file is damaged, or it has other classes.
    """
    if asked == "fcn":
        return fcn()
    if asked.startswith(KERAS_HUB):
        return KerasHubSegmenter(asked.removeprefix(KERAS_HUB), classes)
    if asked.endswith(".onnx"):
        return OnnxSegmenter(OnnxNetwork(Path(asked), f"--segmenter {asked}"), classes)
    raise UsageError(f"--segmenter {asked}: {EXPECTED}")


@dataclasses.dataclass
class FcnSegmenter:
    """The head on the frozen perceiver (`crn_tf.model.segmenter`), which sees through what was looked at already."""

    head: keras.Model
    about: Mapping[str, Any]
    name: str = "fcn"
    shared: bool = True

    def __call__(self, picture: Picture) -> Layout:
        pixels = ops.convert_to_tensor(picture.pixels[None].astype(np.float32))
        scores = self.head([pixels, *picture.taps[-HEAD_TAPS:]], training=False)
        return np.asarray(ops.argmax(scores[0], -1)).astype(np.uint8)


class OnnxSegmenter:
    """A network of the user's: scores of each class [C, h, w] (or [h, w, C]), or class ids [h, w]."""

    shared = False

    def __init__(self, network: OnnxNetwork, classes: ClassTable) -> None:
        """Take over an open network.

        Raises:
            UserError: Its classes are not named as the data set's are.
        """
        self._network, self._classes = network, classes
        self.name = network.path.name
        self.about: Mapping[str, Any] = {"sha256": network.identity}
        self._map = _class_map(network, classes)

    def __call__(self, picture: Picture) -> Layout:
        output = self._network(picture.pixels)
        if output.ndim == 3 and 1 in (output.shape[0], output.shape[-1]):  # ids with an axis of one channel
            output = output.reshape(output.shape[1:] if output.shape[0] == 1 else output.shape[:2])
        numbers = self._best(output) if output.ndim == 3 else np.rint(output).astype(np.int64)
        if numbers.ndim != 2 or numbers.min() < 0 or numbers.max() >= len(self._map) or (self._map[numbers] < 0).any():
            raise UserError(
                f"{self._network.path} gives {list(output.shape)}, expected scores of classes, or ids of the "
                f"{len(self._classes.names)} classes"
            )
        return to_size(self._map[numbers].astype(np.uint8), picture.pixels.shape[:2])

    def _best(self, scores: Floats) -> Any:
        """The output with the highest score at each pixel, of those that are a class: [C, h, w] -> [h, w].

        Raises:
            UserError: There are less outputs than classes, or more, and nothing says which is which.
        """
        scores = scores if self._network.channels_first else np.moveaxis(scores, -1, 0)
        outputs, named = len(scores), len(self._map)
        if outputs < named or (outputs > named and self._network.classes is None):
            raise UserError(
                f"{self._network.path} has {outputs} classes, expected {named}: "
                f'"classes" in {self._network.path.with_suffix(".json")} says which is which'
            )
        return np.where(self._map[:, None, None] >= 0, scores[:named], -np.inf).argmax(0)


def _class_map(network: OnnxNetwork, classes: ClassTable) -> Any:
    """The data set's class of each output of a network, -1 for none: int [outputs].

    Raises:
        UserError: The network has a name for none of the data set's classes, or for another.
    """
    if network.classes is None:
        return np.arange(len(classes.names))
    ids = {name: number for number, name in enumerate(classes.names)}
    found = np.full(max(network.classes, default=0) + 1, -1)
    for number, name in network.classes.items():
        found[number] = ids.get(name, -1)
    missing = [name for name in classes.names if name not in network.classes.values()]
    if missing:
        near = difflib.get_close_matches(missing[0], network.classes.values(), 1)
        raise UserError(
            f"{network.path.with_suffix('.json')} names no output for {missing[0]!r}"
            f"{f' (but {near[0]!r})' if near else ''}; expected one for each of: {', '.join(classes.names)}"
        )
    return found


class KerasHubSegmenter:
    """A published segmenter of KerasHub, such as SegFormer for Cityscapes.

    Pictures are enlarged until their shorter side is the network's, and seen through windows of the network's shape
    that overlap, as its authors do.
    """

    shared = False

    def __init__(self, preset: str, classes: ClassTable) -> None:
        """Load a preset, which is fetched on first use; a folder with one works too.

        Raises:
            UsageError: The preset is known to be wrong.
            UserError: KerasHub is not installed, the preset cannot be had, or has other classes.
        """
        if preset in _WRONG_PRESETS:
            raise UsageError(f"the preset {preset} was seen to have the weights of ADE20K: use another size of it")
        hub = extra("keras_hub", "keras-hub", f"--segmenter {KERAS_HUB}{preset}")
        try:
            self._model = hub.models.ImageSegmenter.from_preset(preset)
        except Exception as error:  # of the network, of Kaggle, of the file system
            raise UserError(f"cannot load the preset {preset} of KerasHub: {one_line(error)}") from error
        self._converter = self._model.preprocessor.image_converter
        side = self._converter.image_size or self._model.backbone.input_shape[1:3]
        self._side = next((length for length in side if length), 512)
        self._converter.image_size = None  # it would cut pictures to its own shape
        self.name = f"{KERAS_HUB}{preset}"
        self.about: Mapping[str, Any] = {"window": self._side}
        outputs = int(self._model.output_shape[-1])
        if outputs != len(classes.names):
            raise UserError(f"{preset} tells {outputs} classes apart, the data set has {len(classes.names)}")
        if "cityscapes" in preset and classes.names != CITYSCAPES.names:
            raise UserError(
                f"{preset} knows the classes of Cityscapes; the data set has others: {classes.names[:3]}..."
            )

    def __call__(self, picture: Picture) -> Layout:
        height, width = picture.pixels.shape[:2]
        scale = self._side / min(height, width)
        enlarged = round(height * scale), round(width * scale)
        image = Image.fromarray(picture.pixels)
        pixels = np.asarray(resize(image, enlarged, "resize", Image.Resampling.BICUBIC))
        total: Floats = np.zeros((*enlarged, 1), np.float32)
        for top, left in _windows(enlarged, self._side):
            scores = self._scores(pixels[top : top + self._side, left : left + self._side])
            if total.shape[-1] == 1:
                total = np.zeros((*enlarged, scores.shape[-1]), np.float32)
            total[top : top + self._side, left : left + self._side] += scores
        return to_size(total.argmax(-1).astype(np.uint8), (height, width))

    def _scores(self, pixels: Pixels) -> Floats:
        """The network's probabilities of a window [side, side, 3] -> [side, side, C]."""
        batch = self._converter(pixels[None].astype(np.float32))
        scores = ops.softmax(ops.cast(self._model(batch, training=False), "float32"))
        return np.asarray(ops.image.resize(scores, pixels.shape[:2]))[0]


def _windows(size: tuple[int, int], side: int) -> list[tuple[int, int]]:
    """Tops and lefts of windows that cover a picture, overlapping by a quarter or more."""
    along = []
    for length in size:
        count = max(1, math.ceil((length - side) / (0.75 * side)) + 1)
        along.append([round(start) for start in np.linspace(0, max(0, length - side), count)])
    return [(top, left) for top in along[0] for left in along[1]]


def to_size(layout: Layout, size: tuple[int, int]) -> Layout:
    """A layout uint8 [h, w] at another size, by nearest neighbour."""
    return np.asarray(resize(Image.fromarray(layout), size, "resize", Image.Resampling.NEAREST))
