"""The settings of a training run: what `train.py` takes, and the 2017 release's schedule as their defaults."""

import dataclasses
import json
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from crn_tf.cascade import MAX_MODULES, coarsest_grid, parse_pair
from crn_tf.datasets import Kind
from crn_tf.errors import UsageError, UserError
from crn_tf.files import read_json
from crn_tf.images import Fit
from crn_tf.loss_weights import find_loss_weights
from crn_tf.precision import Precision

Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]  # no --no-resume


@dataclass(frozen=True)
class TrainSettings:
    """Train a Cascaded Refinement Network on photographs and their semantic layouts.

    Defaults that are not shown follow the 2017 release's schedule for the resolution.
    """

    res: Literal[256, 512, 1024] | None = None
    """Image height, 256 if not given; the width is twice that."""
    size: str | None = None
    """Height and width instead of --res, such as 192x256."""
    base_grid: str | None = None
    """Rows and columns of the first module's grid, such as 3x4; found from the size if not given."""
    data: Path | None = None
    """Folder of the data set."""
    dataset: Kind | None = None
    """How the data set's files lie; found from the folder's shape if not given."""
    fit: Fit = "resize"
    """Stretch pictures of another aspect ratio, or cut their centre."""
    flip: bool = False
    """Mirror half of the pairs, another half each epoch."""
    cache: Path | None = None
    """Folder for decoded pairs, so that each file is decoded once and not in every epoch."""
    max_unreadable: float = 0.05
    """Share of the pairs whose files may turn out to be unreadable while training; they are left out, each with a
    warning. With more the run saves and stops."""
    images: int | None = None
    """Images synthesized for each layout (k)."""
    loss: Literal["content", "best-image", "best-per-class"] | None = None
    """Which of the k images is compared with the photograph: all, the best, or the best for each class."""
    loss_weights: str | None = None
    """Weights of the perceiver's taps: inverse-elements, release-256p, release-512p, release-1024p, release-gta, auto
    (measured on the first batches), or a JSON file."""
    rebalance_epoch: int | None = None
    """Epoch over which each tap's term is measured, to make all contribute equally from then on; 0 for never. Half of
    the epochs if no --loss-weights are given, else never."""
    init_from: Path | None = None
    """Start from a trained model: a run folder, a weights file, or a model.ckpt of the 2017 release. Modules that it
    has are taken over, others start fresh."""
    init_optimizer: bool = False
    """With --init-from a release checkpoint of the same model: take over Adam's moments and step too."""
    train_modules: str | None = None
    """Heights of the modules to train, such as 512,1024; all if not given."""
    vgg_weights: str | None = None
    """VGG19 file (.h5 or .mat), "imagenet" to download it, or "random"; else the file in vgg_weights/."""
    vgg_pool: Literal["avg", "max"] = "avg"
    """Pooling in VGG19: the release's average, or the original maximum."""
    epochs: int | None = None
    """Passes over the data."""
    steps: int | None = None
    """Stop after so many steps, whatever the epochs."""
    batch: int = 1
    """Pairs in a step."""
    lr: float = 1e-4
    """Adam's learning rate."""
    precision: Precision = "float32"
    """Arithmetic of the convolutions; weights, normalization statistics and losses are always float32."""
    remat: Literal["auto", "on", "off"] = "auto"
    """Keep less in memory and compute it again in the backward pass; auto: if the memory there is would not do."""
    width: float = 1.0
    """Multiplies the feature channels of every module."""
    seed: int = 0
    """Decides the first weights and the order of the data."""
    strategy: Literal["auto", "single", "mirrored", "multi-worker"] = "auto"
    """Devices that share each batch: one, all GPUs of this machine, or those of all workers that TF_CONFIG names;
    auto: what there is."""
    out: Path | None = None
    """Run folder; runs/NAME-SIZE-TIME if not given."""
    resume: Switch = False
    """Go on with the run in --out (or the newest) from its last checkpoint; other settings come from there."""
    demo: Switch = False
    """A small model on the built-in toy scenes with an untrained perceiver: needs no files."""
    validation_limit: int = 32
    """Validation pairs to measure the loss on, before training and after each epoch."""
    checkpoint_minutes: float = 10.0
    """Save a checkpoint so often."""
    checkpoint_steps: int | None = None
    """Save a checkpoint after so many steps too, however short they take."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height = self.res or 256
        return parse_pair(self.size, "--size") if self.size else (height, 2 * height)

    @property
    def trained_heights(self) -> list[int] | None:
        """Heights of the modules to train; None for all."""
        if self.train_modules is None:
            return None
        if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", self.train_modules):
            raise UsageError(f"--train-modules must be like 512,1024, not {self.train_modules!r}")
        return [int(height) for height in self.train_modules.split(",")]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the first module's grid."""
        if self.base_grid:
            return parse_pair(self.base_grid, "--base-grid")
        return coarsest_grid(*self.image_size)

    def resolved(self) -> "TrainSettings":
        """The same settings with every default that depends on the resolution filled in, and checked.

        Raises:
            UsageError: They make no sense.
        """
        if self.res and self.size:
            raise UsageError(f"--res {self.res} and --size {self.size} both say how large images are: give one")
        if self.dataset == "toy" and self.data:
            raise UsageError(f"the toy data set is built in; leave out --data {self.data}")
        height, width = self.image_size
        rows, columns = self.grid
        doublings = max(1, height // rows).bit_length() - 1
        if (rows << doublings, columns << doublings) != (height, width) or doublings > MAX_MODULES - 1:
            raise UsageError(
                f"{height}x{width} is not a base grid of {rows}x{columns} doubled up to eight times: "
                "choose another --size or --base-grid"
            )
        release = next(values for limit, values in _RELEASE_SCHEDULE if height <= limit)
        images = release["images"] if self.images is None else self.images
        epochs = release["epochs"] if self.epochs is None else self.epochs
        wrong = sorted(set(self.trained_heights or ()) - {rows << i for i in range(doublings + 1)})
        if wrong:
            raise UsageError(f"--train-modules {wrong[0]}: there is no module of that height at {height}x{width}")
        if self.init_optimizer and not self.init_from:
            raise UsageError("--init-optimizer takes over the optimizer of --init-from MODEL: give that too")
        if self.loss_weights:
            find_loss_weights(self.loss_weights)
        settings = dataclasses.replace(
            self,
            images=images,
            loss=self.loss or ("content" if images == 1 else "best-per-class"),
            loss_weights=self.loss_weights or "inverse-elements",
            rebalance_epoch=_rebalance_epoch(self, epochs),
            epochs=epochs,
            res=None,
            size=f"{height}x{width}",
            base_grid=f"{rows}x{columns}",
        )
        for name in (
            "images",
            "epochs",
            "steps",
            "batch",
            "lr",
            "width",
            "checkpoint_minutes",
            "checkpoint_steps",
            "validation_limit",
        ):
            value = getattr(settings, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be greater than 0, not {value}")
        if not 0 <= settings.max_unreadable < 1:
            raise UsageError(f"--max-unreadable is a share, from 0 to less than 1, not {settings.max_unreadable}")
        for name in ("seed", "rebalance_epoch"):
            if getattr(settings, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative, not {getattr(settings, name)}")
        return settings

    def kept(self) -> dict[str, Any]:
        """The settings as JSON values with absolute paths, without what belongs to one call only."""
        values = {k: str(v.resolve()) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}
        for name in ("vgg_weights", "loss_weights"):  # a name, or a file
            if values[name] and Path(values[name]).is_file():
                values[name] = str(Path(values[name]).resolve())
        return {k: v for k, v in values.items() if k not in ("strategy", "out", "resume", "demo")}

    def to_json(self) -> str:
        """What is kept of the settings, as a readable file's text."""
        return json.dumps(self.kept(), indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> "TrainSettings":
        """Read the file `to_json` made.

        Raises:
            UserError: It is missing or of another version.
        """
        try:
            values = read_json(path)
            paths = {name: Path(values[name]) for name in ("data", "cache", "init_from") if values[name]}
            settings = cls(**{**values, **paths})
            for name, kind in get_type_hints(cls).items():
                if not _is_of(getattr(settings, name), kind):
                    raise ValueError(f"{name} is {reprlib.repr(values[name])}, expected {kind}")
            return settings
        except FileNotFoundError as error:
            raise UserError(f"no {path}: {path.parent} is not a run folder of train.py") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"cannot read the settings {path}: {error}") from error


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from a file is of a setting's type."""
    if get_origin(kind) in (UnionType, Union):
        return any(_is_of(value, option) for option in get_args(kind))
    if get_origin(kind) is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _rebalance_epoch(settings: TrainSettings, epochs: int) -> int:
    """Half of the epochs, as the authors did, unless weights were chosen."""
    if settings.rebalance_epoch is not None:
        return settings.rebalance_epoch
    return 0 if settings.loss_weights else max(1, epochs // 2)


# The release's epochs and images for images up to a height.
_RELEASE_SCHEDULE = (
    (256, {"epochs": 200, "images": 9}),
    (512, {"epochs": 20, "images": 1}),
    (float("inf"), {"epochs": 5, "images": 1}),
)

# What --demo starts from: about three minutes on two cores.
DEMO = TrainSettings(
    size="96x192",
    dataset="toy",
    images=1,
    loss_weights="inverse-elements",
    vgg_weights="random",
    epochs=3,
    lr=5e-4,
    width=0.125,
)

# Settings that --resume cannot change: the checkpoint would not fit or would win, or the data order would be another.
FIXED_AT_START = (
    *("size", "base_grid", "images", "width", "precision", "batch", "seed", "flip", "fit", "train_modules"),
    "loss_weights",
)
