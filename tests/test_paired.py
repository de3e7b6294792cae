"""Comparisons with the photograph, against formulas written down directly."""

import numpy as np
import pytest

from crn_tf.evaluation.paired import compare, content_terms
from crn_tf.evaluation.pictures import Picture, Viewer

WEIGHTS = (1.0, 0.5, 2.0, 1.0, 0.0, 3.0)


@pytest.fixture(scope="module")
def viewer():
    return Viewer("random", "avg")


@pytest.fixture(scope="module")
def pictures(viewer):
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    others = [np.clip(photo + random.normal(0, spread, photo.shape), 0, 255).astype(np.uint8) for spread in (10, 60)]
    return Picture(photo, viewer), [Picture(each, viewer) for each in others]


def direct_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004: windows of 11x11 weighted by a normal distribution of deviation 1.5, one channel each."""
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for top in range(x.shape[0] - 10):
            for left in range(x.shape[1] - 10):
                a, b = (z[top : top + 11, left : left + 11, channel].astype(float) for z in (x, y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * a**2).sum() - mean_a**2, (window * b**2).sum() - mean_b**2
                both = (window * a * b).sum() - mean_a * mean_b
                alike = (2 * mean_a * mean_b + c1) * (2 * both + c2)
                values.append(alike / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


def test_ssim_psnr_and_l1_are_their_formulas(pictures):
    photo, others = pictures
    scores = compare(photo, others, WEIGHTS)
    for number, other in enumerate(others):
        difference = photo.pixels.astype(float) - other.pixels
        assert scores.l1[number] == pytest.approx(np.abs(difference).mean())
        assert scores.psnr[number] == pytest.approx(20 * np.log10(255 / np.sqrt((difference**2).mean())))
        assert scores.ssim[number] == pytest.approx(direct_ssim(photo.pixels, other.pixels), abs=1e-4)


def test_the_content_loss_is_the_weighted_mean_difference_at_each_tap(pictures, viewer):
    photo, others = pictures
    scores = compare(photo, others, WEIGHTS)
    reference = [photo.pixels.astype(float), *(np.asarray(tap[0]) for tap in photo.taps)]
    for number, other in enumerate(others):
        maps = [other.pixels.astype(float), *(np.asarray(tap[0]) for tap in other.taps)]
        expected = [w * np.abs(a - b).mean() for w, a, b in zip(WEIGHTS, reference, maps, strict=True)]
        np.testing.assert_allclose(scores.terms[number], expected, rtol=1e-4)
        assert scores.content_loss[number] == pytest.approx(sum(expected), rel=1e-4)


def test_diversity_is_the_content_loss_between_images(pictures):
    photo, others = pictures
    assert compare(photo, others, WEIGHTS).diversity == pytest.approx(content_terms(*others, WEIGHTS).sum())
    assert np.isnan(compare(photo, others[:1], WEIGHTS).diversity)


def test_a_photograph_is_like_itself(pictures):
    photo, _ = pictures
    scores = compare(photo, [photo], WEIGHTS)
    assert (scores.content_loss[0], scores.l1[0], scores.psnr[0]) == (0, 0, np.inf)
    assert scores.ssim[0] == pytest.approx(1)


def test_pictures_smaller_than_its_window_have_no_ssim(viewer):
    photo = Picture(np.zeros((8, 16, 3), np.uint8), viewer)
    assert np.isnan(compare(photo, [photo], WEIGHTS).ssim).all()
