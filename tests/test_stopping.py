"""When runs stop, and how workers come to stop after the same step, with few collective operations."""

import pytest

from crn_tf.training.distribution import Distribution
from crn_tf.training.interruptions import StopRequest
from crn_tf.training.stopping import AGREE_EVERY, StopAgreement


class Workers:
    """Two workers of which the other one wants to stop from a certain time on, and the time."""

    shard = (0, 2)

    def __init__(self, others_stop: float = float("inf")):
        self.now, self.others_stop, self.times = 0.0, others_stop, []

    def sums(self, stop: float, seconds: float) -> list[float]:
        self.times.append(self.now)
        return [stop + (self.now >= self.others_stop), 2 * seconds]

    def train(self, agreement: StopAgreement, step_seconds, steps: int) -> int:
        """Take steps of some seconds each. Returns the one it stopped after, or the last."""
        for step in range(1, steps + 1):
            self.now += step_seconds(step)
            if agreement.stops(step):
                return step
        return steps


def longest_pause(times: list[float]) -> float:
    return max(b - a for a, b in zip([0.0, *times], times, strict=False))


def test_one_process_stops_after_the_step_it_is_asked_in():
    request = StopRequest()
    agreement = StopAgreement(Distribution(), request, 0)
    assert not agreement.stops(1)
    request.stop = True
    assert agreement.stops(2)


@pytest.mark.parametrize(("seconds", "most"), [(0.001, 30), (0.02, 30), (1.0, 150)])
def test_workers_agree_every_few_seconds_and_not_at_every_step(seconds, most):
    workers = Workers()
    agreement = StopAgreement(workers, StopRequest(), 0, lambda: workers.now)
    assert workers.train(agreement, lambda step: seconds, round(60 / seconds) * 2) == round(60 / seconds) * 2
    assert longest_pause(workers.times) <= AGREE_EVERY
    assert len(workers.times) < most * 120 / 60


def test_workers_agree_at_every_step_if_steps_are_long():
    workers = Workers()
    workers.train(StopAgreement(workers, StopRequest(), 0, lambda: workers.now), lambda step: 30.0, 8)
    assert workers.times == [30.0 * step for step in range(1, 9)]


def test_a_long_first_step_and_slower_ones_later_change_little():
    workers = Workers()
    agreement = StopAgreement(workers, StopRequest(), 0, lambda: workers.now)
    workers.train(agreement, lambda step: 40.0 if step == 1 else 0.1 if step < 600 else 0.18, 1200)
    assert longest_pause([time - 40.0 for time in workers.times]) <= AGREE_EVERY
    assert len(workers.times) < 120


def test_all_stop_soon_after_another_worker_was_asked_to():
    workers = Workers(others_stop=20.0)
    agreement = StopAgreement(workers, StopRequest(), 0, lambda: workers.now)
    stopped = workers.train(agreement, lambda step: 0.05, 10_000)
    assert 20.0 <= stopped * 0.05 <= 20.0 + AGREE_EVERY


def test_at_the_end_of_an_epoch_workers_agree_at_once():
    workers = Workers(others_stop=0.0)
    agreement = StopAgreement(workers, StopRequest(), 7, lambda: workers.now)
    assert agreement.stops(7, now=True)
