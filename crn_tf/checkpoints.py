"""What is kept of a model: the description that rebuilds it, checkpoints of a run, and weights files.

A checkpoint is a folder with TensorFlow's name-based format (the 2017 release's own, checksummed), holding the
generator and the optimizer; a weights file is Keras' .weights.h5 with the description inside.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import keras
import tensorflow as tf

from crn_tf.checkpoint_index import check_index
from crn_tf.datasets import DataSet
from crn_tf.errors import UserError
from crn_tf.files import (
    make_folder,
    parse_json,
    read_json,
    read_small_text,
    remove_unfinished,
    write_text,
    written_aside,
)
from crn_tf.generator import MODULE_WIDTHS, build_generator, module_heights
from crn_tf.layouts import ClassTable

KEPT_CHECKPOINTS = 3  # two to fall back on, if the newest is damaged
WEIGHTS_NAME = "generator.weights.h5"
_STATE = "state"  # prefix of the files in a checkpoint's folder
_LARGEST_COUNT = 1 << 16  # of rows, columns or images in a description that is believed
HDF5_BYTES = 4096  # that a variable takes in a weights file beside its values, at most
DESCRIPTION_ATTRIBUTE = "crn_model"  # of a weights file: the description as JSON


class DamagedCheckpointError(UserError):
    """A checkpoint's files are missing, cut short or altered. (One of another model is whole.)"""


@dataclass(frozen=True)
class ModelDescription:
    """What is needed to build a generator again and to read layouts for it."""

    height: int
    base_grid: tuple[int, int]
    num_images: int
    width: float
    classes: ClassTable

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.height // self.base_grid[0] * self.base_grid[1]

    def build(self) -> keras.Model:
        """Build the generator, with fresh weights."""
        return build_generator(self.height, self.classes.num_classes, self.num_images, self.width, self.base_grid)

    def to_json(self) -> str:
        """The description as readable text."""
        return json.dumps({**vars(self), "classes": self.classes.to_json()}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelDescription":
        """The description `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: The text is another, or no generator is like this.
        """
        values = parse_json(text)
        classes = ClassTable.from_json(values["classes"])
        rows, columns = values["base_grid"]
        height, images, width = values["height"], values["num_images"], values["width"]
        if not all(type(count) is int and 1 <= count <= _LARGEST_COUNT for count in (height, rows, columns, images)):
            raise ValueError(f"height, base_grid and num_images must be whole numbers from 1 to {_LARGEST_COUNT}")
        if type(width) not in (int, float) or not 0 < width <= _LARGEST_COUNT:
            raise ValueError(f"width must be a number from 0 to {_LARGEST_COUNT}")
        module_heights(height, rows)
        return cls(height, (rows, columns), images, width, classes)

    @property
    def parameters(self) -> int:
        """How many numbers the generator's weights are, from the shapes alone."""
        total, before, classes = 0, 0, self.classes.num_classes
        for full in MODULE_WIDTHS[: len(module_heights(self.height, self.base_grid[0]))]:
            channels = max(1, round(self.width * full))
            total += 9 * channels * (before + classes + channels) + 4 * channels
            before = channels
        return total + (before + 1) * 3 * self.num_images

    def check_size(self, path: Path, stored: int) -> None:
        """Compare the model with the size of the files that should hold its weights, before memory is taken for it.

        Raises:
            UserError: They are too small for it.
        """
        if 4 * self.parameters > stored:
            raise UserError(
                f"{path} describes a model of {self.parameters:,} parameters, but its weights have {stored:,} bytes, "
                "too few for that: it is damaged, or of another model"
            )

    def difference(self, other: "ModelDescription") -> str | None:
        """What makes another generator's weights unfit for this one, or None if nothing does."""
        for name in ("height", "base_grid", "num_images", "width"):
            if getattr(self, name) != getattr(other, name):
                return f"{name.replace('_', ' ')} {getattr(other, name)}, expected {getattr(self, name)}"
        if self.classes.names != other.classes.names:
            return f"classes {_brief(other.classes)}, expected {_brief(self.classes)}"
        return None


def _brief(classes: ClassTable) -> str:
    names = classes.names if len(classes.names) <= 6 else (*classes.names[:5], "...")
    return f"{len(classes.names)} + void ({', '.join(names)})"


class RunFolder:
    """The folder of a training run: settings, model, TensorBoard logs, sample sheets, checkpoints and weights."""

    def __init__(self, path: Path):
        self.path = path
        self.settings = path / "settings.json"
        self.model = path / "model.json"
        self.logs = path / "logs"
        self.samples = path / "samples"
        self.loss_weights = path / "loss_weights.json"
        self.stages = path / "stages.png"
        self.weights = path / WEIGHTS_NAME
        self.best_weights = path / "best.weights.h5"
        self._best = path / "best.json"
        self._data = path / "data.json"
        self._lock: BinaryIO | None = None

    def lock(self) -> None:
        """Keep other processes from training in this folder, until `unlock` or this process ends, however it does.

        Removes what a process that was killed left half-written.

        Raises:
            UserError: Another process has it, or the folder cannot be written.
        """
        if self._lock:
            return
        path = make_folder(self.path) / "lock"
        try:
            file = open(path, "ab")  # noqa: SIM115 (open as long as it is locked)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {self.path}: wait for its end, or choose another --out"
            ) from error
        except OSError as error:
            print(
                f"warning: {path} cannot be locked ({error.strerror}): train here in one process only", file=sys.stderr
            )
        self._lock = file
        for folder in (self.path, self.path / "checkpoints", self.samples):
            remove_unfinished(folder)

    def unlock(self) -> None:
        """Let other processes train here."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def prepare(self, settings: str, description: ModelDescription, data: DataSet) -> None:
        """Write what the run is: its settings, its model, and which pairs it trains on.

        Raises:
            UserError: The folder cannot be written.
        """
        write_text(self.settings, settings)  # first: settings are how a started run is found
        write_text(self.model, description.to_json())
        write_text(self._data, json.dumps(_contents(data)) + "\n")

    def check_data(self, data: DataSet) -> None:
        """Compare a data set with the one the run was started with.

        Raises:
            UserError: It has other pairs, so that the order of data could not go on.
        """
        try:
            before = read_json(self._data)
            pairs_before = int(before["pairs"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"cannot read {self._data}: {error}") from error
        now = _contents(data)
        if before != now:
            raise UserError(
                f"the run {self.path} was started on {pairs_before} pairs, now there are {now['pairs']}, or they "
                "have other names: start a new run, or bring back the data as they were"
            )

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, the oldest first."""
        return sorted((self.path / "checkpoints").glob("step_????????"))

    def description(self) -> ModelDescription:
        """The model of this run.

        Raises:
            UserError: This is not a run folder.
        """
        try:
            return ModelDescription.from_json(read_small_text(self.model))
        except FileNotFoundError as error:
            raise UserError(f"no {self.model}: {self.path} is not a run folder of train.py") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"cannot read the model description {self.model}: {error}") from error

    def save(self, step: int, variables: dict[str, keras.Variable]) -> Path:
        """Save a checkpoint and, once it is safely on the disk, remove all but the last few.

        Raises:
            UserError: It cannot be written; the earlier checkpoints are still there.
        """
        folder = self.path / "checkpoints" / f"step_{step:08d}"
        if not folder.is_dir():
            with written_aside(folder, durable=True) as temporary:
                temporary.mkdir()
                write_variables(temporary / _STATE, variables, shown=folder)
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def stored_bytes(self) -> int:
        """The size of a checkpoint's files; of the largest, as others may be cut short.

        Raises:
            UserError: There is no checkpoint.
        """
        if not self.checkpoints():
            raise UserError(f"no checkpoint in {self.path / 'checkpoints'}: there is nothing to go on from")
        sizes = [[path.stat().st_size for path in folder.glob("*") if path.is_file()] for folder in self.checkpoints()]
        return max(map(sum, sizes))

    def restore(self, variables: dict[str, keras.Variable]) -> int:
        """Load the newest checkpoint that is whole, with a warning for each that is not, and return its step.

        If this process has locked the folder, damaged ones are renamed, so that training can come to their step again.

        Raises:
            UserError: There is none, all are damaged, or it does not fit the variables.
        """
        if not self.checkpoints():
            raise UserError(f"no checkpoint in {self.path / 'checkpoints'}: there is nothing to go on from")
        *older, newest = self.checkpoints()
        damaged = []
        for folder in (newest, *reversed(older)):
            try:
                read_variables(folder / _STATE, variables)
            except DamagedCheckpointError as error:
                damaged.append((folder, error))
                continue
            self._warn_of_damage(damaged, folder)
            return int(folder.name.removeprefix("step_"))
        others = f"; the {len(older)} before it are damaged too" if older else ""
        raise DamagedCheckpointError(f"{damaged[0][1]}{others}")

    def _warn_of_damage(self, damaged: list[tuple[Path, DamagedCheckpointError]], used: Path) -> None:
        for folder, error in damaged:
            renamed = ""
            if self._lock:
                aside = folder.with_name(f"damaged_{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                with suppress(OSError):  # it then stays, and is met again
                    folder.rename(aside)
                    renamed = f"; the damaged one is now {aside.name}"
            print(f"warning: {error}; going on from {used.name} instead{renamed}", file=sys.stderr)

    def save_if_best(self, generator: keras.Model, description: ModelDescription, measured: dict[str, Any]) -> bool:
        """Keep a generator as the best one, if its validation loss is the lowest yet.

        Args:
            generator: The generator.
            description: Its description.
            measured: JSON values: "validation_loss", "step", and whatever has to be equal for losses to be comparable,
                such as the loss weights. Where that differs from the kept one's, the new one counts as better.

        Returns:
            Whether it was kept.

        Raises:
            UserError: It cannot be written.
        """
        comparable = measured.keys() - {"validation_loss", "step"}
        with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
            best = read_json(self._best)
            same = self.best_weights.exists() and all(best[name] == measured[name] for name in comparable)
            if same and best["validation_loss"] <= measured["validation_loss"]:
                return False
        save_weights(self.best_weights, generator, description)
        write_text(self._best, json.dumps(measured, indent=1) + "\n")
        return True


def _contents(data: DataSet) -> dict:
    names = "\n".join(data.name(index) for index in range(len(data)))
    return {"pairs": len(data), "names_sha256": hashlib.sha256(names.encode()).hexdigest()}


def newest_run(runs: Path = Path("runs"), with_checkpoint: bool = True) -> RunFolder:
    """The run that was saved last, or, also without a checkpoint, the one that was started or saved last.

    Raises:
        UserError: There is no such run.
    """
    saved = {path: path.parents[1] for path in runs.glob("*/checkpoints/step_????????") if path.is_dir()}
    started = {} if with_checkpoint else {path: path.parent for path in runs.glob("*/settings.json")}
    found = saved | started
    if not found:
        raise UserError(f"no run with a checkpoint in {runs}/; train one first, or name one with --weights or --out")
    return RunFolder(found[max(found, key=lambda path: path.stat().st_mtime)])


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
    found = re.search(r"error message = '([^']+)'|; ([^;\n]+?)(?: \[Op:.*)?$", text)
    if found:
        return found[1] or found[2]
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else first_line(error)


def first_line(error: Exception) -> str:
    """What a library says, without the rest of its story."""
    return str(getattr(error, "message", None) or error).splitlines()[0]


def _check_space(path: Path, size: int) -> None:
    """Make sure that a file of some bytes can be written: HDF5 may crash the process where the disk is full.

    Raises:
        OSError: It cannot.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


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
