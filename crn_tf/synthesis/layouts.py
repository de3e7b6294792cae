"""Which layouts images are synthesized from, and what is said of them before."""

import sys
from collections.abc import Sequence
from pathlib import Path

from crn_tf.data.conventions import asked_form, decide
from crn_tf.data.datasets import DataSet, FileDataSet, Kind, find_kind, loose_layouts, open_data_set, splits
from crn_tf.data.declared_classes import of_model
from crn_tf.data.fitting import about_shapes
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UsageError, UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.run_folder import RunFolder, no_weights
from crn_tf.synthesis.request import TestSettings
from crn_tf.training.settings import TrainSettings

Source = tuple[Path | None, Kind, str]
"""A data set's folder (None for the toy streets), kind and split."""


def find_source(settings: TestSettings, run: RunFolder) -> Source:
    """The data set named on the command line, or the one the run was trained on.

    Raises:
        UsageError: The run was trained on no data set, or on none of the kind that was asked for.
        UserError: The run's settings or its data cannot be read.
    """
    if settings.layouts:
        folder = settings.layouts[0]
        return folder, settings.dataset or find_kind(folder), settings.split
    if settings.dataset == "toy":
        return None, "toy", settings.split
    if not any(path.exists() for path in (run.path, Path(f"{run.path}.index"))):  # of a release checkpoint
        raise no_weights(run.path)
    if not run.settings.exists():
        raise UsageError(f"{run.path} does not know any layouts: --layouts FILES, FOLDER or DATA SET")
    trained = TrainSettings.read(run.settings)
    if trained.data is None:
        if settings.dataset:
            raise UsageError(
                f"--dataset {settings.dataset} needs its folder: --layouts FOLDER; {run.path} was trained on the toy "
                "streets"
            )
        return None, "toy", settings.split
    kind = settings.dataset or trained.dataset or find_kind(trained.data)
    if settings.split == "val" and "val" not in splits(trained.data, kind):
        print(f"{trained.data} has no validation split: using its training layouts")
        return trained.data, kind, "train"
    return trained.data, kind, settings.split


def open_layouts(
    settings: TestSettings, source: Source | None, files: Sequence[Path], description: ModelDescription, weights: Path
) -> DataSet:
    """Open the layouts that images are asked of.

    Args:
        settings: What was asked for.
        source: A data set; None for files.
        files: Layouts one by one.
        description: The model.
        weights: Where it is from.

    Raises:
        UserError: They cannot be read, can be read in two ways, or have other classes than the model.
    """
    asked = asked_form(settings.labels)
    data: DataSet
    if source:
        data = open_data_set(*source, description.image_size[0], need_photos=False, labels=asked)
    else:
        data = loose_layouts(files, decide(files, of_model(description.classes), asked))
    check_classes(data, description, weights)
    return data


def check_classes(data: DataSet, description: ModelDescription, weights: Path) -> None:
    """Make sure that layouts have the classes that a model was trained with.

    Raises:
        UserError: The layouts have other classes.
    """
    mine, trained = data.classes, description.classes
    if mine.names != trained.names:
        raise UserError(
            f"the layouts have {mine.num_classes} classes ({', '.join(mine.names[:4])}, ...) but {weights} was trained "
            f"with {trained.num_classes} ({', '.join(trained.names[:4])}, ...); expected the same classes"
        )


def say_how_labels_are_read(data: DataSet, max_unknown: float) -> None:
    """Tell what the label files hold, and what is suspicious about them.

    Raises:
        UserError: More of their pixels are in no class table than may be.
    """
    if isinstance(data, FileDataSet):
        for line in (data.convention.evidence, *data.notes):
            print(line)
        for warning in (*data.convention.warnings, *data.left_out):
            print(f"warning: {warning}", file=sys.stderr)
        data.look_for_unknown(max_unknown)


def layout_size(data: DataSet, index: int) -> Size | None:
    """Height and width of a layout; None if it comes in any size, or cannot be read, as reading it will say."""
    try:
        return data.layout_size(index)
    except UserError:
        return None


def say_what_is_resized(
    settings: TestSettings, data: DataSet, sizes: Sequence[Size | None], description: ModelDescription, fit: Fit
) -> None:
    """Tell which layouts do not have the model's size, which are stretched or cut, and whether images are resized."""
    size = description.image_size
    if description.trained_size:
        height, width = description.trained_size
        print(f"synthesizing at {size[0]}x{size[1]}, which is not the {height}x{width} that the model was trained at")
    known = [(data.name(index), found) for index, found in enumerate(sizes) if found]
    others = [(name, found) for name, found in known if found != size]
    if not others:
        return
    name, (height, width) = others[0]
    print(
        f"{len(others)} of {len(sizes)} layouts are not {size[0]}x{size[1]} ({name} is {height}x{width}, "
        "height x width): resized with nearest neighbour"
    )
    shapes = about_shapes(known, size, fit, "layouts")
    if shapes:
        print(shapes)
    if settings.output_size == "layout":
        own = "that of each layout" if fit == "resize" or not shapes else "that of each layout's centre"
        print(f"images are synthesized at {size[0]}x{size[1]} and resized to {own}, bicubically")
