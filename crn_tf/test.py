"""Synthesize photographs from layouts with a trained model: `python test.py`, `crn test`, or `python -m crn_tf.test`.

python test.py                                                   # the newest run, its validation layouts
python test.py --weights runs/NAME --layouts drawing.png         # one's own layout
python test.py --weights generator.weights.h5 --layouts camvid   # a weights file, a whole data set
python test.py --weights runs/NAME --export exported/crn         # for TF Serving
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from tqdm import tqdm
from tyro.conf import arg

from crn_tf.command_line import INSTEAD, how_to_call
from crn_tf.data import sheets
from crn_tf.data.datasets import (
    DataSet,
    FileDataSet,
    Kind,
    find_kind,
    layout_files,
    loose_layouts,
    open_data_set,
    splits,
)
from crn_tf.data.images import Fit, ImageFormat, write_image
from crn_tf.data.layouts import colorize
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.export import ExportSettings, export
from crn_tf.files import make_folder
from crn_tf.model.description import ModelDescription
from crn_tf.precision import Precision
from crn_tf.saved.run_folder import RunFolder, newest_run, no_weights
from crn_tf.starting import silence_pillow, start_tensorflow, warn_of_slowness
from crn_tf.training.settings import TrainSettings

if TYPE_CHECKING:
    from crn_tf.model.synthesizer import Synthesizer

CONTACT_SHEET = "contact_sheet.png"
SHEET_ROWS = 24  # of the contact sheet, at most


@dataclass(frozen=True)
class TestSettings:
    """Synthesize photographs from semantic layouts with a trained model."""

    weights: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("the newest run in runs/"))] = None
    """Run folder, weights file, or a model.ckpt of the 2017 release."""
    layouts: Annotated[tuple[Path, ...], arg(help_behavior_hint=INSTEAD("the validation layouts of the run"))] = ()
    """Layout files, folders of them, or a data set."""
    dataset: Annotated[
        Kind | None,
        arg(metavar="{cityscapes,release,folder,toy}", help_behavior_hint=INSTEAD("seen from the folder's shape")),
    ] = None
    """How the files of a data set lie."""
    split: str = "val"
    """Which part of a data set."""
    fit: Fit = "resize"
    """Stretch layouts of another aspect ratio, or cut their centre."""
    out: Path = Path("results")
    """Folder for the images."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Synthesize only the first layouts."""
    format: ImageFormat = "png"
    """Format of the images."""
    batch: int = 1
    """Layouts synthesized at once."""
    precision: Precision = "float32"
    """Arithmetic of the convolutions."""
    export: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("images are written"))] = None
    """Write no images, but the model for TF Serving, into this folder's next version.
    `python -m crn_tf.export --help` has more options."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Find model and layouts, synthesize, and write an image each and a contact sheet.

    Args:
        arguments: Of the command line; this process' own if None.
    """
    silence_pillow()
    settings = tyro.cli(TestSettings, args=arguments, prog=how_to_call("test"))
    if settings.export:
        export(export_settings(settings, settings.export))
        return
    whole = wants_whole_data_set(settings)
    files = [] if whole else layout_files(settings.layouts)
    weights = settings.weights or newest_run().path
    source = find_source(settings, RunFolder(weights)) if whole else None
    make_folder(settings.out)

    start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.saved.loading import load_generator

    warn_of_slowness(settings.precision)
    generator, description = load_generator(weights, settings.precision)
    if source:
        data: DataSet = open_data_set(*source, description.image_size[0], need_photos=False)
    else:
        data = loose_layouts(files, description.classes)
    check_classes(data, description, weights)
    count = min(len(data), settings.limit or len(data))
    outputs = output_paths(settings, [data.name(index) for index in range(count)], description.num_images)
    check_outputs(outputs, data)
    print(f"layouts: {count}, images of each: {description.num_images}, model: {weights}")
    say_what_is_resized(data, count, description.image_size, settings.fit)

    contact_sheet = synthesize(settings, data, outputs, Synthesizer(generator))
    if data.warning():
        print(f"warning: {data.warning()}")
    shown = f"shows the first {SHEET_ROWS} layouts" if count > SHEET_ROWS else "shows them"
    print(f"{count * description.num_images} images in {settings.out}; {contact_sheet} {shown}")


def wants_whole_data_set(settings: TestSettings) -> bool:
    """Whether a data set is to be synthesized, rather than layouts named one by one or by their folders.

    Raises:
        UsageError: A number is out of its range, or a data set is not the only thing that was named.
    """
    for name in ("limit", "batch"):
        if getattr(settings, name) is not None and getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1, not {getattr(settings, name)}")
    whole = settings.dataset is not None or all(map(is_data_set, settings.layouts))
    if whole and len(settings.layouts) > 1:
        raise UsageError("--layouts takes one data set, or any number of files and folders")
    return whole


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


def synthesize(settings: TestSettings, data: DataSet, outputs: list[list[Path]], synthesizer: "Synthesizer") -> Path:
    """Synthesize the first layouts of a data set, and write an image each and a contact sheet.

    Args:
        settings: What was asked for.
        data: The layouts.
        outputs: Where the images of each layout go.
        synthesizer: Of the model.

    Returns:
        The contact sheet's path.

    Raises:
        UserError: A layout cannot be read, or an image cannot be written.
    """
    count = len(outputs)
    layouts_shown: list[np.ndarray] = []
    images_shown: list[np.ndarray] = []
    with tqdm(total=count, unit="layout") as bar:
        for start in range(0, count, settings.batch):
            indices = range(start, min(start + settings.batch, count))
            layouts = np.stack([data.load_layout(index, synthesizer.size, settings.fit) for index in indices])
            collections = synthesizer(layouts)
            for index, images in zip(indices, collections, strict=True):
                for path, image in zip(outputs[index], images, strict=True):
                    write_image(path, image)
            missing = SHEET_ROWS - len(layouts_shown)
            layouts_shown += list(layouts[:missing])
            images_shown += list(collections[:missing])
            bar.update(len(indices))
    layout_column = sheets.Column("layout", colorize(np.stack(layouts_shown), data.classes))
    path = settings.out / CONTACT_SHEET
    write_image(path, sheets.draw_sheet([layout_column, *sheets.collection_columns(np.stack(images_shown))]))
    return path


def export_settings(settings: TestSettings, folder: Path) -> ExportSettings:
    """What an export into a folder takes of the settings.

    Raises:
        UsageError: A setting was given that an export does not take.
    """
    taken = {name: getattr(settings, name) for name in ("weights", "precision", "format", "layouts")}
    for field in fields(settings):
        if field.name not in (*taken, "export") and getattr(settings, field.name) != field.default:
            raise UsageError(f"--{field.name} has no meaning with --export; see python -m crn_tf.export --help")
    return ExportSettings(out=folder, **taken)


def is_data_set(path: Path) -> bool:
    """Whether a path is a data set's folder, rather than a layout or a folder of layouts."""
    try:
        return bool(find_kind(path))
    except UserError:
        return False


def output_paths(settings: TestSettings, names: list[str], num_images: int) -> list[list[Path]]:
    """Where each layout's images go: NAME.png, or NAME_0.png, NAME_1.png, ... for several."""
    suffixes = [f"_{number}" for number in range(num_images)] if num_images > 1 else [""]
    return [[settings.out / f"{name}{suffix}.{settings.format}" for suffix in suffixes] for name in names]


def check_outputs(outputs: list[list[Path]], data: DataSet) -> None:
    """Make sure that no image is written over a file of the data, another image or the contact sheet.

    Raises:
        UsageError: An image would be written over one of them.
    """
    pairs = data.pairs if isinstance(data, FileDataSet) else []
    taken = {os.path.realpath(path) for pair in pairs for path in (pair.layout, pair.photo) if path}
    for path in (path for paths in outputs for path in paths):
        if os.path.realpath(path) in taken or path.name == CONTACT_SHEET:
            raise UsageError(f"{path} would be written over another file: choose another --out, or rename the layout")
        taken.add(os.path.realpath(path))


def find_source(settings: TestSettings, run: RunFolder) -> tuple[Path | None, Kind, str]:
    """The data set named on the command line, or the one the run was trained on: its folder, kind and split.

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


def say_what_is_resized(data: DataSet, count: int, size: tuple[int, int], fit: Fit) -> None:
    """Tell which layouts do not have the model's size."""
    others = [(i, found) for i in range(count) if (found := data.layout_size(i)) not in (None, size)]
    if others:
        index, (height, width) = others[0]
        done = "resized" if fit == "resize" else "cut to its proportions and resized"
        print(
            f"{len(others)} of {count} layouts are not {size[0]}x{size[1]} ({data.name(index)} is {height}x{width}, "
            f"height x width): {done} with nearest neighbour"
        )


if __name__ == "__main__":
    run_command(main)
