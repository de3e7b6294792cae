"""What a run would be, without training it: `train.py --dry-run`. Writes nothing."""

from crn_tf.model.perceiver import build_perceiver
from crn_tf.precision import computing_in
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.cluster import Cluster
from crn_tf.training.distribution import device_names, shareable
from crn_tf.training.flags import Strategy
from crn_tf.training.memory import available_in_words, choose_recomputation, training_memory_gb
from crn_tf.training.opening import about_rebalancing, check_goes_on
from crn_tf.training.reports import newest_images_per_second
from crn_tf.training.run import last_step
from crn_tf.training.run_data import RunData, open_run_data
from crn_tf.training.settings import TrainSettings
from crn_tf.training.trainer import describe_model


def print_plan(
    settings: TrainSettings, folder: RunFolder, goes_on: bool, strategy: Strategy, cluster: Cluster | None
) -> None:
    """Print a run's settings, devices, data, parameters, memory, and time as far as it is known.

    Raises:
        UserError: Data, weights or the run to go on with cannot be used.
    """
    for name, value in settings.kept().items():
        print(f"{name.replace('_', ' ')}: {'none' if value is None else value}")
    devices = device_names()
    share = settings.batch // (1 if strategy == "single" else shareable(settings.batch, len(devices)))
    print(f"device: {', '.join(devices)}" + (f"; {len(cluster.addresses)} workers" if cluster else ""))

    data = open_run_data(settings, goes_on=bool(folder.checkpoints()), use_cache=False)
    description = describe_model(settings, data.classes)
    if folder.checkpoints():
        check_goes_on(folder, description, data)
    validation = f"{len(data.validation.data)} validation pairs" if data.validation else "no validation split"
    print(f"data: {len(data.train.data)} training pairs, {validation}, {description.classes.num_classes} classes")
    print(f"parameters: {description.parameters:,}")

    with computing_in(settings.precision):
        generator, perceiver = description.build(), build_perceiver(settings.vgg_weights, settings.vgg_pool)
    _, why = choose_recomputation(settings.remat, generator, perceiver, share, settings.precision)
    needed = training_memory_gb(generator, perceiver, share, settings.precision)
    if settings.remat != "auto":  # else it tells
        why = f"{why}; about {needed:.1f} GB are needed without it, {available_in_words()}"
    print(f"memory: {why}")

    _print_schedule(settings, folder, data, goes_on)
    print("dry run: nothing was written")


def _print_schedule(settings: TrainSettings, folder: RunFolder, data: RunData, goes_on: bool) -> None:
    per_epoch, last = data.train.steps_per_epoch, last_step(settings, data)
    done = int(folder.checkpoints()[-1].name.removeprefix("step_")) if folder.checkpoints() else 0
    print(f"steps: {done:,} to {last:,}, {per_epoch:,} in an epoch, in {folder.path}")
    for line in about_rebalancing(settings, data):
        print(line)
    rate = newest_images_per_second(folder.logs) if goes_on else None
    if rate:
        epoch, rest = (steps * settings.batch / rate for steps in (per_epoch, max(0, last - done)))
        at = f"at the {rate:.3g} images per second that it was last trained at"
        print(f"time: {_duration(epoch)} for an epoch, {_duration(rest)} to the end, {at}")
    else:
        print("time for an epoch: not known before the first steps")


def _duration(seconds: float) -> str:
    """A time in the unit that a person would choose."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
