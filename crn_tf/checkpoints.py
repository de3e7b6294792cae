"""Weights and training state in files.

A checkpoint is in TensorFlow's name-based format (the 2017 release's own, checksummed) and holds the generator and the
optimizer; a weights file is Keras' .weights.h5 with the model's description inside.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import tensorflow as tf

from crn_tf.checkpoint_index import check_index
from crn_tf.errors import UserError
from crn_tf.files import written_aside
from crn_tf.model_description import ModelDescription

DESCRIPTION_ATTRIBUTE = "crn_model"  # of a weights file: the description as JSON
HDF5_BYTES = 4096  # that a variable takes in a weights file beside its values, at most


class DamagedCheckpointError(UserError):
    """A checkpoint's files are missing, cut short or altered. (One of another model is whole.)"""


def named(generator: keras.Model, optimizer: keras.optimizers.Optimizer | None = None) -> dict[str, keras.Variable]:
    """A generator's variables, and an optimizer's, by the names they have in a checkpoint."""
    variables = {f"generator/{variable.path}": variable for variable in generator.variables}
    for variable in optimizer.variables if optimizer else ():
        variables[f"optimizer/{variable.path}"] = variable
    return variables


def write_variables(prefix: Path, variables: dict[str, keras.Variable], shown: Path | None = None) -> None:
    """Write variables in TensorFlow's checkpoint format, under the given names.

    Args:
        prefix: The files without their endings.
        variables: By name.
        shown: What a message calls the checkpoint; its folder if not given.

    Raises:
        UserError: They cannot be written.
    """
    values = [tf.convert_to_tensor(variable.value) for variable in variables.values()]
    try:
        tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=list(variables), shape_and_slices=[""] * len(values), tensors=values
        )
    except tf.errors.OpError as error:
        raise UserError(f"cannot write the checkpoint {shown or prefix.parent}: {system_error(error)}") from error


def read_variables(prefix: Path, variables: dict[str, keras.Variable]) -> None:
    """Set variables from a file that `write_variables` made.

    Raises:
        DamagedCheckpointError: The file is missing or damaged.
        UserError: A variable is missing or of another shape.
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

    Raises:
        DamagedCheckpointError: Reading failed.
    """
    try:
        yield
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:  # by the reader's status code
        raise DamagedCheckpointError(f"cannot read the checkpoint {path}: {first_line(error)}") from error


def system_error(error: Exception) -> str:
    """What the operating system said, from what TensorFlow or HDF5 make of it."""
    text = str(getattr(error, "message", None) or error)
    found = re.search(r"error message = '([^']+)'|; ([^;\n]+?)(?: \[Op:.*)?$", text, re.MULTILINE)
    if found:
        return found[1] or found[2]
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else first_line(error)


def first_line(error: Exception) -> str:
    """What a library says, without the rest of its story."""
    return str(getattr(error, "message", None) or error).splitlines()[0]


def save_weights(path: str | Path, generator: keras.Model, description: ModelDescription) -> None:
    """Write a generator as one file: Keras' .weights.h5 with its description inside.

    Raises:
        UserError: It cannot be written.
    """
    with written_aside(Path(path), durable=True) as temporary:
        # Keras insists on the suffix.
        keras_file = temporary.with_name(temporary.name + ".weights.h5")
        try:
            _check_space(keras_file, 4 * generator.count_params() + HDF5_BYTES * len(generator.variables))
            generator.save_weights(keras_file)
            with h5py.File(keras_file, "r+") as file:
                file.attrs[DESCRIPTION_ATTRIBUTE] = description.to_json()
            os.replace(keras_file, temporary)
        except (OSError, RuntimeError) as error:  # which one, by whether HDF5 wrote or closed
            raise UserError(f"cannot write {path}: {system_error(error)}") from error
        finally:
            keras_file.unlink(missing_ok=True)


def _check_space(path: Path, size: int) -> None:
    """Make sure that a file of some bytes can be written: HDF5 may crash the process where the disk is full.

    Raises:
        OSError: It cannot.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
