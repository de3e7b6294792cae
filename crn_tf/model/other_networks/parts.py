"""What adversarial networks are made of: strided convolutions, the batch's own statistics, dropout from a seed.

Pure Keras: runs on every Keras backend.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from crn_tf.data.images import Size
from crn_tf.model.layers import Shape
from crn_tf.model.passes import GivenSeed
from crn_tf.tensors import Features, OneHotLayout, Tensor

KERNEL = 4  # rows and columns of every kernel (DCGAN, pix2pix)
DEVIATION = 0.02  # of fresh kernels, and of fresh gains around 1
SLOPE = 0.2  # of leaky ReLU (DCGAN, pix2pix)
BATCH_EPSILON = 1e-5  # added to the variance (Torch's default, which the releases use)


def check_counts(size: Size, num_classes: int, width: float, num_images: int = 1) -> None:
    """Compare what all networks are built from with what is possible.

    Raises:
        ValueError: A count, a side or the multiplier of the width is not positive.
    """
    if min(*size, num_classes, num_images) < 1 or width <= 0:
        raise ValueError(f"counts and width must be positive: {size=}, {num_classes=}, {num_images=}, {width=}")


def scaled(channels: int, width: float) -> int:
    """Channels of a layer, of a network that is so much wider; at least one."""
    return max(1, round(width * channels))


def halvings(size: Size, least: int) -> int:
    """How often a picture can be halved, rounded up, before its smaller side would fall below `least`."""
    count, side = 0, min(size)
    while -(-side // 2) >= least and side > 1:
        count, side = count + 1, -(-side // 2)
    return count


def halved(size: Size) -> Size:
    """Half of a height and width, rounded up."""
    return -(-size[0] // 2), -(-size[1] // 2)


def halve(x: Features, channels: int, name: str, bias: bool = False) -> Features:
    """A 4x4 convolution with stride 2: [B, h, w, D] -> [B, h / 2, w / 2, channels], rounded up."""
    return layers.Conv2D(channels, strides=2, padding="same", use_bias=bias, name=name, **convolution_options())(x)


def double(x: Features, channels: int, size: Size, name: str, **options: Any) -> Features:
    """A 4x4 transposed convolution with stride 2, cut to `size`: [B, h, w, D] -> [B, about 2h, about 2w, channels].

    Args:
        x: Features.
        channels: Of the result.
        size: Height and width of the result: 2h or 2h - 1, 2w or 2w - 1.
        name: Of the layer.
        **options: Of Keras' layer, instead of no bias and the policy's dtype.
    """
    options = {"use_bias": False, **convolution_options(), **options}
    x = layers.Conv2DTranspose(channels, strides=2, padding="same", name=name, **options)(x)
    rows, columns = (found - wanted for found, wanted in zip(x.shape[1:3], size, strict=True))
    if rows or columns:
        crop = ((0, rows), (0, columns))
        x = layers.Cropping2D(crop, data_format="channels_last", dtype=x.dtype, name=f"{name}_cut")(x)
    return x


def convolution_options() -> dict[str, Any]:
    """What all convolutions have in common. Made anew for each: an initializer that is shared repeats its numbers."""
    initializer = keras.initializers.RandomNormal(0.0, DEVIATION)
    return {"kernel_size": KERNEL, "kernel_initializer": initializer, "data_format": "channels_last"}


@keras.saving.register_keras_serializable("crn_tf")
class LeakyReLU(layers.Layer):
    """Leaky ReLU of slope 0.2, as a maximum: TensorFlow 2.21 fails to optimize a graph with gradients in which its own
    operation follows a convolution with a bias, and says so in a line that looks like an error."""

    def call(self, x: Features) -> Features:
        """[...] -> the same shape and type."""
        return ops.maximum(x, SLOPE * x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same."""
        return input_shape


@keras.saving.register_keras_serializable("crn_tf")
class BatchStatisticsNormalization(layers.Layer):
    """Batch normalization that always takes the statistics of what it is given, and keeps no others.

    [B, h, w, D] -> the same. With `training=True` mean and variance of a channel are those of the whole batch (on
    several devices, of a device's part of it); else those of each sample by itself, which is a batch of one, so that a
    picture does not depend on what is synthesized with it. Statistics are float32 in every precision.
    """

    def build(self, input_shape: Shape) -> None:
        """Make gains, from N(1, 0.02), and offsets [D], float32 in every precision."""
        gains = keras.initializers.RandomNormal(1.0, DEVIATION)
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=gains, name="gamma", autocast=False)
        self.beta = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="beta", autocast=False)

    def call(self, x: Features, training: bool = False) -> Features:
        """[B, h, w, D] -> the same shape and type."""
        gamma, beta = (ops.cast(weights, "float32") for weights in (self.gamma, self.beta))
        wide = ops.cast(x, "float32")
        axes = (0, 1, 2) if training else (1, 2)
        deviation = wide - ops.mean(wide, axis=axes, keepdims=True)
        scale = ops.rsqrt(ops.mean(deviation * deviation, axis=axes, keepdims=True) + BATCH_EPSILON)
        return ops.cast(deviation * (scale * gamma) + beta, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same."""
        return input_shape


@keras.saving.register_keras_serializable("crn_tf")
class StoredSeed(layers.Layer):
    """A seed that a network keeps: the same tensor whatever the layout is, int32 [2]: the seed, and 0."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        """Describe the layer.

        Args:
            seed: From 0 to 2**31 - 1.
            **options: Keras' own for every layer, such as `name`.

        Raises:
            ValueError: The seed is no such number.
        """
        super().__init__(**options)
        if not 0 <= seed < 2**31:
            raise ValueError(f"expected a seed from 0 to {2**31 - 1}, not {seed}")
        self.seed = seed

    def call(self, layout: OneHotLayout) -> Tensor:
        """[B, H, W, C], which is not looked at -> int32 [2]."""
        return ops.convert_to_tensor([self.seed, 0], dtype="int32")

    def compute_output_spec(self, layout: OneHotLayout) -> keras.KerasTensor:
        """int32 [2]: Keras would take the layout's type for the result's."""
        return keras.KerasTensor((2,), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("crn_tf")
class SeededDropout(layers.Layer):
    """Dropout of half of the features that is always on, whose masks are a function of a seed, with no state.

    [B, h, w, D] and int32 [2] -> the first's shape. With `training=True` each sample of the batch has a mask of its
    own; else all have the same one, so that a picture does not depend on its place in a batch.
    """

    def __init__(self, number: int, **options: Any) -> None:
        """Describe the layer.

        Args:
            number: Which of the network's dropouts this is; those of one seed drop different features.
            **options: Keras' own for every layer, such as `name`.
        """
        super().__init__(**options)
        self.number = number

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Features:
        """Features [B, h, w, D] and a seed int32 [2] -> the features' shape and type, kept ones doubled."""
        x, seed = inputs
        own = seed + ops.convert_to_tensor([1_000_003 * self.number, 0], dtype="int32")
        # Drawn in float32 in every precision: numbers of another type would be other ones.
        ones = ops.ones((ops.shape(x)[0] if training else 1, *x.shape[1:]), dtype="float32")
        return x * ops.cast(keras.random.dropout(ones, rate=0.5, seed=GivenSeed(own)), x.dtype)

    def compute_output_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The features'."""
        return input_shapes[0]

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "number": self.number}
