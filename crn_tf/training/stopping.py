"""When a run stops between two steps, and how workers come to stop after the same one. No TensorFlow of its own."""

import time
from collections.abc import Callable

from crn_tf.training.distribution import Distribution
from crn_tf.training.interruptions import StopRequest

AGREE_EVERY = 5.0  # seconds between two agreements of workers, at most; every step, if steps are longer
_MARGIN = 0.5  # of that time is aimed at, since the next steps may take longer than the last ones did


class StopAgreement:
    """Answers after each step whether the run stops there.

    One process stops as soon as it is asked to. Workers have to ask each other, which takes a collective operation and
    waits for the device; so they do it only every few seconds. Which steps these are follows from the time that steps
    took, which they tell each other too: the numbers are the same for all, and so is the answer.
    """

    def __init__(
        self, distribution: Distribution, request: StopRequest, step: int, clock: Callable[[], float] = time.monotonic
    ):
        """Begin.

        Args:
            distribution: Of the workers.
            request: This process' own.
            step: Where the run stands, the same for all workers.
            clock: Seconds.
        """
        self._distribution, self._request, self._clock = distribution, request, clock
        self._interval = 1  # steps between two agreements
        self._step, self._time = step, clock()  # of the last one

    def stops(self, step: int, now: bool = False) -> bool:
        """Whether the run stops after a step. All workers ask after each one.

        Args:
            step: The steps taken so far.
            now: Agree here, however short ago it was done.
        """
        if self._distribution.shard[1] == 1:
            return self._request.stop
        if not now and step < self._step + self._interval:
            return False
        steps, time_now = step - self._step, self._clock()
        seconds = (time_now - self._time) / steps if steps else 0.0
        asked, seconds_of_all = self._distribution.sums(float(self._request.stop), seconds)
        if steps:
            mean = seconds_of_all / self._distribution.shard[1]
            fitting = int(_MARGIN * AGREE_EVERY / max(mean, 1e-6))
            # Doubling at most: the time of a single step says little.
            self._interval = max(1, min(fitting, 2 * self._interval))
        self._step, self._time = step, self._clock()
        return asked > 0
