"""The perceiver: VGG19 without its head, whose activations say how alike two images look (paper section 3.3).

Pure Keras: runs on every Keras backend.
"""

from pathlib import Path
from typing import Literal

import keras
from keras import layers

from crn_tf.model.layers import CHANNELS_LAST
from crn_tf.model.vgg_weights import read_kernels
from crn_tf.precision import layer_policy

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, and how many convolutions
TAPS = ("block1_conv2", "block2_conv2", "block3_conv2", "block4_conv2", "block5_conv2")
MEAN_RGB = (123.68, 116.779, 103.939)  # of the ImageNet photographs VGG19 was trained on


def build_perceiver(weights: str | Path, pooling: Literal["avg", "max"] = "avg") -> keras.Model:
    """Build the frozen network whose taps the losses compare. Nothing past conv5_2 is computed.

    Args:
        weights: A path to the published Keras file without top (.h5) or to MatConvNet's .mat file; "imagenet"
            to fetch the former into `vgg_weights/`; "random" for seeded He-normal kernels.
        pooling: "avg" as in the 2017 release, or "max" as VGG19 was trained.

    Returns:
        A model from RGB images [N, H, W, 3] on the 0..255 scale to the activations after the ReLU of conv1_2
        [N, H, W, 64], conv2_2 [N, H/2, W/2, 128], ..., conv5_2 [N, H/16, W/16, 512].

    Raises:
        UserError: The file is missing, damaged or not VGG19.
        ValueError: `pooling` is neither "avg" nor "max".

    Example:
        >>> import numpy as np
        >>> from crn_tf import build_perceiver
        >>> perceiver = build_perceiver("random")  # to train with: "imagenet", or a file
        >>> taps = perceiver(np.full((1, 32, 64, 3), 128, "float32"))
        >>> [tuple(tap.shape[1:]) for tap in taps]  # ever smaller, ever more channels
        [(32, 64, 64), (16, 32, 128), (8, 16, 256), (4, 8, 512), (2, 4, 512)]
    """
    if pooling not in ("avg", "max"):
        raise ValueError(f'pooling is "avg" or "max", not {pooling!r}')
    pool = layers.AveragePooling2D if pooling == "avg" else layers.MaxPooling2D
    policy = layer_policy()
    images = keras.Input((None, None, 3), dtype="float32", name="images")
    # In float32 also under mixed precision: 8 bits of mantissa would round pixels to whole grey levels.
    x = layers.Rescaling(1.0, [-mean for mean in MEAN_RGB], dtype="float32", name="minus_mean")(images)
    taps = []
    for layer in _layers(pool, policy):
        x = layer(x)
        if layer.name in TAPS:
            taps.append(x)
        if layer.name == TAPS[-1]:
            break
    perceiver = keras.Model(images, taps, name="perceiver")
    perceiver.trainable = False

    convolutions = {layer.name: layer for layer in perceiver.layers if isinstance(layer, layers.Conv2D)}
    shapes = {name: tuple(layer.kernel.shape) for name, layer in convolutions.items()}
    for name, kernel_and_bias in read_kernels(weights, shapes).items():
        convolutions[name].set_weights(kernel_and_bias)
    return perceiver


def _layers(pool: type[keras.layers.Layer], policy: keras.DTypePolicy) -> list[keras.layers.Layer]:
    """VGG19's layers without its head, as Keras' own model calls them; that one cannot be built where a user's
    keras.json has channels first.
    """
    made: list[keras.layers.Layer] = []
    for block, (channels, convolutions) in enumerate(_BLOCKS, 1):
        for step in range(1, convolutions + 1):
            name = f"block{block}_conv{step}"
            convolution = layers.Conv2D(
                channels, 3, padding="same", activation="relu", data_format=CHANNELS_LAST, dtype=policy, name=name
            )
            made.append(convolution)
        # The release pools with 'same' padding: at odd sizes the last row and column are kept.
        made.append(pool(2, padding="same", data_format=CHANNELS_LAST, dtype=policy, name=f"block{block}_pool"))
    return made


def split_blocks(perceiver: keras.Model) -> list[keras.Model]:
    """Cut the perceiver after each pooling.

    Args:
        perceiver: From `build_perceiver`.

    Returns:
        Five models, from the images or the previous block's result to a pair: the block's tap, and its result.
    """
    blocks, start = [], perceiver.input
    for name, tap in zip(TAPS, perceiver.outputs, strict=True):
        if name == TAPS[-1]:
            end = layers.Identity(dtype=perceiver.get_layer(name).dtype_policy)(tap)
        else:
            end = perceiver.get_layer(name.replace("_conv2", "_pool")).output
        blocks.append(keras.Model(start, [tap, end]))
        start = end
    return blocks
