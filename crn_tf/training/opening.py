"""Opening a training run, a new one or one that goes on."""

import dataclasses
from pathlib import Path

import keras

from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.loading import take_over_weights
from crn_tf.saved.release import load_release_checkpoint, release_prefix
from crn_tf.saved.run_checkpoints import restore_checkpoint
from crn_tf.saved.run_folder import RunFolder, contents
from crn_tf.training.adversarial import AdversarialTrainer
from crn_tf.training.building import build_trainer, describe_model
from crn_tf.training.distribution import Distribution, check_compiled
from crn_tf.training.memory_needs import check_memory
from crn_tf.training.objectives import SEGMENTATION, first_weights
from crn_tf.training.run import TrainingRun, last_step
from crn_tf.training.run_data import RunData, open_run_data
from crn_tf.training.run_segmenter import give_segmenter
from crn_tf.training.schedule import LearningRate
from crn_tf.training.settings import TrainSettings
from crn_tf.training.trainer import Trainer


def open_run(settings: TrainSettings, folder: RunFolder, distribution: Distribution | None = None) -> TrainingRun:
    """Open a run: data, networks, and where it stands.

    In this order, since each step relies on those before it:

    1. devices that can share the batch, and compile a step if that is asked for;
    2. the folder, if there is one, for this process alone;
    3. data, and with them how many steps there are;
    4. the model that settings and data ask for, that it fits into memory, and if the run goes on, that it is the run's
       own, as its pairs are;
    5. workers that were all started alike;
    6. random numbers, from the seed; networks, optimizer, and whether to recompute;
    7. weights, optimizer's state and step: of the newest whole checkpoint, else of --init-from, else fresh; and a
       segmenter, if the loss asks for one and no checkpoint has it;
    8. the same for every worker;
    9. the learning rate, which may be another than it was.

    Args:
        settings: What the run does.
        folder: Where it is kept. If it has a checkpoint, the run goes on from there. Only the chief writes there, and
            reads the checkpoint; other workers have it from the chief.
        distribution: The devices to train on; one if None.

    Raises:
        UserError: Data, weights or checkpoint cannot be used, memory would not do, or another process trains in the
            folder.
        UsageError: The devices cannot share the batch equally or cannot compile a step, workers were started
            differently, or the warm-up does not end before the run.
    """
    distribution = distribution or Distribution()
    distribution.check_batch(settings.batch)  # 1
    if settings.jit == "on":
        check_compiled(distribution.replicas, distribution.cluster is not None)

    if distribution.chief and folder.path.is_dir():  # 2
        folder.lock()
    goes_on = bool(folder.checkpoints())

    data = open_run_data(settings, distribution.shard, goes_on)  # 3
    rate = LearningRate.of(settings, last_step(settings, data))
    if not goes_on:
        rate.check()

    description = describe_model(settings, data.classes)  # 4
    if goes_on:
        check_goes_on(folder, description, data)
    check_memory(settings, description, distribution.replicas)

    distribution.check_agreement(_what_workers_share(settings, data))  # 5

    keras.utils.set_random_seed(settings.seed)  # 6
    with distribution.strategy.scope():
        trainer, why = build_trainer(settings, description, distribution.replicas)
    # Kept: a run that goes on with the other recomputation would differ by rounding, with another warm-up by more.
    settings = dataclasses.replace(settings, remat="on" if trainer.recompute else "off", lr_warmup=rate.warmup)
    notes = [*data.notes(), *([why] if trainer.recompute else [])]

    step = 0  # 7
    if distribution.chief:
        step = restore_checkpoint(folder, trainer.variables()) if goes_on else 0
        if step == 0 and settings.init_from:
            notes += _take_over(trainer, settings.init_from, settings.init_optimizer)
        if step == 0 and isinstance(trainer, AdversarialTrainer) and SEGMENTATION in trainer.objective.terms:
            steps = last_step(settings, data)
            segmenter = give_segmenter(trainer, settings, description, data, folder, steps)
            settings = dataclasses.replace(settings, segmenter=segmenter)
            notes.append(f"trained against the segmenter {segmenter}")

    step = distribution.follow_chief(trainer.variables().values(), step)  # 8

    changed = rate.change(step, trainer.learning_rate) if step else None  # 9
    trainer.set_learning_rate(rate.at(step))
    notes += [*about_rate_and_average(settings, rate), *([changed] if changed else [])]

    notes += about_rebalancing(settings, data, step)
    return TrainingRun(settings, folder, distribution, data, description, trainer, step, notes)


def check_goes_on(folder: RunFolder, description: ModelDescription, data: RunData) -> None:
    """Compare a run that is to go on with what it was started with.

    Raises:
        UserError: The run was started with another model, or on other pairs.
    """
    difference = folder.description().difference(description)
    if difference:
        raise UserError(f"the run {folder.path} is of another model: now {difference}")
    folder.check_data(data.train.data)


def _what_workers_share(settings: TrainSettings, data: RunData) -> dict[str, str]:
    """What has to be the same for all workers, as text. Their paths may differ."""
    paths = ("data", "cache", "init_from", "vgg_weights", "loss_weights", "segmenter")
    values = {name: str(value) for name, value in settings.kept().items() if name not in paths}
    values["loss_weights"] = str(first_weights(settings.loss, settings.loss_weights))
    return values | {"names of the data": contents(data.train.data)["names_sha256"]}


def _take_over(trainer: Trainer, path: Path, with_optimizer: bool) -> list[str]:
    """Start from a trained model. Returns lines about what was found in it.

    Raises:
        UserError: The model cannot be read, does not fit, or has no optimizer that could be taken over.
    """
    taken, fresh = take_over_weights(trainer.generator, path)
    if trainer.averaging:
        trainer.averaging.restart()
    new = f"; new: {', '.join(map(str, fresh))}" if fresh else ""
    modules = f"modules taken over from {path}: {', '.join(map(str, taken))}{new}"
    told = [modules if taken else f"all weights taken over from {path}"]
    if with_optimizer:
        prefix = release_prefix(path)
        if not prefix:
            raise UserError(f"{path} is no checkpoint of the 2017 release; go on with a run of ours by --resume")
        optimizer: keras.optimizers.Adam = getattr(trainer.optimizer, "inner_optimizer", trainer.optimizer)  # scaled
        load_release_checkpoint(trainer.generator, prefix, optimizer)
        told.append(f"Adam's moments taken over, step {int(optimizer.iterations.numpy()):,}")
    return told


def about_rate_and_average(settings: TrainSettings, rate: LearningRate) -> list[str]:
    """Lines about what is not as in the release: a learning rate that changes, averaged weights."""
    lines = [f"learning rate: {rate}"] if rate.changes else []
    return lines + ([f"averaged weights (--ema {settings.ema:g}) are the model"] if settings.ema else [])


def about_rebalancing(settings: TrainSettings, data: RunData, step: int) -> list[str]:
    """A line that says so if a run that stands at a step ends before its loss weights are rebalanced."""
    end = settings.rebalance_epoch * data.train.steps_per_epoch
    last = last_step(settings, data)
    if end <= max(last, step):
        return []
    return [
        f"loss weights are not rebalanced: epoch {settings.rebalance_epoch} ends at step {end:,}, the run at "
        f"step {last:,}"
    ]
