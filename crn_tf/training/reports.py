"""What a training run shows of itself: TensorBoard's logs, a sheet of samples for each epoch, the picture of stages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from crn_tf.data import sheets
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Size, read_image, write_image
from crn_tf.data.layouts import colorize
from crn_tf.data.pipeline import InputPipeline
from crn_tf.errors import UserError
from crn_tf.files import why_not_written
from crn_tf.model.synthesizer import Synthesizer
from crn_tf.saved.run_folder import RunFolder

RATE_TAG = "train/images_per_second"
RATES = 20  # of the newest logged ones, the median counts
LOG_BYTES = 1 << 20  # that TensorBoard's writer writes at once, about
STAGES = 4  # columns of synthesized images in the picture of the whole run


class RunLogs:
    """TensorBoard's logs of a run, from the first thing that is logged on. A full disk is one line.

    All methods raise UserError if the folder cannot be written.
    """

    def __init__(self, folder: Path | None):
        """Write nothing yet, or nothing at all if the folder is None: of several workers, one logs."""
        self._folder = folder
        self._writer: Any = None  # a new file for each start of a run: made when something is logged

    def write_scalars(self, part: str, scalars: Mapping[str, float], step: int) -> None:
        """Write numbers, under the name of the part of the run they belong to."""
        if not self._folder:
            return
        with self._writing(self._folder):
            for name, value in scalars.items():
                tf.summary.scalar(f"{part}/{name}", value, step)

    def write_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Write a picture, uint8 [H, W, 3]."""
        if not self._folder:
            return
        with self._writing(self._folder):
            tf.summary.image(name, image[None], step)

    def close(self) -> None:
        """Write what is still kept back, and write no more."""
        if self._folder and self._writer:
            with self._writing(self._folder):
                self._writer.flush()
                self._writer.close()

    @contextmanager
    def _writing(self, folder: Path) -> Iterator[None]:
        try:
            if not self._writer:
                self._writer = tf.summary.create_file_writer(str(folder))
            with self._writer.as_default():
                yield
        except tf.errors.OpError as error:
            raise UserError(f"cannot write {folder}: {why_not_written(error, folder, LOG_BYTES)}") from error


def newest_images_per_second(logs: Path) -> float | None:
    """How fast a run trained when it was logged last, from its TensorBoard logs; None if they do not tell."""
    rates = list(read_scalar(logs, RATE_TAG).values())
    return float(np.median(rates[-RATES:])) if rates else None


def read_scalar(logs: Path, tag: str) -> dict[int, float]:
    """A number from a run's TensorBoard logs, by step; of several starts that came to a step, the last one's.

    Args:
        logs: The folder.
        tag: Such as "validation/perceptual_distance". Nothing is found of one that was never logged.
    """
    if not logs.is_dir():
        return {}
    # Only here: training needs none of it.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(logs), size_guidance={"tensors": 0}).Reload()
    if tag not in events.Tags()["tensors"]:
        return {}
    return {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)}


class SampleSheets:
    """Sheets of the same few pairs, one for each epoch: layout, photograph, the images synthesized by then."""

    def __init__(self, folder: RunFolder, pairs: InputPipeline, synthesizer: Synthesizer, classes: ClassTable):
        self._folder, self._pairs, self._synthesizer, self._classes = folder, pairs, synthesizer, classes

    def write(self, epoch: int) -> np.ndarray:
        """Write the sheet of an epoch, with the generator as it is now.

        Returns:
            The sheet, uint8 [H, W, 3].

        Raises:
            UserError: The sheet cannot be written.
        """
        photos, layouts = self._load()
        images = np.concatenate([self._synthesizer(layout[None]) for layout in layouts])
        pictures = [colorize(layouts, self._classes), photos, *images.swapaxes(0, 1)]
        headings = sheets.headings(photographs=True, images=images.shape[1])
        columns = [sheets.Column(*column) for column in zip(headings, pictures, strict=True)]
        sheet = sheets.draw_sheet(columns, sheets.legend_of(layouts, self._classes))
        write_image(self._folder.sample_sheet(epoch), sheet)
        return sheet

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        """The photographs, uint8 [N, H, W, 3], and the layouts, uint8 [N, H, W]."""
        pairs = list(self._pairs.batches(0, len(self._pairs.data)))
        photos = np.concatenate([photo.numpy() for photo, _ in pairs])
        return photos, np.concatenate([layout.numpy() for _, layout in pairs])

    def write_stages(self, image_size: Size, start: str) -> None:
        """Write the run in one picture: layout, photograph, synthesized at several epochs.

        Args:
            image_size: Height and width of an image in the sheets.
            start: What the model before the first step is called.

        Raises:
            UserError: The picture cannot be written.
        """
        paths = sorted(self._folder.samples.glob("epoch_*.png"), key=lambda path: int(path.stem[6:]))
        if not paths:  # stopped before the first, or removed
            return
        chosen = [paths[i] for i in sorted({round(i) for i in np.linspace(0, len(paths) - 1, STAGES)})]
        grid = sheets.plan_grid(len(self._pairs.data), 2 + self._synthesizer.num_images, image_size)
        stages = {}
        for path in chosen:
            with suppress(UserError):  # a crash of the machine may have cut it short
                sheet = np.asarray(read_image(path))
                if sheets.tiles(sheet, 0, grid):  # older versions' have another grid
                    stages[path] = sheet
        if not stages:
            return

        def column(heading: str, sheet: np.ndarray, number: int) -> sheets.Column:
            return sheets.Column(heading, sheets.tiles(sheet, number, grid))

        last = list(stages.values())[-1]
        numbers = {path: int(path.stem[6:]) for path in stages}
        headings = {path: f"epoch {number}" if number else start for path, number in numbers.items()}
        synthesized = [column(headings[path], sheet, 2) for path, sheet in stages.items()]
        columns = [column("layout", last, 0), column("photograph", last, 1), *synthesized]
        legend = sheets.legend_of(self._load()[1], self._classes)
        write_image(self._folder.stages, sheets.draw_sheet(columns, legend))
