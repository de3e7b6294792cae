"""The segmentation score: how many pixels of each class a segmenter takes for which, and what is computed from that.

All scores come from one confusion matrix, the sum over pictures; void is left out. Only three numbers for each class
are needed of it (see `Tallies`), so those are kept for every picture, to resample pictures with.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crn_tf.tensors import Floats, Layout

Counts = NDArray[np.int64]


def confusion_matrix(layout: Layout, predicted: Layout, num_classes: int) -> Counts:
    """Count pixels by what they are and what they were taken for.

    Args:
        layout: Class ids [...]; pixels of `num_classes` and above (void) are left out.
        predicted: Class ids of the same shape, below `num_classes`.
        num_classes: Classes without void.

    Returns:
        [num_classes, num_classes]: rows are the layout's classes, columns the predicted ones.
    """
    known = layout < num_classes
    pairs = layout[known].astype(np.int64) * num_classes + predicted[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Tallies:
    """What scores need of confusion matrices: pixels for each class, [..., classes] each.

    Attributes:
        hits: Pixels of the class that were taken for it: the diagonal.
        actual: Pixels of the class: the row's sum.
        predicted: Pixels taken for it: the column's sum.
    """

    hits: Floats | Counts
    actual: Floats | Counts
    predicted: Floats | Counts

    @classmethod
    def of(cls, matrices: Counts) -> "Tallies":
        """Those of confusion matrices [..., classes, classes]."""
        return cls(np.diagonal(matrices, axis1=-2, axis2=-1), matrices.sum(-1), matrices.sum(-2))

    @classmethod
    def stack(cls, each: "list[Tallies]") -> "Tallies":
        """Those of several pictures, [pictures, classes]."""
        return cls(*(np.stack([getattr(one, name) for one in each]) for name in ("hits", "actual", "predicted")))

    def summed(self, weights: NDArray[np.int64]) -> "Tallies":
        """Sums over pictures, each counted so many times: [resamples, pictures] -> [resamples, classes]."""
        return Tallies(weights @ self.hits, weights @ self.actual, weights @ self.predicted)


@dataclass(frozen=True)
class SegmentationScores:
    """Scores, 0..1; NaN where there is nothing to divide by.

    Attributes:
        pixel_accuracy: Share of the pixels that were taken for what they are, [...].
        class_accuracy: The same share of each class, the mean over classes that occur in the layouts, [...].
        mean_iou: The mean of `iou` over classes that occur in the layouts or were predicted, [...].
        iou: Intersection over union of each class, [..., classes].
    """

    pixel_accuracy: Floats
    class_accuracy: Floats
    mean_iou: Floats
    iou: Floats


def segmentation_scores(tallies: Tallies) -> SegmentationScores:
    """Scores from the summed confusion matrix of any number of pictures."""
    accuracy = _share(tallies.hits, tallies.actual)
    iou = _share(tallies.hits, tallies.actual + tallies.predicted - tallies.hits)
    pixels = _share(np.sum(tallies.hits, -1), np.sum(tallies.actual, -1))
    return SegmentationScores(pixels, _mean(accuracy), _mean(iou), iou)


def _share(part: Floats | Counts, whole: Floats | Counts) -> Floats:
    """part / whole, NaN where the whole is zero."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean(values: Floats) -> Floats:
    """The mean over the last axis of what is not NaN; NaN if nothing is."""
    known = ~np.isnan(values)
    return _share(np.where(known, values, 0).sum(-1), known.sum(-1))
