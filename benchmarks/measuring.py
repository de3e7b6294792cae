"""What the benchmarks share: their variants, a process for each, the operations of the model, the machine's peak.

The program that the user called never imports TensorFlow. It starts itself again as a worker for each variant, since
a process' peak memory is that of everything it ever did.
"""

import dataclasses
import itertools
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from crn_tf.command_line import Switch
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.devices import check_gpus, describe_devices
from crn_tf.errors import UsageError, UserError
from crn_tf.files import write_text
from crn_tf.precision import PRECISION_POLICIES, Precision
from crn_tf.starting import start_tensorflow
from crn_tf.training.flags import TrainFlags
from crn_tf.training.settings import TrainSettings

WORKER = "--worker"  # first argument of a worker; the second is its task as JSON
PEAK_SIZES = (512, 1024, 2048, 4096, 8192, 16384)  # of the matrices that measure a machine's peak
_told: set[str] = set()  # workers' warnings
HOW_TO_MEASURE = ("steps", "compare", "rounds", "json")  # flags that are no settings of the model


@dataclass(frozen=True)
class Benchmark:
    """Flags of a benchmark. Those that take several values make variants: every combination is measured."""

    res: tuple[Literal[256, 512, 1024], ...] = ()
    """Image height, 256 if not given; the width is twice that."""
    size: str | None = None
    """Height and width instead of --res, such as 192x256."""
    images: tuple[int, ...] = ()
    """Images synthesized for each layout; 9 up to 256p and 1 above, if not given."""
    width: float = 1.0
    """Multiplies the feature channels of every module."""
    precision: tuple[Precision, ...] = ("float32",)
    """Arithmetic of the convolutions."""
    batch: tuple[int, ...] = (1,)
    """Layouts in a step."""
    steps: int = 5
    """Steps to time in each process, after a first one that does not count."""
    compare: Switch = False
    """Measure the variants in turn, several times (A B A B), and show their ratios to the first. Without it, several
    variants are measured once, one after the other."""
    rounds: int = 2
    """How often --compare measures each variant."""
    json: Path | None = None
    """File for the results: an object for one variant, a list of such objects for several."""

    def setting_names(self) -> list[str]:
        """Names of the flags that are settings of the model."""
        return [field.name for field in dataclasses.fields(self) if field.name not in HOW_TO_MEASURE]

    def variants(self) -> list[TrainSettings]:
        """The resolved settings of each variant.

        Raises:
            UsageError: Flags make no sense, alone or together.
        """
        for name in ("steps", "rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be greater than 0, not {getattr(self, name)}")
        choices = {}
        for name in self.setting_names():
            values = getattr(self, name)
            choices[name] = (values or (None,)) if isinstance(values, tuple) else (values,)
        variants = []
        for values in itertools.product(*choices.values()):
            given = {name: value for name, value in zip(choices, values, strict=True) if value is not None}
            # Speed does not depend on the values of weights.
            fixed = {"dataset": "toy", "vgg_weights": "random", "loss_weights": "release-256p"}
            variants.append(TrainFlags.of(**given, **fixed).resolved())
        if self.compare and len(variants) == 1:
            raise UsageError(
                "--compare needs several variants: give several values, such as --precision float32 bfloat16"
            )
        return variants


def run_benchmark(program: str, benchmark: Benchmark) -> None:
    """Measure every variant in processes of their own; print the table and the results as JSON.

    Args:
        program: File of the benchmark, which calls `work` when its first argument is `WORKER`.
        benchmark: Its flags.

    Raises:
        UsageError: The flags make no sense.
        UserError: A process died (the other variants are shown all the same), or the results cannot be written.
    """
    variants = benchmark.variants()
    names = ["size", *(name for name in benchmark.setting_names() if name not in ("size", "res"))]
    common = [name for name in names if len({getattr(settings, name) for settings in variants}) == 1]
    labels = [_label(settings, [name for name in names if name not in common]) for settings in variants]
    print(_label(variants[0], common))
    measured: list[list[dict]] = [[] for _ in variants]
    failures: dict[str, str] = {}
    for _ in range(benchmark.rounds if benchmark.compare else 1):
        for settings, label, measurements in zip(variants, labels, measured, strict=True):
            try:
                measurements.append(run_worker(program, settings, benchmark.steps))
            except UserError as error:
                failures[label or _label(settings, names)] = str(error)
                continue
            seconds = statistics.median(measurements[-1]["seconds"])
            print(f"measured {label}: {seconds:.3f} s".replace(" :", ":"), file=sys.stderr)
    results = [
        {name: settings.kept()[name] for name in names}
        | {"steps": benchmark.steps, "rounds": len(measurements)}
        | summarize(measurements)
        for settings, measurements in zip(variants, measured, strict=True)
        if measurements
    ]
    if results:
        _show(benchmark, [label for label, some in zip(labels, measured, strict=True) if some], results)
    if failures:
        raise UserError("; ".join(f"{label}: {failure}" for label, failure in failures.items()))


def _show(benchmark: Benchmark, labels: list[str], results: list[dict]) -> None:
    """Print the table and the JSON, and write the file that was asked for."""
    if benchmark.compare:
        for result in results:
            result["seconds_ratio"] = result["seconds_per_step"] / results[0]["seconds_per_step"]
            result["memory_ratio"] = result["peak_memory_gb"] / results[0]["peak_memory_gb"]
    labels = [label + _chosen(result) for label, result in zip(labels, results, strict=True)]
    for device in dict.fromkeys(result["device"] for result in results):
        print(f"on {device}")
    print(draw_table(labels, results))
    print("share of peak: the plain network's operations a second, of which fewer may be executed, or more (remat)")
    text = json.dumps(results[0] if len(results) == 1 else results)
    print(text)
    if benchmark.json:
        write_text(benchmark.json, text + "\n")


def _chosen(result: dict) -> str:
    """What `--remat auto` chose."""
    return f" ({'on' if result['recompute'] else 'off'})" if result.get("remat") == "auto" else ""


def _label(settings: TrainSettings, names: list[str]) -> str:
    kept = settings.kept()
    return ", ".join(kept[name] if name == "size" else f"{name} {kept[name]}" for name in names)


def run_worker(program: str, settings: TrainSettings, steps: int, part: str | None = None) -> dict:
    """Measure one variant in a process of its own, or a part of what it does.

    Returns:
        What `work` measured.

    Raises:
        UserError: The process died.
    """
    task = json.dumps({"settings": settings.kept(), "steps": steps, "part": part})
    result = subprocess.run([sys.executable, program, WORKER, task], capture_output=True, text=True)
    for line in result.stderr.splitlines():
        if line.startswith("warning: ") and line not in _told:  # such as of a GPU that is not used
            _told.add(line)
            print(line, file=sys.stderr)
    if result.returncode == 0:
        return json.loads(result.stdout.splitlines()[-1])
    if result.returncode == -signal.SIGKILL:
        raise UserError("its process was killed, as the system does when memory runs out")
    last = (result.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
    if result.returncode < 0:
        raise UserError(f"its process died of {signal.Signals(-result.returncode).name}: {last}")
    raise UserError(last)


def work(prepare: Callable[[TrainSettings], tuple[Callable[[], object], float, dict]]) -> None:
    """Be a worker: measure the variant on the command line and print what was measured, as JSON.

    Args:
        prepare: Makes, from a variant's settings, a function that takes one step and waits for its result, the TFLOP of
            the step, and what to add to the results.

    Raises:
        UserError: Memory ran out.
    """
    task = json.loads(sys.argv[2])
    settings = TrainSettings.from_json(json.dumps(task["settings"]))
    start_tensorflow(one_at_a_time=True)
    check_gpus(required=False)
    import keras
    import tensorflow as tf

    from crn_tf.training.memory import peak_memory_gb

    keras.config.set_dtype_policy(PRECISION_POLICIES[settings.precision])
    keras.utils.set_random_seed(settings.seed)
    try:
        step, tflop, chosen = prepare(settings)
        seconds = [seconds_of(step) for _ in range(1 + task["steps"])]
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise UserError("memory ran out") from error
    measured = {"seconds": seconds[1:], "first_step_seconds": seconds[0], "peak_memory_gb": peak_memory_gb()}
    measured |= {
        "tflop_per_step": tflop,
        "peak_tflops": measure_peak_tflops(settings.precision),
        "device": describe_devices(settings.precision, 1),
    }
    measured["chosen"] = chosen
    print(json.dumps(measured))


def seconds_of(step: Callable[[], object]) -> float:
    """Seconds that a function takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure_peak_tflops(precision: str) -> float:
    """The machine's peak in matrix products, TFLOP/s: the best of five at each size, up to one that takes 0.2 seconds.

    Products of float32 on a GPU may use TF32, as convolutions there do.
    """
    import keras
    from keras import ops

    best = 0.0
    for size in PEAK_SIZES:
        matrix = ops.cast(keras.random.normal((size, size), seed=0, dtype="float32"), precision)
        # Asking for one number waits for the product.
        fastest = min(seconds_of(lambda m=matrix: ops.convert_to_numpy(ops.matmul(m, m)[0, :1])) for _ in range(5))
        best = max(best, 2 * size**3 / fastest / 1e12)
        if fastest > 0.2:
            break
    return best


def summarize(measurements: list[dict]) -> dict:
    """What a variant's workers measured, as one result: the median of all steps, the highest of memory and peak."""
    seconds = [value for measured in measurements for value in measured["seconds"]]
    median = statistics.median(seconds)
    tflop = measurements[0]["tflop_per_step"]
    peak = max(measured["peak_tflops"] for measured in measurements)
    return {
        "seconds_per_step": median,
        "seconds_spread": [min(seconds), max(seconds)],
        "first_step_seconds": statistics.median(measured["first_step_seconds"] for measured in measurements),
        "peak_memory_gb": max(measured["peak_memory_gb"] for measured in measurements),
        "tflop_per_step": tflop,
        "peak_tflops": peak,
        "fraction_of_peak": tflop / median / peak,
        "device": measurements[0]["device"],
        **measurements[0]["chosen"],
    }


def draw_table(labels: list[str], results: list[dict]) -> str:
    """The results as a table for people.

    "model TFLOP" are the plain network's operations: a variant that recomputes does more, one with a faster
    algorithm may do fewer, and the share of the peak counts neither. "first step" includes tracing and compiling.
    """
    heading = ["", "s/step", "(min..max)", "first step", "peak GB", "model TFLOP", "peak TFLOP/s", "share of peak"]
    rows = []
    for label, result in zip(labels, results, strict=True):
        low, high = result["seconds_spread"]
        rows.append(
            [
                label,
                f"{result['seconds_per_step']:.3f}",
                f"({low:.3f}..{high:.3f})",
                f"{result['first_step_seconds']:.1f}" + _tracing(result),
                f"{result['peak_memory_gb']:.2f}",
                f"{result['tflop_per_step']:.4g}",
                f"{result['peak_tflops']:.4g}",
                f"{result['fraction_of_peak']:.1%}",
            ]
        )
        if "seconds_ratio" in result:
            rows[-1] += [f"{result['seconds_ratio']:.3f}", f"{result['memory_ratio']:.3f}"]
    if "seconds_ratio" in results[0]:
        heading += ["x first's time", "x first's memory"]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = []
    for first, *others in [heading, *rows]:
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _tracing(result: dict) -> str:
    """How much of the first step was tracing, where that was measured."""
    return f" ({result['tracing_seconds']:.1f} tracing)" if "tracing_seconds" in result else ""


def synthesis_tflop(generator) -> float:
    """TFLOP to synthesize from one layout: two for each multiply-add of the plain network's convolutions.

    Counted from the kernels; normalization, upsampling and the like are left out, as is usual.
    """
    from crn_tf.model.cascade import module_height

    height, width = generator.input_shape[1:3]
    total = 0
    for variable in generator.variables:
        if variable.path.endswith("/kernel"):
            rows = module_height(variable.path)
            total += 2 * math.prod(variable.shape) * rows * (width * rows // height)
    return total / 1e12


def perceiver_tflop(perceiver, height: int, width: int) -> float:
    """TFLOP of all the perceiver's taps for one image. Each block of VGG19 works at half the size of the one before."""
    total = 0
    for variable in perceiver.variables:
        if variable.path.endswith("/kernel"):
            step = 2 ** (int(variable.path.removeprefix("block").partition("_")[0]) - 1)
            total += 2 * math.prod(variable.shape) * math.ceil(height / step) * math.ceil(width / step)
    return total / 1e12


def training_tflop(generator, perceiver) -> float:
    """TFLOP of a training step for one pair.

    The generator goes forward and back to kernels and to activations: three times its synthesis. The perceiver sees
    the photograph once; each image goes forward and back to its pixels.
    """
    _, images, height, width, _ = generator.output_shape
    return 3 * synthesis_tflop(generator) + (1 + 2 * images) * perceiver_tflop(perceiver, height, width)


def random_layouts(settings: TrainSettings) -> np.ndarray:
    """Blocks of 16 pixels of Cityscapes' classes, uint8 [B, H, W]."""
    height, width = settings.size
    random = np.random.default_rng(settings.seed)
    blocks = random.integers(0, CITYSCAPES.num_classes, (settings.batch, -(-height // 16), -(-width // 16)), np.uint8)
    return blocks.repeat(16, 1).repeat(16, 2)[:, :height, :width]


def random_photos(settings: TrainSettings) -> np.ndarray:
    """Noise, uint8 [B, H, W, 3]."""
    shape = (settings.batch, *settings.size, 3)
    return np.random.default_rng(settings.seed).integers(0, 256, shape, np.uint8)
