"""How do the paper's methods compare on one's own data? Trains all of them alike, judges them together, and writes the
table, the gallery, and a study for people to answer. docs/methods.md says what the methods are.

python benchmarks/paper_comparison.py --data camvid --size 96x128 --steps 2500 --out comparison
python benchmarks/paper_comparison.py --out comparison --data camvid --methods crn pix2pix --seconds 600
"""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import arg

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.paper_table import METHODS, MethodName, about_methods, draw_table, table_notes
from benchmarks.runs import logged, train
from crn_tf import evaluate, study
from crn_tf.command_line import INSTEAD, require_at_least_one
from crn_tf.errors import RESTART, STOPPED, UsageError, UserError, run_command
from crn_tf.evaluation.asking import outside_of
from crn_tf.files import make_folder, read_json, write_text
from crn_tf.model.planning import count_parameters
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.flags import TrainFlags
from crn_tf.training.objectives import OBJECTIVES
from crn_tf.training.settings import TrainSettings

VALIDATION_PAIRS = 8  # while training; no weights are chosen by them
CHECKPOINT_MINUTES = 2.0  # that an interruption costs, at most
MAY_DIFFER = ("steps", "epochs", "remat", "segmenter")  # settings that grow, or that a run decides as it is opened


@dataclass(frozen=True)
class PaperComparison:
    """Train each method of the paper's comparison, from one seed for as many steps, and judge all with one evaluation.

    The same command again goes on where it was stopped: what is complete is not trained again.
    """

    out: Annotated[Path, arg(metavar="FOLDER")]
    """For runs, evaluations, studies, comparison.md and comparison.json."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("the toy scenes"))] = None
    """Folder of a data set with training and validation photographs."""
    methods: tuple[MethodName, ...] = tuple(METHODS)
    """Which, in this order. A study compares the CRN with each other one, or else the first with the others."""
    size: str = "96x128"
    """Height and width: one that the CRN can have."""
    width: float = 0.125
    """Multiplies the feature channels of every network, the discriminators' too."""
    steps: int = 2500
    """Of each training, one pair each."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint=INSTEAD("no second table"))] = None
    """Also train each method for as many steps as take it so many seconds, by what a step took before."""
    seed: int = 0
    """Decides the first weights and the order of pairs."""
    lr: Annotated[float | None, arg(help_behavior_hint=INSTEAD("each method's own, as in train.py"))] = None
    """Adam's learning rate, for all methods."""
    loss_weights: str = "auto"
    """Of the content loss, as train.py takes them; auto: measured for each network on its first batches."""
    vgg_weights: Annotated[
        str | None, arg(metavar="FILE|NAME", help_behavior_hint=INSTEAD("the published file in vgg_weights/"))
    ] = None
    """As in train.py. The judge sees through it too."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Judge only so many validation layouts, evenly spaced."""

    def flags(self, name: MethodName, steps: int) -> dict[str, Any]:
        """The flags of train.py for a method."""
        method = METHODS[name]
        given = {
            **self.of_data(),
            "model": method.model,
            "loss": method.loss,
            "size": self.size,
            "images": 1,
            "width": self.width,
            "epochs": steps,  # enough of them, however few pairs there are
            "steps": steps,
            "seed": self.seed,
            "lr": self.lr,
            "loss_weights": None if OBJECTIVES[method.loss].loss_weights else self.loss_weights,
            "rebalance_epoch": 0,
            "vgg_weights": self.vgg_weights,
            "validation_limit": VALIDATION_PAIRS,
            "checkpoint_minutes": CHECKPOINT_MINUTES,
        }
        return {flag: value for flag, value in given.items() if value is not None}

    def of_data(self) -> dict[str, Any]:
        """The options that name the data set, of all commands."""
        return {"data": self.data} if self.data else {"dataset": "toy"}


@dataclass(frozen=True)
class Trained:
    """A method's training.

    Attributes:
        name: Of the method.
        steps: That it has, once it is complete.
        run: Its folder.
    """

    name: MethodName
    steps: int
    run: RunFolder

    @property
    def complete(self) -> bool:
        """Whether all steps are taken and the weights are written."""
        return self.run.newest_step() == self.steps and self.run.weights.exists()

    def seconds_a_step(self) -> float:
        """The median over what was logged, without validation and saving."""
        return 1 / statistics.median(logged(self.run.path, "train/images_per_second"))  # of one pair a step


class StoppedError(Exception):
    """A training was stopped, and saved. Its argument is the exit code."""


def main() -> int:
    """Train, judge, write.

    Returns:
        The exit code: 0, or as train.py has it where it was stopped.
    """
    options = tyro.cli(PaperComparison)
    trainings = plan(options)
    make_folder(options.out)
    tables = {"steps": trainings}
    try:
        for training in trainings:
            complete(options, training)
        if options.seconds:
            tables["seconds"] = [_for_seconds(options, training) for training in trainings]
            for training in tables["seconds"]:
                complete(options, training)
    except StoppedError as stopped:
        print("stopped: the same command goes on")
        return int(stopped.args[0])
    results = {name: judge(options, each, options.out / name) for name, each in tables.items()}
    report(options, results)
    return 0


def plan(options: PaperComparison) -> list[Trained]:
    """The trainings of equally many steps, checked before the first one begins.

    Raises:
        UsageError: Options make no sense, or runs in the folder were begun with others.
        UserError: Data or VGG19 are not there.
    """
    require_at_least_one(options, "steps", "seconds", "limit")
    if not options.methods or len(set(options.methods)) < len(options.methods):
        raise UsageError(f"--methods: expected each at most once, of {', '.join(METHODS)}")
    outside_of(options.data, "--out", options.out)
    trainings = [_training(options, name, options.steps, "steps") for name in options.methods]
    for training in trainings:
        check_begun(options, training)
    return trainings


def _training(options: PaperComparison, name: MethodName, steps: int, table: str) -> Trained:
    return Trained(name, steps, RunFolder(options.out / table / "runs" / name))


def _for_seconds(options: PaperComparison, before: Trained) -> Trained:
    """The training that takes a method as many seconds as are asked for."""
    steps = max(1, round(options.seconds / before.seconds_a_step()))
    training = _training(options, before.name, steps, "seconds")
    check_begun(options, training)
    return training


def check_begun(options: PaperComparison, training: Trained) -> None:
    """Compare what a training is asked for with what it was begun with, if it was.

    Raises:
        UsageError: They differ, or the options make no sense.
        UserError: Data or VGG19 are not there.
    """
    asked, run = TrainFlags.of(**options.flags(training.name, training.steps)).resolved().kept(), training.run
    if not run.checkpoints():
        return
    before = TrainSettings.read(run.settings).kept()
    for name in asked.keys() - set(MAY_DIFFER):
        if asked[name] != before[name]:
            raise UsageError(
                f"{run.path} was begun with {name} {before[name]}, not {asked[name]}: choose another --out, or the "
                "options that it was begun with"
            )
    if run.newest_step() > training.steps:
        raise UsageError(
            f"{run.path} is at step {run.newest_step()}, behind the {training.steps} that are asked for: choose "
            "another --out, or more --steps"
        )


def complete(options: PaperComparison, training: Trained) -> None:
    """Train a method to its last step, from wherever it stands.

    Raises:
        StoppedError: It was stopped before.
        UserError: It failed.
    """
    if training.complete:
        print(f"{training.name}: complete, {training.steps} steps in {training.run.path}", flush=True)
        return
    print(f"{training.name}: training to step {training.steps} in {training.run.path}", flush=True)
    flags = options.flags(training.name, training.steps) | {"out": training.run.path}
    arguments = [text for flag, value in flags.items() for text in (f"--{flag.replace('_', '-')}", str(value))]
    code = train(["--resume-or-start", *arguments])
    if code in (STOPPED, RESTART):
        raise StoppedError(code)
    if code:
        raise UserError(f"training {training.name} failed, see above; the same command goes on when that is mended")


def judge(options: PaperComparison, trainings: Sequence[Trained], folder: Path) -> dict[str, Any]:
    """Judge all methods in one evaluation, with a gallery, and make the study.

    Args:
        options: What was asked for.
        trainings: Complete ones.
        folder: For evaluation/ and study/.

    Returns:
        What `evaluation.json` has, with a dictionary of each training's numbers in `trained`.

    Raises:
        UserError: Pictures cannot be read or written.
    """
    of_data = [text for name, value in options.of_data().items() for text in (f"--{name}", str(value))]
    arguments = [*of_data, "--out", str(folder / "evaluation"), "--cache", str(options.out / "cache"), "--last"]
    for name in ("vgg_weights", "limit"):
        if getattr(options, name) is not None:
            arguments += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    evaluate.main([*arguments, "--weights", *(f"{each.name}={each.run.path}" for each in trainings)])
    make_study(trainings, folder, of_data)
    from crn_tf.evaluation.reports import JSON_FILE  # only now: it needs TensorFlow

    found = read_json(folder / "evaluation" / JSON_FILE)
    return found | {"trained": {each.name: _about_training(each) for each in trainings}}


def _about_training(training: Trained) -> dict[str, Any]:
    """Numbers of a complete training, as JSON values."""
    from crn_tf.model.other_networks.pix2pix import plan_pix2pix_discriminator  # only now: it needs Keras

    settings, description = TrainSettings.read(training.run.settings), training.run.description()
    discriminator = None
    if OBJECTIVES[settings.loss].adversarial:
        classes = description.classes.num_classes
        plan = plan_pix2pix_discriminator(description.image_size, classes, settings.width)
        discriminator = count_parameters(plan)
    return {
        "steps": training.steps,
        "learning_rate": settings.lr,
        "seconds_per_step": training.seconds_a_step(),
        "parameters": description.parameters,
        "discriminator_parameters": discriminator,
    }


def make_study(trainings: Sequence[Trained], folder: Path, of_data: Sequence[str]) -> None:
    """Make the study of a comparison, unless there is one, which may have answers.

    Raises:
        UserError: Pictures cannot be read, or the study cannot be written.
    """
    out = folder / "study"
    if len(trainings) == 1:
        return
    if out.exists():
        print(f"{out} stays as it is; for a study of the pictures of today, remove it and give the same command again")
        return
    names = sorted((each.name for each in trainings), key=lambda name: name != "crn")
    pictures = [f"{name}={folder / 'evaluation' / evaluate.PICTURES / name}" for name in names]
    study.main(["new", "--a", pictures[0], "--b", *pictures[1:], *of_data, "--out", str(out)])


def report(options: PaperComparison, results: dict[str, dict[str, Any]]) -> None:
    """Print the tables, and write them as Markdown and JSON.

    Raises:
        UserError: They cannot be written.
    """
    from crn_tf.devices import describe_devices

    device = describe_devices("float32", 1)
    titles = {"steps": f"{options.steps:,} steps each", "seconds": f"{options.seconds or 0:g} seconds each"}
    texts, tables = [], {}
    for name, found in results.items():
        methods, notes = about_methods(found), table_notes(found, device)
        texts.append("\n".join([f"## {titles[name]}", "", draw_table(methods), "", *(f"- {note}" for note in notes)]))
        tables[name] = {"methods": methods, "notes": notes}
    text, asked = "\n\n".join(texts), vars(options) | {name: str(getattr(options, name)) for name in ("out", "data")}
    values = {"options": asked, "device": device, "versions": results["steps"]["versions"], "tables": tables}
    written = options.out / "comparison.md", options.out / "comparison.json"
    write_text(written[0], text + "\n")
    write_text(written[1], json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    folders = [options.out / name / each for name in results for each in (f"evaluation/{evaluate.GALLERY}", "study")]
    print(f"\n{text}\n\n{', '.join(map(str, (*written, *folders)))}")


if __name__ == "__main__":
    run_command(main)
