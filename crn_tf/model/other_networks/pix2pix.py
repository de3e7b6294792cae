"""Isola et al.'s networks (pix2pix, CVPR 2017): a U-Net, and a discriminator of 70x70 patches.

Pure Keras: runs on every Keras backend.
"""

import keras
from keras import layers

from crn_tf.data.images import Size
from crn_tf.model.generator import arrange_images
from crn_tf.model.other_networks.parts import (
    KERNEL,
    BatchStatisticsNormalization,
    LeakyReLU,
    SeededDropout,
    StoredSeed,
    check_counts,
    convolution_options,
    double,
    halve,
    halved,
    halvings,
    scaled,
)
from crn_tf.model.planning import PlannedConvolution
from crn_tf.precision import own_defaults
from crn_tf.tensors import Features

ENCODER_CHANNELS = (64, 128, 256, 512, 512, 512, 512, 512)
DROPOUTS = 3  # of the decoder's first layers
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)
_SEED = "dropout_seed"  # a layer's name


@own_defaults()
def build_pix2pix_generator(
    size: Size = (256, 256), num_classes: int = 20, width: float = 1.0, seed: int = 0
) -> keras.Model:
    """Build pix2pix's generator: a U-Net of 4x4 convolutions, down to a grid with one row or column.

    Batch normalization takes the statistics of what is synthesized, and dropout is on, also at test time, as the
    authors do. Called with `training=True`, statistics are the batch's and each sample has its own dropout; else a
    picture is a function of its layout and of the stored seed alone. Training gives seeds: see `with_seed_input`.

    Args:
        size: Height and width in pixels, each at least 2; 256x256 is halved eight times, smaller pictures less often,
            larger ones not more. An odd number is halved upwards, and cut on the way back.
        num_classes: Channels of the layout, void included. (The authors' layouts are colour pictures, with 3.)
        width: Multiplies the channels of every layer; 1.0 is the paper's network.
        seed: Of the dropout, where none is given; from 0 to 2**31 - 1.

    Returns:
        A model from one-hot layouts [B, H, W, C] to images [B, 1, H, W, 3], float32 on the 0..255 scale.

    Raises:
        ValueError: A count or a side is too small, or the seed is not in its range.

    Example:
        >>> import numpy as np
        >>> from crn_tf.model.other_networks.pix2pix import build_pix2pix_generator
        >>> generator = build_pix2pix_generator((16, 32), num_classes=3, width=1 / 32)
        >>> tuple(generator(np.eye(3, dtype="float32")[np.zeros((2, 16, 32), int)]).shape)
        (2, 1, 16, 32, 3)
    """
    check_counts(size, num_classes, width)
    depth = min(len(ENCODER_CHANNELS), halvings(size, 1))
    if min(size) < 2:
        raise ValueError(f"expected height and width of at least 2, not {size[0]}x{size[1]}")
    layout = keras.Input((*size, num_classes), name="layout")
    dropout_seed = StoredSeed(seed, name=_SEED)(layout)

    x: Features = layout
    encoded = []
    for level, channels in enumerate(ENCODER_CHANNELS[:depth], 1):
        if level > 1:
            x = LeakyReLU(name=f"encoder_{level}_activation")(x)
        x = halve(x, scaled(channels, width), f"encoder_{level}_convolution")
        if 1 < level < depth:
            x = BatchStatisticsNormalization(name=f"encoder_{level}_normalization")(x)
        encoded.append(x)

    for number, skip in enumerate(encoded[-2::-1], 1):  # the innermost first
        x = layers.ReLU(name=f"decoder_{number}_activation")(x)
        x = double(x, skip.shape[-1], skip.shape[1:3], f"decoder_{number}_convolution")
        x = BatchStatisticsNormalization(name=f"decoder_{number}_normalization")(x)
        if number <= DROPOUTS:
            x = SeededDropout(number, name=f"decoder_{number}_dropout")([x, dropout_seed])
        x = layers.Concatenate(name=f"decoder_{number}_skip")([skip, x])

    x = layers.ReLU(name="output_activation")(x)
    x = double(x, 3, size, "output_convolution", use_bias=True, dtype="float32")
    colors = layers.Activation("tanh", dtype="float32", name="colors")(x)
    return keras.Model(layout, arrange_images(colors), name="pix2pix_generator")


def has_seed(generator: keras.Model) -> bool:
    """Whether a generator's dropout takes a seed, as `with_seed_input` needs."""
    return any(layer.name == _SEED for layer in generator.layers)


def with_seed_input(generator: keras.Model) -> keras.Model:
    """The same generator, with the same weights, whose dropout takes a seed that is given instead of the stored one.

    Training gives a function of its own seed, the step and the device, such as [seed, step * devices + device]: a run
    that goes on then drops what it would have dropped. Nothing is kept between calls.

    Args:
        generator: From `build_pix2pix_generator`.

    Returns:
        A model from [layouts [B, H, W, C], seed int32 [2]] to images [B, 1, H, W, 3].

    Example:
        >>> import numpy as np
        >>> from crn_tf.model.other_networks.pix2pix import build_pix2pix_generator, with_seed_input
        >>> generator = build_pix2pix_generator((16, 32), num_classes=3, width=1 / 32, seed=7)
        >>> layouts = np.eye(3, dtype="float32")[np.zeros((2, 16, 32), int)]
        >>> seeded = with_seed_input(generator)
        >>> bool((seeded([layouts, np.array([7, 0], "int32")]) == generator(layouts)).numpy().all())
        True
    """
    return keras.Model([generator.input, generator.get_layer(_SEED).output], generator.output, name="seeded_generator")


@own_defaults()
def build_pix2pix_discriminator(size: Size = (256, 256), num_classes: int = 20, width: float = 1.0) -> keras.Model:
    """Build pix2pix's discriminator, which looks at a picture beside its layout, patch by patch.

    A patch is 70x70 pixels. Statistics of the batch normalization are those of what it is given, as in the generator.

    Args:
        size: Height and width in pixels, each at least 3. Pictures of fewer than 24 rows or columns are halved less
            often than three times, and their patches are smaller.
        num_classes: Channels of the layout, void included.
        width: Multiplies the channels of every layer; 1.0 is the paper's network.

    Returns:
        A model from [layouts [B, H, W, C], pictures [B, H, W, 3], on the 0..255 scale] to a logit for each patch,
        float32 [B, h, w, 1], positive for real ones; 30x30 of 256x256.

    Raises:
        ValueError: A count or a side is too small.

    Example:
        >>> from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator
        >>> build_pix2pix_discriminator((256, 256), num_classes=3).output_shape
        (None, 30, 30, 1)
    """
    check_counts(size, num_classes, width)
    if min(size) < 3:
        raise ValueError(f"expected height and width of at least 3, not {size[0]}x{size[1]}")
    count = _discriminator_halvings(size)
    layout = keras.Input((*size, num_classes), name="layout")
    picture = keras.Input((*size, 3), name="picture")
    colors = layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="colors")(picture)  # 0..255 -> -1..1
    x = layers.Concatenate(name="layout_and_colors")([layout, colors])

    def convolution(x: Features, channels: int, strides: int, name: str, bias: bool, **options: str) -> Features:
        x = layers.ZeroPadding2D(1, data_format="channels_last", name=f"{name}_border", **options)(x)
        options = {"name": f"{name}_convolution", **options}
        return layers.Conv2D(channels, strides=strides, use_bias=bias, **options, **convolution_options())(x)

    for number, channels in enumerate(DISCRIMINATOR_CHANNELS[: count + 1], 1):
        first = number == 1
        x = convolution(x, scaled(channels, width), 2 if number <= count else 1, f"patch_{number}", bias=first)
        if not first:
            x = BatchStatisticsNormalization(name=f"patch_{number}_normalization")(x)
        x = LeakyReLU(name=f"patch_{number}_activation")(x)
    logits = convolution(x, 1, 1, "logits", bias=True, dtype="float32")
    return keras.Model([layout, picture], logits, name="pix2pix_discriminator")


def plan_pix2pix_generator(size: Size, num_classes: int, width: float) -> list[PlannedConvolution]:
    """The generator's convolutions, before it is built. Arguments as `build_pix2pix_generator` takes them."""
    depth = min(len(ENCODER_CHANNELS), halvings(size, 1))
    channels = [scaled(each, width) for each in ENCODER_CHANNELS[:depth]]
    sizes, plan, before = [size], [], num_classes
    for level, each in enumerate(channels, 1):
        sizes.append(halved(sizes[-1]))
        plan.append(PlannedConvolution(KERNEL, before, each, sizes[-1], normalized=1 < level < depth))
        before = each
    for level in range(depth - 1, 0, -1):
        plan.append(PlannedConvolution(KERNEL, before, channels[level - 1], sizes[level]))
        before = 2 * channels[level - 1]  # beside what skips
    return [*plan, PlannedConvolution(KERNEL, before, 3, size, bias=True, normalized=False)]


def plan_pix2pix_discriminator(size: Size, num_classes: int, width: float) -> list[PlannedConvolution]:
    """The discriminator's convolutions, before it is built. Arguments as `build_pix2pix_discriminator` takes them."""
    count, at = _discriminator_halvings(size), size
    plan, before = [], num_classes + 3
    for number, channels in enumerate(DISCRIMINATOR_CHANNELS[: count + 1], 1):
        at = (at[0] // 2, at[1] // 2) if number <= count else (at[0] - 1, at[1] - 1)
        first = number == 1
        plan.append(PlannedConvolution(KERNEL, before, scaled(channels, width), at, first, not first))
        before = scaled(channels, width)
    return [*plan, PlannedConvolution(KERNEL, before, 1, (at[0] - 1, at[1] - 1), bias=True, normalized=False)]


def _discriminator_halvings(size: Size) -> int:
    """How often it halves pictures: up to three times, so that at least 3 rows and columns are left."""
    return min(3, (min(size) // 3).bit_length() - 1)
