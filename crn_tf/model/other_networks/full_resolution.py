"""The paper's full-resolution network: context by dilated convolutions, with no pixel fewer or more on the way.

Pure Keras: runs on every Keras backend.
"""

import keras
from keras import layers

from crn_tf.data.images import Size
from crn_tf.model.generator import project_images
from crn_tf.model.layers import NormalizedLeakyReLU
from crn_tf.model.other_networks.parts import check_counts, scaled
from crn_tf.model.planning import PlannedConvolution, planned_projection
from crn_tf.precision import own_defaults
from crn_tf.tensors import Features

DILATIONS = (1, 2, 4, 8, 16, 32, 64, 1)
CHANNELS = 256


@own_defaults()
def build_full_resolution(
    size: Size = (256, 512), num_classes: int = 20, num_images: int = 1, width: float = 1.0
) -> keras.Model:
    """Build a full-resolution network: 3x3 convolutions with dilations 1, 2, 4, ..., 64, 1, and a 1x1 projection.

    Each is followed by the CRN's normalization and leaky ReLU. A pixel sees 257x257 pixels of the layout, and the whole
    picture by the normalization.

    Args:
        size: Height and width in pixels; any.
        num_classes: Channels of the layout, void included.
        num_images: Images synthesized per layout (k in the paper).
        width: Multiplies the 256 channels of every layer; memory grows in proportion.

    Returns:
        A model from one-hot layouts [B, H, W, C] to images [B, k, H, W, 3], float32 on the 0..255 scale, not clipped.

    Raises:
        ValueError: A count is not positive.

    Example:
        >>> from crn_tf.model.other_networks.full_resolution import build_full_resolution
        >>> build_full_resolution((30, 50), num_classes=3, num_images=2, width=1 / 32).output_shape
        (None, 2, 30, 50, 3)
    """
    check_counts(size, num_classes, width, num_images)
    layout = keras.Input((*size, num_classes), name="layout")
    x: Features = layout
    for number, dilation in enumerate(DILATIONS, 1):
        x = layers.Conv2D(
            scaled(CHANNELS, width),
            3,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            data_format="channels_last",
            name=f"context_{number}_convolution",
        )(x)
        x = NormalizedLeakyReLU(name=f"context_{number}_normalization")(x)
    return keras.Model(layout, project_images(x, num_images, "projection"), name="full_resolution")


def plan_full_resolution(size: Size, num_classes: int, num_images: int, width: float) -> list[PlannedConvolution]:
    """Its convolutions, before it is built. Arguments as `build_full_resolution` takes them."""
    channels = scaled(CHANNELS, width)
    inputs = [num_classes, *[channels] * (len(DILATIONS) - 1)]
    context = [PlannedConvolution(3, each, channels, size) for each in inputs]
    return [*context, planned_projection(channels, num_images, size)]
