"""Pictures against the photographs of the same layouts: content loss, L1, PSNR and SSIM."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import tensorflow as tf
from keras import ops

from crn_tf.evaluation.pictures import Picture
from crn_tf.model.loss_weights import TAP_NAMES
from crn_tf.model.losses import tap_error
from crn_tf.tensors import Features, Floats

SSIM_WINDOW = 11  # pixels; smaller pictures have no SSIM


@dataclass(frozen=True)
class PairedScores:
    """Scores of the k pictures of one layout.

    Attributes:
        terms: Each tap's weighted error [k, taps], the image first; their sum is the content loss.
        l1: Mean absolute difference of pixels [k], 0..255.
        psnr: Peak signal-to-noise ratio [k], dB; infinite for the photograph itself.
        ssim: Structural similarity [k], up to 1; NaN for pictures smaller than its window.
        diversity: The content loss between two of them, the mean over pairs; NaN for one picture.
    """

    terms: Floats
    l1: Floats
    psnr: Floats
    ssim: Floats
    diversity: float

    @property
    def content_loss(self) -> Floats:
        """[k]."""
        return self.terms.sum(-1)


def compare(photo: Picture, pictures: Sequence[Picture], loss_weights: Sequence[float]) -> PairedScores:
    """Compare the pictures of a layout with its photograph.

    Args:
        photo: The photograph.
        pictures: k pictures of the same size.
        loss_weights: A weight for each tap, the image first.
    """
    each = [content_terms(photo, picture, loss_weights) for picture in pictures]
    among = [content_terms(*pair, loss_weights).sum() for pair in combinations(pictures, 2)]
    pixels = np.stack([picture.pixels for picture in pictures]).astype(np.float32)
    reference = photo.pixels[None].astype(np.float32)
    difference = (pixels - reference).astype(np.float64)
    with np.errstate(divide="ignore"):
        psnr = 10 * np.log10(255**2 / np.mean(difference**2, (1, 2, 3)))
    ssim = np.full(len(pictures), np.nan)
    if min(photo.pixels.shape[:2]) >= SSIM_WINDOW:  # luminance and colours, as TensorFlow averages them
        ssim = tf.image.ssim(np.broadcast_to(reference, pixels.shape), pixels, 255, filter_size=SSIM_WINDOW).numpy()
    return PairedScores(
        terms=np.stack(each),
        l1=np.abs(difference).mean((1, 2, 3)),
        psnr=psnr,
        ssim=ssim.astype(np.float64),
        diversity=float(np.mean(among)) if among else float("nan"),
    )


def content_terms(reference: Picture, picture: Picture, loss_weights: Sequence[float]) -> Floats:
    """Each tap's weighted mean error between two pictures, float64 [taps]."""
    mine, others = _maps(reference), _maps(picture)
    errors = [float(ops.mean(tap_error(a, b[:, None]))) for a, b in zip(mine, others, strict=True)]
    return np.array(errors) * np.array(loss_weights)


def _maps(picture: Picture) -> list[Features]:
    """What is compared: the pixels, and the perceiver's taps."""
    found = [ops.convert_to_tensor(picture.pixels[None].astype(np.float32)), *picture.taps]
    assert len(found) == len(TAP_NAMES)
    return found
