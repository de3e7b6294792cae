"""Compare our normalization with what tensorflow-addons computed. Runs in the project's own environment: `make parity`.

python compare_normalization.py RESULT.npz [RESULT.npz ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from crn_tf.starting import start_tensorflow

start_tensorflow()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from crn_tf import build_generator  # noqa: E402
from crn_tf.model.layers import NormalizedLeakyReLU  # noqa: E402

LIMIT = 1e-4  # relative, L2


def compare(path: str | Path) -> dict[str, float]:
    """Relative differences (L2) of the normalized values and of the gradient of sum(y**3)."""
    expected = np.load(path)
    used = build_generator(4, num_classes=2, width=0.002).get_layer("module_4_norm1")  # as the generator configures it
    layer = NormalizedLeakyReLU.from_config({**used.get_config(), "negative_slope": 1.0})  # the normalization alone
    layer.build(expected["x"].shape)
    layer.set_weights([expected["gamma"], expected["beta"]])
    x = tf.constant(expected["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(y**3)
    found = {"y": y.numpy(), "dx": tape.gradient(total, x).numpy()}
    return {n: float(np.linalg.norm(v - expected[n]) / np.linalg.norm(expected[n])) for n, v in found.items()}


def main() -> int:
    """Print the differences; 1 if one is too large."""
    worst = 0.0
    for path in sys.argv[1:]:
        differences = compare(path)
        worst = max(worst, *differences.values())
        print(f"{Path(path).name}: forward {differences['y']:.1e}, gradient {differences['dx']:.1e}")
    print("equal to tensorflow-addons" if worst < LIMIT else f"DIFFERENT: more than {LIMIT:.0e}")
    return int(worst >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
