"""A few training steps with every loss, on the devices of a strategy: what test_distribution.py runs in processes.

python tests/distributed_steps.py STRATEGY RESULT LOSS ... [--fused] [--recompute]
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from crn_tf.starting import start_tensorflow
from crn_tf.training.cluster import find_cluster

LOSSES = {"content": 1, "best-image": 3, "best-per-class": 3}  # and how many images each compares
STEPS, BATCH, SIZE, CLASSES = 3, 4, (16, 32), 4


class RandomPairs:
    """Seven pairs of noise on blocks."""

    def __len__(self) -> int:
        return 7

    def name(self, index: int) -> str:
        return str(index)

    def load(self, index: int, size, fit) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(index)
        layout = random.integers(0, CLASSES, (size[0] // 4, size[1] // 4), np.uint8).repeat(4, 0).repeat(4, 1)
        photo = layout[..., None] * np.uint8(60) + random.integers(0, 30, (*size, 3), np.uint8)
        return photo, layout


def train(distribution, loss: str, recompute: bool) -> dict[str, np.ndarray]:
    """All variables after the first and after `STEPS` steps, and each step's loss and terms."""
    import keras

    from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
    from crn_tf.data.pipeline import InputPipeline
    from crn_tf.training.averaging import AveragedGenerator

    keras.utils.set_random_seed(0)
    with distribution.strategy.scope():
        perceiver = build_perceiver("random")
        generator, average = (build_generator(SIZE[0], CLASSES, LOSSES[loss], width=0.05) for _ in range(2))
        averaging = AveragedGenerator(generator, average, 0.15) if loss == "best-image" else None
        weights = LOSS_WEIGHTS["inverse-elements"]
        trainer = Trainer(generator, perceiver, loss, weights, 1e-3, recompute=recompute, averaging=averaging)
    pipeline = InputPipeline(RandomPairs(), SIZE, batch=BATCH, seed=3, flip=True, shard=distribution.shard)
    results = {}
    trainer.start_measuring()
    for step, batch in enumerate(pipeline.batches(0, STEPS)):
        value, terms = trainer.train_step(*batch)
        results[f"loss {step}"], results[f"terms {step}"] = value.numpy(), terms.numpy()
        if step in (0, STEPS - 1):
            when = "first step" if step == 0 else "last step"
            results |= {f"{when}: {name}": v.value.numpy() for name, v in trainer.variables().items()}
    trainer.measure(*batch)
    trainer.rebalance()
    results["rebalanced"] = trainer.loss_weights.value.numpy()
    # One worker alone, while the other waits.
    if distribution.chief:
        results["evaluated"] = trainer.evaluate(*(tensor[:1] for tensor in batch))[1].numpy()
    return results


def apply_conditionally(distribution) -> dict[str, np.ndarray]:
    """A weight after gradients that were applied only where all replicas' are finite, and float16's loss scale: of four
    batches the second is not finite on the first replica, the third on the last."""
    import keras
    import tensorflow as tf

    from crn_tf.training.optimizer import Update, apply_if_finite
    from crn_tf.training.replicas import split

    strategy = distribution.strategy
    index, count = distribution.shard
    batches = np.arange(4 * BATCH * 2, dtype="float32").reshape(4, BATCH, 2)
    batches[1, 0, 0] = batches[2, -1, 1] = np.nan

    def run(make_optimizer):
        with strategy.scope():
            weight = keras.Variable(np.zeros(2), dtype="float32", name="weight")
            optimizer = make_optimizer()
            optimizer.build([weight])

        @tf.function
        def step(pairs):
            def on_replica(pairs):
                gradient = optimizer.scale_loss(tf.reduce_mean(pairs, 0) / strategy.num_replicas_in_sync)
                return apply_if_finite(tf.zeros(()), Update(optimizer, [gradient], [weight]))

            return strategy.experimental_local_results(strategy.run(on_replica, (pairs,)))[0]

        applied = [step(*split(strategy, tf.constant(np.split(batch, count)[index]))) for batch in batches]
        return optimizer, weight.numpy(), np.array(applied)

    def scaling():
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=64.0)

    _, plain_weight, plain_applied = run(lambda: keras.optimizers.SGD(1.0))
    optimizer, scaled_weight, scaled_applied = run(scaling)
    return {
        "plain weight": plain_weight,
        "plain applied": plain_applied,
        "scaled weight": scaled_weight,
        "scaled applied": scaled_applied,
        "loss scale": optimizer.dynamic_scale.numpy(),
    }


def main() -> None:
    """Train with every loss that is named; each worker writes its result to RESULT.INDEX.npz."""
    strategy, path, *options = sys.argv[1:]
    losses = [option for option in options if option in LOSSES]
    start_tensorflow(one_at_a_time=True)  # as train.py
    from crn_tf.model import passes
    from crn_tf.training.distribution import Distribution

    if "--fused" in options:
        passes.FUSE_FROM = 1
    distribution = Distribution.start(strategy, find_cluster(strategy), batch=BATCH)
    print("replicas", distribution.replicas)
    with distribution.watching():
        results = apply_conditionally(distribution)
        for loss in losses:
            values = train(distribution, loss, "--recompute" in options)
            results |= {f"{loss}: {name}": value for name, value in values.items()}
    np.savez(f"{path}.{distribution.shard[0]}.npz", **results)


if __name__ == "__main__":
    main()
