"""What `train.py` can be asked for, and how that becomes a run's settings: every default decided, every mistake told.

A flag that is None was not given: what is used instead is said in its help, and decided in `TrainFlags.resolved`.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, arg

from crn_tf.command_line import INSTEAD, Switch, how_to_call
from crn_tf.data.conventions import Labels
from crn_tf.data.datasets import EXPECTED_FORMS, KINDS, Kind, find_kind
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.kept_segmenters import read_about
from crn_tf.model.cascade import MAX_MODULES, coarsest_grid, module_heights, parse_pair
from crn_tf.model.loss_weights import find_loss_weights
from crn_tf.model.other_networks.by_name import OTHER_NETWORKS, Network
from crn_tf.model.vgg_weights import find_weights
from crn_tf.precision import Precision
from crn_tf.training.objectives import FIXED, OBJECTIVES, LossName, losses_of
from crn_tf.training.settings import Compilation, Pooling, RateSchedule, Recomputation, TrainSettings

RESOLUTIONS = (256, 512, 1024)
SMALLEST_SIDE = 4  # rows or columns, of networks other than the CRN
MAX_SEED = 2**32 - 1  # NumPy takes no larger one
Strategy = Literal["auto", "single", "mirrored", "multi-worker"]


@dataclass(frozen=True)
class DataFlags:
    """Photographs with layouts."""

    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(needed, but for the toy data set)")] = None
    """Folder of the data set."""
    dataset: Annotated[
        Kind | None,
        arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape")),
    ] = None
    """How the data set's files lie; toy: streets that are built in."""
    labels: Labels = TrainSettings.labels
    """What the label files hold: the class table's ids, or its colours; trainids: 0, 1, ... in the order of the names;
    labelids: Cityscapes' own; auto: found from the files."""
    max_unknown: float = TrainSettings.max_unknown
    """Share of the labels' pixels that may be in no class table; with more, training stops."""
    validation_share: float = TrainSettings.validation_share
    """Share of the training pairs to split off for validation, by their names, where there is no split for it."""
    fit: Fit = TrainSettings.fit
    """Stretch pictures of another aspect ratio, or cut their centre."""
    flip: bool = TrainSettings.flip
    """Mirror half of the pairs, another half each epoch."""
    jitter: Switch = TrainSettings.jitter
    """Enlarge pairs by 286/256 and cut them at random, each epoch elsewhere, as pix2pix does."""
    cache: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("no cache"))] = None
    """Folder for decoded pairs, so that each file is decoded once and not in every epoch."""
    max_unreadable: float = TrainSettings.max_unreadable
    """Share of the pairs that may be incomplete, or whose files may turn out to be unreadable: they are left out.
    With more a run does not start, or saves and stops."""


@dataclass(frozen=True)
class ModelFlags:
    """The network, and what it starts from."""

    model: Annotated[
        Network | None,
        arg(metavar=f"{{crn,{','.join(OTHER_NETWORKS)}}}", help_behavior_hint=INSTEAD("crn, or as --loss asks")),
    ] = None
    """The Cascaded Refinement Network, or the network of another method that the paper compares it with."""
    res: Annotated[int | None, arg(metavar="{256,512,1024}", help_behavior_hint=INSTEAD(RESOLUTIONS[0]))] = None
    """Image height; the width is twice that."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("as --res says"))] = None
    """Height and width instead of --res, such as 192x256."""
    base_grid: Annotated[
        str | None, arg(metavar="ROWSxCOLUMNS", help_behavior_hint=INSTEAD("the size, halved as often as can be"))
    ] = None
    """Rows and columns of the first module's grid, such as 3x4."""
    images: Annotated[
        int | None, arg(metavar="K", help_behavior_hint=INSTEAD("9 of a CRN up to 256 rows, else 1, as in the release"))
    ] = None
    """Images synthesized for each layout."""
    width: float = TrainSettings.width
    """Multiplies the feature channels of every module."""
    init_from: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("fresh weights"))] = None
    """Start from a trained model: a run folder, a weights file, or a model.ckpt of the 2017 release.
    Modules that it has are taken over, others start fresh."""
    init_optimizer: bool = TrainSettings.init_optimizer
    """With --init-from a release checkpoint of the same model: take over Adam's moments and step too."""
    train_modules: Annotated[str | None, arg(metavar="HEIGHTS", help_behavior_hint=INSTEAD("all"))] = None
    """Heights of the modules to train, such as 512,1024."""


@dataclass(frozen=True)
class LossFlags:
    """How synthesized images are compared with photographs."""

    loss: Annotated[
        LossName | None,
        arg(
            metavar="{" + ",".join(OBJECTIVES) + "}",
            help_behavior_hint=INSTEAD("content for one image, best-per-class for several, or as --model asks"),
        ),
    ] = None
    """Which of the K images is compared with the photograph: all, the best, or the best for each class. The others are
    the losses of the paper's other methods, of one image: see docs/methods.md."""
    segmenter: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("one is trained on the training pairs first"))
    ] = None
    """With --loss gan-segmentation: the segmenter to train against, as another run keeps it."""
    loss_weights: Annotated[
        str | None, arg(metavar="NAME|FILE", help_behavior_hint=INSTEAD("inverse-elements, rebalanced later"))
    ] = None
    """Weights of the perceiver's taps: inverse-elements, release-256p, release-512p, release-1024p, release-gta;
    auto: measured on the first batches; or a JSON file."""
    rebalance_epoch: Annotated[
        int | None,
        arg(metavar="EPOCH", help_behavior_hint=INSTEAD("half of the epochs, or never if --loss-weights are given")),
    ] = None
    """Epoch over which each tap's term is measured, to make all contribute equally from then on; 0 for never."""
    vgg_weights: Annotated[
        str | None, arg(metavar="FILE|NAME", help_behavior_hint=INSTEAD("the published file in vgg_weights/"))
    ] = None
    """VGG19 file (.h5 or .mat), "imagenet" to download it, or "random" to try things out."""
    vgg_pool: Pooling = TrainSettings.vgg_pool
    """Pooling in VGG19: the release's average, or the original maximum."""


@dataclass(frozen=True)
class ScheduleFlags:
    """How long, and in what steps."""

    epochs: Annotated[
        int | None,
        arg(metavar="N", help_behavior_hint=INSTEAD("200 up to 256 rows, 20 up to 512, 5 above: the release's")),
    ] = None
    """Passes over the data."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("as many as the epochs have"))] = None
    """Stop after so many steps, whatever the epochs."""
    batch: int = TrainSettings.batch
    """Pairs in a step."""
    lr: Annotated[float | None, arg(help_behavior_hint=INSTEAD("1e-4; 2e-4 with --loss pix2pix, gan-segmentation"))] = (
        None
    )
    """Adam's learning rate; with a schedule or a warm-up, the highest."""
    lr_schedule: RateSchedule = TrainSettings.lr_schedule
    """What the learning rate does: constant, as in the release; cosine: fall to 0 until the last step."""
    lr_warmup: Annotated[
        int | Literal["auto"],
        arg(metavar="STEPS", help_behavior_hint=INSTEAD("0; of a cosine 2 % of the steps, at most 500")),
    ] = "auto"
    """Steps over which the learning rate grows to its highest."""
    ema: Annotated[float | None, arg(metavar="DECAY", help_behavior_hint=INSTEAD("no average"))] = None
    """Average the weights over the steps, each time keeping so much of the average, such as 0.999. The averaged weights
    are what is validated, kept and exported."""
    adam_epsilon: float = TrainSettings.adam_epsilon
    """Added to the root of Adam's second moment; the release's."""
    seed: int = TrainSettings.seed
    """Decides the first weights and the order of the data."""


@dataclass(frozen=True)
class RunFlags:
    """Where it is kept, what it computes on, when it saves."""

    out: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint=INSTEAD("runs/NAME-SIZE-TIME"))] = None
    """Run folder."""
    resume: Switch = False
    """Go on with the run in --out (or the newest in runs/) from its last checkpoint; other settings come from there."""
    resume_or_start: Switch = False
    """Go on with the run in --out if there is one, else start it: one command for the first start and every other."""
    demo: Switch = False
    """A small model on the built-in toy streets with an untrained perceiver: needs no files."""
    dry_run: Switch = False
    """Say what would be trained, on what, with how much memory, and stop. Writes nothing."""
    precision: Precision = TrainSettings.precision
    """Arithmetic of the convolutions; weights, normalization statistics and losses are always float32."""
    remat: Recomputation = TrainSettings.remat
    """Keep less in memory and compute it again in the backward pass; auto: if the memory there is would not do."""
    jit: Compilation = TrainSettings.jit
    """Have XLA compile the whole training step, on one device; unmeasured on GPUs: see docs/training.md."""
    strategy: Strategy = "auto"
    """Devices that share each batch: one, all GPUs of this machine, or those of all workers that TF_CONFIG names;
    auto: what there is."""
    require_gpu: Switch = False
    """Stop with exit code 1 where TensorFlow can use no GPU, instead of training on the CPU: for schedulers."""
    validation_limit: int = TrainSettings.validation_limit
    """Validation pairs to measure the loss on, before training and after each epoch."""
    checkpoint_minutes: float = TrainSettings.checkpoint_minutes
    """Save a checkpoint so often."""
    checkpoint_steps: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("by time only"))] = None
    """Save a checkpoint after so many steps too, however short they take."""


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
    lr=5e-4,
    width=0.125,
)
