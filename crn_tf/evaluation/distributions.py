"""Distances between sets of pictures, from features of each: KID, FID, precision and recall.

What features mean is the matter of the network that computed them; numbers of different networks do not compare.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from crn_tf.tensors import Floats

KID_SUBSET = 1000  # pictures, at most, and how many such subsets: as KID's authors
KID_SUBSETS = 100
NEIGHBOURS = 3  # of precision and recall, as their authors
_LEAST = 4  # pictures, so that halves have two

Distance = Callable[[Floats, Floats], float]


def kid(reference: Floats, features: Floats, seed: int = 0) -> float:
    """Kernel inception distance: the unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³.

    It is about zero, also a little below, for pictures of the same kind. Of more than `KID_SUBSET` pictures, the mean
    over `KID_SUBSETS` random subsets.

    Args:
        reference: Features of the photographs [n, d].
        features: Features of the pictures [m, d].
        seed: Decides the subsets.

    Raises:
        ValueError: There are less than two of either.
    """
    if min(len(reference), len(features)) < 2:
        raise ValueError("KID needs two photographs and two pictures at least")
    if max(len(reference), len(features)) <= KID_SUBSET:
        return _discrepancy(reference, features)
    random = np.random.default_rng(seed)

    def some(of: Floats) -> Floats:
        return of[random.choice(len(of), min(len(of), KID_SUBSET), replace=False)]

    return float(np.mean([_discrepancy(some(reference), some(features)) for _ in range(KID_SUBSETS)]))


def _discrepancy(x: Floats, y: Floats) -> float:
    """The unbiased estimate from all pairs of [n, d] and [m, d]."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    within_x, within_y, across = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    same_x = (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    same_y = (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(same_x + same_y - 2 * across.mean())


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
    distance: Callable[[Floats, Floats], Sequence[float]],
    reference: Floats,
    features: Floats,
    groups: Sequence[NDArray[np.int64]],
    repeats: int = 100,
    seed: int = 0,
) -> list[tuple[float, float]] | None:
    """95 % intervals of distances between two sets, from random halves of both.

    Halves, without replacement, since duplicates would bias what looks at pairs. Halves of the pictures differ from
    each other about as much as sets like the whole do (the delete-half jackknife). Bias that depends on the number of
    pictures is not theirs to show, so the halves' mean is moved to the whole's distance.

    Args:
        distance: From features [n, d] and [m, d] to one or several distances.
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

    def half() -> NDArray[Any]:
        chosen = random.permutation(len(groups))[: len(groups) // 2]
        return np.concatenate([groups[number] for number in chosen])

    flat = features.shape[-1]
    found = np.array([distance(reference[half()], features[half()].reshape(-1, flat)) for _ in range(repeats)])
    whole = np.asarray(distance(reference, features.reshape(-1, flat)))
    ends = np.quantile(found - found.mean(0), (0.025, 0.975), axis=0) + whole
    return [(float(low), float(high)) for low, high in ends.T]
