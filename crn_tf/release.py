"""The 2017 release's published models: its TensorFlow 1 checkpoints, read into our generator.

Its variables are called after the height of their module: `g_64_conv1/weights`, `g_64_conv1/LayerNorm/gamma`,
`g_64_conv1/LayerNorm/beta`, and `g_256_conv100/weights` and `/biases` for the projection; Adam's moments have
`/Adam` and `/Adam_1` behind that.
"""

import math
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from crn_tf.cascade import MODULE_WIDTHS
from crn_tf.checkpoint_index import check_index
from crn_tf.checkpoints import reading
from crn_tf.errors import UserError
from crn_tf.layouts import CITYSCAPES, MAX_NAMES, ClassTable
from crn_tf.model_description import ModelDescription

RELEASE_GRID = (4, 8)
_ADAM_BETA_2 = 0.999
_DATA_SUFFIX = ".data-00000-of-00001"


def release_prefix(path: Path) -> Path | None:
    """The prefix of a release checkpoint's files (`.../model.ckpt`), if `path` is one, its index, or its folder."""
    for prefix in (path, path.with_suffix("") if path.suffix == ".index" else path, path / "model.ckpt"):
        if prefix.with_name(prefix.name + ".index").is_file():
            return prefix
    return None


def describe_release(prefix: Path) -> ModelDescription:
    """Read resolution, classes and number of images from a checkpoint's index.

    Models of 20 classes are taken for Cityscapes'; those of others have nameless ones, with grey layouts only.

    Raises:
        UserError: It is missing, damaged or not of a Cascaded Refinement Network.
    """
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
        prefix: The checkpoint's files without their endings, such as `result_256p/model.ckpt`.

    Returns:
        As `build_generator`.

    Raises:
        UserError: A file is missing or damaged, or is of another network.
    """
    prefix = Path(prefix)
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
        prefix: The checkpoint's files without their endings, such as `result_256p/model.ckpt`.
        optimizer: Adam, built for the generator's trainable variables.

    Raises:
        UserError: A file is missing or damaged, or a variable is missing, extra or of another shape.
    """
    prefix = Path(prefix)
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
        UserError: It is missing.
    """
    data = prefix.with_name(prefix.name + _DATA_SUFFIX)
    if not data.is_file():
        raise UserError(
            f"no {data}: the index is there, the weights are not. Get it with: python -m crn_tf.download "
            f"release-{prefix.parent.name.removeprefix('result_').lower()}"
        )
    return data


def release_name(path: str) -> str:
    """The release's name of a variable: module_64_norm1/gamma -> g_64_conv1/LayerNorm/gamma."""
    projection = re.fullmatch(r"projection_(\d+)/(kernel|bias)", path)
    if projection:
        return f"g_{projection[1]}_conv100/{'weights' if projection[2] == 'kernel' else 'biases'}"
    height, operation, number, kind = re.fullmatch(r"module_(\d+)_(conv|norm)(\d)/(\w+)", path).groups()
    return f"g_{height}_conv{number}/" + ("weights" if operation == "conv" else f"LayerNorm/{kind}")


def _compare(shapes: dict[str, list[int]], names: dict[str, keras.Variable], prefix: Path) -> None:
    """Check names and shapes, variable by variable.

    Raises:
        UserError: One does not fit; the message names it.
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


def _load_adam(optimizer: keras.optimizers.Adam, generator: keras.Model, reader, prefix: Path) -> None:
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


def _reader(prefix: Path):
    check_index(prefix, prefix)
    with reading(prefix):
        return tf.train.load_checkpoint(str(prefix))


def _read(reader, name: str, prefix: Path) -> np.ndarray:
    """A variable's value, in our order of channels."""
    with reading(prefix):
        value = reader.get_tensor(name)
    if "_conv100/" not in name:
        return value
    *rest, channels = value.shape
    return value.reshape(*rest, 3, channels // 3).swapaxes(-1, -2).reshape(value.shape)  # 3, k -> k, 3
