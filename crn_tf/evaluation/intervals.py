"""How sure a number is: 95 % intervals by resampling pictures, and a paired test between two methods.

Neighbouring frames of a video look alike: as evidence, ten of them are little more than one. So pictures are resampled
in groups of neighbours.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, t

from crn_tf.tensors import Floats

RESAMPLES = 1000
_NEIGHBOURS = 30  # frames: about a second
Interval = tuple[float, float]


def group_neighbours(names: Sequence[str], together: int | None = None) -> list[NDArray[np.int64]]:
    """Which pictures are resampled together.

    Pictures whose names differ only in their last number, by up to 30, count as frames of one video. Each such sequence
    is cut into parts of equal length.

    Args:
        names: Of the pictures.
        together: Frames in a part; None for the root of the sequence's length, rounded up; 1 for pictures that are no
            video.

    Returns:
        Numbers of pictures, each in one group.
    """
    groups = []
    for sequence in _sequences(names):
        length = together or math.ceil(math.sqrt(len(sequence)))
        groups += np.array_split(np.array(sequence), math.ceil(len(sequence) / length))
    return groups


def _sequences(names: Sequence[str]) -> list[list[int]]:
    """Numbers of names that follow each other, each sequence in its order."""
    keyed = []
    for number, name in enumerate(names):
        match = re.fullmatch(r"(.*?)(\d{1,15})(\D*)", name)
        keyed.append((match[1], match[3], int(match[2]), number) if match else (name, "", 0, number))
    keyed.sort()
    sequences = [[keyed[0][-1]]] if keyed else []
    for before, after in pairwise(keyed):
        if before[:2] == after[:2] and after[2] - before[2] <= _NEIGHBOURS:
            sequences[-1].append(after[-1])
        else:
            sequences.append([after[-1]])
    return sequences


@dataclass(frozen=True)
class Resampling:
    """Bootstrap resamples of pictures.

    Attributes:
        weights: How many times each resample has each picture, [resamples, pictures].
        groups: How many groups there were to draw from.
    """

    weights: NDArray[np.int64]
    groups: int

    @classmethod
    def draw(cls, groups: Sequence[NDArray[np.int64]], resamples: int = RESAMPLES, seed: int = 0) -> "Resampling":
        """Draw as many groups as there are, with replacement, again and again.

        Args:
            groups: Numbers of the pictures in each.
            resamples: How often.
            seed: Decides the draws.
        """
        random = np.random.default_rng(seed)
        weights = np.zeros((resamples, sum(map(len, groups))), np.int64)
        drawn = random.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), resamples)
        for times, group in zip(drawn.T, groups, strict=True):
            weights[:, group] = times[:, None]
        return cls(weights, len(groups))

    def means(self, values: Floats) -> Floats:
        """Means over pictures: [pictures, ...] -> [resamples, ...]."""
        total = np.tensordot(self.weights, values, 1)
        return total / self.weights.sum(1).reshape(-1, *[1] * (total.ndim - 1))

    def interval(self, resampled: Floats) -> Interval | None:
        """The 95 % interval of a number.

        The middle 95 % of its resamples, widened for few groups (see `widening`).

        Args:
            resampled: The number of each resample.

        Returns:
            Lower and upper end; None if there are no numbers, or one is not finite.
        """
        if not resampled.size or not np.isfinite(resampled).all() or self.groups < 2:
            return None
        centre = resampled.mean()
        # A bootstrap sees the deviations from the sample's own mean, which are too small.
        wider = widening(self.groups) * math.sqrt(self.groups / (self.groups - 1))
        low, high = centre + (np.quantile(resampled, (0.025, 0.975)) - centre) * wider
        return float(low), float(high)


def widening(groups: int) -> float:
    """How much wider an interval has to be than a normal distribution's, if it comes from few groups: Student's t."""
    return float(t.ppf(0.975, groups - 1) / norm.ppf(0.975))


@dataclass(frozen=True)
class Comparison:
    """Two methods compared picture by picture.

    Attributes:
        better: Pictures on which the first method is better.
        worse: Pictures on which the second is.
        pictures: All of them.
        p_value: Of the sign test over groups of neighbours: how likely so uneven a result is if neither is better.
    """

    better: int
    worse: int
    pictures: int
    p_value: float


def sign_test(first: Floats, second: Floats, groups: Sequence[NDArray[np.int64]]) -> Comparison:
    """Compare the scores of two methods on the same pictures, the higher the better. Ties count for neither.

    Args:
        first: Scores [pictures].
        second: Scores of the other method [pictures].
        groups: Pictures that are no evidence of their own, but together: each group has one vote in the test.
    """
    votes = np.sign([np.sum(np.sign(first[group] - second[group])) for group in groups])
    won, lost = int((votes > 0).sum()), int((votes < 0).sum())
    p_value = binomtest(won, won + lost).pvalue if won + lost else 1.0
    return Comparison(int((first > second).sum()), int((first < second).sum()), len(first), float(p_value))
