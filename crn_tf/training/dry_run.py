"""What a run would be, without training it: `train.py --dry-run`. Writes nothing."""

import sys

from crn_tf.devices import describe_devices
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.model.perceiver import build_perceiver
from crn_tf.saved.release import release_prefix
from crn_tf.saved.run_folder import RunFolder, no_weights
from crn_tf.training.building import describe_model
from crn_tf.training.cluster import Cluster
from crn_tf.training.distribution import check_compiled, check_shared, choose_devices
from crn_tf.training.flag_groups import Strategy
from crn_tf.training.memory import available_in_words
from crn_tf.training.memory_needs import StepKind, check_memory, choose_recomputation, training_memory_gb
from crn_tf.training.opening import about_rate_and_average, about_rebalancing, check_goes_on
from crn_tf.training.progress import duration
from crn_tf.training.reports import newest_images_per_second
from crn_tf.training.run import last_step
from crn_tf.training.run_data import RunData, open_run_data
from crn_tf.training.schedule import LearningRate
from crn_tf.training.settings import TrainSettings


def print_plan(
    settings: TrainSettings, folder: RunFolder, strategy: Strategy, cluster: Cluster | None, note: str | None = None
) -> None:
    """Print a run's settings, devices, data, parameters, memory, and time as far as it is known.

    Raises:
        UserError: Data, weights, devices or the run to go on with cannot be used, or memory would not do.
        UsageError: The devices cannot share the batch equally.
    """
    if note:
        print(note)
    for name, value in settings.kept().items():
        print(f"{name.replace('_', ' ')}: {'none' if value is None else value}")
    name, devices = choose_devices(strategy, cluster, settings.batch)
    workers = len(cluster.addresses) if cluster and name == "multi-worker" else 1
    check_shared(settings.batch, workers * len(devices))
    if settings.jit == "on":
        check_compiled(workers * len(devices), name == "multi-worker")
    print(f"device: {describe_devices(settings.precision, len(devices), workers)}")
    _check_start(settings, folder)

    data = open_run_data(settings, goes_on=bool(folder.checkpoints()), use_cache=False)
    description = describe_model(settings, data.classes)
    if folder.checkpoints():
        check_goes_on(folder, description, data)
    validation = f"{len(data.validation.data)} validation pairs" if data.validation else "no validation split"
    print(f"data: {len(data.train.data)} training pairs, {validation}, {description.classes.num_classes} classes")
    for note in data.notes():
        print(note)
    for warning in (*data.incomplete(), *data.warnings()):
        print(f"warning: {warning}", file=sys.stderr)
    print(f"parameters: {description.parameters:,}")
    _print_memory(settings, description, settings.batch // (workers * len(devices)))
    _print_schedule(settings, folder, data)
    check_memory(settings, description, workers * len(devices))
    print("dry run: nothing was written")


def _check_start(settings: TrainSettings, folder: RunFolder) -> None:
    """Check what a run starts from, and where it would be kept.

    Raises:
        UserError: The trained model is missing, or a file is in the place of the run's folder.
    """
    start = settings.init_from
    if start and not start.exists() and not release_prefix(start):
        raise no_weights(start)
    for place in (folder.path, *folder.path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"cannot make the folder {folder.path}: {place} is a file")


def _print_memory(settings: TrainSettings, description: ModelDescription, share: int) -> None:
    """What a step needs, for a device's share of the batch; and that VGG19 can be read. Downloads nothing."""
    if settings.vgg_weights == "imagenet":
        print("VGG19: its published file is fetched if it is not there")
    else:
        build_perceiver(settings.vgg_weights, settings.vgg_pool)
    kind = StepKind.of(settings)
    _, why = choose_recomputation(settings.remat, description, share, settings.precision, kind)
    if settings.remat != "auto":  # else it tells
        each = (training_memory_gb(description, share, settings.precision, on, kind) for on in (False, True))
        without, with_it = each
        why += f"; about {without:.1f} GB are needed without it, {with_it:.1f} GB with it, {available_in_words()}"
    print(f"memory: {why}")


def _print_schedule(settings: TrainSettings, folder: RunFolder, data: RunData) -> None:
    per_epoch, last = data.train.steps_per_epoch, last_step(settings, data)
    done = folder.newest_step()
    print(f"steps: {done:,} to {last:,}, {per_epoch:,} in an epoch, in {folder.path}")
    rate = LearningRate.of(settings, last)
    if not done:
        rate.check()
    for line in (*about_rate_and_average(settings, rate), *about_rebalancing(settings, data, done)):
        print(line)
    speed = newest_images_per_second(folder.logs) if done else None
    if speed:
        epoch, rest = (steps * settings.batch / speed for steps in (per_epoch, max(0, last - done)))
        at = f"at the {speed:.3g} images per second that it was last trained at"
        print(f"time: {duration(epoch)} for an epoch, {duration(rest)} to the end, {at}")
    else:
        print("time for an epoch: not known before the first steps")
