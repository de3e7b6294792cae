"""Memory: what a training step has used, what it will need, and what there is."""

import math
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import keras
import psutil
import tensorflow as tf

# Measured on CPU (benchmarks/train_step.py --remat off): what TensorFlow needs before anything is computed, and how
# many tensors of the largest kind are alive in one operation and its neighbours.
TENSORFLOW_BYTES = 7e8
TEMPORARY_TENSORS = 5
SHARE = 0.8  # of the available memory, which others use too


def peak_memory_gb() -> float:
    """The most memory used so far, in 10**9 bytes: the first GPU's if there is one, else the process'."""
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9
    with suppress(OSError):  # Linux' own count; of the other one a process inherits its parent's
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def available_gb() -> float:
    """Memory that there is for training, in 10**9 bytes: the first GPU's, else what the system can give and what this
    process has already.
    """
    from tensorflow.python.client import device_lib  # the only place that tells a GPU's size

    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    if limits:
        return limits[0] / 1e9
    left = min(psutil.virtual_memory().available, _left_to_container())
    return (left + psutil.Process().memory_info().rss) / 1e9


def _left_to_container(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that a container, or a scheduler's job, may still use of the system's memory: Linux' control groups.

    Args:
        groups: Where the kernel says which groups this process is in.
        mount: Where it keeps the groups' limits, each group inside the one that it is part of.

    Returns:
        The least that any of them leaves; infinity where nothing is limited.
    """
    left = math.inf
    with suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":  # version 2
                root, limit, used = mount, "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root, limit, used = mount / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            path = root / group.lstrip("/")
            for folder in [path, *path.parents][: len(path.parts) - len(root.parts) + 1]:
                with suppress(OSError, ValueError):  # no such file; "max"
                    left = min(left, int((folder / limit).read_text()) - _working_set(folder, used))
    return left


def _working_set(group: Path, used: str) -> int:
    """Bytes that a group of processes uses, without files it has read, which the kernel forgets when it has to."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int((group / used).read_text()) - int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def training_memory_gb(generator: keras.Model, perceiver: keras.Model, batch: int) -> float:
    """An estimate of a training step's peak without recomputation, in 10**9 bytes. Within a fifth of what was measured.

    Args:
        generator: From `build_generator`.
        perceiver: From `build_perceiver`.
        batch: Pairs computed at once on a device.
    """
    _, images, height, width, _ = generator.output_shape
    features = [_elements(layer) for layer in generator.layers if layer.name.startswith("module_")]
    activations = []
    for layer in perceiver.layers:
        if layer.name.startswith("block"):
            block = int(layer.name[5])
            activations.append(images * height * width * layer.output.shape[-1] // 4 ** (block - 1))
    of_element = 4 if keras.config.dtype_policy().compute_dtype == "float32" else 2
    kept = sum(features) + sum(activations) + TEMPORARY_TENSORS * max(features + activations)
    of_weight = 16 + (0 if of_element == 4 else of_element)  # itself, its gradient, two moments; a copy to compute with
    return (TENSORFLOW_BYTES + of_weight * generator.count_params() + batch * of_element * kept) / 1e9


def choose_recomputation(
    remat: Literal["auto", "on", "off"], generator: keras.Model, perceiver: keras.Model, batch: int
) -> tuple[bool, str]:
    """Whether to recompute, and a line that says why. Arguments as `training_memory_gb`."""
    if remat != "auto":
        return remat == "on", f"recomputation {remat}"
    needed, available = training_memory_gb(generator, perceiver, batch), available_gb()
    recompute = needed > SHARE * available
    why = f"about {needed:.1f} GB are needed without it, {available:.1f} GB are available"
    return recompute, f"recomputation {'on' if recompute else 'off'}: {why}"


def _elements(layer: keras.Layer) -> int:
    return math.prod(layer.output.shape[1:])
