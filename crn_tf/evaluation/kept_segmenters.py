"""Folders in which trained segmenters are kept: what is in them, without a framework."""

from pathlib import Path
from typing import Any

from crn_tf.errors import UserError
from crn_tf.files import read_json

SEGMENTERS = "segmenters"  # folder of them, in a run or in the user's cache
HEAD_FILE, SETTINGS_FILE = "head.weights.h5", "segmenter.json"


def read_about(folder: Path) -> dict[str, Any]:
    """What a segmenter's folder says about it: its settings, its score, and where it is.

    Args:
        folder: Where `segmenter_training.find_or_train` put it.

    Raises:
        UserError: There is no segmenter, or its description is damaged.
    """
    if not (folder / HEAD_FILE).is_file():
        raise UserError(f"no segmenter in {folder}: expected a folder as RUN/segmenters/NAME of a run that trained one")
    try:
        about = read_json(folder / SETTINGS_FILE)
        if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
            raise ValueError("it has no settings")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {folder / SETTINGS_FILE}: {error}") from error
    return {**about, "folder": str(folder)}
