"""How fast are images synthesized, and how much memory does it take?

python benchmarks/synthesis.py --res 256 1024
python benchmarks/synthesis.py --res 1024 --precision float32 bfloat16 --compare --json synthesis.json
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import measuring
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.errors import run_command
from crn_tf.training.settings import TrainSettings


@dataclass(frozen=True)
class SynthesisBenchmark(measuring.Benchmark):
    """Measure synthesis from random layouts of class ids to uint8 images, each variant in a process of its own.

    Flags that take several values make variants: every combination is measured.
    """


def main() -> None:
    """Measure the variants, or one of them as a worker."""
    if sys.argv[1:2] == [measuring.WORKER]:
        measuring.work(prepare)
    else:
        measuring.run_benchmark(__file__, tyro.cli(SynthesisBenchmark))


def prepare(settings: TrainSettings) -> tuple[Callable[[], object], float, dict]:
    """Synthesis from one batch, its TFLOP, and nothing to add."""
    from crn_tf import Synthesizer, build_generator

    generator = build_generator(
        settings.size[0], CITYSCAPES.num_classes, settings.images, settings.width, settings.base_grid
    )
    synthesizer = Synthesizer(generator)
    layouts = measuring.random_layouts(settings)
    return lambda: synthesizer(layouts), settings.batch * measuring.synthesis_tflop(generator), {}


if __name__ == "__main__":
    run_command(main)
