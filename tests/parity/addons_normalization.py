"""Compute tensorflow-addons' GroupNormalization(groups=1), forward and gradient. Runs in the environment of
requirements-tfa.txt: `make parity`.

python addons_normalization.py SEED OUT.npz          (or, for SEED, an earlier result, to compute the same again)
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def main(source: str, out: str) -> None:
    """Normalize inputs, drawn from a seed or taken from an earlier file, and write inputs and results."""
    if source.isdigit():
        random = np.random.default_rng(int(source))
        x = random.normal(random.uniform(-3, 3), random.uniform(0.1, 10), (2, 8, 16, 32)).astype("float32")
        gamma, beta = (random.standard_normal(32).astype("float32") for _ in range(2))
    else:
        inputs = np.load(source)
        x, gamma, beta = inputs["x"], inputs["gamma"], inputs["beta"]
    layer = tfa.layers.GroupNormalization(groups=1, epsilon=1e-12)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = layer(tensor)
        total = tf.reduce_sum(y**3)
    np.savez(out, x=x, gamma=gamma, beta=beta, y=y.numpy(), dx=tape.gradient(total, tensor).numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
