"""Networks that users bring as ONNX files, run by onnxruntime, with a JSON file beside that says what they take.

`FILE.json` beside `FILE.onnx`, everything optional:

    {"layout": "NCHW", "order": "RGB", "scale": 0.00392156862745098, "mean": [0.485, 0.456, 0.406],
     "std": [0.229, 0.224, 0.225], "size": [512, 1024], "classes": {"0": "road", "1": "sidewalk"}}

A pixel becomes (pixel * scale - mean) / std. Pictures are resized to `size` if it is there, bicubically. `classes` says
which class each of a segmenter's outputs is.
"""

import importlib
import json
import reprlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from crn_tf.data.images import Size, resize
from crn_tf.errors import UserError, one_line
from crn_tf.files import read_json, sha256_of
from crn_tf.tensors import Floats, Pixels

_EXPECTED = (
    'expected a JSON object like {"layout": "NCHW", "order": "RGB", "scale": 0.0039, "mean": [0, 0, 0], '
    '"std": [1, 1, 1], "size": [512, 1024], "classes": {"0": "road"}}'
)


def extra(module: str, package: str, what_for: str) -> ModuleType:
    """Import what is installed only where it is wanted.

    Args:
        module: To import.
        package: That brings it.
        what_for: The option that needs it.

    Raises:
        UserError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{what_for} needs {package}, which is not installed or cannot be imported ({one_line(error, 100)}): "
            f"pip install {package} (requirements-evaluation.txt has the versions)"
        ) from error


_NORMAL = (("mean", 0.0), ("std", 1.0))


@dataclass(frozen=True)
class _Input:
    """What a network takes."""

    channels_first: bool
    bgr: bool
    scale: float
    mean: Floats
    std: Floats
    size: Size | None
    classes: dict[int, str] | None


class OnnxNetwork:
    """A network in a file.

    Attributes:
        path: The file.
        identity: Names it and what it takes: SHA-256 of both files.
        classes: The class of each output, by its number; None if that is not said.
    """

    def __init__(self, path: Path, option: str) -> None:
        """Open a network.

        Args:
            path: FILE.onnx.
            option: That named it, for messages.

        Raises:
            UserError: onnxruntime is not installed, or a file is missing, damaged, or says something else.
        """
        runtime = extra("onnxruntime", "onnxruntime", option)
        if not path.is_file():
            raise UserError(f"{option}: there is no file {path}")
        self.path = path
        beside = path.with_suffix(".json")
        self._takes = _read_input(beside)
        self.classes = self._takes.classes
        self.identity = sha256_of(path) + (sha256_of(beside) if beside.is_file() else "")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds, which it does not publish
            raise UserError(f"cannot read the network {path}: {one_line(error)}") from error

    def __call__(self, pixels: Pixels) -> Floats:
        """The network's first output for a picture uint8 [H, W, 3], without the axis of the batch.

        Raises:
            UserError: The network takes something else.
        """
        takes = self._takes
        if takes.size and takes.size != pixels.shape[:2]:
            pixels = np.asarray(resize(Image.fromarray(pixels), takes.size, "resize", Image.Resampling.BICUBIC))
        values = ((pixels[..., ::-1] if takes.bgr else pixels) * takes.scale - takes.mean) / takes.std
        batch = values.astype(np.float32)[None]
        batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if takes.channels_first else batch)
        try:
            output: Any = self._session.run(None, {self._session.get_inputs()[0].name: batch})[0]
        except Exception as error:  # as above
            raise UserError(
                f"{self.path} does not take a picture as {list(batch.shape)}: {one_line(error, 200)}; "
                f"{self.path.with_suffix('.json')} can say what it takes"
            ) from error
        return np.asarray(output)[0]

    @property
    def channels_first(self) -> bool:
        """Whether maps have their channels ahead of height and width."""
        return self._takes.channels_first


def _read_input(path: Path) -> _Input:
    """What the file beside a network says; pixels over 255 in NCHW where there is none.

    Raises:
        UserError: It says something else.
    """
    said: Any = {}
    if path.is_file():
        try:
            said = read_json(path)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path}: {one_line(error)}; {_EXPECTED}") from error
    known = {"layout", "order", "scale", "mean", "std", "size", "classes"}
    if not isinstance(said, dict) or set(said) - known:
        raise UserError(f"{path} has {reprlib.repr(json.dumps(said))}; {_EXPECTED}")
    try:
        layout, order = said.get("layout", "NCHW"), said.get("order", "RGB")
        mean, std = (
            np.array(said.get(name, [value] * 3), float).reshape(3) for name, value in (("mean", 0), ("std", 1))
        )
        scale = float(said.get("scale", 1 / 255))
        height, width = map(int, said["size"]) if said.get("size") else (0, 0)
        classes = {int(number): str(name) for number, name in said["classes"].items()} if "classes" in said else None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: {one_line(error)}; {_EXPECTED}") from error
    if layout not in ("NCHW", "NHWC") or order not in ("RGB", "BGR") or not np.isfinite([scale, *mean, *std]).all():
        raise UserError(f"{path}: layout {layout!r}, order {order!r}; {_EXPECTED}")
    if (std == 0).any():
        raise UserError(f"{path}: std has a zero; {_EXPECTED}")
    size = (height, width) if height > 0 and width > 0 else None
    return _Input(layout == "NCHW", order == "BGR", scale, mean, std, size, classes)
