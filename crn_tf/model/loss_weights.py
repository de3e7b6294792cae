"""The weights of the taps in the loss: presets, and files.

Example:
    The presets are one over each tap's mean error as its authors measured it, with ten times the say for the last:

    >>> from crn_tf import LOSS_WEIGHTS
    >>> list(LOSS_WEIGHTS)
    ['inverse-elements', 'release-256p', 'release-512p', 'release-1024p', 'release-gta']
    >>> image, conv1_2, conv2_2, conv3_2, conv4_2, conv5_2 = LOSS_WEIGHTS["release-256p"]
    >>> round(1 / conv1_2, 3), round(10 / conv5_2, 3)
    (1.6, 0.8)
"""

import json
import reprlib
from pathlib import Path

from crn_tf.errors import UserError
from crn_tf.files import read_json, write_text

TAP_NAMES = ("image", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")  # what the losses compare, in order

# Weight of each tap's mean absolute error. "inverse-elements" is the paper's start: the sums' weights are the
# inverse number of elements, so the means' are one. The others are the constants of the 2017 release, which made
# all terms contribute equally on its data with the published VGG19.
LOSS_WEIGHTS: dict[str, tuple[float, ...]] = {
    "inverse-elements": (1.0,) * len(TAP_NAMES),
    "release-256p": (1.0, 1 / 1.6, 1 / 2.3, 1 / 1.8, 1 / 2.8, 10 / 0.8),
    "release-512p": (1.0, 1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5),
    "release-1024p": (1.0, 1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5),
    "release-gta": (1.0, 1 / 1.4, 1 / 1.8, 1 / 1.3, 1 / 2.2, 10 / 0.62),
}
AUTO = "auto"  # measured on the first batches
LARGEST = 1e30  # the sum of all terms has to be a float32


def find_loss_weights(name_or_file: str) -> tuple[float, ...]:
    """The weights a name or a file stands for; "auto" starts from ones.

    Args:
        name_or_file: A preset, "auto", or a JSON file with a number for each tap:
            `{"image": 1, "conv1_2": 0.6, ..., "conv5_2": 12.5}`.

    Returns:
        A weight for each tap, the image first; zero leaves a tap out.

    Raises:
        UserError: No preset or file has that name, or the file is not a number for each tap.
    """
    if name_or_file == AUTO:
        return LOSS_WEIGHTS["inverse-elements"]
    if name_or_file in LOSS_WEIGHTS:
        return LOSS_WEIGHTS[name_or_file]
    expected = f"expected a JSON file like {json.dumps(dict.fromkeys(TAP_NAMES, 1))}"
    try:
        values = read_json(Path(name_or_file))
    except FileNotFoundError as error:
        presets = ", ".join([*LOSS_WEIGHTS, AUTO])
        raise UserError(f"no loss weights {name_or_file}; expected one of {presets}, or a JSON file") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the loss weights {name_or_file}: {error}; {expected}") from error
    if not isinstance(values, dict) or set(values) != set(TAP_NAMES):
        raise UserError(f"{name_or_file} has not the six taps' names; {expected}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
            found = reprlib.repr(value)
            raise UserError(
                f"{name} in {name_or_file} is {found}; expected a number, zero or greater, up to {LARGEST:g}"
            )
    if not any(values.values()):
        raise UserError(f"all weights in {name_or_file} are zero; expected at least one that is greater")
    return tuple(float(values[name]) for name in TAP_NAMES)


def write_loss_weights(path: Path, weights: tuple[float, ...]) -> None:
    """Write weights as `find_loss_weights` reads them.

    Args:
        path: The file; its folder is made.
        weights: A weight for each tap, the image first.

    Raises:
        UserError: The file cannot be written.
    """
    write_text(path, json.dumps(dict(zip(TAP_NAMES, weights, strict=True)), indent=1) + "\n")
