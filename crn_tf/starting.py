"""What commands keep libraries from printing, in their whole process; a program that imports crn_tf decides for itself.

TensorFlow starts without its announcements, but with a warning of what will be slow; Pillow does not comment on files.
"""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from crn_tf.errors import UsageError
from crn_tf.precision import Precision, slowness_on_cpu

# What TensorFlow logs as errors, though it only says which processor or driver there is not.
OF_THE_MACHINE = re.compile(rb"^E\d{4} .*(cuInit|oneDNN supports \w+ only on)")


def start_tensorflow(one_at_a_time: bool = False) -> None:
    """Import TensorFlow and look for GPUs, keeping back what its libraries print meanwhile. Of a GPU's memory it will
    take only what it needs.

    On a machine without a GPU that is a page about missing CUDA drivers, before its log levels are in force.
    If the import fails, what was kept back is shown. A user's keras.json is not read: it is about other models.

    Args:
        one_at_a_time: On a machine without a GPU, run one operation at a time, on all cores. Convolutions that share
            the cores are slower than one after the other, and need their memory at once.

    Raises:
        UsageError: Keras is to compute with another backend.
    """
    _require_tensorflow()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors still come through
    with kept_back():
        with _without_keras_json():
            import keras
            import tensorflow as tf

        keras.config.set_image_data_format("channels_last")  # it may have been imported before, with another
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        gpus = tf.config.list_physical_devices("GPU")
        with suppress(RuntimeError):  # TensorFlow computes already, in this process' own way
            for gpu in gpus:  # what is not needed stays free for others, and what is needed can be measured
                tf.config.experimental.set_memory_growth(gpu, True)
            if one_at_a_time and not gpus:
                tf.config.threading.set_inter_op_parallelism_threads(1)


@contextmanager
def kept_back(noise: re.Pattern[bytes] | None = None) -> Iterator[None]:
    """Keep back what this process, libraries in C++ included, writes to standard error.

    Args:
        noise: What is in lines that nobody needs; all others are shown in the end. Without it, all lines are shown if
            there is an exception, and none otherwise.
    """
    _flush()
    try:
        kept = os.dup(2)
    except OSError:  # it was closed: there is nothing to keep back
        kept = os.open(os.devnull, os.O_WRONLY)
    with tempfile.TemporaryFile() as announcements:
        os.dup2(announcements.fileno(), 2)
        show = True
        try:
            yield
            show = noise is not None
        finally:
            _flush()
            os.dup2(kept, 2)
            os.close(kept)
            announcements.seek(0)
            lines = [line for line in announcements if show and not (noise and noise.search(line))]
            with suppress(OSError):  # nobody reads it
                os.write(2, b"".join(lines))


def _flush() -> None:
    with suppress(AttributeError, OSError):  # there is no standard error, or nobody reads it
        sys.stderr.flush()


def _require_tensorflow() -> None:
    """Look which backend Keras has, or will have.

    Raises:
        UsageError: It is not TensorFlow.
    """
    started = sys.modules.get("keras")
    backend = started.config.backend() if started else os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise UsageError(
            f"KERAS_BACKEND is {backend!r}, but the commands need TensorFlow: leave it out, or KERAS_BACKEND=tensorflow"
        )


@contextmanager
def _without_keras_json() -> Iterator[None]:
    """Keras, if it is imported in the block, has its own defaults.

    Its file can name a backend, a type of numbers, an order of axes and an epsilon, or values that it refuses itself.
    """
    before = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = os.devnull  # nothing can be in it, nor be written there
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_HOME"]
        else:
            os.environ["KERAS_HOME"] = before


def warn_of_slowness(precision: Precision) -> None:
    """Warn if the networks will run on a CPU that has to imitate a precision. TensorFlow has been started."""
    import tensorflow as tf

    warning = slowness_on_cpu(precision)
    if warning and not tf.config.list_physical_devices("GPU"):
        print(warning, file=sys.stderr)


def silence_pillow() -> None:
    """Keep Pillow from printing warnings of damaged EXIF and the like, which name no file: what matters of them becomes
    a line of ours.

    For the whole process, because there is no other way that is safe while several threads decode pictures.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors, which it raises too, are printed
