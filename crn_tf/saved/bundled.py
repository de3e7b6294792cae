"""The small model that comes with the package: a folder whose kernels are float16, to be small in a repository.

`load_generator` reads such a folder like any other model; `crn_tf/serving/bundling.py` makes one of a run.
"""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crn_tf.errors import UserError, one_line
from crn_tf.files import read_small_text, write_text, written_aside
from crn_tf.model.description import ModelDescription

if TYPE_CHECKING:
    import keras

FOLDER = Path(__file__).parent / "bundled_model"  # of the package's own
WEIGHTS, DESCRIPTION, CARD = "generator.float16.npz", "model.json", "README.md"
LARGEST = 4_000_000  # bytes of the weights
_HEADER = 1024  # bytes that NumPy puts before an array, at most


def bundled_model(folder: Path = FOLDER) -> Path:
    """The folder of the model that comes with the package.

    Raises:
        UserError: None came along.
    """
    if not is_bundled(folder):
        raise UserError(f"no model comes with this copy of the project (looked in {folder}): name one with --weights")
    return folder


def is_bundled(path: Path) -> bool:
    """Whether a path is the folder of such a model."""
    return (path / WEIGHTS).is_file()


def write_bundled(folder: Path, generator: "keras.Model", description: ModelDescription, card: str) -> None:
    """Write a generator as such a folder.

    Args:
        folder: It is made; the files of an earlier one are replaced.
        generator: The trained one.
        description: Of it.
        card: What there is to say about it, as Markdown.

    Raises:
        UserError: The weights would be too large, a weight is too large for float16, or the folder cannot be written.
    """
    values = {variable.path: np.asarray(variable).astype(np.float16) for variable in generator.variables}
    size = sum(value.nbytes for value in values.values())
    if size > LARGEST:
        raise UserError(
            f"{description.parameters:,} parameters are {size:,} bytes in float16; expected at most {LARGEST:,}: train "
            "a narrower model (--width)"
        )
    if not all(np.isfinite(value).all() for value in values.values()):
        raise UserError("some weights are too large for float16, or not finite: train it anew")
    with written_aside(folder / WEIGHTS) as aside, open(aside, "wb") as file:
        np.savez(file, allow_pickle=False, **values)
    write_text(folder / DESCRIPTION, description.to_json())
    write_text(folder / CARD, card)


def describe_bundled(folder: Path) -> ModelDescription:
    """What the model of such a folder is.

    Raises:
        UserError: Its description is missing or damaged, or its weights are too small for it.
    """
    path = folder / DESCRIPTION
    try:
        description = ModelDescription.from_json(read_small_text(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read the model description {path}: {one_line(error)}") from error
    description.check_size(path, (folder / WEIGHTS).stat().st_size, bytes_each=2)
    return description


def load_bundled(folder: Path, description: ModelDescription) -> "keras.Model":
    """Build the generator of such a folder, in float32.

    Raises:
        UserError: The weights are damaged, or of another model.
    """
    generator, path = description.build(), folder / WEIGHTS
    try:
        with zipfile.ZipFile(path) as archive:  # no header is believed: nothing larger than the model is inflated
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()}
        with np.load(path, allow_pickle=False) as values:
            for variable in generator.variables:
                shape = tuple(variable.shape)
                if sizes.get(variable.path, 0) > 2 * int(np.prod(shape)) + _HEADER:
                    raise ValueError(f"{variable.path} is larger than {list(shape)} in float16")
                value = values[variable.path]
                if value.shape != shape or value.dtype != np.float16:
                    raise ValueError(f"{variable.path} is {value.dtype} {list(value.shape)}, expected {list(shape)}")
                variable.assign(value.astype(np.float32))
    except Exception as error:  # zipfile and NumPy raise many kinds: BadZipFile, zlib.error, NotImplementedError...
        raise UserError(f"cannot read the weights {path}: {one_line(error)}") from error
    return generator
