"""The generator's own layers. Each does what two or three layers of the paper do, in fewer multiplications or passes.

Pure Keras: runs on every Keras backend.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from crn_tf.model.passes import after, fused, on_tensorflow_cpu
from crn_tf.tensors import Features, Floats, Tensor

Shape = tuple[Any, ...]  # as Keras has it: whole numbers, and None for the batch
Gradient = Callable[..., Any]  # from the result's gradient to the arguments' gradients

EPSILON = 1e-12  # of the normalization (the release)
CHANNELS_LAST = "channels_last"  # said to each layer and operation: a user's keras.json may have another default

_conv = functools.partial(ops.conv, padding="same", data_format=CHANNELS_LAST)


@keras.saving.register_keras_serializable("crn_tf")
class UpsampledConvolution(keras.layers.Layer):
    """A refinement module's first convolution: 3x3, on upsampled features beside the layout, without a bias.

    [B, h, w, D] and [B, 2h, 2w, C] -> [B, 2h, 2w, channels]. Features are upsampled by two, bilinearly with corners
    aligned (source coordinate = i * (n - 1) / (2n - 1), as the 2017 release resizes them; Keras' own layers put half a
    pixel between the corners, which gives different images).

    Upsampling and convolution are linear and work on different axes, so they can trade places: the nine taps of the
    kernel are applied before upsampling, where there are a quarter as many pixels, and shifted after it. Neither the
    upsampled features nor their concatenation with the layout ever exist.
    """

    def __init__(self, channels: int, **options: Any) -> None:
        """Describe the layer.

        Args:
            channels: Of the result.
            **options: Keras' own for every layer, such as `name` and `dtype`.
        """
        super().__init__(**options)
        self.channels = channels

    def build(self, input_shapes: Sequence[Shape]) -> None:
        """Make the kernel [3, 3, D + C, channels], for features first, for the layout last."""
        (*_, self.depth), (*_, classes) = input_shapes
        self.kernel = self.add_weight(
            shape=(3, 3, self.depth + classes, self.channels), initializer="glorot_uniform", name="kernel"
        )

    def call(self, inputs: Sequence[Features]) -> Features:
        """Features [B, h, w, D] and layout [B, 2h, 2w, C] -> [B, 2h, 2w, channels]."""
        features, layout = inputs
        kernel = ops.convert_to_tensor(self.kernel)
        of_features, of_layout = kernel[:, :, : self.depth], kernel[:, :, self.depth :]
        taps = ops.reshape(ops.transpose(of_features, (2, 0, 1, 3)), (self.depth, 9 * self.channels))
        return _convolve_upsampled(features, taps) + _conv(layout, of_layout)

    def compute_output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The layout's height and width."""
        return (*input_shapes[1][:3], self.channels)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("crn_tf")
class NormalizedLeakyReLU(keras.layers.Layer):
    """Layer normalization over H, W and C together, with a gain and an offset for each channel, and a leaky ReLU.

    [B, h, w, D] -> the same. Equal to `GroupNormalization(groups=1, epsilon=1e-12)` and `LeakyReLU(negative_slope)`,
    in three passes over memory and two in the backward pass; statistics are float32 in every precision.
    """

    def __init__(self, negative_slope: float = 0.2, **options: Any) -> None:
        """Describe the layer.

        Args:
            negative_slope: What negative values are multiplied with.
            **options: Keras' own for every layer, such as `name` and `dtype`.
        """
        super().__init__(**options)
        self.negative_slope = negative_slope

    def build(self, input_shape: Shape) -> None:
        """Make gains and offsets [D], float32 in every precision."""
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma", autocast=False)
        self.beta = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="beta", autocast=False)

    def call(self, x: Features) -> Features:
        """[B, h, w, D] -> the same shape and type."""
        gamma, beta = (ops.cast(weights, "float32") for weights in (self.gamma, self.beta))  # tensors, not variables
        return _normalized_leaky_relu(self.negative_slope)(x, gamma, beta)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


@keras.saving.register_keras_serializable("crn_tf")
class Convolution(keras.layers.Conv2D):
    """A refinement module's second convolution: Keras' own, 3x3, 'same', with a faster kernel gradient on CPUs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Describe the layer. Arguments as Keras' Conv2D.

        Raises:
            ValueError: The kernel is not 3x3, the padding is not 'same', there are strides, dilation or groups, or
                channels come first.
        """
        super().__init__(*arguments, **options)
        found = self.kernel_size, self.strides, self.dilation_rate, self.groups, self.padding, self.data_format
        if found != ((3, 3), (1, 1), (1, 1), 1, "same", CHANNELS_LAST):
            raise ValueError(
                f"expected a kernel of 3x3, no strides, dilation or groups, 'same' padding, and channels last: {found}"
            )

    def convolution_op(self, inputs: Features, kernel: Tensor) -> Features:
        """[B, h, w, D] and [3, 3, D, filters] -> [B, h, w, filters]."""
        channels, filters = kernel.shape[2:]
        # Measured with oneDNN on two AVX-512 cores: products of smaller matrices do not pay.
        least = 512 if keras.backend.standardize_dtype(inputs.dtype) == "float32" else 128
        if on_tensorflow_cpu() and min(channels, filters) >= least:
            return _convolve(inputs, ops.cast(kernel, inputs.dtype))  # a tensor, not a variable
        return super().convolution_op(inputs, kernel)


@ops.custom_gradient
def _convolve(x: Features, kernel: Tensor) -> tuple[Features, Gradient]:
    """A 3x3 convolution with 'same' padding, whose kernel gradient is a matrix product for each tap.

    oneDNN computes that gradient in bfloat16 at half the rate of matrix products.
    """

    def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
        upstream = args[0] if upstream is None else upstream
        # The transposed convolution is a convolution with the kernel turned round.
        of_x = _conv(upstream, ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2)))
        # With a border of zeros, a shift in the image is a shift in the list of pixels: a view, not a copy.
        _, _, width, channels = x.shape
        width += 2
        pixels = ops.reshape(ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), (-1, channels))
        gradients = ops.reshape(ops.pad(upstream, [(0, 0), (0, 2), (0, 2), (0, 0)]), (-1, upstream.shape[-1]))
        last = 2 * width + 2
        gradients = gradients[:-last]
        taps = [
            ops.matmul(ops.transpose(pixels[shift : shift - last or None]), gradients)
            for shift in (row * width + column for row in range(3) for column in range(3))
        ]
        return of_x, ops.reshape(ops.stack(taps), kernel.shape)

    return _conv(x, kernel), gradient


@ops.custom_gradient
def _convolve_upsampled(features: Features, taps: Tensor) -> tuple[Features, Gradient]:
    """A 3x3 convolution of upsampled features.

    Args:
        features: [B, h, w, D], before upsampling.
        taps: The kernel as [D, 9 * channels], tap by tap.

    Returns:
        [B, 2h, 2w, channels].
    """
    _, height, width, depth = features.shape

    def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
        x = args[0] if upstream is None else upstream
        for axis in (2, 1):
            x = ops.concatenate(_SPREAD[axis](_padded(x, axis, 2)), axis=-1)
        of_products = ops.reshape(x, (-1, x.shape[-1]))
        of_features = ops.reshape(ops.matmul(of_products, ops.transpose(taps)), ops.shape(features))
        return of_features, ops.matmul(ops.transpose(ops.reshape(features, (-1, depth))), of_products)

    # A border of zeros now, while there are few channels.
    pixels = ops.reshape(_padded(_padded(features, 1), 2), (-1, depth))
    x = ops.reshape(ops.matmul(pixels, taps), (-1, height + 2, width + 2, taps.shape[-1]))
    for axis in (1, 2):
        x = _GATHER[axis](x)
    return x, gradient


def _gather(x: Tensor, axis: int) -> Tensor:
    """Upsample, shift and add three taps along one axis: n + 2 -> 2n there, with a border; 3 * D -> D channels."""
    n, channels = x.shape[axis] - 2, x.shape[3] // 3
    weights = tap_weights(n)
    phases = []
    for phase in (0, 1):
        total = None
        for tap, shift in np.ndindex(3, 3):
            if weights[phase, tap, shift].any():
                part = _span(x, axis, shift, shift + n, channels * tap, channels * (tap + 1))
                term = _along(weights[phase, tap, shift], axis) * ops.cast(part, "float32")
                total = term if total is None else total + term
                x = after(total, x)
        phases.append(total)
    pairs = ops.cast(ops.stack(phases, axis + 1), x.dtype)
    return ops.reshape(pairs, [-1, *(2 * n if a == axis else x.shape[a] for a in (1, 2)), channels])


def _spread(x: Tensor, axis: int) -> tuple[Tensor, ...]:
    """The transposed `_gather`: 2n + 4 -> n along the axis, with a border; D channels for each of three taps."""
    n = x.shape[axis] // 2 - 2
    weights = tap_weights(n)
    taps = []
    for tap in range(3):
        # Input i was given to output j = i + 1 - shift of either phase, with that output's weight.
        terms = [
            _along(np.pad(weights[phase, tap, shift], 1)[2 - shift : 2 - shift + n], axis)
            * ops.cast(_every_other(x, axis, 2 * (2 - shift) + phase, n), "float32")
            for phase in (0, 1)
            for shift in range(3)
            if weights[phase, tap, shift].any()
        ]
        taps.append(ops.cast(sum(terms[1:], terms[0]), x.dtype))
    return tuple(taps)


_GATHER = {axis: fused(functools.partial(_gather, axis=axis)) for axis in (1, 2)}
_SPREAD = {axis: fused(functools.partial(_spread, axis=axis)) for axis in (1, 2)}


@functools.cache
def tap_weights(n: int) -> Floats:
    """Weights of inputs in the upsampled and shifted taps of a convolution along an axis of n pixels.

    Upsampled pixel 2j lies j/(2n-1) before input j, and 2j+1 lies (n-1-j)/(2n-1) behind it. Tap t of the convolution
    takes upsampled pixel 2j + phase + t - 1; outside of the image it is zero.

    Returns:
        float32 [2, 3, 3, n]: of input j - 1 + shift in output 2j + phase through a tap, at [phase, tap, shift, j].
    """
    upsampled = np.zeros((2 * n, n + 2))  # columns: inputs -1 ... n
    for j in range(n):
        before, behind = j / (2 * n - 1), (n - 1 - j) / (2 * n - 1)
        upsampled[2 * j, j : j + 2] = before, 1 - before
        upsampled[2 * j + 1, j + 1 : j + 3] = 1 - behind, behind
    shifted = np.pad(upsampled, ((1, 1), (0, 0)))
    weights = np.zeros((2, 3, 3, n), "float32")
    for phase, tap, shift in np.ndindex(2, 3, 3):
        for j in range(n):
            weights[phase, tap, shift, j] = shifted[2 * j + phase + tap, j + shift]
    return weights


def _along(weights: Floats, axis: int) -> Tensor:
    """[n] -> a tensor that multiplies along one of four axes."""
    return ops.convert_to_tensor(weights.reshape([-1 if a == axis else 1 for a in range(4)]))


def _padded(x: Tensor, axis: int, border: int = 1) -> Tensor:
    """With a border of zeros on both sides of an axis."""
    return ops.pad(x, [(border, border) if a == axis else (0, 0) for a in range(4)])


def _span(x: Tensor, axis: int, start: int, stop: int, first: int, last: int) -> Tensor:
    """Pixels `start` to `stop` - 1 along an axis (1 or 2), and channels `first` to `last` - 1."""
    return x[:, start:stop, :, first:last] if axis == 1 else x[:, :, start:stop, first:last]


def _every_other(x: Tensor, axis: int, start: int, count: int) -> Tensor:
    """So many pixels along an axis (1 or 2), in steps of two."""
    return x[:, start : start + 2 * count : 2] if axis == 1 else x[:, :, start : start + 2 * count : 2]


@functools.cache
def _normalized_leaky_relu(slope: float) -> Callable[[Features, Tensor, Tensor], Features]:
    """The function of `NormalizedLeakyReLU` for one slope: of features [B, h, w, D], gains [D] and offsets [D]."""

    @fused
    def forward(x: Features, gamma: Tensor, beta: Tensor) -> tuple[Features, Tensor, Tensor]:
        wide = ops.cast(x, "float32")
        mean = _mean(wide)
        deviation = wide - mean
        scale = ops.rsqrt(_mean(deviation * deviation) + EPSILON)
        y = deviation * (scale * gamma) + beta
        return ops.cast(ops.where(y > 0, y, slope * y), x.dtype), mean, scale

    @fused
    def backward(
        upstream: Tensor, x: Features, mean: Tensor, scale: Tensor, gamma: Tensor, beta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        normalized = (ops.cast(x, "float32") - mean) * scale
        d_y = ops.cast(upstream, "float32")
        d_y = ops.where(normalized * gamma + beta > 0, d_y, slope * d_y)
        d_beta = ops.sum(ops.sum(d_y, axis=2), axis=1)  # [B, D]; in two steps, which can be divided among cores
        d_gamma = ops.sum(ops.sum(d_y * normalized, axis=2), axis=1)
        count = x.shape[1] * x.shape[2] * x.shape[3]
        of_mean, of_scale = (ops.sum(gamma * d, axis=1)[:, None, None, None] / count for d in (d_beta, d_gamma))
        d_x = scale * (gamma * d_y - of_mean - normalized * of_scale)
        return ops.cast(d_x, x.dtype), ops.sum(d_gamma, axis=0), ops.sum(d_beta, axis=0)

    @ops.custom_gradient
    def call(x: Features, gamma: Tensor, beta: Tensor) -> tuple[Features, Gradient]:
        y, mean, scale = forward(x, gamma, beta)

        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
            return backward(args[0] if upstream is None else upstream, x, mean, scale, gamma, beta)

        return y, gradient

    return call


def _mean(x: Tensor) -> Tensor:
    """[B, h, w, D] -> [B, 1, 1, 1]: in two steps, of which the first can be divided among cores."""
    return ops.mean(ops.mean(x, axis=(2, 3), keepdims=True), axis=1, keepdims=True)
