"""Weights and training state in files.

A checkpoint is in TensorFlow's name-based format (the 2017 release's own, checksummed) and holds the generator and the
optimizer; a weights file is Keras' .weights.h5 with the model's description inside.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import tensorflow as tf

from crn_tf import __version__
from crn_tf.errors import UserError, one_line
from crn_tf.files import reserve, why_not_written, written_aside
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoint_index import check_index

DESCRIPTION_ATTRIBUTE = "crn_model"  # of a weights file: the description as JSON
VERSION_ATTRIBUTE = "crn_tf_version"  # of a weights file: the version that wrote it; files before 0.2.0 lack it
VERSION_SUFFIX = ".version"  # of a text file beside a checkpoint's others that tells the same
HDF5_BYTES = 4096  # that a variable takes in a weights file beside its values, at most


class DamagedCheckpointError(UserError):
    """A checkpoint's files are missing, cut short or altered. (One of another model is whole.)"""


def named(generator: keras.Model, optimizer: keras.optimizers.Optimizer | None = None) -> dict[str, keras.Variable]:
    """A generator's variables, and an optimizer's, by the names they have in a checkpoint."""
    variables = {f"generator/{variable.path}": variable for variable in generator.variables}
    for variable in optimizer.variables if optimizer else ():
        variables[f"optimizer/{variable.path}"] = variable
    return variables


def write_variables(prefix: Path, variables: Mapping[str, keras.Variable], shown: Path | None = None) -> None:
    """Write variables in TensorFlow's checkpoint format, under the given names, and this project's version beside them.

    Args:
        prefix: The files without their endings; their folder is there.
        variables: By name.
        shown: What a message calls the checkpoint; its folder if not given.

    Raises:
        UserError: The folder may not be written to, or the disk is full.
    """
    values = [tf.convert_to_tensor(variable.value) for variable in variables.values()]
    try:
        tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=list(variables), shape_and_slices=[""] * len(values), tensors=values
        )
        prefix.with_name(prefix.name + VERSION_SUFFIX).write_text(f"{__version__}\n", encoding="utf-8")
    except (tf.errors.OpError, OSError) as error:
        size = sum(value.shape.num_elements() * value.dtype.size for value in values)
        why = why_not_written(error, prefix.parent, size)
        raise UserError(f"cannot write the checkpoint {shown or prefix.parent}: {why}") from error


def read_variables(prefix: Path, variables: Mapping[str, keras.Variable]) -> None:
    """Set variables from a file that `write_variables` made, whatever version wrote it.

    Args:
        prefix: The files without their endings.
        variables: By name; the file may hold more.

    Raises:
        DamagedCheckpointError: The file is missing or damaged.
        UserError: A variable is missing or of another shape: the checkpoint is of another model.
    """
    try:
        check_index(prefix, prefix.parent)
    except UserError as error:
        raise DamagedCheckpointError(str(error)) from error
    with reading(prefix.parent):
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        for name, variable in variables.items():
            expected, found = tuple(variable.shape), shapes.get(name)
            if found is None:
                raise UserError(f"the checkpoint {prefix.parent} has no variable {name}: it is of another model")
            if tuple(found) != expected:
                raise UserError(f"{name} in the checkpoint {prefix.parent} is {found}, expected {list(expected)}")
            variable.assign(reader.get_tensor(name))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what TensorFlow raises for a missing or damaged checkpoint into one line.

    Args:
        path: What the line calls the checkpoint.

    Raises:
        DamagedCheckpointError: TensorFlow, in the block, found no checkpoint or a damaged one.
    """
    try:
        yield
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:  # by the reader's status code
        raise DamagedCheckpointError(f"cannot read the checkpoint {path}: {one_line(error)}") from error


def save_weights(path: str | Path, generator: keras.Model, description: ModelDescription) -> None:
    """Write a generator as one file: Keras' .weights.h5 with its description inside.

    Args:
        path: The file, NAME.weights.h5; an older one is replaced once the new one is complete.
        generator: From `build_generator`.
        description: Of that generator.

    Raises:
        UserError: The path is that of a folder, its folder may not be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crn_tf import CITYSCAPES, ModelDescription, load_generator, save_weights
        >>> description = ModelDescription(8, base_grid=(4, 8), num_images=2, width=1 / 256, classes=CITYSCAPES)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(Path(folder, "small.weights.h5"), description.build(), description)
        ...     generator, found = load_generator(Path(folder, "small.weights.h5"))
        >>> found == description, generator.output_shape
        (True, (None, 2, 8, 16, 3))
    """
    size = 4 * generator.count_params() + HDF5_BYTES * len(generator.variables)
    with written_aside(Path(path), durable=True) as temporary:
        # Keras insists on the suffix.
        keras_file = temporary.with_name(temporary.name + ".weights.h5")
        try:
            with keras_file.open("wb") as file:
                reserve(file.fileno(), size)  # HDF5 may crash the process where the disk is full
            generator.save_weights(keras_file)
            with h5py.File(keras_file, "r+") as file:
                file.attrs[DESCRIPTION_ATTRIBUTE] = description.to_json()
                file.attrs[VERSION_ATTRIBUTE] = __version__
            os.replace(keras_file, temporary)
        except (OSError, RuntimeError) as error:  # which one, by whether HDF5 wrote or closed
            raise UserError(f"cannot write {path}: {why_not_written(error, keras_file.parent, size)}") from error
        finally:
            keras_file.unlink(missing_ok=True)
