"""What computes: GPUs or the CPU, in words; and why a GPU that is there is not used, with the command that mends it.

Nothing here imports TensorFlow before it is asked for what TensorFlow finds.
"""

import ctypes
import importlib.metadata
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crn_tf.errors import UserError, one_line
from crn_tf.precision import Precision, computes_in, processor_features

_NVIDIA_SMI_SECONDS = 60  # it may take some where drivers sleep when nobody uses them
_DEVICE_FILE = Path("/dev/nvidia0")
# The oldest drivers that run programs of a CUDA version: NVIDIA's "minor version compatibility".
_DRIVERS = {"11": 450, "12": 525, "13": 580}
_GPU_REQUIREMENTS = Path(__file__).parents[1] / "requirements-gpu.txt"
_HOW_TO_LOOK = (
    "TF_CPP_MIN_LOG_LEVEL=0 python -c 'import tensorflow as tf; tf.config.list_physical_devices(\"GPU\")' tells more"
)


class NvidiaSmiError(Exception):
    """nvidia-smi does not answer. The message is a part of a sentence that says why."""


def query_nvidia_smi(*fields: str) -> list[list[str]]:
    """What NVIDIA's own program tells of each GPU of this machine, used or not.

    Args:
        fields: As `nvidia-smi --help-query-gpu` lists them.

    Returns:
        A row for each GPU, of as many texts as it answers.

    Raises:
        NvidiaSmiError: It is not installed, or fails.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True).stdout
    except FileNotFoundError as error:
        raise NvidiaSmiError("there is no nvidia-smi to ask") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise NvidiaSmiError(f"nvidia-smi fails: {one_line(error)}") from error
    return [[field.strip() for field in line.split(",")] for line in answer.splitlines() if line.strip()]


def describe_devices(precision: Precision | None, count: int | None = None, workers: int = 1) -> str:
    """What computes here, in words: "1 x NVIDIA H100 80GB HBM3 (CUDA 12.9), bfloat16". Starts TensorFlow.

    Args:
        precision: Of the convolutions; None to leave it out.
        count: How many of the GPUs are used, the first ones; None for all.
        workers: Processes like this one that compute together.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")[:count]
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        names = Counter(found.get("device_name", "GPU") for found in details)
        told = ", ".join(f"{number} x {name}" for name, number in names.items())
        version = _cuda_version(tf.sysconfig.get_build_info())
        told += f" (CUDA {version})" if version else ""
    else:
        told = _describe_cpu()
    told = f"{workers} workers with {told} each" if workers > 1 else told
    return f"{told}, {precision}" if precision else told


def check_gpus(required: bool) -> None:
    """Warn where TensorFlow does not use a GPU that is there. To be called when TensorFlow has been started.

    Args:
        required: Whether to stop instead, also where there is none.

    Raises:
        UserError: A GPU is required, and none can be used.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return
    why = why_unused()
    if required:
        here = why or f"there is no NVIDIA GPU here (no nvidia-smi that lists one, no {_DEVICE_FILE})"
        raise UserError(f"--require-gpu: {here}")
    if why:
        print(f"warning: {why}", file=sys.stderr)


def why_unused() -> str | None:
    """Why TensorFlow uses no GPU though one is there, and what mends it, in one line; None if there is none."""
    import tensorflow as tf

    card, driver = _find_card()
    if card is None:
        return None
    build = tf.sysconfig.get_build_info()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    install = (
        f"pip install -r {_GPU_REQUIREMENTS.name}"
        if _GPU_REQUIREMENTS.exists()
        else f"pip install 'tensorflow[and-cuda]=={tf.__version__}'"
    )
    cuda = str(build.get("cuda_version", "")).partition(".")[0]
    if hidden is not None and not _names_a_gpu(hidden):
        why = f"CUDA_VISIBLE_DEVICES={hidden!r} hides it: unset CUDA_VISIBLE_DEVICES, or set it to 0"
    elif not tf.test.is_built_with_cuda():
        why = f"this TensorFlow was built without CUDA: {install}"
    elif not _has_cuda_libraries(build):
        why = f"CUDA's libraries are not installed: {install}"
    elif driver is not None and driver < _DRIVERS.get(cuda, 0):
        why = f"its driver, {driver}, is too old for CUDA {cuda}: install NVIDIA's driver {_DRIVERS[cuda]} or newer"
    elif not _loads("libcuda.so.1"):
        why = (
            "the driver's library libcuda.so.1 is not here: install NVIDIA's driver, or, in a container, start it with "
            "docker run --gpus all"
        )
    else:
        why = f"TensorFlow does not say why: {_HOW_TO_LOOK}"
    return f"{card} is here, but TensorFlow computes on the CPU: {why}"


@contextmanager
def explaining_exhaustion(advice: str) -> Iterator[None]:
    """Where the memory of a GPU or of the computer runs out in the block, that becomes one line.

    Args:
        advice: What the user may do, and what is not lost, as the end of a sentence.

    Raises:
        UserError: Memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not _is_exhaustion(error):
            raise
        import tensorflow as tf

        where = "the GPU's memory" if tf.config.list_physical_devices("GPU") else "memory"
        raise UserError(f"{where} ran out ({one_line(error, 120)}): {advice}") from error


def _is_exhaustion(error: Exception) -> bool:
    """Whether an error says that memory ran out. TensorFlow says of a full disk that resources are exhausted, too."""
    if isinstance(error, UserError):  # told already, perhaps before TensorFlow was imported, which takes seconds
        return False
    import tensorflow as tf

    text = str(error).lower()
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return "no space left" not in text
    of_cuda = isinstance(error, tf.errors.OpError) and any(s in text for s in ("out_of_memory", "out of memory"))
    return isinstance(error, MemoryError) or of_cuda


def _find_card() -> tuple[str | None, int | None]:
    """The name of a GPU of this machine, and its driver's main version; None each if there is none, or not known."""
    with suppress(NvidiaSmiError):
        first = next(iter(query_nvidia_smi("driver_version", "name")), None)
        if first:  # of an older or another nvidia-smi, perhaps something else than was asked for
            driver, name = first if len(first) == 2 else ("", "an NVIDIA GPU (nvidia-smi lists one)")
            main = driver.partition(".")[0]
            return name, int(main) if main.isdecimal() else None
    return f"an NVIDIA GPU ({_DEVICE_FILE})" if _DEVICE_FILE.exists() else None, None


def _names_a_gpu(visible: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES shows any: CUDA stops at the first name that is none."""
    first = visible.partition(",")[0].strip()
    return first.isdecimal() or first.startswith(("GPU-", "MIG-"))


def _has_cuda_libraries(build: dict[str, Any]) -> bool:
    """Whether cuDNN, the one that is missing most often, was installed with pip or otherwise."""
    cuda, cudnn = (str(build.get(name, "")).partition(".")[0] for name in ("cuda_version", "cudnn_version"))
    with suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version(f"nvidia-cudnn-cu{cuda}")
        return True
    return _loads(f"libcudnn.so.{cudnn}")


def _loads(library: str) -> bool:
    """Whether the system finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _cuda_version(build: dict[str, Any]) -> str | None:
    """The version of CUDA, such as 12.9: of its package if it came with pip, else the one TensorFlow was built for."""
    version = str(build.get("cuda_version", ""))
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(f"nvidia-cuda-runtime-cu{version.partition('.')[0]}")
    return ".".join(version.split(".")[:2]) or None


def _describe_cpu() -> str:
    """The CPU's cores that this process may use, and what they compute with: "2 CPU cores (AVX-512, bfloat16)"."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    features = processor_features()
    vectors = {"AVX-512": "avx512f", "AVX2": "avx2", "NEON": "asimd"}
    has = [name for name, feature in vectors.items() if feature in features][:1]
    halves: tuple[Precision, ...] = ("bfloat16", "float16")
    has += [precision for precision in halves if computes_in(precision, features)]
    return f"{cores} CPU core{'' if cores == 1 else 's'}" + (f" ({', '.join(has)})" if has else "")
