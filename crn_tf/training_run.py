"""A training run: epochs with a progress bar, validation, TensorBoard, sample sheets and checkpoints."""

import dataclasses
import math
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from crn_tf.checkpoints import save_weights
from crn_tf.datasets import DataSet, EvenSample, FileDataSet, find_kind, open_data_set, splits
from crn_tf.decoded_cache import DecodedCache
from crn_tf.distribution import Distribution
from crn_tf.errors import UserError
from crn_tf.interruptions import training_begins
from crn_tf.loading import take_over_weights
from crn_tf.loss_weights import AUTO, TAP_NAMES, find_loss_weights, write_loss_weights
from crn_tf.memory import peak_memory_gb
from crn_tf.pipeline import InputPipeline
from crn_tf.precision import PRECISION_POLICIES
from crn_tf.release import load_release_checkpoint, release_prefix
from crn_tf.run_folder import RunFolder, contents
from crn_tf.run_reports import RunLogs, SampleSheets
from crn_tf.settings import TrainSettings
from crn_tf.synthesizer import Synthesizer
from crn_tf.trainer import build_trainer, describe_model

SAMPLES = 4  # rows of a sample sheet
CALIBRATION_BATCHES = 20  # of --loss-weights auto
LOG_STEPS = 10  # TensorBoard gets the mean over so many steps
MAX_SKIPPED = 10  # steps in a row whose loss or gradients are not finite
MIN_LOSS_SCALE = 1.0  # of float16: below, gradients are too large even without scaling


class DivergedError(UserError):
    """The loss or the weights are no longer numbers: there is nothing worth saving."""


class _PreemptedError(Exception):
    """SIGTERM came while validating or calibrating."""


class TrainingRun:
    """Everything a run needs, and where it stands."""

    def __init__(self, settings: TrainSettings, folder: RunFolder, distribution: Distribution | None = None):
        """Open the data, build the networks and, if the run has a checkpoint, load it.

        Args:
            settings: Resolved settings, with the perceiver's weights.
            folder: Where the run is kept. If it has a checkpoint, the run goes on from there. Only the chief writes
                there, and reads the checkpoint; other workers have it from the chief.
            distribution: The devices to train on; one if None.

        Raises:
            UserError: Data, weights or checkpoint cannot be used.
            UsageError: The devices cannot share the batch equally.
        """
        self.settings, self.folder = settings, folder
        self.distribution = distribution or Distribution()
        self.distribution.check_batch(settings.batch)
        if self.distribution.chief and folder.path.is_dir():
            folder.lock()
        keras.config.set_dtype_policy(PRECISION_POLICIES[settings.precision])
        keras.utils.set_random_seed(settings.seed)
        self._open_data()
        self.description = describe_model(settings, self.pipeline.data.classes)
        if folder.checkpoints():
            difference = folder.description().difference(self.description)
            if difference:
                raise UserError(f"the run {folder.path} is of another model: now {difference}")
            folder.check_data(self.pipeline.data)
        self.distribution.check_agreement(self._what_workers_share())
        with self.distribution.strategy.scope():
            self.trainer, why = build_trainer(settings, self.description, self.distribution.replicas)
        # Kept, because a run that goes on with the other choice would differ by rounding.
        self.settings = dataclasses.replace(settings, remat="on" if self.trainer.recompute else "off")
        self.step = 0
        if self.distribution.chief:
            print(why)
            self.step = folder.restore(self.trainer.variables()) if folder.checkpoints() else 0
            if self.step == 0 and settings.init_from:
                self._take_over(settings.init_from)
        self.step = self.distribution.follow_chief(self.trainer.variables().values(), self.step)
        self.trainer.optimizer.learning_rate = settings.lr  # a resumed run may have been given another
        self._logs: RunLogs | None = None  # the chief's, while it trains
        self._sheets = SampleSheets(
            folder, self._samples, Synthesizer(self.trainer.generator), self.description.classes
        )
        epochs_end = settings.epochs * self.pipeline.steps_per_epoch
        self.last_step = min(epochs_end, settings.steps or epochs_end)
        self._stop_requested = False
        self.preempted = False  # by SIGTERM
        self._epoch_unseen = False  # SIGTERM came while the last epoch was validated
        self._warnings: set[str] = set()
        self._saved_step, self._saved_time = self.step, time.monotonic()

    def _open_data(self) -> None:
        s = self.settings
        kind = s.dataset or find_kind(s.data)
        data = open_data_set(s.data, kind, "train", s.image_size[0])
        has_validation = "val" in splits(s.data, kind)
        validation = open_data_set(s.data, kind, "val", s.image_size[0]) if has_validation else None
        for part in (data, validation):
            if isinstance(part, FileDataSet):
                # A run that goes on may have left out some: it does so again.
                part.check_sizes(skip_unreadable=bool(self.folder.checkpoints()))
        if s.cache:
            data = DecodedCache(data, s.image_size, s.fit, s.cache)
        shard = self.distribution.shard
        self.pipeline = InputPipeline(data, s.image_size, s.fit, s.batch, s.seed, s.flip, s.max_unreadable, shard)
        self.validation = None
        if validation:
            # Of a few pairs, a single one may be more than the share.
            share = s.max_unreadable and max(s.max_unreadable, 1 / min(len(validation), s.validation_limit))
            self.validation = self._some(validation, s.validation_limit, share)
        self._samples = self._some(validation or data, SAMPLES, 1.0)  # as long as there is any

    def _what_workers_share(self) -> dict[str, str]:
        """What has to be the same for all workers, as text. Their paths may differ."""
        paths = ("data", "cache", "init_from", "vgg_weights", "loss_weights")
        settings = {name: str(value) for name, value in self.settings.kept().items() if name not in paths}
        settings["loss_weights"] = str(find_loss_weights(self.settings.loss_weights))
        return settings | {"names of the data": contents(self.pipeline.data)["names_sha256"]}

    def _some(self, data: DataSet, count: int, max_unreadable: float) -> InputPipeline:
        size, fit = self.settings.image_size, self.settings.fit
        return InputPipeline(EvenSample(data, count), size, fit, max_unreadable=max_unreadable)

    def _take_over(self, path: Path) -> None:
        """Start from a trained model, and say what was found in it."""
        taken, fresh = take_over_weights(self.trainer.generator, path)
        new = f"; new: {', '.join(map(str, fresh))}" if fresh else ""
        print(f"modules taken over from {path}: {', '.join(map(str, taken))}{new}")
        if self.settings.init_optimizer:
            prefix = release_prefix(path)
            if not prefix:
                raise UserError(f"{path} is no checkpoint of the 2017 release; go on with a run of ours by --resume")
            optimizer = getattr(self.trainer.optimizer, "inner_optimizer", self.trainer.optimizer)  # under loss scaling
            load_release_checkpoint(self.trainer.generator, prefix, optimizer)
            print(f"Adam's moments taken over, step {int(optimizer.iterations.numpy()):,}")

    def run(self) -> bool:
        """Train until the last step or until asked to stop.

        Returns:
            Whether the run is complete; False after Ctrl-C, or SIGTERM (see `preempted`).

        Raises:
            UserError: The data, the disk or the loss went wrong, or another process trains in the folder. What was
                learned until then is saved, unless it is spoiled; the last checkpoint stays.
        """
        if not self.distribution.chief:
            return self._run()
        self.folder.lock()
        try:
            if self.step == 0 and self.folder.checkpoints():
                raise UserError(f"another process has trained in {self.folder.path} meanwhile: choose another --out")
            self.folder.prepare(self.settings.to_json(), self.description, self.pipeline.data)
            return self._run()
        finally:
            self.folder.unlock()

    def _run(self) -> bool:
        complete, chief = True, self.distribution.chief
        with self._stopping_between_steps():
            try:
                self._logs = RunLogs(self.folder.logs) if chief else None
                if self.step == 0:
                    self._calibrate()
                    self._show_epoch(0, None)
                else:
                    self._show_unseen_epoch()
                while self.step < self.last_step and not self._stopping():
                    self._run_epoch()
            except _PreemptedError:
                complete = False
            except DivergedError:
                raise
            except UserError as error:  # a data file, or the disk: the weights are good
                with suppress(UserError):  # the disk is still full: there is one from before, or none
                    self._save()
                if not chief or not self.folder.checkpoints():
                    raise
                advice = f"when that is mended, go on with: python train.py --resume --out {self.folder.path}"
                raise UserError(f"{error}; saved at step {self._saved_step}; {advice}") from error
            self.preempted = self.distribution.any(self.preempted)
            complete = complete and not self.distribution.any(self._epoch_unseen)
            if chief:
                self._save()
                save_weights(self.folder.weights, self.trainer.generator, self.description)
                self._sheets.write_stages(self.description.image_size)
                self._logs.close()
        return complete and self.step >= self.last_step

    def _run_epoch(self) -> None:
        """Train to the end of the current epoch, from wherever in it the run stands."""
        per_epoch, batch = self.pipeline.steps_per_epoch, self.settings.batch
        epoch = self.step // per_epoch  # complete ones
        first, last = epoch * per_epoch, min((epoch + 1) * per_epoch, self.last_step)
        epochs = math.ceil(self.last_step / per_epoch)
        if self.step == first:
            self.trainer.start_measuring()
        if self.distribution.chief:
            self._sheets.path(epoch + 1).unlink(missing_ok=True)  # of a shorter run, or of the same step: outdated
        losses: list[float] = []
        window: list[np.ndarray] = []
        skipped, since = 0, time.monotonic()
        with tqdm(
            desc=f"epoch {epoch + 1}/{epochs}",
            total=(last - first) * batch,
            initial=(self.step - first) * batch,
            unit="img",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.distribution.chief,
        ) as bar:
            for photos, layouts in self.pipeline.batches(self.step, last):
                loss, terms = self.trainer.train_step(photos, layouts)
                self.step += 1
                if self._was_applied(float(loss)):
                    losses.append(float(loss))
                    window.append(terms.numpy())
                    bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.2f}", refresh=False)
                else:
                    skipped += 1
                bar.update(batch)
                self._warn()
                if len(window) + skipped == LOG_STEPS or self.step == last:
                    unreadable = self.distribution.total(len(self.pipeline.unreadable))
                    self.pipeline.check_unreadable(unreadable)  # no worker alone has met all of them
                    self._log(
                        "train",
                        np.mean(window, axis=0) if window else None,
                        images_per_second=(len(window) + skipped) * batch / (time.monotonic() - since),
                        unreadable_pairs=unreadable,
                        skipped_steps=skipped,
                    )
                    window, skipped, since = [], 0, time.monotonic()
                if self.step < last:  # else what an epoch ends with belongs into the checkpoint
                    if self._stopping():
                        return
                    self._save_if_due()
        if epoch + 1 == self.settings.rebalance_epoch and self.step == first + per_epoch:
            self.trainer.rebalance()
            self._show_loss_weights("rebalanced: losses before and after are not comparable")
        self._save_if_due()
        self._show_epoch(epoch + 1, float(np.mean(losses)) if losses else None)

    def _calibrate(self) -> None:
        """Measure the terms on the first batches, if the loss weights are to come from there."""
        if self.settings.loss_weights == AUTO:
            self.trainer.start_measuring()
            count = min(CALIBRATION_BATCHES, self.pipeline.steps_per_epoch)
            batches = self.pipeline.batches(0, count)
            if self.distribution.shard[1] == 1:  # else all stop together, at the first step
                batches = self._unless_preempted(batches)
            for batch in tqdm(batches, "calibrating", count, leave=False, disable=None):
                self.trainer.measure(*batch)
            self.trainer.rebalance()
        self._show_loss_weights("at the start")

    def _show_loss_weights(self, when: str) -> None:
        """Log the loss weights, and write them as a file that --loss-weights takes."""
        if not self.distribution.chief:
            return
        weights = dict(zip(TAP_NAMES, self.trainer.loss_weights.numpy().tolist(), strict=True))
        write_loss_weights(self.folder.loss_weights, tuple(weights.values()))
        self._logs.write_scalars("loss_weights", weights, self.step)
        tqdm.write(f"loss weights {when}: " + ", ".join(f"{name} {weight:.4g}" for name, weight in weights.items()))

    def _was_applied(self, loss: float) -> bool:
        """Whether the step just taken changed the weights.

        Raises:
            DivergedError: It did not, and neither did many before it.
        """
        skipped = int(self.trainer.skipped_in_a_row.numpy())
        if not skipped:
            return True
        scale = self.trainer.loss_scale
        if scale is None:
            if skipped >= MAX_SKIPPED:
                what = f"the loss is {loss}" if not math.isfinite(loss) else "gradients are not finite"
                raise self._diverged(f"{what} at step {self.step}, the last of {skipped} in a row that were skipped")
        elif float(scale.numpy()) < MIN_LOSS_SCALE:
            what = f"float16's loss scale fell to {float(scale.numpy()):g} at step {self.step}"
            raise self._diverged(f"{what}, and gradients are still not finite")
        return False

    def _diverged(self, what: str) -> DivergedError:
        checkpoints = self.folder.checkpoints()
        kept = f"{checkpoints[-1]} is the last checkpoint" if checkpoints else "there is no checkpoint yet"
        advice = "a lower --lr" if self.settings.precision == "float32" else "a lower --lr, or --precision float32"
        return DivergedError(f"{what}; {kept}: try {advice}")

    def _save_if_due(self) -> None:
        """Save a checkpoint, if the last one is old enough, and the last step was a good one."""
        every = self.settings.checkpoint_steps
        due = time.monotonic() - self._saved_time > 60 * self.settings.checkpoint_minutes
        if (due or (every and self.step - self._saved_step >= every)) and not self.trainer.skipped_in_a_row.numpy():
            self._save()

    def _save(self) -> None:
        """Save a checkpoint, if there is something new and good to save.

        Raises:
            DivergedError: The last step's update was too large.
        """
        if self.step == self._saved_step or not self.distribution.chief:
            return
        if not all(tf.reduce_all(tf.math.is_finite(v.value)) for v in self.trainer.generator.variables):
            raise self._diverged(f"weights became infinite at step {self.step}")
        self.folder.save(self.step, self.trainer.variables())
        self._saved_step, self._saved_time = self.step, time.monotonic()

    def _stopping(self) -> bool:
        """Whether a worker was asked to stop: then all do, after the same step."""
        return self.distribution.any(self._stop_requested)

    @contextmanager
    def _stopping_between_steps(self) -> Iterator[None]:
        """Ctrl-C lets the current step end, then stops; a second one stops at once. SIGTERM also ends a validation."""

        def request_stop(number, frame):
            if number == signal.SIGINT and self._stop_requested:
                raise KeyboardInterrupt
            self._stop_requested = True
            if number == signal.SIGTERM:
                self.preempted = True
                tqdm.write("SIGTERM: saving after this step", file=sys.stderr)
            else:
                tqdm.write("stopping after this step (Ctrl-C again: at once, without saving)", file=sys.stderr)

        before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        training_begins()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _unless_preempted(self, items: Iterable) -> Iterator:
        """The same items.

        Raises:
            _PreemptedError: SIGTERM came.
        """
        for item in items:
            if self.preempted:
                raise _PreemptedError
            yield item

    def _show_unseen_epoch(self) -> None:
        """Show the epoch that ended with this step, if the run was stopped or killed before it did."""
        per_epoch = self.pipeline.steps_per_epoch
        epoch = math.ceil(self.step / per_epoch)
        ended = self.step % per_epoch == 0 or self.step == self.last_step
        if ended and not self._sheets.path(epoch).exists():
            self._show_epoch(epoch, None)

    def _show_epoch(self, epoch: int, train_loss: float | None) -> None:
        """After an epoch: validation loss, weights if they are the best yet, sample sheet, one line of text.

        The other workers wait for the chief. After SIGTERM, all of it is left to the run that goes on.
        """
        if not self.distribution.chief:
            return
        texts = []
        if train_loss is not None:
            texts.append(f"loss {train_loss:.3f}")
        if self.validation:
            try:
                terms = self._validate()
            except _PreemptedError:
                self._epoch_unseen = True
                return
            best = "the best yet, " if epoch and self._keep_if_best(float(terms.sum())) else ""
            texts.append(f"validation loss {terms.sum():.3f} ({best}{len(self.validation.data)} pairs)")
        self._logs.write_image("samples", self._sheets.write(epoch), self.step)
        texts.append(str(self._sheets.path(epoch)))
        tqdm.write(f"epoch {epoch}, step {self.step}: {', '.join(texts)}")
        self._warn(self.pipeline.data.warning(), self.validation.data.warning() if self.validation else None)

    def _warn(self, *warnings: str | None) -> None:
        """Say what is given, and which pairs are left out, unless it was said before."""
        pipelines = filter(None, (self.pipeline, self.validation, self._samples))
        left_out = [f"{why}; the pair is left out" for pipeline in pipelines for why in pipeline.unreadable]
        for warning in filter(None, (*left_out, *warnings)):
            if warning not in self._warnings:  # colours: another one if there are more files in the count now
                self._warnings.add(warning)
                tqdm.write(f"warning: {warning}", file=sys.stderr)

    def _keep_if_best(self, validation_loss: float) -> bool:
        """Keep the generator beside the checkpoints, if its loss is the lowest since the loss is measured like this."""
        kept = self.settings.kept()
        measured = {
            "validation_loss": validation_loss,
            "step": self.step,
            **{name: kept[name] for name in ("loss", "vgg_weights", "vgg_pool")},
            "loss_weights": self.trainer.loss_weights.numpy().tolist(),
            "pairs": len(self.validation.data),
            "unreadable_pairs": len(self.validation.unreadable),
        }
        return self.folder.save_if_best(self.trainer.generator, self.description, measured)

    def _validate(self) -> np.ndarray:
        """Each tap's part of the loss on validation pairs, logged."""
        count = len(self.validation.data)
        batches = self._unless_preempted(self.validation.batches(0, count))
        pairs = tqdm(batches, "validation", count, leave=False, unit="pair", disable=None)
        terms = np.mean([self.trainer.evaluate(*pair)[1].numpy() for pair in pairs], axis=0)
        if not np.isfinite(terms).all():
            raise self._diverged(f"the validation loss became {terms.sum()} at step {self.step}")
        self._log("validation", terms)
        return terms

    def _log(self, part: str, terms: np.ndarray | None, **scalars: float) -> None:
        """Write the loss, each tap's part of it (if there are any), and other numbers to TensorBoard."""
        if not self.distribution.chief:
            return
        if terms is not None:
            scalars["loss"] = float(terms.sum())
            scalars |= {f"tap_{name}": float(term) for name, term in zip(TAP_NAMES, terms, strict=True)}
        if part == "train":
            scalars["peak_memory_gb"] = peak_memory_gb()
            if self.trainer.loss_scale is not None:
                scalars["loss_scale"] = float(self.trainer.loss_scale.numpy())
        self._logs.write_scalars(part, scalars, self.step)
