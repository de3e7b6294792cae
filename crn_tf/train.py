"""Train a Cascaded Refinement Network: `python train.py`, `crn train`, or `python -m crn_tf.train`; see `--help`.

python train.py --demo                                              # toy scenes, no files needed
python train.py --res 256 --data cityscapes                         # the 2017 release's schedule
python train.py --size 192x256 --data camvid --images 1 --width 0.5 # another size, another data set
python train.py --resume --out runs/NAME                            # go on
python train.py --resume-or-start --out runs/NAME --data camvid     # for schedulers: start, or go on
python train.py --dry-run --res 1024 --data cityscapes              # what it would take
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crn_tf.command_line import how_to_call
from crn_tf.devices import check_gpus, describe_devices, explaining_exhaustion
from crn_tf.errors import RESTART, STOPPED, UsageError, run_command
from crn_tf.evaluation.kept_segmenters import SEGMENTERS
from crn_tf.saved.run_folder import RunFolder, newest_run
from crn_tf.starting import silence_pillow, start_tensorflow, warn_of_slowness
from crn_tf.training.cluster import find_cluster
from crn_tf.training.flag_groups import Strategy
from crn_tf.training.flags import DEMO, TrainFlags
from crn_tf.training.interruptions import Interruptions
from crn_tf.training.objectives import FIXED, OBJECTIVES, SEGMENTATION
from crn_tf.training.settings import FIXED_AT_START, TrainSettings

if TYPE_CHECKING:
    from crn_tf.training.run import TrainingRun


@dataclass(frozen=True)
class Call:
    """What a command line asks for."""

    settings: TrainSettings
    folder: RunFolder
    strategy: Strategy
    goes_on: bool
    dry_run: bool
    require_gpu: bool
    note: str | None  # on what was decided


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, check what can be checked at once, and train.

    Args:
        arguments: Of the command line; this process' own if None.

    Returns:
        The exit code: 0 for a complete run, `RESTART` after SIGTERM, `STOPPED` after Ctrl-C.
    """
    silence_pillow()
    with Interruptions() as interruptions:
        call = parse(sys.argv[1:] if arguments is None else arguments)
        cluster = find_cluster(call.strategy)

        start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
        check_gpus(call.require_gpu)
        from crn_tf.training.distribution import Distribution
        from crn_tf.training.memory_needs import what_saves_memory
        from crn_tf.training.opening import open_run

        if call.dry_run:
            from crn_tf.training.dry_run import print_plan

            print_plan(call.settings, call.folder, call.strategy, cluster, call.note)
            return 0
        distribution = Distribution.start(call.strategy, cluster, call.settings.batch)
        interruptions.take_back()
        advice = f"{what_saves_memory(call.settings)}; checkpoints in {call.folder.path} stay as they are"
        with distribution.watching(), explaining_exhaustion(advice):
            run = open_run(call.settings, call.folder, distribution)
            if distribution.chief:
                describe(run, call.note)
            complete = run.run(interruptions)
        if distribution.chief:
            skipped = f", of which {run.skipped} were skipped" if run.skipped else ""
            print(f"{'done' if complete else 'stopped'} at step {run.step}{skipped}: {run.folder.stages}")
            if not complete:
                print(f"go on with: {how_to_call('train')} --resume --out {run.folder.path}")
    if complete:
        return 0
    return RESTART if run.preempted else STOPPED


def describe(run: "TrainingRun", note: str | None) -> None:
    """Say what is going to be trained, on what, and where it is kept."""
    from crn_tf.model.passes import unfused_warning

    if note:
        print(note)
    settings, folder, workers = run.settings, run.folder, run.distribution.shard[1]
    print(f"on {describe_devices(settings.precision, run.distribution.replicas // workers, workers)}")
    warn_of_slowness(settings.precision)
    if warning := unfused_warning():
        print(warning, file=sys.stderr)
    height, width = run.description.image_size
    images = "1 image" if settings.images == 1 else f"{settings.images} images"
    print(
        f"{len(run.data.train.data)} pairs at {height}x{width}, {run.description.classes.num_classes} classes, "
        f"{images} per layout, {run.trainer.generator.count_params():,} parameters\n"
        f"{_about_method(run)}"
    )
    for note in run.notes:
        print(note)
    if not run.validation:
        print(f"{settings.data} has no validation split: no validation loss, and training pairs in the sample sheets")
    if settings.train_modules:
        trained = sum(variable.numpy().size for variable in run.trainer.generator.trainable_variables)
        print(f"training only modules {','.join(map(str, settings.train_modules))}: {trained:,} parameters")
    if run.step >= run.last_step:
        print(f"{folder.path} is complete at step {run.step}; give more --epochs or --steps to go on")
    print(f"steps {run.step} to {run.last_step} in {folder.path}; watch: tensorboard --logdir {folder.logs}")


def _about_method(run: "TrainingRun") -> str:
    """The network, if it is no CRN, and the loss, in a line."""
    settings = run.settings
    network = "" if settings.model == "crn" else f"network {settings.model}, "
    if settings.loss_weights == FIXED:
        of_terms = zip(run.trainer.objective.terms, run.trainer.loss_weights.numpy(), strict=True)
        return f"{network}{settings.loss} loss: {' + '.join(f'{weight:.3g} {name}' for name, weight in of_terms)}"
    return f"{network}{settings.loss} loss, its terms weighted by {settings.loss_weights}"


def parse(arguments: Sequence[str]) -> Call:
    """What a command line asks for. What is not given comes from the run that goes on, or from --demo, or from the
    release's schedule.

    Raises:
        UsageError: The arguments make no sense.
        UserError: Data, VGG19 or the run to go on with are not there.
    """
    flags = TrainFlags.parse(arguments)
    run, data = flags.run, flags.data
    if run.resume and run.resume_or_start:
        raise UsageError("--resume goes on only, --resume-or-start also starts: give one of them")
    if run.resume_or_start and not run.out:
        raise UsageError("--resume-or-start needs to know which run: --out RUN")
    if run.demo and (run.resume or data.data):
        raise UsageError("--demo starts a run on the toy streets: leave out --resume and --data")
    goes_on, note = run.resume, None
    if run.resume_or_start and run.out:
        goes_on = bool(RunFolder(run.out).checkpoints())
        note = f"going on with {run.out}" if goes_on else f"{run.out} has no checkpoint to go on from: starting"
    settings, folder = (resume if goes_on else start)(flags, arguments)
    return Call(settings, folder, run.strategy, goes_on, run.dry_run, run.require_gpu, note)


def start(flags: TrainFlags, arguments: Sequence[str]) -> tuple[TrainSettings, RunFolder]:
    """The settings and the folder of a new run.

    Raises:
        UsageError: The arguments make no sense, or the folder has other things in it.
        UserError: Data or VGG19 are not there.
    """
    if flags.run.demo:
        demo = DEMO.changed(size=None) if flags.model.res else DEMO
        if OBJECTIVES[flags.network_and_loss(images=1)[1]].loss_weights:  # of its own, as its learning rate is
            demo = demo.changed(loss_weights=None, lr=None)
        flags = TrainFlags.parse(arguments, instead=demo)
    settings, out = flags.resolved(), flags.run.out
    if not out:
        name = "demo" if flags.run.demo else settings.data.resolve().name if settings.data else settings.dataset
        size = f"{settings.size[0]}x{settings.size[1]}"
        return settings, RunFolder(Path("runs") / f"{name}-{size}-{time.strftime('%Y%m%d-%H%M%S')}")
    folder = RunFolder(out)
    if folder.checkpoints():
        raise UsageError(f"{out} is a run already: go on with --resume, or choose another --out")
    if out.is_dir() and not folder.settings.exists() and any(map(_foreign, out.iterdir())):
        raise UsageError(f"{out} has other files in it: choose a new folder for --out")
    return settings, folder


def _foreign(path: Path) -> bool:
    """Whether a file in a folder is none that a run may have left which was killed as it began."""
    return path.name not in ("lock", SEGMENTERS) and not path.name.endswith(".part")


def resume(given: TrainFlags, arguments: Sequence[str]) -> tuple[TrainSettings, RunFolder]:
    """The settings of the run to go on with, changed by what the command line gives again, and its folder.

    Raises:
        UsageError: The arguments would change what cannot be changed.
        UserError: There is no such run, or its data or VGG19 are not there.
    """
    folder = RunFolder(given.run.out) if given.run.out else newest_run(with_checkpoint=False)
    before = TrainSettings.read(folder.settings)
    asked_before = TrainFlags.of_settings(before)
    if given.model.res:  # the size in other words, or another one with a grid of its own
        asked_before = asked_before.changed(size=None)
    given = given.changed(model=given.model.model or before.model, loss=given.loss.loss or before.loss)
    check_method(given, before, folder)
    size = given.changed(base_grid=None).size_and_grid()[0] if given.model.res or given.model.size else before.size
    if size != before.size:
        asked_before = asked_before.changed(base_grid=None)
    flags = TrainFlags.parse(arguments, instead=asked_before)
    same_data = flags.data.data == before.data or bool(
        flags.data.data and before.data and flags.data.data.resolve() == before.data.resolve()
    )
    if same_data and flags.data.dataset == "toy" != before.dataset:
        raise UsageError(f"--dataset toy: {folder.path} was started on {before.data}, which cannot be changed")
    if before.dataset == "toy" and flags.data.data:
        raise UsageError(
            f"--data {flags.data.data}: {folder.path} was started on the toy streets, which cannot be changed"
        )
    if not same_data and given.data.dataset is None:
        flags = flags.changed(dataset=None)  # the same pairs may lie in another way now
    settings = flags.resolved(before)
    was, now = before.kept(), settings.kept()
    of_segmenter = ("vgg_weights", "vgg_pool") if SEGMENTATION in OBJECTIVES[settings.loss].terms else ()
    for name in (*FIXED_AT_START, *of_segmenter):
        if now[name] != was[name]:
            raise UsageError(f"--{name.replace('_', '-')} of {folder.path} is {was[name]} and cannot be changed")
    return settings, folder


def check_method(given: TrainFlags, before: TrainSettings, folder: RunFolder) -> None:
    """Compare the network and the loss that a run is to go on with to those that it has.

    Raises:
        UsageError: They are others. Losses of the same terms may take each other's place.
    """
    network, loss = given.network_and_loss(before.images)
    if network != before.model:
        raise UsageError(f"--model of {folder.path} is {before.model} and cannot be changed")
    if OBJECTIVES[loss].terms != OBJECTIVES[before.loss].terms:
        raise UsageError(f"--loss of {folder.path} is {before.loss} and cannot be changed to {loss}, of other terms")


if __name__ == "__main__":
    run_command(main)
