"""Memory: what a training step has used, what it will need, and what there is."""

import math
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import psutil
import tensorflow as tf

from crn_tf.errors import UserError, one_line
from crn_tf.model.cascade import module_channels
from crn_tf.model.description import ModelDescription
from crn_tf.precision import Precision

# Measured on CPU (benchmarks/train_step.py --remat off): what TensorFlow needs before anything is computed, and how
# many tensors of the largest kind are alive in one operation and its neighbours.
TENSORFLOW_BYTES = 7e8
TEMPORARY_TENSORS = 5
SYNTHESIS_TENSORS = 9  # alive at once (benchmarks/synthesis.py)
SHARE = 0.8  # of the available memory, which others use too
_DIVIDED = "it is divided into instances (MIG)"
_NVIDIA_SMI_SECONDS = 60  # it may take some where drivers sleep when nobody uses them


class UnknownMemoryError(Exception):
    """How much memory a GPU has cannot be known. The message is a part of a sentence that says why."""


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
    """Memory that there is for training, in 10**9 bytes: all of the first GPU's, else what the system can give and what
    this process has already.

    Raises:
        UnknownMemoryError: There is a GPU, but nothing tells how much memory it has.
    """
    if tf.config.list_physical_devices("GPU"):
        return _first_gpu_bytes(os.environ) / 1e9
    left = min(psutil.virtual_memory().available, left_to_container())
    return (left + psutil.Process().memory_info().rss) / 1e9


def available_in_words() -> str:
    """What `available_gb` tells, or why that is not known, as a part of a sentence."""
    try:
        return f"{available_gb():.1f} GB are available"
    except UnknownMemoryError as error:
        return f"what the GPU has is not known: {error}"


@dataclass(frozen=True)
class _Gpu:
    """What nvidia-smi tells of a GPU."""

    index: str  # in the order of the bus
    uuid: str
    divided: bool  # into instances that have only a part of its memory (MIG)
    bytes: float


def _first_gpu_bytes(environment: Mapping[str, str]) -> float:
    """The memory of the GPU that CUDA, and so TensorFlow, calls the first.

    Raises:
        UnknownMemoryError: nvidia-smi does not tell which one that is, or how much it has.
    """
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if first.startswith("MIG-"):
        raise UnknownMemoryError(_DIVIDED)
    gpus = _query_gpus()
    if not first.isdecimal():
        possible = [gpu for gpu in gpus if first.startswith("GPU-") and gpu.uuid.startswith(first)]
    elif environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        possible = [gpu for gpu in gpus if gpu.index == str(int(first))]
    else:  # CUDA counts them from the fastest, nvidia-smi by their places on the bus
        possible = gpus if int(first) < len(gpus) else []
    if not possible:
        raise UnknownMemoryError(f"nvidia-smi knows no GPU {first!r}, which CUDA_VISIBLE_DEVICES names")
    if any(gpu.divided for gpu in possible):
        raise UnknownMemoryError(_DIVIDED)
    if len({gpu.bytes for gpu in possible}) > 1:
        raise UnknownMemoryError("there are different ones; CUDA_DEVICE_ORDER=PCI_BUS_ID would tell which is the first")
    return possible[0].bytes


def _query_gpus() -> list[_Gpu]:
    """The machine's GPUs.

    Raises:
        UnknownMemoryError: nvidia-smi is not installed, fails, or does not know.
    """
    command = ["nvidia-smi", "--query-gpu=index,uuid,mig.mode.current,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True).stdout
    except FileNotFoundError as error:
        raise UnknownMemoryError("there is no nvidia-smi to ask") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise UnknownMemoryError(f"nvidia-smi fails: {one_line(error)}") from error
    try:
        rows = [[field.strip() for field in line.split(",")] for line in answer.splitlines() if line.strip()]
        # In units of 2**20 bytes; where memory is the system's too, in words that there is no such number.
        return [_Gpu(index, uuid, mode == "Enabled", int(size) * 2**20) for index, uuid, mode, size in rows]
    except ValueError as error:
        raise UnknownMemoryError(f"nvidia-smi does not tell it: {one_line(answer)}") from error


def left_to_container(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
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


def training_memory_gb(generator: keras.Model, perceiver: keras.Model, batch: int, precision: Precision) -> float:
    """An estimate of a training step's peak without recomputation, in 10**9 bytes. Within a fifth of what was measured.

    Args:
        generator: From `build_generator`.
        perceiver: From `build_perceiver`.
        batch: Pairs computed at once on a device.
        precision: That both compute in.
    """
    _, images, height, width, _ = generator.output_shape
    features = [_elements(layer) for layer in generator.layers if layer.name.startswith("module_")]
    activations = []
    for layer in perceiver.layers:
        if layer.name.startswith("block"):
            block = int(layer.name[5])
            activations.append(images * height * width * layer.output.shape[-1] // 4 ** (block - 1))
    of_element = 4 if precision == "float32" else 2
    kept = sum(features) + sum(activations) + TEMPORARY_TENSORS * max(features + activations)
    of_weight = 16 + (0 if of_element == 4 else of_element)  # itself, its gradient, two moments; a copy to compute with
    return (TENSORFLOW_BYTES + of_weight * generator.count_params() + batch * of_element * kept) / 1e9


def synthesis_memory_gb(description: ModelDescription, batch: int, precision: Precision) -> float:
    """An estimate of synthesis' peak, in 10**9 bytes. Nothing is built for it.

    Args:
        description: The model.
        batch: Layouts synthesized at once.
        precision: That it computes in.
    """
    height, width = description.image_size
    channels = module_channels(height, description.base_grid[0], description.width)
    of_element = 4 if precision == "float32" else 2
    largest = max(h * h * width // height * of_channels for h, of_channels in channels.items())
    one_hot = 4 * height * width * description.classes.num_classes
    copies = 2 if description.trained_size else 1  # the network as it was trained, and at its other size
    of_weight = 4 * copies + (0 if of_element == 4 else of_element)  # and a copy to compute with
    kept = SYNTHESIS_TENSORS * of_element * largest + one_hot
    return (TENSORFLOW_BYTES + of_weight * description.parameters + batch * kept) / 1e9


def check_synthesis_memory(description: ModelDescription, batch: int, precision: Precision) -> None:
    """Refuse a size or a batch for which there is far too little memory, before any is taken.

    Args:
        description: The model, at the size it is to have.
        batch: Layouts synthesized at once.
        precision: That it computes in.

    Raises:
        UserError: Even a fifth less than the estimate is more than there is.
    """
    needed = synthesis_memory_gb(description, batch, precision)
    try:
        available = available_gb()
    except UnknownMemoryError:
        return
    if SHARE * needed > available:
        height, width = description.image_size
        at_once = f"{batch} layouts at once" if batch > 1 else "one layout"
        raise UserError(
            f"synthesis of {at_once} at {height}x{width} needs about {needed:.1f} GB of memory, and {available:.1f} GB "
            f"are available: choose a smaller {'--batch' if batch > 1 else '--size'}"
        )


def choose_recomputation(
    remat: Literal["auto", "on", "off"],
    generator: keras.Model,
    perceiver: keras.Model,
    batch: int,
    precision: Precision,
) -> tuple[bool, str]:
    """Choose whether to recompute.

    Args:
        remat: What was asked for; "auto" compares what is needed with what there is, and recomputes if that is unknown.
        generator: From `build_generator`.
        perceiver: From `build_perceiver`.
        batch: Pairs computed at once on a device.
        precision: That both compute in.

    Returns:
        The choice, and a line that says why.
    """
    if remat != "auto":
        return remat == "on", f"recomputation {remat}"
    needed = training_memory_gb(generator, perceiver, batch, precision)
    why = f"about {needed:.1f} GB are needed without it"
    try:
        available = available_gb()
    except UnknownMemoryError as error:
        return (
            True,
            f"recomputation on: {why}, and what the GPU has is not known: {error} (--remat off, if it has more)",
        )
    recompute = needed > SHARE * available
    return recompute, f"recomputation {'on' if recompute else 'off'}: {why}, {available:.1f} GB are available"


def _elements(layer: keras.Layer) -> int:
    return math.prod(layer.output.shape[1:])
