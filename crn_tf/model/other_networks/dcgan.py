"""The generator of the paper's baseline "GAN and semantic segmentation", in the manner of DCGAN (Radford et al. 2016).

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
    check_counts,
    double,
    halve,
    halved,
    halvings,
    scaled,
)
from crn_tf.model.planning import PlannedConvolution
from crn_tf.precision import own_defaults
from crn_tf.tensors import Features

COARSEST = 4  # rows or columns of the grid that DCGAN's generator begins with
FINEST_CHANNELS, MOST_CHANNELS = 128, 1024


@own_defaults()
def build_dcgan_generator(size: Size = (256, 512), num_classes: int = 20, width: float = 1.0) -> keras.Model:
    """Build a DCGAN-like generator, which has a layout where DCGAN has noise.

    DCGAN's generator draws a picture by transposed 4x4 convolutions from a grid of 4x4 cells with 1024 channels. Here a
    mirror image of it, in the form of DCGAN's discriminator, makes that grid of the layout. There are no skips and
    there is no noise. Batch normalization takes the statistics of what is synthesized: of the batch with
    `training=True`, else of each sample by itself.

    Args:
        size: Height and width in pixels, each at least 2; halved until the smaller side is 4 to 7.
        num_classes: Channels of the layout, void included.
        width: Multiplies the channels of every layer; 1.0 has DCGAN's.

    Returns:
        A model from one-hot layouts [B, H, W, C] to images [B, 1, H, W, 3], float32 on the 0..255 scale.

    Raises:
        ValueError: A count or a side is too small.

    Example:
        >>> from crn_tf.model.other_networks.dcgan import build_dcgan_generator
        >>> generator = build_dcgan_generator((64, 64), num_classes=3)
        >>> [layer.output.shape[1:] for layer in generator.layers if layer.name.startswith("generator_")][::3]
        [(8, 8, 512), (16, 16, 256), (32, 32, 128)]
    """
    check_counts(size, num_classes, width)
    if min(size) < 2:
        raise ValueError(f"expected height and width of at least 2, not {size[0]}x{size[1]}")
    depth = max(1, halvings(size, COARSEST))
    layout = keras.Input((*size, num_classes), name="layout")

    x: Features = layout
    sizes = []
    for level in range(1, depth + 1):
        sizes.append(x.shape[1:3])
        x = halve(x, _channels(level, width), f"encoder_{level}_convolution", bias=level == 1)
        if level > 1:
            x = BatchStatisticsNormalization(name=f"encoder_{level}_normalization")(x)
        x = LeakyReLU(name=f"encoder_{level}_activation")(x)

    for level in range(depth - 1, 0, -1):  # named by the level whose size it comes to
        x = double(x, _channels(level, width), sizes[level], f"generator_{level}_convolution")
        x = BatchStatisticsNormalization(name=f"generator_{level}_normalization")(x)
        x = layers.ReLU(name=f"generator_{level}_activation")(x)

    x = double(x, 3, size, "output_convolution", use_bias=True, dtype="float32")
    colors = layers.Activation("tanh", dtype="float32", name="colors")(x)
    return keras.Model(layout, arrange_images(colors), name="dcgan_generator")


def _channels(level: int, width: float) -> int:
    """Channels of a level: 128 after the first halving, then twice as many, up to 1024."""
    return scaled(min(MOST_CHANNELS, FINEST_CHANNELS * 2 ** (level - 1)), width)


def plan_dcgan_generator(size: Size, num_classes: int, width: float) -> list[PlannedConvolution]:
    """Its convolutions, before it is built. Arguments as `build_dcgan_generator` takes them."""
    depth = max(1, halvings(size, COARSEST))
    sizes, plan, before = [size], [], num_classes
    for level in range(1, depth + 1):
        sizes.append(halved(sizes[-1]))
        first = level == 1
        plan.append(PlannedConvolution(KERNEL, before, _channels(level, width), sizes[-1], first, not first))
        before = _channels(level, width)
    for level in range(depth - 1, 0, -1):
        plan.append(PlannedConvolution(KERNEL, before, _channels(level, width), sizes[level]))
        before = _channels(level, width)
    return [*plan, PlannedConvolution(KERNEL, before, 3, size, bias=True, normalized=False)]
