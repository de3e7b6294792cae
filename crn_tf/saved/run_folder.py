"""The folder of a training run: which files it has, who may write it, what it was started with. No TensorFlow."""

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from crn_tf.data.datasets import DataSet
from crn_tf.errors import UserError, unprintable
from crn_tf.files import lock, read_json, read_small_text, remove_unfinished, write_text
from crn_tf.model.description import ModelDescription

WEIGHTS_NAME = "generator.weights.h5"
BEST_WEIGHTS_NAME = "best.weights.h5"


@dataclass(frozen=True)
class Best:
    """What is known of the weights that a run keeps as the best.

    Attributes:
        step: After how many steps they were there.
        distance: Their perceptual distance on the validation pairs; None in runs of versions that did not measure it.
        loss: Their validation loss.
        how: What has to be equal for distances to be comparable: the perceiver, and which pairs there were.
        compared_until: The last step whose weights were compared with these.
    """

    step: int
    distance: float | None
    loss: float
    how: dict[str, Any]
    compared_until: int

    def __str__(self) -> str:
        """Step and distance, in words."""
        by = f"validation loss {self.loss:.4g}"
        return f"step {self.step}, " + (by if self.distance is None else f"perceptual distance {self.distance:.4g}")

    def is_as_good_as(self, other: "Best") -> bool:
        """Whether the perceptual distance is as low as another's; not, where one of them is not known."""
        if self.distance is None or other.distance is None:
            return False
        return self.distance <= other.distance

    def to_json(self) -> str:
        """The content of `best.json`."""
        values = {"step": self.step, "perceptual_distance": self.distance, "validation_loss": self.loss}
        return json.dumps({**values, "compared_until": self.compared_until, **self.how}, indent=1) + "\n"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Best":
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: The values are not what it writes.
        """
        known = dict(values)
        step, loss, distance = known.pop("step"), known.pop("validation_loss"), known.pop("perceptual_distance", None)
        until = known.pop("compared_until", step)  # older versions do not say
        if not (type(step) is type(until) is int) or not all(map(math.isfinite, (loss, distance or 0))):
            raise ValueError("expected steps, and finite numbers")
        return cls(step, distance, loss, known, until)


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
        self.best_weights = path / BEST_WEIGHTS_NAME
        self.best_measured = path / "best.json"
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

    @property
    def locked(self) -> bool:
        """Whether this process has it."""
        return self._lock is not None

    def unlock(self) -> None:
        """Let other processes train here."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def prepare(self, settings: str, description: ModelDescription, data: DataSet, labels: str | None = None) -> None:
        """Write what the run is: its settings, its model, which pairs it trains on, and how labels are read.

        Raises:
            UserError: The folder cannot be written.
        """
        write_text(self.settings, settings)  # first: settings are how a started run is found
        write_text(self.model, description.to_json())
        write_text(self._data, json.dumps({**contents(data), "labels": labels}) + "\n")

    def labels(self) -> str | None:
        """How the run read its label files; None if it had none, or did not say."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            told = read_json(self._data).get("labels")
            return told if isinstance(told, str) and not unprintable(told) else None
        return None

    def check_data(self, data: DataSet) -> None:
        """Compare a data set with the one the run was started with.

        Raises:
            UserError: The data set has other pairs, so that the order of data could not go on.
        """
        try:
            before = read_json(self._data)
            pairs_before = int(before["pairs"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"cannot read {self._data}: {error}") from error
        now = contents(data)
        if any(before.get(name) != value for name, value in now.items()):
            raise UserError(
                f"the run {self.path} was started on {pairs_before} pairs, now there are {now['pairs']}, or they "
                "have other names: start a new run, or bring back the data as they were"
            )

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, the oldest first."""
        return sorted((self.path / "checkpoints").glob("step_" + 8 * "[0-9]"))

    def newest_step(self) -> int:
        """The step of the newest checkpoint; 0 if there is none."""
        return int(self.checkpoints()[-1].name.removeprefix("step_")) if self.checkpoints() else 0

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step is, or will be."""
        return self.path / "checkpoints" / f"step_{step:08d}"

    def sample_sheet(self, epoch: int) -> Path:
        """Where the sample sheet of an epoch is, or will be; epoch 0 is the start."""
        return self.samples / f"epoch_{epoch:04d}.png"

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

    def segmenter(self) -> Path | None:
        """The segmenter that the run was trained against, as its settings name it; None if they name none."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # no settings, or damaged: weights can do without
            found = read_json(self.settings)["segmenter"]
            return Path(found) if found else None
        return None

    def stored_bytes(self) -> int:
        """The size of a checkpoint's files; of the largest, as others may be cut short.

        Raises:
            UserError: The run has no checkpoint.
        """
        if not self.checkpoints():
            raise UserError(f"no checkpoint in {self.path / 'checkpoints'}: there is nothing to go on from")
        sizes = [[path.stat().st_size for path in folder.glob("*") if path.is_file()] for folder in self.checkpoints()]
        return max(map(sum, sizes))

    def best(self) -> Best | None:
        """What was measured of the weights that are kept as the best; None if that is not known."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged
            return Best.from_json(read_json(self.best_measured))
        return None


def chosen_weights(run: RunFolder, last: bool = False) -> tuple[Path | None, str]:
    """Which of a run's weights are its model: the best, where there are any.

    The untrained model is the best of a run that was stopped before it compared another; then the last are taken.

    Args:
        run: The run.
        last: Take the newest checkpoint.

    Returns:
        The weights file, or None for the newest checkpoint; and what that is, in words.
    """
    best = run.best()
    if not last and best and run.best_weights.exists() and (best.compared_until or not run.checkpoints()):
        return run.best_weights, f"the best of the run, {best}"
    return None, f"the last of the run, step {run.newest_step()}"


def no_weights(path: Path) -> UserError:
    """The error to raise where there is no trained model."""
    return UserError(f"no weights {path}; expected a run folder, a {WEIGHTS_NAME} or a model.ckpt of the release")


def contents(data: DataSet) -> dict[str, Any]:
    """What a data set is, for comparing: how many pairs, and a checksum of their names."""
    names = "\n".join(data.name(index) for index in range(len(data)))
    return {"pairs": len(data), "names_sha256": hashlib.sha256(names.encode()).hexdigest()}


def newest_run(runs: Path = Path("runs"), with_checkpoint: bool = True) -> RunFolder:
    """The run that was saved last, or, also without a checkpoint, the one that was started or saved last.

    Raises:
        UserError: There is no run, or none with a checkpoint.
    """
    saved = {path: path.parents[1] for path in runs.glob("*/checkpoints/step_" + 8 * "[0-9]") if path.is_dir()}
    started = {} if with_checkpoint else {path: path.parent for path in runs.glob("*/settings.json")}
    found = saved | started
    if not found:
        raise UserError(f"no run with a checkpoint in {runs}/; train one first, or name one with --weights or --out")
    return RunFolder(found[max(found, key=lambda path: path.stat().st_mtime)])
