"""Is the input pipeline faster than what waits for it? Its rate, from files and from the decoded cache, beside the
rate at which a training step uses pairs up.

python benchmarks/input.py --data camvid --size 192x256 --width 0.25
python benchmarks/input.py --data cityscapes --size 1024x2048 --json input.json
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from crn_tf.errors import run_command
from crn_tf.files import write_text
from crn_tf.images import Fit
from crn_tf.quiet import start_tensorflow
from crn_tf.settings import TrainSettings


@dataclass(frozen=True)
class InputBenchmark:
    """Measure the input pipeline's rate beside the training step's."""

    data: Path | None = None
    """Folder of a data set; the toy scenes if not given."""
    size: str = "256x512"
    """Height and width."""
    fit: Fit = "resize"
    """As in train.py."""
    batch: int = 1
    """Pairs in a step."""
    width: float = 1.0
    """Of the generator whose training step is timed."""
    images: int = 1
    """Images synthesized for each layout."""
    seconds: float = 10.0
    """How long to measure each variant, in all rounds together."""
    rounds: int = 3
    """Each variant is measured so often, in turn with the others; the median is shown."""
    json: Path | None = None
    """File for the results."""


def main() -> None:
    """Measure in turn, print a table."""
    options = tyro.cli(InputBenchmark)
    settings = TrainSettings(
        size=options.size, data=options.data, dataset=None if options.data else "toy", images=options.images,
        vgg_weights="random", batch=options.batch, width=options.width, fit=options.fit,
    ).resolved()  # fmt: skip
    start_tensorflow()
    from crn_tf.datasets import find_kind, open_data_set
    from crn_tf.pipeline import DecodedCache, InputPipeline

    size = settings.image_size
    data = open_data_set(settings.data, settings.dataset or find_kind(settings.data), "train", size[0])
    with tempfile.TemporaryDirectory() as folder:
        cached = DecodedCache(data, size, settings.fit, Path(folder))
        endless = sys.maxsize // settings.batch // 2
        sources: dict[str, Iterator] = {
            name: InputPipeline(source, size, settings.fit, settings.batch, seed=0).batches(0, endless)
            for name, source in (("files", data), ("cache", cached))
        }
        sources["training step"] = training_steps(settings, data, next(sources["cache"]))
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(options.rounds):
            for name, source in sources.items():
                # What was decoded ahead while another variant was measured does not count.
                skip = 0 if name == "training step" else 4 + os.cpu_count()
                rates[name].append(settings.batch * steps_per_second(source, options.seconds / options.rounds, skip))

    result = {"size": options.size, "batch": settings.batch, "width": settings.width, "images": settings.images}
    result["pairs_per_second"] = {name: statistics.median(values) for name, values in rates.items()}
    result["spread"] = {name: [min(values), max(values)] for name, values in rates.items()}
    used = result["pairs_per_second"]["training step"]
    print(f"{'':14} {'pairs/s':>9} {'(min..max)':>18} {'x training step':>16}")
    for name, rate in result["pairs_per_second"].items():
        spread = "({:.2f}..{:.2f})".format(*result["spread"][name])
        print(f"{name:14} {rate:9.2f} {spread:>18} {rate / used:16.1f}")
    print(json.dumps(result))
    if options.json:
        write_text(options.json, json.dumps(result) + "\n")


def training_steps(settings: TrainSettings, data, batch) -> Iterator[None]:
    """Endless training steps on one batch, so that no input is waited for; the first has been taken."""
    from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver

    generator = build_generator(
        settings.image_size[0], data.classes.num_classes, settings.images, settings.width, settings.grid
    )
    weights = LOSS_WEIGHTS[settings.loss_weights]
    trainer = Trainer(generator, build_perceiver("random"), settings.loss, weights)

    def step() -> None:
        trainer.train_step(*batch)[0].numpy()

    step()
    return (step() for _ in itertools.count())


def steps_per_second(steps: Iterator, seconds: float, skip: int) -> float:
    """How fast an endless iterator goes, over at least one step, after some that do not count."""
    for _ in range(skip):
        next(steps)
    count, start = 0, time.monotonic()
    while not count or time.monotonic() - start < seconds:
        next(steps)
        count += 1
    return count / (time.monotonic() - start)


if __name__ == "__main__":
    run_command(main)
