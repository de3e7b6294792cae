"""What makes a short training end well? Trains variants of it over seeds, and compares where they end.

python benchmarks/short_training.py --data camvid --vgg-weights FILE --out short     # again: goes on where it stopped
python benchmarks/short_training.py --data camvid --variants "constant=" "mirrored=--flip" --lr 3e-4 1e-3
"""

import dataclasses
import json
import re
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.files import make_folder, read_json, write_text
from crn_tf.saved.run_folder import RunFolder
from crn_tf.starting import start_tensorflow

ROOT = Path(__file__).parents[1]
DISTANCE = "validation/perceptual_distance"  # as train.py logs it: the same measure in all runs
MEASURES = {"mean_iou": "mean IoU", "kid": "KID", "content_loss": "content loss", "l1": "L1", "ssim": "SSIM"}
NOT_SHARED = ("variants", "lr", "seeds", "json", "out")  # options that may differ when a comparison goes on


@dataclass(frozen=True)
class ShortTraining:
    """Train every variant with every learning rate from every seed, for as many steps; judge the last weights."""

    data: Path | None = None
    """Folder of a data set; the toy scenes if not given."""
    size: str = "64x96"
    """Height and width."""
    width: float = 0.125
    """Of the generator."""
    vgg_weights: str = "random"
    """As in train.py."""
    steps: int = 1101
    """Of each training."""
    validation_limit: int = 32
    """Validation pairs in each point of the curve; the evaluation takes all."""
    variants: tuple[str, ...] = (
        "constant=",
        "cosine=--lr-schedule cosine",
        "ema=--ema 0.999",
        "cosine+ema=--lr-schedule cosine --ema 0.999",
    )
    """NAME=OPTIONS of train.py. The first is what the others are compared with."""
    lr: tuple[float, ...] = (3e-4,)
    """Learning rates."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds: each decides the first weights and the order of the data, the same for all variants."""
    out: Path = Path("short_training")
    """Folder of runs and evaluation. Runs that are complete there are not trained again."""
    json: Path | None = None
    """File for the results."""


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: With the learning rate.
        options: Of train.py.
    """

    name: str
    options: tuple[str, ...]

    def run(self, out: Path, seed: int) -> Path:
        """The folder of a run."""
        return out / "runs" / f"{self.name}-seed{seed}"


def main() -> None:
    """Train, judge, print the table and the results as JSON."""
    options = with_whole_paths(tyro.cli(ShortTraining))
    variants = find_variants(options)
    begin(options)
    start_tensorflow()  # reads the logs
    for seed in options.seeds:  # seed by seed: what is there early can be compared
        for variant in variants:
            train(options, variant, seed)
    measures = evaluate(options, variants)
    results = [summarize(options, variant, measures) for variant in variants]
    print(draw_table(results))
    text = json.dumps({"settings": shared(options), "variants": results})
    print(text)
    if options.json:
        write_text(options.json, text + "\n")


def with_whole_paths(options: ShortTraining) -> ShortTraining:
    """The same options; the programs that they are for run in another folder."""
    data = options.data.resolve() if options.data else None
    perceiver = Path(options.vgg_weights)
    weights = str(perceiver.resolve()) if perceiver.is_file() else options.vgg_weights
    return dataclasses.replace(options, data=data, vgg_weights=weights, out=options.out.resolve())


def find_variants(options: ShortTraining) -> list[Variant]:
    """The variants, with every learning rate.

    Raises:
        UsageError: One is not NAME=OPTIONS, or a name is there twice; or there is nothing to train.
    """
    if not (options.variants and options.lr and options.seeds) or options.steps < 1:
        raise UsageError("nothing to compare: --variants, --lr, --seeds and --steps need one at least")
    found: dict[str, Variant] = {}
    for text in options.variants:
        name, is_, arguments = text.partition("=")
        if not is_ or not re.fullmatch(r"[\w.+-]+", name):
            raise UsageError(f'--variants {text}: expected NAME=OPTIONS of train.py, such as "mirrored=--flip"')
        for rate in options.lr:
            full = f"{name}-{rate:g}"
            if full in found:
                raise UsageError(f"--variants: {name} is there twice")
            found[full] = Variant(full, ("--lr", str(rate), *shlex.split(arguments)))
    return list(found.values())


def shared(options: ShortTraining) -> dict[str, Any]:
    """What all runs have in common."""
    kept = {name: value for name, value in dataclasses.asdict(options).items() if name not in NOT_SHARED}
    return kept | {"data": str(options.data) if options.data else None}


def begin(options: ShortTraining) -> None:
    """Write what is compared, or see that it is what an earlier call compared.

    Raises:
        UsageError: Runs in the folder are others.
        UserError: The folder cannot be written.
    """
    make_folder(options.out)
    kept = options.out / "comparison.json"
    if kept.exists():
        before, now = read_json(kept), shared(options)
        for name, value in now.items():
            if before.get(name) != value:
                raise UsageError(
                    f"the runs in {options.out} have {name} {before.get(name)}, not {value}: choose another --out"
                )
    else:
        write_text(kept, json.dumps(shared(options), indent=1) + "\n")


def train(options: ShortTraining, variant: Variant, seed: int) -> None:
    """Train with train.py, unless that is done.

    Raises:
        UserError: Training failed.
    """
    folder = variant.run(options.out, seed)
    run = RunFolder(folder)
    if not (run.newest_step() >= options.steps and run.weights.exists()):
        data = ["--data", options.data] if options.data else ["--dataset", "toy"]
        call(
            f"training {variant.name} from seed {seed}",
            folder.with_name(f"{folder.name}.log"),
            *("train.py", *data, "--size", options.size, "--width", options.width, "--images", 1),
            *("--vgg-weights", options.vgg_weights, "--loss-weights", "inverse-elements", "--seed", seed),
            *("--steps", options.steps, "--validation-limit", options.validation_limit),
            *("--resume-or-start", "--out", folder, *variant.options),
        )
    print(f"{variant.name}, seed {seed}: {', '.join(f'{value:.2f}' for value in curve(folder).values())}", flush=True)


def call(what: str, log: Path, *command: object) -> None:
    """Run a program of this project; what it says goes to a file.

    Raises:
        UserError: It failed; the message ends with its last line.
    """
    make_folder(log.parent)
    with log.open("a") as file:
        done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"{what} failed, see {log}: {last}")


def curve(run: Path) -> dict[int, float]:
    """The perceptual distance before training and after each epoch, by step."""
    from crn_tf.training.reports import read_scalar

    return read_scalar(run / "logs", DISTANCE)


def evaluate(options: ShortTraining, variants: list[Variant]) -> dict[str, dict[str, Any]]:
    """Judge the last weights of all runs on all validation pairs, with one call.

    Returns:
        The numbers of each method, by the name of its run's folder.

    Raises:
        UserError: The evaluation failed.
    """
    runs = [variant.run(options.out, seed) for variant in variants for seed in options.seeds]
    out, names = options.out / "evaluation", {run.name for run in runs}
    found = out / "evaluation.json"
    if not names <= methods_of(found).keys():
        data = ["--data", options.data] if options.data else ["--dataset", "toy"]
        call(
            "the evaluation",
            options.out / "evaluation.log",
            *("-m", "crn_tf.evaluate", *data, "--vgg-weights", options.vgg_weights, "--out", out, "--last"),
            *("--cache", options.out / "cache", "--weights", *(f"{run.name}={run}" for run in runs)),
        )
    return methods_of(found)


def methods_of(evaluation: Path) -> dict[str, dict[str, Any]]:
    """The numbers of each method in an evaluation's file; empty if there is none."""
    found: dict[str, dict[str, Any]] = json.loads(evaluation.read_text())["methods"] if evaluation.exists() else {}
    return found


def summarize(options: ShortTraining, variant: Variant, measures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A variant's curves and measures: of each seed, and their means."""
    curves = {seed: curve(variant.run(options.out, seed)) for seed in options.seeds}
    of_runs = {seed: measures[variant.run(options.out, seed).name] for seed in options.seeds}
    kept = {name: {seed: of_runs[seed].get(name) for seed in options.seeds} for name in MEASURES}
    steps = sorted(set.intersection(*(set(points) for points in curves.values())))
    return {
        "name": variant.name,
        "options": shlex.join(variant.options),
        "curves": curves,
        "mean_curve": {step: statistics.fmean(points[step] for points in curves.values()) for step in steps},
        "measures": kept,
        "mean_measures": {
            name: None if None in values.values() else statistics.fmean(values.values())
            for name, values in kept.items()
        },
    }


def draw_table(results: list[dict[str, Any]]) -> str:
    """Means over seeds: the perceptual distance at each point of the curve, then how much lower the last one is than
    the first variant's from the same seed (least to most), then the evaluation's measures."""
    steps = list(results[0]["mean_curve"])
    rows = [["", *(f"step {step}" for step in steps), "below the first", *MEASURES.values()]]
    for result in results:
        lower = [
            1 - points[steps[-1]] / results[0]["curves"][seed][steps[-1]] for seed, points in result["curves"].items()
        ]
        means = result["mean_measures"]
        rows.append(
            [
                result["name"],
                *(f"{result['mean_curve'][step]:.2f}" for step in steps),
                f"{min(lower):+.1%} ... {max(lower):+.1%}",
                *("-" if means[name] is None else f"{means[name]:.4g}" for name in MEASURES),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


if __name__ == "__main__":
    run_command(main)
