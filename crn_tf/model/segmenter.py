"""A segmenter on the frozen perceiver: a head like FCN-8s, which reads semantic classes from three of its taps.

Pure Keras: runs on every Keras backend.
"""

import functools
import zlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from crn_tf.model.layers import CHANNELS_LAST
from crn_tf.precision import own_defaults
from crn_tf.tensors import Features

HEAD_TAPS = 3  # the perceiver's last ones: an image's height and width over 4, 8 and 16
CHANNELS = 128  # of the head's convolutions


@keras.saving.register_keras_serializable("crn_tf")
class UpsampledLike(layers.Layer):
    """Upsamples the first of two tensors bilinearly, and cuts it to the height and width of the second.

    [B, h, w, D] and [B, H, W, ...] -> [B, H, W, D], where H is at most `factor` * h, and W at most `factor` * w. What
    is cut is what 'same' pooling added at odd sizes.
    """

    def __init__(self, factor: int, **options: Any) -> None:
        """Describe the layer.

        Args:
            factor: How many times as high and wide.
            **options: Keras' own for every layer, such as `name` and `dtype`.
        """
        super().__init__(**options)
        self.factor = factor
        self._upsample = layers.UpSampling2D(factor, data_format=CHANNELS_LAST, interpolation="bilinear")

    def build(self, input_shapes: Sequence[Sequence[Any]]) -> None:
        """There are no weights to make."""
        self._upsample.build(input_shapes[0])

    def call(self, inputs: Sequence[Features]) -> Features:
        """[B, h, w, D] and [B, H, W, ...] -> [B, H, W, D]."""
        x, like = inputs
        height, width = ops.shape(like)[1:3]
        return self._upsample(x)[:, :height, :width]

    def compute_output_shape(self, input_shapes: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """The second's height and width, the first's channels."""
        return (*input_shapes[1][:3], input_shapes[0][-1])

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "factor": self.factor}


@own_defaults()
def build_segmenter_head(
    depths: Sequence[int], num_classes: int, channels: int = CHANNELS, start: int = 0
) -> keras.Model:
    """Build the part of the segmenter that is trained.

    As in FCN-8s, each tap gets a score for each class of its own; the coarser ones are upsampled and added to the finer
    ones. The last one sees further: a convolution with gaps stands for FCN's fully connected layers.

    Args:
        depths: Channels of the perceiver's last three taps, finest first.
        num_classes: Classes to tell apart, without void.
        channels: Of the convolutions before the scores.
        start: Which fresh weights; the same every time.

    Returns:
        A model from [images, tap, tap, tap] to scores [B, H, W, num_classes] before the softmax, at the images' size.
    """
    images = keras.Input((None, None, 3), name="images")
    taps = [keras.Input((None, None, depth), name=f"tap_{number}") for number, depth in enumerate(depths)]
    convolution = functools.partial(_convolution, start=start)
    scores = []
    for number, tap in enumerate(taps):
        x = layers.BatchNormalization(name=f"normalize_{number}")(tap)  # taps differ in scale, also between perceivers
        x = convolution(channels, 3, f"read_{number}", activation="relu")(x)
        if number == len(taps) - 1:
            x = convolution(channels, 3, "look_around", activation="relu", dilation_rate=4)(x)
        scores.append(convolution(num_classes, 1, f"score_{number}")(x))
    *finer, total = scores
    for number, score in reversed(list(enumerate(finer))):
        total = layers.Add(name=f"add_{number}")([UpsampledLike(2, name=f"upsample_{number}")([total, score]), score])
    return keras.Model([images, *taps], UpsampledLike(4, name="to_pixels")([total, images]), name="segmenter_head")


def _convolution(filters: int, kernel: int, name: str, start: int, **options: Any) -> layers.Layer:
    """A convolution that starts the same every time: a segmenter is a measuring instrument."""
    weights = keras.initializers.GlorotUniform(seed=(zlib.crc32(name.encode()) + start) % 2**32)
    return layers.Conv2D(filters, kernel, padding="same", kernel_initializer=weights, name=name, **options)


def build_segmenter(perceiver: keras.Model, head: keras.Model) -> keras.Model:
    """Put a head on the perceiver.

    Args:
        perceiver: From `build_perceiver`; it stays frozen.
        head: From `build_segmenter_head`.

    Returns:
        A model from RGB images [B, H, W, 3] on the 0..255 scale to scores [B, H, W, num_classes].
    """
    taps = perceiver.outputs[-HEAD_TAPS:]
    return keras.Model(perceiver.input, head([perceiver.input, *taps]), name="segmenter")
