"""The checkpoints of a run: saving one, going on from the newest that is whole, keeping the best weights."""

import dataclasses
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import keras

from crn_tf.errors import UserError
from crn_tf.files import write_text, written_aside
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoints import DamagedCheckpointError, read_variables, save_weights, write_variables
from crn_tf.saved.run_folder import Best, RunFolder

KEPT_CHECKPOINTS = 3  # two to fall back on, if the newest is damaged
_STATE = "state"  # prefix of the files in a checkpoint's folder


def save_checkpoint(run: RunFolder, step: int, variables: dict[str, keras.Variable]) -> Path:
    """Save a checkpoint and, once it is safely on the disk, remove all but the last few.

    Raises:
        UserError: The checkpoint cannot be written; the earlier checkpoints are still there.
    """
    folder = run.checkpoint(step)
    if not folder.is_dir():
        with written_aside(folder, durable=True) as temporary:
            temporary.mkdir()
            write_variables(temporary / _STATE, variables, shown=folder)
    for old in run.checkpoints()[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def restore_checkpoint(run: RunFolder, variables: dict[str, keras.Variable]) -> int:
    """Load the newest checkpoint that is whole, with a warning for each that is not, and return its step.

    If this process has locked the folder, damaged ones are renamed, so that training can come to their step again.

    Raises:
        UserError: The run has no checkpoint, all are damaged, or they are of another model.
    """
    if not run.checkpoints():
        raise UserError(f"no checkpoint in {run.path / 'checkpoints'}: there is nothing to go on from")
    *older, newest = run.checkpoints()
    damaged = []
    for folder in (newest, *reversed(older)):
        try:
            read_variables(folder / _STATE, variables)
        except DamagedCheckpointError as error:
            damaged.append((folder, error))
            continue
        _warn_of_damage(run, damaged, folder)
        return int(folder.name.removeprefix("step_"))
    others = f"; the {len(older)} before it are damaged too" if older else ""
    raise DamagedCheckpointError(f"{damaged[0][1]}{others}")


def _warn_of_damage(run: RunFolder, damaged: list[tuple[Path, DamagedCheckpointError]], used: Path) -> None:
    for folder, error in damaged:
        renamed = ""
        if run.locked:
            aside = folder.with_name(f"damaged_{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(OSError):  # it then stays, and is met again
                folder.rename(aside)
                renamed = f"; the damaged one is now {aside.name}"
        print(f"warning: {error}; going on from {used.name} instead{renamed}", file=sys.stderr)


def keep_if_best(run: RunFolder, generator: keras.Model, description: ModelDescription, measured: Best) -> bool:
    """Keep a generator as the best one, if its perceptual distance is the lowest yet.

    Args:
        run: The run's folder.
        generator: The generator.
        description: Its description.
        measured: What was measured of it, and how. Where it was measured in another way than the kept one, or nothing
            is known of that, the new one counts as better.

    Returns:
        Whether it was kept.

    Raises:
        UserError: The weights cannot be written.
    """
    best = run.best() if run.best_weights.exists() else None
    if best and best.how == measured.how and best.is_as_good_as(measured):
        write_text(run.best_measured, dataclasses.replace(best, compared_until=measured.step).to_json())
        return False
    save_weights(run.best_weights, generator, description)
    write_text(run.best_measured, measured.to_json())
    return True
