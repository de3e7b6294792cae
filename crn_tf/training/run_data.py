"""The data of a training run: what it trains on, what it validates on, and the few pairs its sample sheets show."""

from dataclasses import dataclass
from pathlib import Path

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.datasets import DataSet, EvenSample, FileDataSet, find_kind, open_data_set, splits
from crn_tf.data.decoded_cache import DecodedCache
from crn_tf.data.pipeline import InputPipeline
from crn_tf.training.settings import TrainSettings

SAMPLES = 4  # rows of a sample sheet


@dataclass(frozen=True)
class RunData:
    """Input pipelines of a run."""

    train: InputPipeline
    validation: InputPipeline | None  # None: the data set has no validation split
    samples: InputPipeline  # of the validation split, else of the training pairs

    @property
    def classes(self) -> ClassTable:
        """The data set's classes."""
        return self.train.data.classes

    def left_out(self) -> list[str]:
        """A line for each pair that could not be read so far."""
        pipelines = [pipeline for pipeline in (self.train, self.validation, self.samples) if pipeline]
        return [f"{why}; the pair is left out" for pipeline in pipelines for why in pipeline.unreadable]

    def warnings(self) -> list[str]:
        """Lines about odd things found in what was read so far; others, once there are more files in the count."""
        sources = [pipeline.data for pipeline in (self.train, self.validation) if pipeline]
        return [warning for data in sources if (warning := data.warning())]


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
    data = open_data_set(settings.data, kind, "train", settings.size[0])
    has_validation = "val" in splits(settings.data, kind)
    validation = open_data_set(settings.data, kind, "val", settings.size[0]) if has_validation else None
    for part in (data, validation):
        if isinstance(part, FileDataSet):
            part.check_sizes(skip_unreadable=goes_on)
    size, fit = settings.size, settings.fit
    read = DecodedCache(data, size, fit, settings.cache) if settings.cache and use_cache else data

    def some(source: DataSet, count: int, max_unreadable: float) -> InputPipeline:
        return InputPipeline(EvenSample(source, count), size, fit, max_unreadable=max_unreadable)

    share = settings.max_unreadable
    train = InputPipeline(read, size, fit, settings.batch, settings.seed, settings.flip, share, shard)
    samples = some(validation or read, SAMPLES, 1.0)  # as long as there is any
    if not validation:
        return RunData(train, None, samples)
    # Of a few pairs, a single one may be more than the share.
    share = share and max(share, 1 / min(len(validation), settings.validation_limit))
    return RunData(train, some(validation, settings.validation_limit, share), samples)
