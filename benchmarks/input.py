"""Is the input pipeline faster than what waits for it? Its rate, from files and from the decoded cache, beside the
rates at which a training step uses pairs up: here, and on an assumed fast GPU.

python benchmarks/input.py --data camvid --size 192x256 --width 0.25
python benchmarks/input.py --data cityscapes --res 1024 --no-training-step --json input.json
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
from typing import Literal

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import training_tflop
from crn_tf.data.images import Fit
from crn_tf.devices import check_gpus, describe_devices
from crn_tf.errors import UsageError, run_command
from crn_tf.files import write_text
from crn_tf.starting import start_tensorflow
from crn_tf.training.flags import TrainFlags

WANTED = 10  # times as fast as the assumed GPU: then no training there waits for its input


@dataclass(frozen=True)
class InputBenchmark:
    """Measure the input pipeline's rate beside the training step's."""

    data: Path | None = None
    """Folder of a data set; the toy scenes if not given."""
    res: Literal[256, 512, 1024] | None = None
    """Image height, 256 if not given; the width is twice that."""
    size: str | None = None
    """Height and width instead of --res, such as 192x256."""
    fit: Fit = "resize"
    """As in train.py."""
    batch: int = 1
    """Pairs in a step."""
    width: float = 1.0
    """Of the generator whose training step is timed or computed."""
    images: int = 1
    """Images synthesized for each layout. One is the hardest for the pipeline: its step is the shortest."""
    training_step: bool = True
    """Time a training step on this machine too."""
    gpu_tflops: float = 400.0
    """TFLOP/s that a fast GPU is assumed, not measured, to sustain in training: 40 % of an H200's 989 in dense
    bfloat16. (Small sizes and widths would not get there.)"""
    seconds: float = 10.0
    """How long to measure each variant, in all rounds together."""
    rounds: int = 3
    """Each variant is measured so often, in turn with the others; the median is shown."""
    json: Path | None = None
    """File for the results."""


def main() -> None:
    """Measure in turn, print a table."""
    options = tyro.cli(InputBenchmark)
    settings = TrainFlags.of(
        res=options.res, size=options.size, data=options.data, dataset=None if options.data else "toy",
        images=options.images, vgg_weights="random", batch=options.batch, width=options.width, fit=options.fit,
    ).resolved()  # fmt: skip
    for name in ("seconds", "rounds", "gpu_tflops"):
        if not getattr(options, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be greater than 0, not {getattr(options, name)}")
    start_tensorflow(one_at_a_time=True)
    check_gpus(required=False)
    print(f"on {describe_devices(settings.precision, 1)}")
    from crn_tf.data.datasets import open_data_set
    from crn_tf.data.decoded_cache import DecodedCache
    from crn_tf.data.pipeline import InputPipeline
    from crn_tf.training.building import build_trainer, describe_model

    size = settings.size
    data = open_data_set(settings.data, settings.dataset, "train", size[0])
    with tempfile.TemporaryDirectory() as folder:
        cached = DecodedCache(data, size, settings.fit, Path(folder))
        endless = sys.maxsize // settings.batch // 2
        sources: dict[str, Iterator] = {
            name: InputPipeline(source, size, settings.fit, settings.batch, seed=0).batches(0, endless)
            for name, source in (("files", data), ("cache", cached))
        }
        trainer, _ = build_trainer(settings, describe_model(settings, data.classes))
        tflop = training_tflop(trainer.generator, trainer.perceiver)
        if options.training_step:
            sources["training step"] = training_steps(trainer, next(sources["cache"]))
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(options.rounds):
            for name, source in sources.items():
                # What was decoded ahead while another variant was measured does not count.
                skip = 0 if name == "training step" else 4 + os.cpu_count()
                rates[name].append(settings.batch * steps_per_second(source, options.seconds / options.rounds, skip))

    result = {
        "size": settings.kept()["size"],
        "batch": settings.batch,
        "width": settings.width,
        "images": settings.images,
    }
    result["pairs_per_second"] = {name: statistics.median(values) for name, values in rates.items()}
    result["spread"] = {name: [min(values), max(values)] for name, values in rates.items()}
    result |= {"tflop_per_pair": tflop, "assumed_gpu_tflops": options.gpu_tflops, "cpu_cores": os.cpu_count()}
    result["pairs_per_second"]["assumed GPU"] = gpu_rate = options.gpu_tflops / tflop
    result["times_assumed_gpu"] = {name: result["pairs_per_second"][name] / gpu_rate for name in ("files", "cache")}
    print_table(result)
    print(json.dumps(result))
    if options.json:
        write_text(options.json, json.dumps(result) + "\n")


def print_table(result: dict) -> None:
    """Show each rate as a multiple of the training step's, and say whether files and cache are fast enough."""
    rates = result["pairs_per_second"]
    used = {name: rates[name] for name in ("training step", "assumed GPU") if name in rates}
    print(" ".join([f"{'':14} {'pairs/s':>9} {'(min..max)':>20}", *(f"{f'x {name}':>16}" for name in used)]))
    for name, rate in rates.items():
        spread = "({:.2f}..{:.2f})".format(*result["spread"][name]) if name in result["spread"] else "computed"
        print(" ".join([f"{name:14} {rate:9.2f} {spread:>20}", *(f"{rate / other:16.2f}" for other in used.values())]))
    print(
        f"assumed GPU: {result['assumed_gpu_tflops']:g} TFLOP/s sustained, "
        f"{result['tflop_per_pair']:.4g} model TFLOP a pair; the pipeline ran on {result['cpu_cores']} CPU cores"
    )
    for name, times in result["times_assumed_gpu"].items():
        verdict = "fast enough" if times >= WANTED else "NOT fast enough"
        print(f"from {name}: {times:.2f} times the assumed GPU's rate, wanted {WANTED}: {verdict}")


def training_steps(trainer, batch) -> Iterator[None]:
    """Endless training steps on one batch, so that no input is waited for; the first has been taken."""

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
