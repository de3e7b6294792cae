"""What devices that share a step do together: shares of a batch, means, conditions. Called inside of the step."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from crn_tf.tensors import PerReplica, Tensor


@tf.function(reduce_retracing=True)
def sum_over_workers(strategy: tf.distribute.Strategy, vector: Tensor) -> Tensor:
    """Sum of a vector over workers. All have to ask at the same time."""

    def on_replica(vector: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        # A worker's first device speaks for it.
        first = context.replica_id_in_sync_group % local_replicas(strategy) == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, vector, tf.zeros_like(vector)))

    return strategy.experimental_local_results(strategy.run(on_replica, (vector,)))[0]


def split(strategy: tf.distribute.Strategy, *tensors: Tensor) -> tuple[PerReplica, ...]:
    """Share this worker's part of a batch equally among its devices.

    Args:
        strategy: The strategy.
        tensors: [B, ...] each.

    Returns:
        For each tensor what `strategy.run` gives to the replicas, in their order.
    """
    if strategy.num_replicas_in_sync == 1:
        return tensors
    parts = local_replicas(strategy)
    shares = [tf.split(tensor, parts) for tensor in tensors]
    return tuple(
        strategy.experimental_distribute_values_from_function(
            lambda context, share=share: share[context.replica_id_in_sync_group % parts]
        )
        for share in shares
    )


def mean_of_replicas(*tensors: Tensor) -> list[Tensor]:
    """Means over all replicas; to be called by each of them."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, list(tensors))


def on_every_replica(flag: Tensor) -> Tensor:
    """Whether a flag is set on all replicas; to be called by each of them."""
    return mean_of_replicas(tf.cast(flag, "float32"))[0] > 1 - 1e-6


def run_if(condition: Tensor, function: Callable[..., None], *arguments: Any) -> None:
    """Run a function on all replicas, such as an optimizer's `apply`, or on none; to be called by each of them.

    `tf.cond` around such a function works with one replica only: what replicas do together has to be outside.

    Args:
        condition: The same on all replicas; see `on_every_replica`.
        function: Returns nothing.
        arguments: Of the function.
    """

    def together(strategy: tf.distribute.Strategy, condition: PerReplica, *arguments: PerReplica) -> None:
        def on_replicas() -> None:
            strategy.extended.call_for_each_replica(function, args=arguments)

        tf.cond(strategy.experimental_local_results(condition)[0], on_replicas, lambda: None)

    tf.distribute.get_replica_context().merge_call(together, args=(condition, *arguments))


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Devices of this worker."""
    return len(strategy.extended.worker_devices)
