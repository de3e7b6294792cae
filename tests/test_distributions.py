"""KID against a direct double sum, FID against closed forms, precision and recall against loops."""

import itertools

import numpy as np
import pytest
import scipy.linalg

from crn_tf.evaluation.distributions import fid, half_sample_intervals, kid, precision_recall


def gaussian(count: int, mean: np.ndarray, covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Features whose own mean and covariance are exactly those."""
    x = np.random.default_rng(seed).standard_normal((count, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def some_covariance(seed: int, size: int = 4) -> np.ndarray:
    factor = np.random.default_rng(seed).standard_normal((size, size))
    return factor @ factor.T + 0.1 * np.eye(size)


def test_fid_of_two_gaussians_with_independent_features_is_the_closed_form():
    variances, others = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    x = gaussian(50, np.zeros(3), np.diag(variances))
    y = gaussian(80, np.array([1.0, 2.0, 0.0]), np.diag(others), seed=1)
    assert fid(x, y) == pytest.approx(5 + np.sum((np.sqrt(variances) - np.sqrt(others)) ** 2))


@pytest.mark.parametrize("counts", [(40, 30), (5, 40)])  # the second has more features than differences
def test_fid_of_any_two_gaussians_is_that_of_the_matrix_root(counts):
    first, second = some_covariance(0), some_covariance(1)
    x, y = gaussian(counts[0], np.ones(4), first), gaussian(counts[1], np.zeros(4), second, seed=1)
    root = scipy.linalg.sqrtm(first @ second).real
    assert fid(x, y) == pytest.approx(4 + np.trace(first + second - 2 * root), rel=1e-6)


def test_fid_of_fewer_pictures_than_features_is_that_of_the_covariances():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((5, 9)), random.standard_normal((6, 9)) + 1
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b) - 2 * roots
    assert fid(x, y) == pytest.approx(expected, rel=1e-5)
    assert fid(x, x) == pytest.approx(0, abs=1e-6)


def direct_kid(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    return within_x + within_y - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kid_is_the_direct_double_sum():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((7, 5)), random.standard_normal((9, 5)) + 0.5
    assert kid(x, y) == pytest.approx(direct_kid(x, y))


def test_pairs_of_one_layout_are_left_out():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 5)), random.standard_normal((12, 5))
    of_x, of_y = np.arange(6), np.repeat(np.arange(6), 2)

    def mean_kernel(a, b, of_a, of_b):
        pairs = itertools.product(range(len(a)), range(len(b)))
        return np.mean([(a[i] @ b[j] / 5 + 1) ** 3 for i, j in pairs if of_a[i] != of_b[j]])

    expected = mean_kernel(x, x, of_x, of_x) + mean_kernel(y, y, of_y, of_y) - 2 * mean_kernel(x, y, of_x, of_y)
    assert kid(x, y, (of_x, of_y)) == pytest.approx(expected)


def test_kid_is_unbiased_for_pictures_that_resemble_the_photographs_of_their_layouts():
    """Of the same distribution, but each like its photograph: all pairs would tell a distance below zero."""
    random = np.random.default_rng(0)
    layouts = np.arange(40), np.arange(40)
    without, all_pairs = [], []
    for _ in range(200):
        shared, x, y = random.standard_normal((3, 40, 8))
        photos, pictures = shared + x, shared + y
        without.append(kid(photos, pictures, layouts))
        all_pairs.append(kid(photos, pictures))
    assert abs(np.mean(without)) < 3 * np.std(without) / np.sqrt(200)
    assert np.mean(all_pairs) < -3 * np.std(all_pairs) / np.sqrt(200)


def test_kid_of_many_pictures_is_a_mean_over_subsets_near_the_whole(monkeypatch):
    random = np.random.default_rng(0)
    x, y = random.standard_normal((300, 5)), random.standard_normal((300, 5)) + 0.5
    whole = kid(x, y)
    monkeypatch.setattr("crn_tf.evaluation.distributions.KID_SUBSET", 100)
    assert kid(x, y, seed=1) == pytest.approx(whole, rel=0.1)
    assert kid(x, y, seed=1) != whole


def test_kid_of_the_same_kind_is_around_zero_and_of_others_is_not():
    random = np.random.default_rng(0)
    same = [kid(*random.standard_normal((2, 50, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert min(same) < 0 < kid(random.standard_normal((50, 8)), random.standard_normal((50, 8)) + 1)


def test_photographs_against_themselves_have_a_kid_of_zero_within_its_interval():
    x = np.random.default_rng(0).standard_normal((60, 16))
    groups, layouts = [np.array([number]) for number in range(60)], (np.arange(60), np.arange(60))
    ((low, high),) = half_sample_intervals(lambda a, b, of: [kid(a, b, of)], x, x[:, None], groups)
    assert low < 0 < high
    assert kid(x, x, layouts) == pytest.approx(0, abs=1e-12)


def test_half_sample_intervals_cover_the_distance_between_the_distributions():
    """Of 60 intervals, 57 are to have it; 51 and less has a probability below one per cent."""
    random = np.random.default_rng(0)
    count, depth, shift = 80, 4, 0.4
    truth = kid(random.standard_normal((900, depth)), random.standard_normal((900, depth)) + shift)
    covered, widths = 0, []
    groups = [np.array([number]) for number in range(count)]
    for run in range(60):
        x, y = random.standard_normal((count, depth)), random.standard_normal((count, 1, depth)) + shift
        ((low, high),) = half_sample_intervals(lambda a, b, of: [kid(a, b)], x, y, groups, 60, seed=run)
        covered += low < truth < high
        widths.append(high - low)
    assert 51 <= covered <= 60
    assert np.mean(widths) < 4 * truth


def test_too_few_groups_have_no_interval():
    x = np.zeros((6, 2))
    assert half_sample_intervals(lambda a, b, of: [0.0], x, x[:, None], [np.array([0, 1]), np.array([2, 3])]) is None


def test_precision_and_recall_are_those_of_loops():
    random = np.random.default_rng(0)
    photos, pictures = random.standard_normal((12, 3)), 0.5 * random.standard_normal((10, 3)) + 0.3

    def among(points, others):
        radii = [sorted(np.linalg.norm(other - others, axis=1))[3] for other in others]
        inside = [
            any(np.linalg.norm(point - other) <= radius for other, radius in zip(others, radii, strict=True))
            for point in points
        ]
        return np.mean(inside)

    precision, recall = precision_recall(photos, pictures)
    assert (precision, recall) == (pytest.approx(among(pictures, photos)), pytest.approx(among(photos, pictures)))
    assert precision > recall  # narrow, and in the middle


@pytest.mark.parametrize("compute", [kid, precision_recall])
def test_too_few_pictures_are_refused(compute):
    with pytest.raises(ValueError, match="need"):
        compute(np.zeros((1, 2)), np.zeros((1, 2)))
