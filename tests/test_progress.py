"""How long a run will take: told once, from the steps after the first."""

import pytest

from crn_tf.training import progress
from crn_tf.training.progress import Forecast, duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (14.25 * 595_000, "98 days"),
        (3 * 86400, "3.0 days"),
        (7200, "2.0 hours"),
        (150, "2.5 minutes"),
        (119, "119 seconds"),
    ],
)
def test_a_time_is_told_in_the_unit_that_a_person_would_choose(seconds, told):
    assert duration(seconds) == told


@pytest.fixture
def steps(monkeypatch):
    """Takes steps of so many seconds each: -> what was told after each of them, and how often it was waited."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def take(forecast: Forecast, *seconds: float) -> tuple[list[str | None], int]:
        told, waited = [], []
        for step in seconds:
            now[0] += step
            told.append(forecast.after_step(lambda: waited.append(True)))
        return told, len(waited)

    return take


def test_slow_steps_are_told_of_after_seconds_without_the_first(steps):
    told, waited = steps(Forecast(595_000), 40.0, 14.25, 14.25, 14.25)
    assert told == [None, "595,000 steps: about 98 days, at 14 s a step (validation comes on top)", None, None]
    assert waited == 2


def test_fast_steps_are_told_of_when_there_were_enough(steps):
    told, _ = steps(Forecast(1000), 5.0, *[0.3] * 12)
    assert [line for line in told if line] == [
        "1,000 steps: about 5.0 minutes, at 0.3 s a step (validation comes on top)"
    ]
    assert told[10]
