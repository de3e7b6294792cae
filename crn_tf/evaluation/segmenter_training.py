"""The fcn segmenter: trained on a data set's training photographs when it is first asked for, and kept."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from crn_tf.data.datasets import DataSet, EvenSample
from crn_tf.data.images import Fit, Size
from crn_tf.data.pipeline import InputPipeline
from crn_tf.errors import UserError, one_line
from crn_tf.evaluation.confusion import Tallies, confusion_matrix, segmentation_scores
from crn_tf.evaluation.kept_segmenters import HEAD_FILE, SEGMENTERS, SETTINGS_FILE, read_about
from crn_tf.evaluation.pictures import Picture, Viewer
from crn_tf.evaluation.segmenters import FcnSegmenter
from crn_tf.files import lock, written_aside
from crn_tf.model.segmenter import HEAD_TAPS, build_segmenter, build_segmenter_head
from crn_tf.tensors import Layout, Pixels
from crn_tf.weights_guard import check_weights_file

_SCORED = 32  # photographs that the kept score is measured on


@dataclass(frozen=True)
class Recipe:
    """How the head is trained.

    Attributes:
        steps: Of Adam; its rate falls to zero along a cosine.
        batch: Cuts of photographs in a step.
        cut: Height and width of a cut, at most: the time it takes does not grow with the photographs.
        lr: Adam's first learning rate.
        version: Of what no other setting tells; another one trains anew.
        start: Which fresh weights and which order of photographs; another one is another segmenter.
    """

    steps: int = 1500
    batch: int = 2
    cut: Size = (192, 256)
    lr: float = 1e-3
    version: int = 1
    start: int = 0


def find_or_train(
    viewer: Viewer,
    train: DataSet,
    fingerprint: str,
    held_out: DataSet | None,
    size: Size,
    fit: Fit,
    cache: Path,
    recipe: Recipe | None = None,
) -> FcnSegmenter:
    """The segmenter for a data set at a size, from the cache, or trained and put there.

    Args:
        viewer: The perceiver.
        train: Photographs to train on, with layouts.
        fingerprint: Names their content.
        held_out: Others, to measure the kept score on; None if there are none.
        size: Height and width at which pictures are scored.
        fit: How photographs are brought to it.
        cache: The folder of everything that is kept.
        recipe: How it is trained; None for as is best known.

    Raises:
        UserError: Photographs cannot be read, or the cache cannot be written or is damaged.
    """
    recipe = recipe or Recipe()
    num_classes = len(train.classes.names)
    settings = {
        "perceiver": viewer.identity,
        "data": fingerprint,
        "classes": list(train.classes.names),
        "size": list(size),
        "fit": fit,
        **{name: value for name, value in vars(recipe).items() if name != "start" or value},  # older ones have none
    }
    text = json.dumps(settings, sort_keys=True)
    folder = cache / SEGMENTERS / hashlib.sha256(text.encode()).hexdigest()[:16]
    depths = [int(tap.shape[-1]) for tap in viewer.perceiver.outputs[-HEAD_TAPS:]]
    head = build_segmenter_head(depths, num_classes, start=recipe.start)
    with lock(folder.with_suffix(".lock"), waiting="waiting for another process that trains this segmenter"):
        if not folder.is_dir():
            print(f"training the segmenter on {len(train)} photographs; it is kept in {folder}")
            start = time.monotonic()
            _train(build_segmenter(viewer.perceiver, head), train, size, fit, recipe)
            about = {"settings": settings, "seconds": round(time.monotonic() - start), "score": None}
            if held_out is not None:
                about["score"] = _score(FcnSegmenter(head, {}), viewer, held_out, size, fit)
            with written_aside(folder) as temporary:
                temporary.mkdir()
                head.save_weights(temporary / HEAD_FILE)
                (temporary / SETTINGS_FILE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        about = read_segmenter(folder, head, "; remove it to train anew")
    return FcnSegmenter(head, about)


def read_segmenter(folder: Path, head: keras.Model, advice: str = "") -> dict[str, Any]:
    """Give a head its kept weights, and return what is kept beside them.

    Args:
        folder: Where `find_or_train` put it.
        head: From `build_segmenter_head`.
        advice: What to do about a damaged one, as the end of a sentence.

    Raises:
        UserError: The files are missing, damaged, or of another head.
    """
    about = read_about(folder)
    try:
        check_weights_file(folder / HEAD_FILE)
        head.load_weights(folder / HEAD_FILE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"cannot read the segmenter in {folder}: {one_line(error)}{advice}") from error
    return about


def _train(segmenter: keras.Model, train: DataSet, size: Size, fit: Fit, recipe: Recipe) -> None:
    """Train a segmenter's head.

    Raises:
        UserError: Photographs cannot be read.
    """
    num_classes = segmenter.output_shape[-1]
    rate = keras.optimizers.schedules.CosineDecay(recipe.lr, recipe.steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    segmenter.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    pairs = InputPipeline(train, size, fit, recipe.batch, recipe.start, flip=True, max_unreadable=0.05)
    random = np.random.default_rng(recipe.start)
    bar = tqdm(pairs.batches(0, recipe.steps), "training the segmenter", recipe.steps, unit="step", disable=None)
    for photos, layouts in bar:
        photo, layout = _cut(np.asarray(photos), np.asarray(layouts), recipe.cut, random)
        known = layout < num_classes
        value = segmenter.train_on_batch(photo.astype(np.float32), np.where(known, layout, 0), known.astype(np.float32))
        bar.set_postfix_str(f"loss {float(value):.3f}", refresh=False)


def _cut(photos: Pixels, layouts: Layout, cut: Size, random: np.random.Generator) -> tuple[Pixels, Layout]:
    """The same random window of all photographs of a batch and of their layouts."""
    height, width = (min(most, length) for most, length in zip(cut, photos.shape[1:3], strict=True))
    top, left = (
        int(random.integers(0, of - to + 1)) for of, to in zip(photos.shape[1:3], (height, width), strict=True)
    )
    window = slice(None), slice(top, top + height), slice(left, left + width)
    return photos[window], layouts[window]


def _score(segmenter: FcnSegmenter, viewer: Viewer, data: DataSet, size: Size, fit: Fit) -> dict[str, Any]:
    """Scores on some photographs, evenly spaced.

    Raises:
        UserError: One cannot be read.
    """
    sample = EvenSample(data, _SCORED)
    num_classes = len(data.classes.names)

    def matrices() -> Iterator[Any]:
        for index in tqdm(range(len(sample)), "scoring the segmenter", unit="photo", leave=False, disable=None):
            photo, layout = sample.load(index, size, fit)
            yield confusion_matrix(layout, segmenter(Picture(photo, viewer)), num_classes)

    scores = segmentation_scores(Tallies.of(np.sum(list(matrices()), axis=0)))
    return {
        "photographs": len(sample),
        "pixel_accuracy": round(float(scores.pixel_accuracy), 4),
        "mean_iou": round(float(scores.mean_iou), 4),
    }
