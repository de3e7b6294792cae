"""The paper's encoder-decoder: a U-Net (Ronneberger et al. 2015) with about as many parameters as the CRN.

Pure Keras: runs on every Keras backend.
"""

import keras
from keras import layers

from crn_tf.data.images import Size
from crn_tf.model.cascade import MAX_MODULES, module_channels
from crn_tf.model.generator import project_images
from crn_tf.model.layers import Convolution, NormalizedLeakyReLU, UpsampledConvolution
from crn_tf.model.other_networks.parts import check_counts
from crn_tf.model.planning import PlannedConvolution, planned_projection
from crn_tf.precision import own_defaults
from crn_tf.tensors import Features

# Of the CRN's channels at the same height. A U-Net has four convolutions where the CRN has two; with these its count is
# the CRN's to 2 % (`python benchmarks/parameters.py`).
SHARE = 0.66


@own_defaults()
def build_encoder_decoder(
    size: Size = (256, 512), num_classes: int = 20, num_images: int = 1, width: float = 1.0
) -> keras.Model:
    """Build a U-Net: two 3x3 convolutions at each height on the way down, and two on the way up, with skips.

    Max pooling leads down, bilinear upsampling up; each convolution is followed by the CRN's normalization and leaky
    ReLU. The heights are those of the CRN's modules.

    Args:
        size: Height and width in pixels. What cannot be halved as often as the smaller side asks for (until it is 3 to
            5) is filled up with zeros at the bottom and at the right, and cut at the end.
        num_classes: Channels of the layout, void included.
        num_images: Images synthesized per layout (k in the paper).
        width: Multiplies the channels of every layer; at 1.0 there are about as many parameters as in the paper's CRN.

    Returns:
        A model from one-hot layouts [B, H, W, C] to images [B, k, H, W, 3], float32 on the 0..255 scale, not clipped.

    Raises:
        ValueError: A count is not positive.

    Example:
        >>> from crn_tf.model.other_networks.encoder_decoder import build_encoder_decoder
        >>> build_encoder_decoder((64, 128), num_classes=3, width=1 / 32).output_shape
        (None, 1, 64, 128, 3)
    """
    check_counts(size, num_classes, width, num_images)
    channels, border = _levels(size, width)

    layout = keras.Input((*size, num_classes), name="layout")
    x: Features = layout
    if any(border):
        sides = ((0, border[0]), (0, border[1]))
        x = layers.ZeroPadding2D(sides, data_format="channels_last", name="border")(x)
    skips: dict[int, Features] = {}
    for rows in list(channels)[::-1]:
        if skips:
            x = layers.MaxPooling2D(2, data_format="channels_last", name=f"encoder_{rows}_pooling")(x)
        for step in (1, 2):
            x = _convolution(channels[rows], f"encoder_{rows}_conv{step}")(x)
            x = NormalizedLeakyReLU(name=f"encoder_{rows}_norm{step}")(x)
        skips[rows] = x
    for rows in list(channels)[1:]:
        x = UpsampledConvolution(channels[rows], name=f"decoder_{rows}_conv1")([x, skips[rows]])
        x = NormalizedLeakyReLU(name=f"decoder_{rows}_norm1")(x)
        x = _convolution(channels[rows], f"decoder_{rows}_conv2")(x)
        x = NormalizedLeakyReLU(name=f"decoder_{rows}_norm2")(x)
    if any(border):
        x = layers.Cropping2D(sides, data_format="channels_last", name="without_border")(x)
    return keras.Model(layout, project_images(x, num_images, "projection"), name="encoder_decoder")


def _convolution(channels: int, name: str) -> Convolution:
    return Convolution(channels, 3, padding="same", use_bias=False, data_format="channels_last", name=name)


def _levels(size: Size, width: float) -> tuple[dict[int, int], tuple[int, int]]:
    """Channels at each height, coarsest first; rows and columns that pictures are filled up with."""
    depth = 0
    while min(size) >> (depth + 1) >= 3 and depth < MAX_MODULES - 1:
        depth += 1
    rows, columns = (-side % 2**depth for side in size)
    height = size[0] + rows
    return module_channels(height, height >> depth, SHARE * width), (rows, columns)


def plan_encoder_decoder(size: Size, num_classes: int, num_images: int, width: float) -> list[PlannedConvolution]:
    """Its convolutions, before it is built. Arguments as `build_encoder_decoder` takes them."""
    channels, border = _levels(size, width)
    height, columns = (side + more for side, more in zip(size, border, strict=True))
    plan, before = [], num_classes
    for rows in list(channels)[::-1]:
        at = rows, columns * rows // height
        plan += [PlannedConvolution(3, inputs, channels[rows], at) for inputs in (before, channels[rows])]
        before = channels[rows]
    for rows in list(channels)[1:]:
        at = rows, columns * rows // height
        inputs = before + channels[rows], channels[rows]  # beside what skips
        plan += [PlannedConvolution(3, each, channels[rows], at) for each in inputs]
        before = channels[rows]
    return [*plan, planned_projection(before, num_images, size)]
