"""The models that a page paints with: what there is to say of them, and their pictures of layouts."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from crn_tf.data.conventions import Labels
from crn_tf.data.images import Size
from crn_tf.errors import UsageError
from crn_tf.model.description import ModelDescription
from crn_tf.pages.paint_layouts import ReadLayout, read_sent_layout
from crn_tf.pages.paint_work import Recent
from crn_tf.precision import Precision
from crn_tf.saved.run_folder import BEST_WEIGHTS_NAME, WEIGHTS_NAME
from crn_tf.tensors import Layout, Pixels

_KEPT = 8  # layouts of each model whose pictures are kept


class Synthesizes(Protocol):
    """What a `Synthesizer` does."""

    def __call__(self, layouts: Layout) -> Pixels:
        """Synthesize a batch: uint8 [B, H, W] -> uint8 [B, k, H, W, 3]."""


@dataclass(frozen=True)
class PaintModel:
    """A model to paint with.

    Attributes:
        name: What the page calls it.
        description: At the size that it synthesizes.
        synthesizer: Of it.
        draft: Whether it is there to draw while the brush moves.
        precision: That its convolutions compute in.
    """

    name: str
    description: ModelDescription
    synthesizer: Synthesizes
    draft: bool = False
    precision: Precision = "float32"


@dataclass(frozen=True)
class Painted:
    """What a model made of a layout.

    Attributes:
        images: uint8 [k, H, W, 3].
        seconds: That the synthesis took.
        said: What is odd about the layout: lines.
    """

    images: Pixels
    seconds: float
    said: tuple[str, ...]


class Painter:
    """Makes pictures of layouts, and keeps the last few of each model."""

    def __init__(self, models: Sequence[PaintModel]) -> None:
        """Paint with models of the same classes; the first is the one that is used if none is named.

        Raises:
            UsageError: They have other classes.
        """
        first = models[0]
        for other in models[1:]:
            if other.description.classes.names != first.description.classes.names:
                raise UsageError(
                    f"{other.name} has other classes ({_few(other)}) than {first.name} ({_few(first)}); expected "
                    "models of the same classes"
                )
        self.models = {model.name: model for model in models}
        self.default = first
        # For each model, as a draft is asked more often: by file and how it is to be read; by layout.
        self._read: dict[str, Recent[tuple[bytes, Labels], tuple[bytes, ReadLayout]]]
        self._read = {name: Recent(_KEPT) for name in self.models}
        self._painted: dict[str, Recent[bytes, Painted]] = {name: Recent(_KEPT) for name in self.models}

    def size(self) -> Size:
        """Height and width of the canvas: the first model's."""
        return self.default.description.image_size

    def warm_up(self) -> None:
        """Compute one picture with each model, so that the first layout that comes waits for its own alone."""
        for model in self.models.values():
            model.synthesizer(np.zeros((1, *model.description.image_size), np.uint8))

    def known(self, model: PaintModel, content: bytes, labels: Labels) -> Painted | None:
        """What was made of the same file, if that is still kept. Takes no time."""
        read = self._read[model.name].get((hashlib.sha256(content).digest(), labels))
        return self._finished(model, *read) if read else None

    def paint(self, model: PaintModel, content: bytes, labels: Labels) -> Painted:
        """Make pictures of a layout file that somebody sent.

        Args:
            model: Of the painter's.
            content: Of the file.
            labels: What it holds; auto finds out.

        Raises:
            UserError: It is no layout, or can be read in two ways.
        """
        description = model.description
        layout = read_sent_layout(content, description.classes, description.image_size, description.fit, labels)
        ids = hashlib.sha256(layout.layout.tobytes()).digest()
        self._read[model.name].put((hashlib.sha256(content).digest(), labels), (ids, layout))
        if (found := self._finished(model, ids, layout)) is not None:
            return found
        start = time.perf_counter()
        images = model.synthesizer(layout.layout[None])[0]
        painted = Painted(images, time.perf_counter() - start, layout.warnings)
        self._painted[model.name].put(ids, painted)
        return painted

    def _finished(self, model: PaintModel, ids: bytes, layout: ReadLayout) -> Painted | None:
        """What was made of a layout, with what there is to say of this file of it."""
        found = self._painted[model.name].get(ids)
        return found and Painted(found.images, found.seconds, layout.warnings)


def _few(model: PaintModel) -> str:
    names = model.description.classes.names
    return f"{len(names)}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def names_of(paths: Sequence[Path]) -> list[str]:
    """What models are called, by where they are: a run's folder, a weights file; numbered where they are alike."""
    names: list[str] = []
    for path in (Path(path).resolve() for path in paths):
        stem = path.name.removesuffix(".weights.h5")
        usual = path.name in (WEIGHTS_NAME, BEST_WEIGHTS_NAME, "model.ckpt")
        name = path.parent.name if usual and path.parent.name else stem
        alike = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({alike + 1})" if alike else name)
    return names
