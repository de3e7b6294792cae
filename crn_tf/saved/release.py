"""The 2017 release's published models: its TensorFlow 1 checkpoints, read into our generator.

Its variables are called after the height of their module: `g_64_conv1/weights`, `g_64_conv1/LayerNorm/gamma`,
`g_64_conv1/LayerNorm/beta`, and `g_256_conv100/weights` and `/biases` for the projection; Adam's moments have
`/Adam` and `/Adam_1` behind that.
"""

import math
import re
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from crn_tf.data.class_tables import CITYSCAPES, MAX_NAMES, ClassTable
from crn_tf.errors import UserError
from crn_tf.model.cascade import MODULE_WIDTHS
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoint_index import check_index
from crn_tf.saved.checkpoints import reading

RELEASE_GRID = (4, 8)
_ADAM_BETA_2 = 0.999
_DATA_SUFFIX = ".data-00000-of-00001"


class _Reader(Protocol):
    """What `tf.train.load_checkpoint` returns: a class without a public name."""

    def get_tensor(self, name: str) -> np.ndarray: ...

    def get_variable_to_shape_map(self) -> dict[str, list[int]]: ...


def release_prefix(path: Path) -> Path | None:
    """The prefix of a release checkpoint's files (`.../model.ckpt`), if `path` is one, its index, or its folder."""
    possible = [path / "model.ckpt"]
    if path.name:  # "." and "/" are folders, and no part of a file's name
        possible = [path, path.with_suffix("") if path.suffix == ".index" else path, *possible]
    return next((prefix for prefix in possible if prefix.with_name(prefix.name + ".index").is_file()), None)


def _existing(path: str | Path) -> Path:
    """The prefix that `release_prefix` finds.

    Raises:
        UserError: No release checkpoint has that path.
    """
    path = Path(path)
    prefix = release_prefix(path)
    if not prefix:
        name = "model.ckpt" if path.is_dir() else path.name.removesuffix(".index")
        raise UserError(f"cannot read the checkpoint {path}: there is no {name}.index")
    return prefix


def describe_release(prefix: str | Path) -> ModelDescription:
    """Read resolution, classes and number of images from a checkpoint's index.

    Models of 20 classes are taken for Cityscapes'; those of others have nameless ones, with grey layouts only.

    Args:
        prefix: As `build_generator_from_release` takes it.

    Raises:
        UserError: The index is missing, damaged or not of a Cascaded Refinement Network.
    """
    prefix = _existing(prefix)
    shapes = _reader(prefix).get_variable_to_shape_map()
    projections = [match for name in shapes if (match := re.fullmatch(r"g_(\d{1,4})_conv100/weights", name))]
    first = shapes.get(f"g_{RELEASE_GRID[0]}_conv1/weights")
    if len(projections) != 1 or first is None or len(first) != 4 or len(shapes[projections[0][0]]) != 4:
        raise UserError(f"{prefix} is not a checkpoint of the 2017 release: expected g_4_conv1 ... g_HEIGHT_conv100")
    height, channels, count = int(projections[0][1]), shapes[projections[0][0]][-1], first[2] - 1
    possible = [RELEASE_GRID[0] << doublings for doublings in range(len(MODULE_WIDTHS))]
    if height not in possible or channels < 3 or not 1 <= count <= MAX_NAMES or first[3] < 1:
        raise UserError(
            f"{prefix} has a projection {projections[0][0]} to {channels} channels and a first kernel {first}; "
            f"expected a height of {possible[0]} to {possible[-1]}, three channels for each image, and 2 to "
            f"{MAX_NAMES + 1} classes"
        )
    ids = tuple(range(count))
    nameless = ClassTable(tuple(f"class {i}" for i in ids), tuple((i, i, i) for i in ids), ids, (count,), ())
    classes = CITYSCAPES if first[2] == CITYSCAPES.num_classes else nameless
    return ModelDescription(height, RELEASE_GRID, channels // 3, first[3] / MODULE_WIDTHS[0], classes)


def build_generator_from_release(prefix: str | Path) -> keras.Model:
    """Build the generator that a release checkpoint describes, with its weights.

    Args:
        prefix: The checkpoint's files without their endings, such as `result_256p/model.ckpt`; their folder, or the
            index, will do.

    Returns:
        As `build_generator`.

    Raises:
        UserError: A file is missing or damaged, or is of another network.

    Example:
        Such a checkpoint, only smaller: every variable of a generator, under the name it has in the release.

        >>> import tempfile
        >>> from pathlib import Path
        >>> import tensorflow as tf
        >>> from crn_tf import build_generator, build_generator_from_release
        >>> from crn_tf.saved.release import release_name
        >>> variables = build_generator(8, num_classes=20, num_images=1, width=1 / 256).variables
        >>> names, values = [release_name(v.path) for v in variables], [v.value for v in variables]
        >>> names[0], names[-1]
        ('g_4_conv1/weights', 'g_8_conv100/biases')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prefix = Path(folder, "model.ckpt")
        ...     tf.raw_ops.SaveV2(
        ...         prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
        ...     )
        ...     generator = build_generator_from_release(prefix)
        >>> generator.output_shape
        (None, 1, 8, 16, 3)
    """
    prefix = _existing(prefix)
    description = describe_release(prefix)
    description.check_size(prefix, release_data(prefix).stat().st_size)
    generator = description.build()
    load_release_checkpoint(generator, prefix)
    return generator


def load_release_checkpoint(
    generator: keras.Model, prefix: str | Path, optimizer: keras.optimizers.Adam | None = None
) -> None:
    """Set a generator's weights from a release checkpoint, and if asked Adam's moments and step.

    Every variable is compared before any is set. The release orders the projection's channels as k reds, k greens,
    k blues; here they become k triples. Moments that the checkpoint lacks stay as they are (the 1024p one has them for
    its last two modules only).

    Args:
        generator: From `build_generator`, of the checkpoint's size.
        prefix: As `build_generator_from_release` takes it.
        optimizer: Adam, built for the generator's trainable variables.

    Raises:
        UserError: A file is missing or damaged, or a variable is missing, extra or of another shape.

    Example:
        A checkpoint of one's own making, with Adam's first moments and the power that tells the step.

        >>> import tempfile
        >>> from pathlib import Path
        >>> import keras
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> from crn_tf import build_generator, load_release_checkpoint
        >>> from crn_tf.saved.release import release_name
        >>> generator = build_generator(8, num_classes=20, num_images=1, width=1 / 256)
        >>> stored = {release_name(v.path): np.ones(v.shape, "float32") for v in generator.variables}
        >>> stored |= {f"{name}/Adam": 0.5 * value for name, value in stored.items()}
        >>> stored["beta2_power"] = np.float32(0.999**8)
        >>> adam = keras.optimizers.Adam()
        >>> adam.build(generator.trainable_variables)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prefix = Path(folder, "model.ckpt")
        ...     names, values = list(stored), list(stored.values())
        ...     tf.raw_ops.SaveV2(
        ...         prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
        ...     )
        ...     load_release_checkpoint(generator, prefix, adam)
        >>> float(generator.get_layer("projection_8").kernel[0, 0, 0, 0]), int(adam.iterations)
        (1.0, 7)
    """
    prefix = _existing(prefix)
    reader = _reader(prefix)
    names = {release_name(variable.path): variable for variable in generator.variables}
    _compare(reader.get_variable_to_shape_map(), names, prefix)
    release_data(prefix)
    for name, variable in names.items():
        variable.assign(_read(reader, name, prefix))
    if optimizer:
        _load_adam(optimizer, generator, reader, prefix)


def release_data(prefix: Path) -> Path:
    """The file with a checkpoint's values, beside its index.

    Raises:
        UserError: The file with the values is missing.
    """
    data = prefix.with_name(prefix.name + _DATA_SUFFIX)
    if not data.is_file():
        folder = prefix.absolute().parent.name  # of the published ones, result_256p or its like
        name = folder.removeprefix("result_").lower() if folder.startswith("result_") else "NAME"
        raise UserError(
            f"no {data}: the index is there, the weights are not. Get it with: python -m crn_tf.download release-{name}"
        )
    return data


def release_name(path: str) -> str:
    """The release's name of a variable: module_64_norm1/gamma -> g_64_conv1/LayerNorm/gamma.

    Raises:
        ValueError: The path is none of a generator's variables.
    """
    projection = re.fullmatch(r"projection_(\d+)/(kernel|bias)", path)
    if projection:
        return f"g_{projection[1]}_conv100/{'weights' if projection[2] == 'kernel' else 'biases'}"
    module = re.fullmatch(r"module_(\d+)_(conv|norm)(\d)/(\w+)", path)
    if not module:
        raise ValueError(f"{path} is no variable of a generator")
    height, operation, number, kind = module.groups()
    return f"g_{height}_conv{number}/" + ("weights" if operation == "conv" else f"LayerNorm/{kind}")


def _compare(shapes: dict[str, list[int]], names: dict[str, keras.Variable], prefix: Path) -> None:
    """Check names and shapes, variable by variable.

    Raises:
        UserError: A variable is missing, extra, or of another shape; the message names it.
    """
    for name, variable in names.items():
        if name not in shapes:
            raise UserError(f"{prefix} has no variable {name}, which a {list(variable.shape)} of the generator needs")
        if list(shapes[name]) != list(variable.shape):
            raise UserError(f"{name} in {prefix} is {shapes[name]}, expected {list(variable.shape)}")
    extra = sorted(name for name in shapes if name not in names and "Adam" not in name and not _is_power(name))
    if extra:
        raise UserError(f"{prefix} has a variable {extra[0]} that the generator does not have: it is of another model")


def _is_power(name: str) -> bool:
    return name in ("beta1_power", "beta2_power")


def _load_adam(optimizer: keras.optimizers.Adam, generator: keras.Model, reader: _Reader, prefix: Path) -> None:
    """Take over the moments, and the step from beta_2 to its power."""
    shapes = reader.get_variable_to_shape_map()
    slots = {variable.path: variable for variable in optimizer.variables}
    for variable in generator.trainable_variables:
        name = release_name(variable.path)
        for suffix, moment in (("Adam", "momentum"), ("Adam_1", "velocity")):
            if f"{name}/{suffix}" in shapes:
                slots[f"{optimizer.name}/{variable.path.replace('/', '_')}_{moment}"].assign(
                    _read(reader, f"{name}/{suffix}", prefix)
                )
    if "beta2_power" in shapes:
        # Past some 100,000 steps the power is below float32's least number, and Adam's bias correction is one.
        power = max(float(_read(reader, "beta2_power", prefix)), float(np.finfo("float32").smallest_subnormal))
        optimizer.iterations.assign(max(0, round(math.log(power) / math.log(_ADAM_BETA_2)) - 1))


def _reader(prefix: Path) -> _Reader:
    """What reads a checkpoint's values, once its index is known to be sound.

    Raises:
        UserError: The checkpoint is missing or damaged.
    """
    check_index(prefix, prefix)
    with reading(prefix):
        return tf.train.load_checkpoint(str(prefix))


def _read(reader: _Reader, name: str, prefix: Path) -> np.ndarray:
    """A variable's value, in our order of channels."""
    with reading(prefix):
        value = reader.get_tensor(name)
    if "_conv100/" not in name:
        return value
    *rest, channels = value.shape
    return value.reshape(*rest, 3, channels // 3).swapaxes(-1, -2).reshape(value.shape)  # 3, k -> k, 3
