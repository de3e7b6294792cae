"""What networks are trained for: the losses by name, the terms each is a sum of, and which networks it suits.

No framework: the command line asks here too.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from crn_tf.model.loss_weights import AUTO, TAP_NAMES, find_loss_weights
from crn_tf.model.other_networks.by_name import Network

LossName = Literal["content", "best-image", "best-per-class", "image-space", "composite", "gan-segmentation", "pix2pix"]
FIXED = "fixed"  # what settings call the loss weights of a loss that has its own
ADVERSARIAL, SEGMENTATION = "adversarial", "segmentation"  # terms beside the taps'

_PHOTOGRAPHIC: tuple[Network, ...] = ("crn", "encoder-decoder", "full-resolution")
_COLOR_SCALE = 127.5  # pix2pix's colours are from -1 to 1, ours from 0 to 255


@dataclass(frozen=True)
class Objective:
    """A loss: a weighted sum of terms.

    Attributes:
        terms: The taps that are compared, the image first, then others.
        networks: That can be trained with it; the first one is, if none is asked for.
        weights: Of the terms; None for those of the taps that are asked for.
        shares: If the weights are measured, so that each term starts equal: how much each counts.
        learning_rate: Adam's, if none is asked for.
        beta_1: Adam's.
        comparison: How images are compared at the taps: a name in `losses.LOSSES`.
    """

    terms: tuple[str, ...] = TAP_NAMES
    networks: tuple[Network, ...] = _PHOTOGRAPHIC
    weights: tuple[float, ...] | None = None
    shares: tuple[float, ...] | None = None
    learning_rate: float = 1e-4
    beta_1: float = 0.9
    comparison: str = "content"

    @property
    def taps(self) -> int:
        """How many of the taps are compared, the image among them."""
        return sum(term in TAP_NAMES for term in self.terms)

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is trained beside the generator, which then synthesizes one image a layout."""
        return ADVERSARIAL in self.terms

    @property
    def several_images(self) -> bool:
        """Whether it compares several images of a layout: the perceptual losses do."""
        return self.terms == TAP_NAMES

    @property
    def loss_weights(self) -> str | None:
        """What settings call the weights; None if they are to be asked for."""
        return AUTO if self.shares else FIXED if self.weights else None


# Rates and decays of adversarial training are pix2pix's and DCGAN's.
OBJECTIVES: dict[LossName, Objective] = {
    "content": Objective(),
    "best-image": Objective(comparison="best-image"),
    "best-per-class": Objective(comparison="best-per-class"),
    "image-space": Objective(TAP_NAMES[:1], weights=(1.0,)),
    "composite": Objective(
        (*TAP_NAMES, ADVERSARIAL), shares=(1.0, *[1 / (len(TAP_NAMES) - 1)] * (len(TAP_NAMES) - 1), 1.0), beta_1=0.5
    ),
    "gan-segmentation": Objective((ADVERSARIAL, SEGMENTATION), ("dcgan",), (1.0, 1.0), learning_rate=2e-4, beta_1=0.5),
    "pix2pix": Objective(
        (TAP_NAMES[0], ADVERSARIAL), ("pix2pix",), (100 / _COLOR_SCALE, 1.0), learning_rate=2e-4, beta_1=0.5
    ),
}


def losses_of(network: Network) -> list[LossName]:
    """The losses that a network can be trained with."""
    return [name for name in get_args(LossName) if network in OBJECTIVES[name].networks]


def first_weights(loss: LossName, loss_weights: str) -> tuple[float, ...]:
    """The weights that a loss' terms start with.

    Args:
        loss: Its name.
        loss_weights: As settings have them: a preset, a file, "auto" or "fixed".

    Raises:
        UserError: No preset or file has that name, or the file is none of weights.
    """
    objective = OBJECTIVES[loss]
    return objective.weights or objective.shares or find_loss_weights(loss_weights)
