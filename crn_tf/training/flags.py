"""What `train.py` can be asked for, and how that becomes a run's settings: every default decided, every mistake told.

A flag that is None was not given: what is used instead is said in its help, and decided in `TrainFlags.resolved`.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes

from crn_tf.command_line import how_to_call
from crn_tf.data.datasets import EXPECTED_FORMS, Kind, find_kind
from crn_tf.data.images import Size
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.kept_segmenters import read_about
from crn_tf.model.cascade import MAX_MODULES, coarsest_grid, module_heights, parse_pair
from crn_tf.model.loss_weights import find_loss_weights
from crn_tf.model.other_networks.by_name import Network
from crn_tf.model.vgg_weights import find_weights
from crn_tf.training.flag_groups import RESOLUTIONS, DataFlags, LossFlags, ModelFlags, RunFlags, ScheduleFlags
from crn_tf.training.objectives import FIXED, OBJECTIVES, LossName, losses_of
from crn_tf.training.settings import TrainSettings

SMALLEST_SIDE = 4  # rows or columns, of networks other than the CRN
MAX_SEED = 2**32 - 1  # NumPy takes no larger one


@dataclass(frozen=True)
class TrainFlags:
    """Train a Cascaded Refinement Network on photographs and their semantic layouts.

    Defaults follow the 2017 release's schedule for the resolution.
    """

    data: DataFlags = field(default_factory=DataFlags)
    model: ModelFlags = field(default_factory=ModelFlags)
    loss: LossFlags = field(default_factory=LossFlags)
    schedule: ScheduleFlags = field(default_factory=ScheduleFlags)
    run: RunFlags = field(default_factory=RunFlags)

    @classmethod
    def of(cls, **values: Any) -> "TrainFlags":
        """Flags by their names, without their groups.

        Raises:
            TypeError: A name is no flag's.
        """
        return cls().changed(**values)

    @classmethod
    def of_settings(cls, settings: TrainSettings) -> "TrainFlags":
        """The flags that ask for what a run does."""
        paths = ("data", "cache", "init_from", "segmenter")
        values = settings.kept() | {name: getattr(settings, name) for name in paths}
        return cls.of(**values)

    @classmethod
    def parse(cls, arguments: Sequence[str], instead: "TrainFlags | None" = None) -> "TrainFlags":
        """Flags from a command line.

        Args:
            arguments: Of the command line.
            instead: What flags that are not given have; their defaults if None.

        Raises:
            SystemExit: After `--help` (0), or for flags that cannot be understood (2).
        """
        return tyro.cli(
            cls, args=arguments, prog=how_to_call("train"), default=instead or cls(), config=(OmitArgPrefixes,)
        )

    def changed(self, **values: Any) -> "TrainFlags":
        """The same flags but for some, by their names without their groups.

        Raises:
            TypeError: A name is no flag's.
        """
        groups = {}
        for group in vars(self):
            flags = getattr(self, group)
            own = {name: values.pop(name) for name in list(values) if hasattr(flags, name)}
            groups[group] = dataclasses.replace(flags, **own)
        if values:
            raise TypeError(f"there is no flag {', '.join(values)}")
        return TrainFlags(**groups)

    def resolved(self, before: TrainSettings | None = None) -> TrainSettings:
        """Decide what was not given, and check all of it.

        Args:
            before: Settings of the run that goes on; None for a new run.

        Raises:
            UsageError: Flags make no sense, or contradict each other, or data are not named.
            UserError: Data or VGG19 are not there; the message names all that is missing.
        """
        size, grid = self.size_and_grid()
        _check_amounts(self)
        trained = self._trained_heights(size, grid[0])
        settings = self._decided(size, grid, trained)
        if OBJECTIVES[settings.loss].loss_weights != FIXED:
            find_loss_weights(settings.loss_weights)
        if settings.segmenter and not before:  # else the checkpoint has it
            read_about(settings.segmenter)
        # A run that goes on may be given fewer epochs, and more again later.
        if settings.rebalance_epoch > settings.epochs and not before:
            raise UsageError(
                f"--rebalance-epoch {settings.rebalance_epoch} is behind the last of {settings.epochs} epochs: "
                "choose an earlier one, or 0 for never"
            )
        dataset, vgg_weights = self._find_needs()
        return dataclasses.replace(settings, dataset=dataset, vgg_weights=vgg_weights)

    def _decided(self, size: Size, grid: tuple[int, int], trained: tuple[int, ...] | None) -> TrainSettings:
        """Settings in which only the data set's kind and VGG19's file may be missing."""
        release_epochs, release_images = next(values for height, values in _RELEASE_SCHEDULE if size[0] <= height)
        network, loss = self.network_and_loss(self.model.images or release_images)
        if network != "crn" or not OBJECTIVES[loss].several_images:
            release_images = 1  # of the CRN and its losses alone
        images = self.model.images or release_images
        network, loss = self.network_and_loss(images)
        objective = OBJECTIVES[loss]
        if images > 1 and not objective.several_images:
            raise UsageError(f"--images {images}: with --model {network} --loss {loss} there is one for each layout")
        epochs = self.schedule.epochs or release_epochs
        unwarmed = self.schedule.lr_schedule == "constant" and self.schedule.lr_warmup == "auto"
        loss_weights, rebalance_epoch = self.loss.loss_weights, self.loss.rebalance_epoch
        if objective.loss_weights and (loss_weights not in (None, objective.loss_weights) or rebalance_epoch):
            option = "rebalance-epoch" if rebalance_epoch else "loss-weights"
            raise UsageError(f"--{option}: the loss {loss} has weights of its own (docs/methods.md); leave it out")
        if rebalance_epoch is None:  # half of the epochs, as the authors did, unless weights were chosen
            rebalance_epoch = 0 if loss_weights or objective.loss_weights else max(1, epochs // 2)
        if self.loss.segmenter and loss != "gan-segmentation":
            raise UsageError(f"--segmenter is for --loss gan-segmentation, not for {loss}")
        return TrainSettings(
            size=size,
            base_grid=grid,
            dataset=self.data.dataset,
            model=network,
            images=images,
            loss=loss,
            loss_weights=objective.loss_weights or loss_weights or "inverse-elements",
            rebalance_epoch=rebalance_epoch,
            vgg_weights=self.loss.vgg_weights or "",
            epochs=epochs,
            lr=self.schedule.lr or objective.learning_rate,
            lr_warmup=0 if unwarmed else self.schedule.lr_warmup,
            train_modules=trained,
            **self._as_they_are(),
        )

    def network_and_loss(self, images: int) -> tuple[Network, LossName]:
        """The network to train, and what for.

        Args:
            images: For each layout.

        Raises:
            UsageError: They do not go together.
        """
        network, loss = self.model.model, self.loss.loss
        network = network or (OBJECTIVES[loss].networks[0] if loss else "crn")
        if loss is None:
            own = losses_of(network)
            loss = own[0] if len(own) == 1 else "content" if images == 1 else "best-per-class"
        if network not in OBJECTIVES[loss].networks:
            raise UsageError(
                f"--model {network} --loss {loss}: with the network {network} go the losses "
                f"{', '.join(losses_of(network))}"
            )
        return network, loss

    def _as_they_are(self) -> dict[str, Any]:
        """Flags that are settings without a decision."""
        data, model, run = self.data, self.model, self.run
        names = {
            data: (
                "data",
                "fit",
                "flip",
                "jitter",
                "cache",
                "max_unreadable",
                "labels",
                "max_unknown",
                "validation_share",
            ),
            model: ("width", "init_from", "init_optimizer"),
            self.loss: ("vgg_pool", "segmenter"),
            self.schedule: ("steps", "batch", "lr_schedule", "ema", "adam_epsilon", "seed"),
            run: ("precision", "remat", "jit", "validation_limit", "checkpoint_minutes", "checkpoint_steps"),
        }
        return {name: getattr(group, name) for group, own in names.items() for name in own}

    def size_and_grid(self) -> tuple[Size, tuple[int, int]]:
        """Height and width of the images, and the first module's grid.

        Raises:
            UsageError: No cascade from that grid has images of that size, or a size is not written as one; or loss and
                network do not go together.
        """
        model, (network, _) = self.model, self.network_and_loss(1)
        if model.res and model.size:
            raise UsageError(f"--res {model.res} and --size {model.size} both say how large images are: give one")
        if model.res is not None and model.res not in RESOLUTIONS:
            raise UsageError(f"--res must be 256, 512 or 1024, not {model.res}: --size HEIGHTxWIDTH takes others")
        res = model.res or RESOLUTIONS[0]
        height, width = parse_pair(model.size, "--size") if model.size else (res, 2 * res)
        if network != "crn":
            return self._whole_size(network, (height, width))
        rows, columns = parse_pair(model.base_grid, "--base-grid") if model.base_grid else coarsest_grid(height, width)
        doublings = max(1, height // rows).bit_length() - 1
        if (rows << doublings, columns << doublings) != (height, width) or doublings >= MAX_MODULES:
            raise UsageError(
                f"{height}x{width} is not a base grid of {rows}x{columns} doubled up to eight times: "
                "choose another --size or --base-grid"
            )
        return (height, width), (rows, columns)

    def _whole_size(self, network: Network, size: Size) -> tuple[Size, tuple[int, int]]:
        """The size, and again as the grid, of a network without modules.

        Raises:
            UsageError: It is too small, or modules were asked for.
        """
        grid = self.model.base_grid
        for option in ("train-modules", *(["base-grid"] if grid and parse_pair(grid, "--base-grid") != size else [])):
            if getattr(self.model, option.replace("-", "_")):
                raise UsageError(f"--{option} is for the CRN: the network {network} has no modules")
        if min(size) < SMALLEST_SIDE:
            raise UsageError(f"{size[0]}x{size[1]}: expected at least {SMALLEST_SIDE} rows and columns")
        return size, size

    def _trained_heights(self, size: Size, rows: int) -> tuple[int, ...] | None:
        """Heights of the modules to train; None for all.

        Raises:
            UsageError: --train-modules is not a list of heights, or the model has no module of one.
        """
        text = self.model.train_modules
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", text):
            raise UsageError(f"--train-modules must be like 512,1024, not {text!r}")
        heights = tuple(int(part) for part in text.split(","))
        there = module_heights(size[0], rows)
        for wrong in sorted(set(heights).difference(there)):
            raise UsageError(f"--train-modules {wrong}: there is no module of that height at {size[0]}x{size[1]}")
        return heights

    def _find_needs(self) -> tuple[Kind, str]:
        """How the data set's files lie, and the perceiver's weights.

        Raises:
            UsageError: The toy data set was asked for, and a folder; or no data were.
            UserError: Data or VGG19 are not there; all that is missing is named at once.
        """
        data, kind, weights = self.data.data, self.data.dataset, self.loss.vgg_weights
        if kind == "toy" and data:
            raise UsageError(f"the toy data set is built in; leave out --data {data}")
        missing = []
        if data is None and kind != "toy":
            missing.append(
                "no data: --data FOLDER with one of\n"
                f"{EXPECTED_FORMS}\n"
                "  Cityscapes: https://www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, "
                "gtFine_trainvaltest.zip)"
            )
        elif data is not None:
            try:
                kind = find_kind(data) if kind is None or not data.is_dir() else kind
            except UserError as error:
                missing.append(str(error))
        if not weights:
            try:
                weights = str(find_weights())
            except UserError as error:
                missing.append(str(error))
        if kind and weights and not missing:
            return kind, weights
        missing.append("--demo needs neither.")
        raise (UserError if data or kind else UsageError)("\n".join(missing))


def _check_amounts(flags: TrainFlags) -> None:
    """Check numbers that stand for themselves.

    Raises:
        UsageError: A number is out of its range, or --init-optimizer stands without --init-from.
    """
    positive = {
        flags.model: ("images", "width"),
        flags.schedule: ("epochs", "steps", "batch", "lr", "adam_epsilon"),
        flags.run: ("checkpoint_minutes", "checkpoint_steps", "validation_limit"),
    }
    for group, names in positive.items():
        for name in names:
            value = getattr(group, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be greater than 0, not {value}")
    for name in ("max_unreadable", "validation_share"):
        if not 0 <= getattr(flags.data, name) < 1:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is a share, from 0 to less than 1, not {getattr(flags.data, name)}")
    if not 0 <= flags.data.max_unknown <= 1:
        raise UsageError(f"--max-unknown is a share, from 0 to 1, not {flags.data.max_unknown}")
    if flags.schedule.lr_warmup != "auto" and flags.schedule.lr_warmup < 0:
        raise UsageError(f"--lr-warmup is a number of steps, 0 for none, not {flags.schedule.lr_warmup}")
    if flags.schedule.ema is not None and not 0 < flags.schedule.ema < 1:
        raise UsageError(f"--ema is greater than 0 and less than 1, such as 0.999, not {flags.schedule.ema}")
    if not 0 <= flags.schedule.seed <= MAX_SEED:
        raise UsageError(f"--seed must be from 0 to {MAX_SEED}, not {flags.schedule.seed}")
    if (flags.loss.rebalance_epoch or 0) < 0:
        raise UsageError(f"--rebalance-epoch must not be negative, not {flags.loss.rebalance_epoch}")
    if flags.model.init_optimizer and not flags.model.init_from:
        raise UsageError("--init-optimizer takes over the optimizer of --init-from MODEL: give that too")


# The release's epochs and images for images up to a height.
_RELEASE_SCHEDULE = ((256, (200, 9)), (512, (20, 1)), (float("inf"), (5, 1)))

# What --demo starts from: about three minutes on two cores.
DEMO = TrainFlags.of(
    size="96x192",
    dataset="toy",
    images=1,
    loss_weights="inverse-elements",
    vgg_weights="random",
    epochs=3,
    lr=1e-3,
    lr_schedule="cosine",
    width=0.125,
)
