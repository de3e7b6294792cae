"""Train a Cascaded Refinement Network. See README.md, or `python train.py --help`.

python train.py --demo                                              # toy scenes, no files needed
python train.py --res 256 --data cityscapes                         # the 2017 release's schedule
python train.py --size 192x256 --data camvid --images 1 --width 0.5 # another size, another data set
python train.py --resume --out runs/NAME                            # go on
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from crn_tf.cluster import find_cluster
from crn_tf.datasets import EXPECTED_FORMS
from crn_tf.errors import RESTART, STOPPED, UsageError, UserError, run_command
from crn_tf.interruptions import leaving_at_once
from crn_tf.quiet import start_tensorflow, warn_of_slowness
from crn_tf.settings import DEMO, FIXED_AT_START, TrainSettings
from crn_tf.vgg_weights import find_weights

if TYPE_CHECKING:
    from crn_tf.training_run import TrainingRun


def main() -> int:
    """Parse the command line, check what can be checked at once, and train."""
    with leaving_at_once() as take_signals:
        settings, folder_path = parse(sys.argv[1:])
        settings = check_needs(settings)
        cluster = find_cluster(settings.strategy)

        start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
        from crn_tf.distribution import Distribution
        from crn_tf.run_folder import RunFolder
        from crn_tf.training_run import TrainingRun

        distribution = Distribution.start(settings.strategy, cluster, settings.batch)
        take_signals()
        with distribution.watching():
            run = TrainingRun(settings, RunFolder(folder_path), distribution)
            if distribution.chief:
                describe(run)
            complete = run.run()
    if distribution.chief:
        print(f"{'done' if complete else 'stopped'} at step {run.step}: {run.folder.stages}")
        if not complete:
            print(f"go on with: python train.py --resume --out {run.folder.path}")
    if complete:
        return 0
    return RESTART if run.preempted else STOPPED


def describe(run: "TrainingRun") -> None:
    """Say what is going to be trained, on what, and where it is kept."""
    settings, folder = run.settings, run.folder
    warn_of_slowness(settings.precision)
    height, width = run.description.image_size
    if not run.validation:
        print(f"{settings.data} has no validation split: no validation loss, and training pairs in the sample sheets")
    if run.step >= run.last_step:
        print(f"{folder.path} is complete at step {run.step}; give more --epochs or --steps to go on")
    print(
        f"{len(run.pipeline.data)} pairs at {height}x{width}, {run.description.classes.num_classes} classes, "
        f"{settings.images} image(s) per layout, {settings.loss} loss, {settings.loss_weights} weights, "
        f"{run.trainer.generator.count_params():,} parameters\n"
        f"steps {run.step} to {run.last_step} in {folder.path}; watch: tensorboard --logdir {folder.logs}"
    )
    if settings.train_modules:
        trained = sum(variable.numpy().size for variable in run.trainer.generator.trainable_variables)
        print(f"training only modules {settings.train_modules}: {trained:,} parameters")


def parse(arguments: list[str]) -> tuple[TrainSettings, Path]:
    """Settings and run folder from the command line. What is not given comes from the run that is resumed, or
    from --demo, or from the release's schedule."""
    given = tyro.cli(TrainSettings, args=arguments)
    if given.demo and (given.resume or given.data):
        raise UsageError("--demo starts a run on the toy scenes: leave out --resume and --data")
    if given.resume:
        return resume(given, arguments)
    if given.demo:
        demo = dataclasses.replace(DEMO, size=None) if given.res else DEMO
        given = tyro.cli(TrainSettings, args=arguments, default=demo)
    settings = given.resolved()
    if not settings.out:
        name = "demo" if settings.demo else settings.data.resolve().name if settings.data else settings.dataset
        return settings, Path("runs") / f"{name}-{settings.size}-{time.strftime('%Y%m%d-%H%M%S')}"
    if any(settings.out.glob("checkpoints/step_*")):
        raise UsageError(f"{settings.out} is a run already: go on with --resume, or choose another --out")
    if (
        settings.out.is_dir()
        and not (settings.out / "settings.json").exists()
        and any(map(_foreign, settings.out.iterdir()))
    ):
        raise UsageError(f"{settings.out} has other files in it: choose a new folder for --out")
    return settings, settings.out


def _foreign(path: Path) -> bool:
    """Whether a file in a folder is none that a run may have left which was killed as it began."""
    return path.name != "lock" and not path.name.endswith(".part")


def resume(given: TrainSettings, arguments: list[str]) -> tuple[TrainSettings, Path]:
    """The settings of the run to go on with, changed by what the command line gives again."""
    if given.out:
        folder = given.out
    else:
        start_tensorflow(one_at_a_time=True)
        from crn_tf.run_folder import newest_run

        folder = newest_run(with_checkpoint=False).path
    saved = TrainSettings.read(folder / "settings.json")
    sizes = {"size": None, "base_grid": None} if given.res else {}
    settings = tyro.cli(TrainSettings, args=arguments, default=dataclasses.replace(saved, **sizes))
    settings = dataclasses.replace(settings, resume=False).resolved()
    before, now = saved.kept(), settings.kept()
    for name in FIXED_AT_START:
        if now[name] != before[name]:
            raise UsageError(f"--{name.replace('_', '-')} of {folder} is {before[name]} and cannot be changed")
    return settings, folder


def check_needs(settings: TrainSettings) -> TrainSettings:
    """Say at once, and all together, what a run lacks; name the VGG19 file if it was left to be found.

    Raises:
        UserError: There is no data or no VGG19 file.
    """
    missing = []
    if not settings.data and settings.dataset != "toy":
        missing.append(
            "no data: --data FOLDER with one of\n"
            f"{EXPECTED_FORMS}\n"
            "  Cityscapes: https://www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip)"
        )
    if not settings.vgg_weights:
        try:
            settings = dataclasses.replace(settings, vgg_weights=str(find_weights()))
        except UserError as error:
            missing.append(str(error))
    if missing:
        missing.append("--demo needs neither.")
        raise (UserError if settings.data or settings.dataset else UsageError)("\n".join(missing))
    return settings


if __name__ == "__main__":
    run_command(main)
