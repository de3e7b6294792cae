"""Export a trained model for TF Serving: `python -m crn_tf.export --weights runs/NAME --out DIR`, or with test.py's
--export DIR.

Writes DIR/1, DIR/2, ...: a SavedModel with four signatures, warm-up requests and a model card. See docs/serving.md.
"""

import dataclasses
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image
from tyro.conf import arg

from crn_tf.command_line import INSTEAD, Switch, how_to_call
from crn_tf.data.datasets import layout_files
from crn_tf.data.images import Fit, ImageFormat, Size
from crn_tf.data.layouts import LayoutReader
from crn_tf.devices import check_gpus, describe_devices, explaining_exhaustion
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.files import lock, remove_unfinished, why_not_written, written_aside
from crn_tf.model.cascade import parse_pair
from crn_tf.precision import Precision
from crn_tf.starting import OF_THE_MACHINE, kept_back, silence_pillow, start_tensorflow
from crn_tf.tensors import Layout, Pixels, Tensor

if TYPE_CHECKING:
    import keras

    from crn_tf.model.description import ModelDescription
    from crn_tf.serving.model import ServingModel
    from crn_tf.serving.model_card import ServedAs

Signatures = Mapping[str, Callable[..., Mapping[str, Tensor]]]  # a SavedModel's functions, by their names
DEFAULT_FOLDER = Path("exported/crn")
ONNX_FILE = "crn.onnx"
_PATCHWORKS = 2  # layouts to measure on, if none are given
_MEASURED = 16  # layouts to measure on, at most


@dataclass(frozen=True)
class ExportSettings:
    """Export a trained model for TF Serving."""

    weights: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("the newest run in runs/"))] = None
    """Run folder (its best weights), weights file, or a model.ckpt of the 2017 release."""
    out: Path = DEFAULT_FOLDER
    """The model's folder; the export goes into its next version: 1, 2, ..."""
    last: Switch = False
    """Of a run folder, the newest checkpoint instead of the best weights."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("as the model was trained"))] = (
        None
    )
    """Size of layouts and images, such as 256x768: any that the model's modules can double up to."""
    fit: Annotated[Fit | None, arg(metavar="{resize,crop}", help_behavior_hint=INSTEAD("as the model was trained"))] = (
        None
    )
    """Stretch layouts of another aspect ratio, or cut their centre."""
    precision: Precision = "float32"
    """Arithmetic of the convolutions; normalization statistics and projection are always float32."""
    store_in_precision: Switch = False
    """Store the kernels in --precision too, which halves the files and does not change the images."""
    format: ImageFormat = "png"
    """Format of the images that the signature layout_png answers."""
    layouts: Annotated[tuple[Path, ...], arg(help_behavior_hint=INSTEAD("a patchwork of all classes"))] = ()
    """Layout files, or folders of them, to measure the precision's effect on (the first 16) and to warm up with."""
    data_licence: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=INSTEAD("what is known"))] = None
    """Licence of the training data, for the model card."""
    onnx: Switch = False
    """Also write the model as crn.onnx, in float32 (needs tf2onnx: requirements-serving.txt)."""
    require_gpu: Switch = False
    """Stop with exit code 1 where TensorFlow can use no GPU, instead of computing on the CPU."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Export what the command line names.

    Args:
        arguments: Instead of this process' command line.

    Raises:
        UserError: As `export`.
    """
    silence_pillow()
    export(tyro.cli(ExportSettings, args=arguments, prog=how_to_call("export")))


def export(settings: ExportSettings) -> Path:
    """Export a model, and tell what was exported.

    Returns:
        The new version's folder.

    Raises:
        UserError: The model or a layout cannot be read, or the folder cannot be written.
        UsageError: The settings contradict each other.
    """
    if settings.store_in_precision and settings.precision == "float32":
        raise UsageError("--store-in-precision needs --precision bfloat16 or float16: float32 is stored as it is")
    size = parse_pair(settings.size, "--size") if settings.size else None
    files = layout_files(settings.layouts)[:_MEASURED]
    refusal = f"another process is exporting into {settings.out}: wait for its end, or choose another folder"
    advice = "try --precision bfloat16 with --store-in-precision, or a smaller --size"
    # What cannot be written is known before the work is done.
    with lock(settings.out / ".lock", refusal), explaining_exhaustion(advice):
        return _export(settings, size, files)


def _export(settings: ExportSettings, size: Size | None, files: list[Path]) -> Path:
    start_tensorflow()  # only now: it takes seconds
    check_gpus(settings.require_gpu)
    print(f"on {describe_devices(settings.precision, 1)}")
    import tensorflow as tf

    from crn_tf.saved.loading import find_model, load_generator
    from crn_tf.saved.run_folder import newest_run
    from crn_tf.serving.model import ServingModel
    from crn_tf.serving.model_card import ServedAs, model_card

    weights, told = find_model(settings.weights or newest_run().path, settings.last)
    generator, description = load_generator(weights, settings.precision, size, last=True)
    description = dataclasses.replace(description, fit=settings.fit or description.fit)
    stored_in = settings.precision if settings.store_in_precision else "float32"
    model = ServingModel(generator, description, settings.format, stored_in)
    signatures = model.signatures()
    layouts = _read_layouts(files, description) if files else patchworks(description)
    reference = generator if settings.precision == "float32" else load_generator(weights, "float32", size, True)[0]
    effect = _effect(signatures, reference, layouts, settings.precision)
    parameters, weights_bytes = generator.count_params(), model.weights_bytes
    served = ServedAs(settings.precision, stored_in, settings.format, parameters, weights_bytes, effect)
    card = model_card(description, served, weights, settings.data_licence)

    remove_unfinished(settings.out)
    version = next_version(settings.out)
    with written_aside(version, durable=True) as folder:
        folder.mkdir()
        try:
            with kept_back(OF_THE_MACHINE):
                warm = _write_version(folder, model, signatures, card, description, layouts[:1])
                if settings.onnx:
                    _write_onnx(folder / ONNX_FILE, reference, layouts[:1])
                _check(folder, layouts[:1], signatures, description, settings.format)
        except tf.errors.OpError as error:
            raise UserError(f"cannot write {version}: {why_not_written(error, folder, weights_bytes)}") from error
    _tell(version, told, description, served, warm)
    return version


def _write_version(
    folder: Path,
    model: "ServingModel",
    signatures: Signatures,
    card: str,
    description: "ModelDescription",
    layouts: Layout,
) -> bool:
    """Write the SavedModel, its card and its warm-up requests. Returns whether there are warm-up requests."""
    import tensorflow as tf

    from crn_tf.serving.model_card import classes_json
    from crn_tf.serving.warmup import write_warmup

    (folder / "model_card.md").write_text(card, encoding="utf-8")
    (folder / "classes.json").write_text(classes_json(description), encoding="utf-8")
    model.assets = [tf.saved_model.Asset(str(folder / name)) for name in ("model_card.md", "classes.json")]
    # Gradients are of no use to a server.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(model, str(folder), signatures=signatures, options=options)
    (folder / "classes.json").unlink()  # a copy is in the assets
    return write_warmup(folder, _warmup_requests(layouts, description))


def next_version(folder: Path) -> Path:
    """The folder of the version after the newest: servers take numbers for versions, the highest for the newest."""
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return folder / str(max(versions, default=0) + 1)


def patchworks(description: "ModelDescription", count: int = _PATCHWORKS) -> Layout:
    """Layouts that need no files: on each cell of the base grid, halved once, a class at random.

    Returns:
        uint8 [count, H, W], the same each time.
    """
    height, width = description.image_size
    cells = [min(side, 2 * cells) for side, cells in zip((height, width), description.base_grid, strict=True)]
    ids = np.random.default_rng(0).integers(0, description.classes.num_classes, (count, *cells)).astype(np.uint8)
    return ids.repeat(height // cells[0], axis=1).repeat(width // cells[1], axis=2)


def _read_layouts(files: list[Path], description: "ModelDescription") -> Layout:
    """uint8 [N, H, W], at the model's size."""
    reader = LayoutReader(description.classes)
    return np.stack([reader.read(path, description.image_size, description.fit) for path in files])


def _effect(signatures: Signatures, reference: "keras.Model", layouts: Layout, precision: str) -> str:
    """What the precision does to images, in words: compared with those of the float32 generator.

    Raises:
        UserError: In float32, images differ all the same.
    """
    from crn_tf.model.synthesizer import Synthesizer

    synthesizer = Synthesizer(reference)
    means, largest = [], 0
    for layout in layouts:
        difference = _difference(_images(signatures, layout[None]), synthesizer(layout[None]))
        means.append(difference.mean())
        largest = max(largest, difference.max())
    if precision == "float32":
        _require(largest <= 1, f"images of the exported graph differ by up to {largest} grey levels from test.py's")
        return "none"
    mean = f"mean absolute difference {np.mean(means):.3g} of 255 from float32"
    return f"{mean}, at most {largest}, on {len(layouts)} layouts"


def _images(signatures: Signatures, layouts: Layout) -> Pixels:
    import tensorflow as tf

    return signatures["serving_default"](layouts=tf.constant(layouts))["images"].numpy()


def _difference(images: Pixels, others: Pixels) -> NDArray[np.int16]:
    """Absolute, of each value."""
    return np.abs(images.astype(np.int16) - others)


def _check(
    folder: Path, layouts: Layout, signatures: Signatures, description: "ModelDescription", image_format: ImageFormat
) -> None:
    """Load what was written, as a server does, and compare its pictures of a layout with the model's in memory.

    Raises:
        UserError: The pictures differ.
    """
    import tensorflow as tf

    absl = logging.getLogger("absl")  # warns that gradients were not saved
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        model = tf.saved_model.load(str(folder))
    finally:
        absl.setLevel(level)
    expected = _images(signatures, layouts)
    largest = _difference(_images(model.signatures, layouts), expected).max()
    _require(largest <= 1, f"images of the written model differ by up to {largest} grey levels from the model's own")
    encoded = model.signatures["layout_png"](layout_bytes=tf.constant([_png(layouts[0], description)]))["image_bytes"]
    pictures = [np.asarray(Image.open(io.BytesIO(picture))) for picture in encoded.numpy()[0]]
    difference = _difference(np.stack(pictures), expected[0])
    # A JPEG's pixels differ, but not all of them much.
    difference, limit = (difference.max(), 1) if image_format == "png" else (difference.mean(), 16)
    _require(difference <= limit, f"pictures that layout_png answers differ by {difference:.3g} grey levels")


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise UserError(f"{problem}; nothing was kept. Please report this, with the versions of tensorflow and keras")


def _warmup_requests(layouts: Layout, description: "ModelDescription") -> dict[str, dict[str, Any]]:
    """A request for each signature."""
    import tensorflow as tf

    # The same fractions everywhere, which a request stores as one number.
    count = description.classes.num_classes
    soft = tf.make_tensor_proto(np.float32(1 / count), shape=[1, *description.image_size, count])
    return {
        "serving_default": {"layouts": tf.make_tensor_proto(layouts)},
        "layout_int32": {"layouts": tf.make_tensor_proto(layouts.astype(np.int32))},
        "layout_soft": {"layouts": soft},
        "layout_png": {"layout_bytes": tf.make_tensor_proto([_png(layouts[0], description)])},
    }


def _png(layout: Layout, description: "ModelDescription") -> bytes:
    """A layout as a grey picture of the ids that files have."""
    ids = np.array(description.classes.file_ids, np.uint16 if max(description.classes.file_ids) > 255 else np.uint8)
    png = io.BytesIO()
    Image.fromarray(ids[layout]).save(png, "PNG")
    return png.getvalue()


def _write_onnx(path: Path, generator: "keras.Model", layouts: Layout) -> None:
    """Write a generator in the ONNX format: from `layouts`, uint8 [B, H, W], to `images`, uint8 [B, k, H, W, 3].

    Raises:
        UserError: The package tf2onnx is not installed.
    """
    import keras

    from crn_tf.model.passes import unfused
    from crn_tf.model.synthesizer import Synthesizer

    try:
        import tf2onnx  # noqa: F401  (Keras uses it)
    except ImportError as error:
        raise UserError("--onnx needs tf2onnx: pip install -r requirements-serving.txt") from error
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it reports each optimization it cannot do as an error
    synthesizer = Synthesizer(generator)
    # Outputs of a dictionary keep their names in the file.
    model = keras.Model(synthesizer.model.input, {"images": synthesizer.model.output})
    model(layouts)  # Keras exports no model that was never called
    # The warning is about what Keras mends in tf2onnx.
    with unfused(), warnings.catch_warnings(action="ignore", category=FutureWarning):
        model.export(path, format="onnx", verbose=False)


def _tell(version: Path, model: str, description: "ModelDescription", served: "ServedAs", warm: bool) -> None:
    size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    stored, single = served.weights_bytes / 1e6, 4 * served.parameters / 1e6
    height, width = description.image_size
    trained = "trained at {}x{}, ".format(*description.trained_size) if description.trained_size else ""
    print(
        f"{version}: {model}, {height}x{width}, {trained}{description.num_images} image(s) per layout, "
        f"{description.classes.num_classes} classes, {served.parameters:,} parameters, {size / 1e6:.1f} MB\n"
        f"precision {served.precision}; effect on images: {served.effect}\n"
        f"kernels stored in {served.stored_in}: weights {stored:.2f} MB (in float32 {single:.2f} MB)"
    )
    if not warm:
        print("no warm-up requests, the first answer will be slow: pip install -r requirements-serving.txt")
    print(f"model card: {version / 'model_card.md'}; serve it: see serving/compose.yaml")


if __name__ == "__main__":
    run_command(main)
