"""Adam as one operation for each variable; updates that are left out where a gradient is not finite."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from crn_tf.precision import own_defaults
from crn_tf.tensors import Tensor
from crn_tf.training.replicas import on_every_replica, run_if

ADAM_EPSILON = 1e-8  # TensorFlow 1's default, which the release used; Keras' is 1e-7


class Adam(keras.optimizers.Adam):
    """Keras' Adam, without the temporary tensors: its formula is TensorFlow's own operation, in place.

    At full width Keras' separate operations pass a dozen times over 1.3 GB of weights and moments.
    """

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        """Update one variable (TensorFlow's, of one device) and its moments. Called by Keras."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


def build_optimizer(
    network: keras.Model, learning_rate: float, epsilon: float = ADAM_EPSILON, beta_1: float = 0.9
) -> keras.optimizers.Optimizer:
    """Adam for a network's trainable variables, with their moments; with loss scaling if it computes in float16.

    Args:
        network: To train.
        learning_rate: Adam's.
        epsilon: Adam's, which is added to the root of its second moment.
        beta_1: Adam's: how much of the first moment is kept in a step.
    """
    with own_defaults():  # its learning rate is float32
        optimizer: keras.optimizers.Optimizer = Adam(learning_rate, beta_1=beta_1, epsilon=epsilon, name="adam")
    if any(layer.compute_dtype == "float16" for layer in network.layers):  # small gradients would become zero
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    optimizer.build(network.trainable_variables)
    return optimizer


class Update(NamedTuple):
    """What an optimizer is to do: gradients, of one replica, and the variables that they are of."""

    optimizer: keras.optimizers.Optimizer
    gradients: Sequence[tf.Tensor]
    variables: Sequence[keras.Variable]


def apply_if_finite(loss: tf.Tensor, *updates: Update) -> tf.Tensor:
    """Update variables, if the loss and all gradients are finite on all replicas, or none of them; to be called by each
    replica.

    Args:
        loss: This replica's loss, or the sum of several.
        updates: This replica's. Keras' optimizer for loss scaling halves its scale if anything is not finite.

    Returns:
        Whether they were.
    """
    # The sum of squares also overflows where Adam's second moment would, which would never become finite again.
    norms = [tf.linalg.global_norm(update.gradients) for update in updates]
    finite = on_every_replica(tf.reduce_all(tf.math.is_finite([loss, *norms])))
    for optimizer, gradients, variables in updates:
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It looks at the gradients itself, but takes those of the first replica for those of all.
            first, *others = gradients
            nan = tf.constant(float("nan"), first.dtype)
            optimizer.apply([tf.where(finite, first, nan), *others], variables)
        else:
            run_if(finite, optimizer.apply, gradients, variables)
    return finite
