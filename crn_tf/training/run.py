"""A training run: epoch by epoch, with validation, logs, sample sheets and checkpoints. `opening` opens one.

The loop talks to the device only when it logs, saves, or ends an epoch: between, steps queue up on it.
"""

import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from crn_tf.command_line import how_to_call
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.model.loss_weights import AUTO, TAP_NAMES, write_loss_weights
from crn_tf.model.synthesizer import Synthesizer
from crn_tf.saved.checkpoints import save_weights
from crn_tf.saved.run_checkpoints import save_checkpoint
from crn_tf.saved.run_folder import RunFolder
from crn_tf.tensors import Tensor
from crn_tf.training.distribution import Distribution
from crn_tf.training.interruptions import Interruptions, PreemptedError, StopRequest
from crn_tf.training.memory import peak_memory_gb
from crn_tf.training.progress import EpochProgress, Forecast, Progress
from crn_tf.training.reports import RunLogs, SampleSheets
from crn_tf.training.run_data import RunData
from crn_tf.training.schedule import LearningRate
from crn_tf.training.settings import TrainSettings
from crn_tf.training.stopping import StopAgreement
from crn_tf.training.trainer import Trainer, Window
from crn_tf.training.validation import Measured, Validation

CALIBRATION_BATCHES = 20  # of --loss-weights auto
LOG_STEPS = 10  # TensorBoard gets the mean over so many steps
MAX_SKIPPED = 10  # steps in a row whose loss or gradients are not finite, seen when it is logged
MIN_LOSS_SCALE = 1.0  # of float16: below, gradients are too large even without scaling


class DivergedError(UserError):
    """The loss or the weights are no longer numbers: there is nothing worth saving."""


@dataclass(frozen=True)
class Epoch:
    """Steps `first` to `last` - 1, of which a run may do only the latter part."""

    number: int  # from 1
    first: int
    last: int
    whole: bool  # False: the run ends before the epoch does

    @classmethod
    def at(cls, step: int, steps_per_epoch: int, last_step: int) -> "Epoch":
        """The epoch that the next step belongs to."""
        before = step // steps_per_epoch
        first, end = before * steps_per_epoch, (before + 1) * steps_per_epoch
        return cls(before + 1, first, min(end, last_step), end <= last_step)


class TrainingRun:
    """Everything a run consists of, and where it stands. Made by `opening.open_run`.

    Attributes:
        step: Steps taken so far.
        last_step: Steps after which it is complete.
        preempted: Whether it was stopped by SIGTERM.
        skipped: Steps of this process whose loss or gradients were not finite, so far as they were logged.
        notes: What was found out when it was opened, a line each.
    """

    def __init__(
        self,
        settings: TrainSettings,
        folder: RunFolder,
        distribution: Distribution,
        data: RunData,
        description: ModelDescription,
        trainer: Trainer,
        step: int,
        notes: Sequence[str] = (),
    ):
        self.settings, self.folder, self.distribution = settings, folder, distribution
        self.data, self.description, self.trainer = data, description, trainer
        self.step, self.notes = step, tuple(notes)
        self.last_step = last_step(settings, data)
        self._rate = LearningRate.of(settings, self.last_step)
        self.preempted, self.skipped = False, 0
        self.validation = None
        if data.validation:
            self.validation = Validation(data.validation, trainer, folder, description, settings)
        self._sheets = SampleSheets(folder, data.samples, Synthesizer(trainer.model), data.classes)
        self._logs = RunLogs(folder.logs if distribution.chief else None)
        self._progress = Progress(tells=distribution.chief)
        self._forecast = Forecast(self.last_step - step)
        self._request = StopRequest()
        self._agreement = StopAgreement(distribution, self._request, step)
        self._saved_step = self._logged_step = step
        self._saved_time = self._logged_time = time.monotonic()
        self._last_loss: Tensor = math.nan
        self._epoch_unseen = False  # SIGTERM came while it was validated

    def run(self, interruptions: Interruptions | None = None) -> bool:
        """Train until the last step or until asked to stop.

        Args:
            interruptions: Of the command; of this run alone if None.

        Returns:
            Whether the run is complete; False after Ctrl-C, or SIGTERM (see `preempted`).

        Raises:
            UserError: The data, the disk or the loss went wrong, or another process trains in the folder. What was
                learned until then is saved, unless it is spoiled; the last checkpoint stays.
        """
        if not self.distribution.chief:
            return self._train(interruptions or Interruptions())
        self.folder.lock()
        try:
            if self.step == 0 and self.folder.checkpoints():
                raise UserError(f"another process has trained in {self.folder.path} meanwhile: choose another --out")
            labels = self.data.files[0].convention.evidence if self.data.files else None
            self.folder.prepare(self.settings.to_json(), self.description, self.data.train.data, labels)
            return self._train(interruptions or Interruptions())
        finally:
            self.folder.unlock()

    def _train(self, interruptions: Interruptions) -> bool:
        with interruptions.saving(self._request):
            try:
                self._begin()
                while self.step < self.last_step and not self._agreement.stops(self.step, now=True):
                    self._train_epoch(Epoch.at(self.step, self.data.train.steps_per_epoch, self.last_step))
            except DivergedError:
                raise
            except UserError as error:  # a data file, or the disk: the weights are good
                raise self._saved(error) from error
            return self._finish()

    def _begin(self) -> None:
        """Show where the run starts, or the epoch that it was stopped or killed before it could show."""
        self._progress.warn(self.data.incomplete())
        if self.step < self.last_step:  # while the validation computes
            threading.Thread(target=self._trace_step, name="tracing").start()
        if self.step == 0:
            with suppress(PreemptedError):  # the loop will see it
                self._calibrate()
            self._show_epoch(0, None)
            return
        epoch = math.ceil(self.step / self.data.train.steps_per_epoch)
        ended = self.step % self.data.train.steps_per_epoch == 0 or self.step == self.last_step
        if ended and not self.folder.sample_sheet(epoch).exists():
            self._show_epoch(epoch, None)

    def _trace_step(self) -> None:
        with suppress(Exception):  # the first step meets the same, and tells of it
            self.trainer.trace_step(self.settings.batch)

    def _train_epoch(self, epoch: Epoch) -> None:
        """Train to the end of an epoch, from wherever in it the run stands, unless it is asked to stop."""
        pairs, batch = self.data.train, self.settings.batch
        if self.step == epoch.first:
            self.trainer.start_measuring()
        if self.distribution.chief:
            self.folder.sample_sheet(epoch.number).unlink(missing_ok=True)  # of a shorter run: outdated
        epochs = math.ceil(self.last_step / pairs.steps_per_epoch)
        total, done = (epoch.last - epoch.first) * batch, (self.step - epoch.first) * batch
        with self._progress.epoch(epoch.number, epochs, total, done) as progress:
            self._logged_step, self._logged_time = self.step, time.monotonic()
            for photos, layouts in pairs.batches(self.step, epoch.last):
                if self._rate.changes:
                    self.trainer.set_learning_rate(self._rate.at(self.step))
                self._last_loss, _ = self.trainer.train_step(photos, layouts)
                self.step += 1
                progress.advance(batch)
                if told := self._forecast.after_step(self.trainer.skipped_last):
                    self._progress.say(told)
                self._progress.warn(self.data.left_out())
                if self.step == epoch.last and self._is_rebalanced_after(epoch):
                    self.trainer.rebalance()  # before anything can go wrong, after which it would be saved without
                if self.step - self._logged_step == LOG_STEPS or self.step == epoch.last:
                    self._log_steps(progress)
                if self.step < epoch.last:  # else what an epoch ends with belongs into the checkpoint
                    if self._agreement.stops(self.step):
                        return
                    self._save_if_due()
        self._end_epoch(epoch, progress.mean_loss)

    def _end_epoch(self, epoch: Epoch, mean_loss: float | None) -> None:
        if self._is_rebalanced_after(epoch):
            self._show_loss_weights("rebalanced: losses before and after are not comparable")
        self._save_if_due()
        self._show_epoch(epoch.number, mean_loss)

    def _is_rebalanced_after(self, epoch: Epoch) -> bool:
        return epoch.number == self.settings.rebalance_epoch and epoch.whole

    def _finish(self) -> bool:
        """Save what there is. Returns whether the run is complete."""
        self.preempted = self.distribution.any(self._request.preempted)
        unseen = self.distribution.any(self._epoch_unseen)
        if self.distribution.chief:
            with self.distribution.needing_nobody():
                self._save()
                save_weights(self.folder.weights, self.trainer.model, self.description)
                self._sheets.write_stages(self.description.image_size, self._start)
                self._logs.close()
        return self.step >= self.last_step and not unseen

    def _saved(self, error: UserError) -> UserError:
        """Save what was learned until an error came that the weights have nothing to do with.

        Returns:
            The error to raise: the same, with what was saved and how to go on.
        """
        with suppress(UserError), self.distribution.needing_nobody():  # the disk may be full: there is one from before
            self._save()
        if not self.distribution.chief or not self.folder.checkpoints():
            return error
        advice = f"when that is mended, go on with: {how_to_call('train')} --resume --out {self.folder.path}"
        return UserError(f"{error}; saved at step {self._saved_step}; {advice}")

    def _calibrate(self) -> None:
        """Measure the terms on the first batches, if the loss weights are to come from there."""
        if self.settings.loss_weights == AUTO:
            self.trainer.start_measuring()
            count = min(CALIBRATION_BATCHES, self.data.train.steps_per_epoch)
            batches = self.data.train.batches(0, count)
            if self.distribution.shard[1] == 1:  # else all stop together, at the first step
                batches = self._request.unless_preempted(batches)
            for batch in tqdm(batches, "calibrating", count, leave=False, disable=None):
                self.trainer.measure(*batch)
            self.trainer.rebalance()
        self._show_loss_weights("at the start")

    def _show_loss_weights(self, when: str) -> None:
        """Log the loss weights; those of the taps alone are also written as a file that --loss-weights takes."""
        if not self.distribution.chief:
            return
        terms = self.trainer.objective.terms
        weights = dict(zip(terms, self.trainer.loss_weights.numpy().tolist(), strict=True))
        if terms == TAP_NAMES:
            write_loss_weights(self.folder.loss_weights, tuple(weights.values()))
        self._logs.write_scalars("loss_weights", weights, self.step)
        told = ", ".join(f"{name} {weight:.4g}" for name, weight in weights.items())
        self._progress.say(f"loss weights {when}: {told}")

    def _show_epoch(self, number: int, train_loss: float | None) -> None:
        """After an epoch: validation loss, weights if they are the best yet, sample sheet, one line of text.

        The other workers wait for the chief. After SIGTERM, all of it is left to the run that goes on.
        """
        if not self.distribution.chief:
            return
        texts = [f"loss {train_loss:.3f}"] if train_loss is not None else []
        if self.validation:
            try:
                measured = self._validate(self.validation)
            except PreemptedError:
                self._epoch_unseen = True
                return
            best = self.validation.keep_if_best(measured, self.step) and number > 0
            texts.append(f"validation loss {measured.loss:.3f} ({len(self.validation.pairs.data)} pairs)")
            texts.append(f"perceptual distance {measured.distance:.3f}{' (the best yet)' if best else ''}")
        self._logs.write_image("samples", self._sheets.write(number), self.step)
        texts.append(str(self.folder.sample_sheet(number)))
        self._progress.say(f"{f'epoch {number}' if number else self._start}, step {self.step}: {', '.join(texts)}")
        self._progress.warn([*self.data.left_out(), *self.data.warnings()])

    @property
    def _start(self) -> str:
        """What the model is called before its first step."""
        return "untrained model" if self.settings.init_from is None else "model to start from"

    def _validate(self, validation: Validation) -> Measured:
        """Loss and perceptual distance on validation pairs, logged.

        Raises:
            PreemptedError: SIGTERM came.
            DivergedError: The loss is no number.
        """
        measured = validation.measure(self._request)
        if not np.isfinite((measured.loss, measured.distance)).all():
            raise self._diverged(f"the validation loss became {measured.loss} at step {self.step}")
        self._log("validation", measured.terms, perceptual_distance=measured.distance)
        return measured

    def _log_steps(self, progress: EpochProgress) -> None:
        """Log what the steps since the last time found out, and look whether they lead anywhere."""
        window = self.trainer.read_window()
        unreadable = int(self.distribution.merged(self.data.train.are_unreadable()).sum())
        self.data.train.check_unreadable(unreadable)  # no worker alone has met all of them
        self.data.check_unknown()
        rate = self._rate.at(self.step - 1)
        progress.show(window, rate if self._rate.changes else None)
        self.skipped += window.skipped
        images = (self.step - self._logged_step) * self.settings.batch
        scalars = {
            "learning_rate": rate,
            "images_per_second": images / (time.monotonic() - self._logged_time),
            "unreadable_pairs": unreadable,
            "skipped_steps": window.skipped,
            "peak_memory_gb": peak_memory_gb(),
        }
        if window.loss_scale is not None:
            scalars["loss_scale"] = window.loss_scale
        if window.discriminator is not None:
            scalars["discriminator_loss"] = window.discriminator
        self._log("train", window.terms, **scalars)
        self._logged_step, self._logged_time = self.step, time.monotonic()
        self._check(window)

    def _check(self, window: Window) -> None:
        """Look whether steps still change the weights.

        Raises:
            DivergedError: The newest did not, and neither did many before it.
        """
        skipped = window.skipped_in_a_row
        if window.loss_scale is None and skipped >= MAX_SKIPPED:
            loss = float(self._last_loss)
            what = "gradients are not finite" if math.isfinite(loss) else f"the loss is {loss}"
            raise self._diverged(f"{what} at step {self.step}, the last of {skipped} in a row that were skipped")
        if window.loss_scale is not None and skipped and window.loss_scale < MIN_LOSS_SCALE:
            what = f"float16's loss scale fell to {window.loss_scale:g} at step {self.step}"
            raise self._diverged(f"{what}, and gradients are still not finite")

    def _diverged(self, what: str) -> DivergedError:
        checkpoints = self.folder.checkpoints()
        kept = f"{checkpoints[-1]} is the last checkpoint" if checkpoints else "there is no checkpoint yet"
        advice = "a lower --lr" if self.settings.precision == "float32" else "a lower --lr, or --precision float32"
        return DivergedError(f"{what}; {kept}: try {advice}")

    def _log(self, part: str, terms: np.ndarray | None, **scalars: float) -> None:
        """Write the loss, each tap's part of it (if there are any), and other numbers to TensorBoard."""
        if terms is not None:
            scalars["loss"] = float(terms.sum())
            for name, term in zip(self.trainer.objective.terms, terms, strict=True):
                scalars[f"tap_{name}" if name in TAP_NAMES else name] = float(term)
        self._logs.write_scalars(part, scalars, self.step)

    def _save_if_due(self) -> None:
        """Save a checkpoint, if the last one is old enough, and the last step was a good one."""
        every = self.settings.checkpoint_steps
        due = time.monotonic() - self._saved_time > 60 * self.settings.checkpoint_minutes
        due = due or bool(every and self.step - self._saved_step >= every)
        if due and self.distribution.chief and not self.trainer.skipped_last():
            self._save()

    def _save(self) -> None:
        """Save a checkpoint, if there is something new and good to save.

        Raises:
            DivergedError: The last step's update was too large.
        """
        if self.step == self._saved_step or not self.distribution.chief:
            return
        if not self.trainer.is_finite():
            raise self._diverged(f"weights became infinite at step {self.step}")
        save_checkpoint(self.folder, self.step, self.trainer.variables())
        self._saved_step, self._saved_time = self.step, time.monotonic()


def last_step(settings: TrainSettings, data: RunData) -> int:
    """Steps after which a run is complete."""
    of_epochs = settings.epochs * data.train.steps_per_epoch
    return min(of_epochs, settings.steps or of_epochs)
