"""How fast is a training step, how much longer does the first one take, and how much memory?

python benchmarks/train_step.py --res 256
python benchmarks/train_step.py --res 1024 --precision float32 bfloat16 --compare --json step.json
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import measuring
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.errors import run_command
from crn_tf.training.settings import TrainSettings


@dataclass(frozen=True)
class TrainStepBenchmark(measuring.Benchmark):
    """Measure training steps on random pairs: loss, gradients and Adam, each variant in a process of its own.

    Flags that take several values make variants: every combination is measured.
    """

    loss: tuple[Literal["content", "best-image", "best-per-class"], ...] = ()
    """Which images are compared with the photograph; content for one image, else best-per-class."""
    remat: tuple[Literal["auto", "on", "off"], ...] = ("auto",)
    """Compute features again in the backward pass instead of keeping them."""
    jit: tuple[Literal["off", "on"], ...] = ("off",)
    """Have XLA compile the whole step."""
    ema: float | None = None
    """Average the weights too, with this decay."""


def main() -> None:
    """Measure the variants, or one of them as a worker."""
    if sys.argv[1:2] == [measuring.WORKER]:
        measuring.work(prepare)
    else:
        measuring.run_benchmark(__file__, tyro.cli(TrainStepBenchmark))


def prepare(settings: TrainSettings) -> tuple[Callable[[], object], float, dict]:
    """A training step on one batch, its TFLOP, and what `--remat auto` chose and how long the first one was traced."""
    import tensorflow as tf

    from crn_tf.training.building import build_trainer, describe_model

    trainer, _ = build_trainer(settings, describe_model(settings, CITYSCAPES))
    photos = tf.constant(measuring.random_photos(settings))
    layouts = tf.constant(measuring.random_layouts(settings))
    tflop = settings.batch * measuring.training_tflop(trainer.generator, trainer.perceiver)
    found = {"recompute": trainer.recompute}

    def step() -> np.ndarray:
        if "tracing_seconds" not in found:  # the first one
            found["tracing_seconds"] = measuring.seconds_of(lambda: trainer.trace_step(settings.batch))
        return trainer.train_step(photos, layouts)[0].numpy()

    return step, tflop, found


if __name__ == "__main__":
    run_command(main)
