"""Synthesize photographs from layouts with a trained model: `python test.py`, `crn test`, or `python -m crn_tf.test`.

python test.py                                                   # the newest run, its validation layouts
python test.py --weights runs/NAME --layouts drawing.png         # one's own layout
python test.py --weights generator.weights.h5 --layouts camvid   # a weights file, a whole data set
python test.py --weights runs/NAME --size 256x768                # wider than it was trained
python test.py --weights runs/NAME --export exported/crn         # for TF Serving
"""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm
from tyro.conf import arg

from crn_tf.command_line import INSTEAD, how_to_call
from crn_tf.data import sheets
from crn_tf.data.conventions import decide
from crn_tf.data.datasets import (
    KINDS,
    DataSet,
    FileDataSet,
    Kind,
    find_kind,
    layout_files,
    loose_layouts,
    open_data_set,
    splits,
)
from crn_tf.data.declared_classes import of_model
from crn_tf.data.fitting import about_shapes, part_used
from crn_tf.data.images import Fit, ImageFormat, Size, resize, write_image
from crn_tf.data.layouts import colorize
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.export import ExportSettings, export
from crn_tf.files import make_folder
from crn_tf.model.cascade import parse_pair
from crn_tf.model.description import ModelDescription
from crn_tf.precision import Precision
from crn_tf.saved.run_folder import RunFolder, newest_run, no_weights
from crn_tf.starting import silence_pillow, start_tensorflow, warn_of_slowness
from crn_tf.tensors import Layout
from crn_tf.training.settings import Labels, TrainSettings

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Find model and layouts, synthesize, and write an image each and a contact sheet.

    Args:
        arguments: Of the command line; this process' own if None.

    Returns:
        The exit code: 1 if layouts had to be left out.
    """
    silence_pillow()
    settings = tyro.cli(TestSettings, args=arguments, prog=how_to_call("test"))
    if settings.export:
        export(export_settings(settings, settings.export))
        return 0
    size = parse_pair(settings.size, "--size") if settings.size else None
    whole = wants_whole_data_set(settings)
    files = [] if whole else layout_files(settings.layouts)
    weights = settings.weights or newest_run().path
    source = find_source(settings, RunFolder(weights)) if whole else None
    make_folder(settings.out)

    start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.saved.loading import load_generator

    warn_of_slowness(settings.precision)
    generator, description = load_generator(weights, settings.precision, size)
    fit = settings.fit or description.fit
    asked = None if settings.labels == "auto" else settings.labels
    if source:
        data: DataSet = open_data_set(*source, description.image_size[0], need_photos=False, labels=asked)
    else:
        data = loose_layouts(files, decide(files, of_model(description.classes), asked))
    check_classes(data, description, weights)
    count = min(len(data), settings.limit or len(data))
    outputs = output_paths(settings, [data.name(index) for index in range(count)], description.num_images)
    check_outputs(outputs, data)
    say_how_labels_are_read(data, settings.max_unknown)
    print(f"layouts: {count}, images of each: {description.num_images}, model: {weights}")
    sizes = [layout_size(data, index) for index in range(count)]
    say_what_is_resized(settings, data, sizes, description, fit)

    own = [found and part_used(found, description.image_size, fit) for found in sizes]
    wanted = own if settings.output_size == "layout" else [None] * count
    written = synthesize(settings, data, fit, list(zip(outputs, wanted, strict=True)), Synthesizer(generator))
    if data.warning():
        print(f"warning: {data.warning()}")
    shown = f"shows the first {SHEET_ROWS} layouts" if written > SHEET_ROWS else "shows them"
    print(f"{written * description.num_images} images in {settings.out}; {settings.out / CONTACT_SHEET} {shown}")
    if written < count:
        print(f"error: {count - written} of {count} layouts could not be read and were left out", file=sys.stderr)
    return int(written < count)


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


def synthesize(
    settings: TestSettings,
    data: DataSet,
    fit: Fit,
    outputs: Sequence[tuple[list[Path], Size | None]],
    synthesizer: "Synthesizer",
) -> int:
    """Synthesize the first layouts of a data set, and write an image each and a contact sheet.

    Args:
        settings: What was asked for.
        data: The layouts. One of several that cannot be read is named and left out.
        fit: What is done with layouts of another aspect ratio.
        outputs: Where the images of each layout go, and what size they are to have; None for the model's.
        synthesizer: Of the model.

    Returns:
        Of how many layouts there are images.

    Raises:
        UserError: No layout can be read, or an image cannot be written.
    """
    layouts_shown: list[np.ndarray] = []
    images_shown: list[np.ndarray] = []
    written = 0
    with tqdm(total=len(outputs), unit="layout") as bar:
        for batch in batches(readable_layouts(data, len(outputs), synthesizer.size, fit, bar), settings.batch):
            layouts = np.stack([layout for _, layout in batch])
            collections = synthesizer(layouts)
            for (index, _), images in zip(batch, collections, strict=True):
                paths, size = outputs[index]
                for path, image in zip(paths, images, strict=True):
                    if size and size != image.shape[:2]:
                        image = np.asarray(resize(Image.fromarray(image), size, "resize", Image.Resampling.BICUBIC))
                    write_image(path, image)
            missing = SHEET_ROWS - len(layouts_shown)
            layouts_shown += list(layouts[:missing])
            images_shown += list(collections[:missing])
            written += len(batch)
            bar.update(len(batch))
    if not written:
        raise UserError(f"none of the {len(outputs)} layouts could be read: no images were written")
    layout_column = sheets.Column("layout", colorize(np.stack(layouts_shown), data.classes))
    sheet = sheets.draw_sheet([layout_column, *sheets.collection_columns(np.stack(images_shown))])
    write_image(settings.out / CONTACT_SHEET, sheet)
    return written


def readable_layouts(data: DataSet, count: int, size: Size, fit: Fit, bar: "tqdm[Any]") -> Iterator[tuple[int, Layout]]:
    """Read the first layouts of a data set, and their numbers; those that cannot be read are named and left out.

    Raises:
        UserError: The only layout cannot be read.
    """
    for index in range(count):
        try:
            layout = data.load_layout(index, size, fit)
        except UserError as error:
            if count == 1:
                raise
            bar.write(f"warning: {error}; the layout is left out", file=sys.stderr)
            bar.update(1)
        else:
            yield index, layout


def batches(layouts: Iterator[tuple[int, Layout]], size: int) -> Iterator[list[tuple[int, Layout]]]:
    """So many at a time; less the last time."""
    while batch := list(itertools.islice(layouts, size)):
        yield batch


def export_settings(settings: TestSettings, folder: Path) -> ExportSettings:
    """What an export into a folder takes of the settings.

    Raises:
        UsageError: A setting was given that an export does not take.
    """
    taken = {name: getattr(settings, name) for name in ("weights", "size", "fit", "precision", "format", "layouts")}
    for field in fields(settings):
        if field.name not in (*taken, "export") and getattr(settings, field.name) != field.default:
            flag = field.name.replace("_", "-")
            raise UsageError(f"--{flag} has no meaning with --export; see python -m crn_tf.export --help")
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


if __name__ == "__main__":
    run_command(main)
