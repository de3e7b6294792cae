"""Names for tensors and arrays, by what they mean. Exact shapes are in each function's docstring.

B is the batch, k the images of a collection, H and W an image's height and width, h and w those of a module or a tap,
C the classes with void, D channels of features.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# A tensor is TensorFlow's, JAX's or torch's, by the Keras backend, so for a type checker it is anything.
Tensor: TypeAlias = Any  # of no meaning of its own, such as what a layer's arithmetic is made of
PerReplica: TypeAlias = Any  # a tensor for each device that shares a batch, as TensorFlow's strategies hold them
Features: TypeAlias = Any  # activations of a module or of the perceiver: [B, h, w, D]
ClassIds: TypeAlias = Any  # layouts: uint8 [B, H, W], void last
OneHotLayout: TypeAlias = Any  # layouts: float [B, H, W, C], each pixel's fractions of the classes, which sum to 1
Photos: TypeAlias = Any  # photographs: uint8 or float32 [B, H, W, 3], 0..255
Images: TypeAlias = Any  # synthesized collections: float32 [B, k, H, W, 3], 0..255, not clipped
TapErrors: TypeAlias = Any  # mean over channels of the absolute difference at one tap: float32 [B, k, h, w]
ClassErrors: TypeAlias = Any  # each class' share in the mean error of each image: float32 [B, k, C] or [taps, B, k, C]
Loss: TypeAlias = Any  # float32 []
LossTerms: TypeAlias = Any  # each tap's part of a loss: float32 [taps]

# Tensors of a TensorFlow graph that is exported.
Bytes: TypeAlias = Any  # encoded pictures: string [] or [B]
Texts: TypeAlias = Any  # what is wrong with each item: string [] or [B], empty for nothing

PerceiverBlock: TypeAlias = Callable[[Features], Sequence[Features]]  # to a pair: the block's tap, and its result
LossFunction: TypeAlias = Callable[[Sequence[TapErrors], Sequence[float], OneHotLayout], tuple[Loss, LossTerms]]

# Arrays, in the memory of the processor.
Pixels: TypeAlias = NDArray[np.uint8]  # pictures: uint8 [..., H, W, 3], red, green, blue
Layout: TypeAlias = NDArray[np.uint8]  # class ids: uint8 [..., H, W], void last
Floats: TypeAlias = NDArray[np.floating[Any]]
