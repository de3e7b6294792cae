"""The generator: a cascade of refinement modules, from a 4x8 grid up to the image (paper section 3.1).

Pure Keras: runs on every Keras backend.
"""

import keras
from keras import layers

from crn_tf.model.cascade import module_channels
from crn_tf.model.layers import CHANNELS_LAST, Convolution, NormalizedLeakyReLU, UpsampledConvolution
from crn_tf.precision import layer_policy
from crn_tf.tensors import Features, Images, OneHotLayout


def build_generator(
    height: int = 256,
    num_classes: int = 20,
    num_images: int = 1,
    width: float = 1.0,
    base_grid: tuple[int, int] = (4, 8),
) -> keras.Model:
    """Build a Cascaded Refinement Network.

    Layers are named after the height they work at (`module_64_conv1`, `module_64_norm1`, ..., `projection_64`),
    so that the weights of a smaller model find their place in a taller one.

    Args:
        height: Image height in pixels: `base_grid[0] * 2**n`, with n from 0 to 8.
        num_classes: Channels of the layout, void included.
        num_images: Images synthesized per layout (k in the paper).
        width: Multiplies the feature channels of every module; 1.0 is the paper's network.
        base_grid: Rows and columns of the first module's grid; sets the aspect ratio.

    Returns:
        A model from layouts [B, H, W, C] (one-hot, or fractions that sum to 1) to images [B, k, H, W, 3],
        float32 on the 0..255 scale, not clipped.

    Raises:
        ValueError: `height` is not on the cascade of `base_grid`, or a count is not positive.

    Example:
        >>> import numpy as np
        >>> from crn_tf import build_generator
        >>> generator = build_generator(height=16, num_classes=3, num_images=2, width=1 / 64)
        >>> [layer.name for layer in generator.layers if layer.name.endswith("conv1")]  # a module for each size
        ['module_4_conv1', 'module_8_conv1', 'module_16_conv1']
        >>> layouts = np.eye(3, dtype="float32")[np.random.default_rng(0).integers(0, 3, (5, 16, 32))]
        >>> tuple(generator(layouts).shape)  # two images of 16x32 for each of five layouts
        (5, 2, 16, 32, 3)
    """
    rows, columns = base_grid
    modules = module_channels(height, rows, width)
    if min(num_classes, num_images, columns) < 1 or width <= 0:
        raise ValueError(f"counts and width must be positive: {num_classes=}, {num_images=}, {width=}, {base_grid=}")
    image_width = height // rows * columns

    layout = keras.Input((height, image_width, num_classes), dtype="float32", name="layout")
    pyramid = {height: layout}  # the layout at every module's size, by exact 2x2 means: area downsampling
    for size in list(modules)[-2::-1]:
        halve = layers.AveragePooling2D(2, data_format=CHANNELS_LAST, dtype=layer_policy(), name=f"layout_{size}")
        pyramid[size] = halve(pyramid[2 * size])

    features: Features = None
    for size, channels in modules.items():
        features = refinement_module(features, pyramid[size], size, channels)

    images = project_images(features, num_images, f"projection_{height}")
    return keras.Model(layout, images, name=f"crn_{height}p")


def refinement_module(features: Features | None, layout: OneHotLayout, size: int, channels: int) -> Features:
    """Refine features at one resolution (paper section 3.1, figure 2).

    Args:
        features: The previous module's output [B, h/2, w/2, D], or None for the first module.
        layout: The layout at this module's size [B, h, w, C].
        size: This module's height h; names the layers.
        channels: Feature channels of this module.

    Returns:
        Features [B, h, w, channels].
    """
    policy = layer_policy()

    def convolution(step: int) -> Convolution:
        return Convolution(
            channels,
            3,
            padding="same",
            use_bias=False,
            data_format=CHANNELS_LAST,
            dtype=policy,
            name=f"module_{size}_conv{step}",
        )

    if features is None:
        x = convolution(1)(layout)
    else:  # on upsampled features beside the layout
        x = UpsampledConvolution(channels, dtype=policy, name=f"module_{size}_conv1")([features, layout])
    x = NormalizedLeakyReLU(dtype=policy, name=f"module_{size}_norm1")(x)
    x = convolution(2)(x)
    return NormalizedLeakyReLU(dtype=policy, name=f"module_{size}_norm2")(x)


def project_images(features: Features, num_images: int, name: str) -> Images:
    """A network's last features as images, by a 1x1 convolution; nothing is clipped.

    Args:
        features: [B, H, W, D].
        num_images: Images for each layout (k in the paper).
        name: Of the convolution.

    Returns:
        float32 [B, k, H, W, 3], on the 0..255 scale.
    """
    # A linear projection in float32: 8 bits of mantissa would be too coarse for 256 grey levels.
    project = layers.Conv2D(3 * num_images, 1, data_format=CHANNELS_LAST, dtype="float32", name=name)
    return arrange_images(project(features), num_images)


def arrange_images(colors: Features, num_images: int = 1) -> Images:
    """Colours on the -1..1 scale as images on the 0..255 scale.

    Args:
        colors: float32 [B, H, W, 3k], of which consecutive triples form an image.
        num_images: Images for each layout (k).

    Returns:
        float32 [B, k, H, W, 3].
    """
    height, width = colors.shape[1:3]
    pixels = layers.Rescaling(127.5, 127.5, dtype="float32", name="pixels")(colors)  # -1..1 -> 0..255
    images = layers.Reshape((height, width, num_images, 3), dtype="float32", name="triples")(pixels)
    return layers.Permute((3, 1, 2, 4), dtype="float32", name="images")(images)  # [B, H, W, k, 3] -> [B, k, H, W, 3]
