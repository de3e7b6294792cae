"""The data of a training run: what it trains on, what it validates on, and the few pairs its sample sheets show."""

from dataclasses import dataclass
from pathlib import Path

from crn_tf.command_line import how_to_call
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.conventions import asked_form
from crn_tf.data.datasets import DataSet, EvenSample, FileDataSet, ToyDataSet, find_kind, open_training_data
from crn_tf.data.decoded_cache import DecodedCache
from crn_tf.data.fitting import about_shapes
from crn_tf.data.pipeline import InputPipeline, enlarged
from crn_tf.training.settings import TrainSettings

SAMPLES = 4  # rows of a sample sheet


@dataclass(frozen=True)
class RunData:
    """Input pipelines of a run."""

    train: InputPipeline
    validation: InputPipeline | None  # None: the data set has no validation split
    samples: InputPipeline  # of the validation split, else of the training pairs
    files: tuple[FileDataSet, ...]  # the data sets of files among them, the training pairs first
    max_unknown: float
    shapes: str | None  # what is stretched or cut
    folder: Path | None  # of the data set; None for toys
    pairs: FileDataSet | ToyDataSet  # to train on, as they are on the disk

    @property
    def held_out(self) -> DataSet | None:
        """The validation pairs; None without a split for them."""
        return self.validation.data if self.validation else None

    @property
    def classes(self) -> ClassTable:
        """The data set's classes."""
        return self.train.data.classes

    def notes(self) -> list[str]:
        """Lines about how files were found and are read."""
        lines = [note for data in self.files for note in (data.convention.evidence, *data.notes)]
        if self.folder and any(data.convention.warnings or data.left_out for data in self.files):
            lines.append(f"all that is odd about the data, with a sheet: {how_to_call('check')} {self.folder}")
        return list(dict.fromkeys(filter(None, (*lines, self.shapes))))

    def incomplete(self) -> list[str]:
        """A line for each pair that was found to be incomplete before any was read."""
        return [_left_out(why) for data in self.files for why in data.left_out]

    def left_out(self) -> list[str]:
        """A line for each pair that could not be read so far. Asked for after each step."""
        pipelines = [pipeline for pipeline in (self.train, self.validation, self.samples) if pipeline]
        return [_left_out(why) for pipeline in pipelines for why in pipeline.unreadable]

    def check_unknown(self) -> None:
        """Compare the share of pixels that are in no class table, of what was read so far, with what is allowed.

        Raises:
            UserError: The share is larger.
        """
        for data in self.files:
            data.check_unknown(self.max_unknown)

    def warnings(self) -> list[str]:
        """Lines about odd things found in what was read so far; others, once there are more files in the count."""
        sources = [pipeline.data for pipeline in (self.train, self.validation) if pipeline]
        decided = [warning for data in self.files for warning in data.convention.warnings]
        return [*dict.fromkeys(decided), *(warning for data in sources if (warning := data.warning()))]


def _left_out(why: str) -> str:
    return f"{why}; the pair is left out"


def open_run_data(
    settings: TrainSettings, shard: tuple[int, int] = (0, 1), goes_on: bool = False, use_cache: bool = True
) -> RunData:
    """Find a run's pairs, and compare the sizes of photographs and layouts.

    Args:
        settings: The run's settings.
        shard: Which part of each batch this worker reads: its index, and how many workers there are.
        goes_on: A run that goes on may have left out pairs that cannot be read, and does so again.
        use_cache: Whether to make and use the cache of decoded pairs that the settings name.

    Raises:
        UserError: The data are missing, incomplete, or photographs and layouts differ in size.
    """
    kind = settings.dataset
    if kind is None:  # of an older run, whose data were not there when its settings were read
        kind = find_kind(settings.data or Path())
    incomplete, asked = settings.max_unreadable, asked_form(settings.labels)
    data, validation = open_training_data(
        settings.data, kind, settings.size[0], incomplete, settings.validation_share, asked
    )
    files = tuple(each for each in (data, validation) if isinstance(each, FileDataSet))
    for each in files:
        each.check_sizes(goes_on, incomplete)
        each.look_for_unknown(settings.max_unknown)
    size, fit = settings.size, settings.fit
    shapes = about_shapes([photo for each in files for photo in each.photo_sizes], size, fit, "photographs")
    of_training = enlarged(size) if settings.jitter else size
    read = DecodedCache(data, of_training, fit, settings.cache) if settings.cache and use_cache else data

    def some(source: DataSet, count: int, max_unreadable: float) -> InputPipeline:
        return InputPipeline(EvenSample(source, count), size, fit, max_unreadable=max_unreadable)

    unreadable = settings.max_unreadable
    train = InputPipeline(
        read, size, fit, settings.batch, settings.seed, settings.flip, unreadable, shard, settings.jitter
    )
    samples = some(validation or (data if settings.jitter else read), SAMPLES, 1.0)  # as long as there is any
    if not validation:
        return RunData(train, None, samples, files, settings.max_unknown, shapes, settings.data, data)
    # Of a few pairs, a single one may be more than the share.
    unreadable = unreadable and max(unreadable, 1 / min(len(validation), settings.validation_limit))
    pairs = some(validation, settings.validation_limit, unreadable)
    return RunData(train, pairs, samples, files, settings.max_unknown, shapes, settings.data, data)
