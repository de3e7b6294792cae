"""The generator: a cascade of refinement modules, from a 4x8 grid up to the image (paper section 3.1).

Pure Keras: runs on every Keras backend.
"""

import keras
from keras import layers, ops

# Feature channels of each refinement module, coarsest first: 4x8 ... 1024x2048 in the paper's Cityscapes models.
MODULE_WIDTHS = (1024, 1024, 1024, 1024, 1024, 512, 512, 128, 32)
MAX_MODULES = len(MODULE_WIDTHS)


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
    """
    rows, columns = base_grid
    heights = module_heights(height, rows)
    if min(num_classes, num_images, columns) < 1 or width <= 0:
        raise ValueError(f"counts and width must be positive: {num_classes=}, {num_images=}, {width=}, {base_grid=}")
    image_width = height // rows * columns

    layout = keras.Input((height, image_width, num_classes), name="layout")
    pyramid = {height: layout}  # the layout at every module's size, by exact 2x2 means: area downsampling
    for size in reversed(heights[:-1]):
        pyramid[size] = layers.AveragePooling2D(2, name=f"layout_{size}")(pyramid[2 * size])

    features = None
    for size, channels in zip(heights, MODULE_WIDTHS, strict=False):
        features = refinement_module(features, pyramid[size], size, max(1, round(width * channels)))

    # A linear projection in float32: 8 bits of mantissa would be too coarse for 256 grey levels.
    pixels = layers.Conv2D(3 * num_images, 1, dtype="float32", name=f"projection_{height}")(features)
    pixels = layers.Rescaling(127.5, 127.5, dtype="float32", name="pixels")(pixels)  # -1..1 -> 0..255
    images = layers.Reshape((height, image_width, num_images, 3), dtype="float32", name="triples")(pixels)
    images = layers.Permute((3, 1, 2, 4), dtype="float32", name="images")(images)  # [B, H, W, k, 3] -> [B, k, H, W, 3]
    return keras.Model(layout, images, name=f"crn_{height}p")


def refinement_module(features, layout, size: int, channels: int):
    """Refine features at one resolution (paper section 3.1, figure 2).

    Args:
        features: The previous module's output [B, h/2, w/2, D], or None for the first module.
        layout: The layout at this module's size [B, h, w, C].
        size: This module's height h; names the layers.
        channels: Feature channels of this module.

    Returns:
        Features [B, h, w, channels].
    """
    if features is None:
        x = layout
    else:
        x = CornerAlignedUpsampling(name=f"module_{size}_upsample")(features)
        x = layers.Concatenate(name=f"module_{size}_input")([x, layout])
    for step in (1, 2):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"module_{size}_conv{step}")(x)
        # Layer normalization over H, W and C together, with a gain and an offset for each channel.
        x = layers.GroupNormalization(groups=1, epsilon=1e-12, name=f"module_{size}_norm{step}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"module_{size}_relu{step}")(x)
    return x


@keras.saving.register_keras_serializable("crn_tf")
class CornerAlignedUpsampling(layers.Layer):
    """Bilinear upsampling by two with corners aligned: source coordinate = i * (n - 1) / (2n - 1).

    [B, h, w, D] -> [B, 2h, 2w, D]. This is how the 2017 release resizes features; Keras' own layers put half a
    pixel between the corners, which gives different images.
    """

    def call(self, x):
        return _double(_double(x, axis=1), axis=2)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels


def _double(x, axis: int):
    """Double one axis. Every output lies between two neighbours, so shifts and weights are enough.

    Output 2j lies j/(2n-1) before input j, and output 2j+1 lies (n-1-j)/(2n-1) behind it.
    """
    n = x.shape[axis]
    position = ops.reshape(ops.arange(n, dtype="float32"), [n if a == axis else 1 for a in range(4)])
    before = ops.cast(position / (2 * n - 1), x.dtype)
    behind = ops.cast((n - 1 - position) / (2 * n - 1), x.dtype)
    first, last = _span(x, axis, 0, 1), _span(x, axis, n - 1, n)
    previous = ops.concatenate([first, _span(x, axis, 0, n - 1)], axis)
    following = ops.concatenate([_span(x, axis, 1, n), last], axis)
    pairs = ops.stack([x + before * (previous - x), x + behind * (following - x)], axis + 1)
    shape = list(x.shape)
    shape[axis] = 2 * n
    return ops.reshape(pairs, [-1, *shape[1:]])


def _span(x, axis: int, start: int, stop: int):
    return x[:, start:stop] if axis == 1 else x[:, :, start:stop]


def module_heights(height: int, rows: int) -> list[int]:
    """Heights of the cascade's modules, coarsest first: rows, 2 rows, ..., height.

    Raises:
        ValueError: `height` is not rows * 2**n with at most nine modules.
    """
    heights = [rows * 2**i for i in range(MAX_MODULES)]
    if rows < 1 or height not in heights:
        raise ValueError(f"height {height} is not on the cascade of {rows} rows: {', '.join(map(str, heights))}")
    return heights[: heights.index(height) + 1]


def module_height(name: str) -> int:
    """The height in the name of a layer or variable: 64 for module_64_conv1 and for projection_64/bias."""
    return int(name.split("_")[1].partition("/")[0])
