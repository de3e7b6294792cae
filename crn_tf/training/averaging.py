"""The exponential moving average of a generator's weights over the steps of training, as a generator of its own.

Keras' optimizers have such an average too (`use_ema`), but its decay is the same from the first step on, so that a
short run would keep much of its random start; and it is shown by overwriting the trained weights.
"""

import keras
import tensorflow as tf

from crn_tf.tensors import Tensor


class AveragedGenerator:
    """A second generator, whose weights follow those of the one that is trained. Nothing is ever swapped: whoever
    stops the process between any two operations finds trained weights and averages where they belong.

    Made in the scope of a distribution strategy, with generators made there, each device keeps its own copy up to date.

    Attributes:
        generator: The one with the averages, float32 in any precision.

    Example:
        >>> import numpy as np
        >>> from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
        >>> from crn_tf.training.averaging import AveragedGenerator
        >>> trained, average = (build_generator(height=8, num_classes=3, width=0.01) for _ in range(2))
        >>> averaging = AveragedGenerator(trained, average, decay=0.999)
        >>> weights = LOSS_WEIGHTS["inverse-elements"]
        >>> trainer = Trainer(trained, build_perceiver("random"), "content", weights, averaging=averaging)
        >>> before = trained.get_weights()[0]
        >>> _ = trainer.train_step(np.full((1, 8, 16, 3), 200, "uint8"), np.zeros((1, 8, 16), "uint8"))
        >>> expected = 0.1 * before + 0.9 * trained.get_weights()[0]  # the first step's decay is a tenth
        >>> np.allclose(average.get_weights()[0], expected)
        True
    """

    def __init__(self, trained: keras.Model, average: keras.Model, decay: float):
        """Begin an average with the weights as they are.

        Args:
            trained: The generator that is trained.
            average: Another one like it, whose weights are replaced.
            decay: How much of the average each step keeps, greater than 0 and less than 1. The first steps keep less:
                after n others (1 + n) / (10 + n), so that the random start is soon forgotten.
        """
        self.generator, self._trained, self._decay = average, trained, decay
        self._steps = keras.Variable(
            0, dtype="int64", trainable=False, name="averaged_steps", aggregation="only_first_replica"
        )
        self.restart()

    def restart(self) -> None:
        """Begin again with the trained weights as they are now, such as after they were read from a file."""
        for average, trained in zip(self.generator.variables, self._trained.variables, strict=True):
            average.assign(trained.value)
        self._steps.assign(0)

    def update(self, applied: Tensor) -> None:
        """Follow a step; to be called by each replica, after the weights were updated.

        Args:
            applied: Whether they were; if not, nothing changes. The same on all replicas.
        """
        steps = tf.cast(self._steps.value, "float32")
        decay = tf.minimum((1 + steps) / (10 + steps), self._decay)
        share = tf.where(applied, 1 - decay, 0)
        tf.distribute.get_replica_context().merge_call(self._move, args=(share,))
        self._steps.assign_add(tf.cast(applied, "int64"))

    def _move(self, strategy: tf.distribute.Strategy, share: Tensor) -> None:
        """Move each average towards the trained weights, on each device by itself."""
        for average, trained in zip(self.generator.variables, self._trained.variables, strict=True):
            if trained.trainable:
                values = (trained.value, share)
                strategy.extended.update(average.value, _move_towards, args=values, group=False)

    def variables(self) -> dict[str, keras.Variable]:
        """What a checkpoint has to hold beside the averages, by its name there: the trained weights, and how many steps
        were averaged. (The averages are the checkpoint's generator.)"""
        trained = {f"trained/{variable.path}": variable for variable in self._trained.variables}
        return trained | {f"trainer/{self._steps.name}": self._steps}


def _move_towards(average: tf.Variable, trained: tf.Variable, share: Tensor) -> None:
    average.assign_sub(share * (average - trained))
