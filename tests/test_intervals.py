"""Intervals: their coverage on known distributions, and which pictures are resampled together."""

import numpy as np
import pytest
from scipy.stats import binomtest

from crn_tf.evaluation.intervals import Resampling, group_neighbours, sign_test, widening


def each(count: int) -> list[np.ndarray]:
    return [np.array([number]) for number in range(count)]


def coverage(draw, groups, runs: int = 300) -> float:
    """The share of runs whose interval of the mean has zero in it."""
    covered = 0
    for run in range(runs):
        resampling = Resampling.draw(groups, 400, seed=run)
        low, high = resampling.interval(resampling.means(draw(run)))
        covered += low < 0 < high
    return covered / runs


def test_the_bootstrap_covers_the_mean_of_independent_pictures():
    assert 0.91 < coverage(lambda run: np.random.default_rng(run).standard_normal(60), each(60)) < 0.98


def test_it_covers_the_mean_of_a_few_pictures_too():
    assert coverage(lambda run: np.random.default_rng(run).standard_normal(6), each(6), 600) > 0.9
    assert widening(6) == pytest.approx(2.5706 / 1.95996, rel=1e-4)  # Student's t with five degrees of freedom


def video(run: int, frames: int = 200, memory: float = 0.9) -> np.ndarray:
    """Scores of frames that remember those before them; the true mean is zero."""
    random = np.random.default_rng(run)
    scores = [random.standard_normal() / np.sqrt(1 - memory**2)]
    for _ in range(frames - 1):
        scores.append(memory * scores[-1] + random.standard_normal())
    return np.array(scores)


def test_resampling_neighbours_together_covers_the_mean_of_a_video_far_better_than_frames():
    names = [f"video_{frame:04d}" for frame in range(200)]
    alone = coverage(video, each(200))
    together = coverage(video, group_neighbours(names, 25))
    assert alone < 0.5  # frames are no evidence of their own
    assert together > 0.8  # eight groups only: a little short of 0.95


def test_frames_of_a_video_are_cut_into_parts_and_others_stay_alone():
    names = ["a_0001", "b", "a_0003", "a_0002", "a_0500", "c_7", "a_0004"]
    groups = [sorted(names[number] for number in group) for group in group_neighbours(names, together=2)]
    assert sorted(groups) == [["a_0001", "a_0002"], ["a_0003", "a_0004"], ["a_0500"], ["b"], ["c_7"]]


def test_parts_are_as_long_as_the_root_of_the_sequence_and_have_every_picture_once():
    groups = group_neighbours([f"f{2 * number}" for number in range(101)])
    assert sorted(np.concatenate(groups)) == list(range(101))
    assert len(groups) == 10 and {len(group) for group in groups} == {10, 11}


def test_city_frames_that_are_far_apart_are_each_evidence():
    names = ["frankfurt_000000_000294", "frankfurt_000000_000576", "frankfurt_000001_000538", "lindau_000000_000019"]
    assert len(group_neighbours(names)) == 4


def test_means_of_resamples_weight_pictures_as_they_were_drawn():
    resampling = Resampling.draw(each(5), 50)
    values = np.arange(10.0).reshape(5, 2)
    expected = [np.repeat(values, times, axis=0).mean(0) for times in resampling.weights]
    np.testing.assert_allclose(resampling.means(values), expected)
    assert (resampling.weights.sum(1) == 5).all()


def test_no_number_has_no_interval():
    resampling = Resampling.draw(each(5), 50)
    assert resampling.interval(np.array([])) is None
    assert resampling.interval(np.array([1.0, np.nan])) is None
    assert Resampling.draw(each(1), 50).interval(np.ones(50)) is None


def test_the_sign_test_is_the_binomial_one():
    first = np.array([1.0, 2, 3, 4, 5, 6, 7, 0, 9, 5])
    second = np.array([0.0, 1, 2, 3, 4, 5, 6, 9, 8, 5])
    found = sign_test(first, second, each(10))
    assert (found.better, found.worse, found.pictures) == (8, 1, 10)
    assert found.p_value == pytest.approx(binomtest(8, 9).pvalue)


def test_neighbours_have_one_vote_together():
    first, second = np.ones(40), np.zeros(40)
    found = sign_test(first, second, np.array_split(np.arange(40), 4))
    assert (found.better, found.p_value) == (40, pytest.approx(binomtest(4, 4).pvalue))


def test_equal_methods_are_no_evidence():
    assert sign_test(np.ones(5), np.ones(5), each(5)).p_value == 1
