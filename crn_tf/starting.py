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

from crn_tf.precision import Precision, slowness_on_cpu

# What TensorFlow logs as errors, though it only says which processor or driver there is not.
OF_THE_MACHINE = re.compile(rb"^E\d{4} .*(cuInit|oneDNN supports \w+ only on)")


def start_tensorflow(one_at_a_time: bool = False) -> None:
    """Import TensorFlow and look for GPUs, keeping back what its libraries print meanwhile. Of a GPU's memory it will
    take only what it needs.

    On a machine without a GPU that is a page about missing CUDA drivers, before its log levels are in force.
    If the import fails, what was kept back is shown.

    Args:
        one_at_a_time: On a machine without a GPU, run one operation at a time, on all cores. Convolutions that share
            the cores are slower than one after the other, and need their memory at once.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors still come through
    with kept_back():
        import tensorflow as tf

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
