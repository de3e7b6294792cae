"""What a served model tells about itself: its classes as JSON, and a model card in Markdown."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from crn_tf import __version__
from crn_tf.data.datasets import Kind, find_kind
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.release import release_prefix
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.settings import TrainSettings

CURVE_POINTS = 12  # rows of the loss curve, at most
_NO_RUN = "the model was exported from a file without its run folder."
# Settings of a run that say how it was trained; paths are left to the lines about the data.
_TOLD = (
    *("model", "size", "base_grid", "width", "fit", "flip", "jitter", "images", "loss", "loss_weights"),
    *("rebalance_epoch", "train_modules", "vgg_pool", "epochs", "steps", "batch", "lr", "lr_schedule", "lr_warmup"),
    *("ema", "precision", "seed"),
)
_CITYSCAPES = "Cityscapes: for research and teaching, not commercial; see https://www.cityscapes-dataset.com/license/"
_UNKNOWN = "not known here: look at the publisher's terms, at"
# What is known of a kind of data set: one's own folder may be anything.
_LICENCES: dict[Kind, str] = {
    "cityscapes": _CITYSCAPES,
    "release": _CITYSCAPES,
    "kitti": "KITTI: Creative Commons BY-NC-SA 3.0, not commercial; see https://www.cvlibs.net/datasets/kitti/",
    "bdd100k": "BDD100K: for education, research and not-for-profit purposes; see https://doc.bdd100k.com/license.html",
    "gta5": f"{_UNKNOWN} https://download.visinf.tu-darmstadt.de/data/from_games/ (frames of a game are its makers')",
    "idd": f"{_UNKNOWN} https://idd.insaan.iiit.ac.in",
    "ade20k": "ADE20K: photographs for research and education, not commercial; annotations BSD (3 clauses); see "
    "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
    "voc": "Pascal VOC: the photographs are from Flickr, whose terms and whose photographers' licences apply; see "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    "coco-stuff": "COCO-Stuff: annotations Creative Commons BY 4.0; photographs are from Flickr, whose terms apply; "
    "see https://cocodataset.org/#termsofuse",
    "camvid": f"{_UNKNOWN} http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    "toy": "drawn by this project's own code (MIT)",
}


@dataclass(frozen=True)
class ServedAs:
    """How a model was exported."""

    precision: str
    stored_in: str  # type of the stored kernels
    image_format: str
    parameters: int
    weights_bytes: int
    effect: str  # of the precision, on images


def classes_json(description: ModelDescription) -> str:
    """What a client needs to draw layouts: each class's id in requests, name, colour, and id in PNG layouts."""
    size = {"height": description.image_size[0], "width": description.image_size[1]}
    classes = description.classes.for_drawing()
    return json.dumps({**size, "images_per_layout": description.num_images, "classes": classes}, indent=1) + "\n"


def model_card(description: ModelDescription, served: ServedAs, source: Path, data_licence: str | None) -> str:
    """The card of an exported model, as Markdown.

    Args:
        description: What the model is.
        served: How it was exported.
        source: What it was exported from: its training is told if that is a run folder, or a file in one.
        data_licence: Licence of the training data; None takes what is known of the kind of data.

    Raises:
        UserError: The run's settings cannot be read: the file is damaged.
    """
    height, width = description.image_size
    source = Path(os.path.abspath(source))  # "." and ".." have names too, and a folder above them
    run = next((r for r in (RunFolder(source), RunFolder(source.parent)) if r.settings.is_file()), None)
    settings = TrainSettings.read(run.settings) if run else None
    return "\n".join(
        [
            f"# Photographs from layouts, {height}x{width}",
            "",
            f"{_what(description)}: from a map of semantic classes to a photograph.",
            "",
            *_model_rows(description, served, source),
            "",
            "## Classes",
            "",
            "| id | class | colour | id in PNG layouts |",
            "| --- | --- | --- | --- |",
            *_class_rows(description),
            "",
            "## Training",
            "",
            *(_training(settings, run) if settings and run else [f"Not known: {_NO_RUN}"]),
            "",
            "## Data and licence",
            "",
            *_data(settings, source, data_licence),
            "",
            "## Intended use, and limits",
            "",
            "For research and demonstration: pictures of what a layout could look like, in the manner of the training "
            "photographs. They show nothing that exists: they are no evidence and no measurement, and another model "
            "that is trained or tested on them is still to be tested on photographs.",
            "",
            f"- The network knows the classes above only, at {height}x{width}; layouts of another size are resized "
            "with nearest neighbour, and thin objects may vanish. Those of another shape are "
            f"{'stretched' if description.fit == 'resize' else 'cut to their centre'}.",
            "- It imitates the places, weather and cameras of its training data, with their omissions and biases; "
            "layouts unlike those give implausible pictures.",
            "- Persons, faces, writing and signs are textures without meaning.",
            f"- The same request gives the same pictures: {_noise(description)}.",
            "",
        ]
    )


def _what(description: ModelDescription) -> str:
    if description.network == "crn":
        return "A Cascaded Refinement Network (Chen & Koltun, ICCV 2017)"
    return f"A {description.network} network, one that Chen & Koltun (ICCV 2017) compare theirs with"


def _noise(description: ModelDescription) -> str:
    if description.network == "pix2pix":
        return "dropout stays on, but follows from a stored seed"
    return "nothing is drawn at random"


def _model_rows(description: ModelDescription, served: ServedAs, source: Path) -> list[str]:
    height, width = description.image_size
    rows, columns = description.base_grid
    network = f"base grid {rows}x{columns}" if description.network == "crn" else description.network
    return [
        "| | |",
        "| --- | --- |",
        f"| exported from | `{'/'.join(source.parts[-2:])}`{_moment(source)} |",
        f"| made with | crn_tf {__version__} |",
        f"| image size | {height}x{width} (height x width){_trained_at(description)} |",
        f"| images for each layout | {description.num_images} |",
        f"| network | {network}, width {description.width:g}, {served.parameters:,} parameters |",
        f"| arithmetic | {served.precision}; normalization statistics and projection float32 |",
        f"| stored kernels | {served.stored_in}; all weights {served.weights_bytes / 1e6:.2f} MB |",
        f"| effect of the precision | {served.effect} |",
        f"| encoded images | {served.image_format} |",
    ]


def _trained_at(description: ModelDescription) -> str:
    """At which size the model was trained, if images have another."""
    if description.trained_size is None:
        return ""
    height, width = description.trained_size
    return f"; trained at {height}x{width}, so that at this size objects and their arrangement may be less plausible"


def _moment(source: Path) -> str:
    """Of the best weights of a run: when they were the best, and how good."""
    run = RunFolder(source.parent)
    best = run.best() if source.name == run.best_weights.name else None
    return f" ({best})" if best else ""


def _class_rows(description: ModelDescription) -> list[str]:
    classes = json.loads(classes_json(description))["classes"]
    rows = [f"| {c['id']} | {c['name']} | {', '.join(map(str, c['color']))} | {c['png_id']} |" for c in classes]
    if description.classes.void_ids is None:
        rows += ["", "In PNG layouts, every other id is void too."]
    return rows


def _training(settings: TrainSettings, run: RunFolder) -> list[str]:
    kept = settings.kept()
    values = {name: kept[name] for name in _TOLD}
    del values["model" if settings.model == "crn" else "base_grid"]  # which goes without saying, or is not there
    if settings.loss_weights:  # a preset, or a file
        values["loss_weights"] = _name(Path(settings.loss_weights))
    told = [f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value is not None]
    weights = settings.vgg_weights
    named = {"random": "an untrained VGG19", "imagenet": "VGG19 trained on ImageNet, from Keras"}
    perceiver = named.get(weights) or f"VGG19 of the file `{_name(Path(weights))}`"
    lines = ["Settings: " + ", ".join(told) + ".", "", f"Perceiver: {perceiver}."]
    if labels := run.labels():
        lines += ["", f"How its label files were read: {labels.removeprefix('labels: ')}."]
    if settings.segmenter:
        segmenter = "/".join(settings.segmenter.parts[-2:])
        lines += [
            "",
            f"It was trained against the segmenter `{segmenter}`: a segmenter that judges it has to be another.",
        ]
    if settings.init_from:
        lines += ["", f"It was grown from `{_name(settings.init_from)}`."]
    curve = loss_curve(run)
    if not curve:
        return [*lines, "", "The loss curve is not known: the run's logs are not there."]
    lines += ["", "| step | training loss | validation loss |", "| --- | --- | --- |"]
    lines += [f"| {step} | {_number(train)} | {_number(validation)} |" for step, train, validation in curve]
    if settings.rebalance_epoch:
        lines += ["", f"If training came to epoch {settings.rebalance_epoch}, loss weights were measured over it, and "
                      "losses before and after it are not comparable."]  # fmt: skip
    return lines


def _name(path: Path) -> str:
    """A path's last part: those before it are nobody else's business."""
    return path.name or str(path)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _data(settings: TrainSettings | None, source: Path, data_licence: str | None) -> list[str]:
    kind = _kind(settings) if settings else None
    unstated = "Its licence was not stated (`--data-licence`): ask whoever trained the model."
    if settings and settings.data:
        name = f"The data set `{_name(settings.data)}`" + (f" ({kind})." if kind else ".")
    elif kind == "toy":
        name = "The built-in toy streets."
    elif settings:
        name = "The data set is not known: the settings of the run do not name it."
    elif release_prefix(source):
        name = "The 2017 release's model: Cityscapes, or GTA frames with Cityscapes' classes."
        unstated = (
            "Licence: not stated (`--data-licence`). Cityscapes is for research and teaching, not commercial; frames "
            "of a game belong to its makers."
        )
    else:
        name = f"The data set is not known: {_NO_RUN}"
    licence = data_licence or (_LICENCES.get(kind) if kind else None)
    return [name, "", f"Licence: {licence}" if licence else unstated]


def _kind(settings: TrainSettings) -> Kind | None:
    """The kind of the data a run was trained on; None if the settings leave it to the folder, which is gone."""
    if settings.dataset or not settings.data:
        return settings.dataset
    with suppress(UserError):
        return find_kind(settings.data)
    return None


def loss_curve(run: RunFolder) -> list[tuple[int, float | None, float | None]]:
    """Step, training loss and validation loss, from a run's TensorBoard logs; evenly chosen steps, the last among them.

    Returns:
        At most `CURVE_POINTS` rows; a loss that was not measured at a step is None. Empty without logs.
    """
    if not run.logs.is_dir():
        return []
    logs = EventAccumulator(str(run.logs), size_guidance={"tensors": 0}).Reload()
    tags = set(logs.Tags()["tensors"])

    def losses(part: str) -> dict[int, float]:
        events = logs.Tensors(f"{part}/loss") if f"{part}/loss" in tags else []
        return {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events}

    train, validation = losses("train"), losses("validation")
    steps = sorted(validation or train)
    count = min(CURVE_POINTS, len(steps))
    chosen = [steps[i * (len(steps) - 1) // max(1, count - 1)] for i in range(count)]
    return [(step, train.get(step), validation.get(step)) for step in chosen]
