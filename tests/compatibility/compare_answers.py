"""Load exports with this environment's TensorFlow and compare their answers with those they gave where they were
written. Runs in the environment of requirements-oldest-serving.txt: `make serving-compatibility`.

python compare_answers.py FOLDER    as write_export.py wrote it
"""

import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

logging.getLogger("absl").setLevel(logging.ERROR)  # it warns that gradients were not saved

# Grey levels, at most, and on average: bfloat16 rounds sums coarsely, in the order that a TensorFlow adds.
LIMITS = {"1": ("float32", 1, 0.01), "2": ("bfloat16", 255, 1.0)}


def main(folder: Path) -> int:
    """Print the differences; 1 if one is too large."""
    kept = np.load(folder / "answers.npz")
    requests = {name: kept[f"{name} request"] for name in ("serving_default", "layout_int32", "layout_soft")}
    requests["layout_png"] = [path.read_bytes() for path in sorted(folder.glob("layout_*.png"))]
    failed = False
    for version, (precision, most, mean) in LIMITS.items():
        signatures = tf.saved_model.load(str(folder / version)).signatures
        for name, request in requests.items():
            (answer,) = signatures[name](tf.constant(request)).values()
            found, expected = pixels(answer.numpy()), kept[f"{name} answer {version}"].astype(int)
            same_shape = found.shape == expected.shape and expected.std() > 30  # black pictures would tell nothing
            difference = np.abs(found - expected) if same_shape else np.array([256])
            failed |= bool(difference.max() > most or difference.mean() > mean)
            print(f"{precision}, {name}: at most {difference.max()}, on average {difference.mean():.2g} grey levels")
    print(f"TensorFlow {tf.__version__}: {'DIFFERENT answers' if failed else 'the same answers'}")
    return int(failed)


def pixels(answer: np.ndarray) -> np.ndarray:
    """uint8 [B, k, H, W, 3], of images as of encoded ones."""
    if answer.dtype != object:
        return answer
    return np.array([[tf.io.decode_png(png).numpy() for png in row] for row in answer])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
