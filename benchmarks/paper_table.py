"""The methods of the paper's comparison, and the table of them. No TensorFlow, but for the notes under the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crn_tf.evaluation.methods import MEAN_COLORS, PHOTOGRAPHS
from crn_tf.model.other_networks.by_name import Network
from crn_tf.training.objectives import LossName

MethodName = Literal[
    "crn", "image-space", "gan-segmentation", "pix2pix", "encoder-decoder", "full-resolution", "composite"
]


@dataclass(frozen=True)
class ComparedMethod:
    """A method of the paper's comparison.

    Attributes:
        title: What the table calls it.
        model: Its network.
        loss: That it is trained with.
        preferred: How often the CRN was preferred to it in the paper's study, in per cent, on Cityscapes and on NYU;
            remembered, see `REMEMBERED`.
    """

    title: str
    model: Network
    loss: LossName
    preferred: tuple[float, float] | None = None


# The paper's methods in the order of its table, between the CRN and one that it mentions.
METHODS: dict[MethodName, ComparedMethod] = {
    "crn": ComparedMethod("CRN", "crn", "content"),
    "image-space": ComparedMethod("Image-space loss", "crn", "image-space", (99.7, 91.4)),
    "gan-segmentation": ComparedMethod("GAN + semantic segmentation", "dcgan", "gan-segmentation", (98.5, 82.3)),
    "pix2pix": ComparedMethod("Isola et al.", "pix2pix", "pix2pix", (96.9, 77.2)),
    "encoder-decoder": ComparedMethod("Encoder-decoder", "encoder-decoder", "content", (78.3, 71.2)),
    "full-resolution": ComparedMethod("Full-resolution network", "full-resolution", "content", (67.7, 65.8)),
    "composite": ComparedMethod("Composite loss, Dosovitskiy & Brox", "crn", "composite"),
}
REMEMBERED = (
    "CRN preferred [M]: how often people preferred the CRN's picture to this method's in the paper's study without a "
    "limit of time, Cityscapes / NYU; [M]: remembered of the paper, not looked up. It is of other data, sizes and "
    "trainings, so only the order can be compared with the numbers here"
)
_SCORES = (  # key, title, which way is better, decimals
    ("mean_iou", "mean IoU", "↑", 3),
    ("pixel_accuracy", "pixel accuracy", "↑", 3),
    ("kid", "KID", "↓", 3),
    ("content_loss", "content loss", "↓", 2),
)
_TRAINED = ("steps", "seconds a step", "seconds a picture", "parameters", "CRN preferred [M]")


def about_methods(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the table says of each method, as JSON values: its scores with their intervals, and its training.

    Args:
        evaluation: What `evaluation.json` has, and each training's numbers in `trained`.
    """
    found = {}
    for name, numbers in evaluation["methods"].items():
        keys = [key for score in _SCORES for key in (score[0], f"{score[0]}_interval")]
        about = {key: numbers.get(key) for key in (*keys, "seconds_per_layout")} | evaluation["trained"].get(name, {})
        if name in METHODS:
            method = METHODS[name]
            about |= {"title": method.title, "crn_preferred_in_the_paper_as_remembered": method.preferred}
        found[name] = about
    return found


def draw_table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table with a row for each method, the ceiling and the floor first.

    Args:
        methods: From `about_methods`.
    """
    from crn_tf.evaluation.reports import cell  # only now: it needs TensorFlow

    rows = [["method", *(f"{title} {better}" for _, title, better, _ in _SCORES), *_TRAINED]]
    rows.append(["---"] * len(rows[0]))
    for name in (PHOTOGRAPHS, MEAN_COLORS, *METHODS):
        if name in methods:
            about = methods[name]
            scores = [cell(about, key, digits) for key, _, _, digits in _SCORES]
            title = f"{about['title']} (`{name}`)" if name in METHODS else name
            rows.append([title, *scores, *_about_training(about)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _about_training(about: Mapping[str, Any]) -> list[str]:
    """A row's cells behind the scores."""
    if "steps" not in about:  # nothing was trained
        return [""] * len(_TRAINED)
    discriminator = about["discriminator_parameters"]
    preferred = about["crn_preferred_in_the_paper_as_remembered"]
    return [
        f"{about['steps']:,}",
        f"{about['seconds_per_step']:.3f}",
        f"{about['seconds_per_layout']:.3f}",
        f"{about['parameters']:,}" + (f" + {discriminator:,}" if discriminator else ""),
        " / ".join(f"{share} %" for share in preferred) + " [M]" if preferred else "",
    ]


def table_notes(evaluation: Mapping[str, Any], device: str) -> list[str]:
    """What has to be known to read the table.

    Args:
        evaluation: As `about_methods` takes it.
        device: What computed, in words.
    """
    from crn_tf.evaluation.reports import notes  # only now: it needs TensorFlow

    networks = {name: evaluation[name] for name in ("segmenter", "features", "perceiver")}
    layouts, (height, width) = evaluation["data"]["layouts"], evaluation["size"]
    rates = {name: about["learning_rate"] for name, about in evaluation["trained"].items()}
    return [
        *notes(networks, layouts, evaluation["groups"], (height, width), evaluation["methods"]),
        "each method's weights are those after its last step: none were chosen on the pictures that are judged",
        f"seconds are medians, on {device}; parameters: the generator's + the discriminator's",
        "learning rates: " + ", ".join(f"{name} {rate:g}" for name, rate in rates.items()),
        REMEMBERED,
    ]
