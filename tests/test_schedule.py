"""The learning rate of each step."""

import keras
import pytest

from crn_tf.errors import UsageError
from crn_tf.training.flags import TrainFlags
from crn_tf.training.schedule import LearningRate


def rate(steps: int, **flags) -> LearningRate:
    """The learning rate of a run that flags ask for."""
    return LearningRate.of(TrainFlags.of(dataset="toy", vgg_weights="random", **flags).resolved(), steps)


def test_the_releases_rate_is_the_same_in_every_step():
    subject = rate(1000)
    assert not subject.changes and str(subject) == "0.0001"
    assert {subject.at(step) for step in (0, 1, 999, 1000, 5000)} == {1e-4}


def test_a_cosine_falls_from_the_rate_that_was_asked_for_to_0_after_the_last_step():
    subject = rate(1000, lr=2e-3, lr_schedule="cosine", lr_warmup=0)
    assert subject.changes and subject.at(0) == 2e-3 and subject.at(500) == pytest.approx(1e-3)
    rates = [subject.at(step) for step in range(1000)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 1e-8 and subject.at(1000) == subject.at(1500) == 0


def test_after_the_warm_up_it_is_keras_cosine():
    subject = rate(300, lr=1e-3, lr_schedule="cosine", lr_warmup=40)
    expected = keras.optimizers.schedules.CosineDecay(0.0, 260, warmup_target=1e-3, warmup_steps=40)
    for step in (40, 41, 100, 170, 299, 300, 310):
        assert subject.at(step) == pytest.approx(float(expected(step)), rel=1e-4, abs=1e-10)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_is_linear_and_its_last_step_has_the_highest_rate(schedule):
    subject = rate(1000, lr=8e-4, lr_schedule=schedule, lr_warmup=4)
    assert [subject.at(step) for step in range(5)] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 8e-4])
    assert subject.changes and "after 4 steps of warm-up" in str(subject)


@pytest.mark.parametrize(
    ("schedule", "steps", "warmup"),
    [("cosine", 1000, 20), ("cosine", 600_000, 500), ("cosine", 10, 0), ("constant", 1000, 0)],
)
def test_a_cosine_has_a_short_warm_up_if_none_is_given(schedule, steps, warmup):
    assert rate(steps, lr_schedule=schedule).warmup == warmup


def test_a_warm_up_that_does_not_end_is_refused():
    rate(31, lr_warmup=30).check()
    with pytest.raises(UsageError, match=r"^--lr-warmup 30 is not less than the 30 steps of the run: choose fewer$"):
        rate(30, lr_warmup=30).check()


def test_a_run_that_goes_on_with_another_rate_says_so():
    before, longer = (rate(steps, lr=1e-3, lr_schedule="cosine", lr_warmup=0) for steps in (100, 200))
    assert before.change(40, was=before.at(39)) is None
    assert longer.change(100, was=before.at(99)) == (
        "the learning rate goes on with 0.0005 after 2.47e-07: its length, --lr or --lr-schedule is another now"
    )
    assert rate(100, lr=1e-3).change(40, was=1e-4)
