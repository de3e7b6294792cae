"""Validation: the loss on pairs that are not trained on, and the weights that were the best at it."""

import numpy as np
from tqdm import tqdm

from crn_tf.data.pipeline import InputPipeline
from crn_tf.model.description import ModelDescription
from crn_tf.saved.run_checkpoints import keep_if_best
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.interruptions import StopRequest
from crn_tf.training.settings import TrainSettings
from crn_tf.training.trainer import Trainer


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

    def measure(self, request: StopRequest) -> np.ndarray:
        """Each tap's part of the loss, the mean over validation pairs.

        Returns:
            float32 [taps].

        Raises:
            PreemptedError: SIGTERM came.
            UserError: Too many pairs cannot be read.
        """
        count = len(self.pairs.data)
        batches = request.unless_preempted(self.pairs.batches(0, count))
        shown = tqdm(batches, "validation", count, leave=False, unit="pair", disable=None)
        return np.mean([self._trainer.evaluate(*pair)[1].numpy() for pair in shown], axis=0)

    def keep_if_best(self, loss: float, step: int) -> bool:
        """Keep the generator beside the checkpoints, if its loss is the lowest since the loss is measured like this.

        Raises:
            UserError: The weights cannot be written.
        """
        kept = self._settings.kept()
        measured = {
            "validation_loss": loss,
            "step": step,
            **{name: kept[name] for name in ("loss", "vgg_weights", "vgg_pool")},
            "loss_weights": self._trainer.loss_weights.numpy().tolist(),
            "pairs": len(self.pairs.data),
            "unreadable_pairs": len(self.pairs.unreadable),
        }
        return keep_if_best(self._folder, self._trainer.generator, self._description, measured)
