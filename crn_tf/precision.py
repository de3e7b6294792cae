"""The precisions that convolutions can be computed in. Weights, normalization statistics, projection and losses are
float32 in all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras

Precision = Literal["float32", "bfloat16", "float16"]
PRECISION_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # Keras' names


# What processors with arithmetic in a precision say of themselves: x86, ARM.
_FEATURES = {"bfloat16": {"avx512_bf16", "amx_bf16", "bf16"}, "float16": {"avx512_fp16", "amx_fp16", "fphp"}}


def processor_features(processor: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What a processor says that it can do, in its own words; nothing where the system does not tell."""
    try:
        lines = processor.read_text().lower().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith(("flags", "features")) for word in line.split()}


def computes_in(precision: Precision, features: set[str]) -> bool:
    """Whether a processor with these features has arithmetic in a precision of its own."""
    return bool(features & _FEATURES.get(precision, set()))


def slowness_on_cpu(precision: Precision, processor: Path = Path("/proc/cpuinfo")) -> str | None:
    """A line that warns of a precision that the CPU has no arithmetic for; None if it has, or that is not known."""
    features = processor_features(processor)
    if precision not in _FEATURES or not features or computes_in(precision, features):
        return None
    return (
        f"warning: this CPU imitates arithmetic in {precision}, as it lacks "
        f"{' or '.join(sorted(_FEATURES[precision]))}: --precision float32 will be faster"
    )


def layer_policy() -> "keras.DTypePolicy":
    """What layers that are built now compute in: Keras' policy, if it keeps weights in float32.

    One that does not comes from `floatx` in a user's keras.json, which is about other models, and is not followed.
    """
    import keras

    policy = keras.config.dtype_policy()
    return policy if policy.variable_dtype == "float32" else keras.DTypePolicy("float32")


@contextmanager
def own_defaults() -> Iterator[None]:
    """What is built in the block, or in a function that this decorates, is as if there were no keras.json: channels
    last, weights in float32. The policy of a program that has set one is followed, as `layer_policy` does.
    """
    import keras

    policy, floatx, order = keras.config.dtype_policy(), keras.config.floatx(), keras.config.image_data_format()
    keras.config.set_dtype_policy(layer_policy())
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(order)
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


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
