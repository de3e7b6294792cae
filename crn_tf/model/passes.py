"""Fewer passes over memory, and less kept in it: what each Keras backend does in its own way.

`fused` compiles elementwise work on large tensors into one pass; `recomputed` keeps a function's inputs for the
backward pass instead of everything in between. Neither changes a result beyond rounding. `GivenSeed` is a seed that is
a tensor.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import keras

from crn_tf.errors import one_line
from crn_tf.tensors import Tensor

_Result = TypeVar("_Result")

# Elements, of a sample where the batch's size is not known, from which compiling a pass pays: below, the second of
# compilation is never won back.
FUSE_FROM = 1 << 21
# Asked while a graph is traced, in the thread that wants the graph: an export that fuses nothing does not change what
# other threads trace meanwhile.
_fusing = ContextVar("fusing", default=True)


def fused(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Have XLA make one pass of a function of tensors, where the backend is TensorFlow and the tensors are large.

    TensorFlow alone runs every operation as a pass of its own, with a temporary tensor each. (JAX fuses whatever is
    jitted; torch runs the plain function.) What a graph fuses is compiled by another thread while that graph is traced,
    so that its first run waits for less.

    Args:
        function: Elementwise work, shifts and sums on tensors, with tensors as its only arguments. Not differentiated:
            use it inside `keras.ops.custom_gradient`.

    Returns:
        A function of the same arguments, with the same results. It runs the plain one inside `unfused`, and where XLA
        cannot compile (see `compiler_failure`).
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    @functools.cache  # one for each, or TensorFlow would warn of many tracings of one function
    def compiled(*shapes_and_types: tuple[tuple[int | None, ...], Any]) -> Any:
        return tf.function(function, jit_compile=True, autograph=False)

    begun: set[tuple[Any, ...]] = set()

    @functools.wraps(function)
    def call(*tensors: Tensor) -> _Result:
        large = max(math.prod(d for d in t.shape if d) for t in tensors) >= FUSE_FROM
        if not large or not _fusing.get() or compiler_failure():
            return function(*tensors)
        key = tuple((tuple(t.shape), t.dtype) for t in tensors)
        one = compiled(*key)
        if tf.inside_function() and key not in begun and not any(None in shape for shape, _ in key):
            begun.add(key)
            _compiler().submit(_compile, one.get_concrete_function(*tensors), key)
        return one(*tensors)

    return call


@functools.cache
def compiler_failure() -> str | None:
    """Why XLA cannot compile here, where the backend is TensorFlow; None if it can. Tries it once: a small pass.

    On GPUs XLA needs programs and files of CUDA (ptxas, libdevice) that TensorFlow itself does without.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    try:
        with tf.init_scope():  # now, also where a graph is being traced
            _try_compiler()
    except tf.errors.OpError as error:
        return one_line(error.message or error, 200)
    return None


def unfused_warning() -> str | None:
    """A line for the user where nothing can be fused; None where XLA compiles."""
    failure = compiler_failure()
    if failure is None:
        return None
    return f"warning: XLA cannot compile here, so passes over memory are not fused, which takes longer: {failure}"


def _try_compiler() -> None:
    """Compile a small pass with a function that is in CUDA's library of mathematics, and run it."""
    import tensorflow as tf

    tf.function(lambda x: tf.math.exp(x) + tf.math.rsqrt(x), jit_compile=True, autograph=False)(tf.ones([8])).numpy()


@functools.cache
def _compiler() -> ThreadPoolExecutor:
    """The thread that compiles; one, because a second would take memory and a core from the first."""
    return ThreadPoolExecutor(1, "compiler")


def _compile(one: Callable[..., Any], shapes_and_types: Sequence[tuple[tuple[int, ...], Any]]) -> None:
    """Compile a pass by running it on zeros: TensorFlow has no other way to fill the place where a step will look.

    Inside another function, since TensorFlow keeps what it compiled for calls from Python apart from that. What goes
    wrong will go wrong in the step again, and is reported there.
    """
    import tensorflow as tf

    with suppress(tf.errors.OpError):
        zeros = [tf.zeros(*given) for given in shapes_and_types]
        # Called as a function it would be counted among the tracings of one, of which TensorFlow warns.
        tf.function(lambda *tensors: one(*tensors), autograph=False).get_concrete_function(*zeros)(*zeros)


def after(awaited: Tensor, tensor: Tensor) -> Tensor:
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
    """Trace without XLA in the block: for graphs that have to run where there is none.

    It holds for what the block's own thread traces, other threads go on fusing.
    """
    before = _fusing.set(False)
    try:
        yield
    finally:
        _fusing.reset(before)


def recomputed(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Keep only the arguments of a function for the backward pass, and compute the rest again there.

    What is not needed for a gradient, such as the result of a last convolution, is not computed again.

    Args:
        function: Of tensors; may read variables.

    Returns:
        A function of the same arguments, with the same results and gradients.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.remat(function)
    import tensorflow as tf

    # Other than tf.recompute_grad this does not copy the arguments to make them wait.
    @tf.custom_gradient
    def call(*arguments: Tensor) -> tuple[_Result, Callable[..., Any]]:
        def gradient(*upstream: Tensor, variables: Sequence[Any] | None = None) -> Any:
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


class GivenSeed(keras.random.SeedGenerator):
    """A seed for `keras.random` that is a tensor of a graph: no variable, and no state that a call changes.

    What is drawn with it is a function of that tensor, on one backend. (Backends have generators of their own.)
    """

    _initial_seed = 0  # Keras' torch backend asks whether a generator was seeded

    def __init__(self, seed: Tensor) -> None:  # not Keras' own, which makes a variable
        """Wrap a seed.

        Args:
            seed: int32 [2].
        """
        self._given = keras.ops.cast(seed, "uint32") if keras.backend.backend() == "jax" else seed

    def next(self, ordered: bool = True) -> Tensor:
        return self._given
