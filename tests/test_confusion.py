"""The confusion matrix against scikit-learn's, and scores against their definitions."""

import numpy as np
import pytest
from sklearn import metrics

from crn_tf.evaluation.confusion import Tallies, confusion_matrix, segmentation_scores

CLASSES, VOID = 5, 5


@pytest.fixture
def layouts():
    """What is there, and what a segmenter took it for; class 3 is nowhere."""
    random = np.random.default_rng(0)
    layout = random.choice([0, 1, 2, 4, VOID], (3, 16, 24)).astype(np.uint8)
    predicted = np.where(random.random(layout.shape) < 0.6, layout, random.choice([0, 1, 2, 4], layout.shape))
    return layout, np.minimum(predicted, CLASSES - 1).astype(np.uint8)


def test_it_is_that_of_scikit_learn_without_void(layouts):
    layout, predicted = layouts
    known = layout != VOID
    expected = metrics.confusion_matrix(layout[known], predicted[known], labels=range(CLASSES))
    np.testing.assert_array_equal(confusion_matrix(layout, predicted, CLASSES), expected)


def test_scores_are_those_of_scikit_learn(layouts):
    layout, predicted = layouts
    known = layout != VOID
    truth, found = layout[known], predicted[known]
    scores = segmentation_scores(Tallies.of(confusion_matrix(layout, predicted, CLASSES)))
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth, found))
    assert scores.class_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, found))
    present = [0, 1, 2, 4]
    iou = metrics.jaccard_score(truth, found, labels=present, average=None)
    np.testing.assert_allclose(scores.iou[present], iou)
    assert np.isnan(scores.iou[3])  # neither there nor predicted: it has no say in the mean
    assert scores.mean_iou == pytest.approx(iou.mean())


def test_a_class_that_is_only_predicted_counts_as_missed():
    layout, predicted = np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])
    scores = segmentation_scores(Tallies.of(confusion_matrix(layout, predicted, 2)))
    assert (scores.mean_iou, scores.class_accuracy) == (0.375, 0.75)


def test_summed_tallies_are_those_of_the_summed_matrices(layouts):
    matrices = np.stack([confusion_matrix(*pair, CLASSES) for pair in zip(*layouts, strict=True)])
    weights = np.array([[1, 1, 1], [2, 0, 1]])
    summed = Tallies.stack([Tallies.of(matrix) for matrix in matrices]).summed(weights)
    for row, times in enumerate(weights):
        expected = segmentation_scores(Tallies.of(np.tensordot(times, matrices, 1)))
        assert segmentation_scores(summed).mean_iou[row] == pytest.approx(expected.mean_iou)


def test_nothing_but_void_has_no_score():
    scores = segmentation_scores(Tallies.of(confusion_matrix(np.full(4, 2), np.zeros(4, int), 2)))
    assert np.isnan([scores.pixel_accuracy, scores.class_accuracy, scores.mean_iou]).all()
