"""What `test.py` is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from crn_tf.command_line import INSTEAD, Switch, require_at_least_one
from crn_tf.data.conventions import Labels
from crn_tf.data.datasets import KINDS, Kind
from crn_tf.data.images import Fit, ImageFormat
from crn_tf.data.trees import find_tree
from crn_tf.errors import UsageError
from crn_tf.precision import Precision


@dataclass(frozen=True)
class TestSettings:
    """Synthesize photographs from semantic layouts with a trained model."""

    weights: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("the newest run in runs/"))] = None
    """Run folder (its best weights), weights file, or a model.ckpt of the 2017 release."""
    last: Switch = False
    """Of a run folder, the newest checkpoint instead of the best weights."""
    layouts: Annotated[tuple[Path, ...], arg(help_behavior_hint=INSTEAD("the validation layouts of the run"))] = ()
    """Layout files, folders of them, or a data set."""
    dataset: Annotated[
        Kind | None,
        arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape")),
    ] = None
    """How the files of a data set lie."""
    split: str = "val"
    """Which part of a data set."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("as the model was trained"))] = (
        None
    )
    """Size of synthesis, such as 256x768: any that the model's modules can double up to."""
    labels: Labels = "auto"
    """What the layouts hold, as train.py takes it; auto: found from the files."""
    max_unknown: float = 0.3
    """Share of the layouts' pixels that may be in no class table; with more, nothing is synthesized."""
    fit: Annotated[Fit | None, arg(metavar="{resize,crop}", help_behavior_hint=INSTEAD("as the model was trained"))] = (
        None
    )
    """Stretch layouts of another aspect ratio, or cut their centre."""
    output_size: Literal["model", "layout"] = "model"
    """Size of the images: the model's, or each layout's own (of its centre, where that is cut out), to which they are
    resized."""
    out: Path = Path("results")
    """Folder for the images."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Synthesize only so many layouts, evenly spaced."""
    gallery: Switch = False
    """Write a page to look at them, too: gallery/index.html beside the images."""
    format: ImageFormat = "png"
    """Format of the images."""
    batch: int = 1
    """Layouts synthesized at once."""
    precision: Precision = "float32"
    """Arithmetic of the convolutions."""
    require_gpu: Switch = False
    """Stop with exit code 1 where TensorFlow can use no GPU, instead of computing on the CPU."""
    export: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("images are written"))] = None
    """Write no images, but the model for TF Serving, into this folder's next version.
    `python -m crn_tf.export --help` has more options."""


def wants_whole_data_set(settings: TestSettings) -> bool:
    """Whether a data set is to be synthesized, rather than layouts named one by one or by their folders.

    Raises:
        UsageError: A number is out of its range, or a data set is not the only thing that was named.
    """
    require_at_least_one(settings, "limit", "batch")
    whole = settings.dataset is not None or all(map(is_data_set, settings.layouts))
    if whole and len(settings.layouts) > 1:
        raise UsageError("--layouts takes one data set, or any number of files and folders")
    return whole


def is_data_set(path: Path) -> bool:
    """Whether a path is a data set's folder, rather than a layout or a folder of layouts.

    Raises:
        UserError: There are several data sets in it, or several folders that could be its layouts' or photographs'.
    """
    return path.is_dir() and find_tree(path, None) is not None
