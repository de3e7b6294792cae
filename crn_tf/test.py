"""Synthesize photographs from layouts with a trained model: `python test.py`, `crn test`, or `python -m crn_tf.test`.

python test.py                                                   # the newest run, its validation layouts
python test.py --weights runs/NAME --layouts drawing.png         # one's own layout
python test.py --weights generator.weights.h5 --layouts camvid   # a weights file, a whole data set
python test.py --weights runs/NAME --size 256x768                # wider than it was trained
python test.py --weights runs/NAME --export exported/crn         # for TF Serving
"""

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import tyro

from crn_tf.command_line import how_to_call
from crn_tf.data.datasets import EvenSample, layout_files
from crn_tf.data.fitting import part_used
from crn_tf.devices import check_gpus, describe_devices, explaining_exhaustion
from crn_tf.errors import UsageError, run_command
from crn_tf.export import ExportSettings, export
from crn_tf.files import make_folder
from crn_tf.model.cascade import parse_pair
from crn_tf.pages.gallery import check_gallery_folder, write_gallery
from crn_tf.pages.gallery_rows import class_colors, rows_of_synthesis
from crn_tf.saved.run_folder import RunFolder, newest_run
from crn_tf.starting import silence_pillow, start_tensorflow, warn_of_slowness
from crn_tf.synthesis import images, layouts
from crn_tf.synthesis.request import TestSettings, wants_whole_data_set

GALLERY = "gallery"  # folder beside the images


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
    source = layouts.find_source(settings, RunFolder(weights)) if whole else None
    make_folder(settings.out)
    if settings.gallery:
        check_gallery_folder(settings.out / GALLERY)

    start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
    check_gpus(settings.require_gpu)
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.saved.loading import find_model, load_generator
    from crn_tf.training.memory_needs import check_synthesis_memory

    say_what_computes(settings)
    model, told = find_model(weights, settings.last)
    generator, description = load_generator(
        model,
        settings.precision,
        size,
        last=True,
        before_building=lambda model: check_synthesis_memory(model, settings.batch, settings.precision),
    )
    fit = settings.fit or description.fit
    whole_data = layouts.open_layouts(settings, source, files, description, weights)
    data = EvenSample(whole_data, settings.limit or len(whole_data))
    count = len(data)
    outputs = images.output_paths(settings, [data.name(index) for index in range(count)], description.num_images)
    images.check_outputs(outputs, whole_data)
    layouts.say_how_labels_are_read(whole_data, settings.max_unknown)
    print(f"layouts: {count}, images of each: {description.num_images}, model: {told}")
    sizes = [layouts.layout_size(data, index) for index in range(count)]
    layouts.say_what_is_resized(settings, data, sizes, description, fit)

    own = [found and part_used(found, description.image_size, fit) for found in sizes]
    wanted = own if settings.output_size == "layout" else [None] * count
    with explaining_exhaustion("try --precision bfloat16, a smaller --batch, or a smaller --size"):
        written = images.synthesize(settings, data, fit, [*zip(outputs, wanted, strict=True)], Synthesizer(generator))
    if data.warning():
        print(f"warning: {data.warning()}")
    if settings.gallery:
        rows = rows_of_synthesis(data, written, outputs, weights.name, description.image_size, fit)
        page = write_gallery(settings.out / GALLERY, rows, f"{weights}", class_colors(data.classes))
        print(f"to look at: {page}")
    say_what_was_written(settings, len(written), count, description.num_images)
    return int(len(written) < count)


def say_what_computes(settings: TestSettings) -> None:
    """Tell what synthesizes, and warn of what is slow. TensorFlow has been started."""
    from crn_tf.model.passes import unfused_warning

    warn_of_slowness(settings.precision)
    if warning := unfused_warning():
        print(warning, file=sys.stderr)
    print(f"on {describe_devices(settings.precision, 1)}")


def say_what_was_written(settings: TestSettings, written: int, count: int, num_images: int) -> None:
    """Tell of how many of the layouts there are images now, and where."""
    print(f"{written * num_images} images in {settings.out}; at a glance: {settings.out / images.CONTACT_SHEET}")
    if written < count:
        print(f"error: {count - written} of {count} layouts could not be read and were left out", file=sys.stderr)


def export_settings(settings: TestSettings, folder: Path) -> ExportSettings:
    """What an export into a folder takes of the settings.

    Raises:
        UsageError: A setting was given that an export does not take.
    """
    names = ("weights", "last", "size", "fit", "precision", "format", "layouts", "require_gpu")
    taken = {name: getattr(settings, name) for name in names}
    for field in fields(settings):
        if field.name not in (*taken, "export") and getattr(settings, field.name) != field.default:
            flag = field.name.replace("_", "-")
            raise UsageError(f"--{flag} has no meaning with --export; see python -m crn_tf.export --help")
    return ExportSettings(out=folder, **taken)


if __name__ == "__main__":
    run_command(main)
