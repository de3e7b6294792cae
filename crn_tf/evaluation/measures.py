"""From what was seen of a method's pictures to its numbers, each with an interval, or the reason why there is none."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crn_tf.evaluation.confusion import Tallies, segmentation_scores
from crn_tf.evaluation.distributions import fid, half_sample_intervals, kid, precision_recall
from crn_tf.evaluation.intervals import Interval, Resampling, sign_test
from crn_tf.evaluation.judging import Evidence
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.model.loss_weights import TAP_NAMES
from crn_tf.tensors import Floats

Groups = Sequence[NDArray[np.int64]]
# What is compared picture by picture, and whether more of it is better.
COMPARED = {"pixel_accuracy": True, "mean_iou": True, "content_loss": False, "l1": False, "psnr": True, "ssim": True}
_NOT_FINITE = "it is not finite: a picture is equal to its photograph"
_NO_INTERVAL = "there are too few groups of pictures to resample"


class Numbers(dict[str, Any]):
    """A method's numbers as JSON values: each NAME with NAME_interval, and NAME_reason where it is null."""

    def put(self, name: str, value: float | None, ends: Interval | None = None, reason: str = _NOT_FINITE) -> None:
        """Add a number.

        Args:
            name: Its key.
            value: The number; None, NaN or an infinite one becomes null.
            ends: Its 95 % interval; None if there is none.
            reason: Why the number is null, if it is.
        """
        sound = value is not None and math.isfinite(value)
        self[name] = float(value) if sound and value is not None else None
        self[f"{name}_interval"] = list(ends) if sound and ends else None
        if not sound:
            self[f"{name}_reason"] = reason
        elif not ends:
            self[f"{name}_interval_reason"] = _NO_INTERVAL


def measure(
    evidence: Evidence,
    photographs: Evidence,
    classes: Sequence[str],
    groups: Groups,
    force_fid: bool = False,
    seed: int = 0,
) -> Numbers:
    """All numbers of a method.

    Args:
        evidence: What was seen of its pictures.
        photographs: What was seen of the photographs.
        classes: Names, without void.
        groups: Layouts that are resampled together.
        force_fid: Compute the FID of too few pictures too.
        seed: Decides what is drawn at random.
    """
    numbers = Numbers(images_of_each_layout=evidence.method.images, pictures_sha256=evidence.digest)
    resampling = Resampling.draw(groups, seed=seed) if len(groups) > 1 else None
    _segmentation(numbers, evidence, classes, resampling)
    _distribution(numbers, evidence, photographs, groups, force_fid, seed)
    _paired(numbers, evidence, resampling)
    return numbers


def _segmentation(numbers: Numbers, evidence: Evidence, classes: Sequence[str], draws: Resampling | None) -> None:
    """Add scores from the confusion matrix; each resample has one of its own."""
    scores = segmentation_scores(Tallies.of(evidence.confusion))
    resampled = segmentation_scores(Tallies.stack(evidence.tallies).summed(draws.weights)) if draws else None
    for name in ("pixel_accuracy", "class_accuracy", "mean_iou"):
        ends = _of_shares(draws.interval(getattr(resampled, name))) if draws and resampled else None
        numbers.put(name, float(getattr(scores, name)), ends, "every pixel of the layouts is void")
    iou, ends_of_classes = {}, {}
    for number, name in enumerate(classes):
        value = float(scores.iou[number])
        iou[name] = value if math.isfinite(value) else None  # neither in the layouts nor predicted
        ends = None
        if draws and resampled:  # of resamples that have the class
            known = resampled.iou[:, number]
            ends = _of_shares(draws.interval(known[~np.isnan(known)]))
        ends_of_classes[name] = list(ends) if ends else None
    numbers.update(iou=iou, iou_interval=ends_of_classes, confusion_matrix=evidence.confusion.tolist())


def _of_shares(ends: Interval | None) -> Interval | None:
    """An interval of a number that lies within 0..1, which was widened past that."""
    return (max(0.0, ends[0]), min(1.0, ends[1])) if ends else None


def _distribution(
    numbers: Numbers, evidence: Evidence, photographs: Evidence, groups: Groups, force_fid: bool, seed: int
) -> None:
    """Add distances between the features of pictures and of photographs."""
    reference, features = np.stack(photographs.features)[:, 0], np.stack(evidence.features)  # [n, d], [n, k, d]
    flat = features.reshape(-1, features.shape[-1])
    count, depth = reference.shape

    def put(name: str, found: float, ends: list[Interval] | None) -> None:
        numbers.put(name, found, ends[0] if ends else None)

    if count < 2:
        numbers.put("kid", None, reason="it needs two photographs at least")
    else:
        layouts = np.arange(count), np.repeat(np.arange(count), features.shape[1])
        kid_ends = half_sample_intervals(lambda x, y, of: [kid(x, y, of, seed)], reference, features, groups, seed=seed)
        put("kid", kid(reference, flat, layouts, seed), kid_ends)
        numbers["kid_all_pairs"] = kid(reference, flat, seed=seed)  # as clean-fid counts
    if count < 2 or (count <= depth and not force_fid):
        numbers.put("fid", None, reason=too_few_for_fid(count, depth))
    else:
        fid_ends = half_sample_intervals(
            lambda x, y, _: [fid(x, y)], reference, features, groups, repeats=30, seed=seed
        )
        put("fid", fid(reference, flat), fid_ends)
    try:
        values = precision_recall(reference, flat)
        ends = None
        if len(groups) >= 8:  # halves have enough neighbours
            ends = half_sample_intervals(
                lambda x, y, _: precision_recall(x, y), reference, features, groups, repeats=50, seed=seed
            )
        for number, name in enumerate(("precision", "recall")):
            numbers.put(name, values[number], _of_shares(ends[number]) if ends else None)
    except ValueError as error:
        numbers.put("precision", None, reason=str(error))
        numbers.put("recall", None, reason=str(error))


def too_few_for_fid(count: int, depth: int) -> str:
    """Why there is no FID."""
    return (
        f"refused: {count} photographs, but features of {depth} numbers, whose covariance has no full rank below "
        f"{depth + 1}; --force-fid computes it anyway"
    )


def _paired(numbers: Numbers, evidence: Evidence, draws: Resampling | None) -> None:
    """Add means over layouts of comparisons with the photograph: of all images of a layout, and of its best."""

    def put(name: str, of_layouts: Floats, reason: str = _NOT_FINITE) -> None:
        sound = np.isfinite(of_layouts).all()
        ends = draws.interval(draws.means(of_layouts)) if draws and sound else None
        numbers.put(name, float(of_layouts.mean()) if sound else None, ends, reason)

    for name in ("content_loss", "l1", "psnr", "ssim"):
        reason = "pictures are smaller than its window of 11 pixels" if name == "ssim" else _NOT_FINITE
        values = evidence.stacked(name)  # [layouts, k]
        put(name, values.mean(1), reason)
        put(f"{name}_best", values.max(1) if COMPARED[name] else values.min(1), reason)
    put("diversity", evidence.stacked("diversity"), "there is one picture of each layout")
    terms = evidence.stacked("terms").mean(1)  # [layouts, taps]
    numbers["content_loss_terms"] = dict(zip(TAP_NAMES, terms.mean(0).tolist(), strict=True))
    ends = [draws.interval(column) for column in draws.means(terms).T] if draws else [None] * len(TAP_NAMES)
    numbers["content_loss_terms_interval"] = {
        name: list(found) if found else None for name, found in zip(TAP_NAMES, ends, strict=True)
    }


def scores_of_layouts(evidence: Evidence) -> dict[str, Floats]:
    """The measures that each layout's pictures have by themselves, [layouts] each: means over its images."""
    scores = segmentation_scores(Tallies.stack(evidence.tallies))
    paired = {name: evidence.stacked(name).mean(1) for name in ("content_loss", "l1", "psnr", "ssim")}
    return {"pixel_accuracy": scores.pixel_accuracy, "mean_iou": scores.mean_iou, **paired}


def compare_methods(found: Sequence[Evidence], groups: Groups) -> list[dict[str, Any]]:
    """Sign tests of all pairs of methods but the photographs, for each measure, as JSON values."""
    rows = []
    scores = {one.method.name: scores_of_layouts(one) for one in found if one.method.name != PHOTOGRAPHS}
    for first, second in combinations(scores, 2):
        for name, more_is_better in COMPARED.items():
            mine, other = (scores[method][name] * (1 if more_is_better else -1) for method in (first, second))
            if np.isfinite(mine).all() and np.isfinite(other).all():
                result = sign_test(mine, other, groups)
                rows.append({"measure": name, "first": first, "second": second, **vars(result)})
    return rows
