"""Does mixed precision train as float32 does? Trains the same run in each precision, and draws the loss curves.

python benchmarks/precision.py --data camvid --size 96x128 --width 0.25 --steps 400 --plot precision.png
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.runs import ROOT, logged
from crn_tf.errors import UserError, run_command
from crn_tf.files import make_folder, write_text, written_aside
from crn_tf.precision import Precision

WINDOW = 3  # points of a moving mean; train.py logs the mean of ten steps as a point


@dataclass(frozen=True)
class PrecisionBenchmark:
    """Train in several precisions, from the same weights on the same pairs in the same order."""

    data: Path | None = None
    """Folder of a data set; the toy scenes if not given."""
    size: str = "96x128"
    """Height and width."""
    width: float = 0.25
    """Of the generator."""
    vgg_weights: str = "random"
    """As in train.py."""
    steps: int = 400
    """Of each training."""
    precision: tuple[Precision, ...] = ("float32", "bfloat16")
    """The first is what the others are compared with."""
    plot: Path | None = None
    """File for the curves, as a picture."""
    json: Path | None = None
    """File for the results."""


def main() -> None:
    """Train, compare, draw."""
    options = tyro.cli(PrecisionBenchmark)
    with tempfile.TemporaryDirectory() as folder:
        curves = {precision: train(options, precision, Path(folder) / precision) for precision in options.precision}
    smooth = {name: np.convolve(curve, np.ones(WINDOW) / WINDOW, "valid") for name, curve in curves.items()}
    first = smooth[options.precision[0]]
    result = {"size": options.size, "width": options.width, "steps": options.steps}
    result["last_loss"] = {name: float(curve[-1]) for name, curve in smooth.items()}
    differences = {name: np.abs(curve - first) / first for name, curve in smooth.items()}
    result["mean_difference"] = {name: float(values.mean()) for name, values in differences.items()}
    result["largest_difference"] = {name: float(values.max()) for name, values in differences.items()}
    print(f"{'':10} {'loss at the end':>16} {f'difference from {options.precision[0]}':>26}")
    for name in smooth:
        difference = f"{result['mean_difference'][name]:.2%} (largest {result['largest_difference'][name]:.2%})"
        print(f"{name:10} {result['last_loss'][name]:16.2f} {difference:>26}")
    print(json.dumps(result))
    if options.json:
        write_text(options.json, json.dumps(result) + "\n")
    if options.plot:
        draw(options, smooth)


def train(options: PrecisionBenchmark, precision: str, run: Path) -> np.ndarray:
    """Train with train.py.

    Returns:
        The logged losses, each the mean of ten steps.

    Raises:
        UserError: Training failed.
    """
    data = ["--data", str(options.data)] if options.data else ["--dataset", "toy"]
    command = [
        sys.executable, str(ROOT / "train.py"), *data, "--size", options.size, "--width", str(options.width),
        "--images", "1", "--vgg-weights", options.vgg_weights, "--steps", str(options.steps), "--lr", "3e-4",
        "--precision", precision, "--validation-limit", "1", "--rebalance-epoch", "0", "--out", str(run),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # its progress is shown
    if done.returncode:
        raise UserError(f"training in {precision} failed; see above")
    print(next(line for line in done.stdout.splitlines() if line.startswith("on ")))
    return np.array(logged(run, "train/loss"))


def draw(options: PrecisionBenchmark, curves: dict[str, np.ndarray]) -> None:
    """Draw the curves into one picture."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), dpi=120, layout="constrained")
    points = options.steps / len(next(iter(curves.values())))
    for name, style in zip(curves, ("-", "--", ":"), strict=False):
        axes.plot(np.arange(len(curves[name])) * points, curves[name], style, label=name, linewidth=1.4)
    axes.set(xlabel="step", ylabel="content loss", yscale="log")
    axes.legend()
    make_folder(options.plot.parent)
    with written_aside(options.plot) as path:
        figure.savefig(path, format="png")


if __name__ == "__main__":
    run_command(main)
