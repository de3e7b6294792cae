"""Validation: loss and perceptual distance on pairs that are not trained on, and the weights that came nearest."""

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from crn_tf.data.pipeline import InputPipeline
from crn_tf.model.description import ModelDescription
from crn_tf.saved.run_checkpoints import keep_if_best
from crn_tf.saved.run_folder import Best, RunFolder
from crn_tf.training.interruptions import StopRequest
from crn_tf.training.settings import TrainSettings
from crn_tf.training.trainer import Trainer


@dataclass(frozen=True)
class Measured:
    """What was measured on the validation pairs.

    Attributes:
        terms: Each tap's part of the loss, the mean over the pairs, float32 [taps].
        distance: The perceptual distance, the mean over the pairs: the same measure for all of a run, and for others
            with the same perceiver.
    """

    terms: np.ndarray
    distance: float

    @property
    def loss(self) -> float:
        """The loss."""
        return float(self.terms.sum())


class Validation:
    """The validation of a run."""

    def __init__(
        self,
        pairs: InputPipeline,
        trainer: Trainer,
        folder: RunFolder,
        description: ModelDescription,
        settings: TrainSettings,
    ):
        self.pairs, self._trainer = pairs, trainer
        self._folder, self._description, self._settings = folder, description, settings

    def measure(self, request: StopRequest) -> Measured:
        """Loss and perceptual distance, the means over validation pairs.

        Raises:
            PreemptedError: SIGTERM came.
            UserError: Too many pairs cannot be read.
        """
        count = len(self.pairs.data)
        batches = request.unless_preempted(self.pairs.batches(0, count))
        shown = tqdm(batches, "validation", count, leave=False, unit="pair", disable=None)
        found = [[value.numpy() for value in self._trainer.evaluate(*pair)[1:]] for pair in shown]
        return Measured(np.mean([terms for terms, _ in found], axis=0), float(np.mean([value for _, value in found])))

    def keep_if_best(self, measured: Measured, step: int) -> bool:
        """Keep the generator beside the checkpoints, if its perceptual distance is the lowest.

        Raises:
            UserError: The weights cannot be written.
        """
        kept = self._settings.kept()
        how = {
            **{name: kept[name] for name in ("vgg_weights", "vgg_pool")},
            "pairs": len(self.pairs.data),
            "unreadable_pairs": len(self.pairs.unreadable),
        }
        best = Best(step, measured.distance, measured.loss, how, compared_until=step)
        return keep_if_best(self._folder, self._trainer.model, self._description, best)
