"""Fewer passes over memory, and less kept in it: what each Keras backend does in its own way.

`fused` compiles elementwise work on large tensors into one pass; `recomputed` keeps a function's inputs for the
backward pass instead of everything in between. Neither changes a result beyond rounding.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras

# Elements, of a sample where the batch's size is not known, from which compiling a pass pays: below, the second of
# compilation is never won back.
FUSE_FROM = 1 << 21
_fusing = [True]


def fused(function: Callable) -> Callable:
    """Have XLA make one pass of a function of tensors, where the backend is TensorFlow and the tensors are large.

    TensorFlow alone runs every operation as a pass of its own, with a temporary tensor each. (JAX fuses whatever is
    jitted; torch runs the plain function.)

    Args:
        function: Elementwise work, shifts and sums on tensors, with tensors as its only arguments. Not differentiated:
            use it inside `keras.ops.custom_gradient`.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    @functools.cache
    def compiled(*shapes_and_types):  # one for each, or TensorFlow would warn of many tracings of one function
        return tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors):
        if not _fusing[-1] or max(math.prod(d for d in t.shape if d) for t in tensors) < FUSE_FROM:
            return function(*tensors)
        return compiled(*((tuple(t.shape), t.dtype) for t in tensors))(*tensors)

    return call


def after(awaited, tensor):
    """The same tensor, not used before another one is computed: TensorFlow, where nothing is fused, would compute all
    terms of a sum before it adds them up, and hold them in memory at once."""
    if keras.backend.backend() != "tensorflow":
        return tensor
    import tensorflow as tf

    with tf.control_dependencies([awaited]):
        return tf.identity(tensor)


def on_tensorflow_cpu() -> bool:
    """Whether this is TensorFlow, without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@contextmanager
def unfused() -> Iterator[None]:
    """Trace without XLA: for graphs that have to run where there is none."""
    _fusing.append(False)
    try:
        yield
    finally:
        _fusing.pop()


def recomputed(function: Callable) -> Callable:
    """Keep only the arguments of a function for the backward pass, and compute the rest again there.

    What is not needed for a gradient, such as the result of a last convolution, is not computed again.

    Args:
        function: Of tensors; may read variables.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.remat(function)
    import tensorflow as tf

    # Other than tf.recompute_grad this does not copy the arguments to make them wait.
    @tf.custom_gradient
    def call(*arguments):
        def gradient(*upstream, variables=None):
            variables = variables or []
            # All of it waits for the gradients, or it would be computed, and kept, during the forward pass.
            with tf.GradientTape() as tape, tf.control_dependencies(upstream):
                again = [tf.identity(argument) for argument in arguments]
                tape.watch(again)
                tape.watch(variables)
                results = tf.nest.flatten(function(*again))
            gradients = tape.gradient(results, (again, variables), list(upstream))
            return gradients if variables else gradients[0]

        return function(*arguments), gradient

    return call
