"""The settings of a training run: every decision made, as `settings.json` in its folder keeps them.

What was asked for becomes settings in `flags`.
"""

import dataclasses
import json
import re
import reprlib
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from crn_tf.data.conventions import Labels
from crn_tf.data.datasets import Kind, find_kind
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UserError
from crn_tf.files import parse_json, read_small_text
from crn_tf.model.other_networks.by_name import Network
from crn_tf.precision import Precision
from crn_tf.training.objectives import LossName

Pooling = Literal["avg", "max"]
Recomputation = Literal["auto", "on", "off"]
Compilation = Literal["off", "on"]
RateSchedule = Literal["constant", "cosine"]
_PAIRS = ("size", "base_grid")  # written as 192x256
# What runs did that were started before a setting was there, where its default is another today.
_BEFORE: dict[str, Any] = {"adam_epsilon": 1e-7, "rebalance_epoch": 0, "data": None, "dataset": None}


@dataclass(frozen=True)
class TrainSettings:
    """What a run does. Its flags say what each setting means (`train.py --help`).

    Attributes:
        size: Height and width of the images.
        base_grid: Rows and columns of the first module's grid.
        data: The data set's folder; None for the toy data set.
        dataset: How its files lie; None if an older run did not say, and its folder is not there now.
        labels: What the label files hold; "auto" finds out.
        max_unknown: Share of the pixels that may be in no class table.
        validation_share: Share of the training pairs that are split off for validation, where there is no split for it.
        cache: Folder for decoded pairs; None for none.
        jitter: Whether pairs are enlarged, and cut at random.
        model: Which network is trained.
        loss_weights: A preset's name, a file, "auto" for measured ones, or "fixed" where the loss has its own.
        rebalance_epoch: Epoch over which the taps' terms are measured; 0 for none.
        init_from: The trained model to start from; None for none.
        train_modules: Heights of the modules to train; None for all.
        vgg_weights: A file, "imagenet" or "random".
        steps: Stop after so many, whatever the epochs; None for no limit but theirs.
        lr_warmup: Steps; "auto" until a run is opened, which decides it for good.
        ema: The decay of the averaged weights; None for no average.
        remat: "auto" until a run is opened, which decides it for good.
        checkpoint_steps: Save a checkpoint after so many; None for by time only.
        segmenter: Folder of the segmenter that `--loss gan-segmentation` trains against; None to train one first.
    """

    size: Size
    base_grid: tuple[int, int]
    data: Path | None
    dataset: Kind | None
    images: int
    loss: LossName
    loss_weights: str
    rebalance_epoch: int
    vgg_weights: str
    epochs: int
    fit: Fit = "resize"
    flip: bool = False
    jitter: bool = False
    model: Network = "crn"
    segmenter: Path | None = None
    cache: Path | None = None
    max_unreadable: float = 0.05
    labels: Labels = "auto"
    max_unknown: float = 0.3
    validation_share: float = 0.0
    init_from: Path | None = None
    init_optimizer: bool = False
    train_modules: tuple[int, ...] | None = None
    vgg_pool: Pooling = "avg"
    steps: int | None = None
    batch: int = 1
    lr: float = 1e-4
    lr_schedule: RateSchedule = "constant"
    lr_warmup: int | Literal["auto"] = 0
    ema: float | None = None
    adam_epsilon: float = 1e-8
    precision: Precision = "float32"
    remat: Recomputation = "auto"
    jit: Compilation = "off"
    width: float = 1.0
    seed: int = 0
    validation_limit: int = 32
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None

    def kept(self) -> dict[str, Any]:
        """The settings as JSON values, with absolute paths."""
        values = {name: _kept(name, value) for name, value in vars(self).items()}
        for name in ("vgg_weights", "loss_weights"):  # a name, or a file
            if Path(values[name]).is_file():
                values[name] = str(Path(values[name]).resolve())
        return values

    def to_json(self) -> str:
        """What is kept of the settings, as a readable file's text."""
        return json.dumps(self.kept(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainSettings":
        """The settings `to_json` wrote, also in an older version. A line names what is not known.

        Raises:
            ValueError: The text is another, or has values that no version wrote.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise ValueError("expected a JSON object")
        kinds = get_type_hints(cls)
        known = _BEFORE | {name: _read(name, values[name], kind) for name, kind in kinds.items() if name in values}
        for name in (n for n in kinds if n not in known and not hasattr(cls, n)):  # settings without a default
            raise ValueError(f"it has no {name}")
        unknown = sorted(values.keys() - kinds.keys() - {"res"})  # null in older files, which have a size
        if unknown:
            names = reprlib.repr(", ".join(unknown))
            print(f"warning: settings that this version does not know are left out: {names}", file=sys.stderr)
        return cls(**known)

    @classmethod
    def read(cls, path: Path) -> "TrainSettings":
        """Read a run's file of settings, also one of an older version.

        Raises:
            UserError: The file is missing, damaged, or has values that no version wrote.
        """
        try:
            settings = cls.from_json(read_small_text(path))
        except FileNotFoundError as error:
            raise UserError(f"no {path}: {path.parent} is not a run folder of train.py") from error
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read the settings {path}: {error}") from error
        if settings.dataset is None and settings.data is not None:
            with suppress(UserError):  # it is not there now, or no longer what it was
                return dataclasses.replace(settings, dataset=find_kind(settings.data))
        return settings


def _kept(name: str, value: Any) -> Any:
    """A setting as a JSON value."""
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, tuple):
        return ("x" if name in _PAIRS else ",").join(map(str, value))
    return value


def _read(name: str, value: Any, kind: Any) -> Any:
    """A setting from its JSON value.

    Raises:
        ValueError: The value is not of the setting's type.
    """
    found = value
    if isinstance(value, str):
        if name in _PAIRS and re.fullmatch(r"\d{1,5}x\d{1,5}", value):
            value = tuple(map(int, value.split("x")))
        elif name == "train_modules" and re.fullmatch(r"\d{1,5}(,\d{1,5})*", value):
            value = tuple(map(int, value.split(",")))
        elif Path in get_args(kind):
            value = Path(value)
    if not _is_of(value, kind):
        raise ValueError(f"{name} is {reprlib.repr(found)}, expected {kind}")
    return value


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from a file is of a setting's type."""
    if get_origin(kind) in (UnionType, Union):
        return any(_is_of(value, option) for option in get_args(kind))
    if get_origin(kind) is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple)
    if kind in (None, NoneType):
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


# Settings that --resume cannot change: the checkpoint would not fit or would win, or the data order would be another.
FIXED_AT_START = (
    *("size", "base_grid", "images", "width", "precision", "batch", "seed", "flip", "fit", "train_modules"),
    *("loss_weights", "adam_epsilon", "ema", "model", "jitter", "segmenter"),
)
