"""What a training run says while it trains: a bar for each epoch, lines between them, each warning once, and once how
long all of it will take.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from tqdm import tqdm

from crn_tf.training.trainer import Window

SHOWN_WINDOWS = 10  # the bar's loss is the mean over so many
FORECAST_STEPS, FORECAST_SECONDS = 10, 10.0  # how long a run will take is told after so many steps, or seconds of them


def duration(seconds: float) -> str:
    """A time in the unit that a person would choose."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} seconds"


class Forecast:
    """How long the steps of a run will take, from the time of the first ones: told once.

    The first step does not count: it is traced and compiled.
    """

    def __init__(self, steps: int):
        """Begin.

        Args:
            steps: That are still to be taken.
        """
        self._steps, self._taken, self._start, self._told = steps, 0, 0.0, False

    def after_step(self, wait: Callable[[], object]) -> str | None:
        """A line for the user after enough steps, and only then.

        Args:
            wait: Waits for the steps that are under way.
        """
        if self._told:
            return None
        self._taken += 1
        if self._taken == 1:
            wait()
            self._start = time.monotonic()
            return None
        timed = self._taken - 1
        if timed < FORECAST_STEPS and time.monotonic() - self._start < FORECAST_SECONDS:
            return None
        wait()
        self._told = True
        seconds = (time.monotonic() - self._start) / timed
        what = duration(seconds * self._steps)
        return f"{self._steps:,} steps: about {what}, at {seconds:.2g} s a step (validation comes on top)"


class Progress:
    """The terminal of the process that tells; other workers are silent, but for warnings."""

    def __init__(self, tells: bool):
        self._tells = tells
        self._said: set[str] = set()
        self._compiled = False  # once a first step was taken

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        if self._tells:
            with suppress(OSError):  # nobody listens any more, or the disk is full: the run matters more
                tqdm.write(line)

    def warn(self, warnings: Iterable[str]) -> None:
        """Write warnings that were not written before."""
        for warning in warnings:
            if warning not in self._said:
                self._said.add(warning)
                with suppress(OSError):
                    tqdm.write(f"warning: {warning}", file=sys.stderr)

    def epoch(self, number: int, epochs: int, pairs: int, done: int) -> "EpochProgress":
        """The bar of an epoch.

        Args:
            number: Of the epoch, from 1.
            epochs: How many there are.
            pairs: How many the epoch has.
            done: How many of them came before.
        """
        compiling, self._compiled = not self._compiled, True
        bar = tqdm(
            desc=f"epoch {number}/{epochs}",
            total=pairs,
            initial=done,
            unit="img",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self._tells,
            postfix="compiling the first step" if compiling else None,
        )
        return EpochProgress(bar, compiling)


class EpochProgress:
    """The bar of an epoch, and the mean of its loss."""

    def __init__(self, bar: "tqdm[Any]", compiling: bool = False):
        """Of a bar; `compiling`: it says so until its first step is taken."""
        self._bar, self._compiling = bar, compiling
        self._sum, self._applied, self._skipped = 0.0, 0, 0
        self._newest: deque[tuple[float, int]] = deque(maxlen=SHOWN_WINDOWS)

    def __enter__(self) -> "EpochProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, pairs: int) -> None:
        """Some pairs were trained on."""
        self._bar.update(pairs)
        if self._compiling:
            self._compiling = False
            self._bar.set_postfix_str("")

    def show(self, window: Window, rate: float | None = None) -> None:
        """Count the losses of some steps, and show them; and the learning rate, if there is something to tell of it."""
        self._skipped += window.skipped
        if window.terms is not None:
            total = float(window.terms.sum()) * window.applied
            self._sum, self._applied = self._sum + total, self._applied + window.applied
            self._newest.append((total, window.applied))
        texts = [f"{self._skipped} skipped"] if self._skipped else []
        if self._newest:
            total, count = np.sum(self._newest, axis=0)
            texts.insert(0, f"loss {total / count:.2f}")
        if rate is not None:
            texts.append(f"lr {rate:.2g}")
        self._bar.set_postfix_str(", ".join(texts), refresh=False)

    @property
    def mean_loss(self) -> float | None:
        """Of the epoch's steps that were applied, so far as they were shown; None without any."""
        return self._sum / self._applied if self._applied else None
