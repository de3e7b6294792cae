"""The learning rate of each step: a function of the step, and of how many steps the run has."""

import math
from dataclasses import dataclass

import numpy as np

from crn_tf.errors import UsageError
from crn_tf.training.settings import RateSchedule, TrainSettings

WARMUP_SHARE, WARMUP_STEPS = 0.02, 500  # of a cosine, where --lr-warmup is not given: this share, and at most so many


@dataclass(frozen=True)
class LearningRate:
    """Adam's learning rate over a run.

    Attributes:
        peak: The highest, which `--lr` gives.
        schedule: What it does after the warm-up: stays, or falls to 0 along half a cosine.
        warmup: Steps over which it grows linearly.
        steps: Of the whole run, also those that were taken before it was stopped.
    """

    peak: float
    schedule: RateSchedule
    warmup: int
    steps: int

    @classmethod
    def of(cls, settings: TrainSettings, steps: int) -> "LearningRate":
        """That of a run of so many steps.

        Args:
            settings: Of the run.
            steps: After which it is complete.
        """
        usual = min(WARMUP_STEPS, round(WARMUP_SHARE * steps)) if settings.lr_schedule == "cosine" else 0
        warmup = settings.lr_warmup
        return cls(settings.lr, settings.lr_schedule, usual if warmup == "auto" else warmup, steps)

    @property
    def changes(self) -> bool:
        """Whether not all steps have the same."""
        return self.schedule != "constant" or self.warmup > 0

    def at(self, step: int) -> float:
        """The rate of the step that is taken after so many others.

        The last step of a cosine is one before 0, so that no step is in vain; after it, the rate is 0.
        """
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.peak
        share = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.peak * (1 + math.cos(math.pi * share)) / 2

    def check(self) -> None:
        """Check that the warm-up ends before the run does.

        Raises:
            UsageError: It does not.
        """
        if self.warmup >= self.steps:
            raise UsageError(
                f"--lr-warmup {self.warmup} is not less than the {self.steps:,} steps of the run: choose fewer"
            )

    def __str__(self) -> str:
        """The whole of it in words."""
        warmup = f", after {self.warmup:,} steps of warm-up" if self.warmup else ""
        if self.schedule == "constant":
            return f"{self.peak:g}{warmup}"
        return f"from {self.peak:g} to 0 over {self.steps - self.warmup:,} steps (cosine){warmup}"

    def change(self, step: int, was: float) -> str | None:
        """A line for a run that goes on, if its rate is another than the steps before would have had there.

        Args:
            step: Where it stands.
            was: The rate of the step before.
        """
        if np.float32(was) == np.float32(self.at(step - 1)):
            return None
        why = "its length, --lr or --lr-schedule is another now"
        return f"the learning rate goes on with {self.at(step):.3g} after {was:.3g}: {why}"
