"""Names for tensors, by what they mean. Shapes are in each function's docstring.

A tensor is TensorFlow's, JAX's or torch's, by the Keras backend, so for a type checker it is anything.
"""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # of the Keras backend in use
ClassIds: TypeAlias = Any  # a layout: uint8 [B, H, W], void last
OneHotLayout: TypeAlias = Any  # a layout: float [B, H, W, C], each pixel's fractions of the classes, which sum to 1
Photos: TypeAlias = Any  # photographs: [B, H, W, 3], 0..255
Images: TypeAlias = Any  # synthesized: float32 [B, k, H, W, 3], 0..255, not clipped
Features: TypeAlias = Any  # a module's or a perceiver's activations: [B, h, w, channels]
TapErrors: TypeAlias = Any  # mean over channels of the absolute difference at a tap: float32 [B, k, h, w]
