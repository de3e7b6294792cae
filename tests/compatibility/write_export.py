"""Export a small model, with requests and the answers that this TensorFlow gives them. Runs in the project's own
environment: `make serving-compatibility`.

python write_export.py FOLDER    writes the versions 1 (float32) and 2 (bfloat16), answers.npz and layout_N.png
"""

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from crn_tf.starting import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from crn_tf.data.class_tables import ClassTable  # noqa: E402
from crn_tf.export import ExportSettings, export, patchworks  # noqa: E402
from crn_tf.model.description import ModelDescription  # noqa: E402
from crn_tf.saved.checkpoints import save_weights  # noqa: E402

CLASSES = ClassTable(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)), (0, 1, 2), (9,))
DESCRIPTION = ModelDescription(64, (4, 8), 2, 1 / 32, CLASSES)


def pixels(answer: np.ndarray) -> np.ndarray:
    """uint8 [B, k, H, W, 3], of images as of encoded ones."""
    if answer.dtype != object:
        return answer
    return np.array([[np.asarray(Image.open(io.BytesIO(png))) for png in row] for row in answer])


def main(folder: Path) -> None:
    """Write the export, and the answers."""
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    generator = DESCRIPTION.build()
    kernel = generator.get_layer("projection_64").kernel  # so that pictures go from black to white
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) * 0.5)
    weights = folder / "generator.weights.h5"
    save_weights(weights, generator, DESCRIPTION)
    layouts = patchworks(DESCRIPTION)
    for number, layout in enumerate(layouts):
        Image.fromarray(np.array(CLASSES.file_ids, np.uint8)[layout]).save(folder / f"layout_{number}.png")
    pngs = [path.read_bytes() for path in sorted(folder.glob("layout_*.png"))]
    requests = {
        "serving_default": layouts,
        "layout_int32": layouts.astype(np.int32),
        "layout_soft": np.eye(CLASSES.num_classes, dtype=np.float32)[layouts],
    }
    kept = {f"{name} request": request for name, request in requests.items()}
    for precision in ("float32", "bfloat16"):
        version = export(
            ExportSettings(weights, folder, precision=precision, store_in_precision=precision != "float32")
        )
        signatures = tf.saved_model.load(str(version)).signatures
        for name, request in [*requests.items(), ("layout_png", pngs)]:
            (answer,) = signatures[name](tf.constant(request)).values()
            kept[f"{name} answer {version.name}"] = pixels(answer.numpy())
    np.savez(folder / "answers.npz", **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
