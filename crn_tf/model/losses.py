"""The perceptual losses (paper sections 3.3 and 3.4; the 2017 release for the constants).

Pure Keras: runs on every Keras backend. All losses are sums over the taps (the image itself, then VGG19's
conv1_2 ... conv5_2) of weighted errors; they differ in which of the k images a class' error is taken from.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers, ops

from crn_tf.model.layers import CHANNELS_LAST
from crn_tf.model.loss_weights import LOSS_WEIGHTS
from crn_tf.model.passes import fused
from crn_tf.tensors import (
    ClassErrors,
    Features,
    Images,
    Loss,
    LossFunction,
    LossTerms,
    OneHotLayout,
    PerceiverBlock,
    Photos,
    TapErrors,
    Tensor,
)

# In the best-per-class loss, the share of the mean over all images: it keeps every image learning (the release).
FLOOR = 0.001


def tap_error(reference: Features, synthesized: Features) -> TapErrors:
    """Mean over channels of the absolute difference at one tap, e_l in the paper's equations.

    Args:
        reference: The photograph's activations [B, h, w, D].
        synthesized: The synthesized images' activations [B, k, h, w, D].

    Returns:
        Errors [B, k, h, w], float32.

    Example:
        >>> import numpy as np
        >>> from crn_tf import tap_error
        >>> reference = np.full((1, 4, 8, 64), 2.0, "float32")
        >>> synthesized = np.stack([reference, reference + 0.5], axis=1)  # two images: one alike, one not
        >>> error = np.asarray(tap_error(reference, synthesized))
        >>> error.shape, error[0, :, 0, 0].tolist()
        ((1, 2, 4, 8), [0.0, 0.5])
    """
    return _tap_error(keras.backend.standardize_dtype(synthesized.dtype))(reference, synthesized)


def tap_errors(blocks: Sequence[PerceiverBlock], photos: Photos, images: Images) -> list[TapErrors]:
    """Errors of synthesized images at the image itself and at each of the perceiver's taps.

    Block by block, so that the photograph's activations live only until they have been compared.

    Args:
        blocks: From `perceiver.split_blocks`.
        photos: [B, H, W, 3] on the 0..255 scale. No gradient flows into them.
        images: [B, k, H, W, 3].

    Returns:
        Errors [B, k, h, w] at the image, conv1_2, ..., conv5_2, float32.
    """
    photos = ops.stop_gradient(photos)
    errors = [tap_error(photos, images)]
    collection = images.shape[1]
    reference, synthesized = photos, ops.reshape(images, (-1, *images.shape[2:]))
    for block in blocks:
        reference_tap, reference = (ops.stop_gradient(x) for x in block(reference))
        tap, synthesized = block(synthesized)
        errors.append(tap_error(reference_tap, ops.reshape(tap, (-1, collection, *tap.shape[1:]))))
    return errors


def class_errors(error: TapErrors, layout: OneHotLayout) -> ClassErrors:
    """Share of each semantic class in the mean error of each image.

    Args:
        error: One tap's errors [B, k, h, w].
        layout: The layout at the tap's size [B, h, w, C].

    Returns:
        [B, k, C]: sum over the pixels of layout * error, divided by h * w. Sums over C to the mean error.
    """
    _, _, height, width = error.shape
    return ops.einsum("bkhw,bhwc->bkc", error, layout) / (height * width)


def layout_pyramid(layout: OneHotLayout, errors: Sequence[TapErrors]) -> list[OneHotLayout]:
    """The layout at the size of each tap, by area downsampling.

    Args:
        layout: [B, H, W, C].
        errors: Tap errors [B, k, h, w], finest first, each of the layout's size or half of the one before.

    Returns:
        A list of [B, h, w, C], one for each tap.
    """
    halve = layers.AveragePooling2D(2, padding="same", data_format=CHANNELS_LAST, dtype="float32")
    pyramid = []
    for error in errors:
        while layout.shape[1] > error.shape[2] or layout.shape[2] > error.shape[3]:
            layout = halve(layout)
        pyramid.append(layout)
    return pyramid


def content_loss(errors: Sequence[TapErrors], loss_weights: Sequence[float]) -> tuple[Loss, LossTerms]:
    """The content loss (equation 1): every image of the collection is compared with the photograph.

    Args:
        errors: Each tap's errors [B, k, h, w].
        loss_weights: A weight for each tap.

    Returns:
        The loss, a scalar: the mean over samples (and images) of the weighted sum over taps of the mean error;
        and each tap's part of it [taps].

    Example:
        >>> import numpy as np
        >>> from crn_tf import content_loss
        >>> at_image = np.full((1, 1, 8, 16), 3.0, "float32")  # one image, which is 3 off everywhere
        >>> at_conv1_2 = np.full((1, 1, 4, 8), 8.0, "float32")
        >>> loss, terms = content_loss([at_image, at_conv1_2], loss_weights=[1.0, 0.5])
        >>> float(loss), np.asarray(terms).tolist()
        (7.0, [3.0, 4.0])
    """
    collection = _mean_errors(errors, loss_weights)
    return _select(collection, ops.ones_like(collection[0]) / collection.shape[2])


def best_image_loss(errors: Sequence[TapErrors], loss_weights: Sequence[float]) -> tuple[Loss, LossTerms]:
    """The loss of the best image of each collection (equation 2): the others are not punished.

    Args:
        errors: Each tap's errors [B, k, h, w].
        loss_weights: A weight for each tap.

    Returns:
        The loss, a scalar: the mean over samples of the least weighted sum over taps of the mean error; and each tap's
        part of it [taps].

    Example:
        >>> import numpy as np
        >>> from crn_tf import best_image_loss
        >>> error = np.zeros((1, 2, 8, 16), "float32")  # of two images for one layout
        >>> error[:, 0], error[:, 1] = 3, 1
        >>> loss, terms = best_image_loss([error], loss_weights=[1.0])
        >>> float(loss)
        1.0
    """
    collection = _mean_errors(errors, loss_weights)
    return _select(collection, _best(collection))


def best_per_class_loss(
    errors: Sequence[TapErrors], loss_weights: Sequence[float], layout: OneHotLayout, floor: float = FLOOR
) -> tuple[Loss, LossTerms]:
    """For each semantic class the error of the image that is best at it (equation 3), plus the release's floor.

    Args:
        errors: Each tap's errors [B, k, h, w].
        loss_weights: A weight for each tap.
        layout: One-hot layout [B, H, W, C]; void counts as a class.
        floor: Share of the mean over all images, instead of the best one, in the loss.

    Returns:
        The loss, a scalar: the mean over samples of (1 - floor) * sum_p min_u E + floor * sum_p mean_u E; and
        each tap's part of it [taps].

    Example:
        Two classes side by side, and two images, each right about one class and 4 off at the other: as a whole both
        are 2 off, but for each class there is one without an error.

        >>> import numpy as np
        >>> from crn_tf import best_image_loss, best_per_class_loss
        >>> layout = np.zeros((1, 8, 16, 2), "float32")
        >>> layout[:, :, :8, 0] = layout[:, :, 8:, 1] = 1
        >>> error = np.zeros((1, 2, 8, 16), "float32")
        >>> error[:, 0, :, 8:] = error[:, 1, :, :8] = 4
        >>> float(best_image_loss([error], [1.0])[0])
        2.0
        >>> float(best_per_class_loss([error], [1.0], layout, floor=0)[0])
        0.0
        >>> round(float(best_per_class_loss([error], [1.0], layout)[0]), 6)  # the floor keeps both images learning
        0.002
    """
    pyramid = layout_pyramid(layout, errors)
    by_class = [w * class_errors(e, at_tap) for w, e, at_tap in zip(loss_weights, errors, pyramid, strict=True)]
    collection = ops.stack(by_class)  # [taps, B, k, C]
    return _select(collection, (1 - floor) * _best(collection) + floor / collection.shape[2])


def perceptual_distance(errors: Sequence[TapErrors]) -> Loss:
    """How far synthesized images are from the photograph, in the same measure for every loss and every moment.

    The loss of the best image, with weights that never change: the release's at 256p. Rebalanced loss weights change
    what the loss itself measures.

    Args:
        errors: Each tap's errors [B, k, h, w], the image first.

    Returns:
        A scalar: the mean over samples.
    """
    return best_image_loss(errors, LOSS_WEIGHTS["release-256p"])[0]


LOSSES: dict[str, LossFunction] = {
    "content": lambda errors, loss_weights, layout: content_loss(errors, loss_weights),
    "best-image": lambda errors, loss_weights, layout: best_image_loss(errors, loss_weights),
    "best-per-class": best_per_class_loss,
}


@functools.cache
def _tap_error(dtype: str) -> Callable[[Features, Features], TapErrors]:
    """The function of `tap_error` for synthesized activations of a type.

    For the backward pass it keeps the difference's sign, one byte an element, and neither of the activations.
    """

    @fused
    def forward(reference: Features, synthesized: Features) -> tuple[TapErrors, Tensor]:
        difference = ops.cast(synthesized, "float32") - ops.cast(reference, "float32")[:, None]
        return ops.mean(ops.abs(difference), axis=-1), ops.cast(ops.sign(difference), "int8")

    @fused
    def backward(upstream: Tensor, sign: Tensor) -> Features:
        return ops.cast(ops.cast(sign, "float32") * (upstream / sign.shape[-1])[..., None], dtype)

    @ops.custom_gradient
    def call(reference: Features, synthesized: Features) -> tuple[TapErrors, Callable[..., Any]]:
        error, sign = forward(reference, synthesized)

        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Features, Features]:
            of_synthesized = backward(args[0] if upstream is None else upstream, sign)
            return -ops.cast(ops.sum(of_synthesized, axis=1), reference.dtype), of_synthesized

        return error, gradient

    return call


def _mean_errors(errors: Sequence[TapErrors], loss_weights: Sequence[float]) -> ClassErrors:
    """[taps, B, k, 1]: the whole image counts as one class."""
    means = [w * ops.mean(e, axis=(2, 3)) for w, e in zip(loss_weights, errors, strict=True)]
    return ops.stack(means)[..., None]


def _best(collection: ClassErrors) -> Tensor:
    """[taps, B, k, C] -> [B, k, C]: one for the image with the least error at a class, else zero."""
    total = ops.stop_gradient(ops.sum(collection, axis=0))
    return ops.one_hot(ops.argmin(total, axis=1), total.shape[1], axis=1, dtype="float32")


def _select(collection: ClassErrors, share: Tensor) -> tuple[Loss, LossTerms]:
    """Weight errors [taps, B, k, C] with each image's share [B, k, C]; mean over samples.

    A minimum's gradient is the gradient of its chosen element, so the losses are plain weighted sums.
    """
    terms = ops.mean(ops.sum(collection * share, axis=(2, 3)), axis=1)
    return ops.sum(terms), terms
