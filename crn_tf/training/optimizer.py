"""Adam as one operation for each variable; updates that are left out where a gradient is not finite."""

from collections.abc import Sequence

import keras
import tensorflow as tf

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


def apply_if_finite(
    optimizer: keras.optimizers.Optimizer,
    loss: tf.Tensor,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
) -> tf.Tensor:
    """Update variables, if the loss and all gradients are finite on all replicas; to be called by each of them.

    Args:
        optimizer: The optimizer. Keras' for loss scaling halves its scale if they are not.
        loss: This replica's loss.
        gradients: This replica's part of the gradients.
        variables: What to update.

    Returns:
        Whether they were.
    """
    # The sum of squares also overflows where Adam's second moment would, which would never become finite again.
    finite = on_every_replica(tf.math.is_finite(loss) & tf.math.is_finite(tf.linalg.global_norm(gradients)))
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # It looks at the gradients itself, but takes those of the first replica for those of all.
        first, *others = gradients
        nan = tf.constant(float("nan"), first.dtype)
        optimizer.apply([tf.where(finite, first, nan), *others], variables)
    else:
        run_if(finite, optimizer.apply, gradients, variables)
    return finite
