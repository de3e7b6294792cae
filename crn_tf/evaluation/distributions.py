"""Distances between sets of pictures, from features of each: KID, FID, precision and recall.

What features mean is the matter of the network that computed them; numbers of different networks do not compare.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from crn_tf.evaluation.intervals import widening
from crn_tf.tensors import Floats

KID_SUBSET = 1000  # pictures, at most, and how many such subsets: as KID's authors
KID_SUBSETS = 100
NEIGHBOURS = 3  # of precision and recall, as their authors
_LEAST = 4  # pictures, so that halves have two

Layouts = NDArray[np.int64]
Distances = Callable[[Floats, Floats, tuple[Layouts, Layouts]], Sequence[float]]


def kid(reference: Floats, features: Floats, layouts: tuple[Layouts, Layouts] | None = None, seed: int = 0) -> float:
    """Kernel inception distance: the unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³.

    It is about zero, also a little below, for pictures of the same kind. Of more than `KID_SUBSET` pictures, the mean
    over `KID_SUBSETS` random subsets.

    It is unbiased only if pairs of pictures are independent, which a picture and the photograph of the same layout are
    not: with such pairs, photographs against themselves would come out below zero. So they can be left out.

    Args:
        reference: Features of the photographs [n, d].
        features: Features of the pictures [m, d].
        layouts: The numbers of the photographs' and of the pictures' layouts [n], [m]: pairs of one layout are left
            out. None counts all pairs, but for a picture with itself, as KID's authors and clean-fid do.
        seed: Decides the subsets.

    Raises:
        ValueError: There are less than two of either.
    """
    if min(len(reference), len(features)) < 2:
        raise ValueError("KID needs two photographs and two pictures at least")
    ids = layouts or (np.arange(len(reference)), np.arange(len(features)) + len(reference))
    if max(len(reference), len(features)) <= KID_SUBSET:
        return _discrepancy(reference, features, *ids)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(KID_SUBSETS):
        x, y = (random.choice(len(of), min(len(of), KID_SUBSET), replace=False) for of in (reference, features))
        found.append(_discrepancy(reference[x], features[y], ids[0][x], ids[1][y]))
    return float(np.mean(found))


def _discrepancy(x: Floats, y: Floats, of_x: Layouts, of_y: Layouts) -> float:
    """The mean kernel of pairs within [n, d], within [m, d] and across, of pairs whose layouts differ."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def mean_kernel(a: Floats, b: Floats, of_a: Layouts, of_b: Layouts) -> float:
        others = of_a[:, None] != of_b
        return float(((a @ b.T / a.shape[1] + 1) ** 3).mean(where=others)) if others.any() else float("nan")

    return mean_kernel(x, x, of_x, of_x) + mean_kernel(y, y, of_y, of_y) - 2 * mean_kernel(x, y, of_x, of_y)


def fid(reference: Floats, features: Floats) -> float:
    """Fréchet distance between the two normal distributions that have the features' means and covariances.

    tr((S T)^½) is the sum of the singular values of A Bᵀ where S = Aᵀ A and T = Bᵀ B: no root of a matrix that has no
    full rank.

    Args:
        reference: Features of the photographs [n, d].
        features: Features of the pictures [m, d].
    """
    x, y = reference.astype(np.float64), features.astype(np.float64)
    a, b = _factor(x), _factor(y)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    between = np.sum((x.mean(0) - y.mean(0)) ** 2)
    return float(max(0.0, between + np.sum(a**2) + np.sum(b**2) - 2 * root))


def _factor(x: Floats) -> Floats:
    """A with Aᵀ A the covariance of [n, d], and at most d rows."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(x) > x.shape[1] else centred


def precision_recall(reference: Floats, features: Floats, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision: the share of the pictures that lie among the photographs; recall: that of the photographs that lie
    among the pictures (Kynkäänniemi et al. 2019).

    "Among" is within the distance of any of them to its third nearest neighbour.

    Args:
        reference: Features of the photographs [n, d].
        features: Features of the pictures [m, d].
        neighbours: Which neighbour's distance.

    Raises:
        ValueError: One of the two has not more pictures than `neighbours`.
    """
    if min(len(reference), len(features)) <= neighbours:
        raise ValueError(f"precision and recall need more than {neighbours} photographs and pictures")
    across = cdist(reference, features)
    of_reference, of_features = (np.partition(cdist(x, x), neighbours, 1)[:, neighbours] for x in (reference, features))
    precision = (across <= of_reference[:, None]).any(0).mean()
    recall = (across <= of_features[None]).any(1).mean()
    return float(precision), float(recall)


def half_sample_intervals(
    distances: Distances,
    reference: Floats,
    features: Floats,
    groups: Sequence[NDArray[np.int64]],
    repeats: int = 100,
    seed: int = 0,
) -> list[tuple[float, float]] | None:
    """95 % intervals of distances between two sets, from random halves of both.

    Halves, without replacement, since duplicates would bias what looks at pairs. Halves of the pictures differ from
    each other about as much as sets like the whole do (the delete-half jackknife). Bias that depends on the number of
    pictures is not theirs to show, so the halves' mean is moved to the whole's distance. Few groups widen it (see
    `widening`).

    Args:
        distances: From features [n, d] and [m, d], and the numbers of their layouts, to one or several distances.
        reference: Features of the photographs [layouts, d].
        features: Features of the pictures of each layout [layouts, k, d].
        groups: Numbers of layouts that are drawn together.
        repeats: Number of halves.
        seed: Decides them.

    Returns:
        Lower and upper end for each distance; None if there are less than four groups.
    """
    if len(groups) < _LEAST:
        return None
    random = np.random.default_rng(seed)

    def measured(of_reference: Layouts, of_features: Layouts) -> Sequence[float]:
        flat, count = features[of_features].reshape(-1, features.shape[-1]), features.shape[1]
        return distances(reference[of_reference], flat, (of_reference, np.repeat(of_features, count)))

    def half() -> Layouts:
        chosen = random.permutation(len(groups))[: len(groups) // 2]
        return np.concatenate([groups[number] for number in chosen])

    everything = np.arange(len(reference))
    whole = np.asarray(measured(everything, everything))
    found = np.array([measured(half(), half()) for _ in range(repeats)])
    ends = np.quantile(found - found.mean(0), (0.025, 0.975), axis=0) * widening(len(groups)) + whole
    return [(float(low), float(high)) for low, high in ends.T]
