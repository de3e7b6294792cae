"""The folder of a training run: its files, who may write it, and which of its checkpoints is the one to go on from."""

import hashlib
import json
import math
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import keras

from crn_tf.checkpoints import WEIGHTS_NAME, DamagedCheckpointError, read_variables, save_weights, write_variables
from crn_tf.datasets import DataSet
from crn_tf.errors import UserError
from crn_tf.files import lock, read_json, read_small_text, remove_unfinished, write_text, written_aside
from crn_tf.model_description import ModelDescription

KEPT_CHECKPOINTS = 3  # two to fall back on, if the newest is damaged
_STATE = "state"  # prefix of the files in a checkpoint's folder


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
        refusal = f"another process is training in {self.path}: wait for its end, or choose another --out"
        self._lock = lock(self.path / "lock", refusal)
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
        write_text(self._data, json.dumps(contents(data)) + "\n")

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
        now = contents(data)
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

    def best(self) -> dict[str, Any] | None:
        """What `save_if_best` was given with the weights that are kept as the best; None if that is not known."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
            best = read_json(self._best)
            if math.isfinite(best["validation_loss"]) and type(best["step"]) is int:
                return best
        return None

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
        best = self.best()
        same = best and self.best_weights.exists() and all(best.get(name) == measured[name] for name in comparable)
        if same and best["validation_loss"] <= measured["validation_loss"]:
            return False
        save_weights(self.best_weights, generator, description)
        write_text(self._best, json.dumps(measured, indent=1) + "\n")
        return True


def contents(data: DataSet) -> dict[str, Any]:
    """What a data set is, for comparing: how many pairs, and a checksum of their names."""
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
