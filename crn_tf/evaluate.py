"""Judge synthesized pictures against photographs: `crn evaluate`, or `python -m crn_tf.evaluate`.

python -m crn_tf.evaluate --data camvid --weights runs/NAME                    # a model of one's own: synthesize, judge
python -m crn_tf.evaluate --data camvid --images SPADE=results/spade ours=results/crn   # anyone's pictures
python -m crn_tf.evaluate --data cityscapes --weights runs/NAME --segmenter keras-hub:segformer_b0_cityscapes_1024 \
    --features inception                                                       # the networks that papers use
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tqdm import tqdm
from tyro.conf import UseAppendAction, arg

import crn_tf
from crn_tf.command_line import INSTEAD, Switch, how_to_call, require_at_least_one
from crn_tf.data.conventions import Convention, Labels, asked_form
from crn_tf.data.datasets import (
    KINDS,
    EvenSample,
    FileDataSet,
    Kind,
    ToyDataSet,
    find_kind,
    open_data_set,
    splits,
)
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UsageError, run_command
from crn_tf.evaluation.asking import outside_of, parse_folders, parse_models, user_cache
from crn_tf.evaluation.intervals import group_neighbours
from crn_tf.evaluation.methods import (
    Judged,
    MeanColors,
    Method,
    Photographs,
    PictureFiles,
    PictureFolder,
    answered,
    first_size,
    match_pictures,
)
from crn_tf.files import make_folder, sha256_of
from crn_tf.model.cascade import parse_pair
from crn_tf.model.loss_weights import AUTO, find_loss_weights
from crn_tf.model.vgg_weights import find_weights
from crn_tf.pages.gallery import check_gallery_folder, write_gallery
from crn_tf.pages.gallery_rows import class_colors, rows_of_evaluation
from crn_tf.saved.run_folder import RunFolder
from crn_tf.starting import silence_pillow, start_tensorflow
from crn_tf.synthesis.layouts import check_classes, say_how_labels_are_read
from crn_tf.training.settings import Pooling, TrainSettings

if TYPE_CHECKING:
    from crn_tf.evaluation.judging import Evidence
    from crn_tf.evaluation.pictures import Viewer
    from crn_tf.evaluation.segmenters import FcnSegmenter

Several = UseAppendAction[tuple[tuple[str, ...], ...]]  # --images A=a B=b --images C=c
MAX_UNREADABLE = 0.05  # share of the pairs that may be incomplete, as in training
GALLERY, PICTURES = "gallery", "pictures"  # folders in --out
_TOLD = ("content_loss", "mean_iou")  # measures whose paired comparisons are printed; the others are in the file


@dataclass(frozen=True)
class EvaluateSettings:
    """Judge synthesized pictures: segmentation score, KID and FID, content loss, L1, PSNR, SSIM, with intervals."""

    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("needed, but for the toy data"))] = (
        None
    )
    """Folder of the data set whose layouts and photographs are judged against."""
    images: Annotated[Several, arg(metavar="NAME=FOLDER ...", help_behavior_hint=INSTEAD("none"))] = ()
    """Methods with a folder of pictures each, called as the layouts are: x.png, or x_0.png, x_1.png, ..."""
    weights: Annotated[Several, arg(metavar="MODEL ...", help_behavior_hint=INSTEAD("none"))] = ()
    """Models to synthesize with first: run folders (their best weights), weights files, or a model.ckpt of the 2017
    release. NAME=MODEL calls one by another name than its folder's."""
    last: Switch = False
    """Of run folders, the newest checkpoint instead of the best weights."""
    dataset: Annotated[Kind | None, arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape"))] = (
        None
    )
    """How the data set's files lie."""
    split: str = "val"
    """Which part of the data set."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Judge only so many layouts: with --images the first by name, else evenly spaced."""
    size: Annotated[
        str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("of the first method's pictures"))
    ] = None
    """Size that is scored: photographs and pictures are resized to it bicubically, layouts by nearest neighbour."""
    fit: Annotated[
        Fit | None, arg(metavar="{resize,crop}", help_behavior_hint=INSTEAD("as the first model, or resize"))
    ] = None
    """Stretch photographs and layouts of another aspect ratio, or cut their centre."""
    labels: Labels = TrainSettings.labels
    """What the layouts hold, as train.py takes it; auto: found from the files."""
    max_unknown: float = TrainSettings.max_unknown
    """Share of the layouts' pixels that may be in no class table."""
    segmenter: Annotated[str, arg(metavar="fcn|keras-hub:PRESET|FILE.onnx")] = "fcn"
    """What reads classes from pictures: a head on the perceiver, trained on the training photographs when it is first
    needed; a published network of KerasHub; or a network in a file."""
    features: Annotated[str, arg(metavar="vgg19|inception|FILE.onnx")] = "vgg19"
    """Whose features KID, FID, precision and recall compare: the perceiver's, those of the standard numbers (through
    clean-fid), or a network's in a file."""
    force_fid: Switch = False
    """Compute the FID also of so few pictures that it means little."""
    loss_weights: Annotated[str, arg(metavar="NAME|FILE")] = "inverse-elements"
    """Weights of the perceiver's taps in the content loss, as train.py takes them, but for auto."""
    vgg_weights: Annotated[
        str | None, arg(metavar="FILE|NAME", help_behavior_hint=INSTEAD("the published file in vgg_weights/"))
    ] = None
    """VGG19 file (.h5 or .mat), "imagenet" to download it, or "random" to try things out."""
    vgg_pool: Pooling = TrainSettings.vgg_pool
    """Pooling in VGG19: the release's average, or the original maximum."""
    together: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("the root of a video's length"))] = None
    """Neighbouring frames that are resampled together for intervals; 1 if the photographs are no video."""
    cache: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("crn_tf in the user's cache"))] = (
        None
    )
    """Folder for trained segmenters and features, which later evaluations use again."""
    out: Path = Path("evaluation")
    """Folder for evaluation.json, evaluation.md, the gallery, and synthesized pictures."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what can be checked at once, synthesize, judge, and write the numbers.

    Args:
        arguments: Of the command line; this process' own if None.

    Returns:
        The exit code.
    """
    silence_pillow()
    settings = tyro.cli(EvaluateSettings, args=arguments, prog=how_to_call("evaluate"))
    task = prepare(settings)

    start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
    from crn_tf.evaluation.feature_cache import FeatureCache
    from crn_tf.evaluation.features import RememberedFeatures, open_features
    from crn_tf.evaluation.judging import judge
    from crn_tf.evaluation.pictures import Viewer
    from crn_tf.evaluation.segmenters import open_segmenter

    viewer = Viewer(task.vgg_weights, settings.vgg_pool)
    network = open_features(settings.features, viewer)
    judged, files = find_methods(task)
    segmenter = open_segmenter(settings.segmenter, task.data.classes, lambda: fcn(task, judged, viewer))
    present: list[list[int]] = []  # classes of each layout
    methods: list[Method] = [Photographs(), mean_colors(judged, present), *files]
    with FeatureCache(task.cache) as cache:
        features = RememberedFeatures(network, cache)
        found = judge(methods, judged, viewer, segmenter, features, task.loss_weights)
    looked_at = sum(len(each) for one in found for each in one.features)
    print(f"features: {features.computed} computed, {looked_at - features.computed} known from {cache.path}")
    networks = {
        "segmenter": {"name": segmenter.name, "shares_features_with_training": segmenter.shared, **segmenter.about},
        "features": {"name": network.name, "shares_features_with_training": network.shared},
        "perceiver": {"name": viewer.name, "sha256": viewer.sha256, "loss_weights": list(task.loss_weights)},
    }
    report(task, judged, found, networks, present)
    return 0


@dataclass(frozen=True)
class Task:
    """What a command line asks for, checked.

    Attributes:
        settings: What was typed.
        kind: How the data set's files lie.
        data: The split that is judged against.
        indices: The pairs that are judged.
        folders: Methods of which there are pictures.
        models: Methods of which pictures are to be synthesized.
        size: That is scored; None for the first model's.
        loss_weights: Of the content loss.
        vgg_weights: The perceiver's file, or a name.
        cache: Folder of what is kept.
    """

    settings: EvaluateSettings
    kind: Kind
    data: FileDataSet | ToyDataSet
    indices: tuple[int, ...]
    folders: dict[str, PictureFolder]
    models: dict[str, Path]
    size: Size | None
    loss_weights: tuple[float, ...]
    vgg_weights: str
    cache: Path


def prepare(settings: EvaluateSettings) -> Task:
    """Find data, pictures and models, and check what can be checked without TensorFlow.

    Raises:
        UsageError: Arguments make no sense.
        UserError: Data, pictures, models or VGG19 are not there.
    """
    require_at_least_one(settings, "limit", "together")
    named = parse_folders(chain.from_iterable(settings.images))
    models = parse_models(chain.from_iterable(settings.weights), named)
    if not named and not models:
        raise UsageError("nothing to judge: --images NAME=FOLDER for pictures, --weights MODEL for a model's")
    if settings.data is None and settings.dataset != "toy":
        raise UsageError("no data: --data FOLDER with layouts and photographs to judge against")
    size = parse_pair(settings.size, "--size") if settings.size else None
    if settings.loss_weights == AUTO:
        raise UsageError("--loss-weights auto is measured in training: name a preset, or a run's loss_weights.json")
    loss_weights = find_loss_weights(settings.loss_weights)
    cache = settings.cache or user_cache()
    for option, folder in (("--out", settings.out), ("--cache", cache)):
        outside_of(settings.data, option, folder)
    kind = settings.dataset or find_kind(settings.data or Path())
    data = open_split(settings, kind, settings.split)
    if isinstance(data, FileDataSet):
        data.check_sizes(max_incomplete=MAX_UNREADABLE)
    folders = {name: PictureFolder(folder) for name, folder in named.items()}
    if folders:
        first = next(iter(folders.values()))
        indices = answered(data, first, settings.limit)
        print(f"judging {len(indices)} of {len(data)} layouts: those with a picture in {first.path}")
        size = size or first_size(first, data, indices)
        for name, opened in folders.items():  # before anybody waits
            match_pictures(name, opened, Judged(data, indices, size, settings.fit or "resize"))
    else:
        indices = EvenSample(data, settings.limit or len(data)).indices
    say_how_labels_are_read(data, settings.max_unknown)
    vgg_weights = settings.vgg_weights or str(find_weights())
    make_folder(settings.out)
    check_gallery_folder(settings.out / GALLERY)
    return Task(settings, kind, data, indices, folders, models, size, loss_weights, vgg_weights, cache)


def open_split(
    settings: EvaluateSettings, kind: Kind, split: str, labels: Convention | None = None
) -> FileDataSet | ToyDataSet:
    """Open a split of the data set.

    Args:
        settings: Name it.
        kind: How its files lie.
        split: Which.
        labels: The convention of another split; None for what was asked for.

    Raises:
        UserError: There is no such data set or split.
    """
    asked = labels or asked_form(settings.labels)
    height = parse_pair(settings.size, "--size")[0] if settings.size else 256
    return open_data_set(settings.data, kind, split, height, max_incomplete=MAX_UNREADABLE, labels=asked)


def find_methods(task: Task) -> tuple[Judged, list[PictureFiles]]:
    """Synthesize what has to be, and find the pictures of all methods.

    Returns:
        The pairs at the size that is scored, and the methods in the order of the command line, --images first.

    Raises:
        UserError: A model cannot be read, has other classes, or its pictures cannot be written.
    """
    from crn_tf.evaluation.synthesis import synthesize
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.saved.loading import find_model, load_generator

    files, size, fit, judged = [], task.size, task.settings.fit, None
    for name, path in task.models.items():
        model, told = find_model(path, task.settings.last)
        generator, description = load_generator(model, last=True)
        check_classes(task.data, description, path)
        print(f"{name}: {told}")
        size, fit = size or description.image_size, fit or description.fit
        judged = Judged(task.data, task.indices, size, fit)
        folder = task.settings.out / PICTURES / name
        about = {"weights": told, "sha256": sha256_of(weights_of(model))}
        if against := RunFolder(path if path.is_dir() else path.parent).segmenter():
            about["trained_against"] = str(against)
        files.append(synthesize(name, Synthesizer(generator), fit, judged, folder, about))
    judged = judged or Judged(task.data, task.indices, size or (256, 512), fit or "resize")
    matched = [match_pictures(name, folder, judged) for name, folder in task.folders.items()]
    for line in chain.from_iterable(lines for _, lines in matched):
        print(line)
    return judged, [*(found for found, _ in matched), *files]


def weights_of(model: Path) -> Path:
    """The file or folder that a model's weights are in: of a run folder, its newest checkpoint."""
    from crn_tf.saved.release import release_prefix

    prefix = release_prefix(model)
    if prefix:
        return prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    run = RunFolder(model)
    return run.checkpoint(run.newest_step()) if model.is_dir() else model


def fcn(task: Task, judged: Judged, viewer: "Viewer") -> "FcnSegmenter":
    """The segmenter that is trained on the data set's training photographs.

    Raises:
        UsageError: There are none.
    """
    from crn_tf.evaluation.segmenter_training import find_or_train

    settings, data = task.settings, task.data
    if settings.data and "train" not in splits(settings.data, task.kind):
        raise UsageError(
            f"--segmenter fcn is trained on training photographs, and {settings.data} has none: name another "
            "segmenter, --segmenter keras-hub:PRESET or FILE.onnx"
        )
    train = open_split(settings, task.kind, "train", data.convention if isinstance(data, FileDataSet) else None)
    held_out = None if settings.split == "train" else data
    return find_or_train(viewer, train, train.fingerprint(), held_out, judged.size, judged.fit, task.cache)


def mean_colors(judged: Judged, present: list[list[int]]) -> MeanColors:
    """The floor: mean colours of the judged photographs.

    Args:
        judged: The pairs.
        present: Is filled with the classes of each layout.
    """
    import numpy as np

    def pairs() -> Any:
        for position in tqdm(range(len(judged)), "mean colours", unit="photo", leave=False, disable=None):
            photo, layout = judged.load(position)
            present.append(np.unique(layout).tolist())
            yield photo, layout

    return MeanColors.of(pairs(), judged.data.classes.num_classes)


def report(
    task: Task,
    judged: Judged,
    found: Sequence["Evidence"],
    networks: dict[str, dict[str, Any]],
    present: Sequence[list[int]],
) -> None:
    """Compute the numbers, print the table, write the files.

    Raises:
        UserError: They cannot be written.
    """
    from crn_tf.evaluation import measures, reports

    settings, names = task.settings, [*task.data.classes.names, "void"]
    groups = group_neighbours(judged.names, settings.together)
    photographs = found[0]
    methods = {}
    for one in tqdm(found, "resampling", unit="method", leave=False, disable=None):
        numbers = measures.measure(one, photographs, task.data.classes.names, groups, settings.force_fid)
        if isinstance(one.method, PictureFiles):
            numbers.update(about=dict(one.method.about), seconds_per_layout=one.method.seconds)
        methods[one.method.name] = numbers
    comparisons = measures.compare_methods(found, groups)
    lines = reports.notes(networks, len(judged), len(groups), judged.size, methods)
    lines += reports.comparison_lines(comparisons, _TOLD)
    text = "\n".join([reports.table(methods), "", *(f"- {line}" for line in lines)])
    pictures = reports.picture_rows(judged, found, [[names[number] for number in ids] for ids in present])
    result = {
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(settings).items()},
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy", "scipy", "pillow")}
        | {"crn_tf": crn_tf.__version__, "python": platform.python_version()},
        "data": {"folder": str(settings.data), "split": settings.split, "layouts": len(judged)},
        "size": list(judged.size),
        "fit": judged.fit,
        "groups": len(groups),
        **networks,
        "notes": lines,
        "methods": methods,
        "comparisons": comparisons,
        "pictures": pictures,
    }
    written = reports.write_reports(settings.out, result, text)
    rows = rows_of_evaluation(judged, [one.method for one in found], pictures)
    bar = tqdm(rows, "gallery", len(judged), unit="layout", leave=False, disable=None)
    page = write_gallery(settings.out / GALLERY, bar, f"{settings.data or task.kind}", class_colors(task.data.classes))
    print(f"\n{text}\n\n{', '.join(map(str, (*written, page)))}")


if __name__ == "__main__":
    run_command(main)
