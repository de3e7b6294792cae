"""The precisions that convolutions can be computed in. Weights, normalization statistics, projection and losses are
float32 in all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
PRECISION_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # Keras' names


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Models built in the block compute in a precision."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
