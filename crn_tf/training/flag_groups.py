"""The flags of `train.py` in their groups, with what `--help` says of each. What they come to is decided in `flags`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from crn_tf.command_line import INSTEAD, Switch
from crn_tf.data.conventions import Labels
from crn_tf.data.datasets import KINDS, Kind
from crn_tf.data.images import Fit
from crn_tf.model.other_networks.by_name import OTHER_NETWORKS, Network
from crn_tf.precision import Precision
from crn_tf.training.objectives import OBJECTIVES, LossName
from crn_tf.training.settings import Compilation, Pooling, RateSchedule, Recomputation, TrainSettings

RESOLUTIONS = (256, 512, 1024)
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
    lr: Annotated[
        float | None,
        arg(metavar="FLOAT", help_behavior_hint=INSTEAD("1e-4; 2e-4 with --loss pix2pix, gan-segmentation")),
    ] = None
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
