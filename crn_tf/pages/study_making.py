"""Making a study's folder: pictures of one size and encoding under random names, and the plan."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from crn_tf.data.datasets import DataSet
from crn_tf.data.images import Fit, Size, image_size, read_photo, write_image
from crn_tf.data.spacing import evenly_spaced
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS, PictureFolder, answered_by, stems
from crn_tf.files import SMALL, written_aside
from crn_tf.pages.study_plan import (
    Study,
    StudyFolder,
    practice_trials,
    timed_sets,
    unlimited_sets,
)

ROWS = 200  # of a picture, as the paper showed Cityscapes at 400x200


@dataclass(frozen=True)
class Asked:
    """What a study is to be.

    Attributes:
        methods: Their names and folders of pictures; the first is compared with each other one.
        question: What participants are asked of each pair.
        consent: What they agree to first.
        durations: Milliseconds of a timed study; none for unlimited time.
        sentinels: Of each set.
        pairs: Of a set, at most; only without durations.
        repeats: Pairs of one kind and duration in a set.
        sets: Of a timed study.
        size: Height and width at which pictures are shown; None for `ROWS` rows.
        fit: How photographs of another shape were brought to the methods'.
        limit: Layouts, evenly spaced; None for all.
        seed: Of order and sides.
    """

    methods: Mapping[str, Path]
    question: str
    consent: str | None
    durations: Sequence[int]
    sentinels: int
    pairs: int
    repeats: int
    sets: int
    size: Size | None
    fit: Fit
    limit: int | None
    seed: int


@dataclass(frozen=True)
class Source:
    """One layout's pictures: each method's file, and where its photograph is."""

    name: str
    index: int
    files: dict[str, Path]


def make_study(folder: StudyFolder, data: DataSet, asked: Asked) -> Study:
    """Write a new study.

    Args:
        folder: Where to; it must not be there yet.
        data: Layouts and their photographs.
        asked: What it is to be.

    Raises:
        UsageError: The folder is there.
        UserError: Pictures are missing or cannot be read, or the folder cannot be written.
    """
    if folder.path.exists():
        raise UsageError(f"{folder.path} is there already: choose another --out, or remove it")
    sources = find_sources(data, asked)
    size = asked.size or _default_size(next(iter(sources[0].files.values())))
    with written_aside(folder.path) as aside:
        pictures = _write_pictures(StudyFolder(aside).pictures, data, sources, size, asked.fit)
        study = _plan(asked, size, [source.name for source in sources], pictures)
        text = json.dumps(study.to_json(), ensure_ascii=False)
        if len(text.encode()) > SMALL:
            raise UserError(f"the plan of {len(sources)} layouts is larger than {SMALL:,} bytes: use --limit")
        StudyFolder(aside).plan.write_text(text, encoding="utf-8")
    return study


def find_sources(data: DataSet, asked: Asked) -> list[Source]:
    """The layouts of which the first method has pictures, and everyone's.

    Raises:
        UserError: A method lacks a picture of one of them, or there are none.
    """
    folders = {name: PictureFolder(path) for name, path in asked.methods.items()}
    first = next(iter(folders.values()))
    found = answered_by(first, data)
    if asked.limit:
        found = [found[index] for index in evenly_spaced(asked.limit, len(found))]
    sources = []
    for index in found:
        answers = {name: folder.answers(stems(data, index)) for name, folder in folders.items()}
        for name, paths in answers.items():
            if not paths:
                raise UserError(
                    f"{folders[name].path} has no picture of the layout {data.name(index)}, of which {first.path} has "
                    f"one; expected {data.name(index)}.png: add it, or remove the others"
                )
        sources.append(Source(data.name(index), index, {name: paths[0] for name, paths in answers.items()}))
    return sources


def _default_size(path: Path) -> Size:
    height, width = image_size(path)
    return ROWS, max(1, round(ROWS * width / height))


def _write_pictures(
    folder: Path, data: DataSet, sources: Sequence[Source], size: Size, fit: Fit
) -> dict[str, list[str]]:
    """Write everyone's pictures as PNGs that hold nothing but pixels, and say under which names.

    Raises:
        UserError: One is missing or cannot be read.
    """
    names: dict[str, list[str]] = {name: [] for name in (PHOTOGRAPHS, *sources[0].files)}
    for source in tqdm(sources, unit="layout", disable=None):
        photo = data.load_photo(source.index, size, fit)
        if photo is None:
            raise UserError(f"the layout {source.name} has no photograph; expected a data set that has them")
        pictures = {PHOTOGRAPHS: photo} | {
            name: read_photo(path, size, "resize") for name, path in source.files.items()
        }
        for method, pixels in pictures.items():
            name = f"{secrets.token_hex(8)}.png"
            write_image(folder / name, pixels)
            names[method].append(name)
    return names


def _plan(asked: Asked, size: Size, layouts: list[str], pictures: dict[str, list[str]]) -> Study:
    (first, *baselines), count = asked.methods, len(layouts)
    if asked.durations:
        sets = timed_sets(
            count, first, baselines, asked.sentinels, asked.seed, asked.durations, asked.repeats, asked.sets
        )
    else:
        sets = unlimited_sets(count, first, baselines, asked.sentinels, asked.seed, asked.pairs)
    practice = practice_trials(count, first, baselines, asked.durations, asked.seed)
    return Study(asked.question, asked.consent, asked.seed, size, layouts, pictures, sets, practice, first)
