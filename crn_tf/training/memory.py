"""Memory: what a process has used, and what there is."""

import math
import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import tensorflow as tf

from crn_tf.devices import NvidiaSmiError, query_nvidia_smi
from crn_tf.errors import one_line

_DIVIDED = "it is divided into instances (MIG)"


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
    try:
        rows = query_nvidia_smi("index", "uuid", "mig.mode.current", "memory.total")
    except NvidiaSmiError as error:
        raise UnknownMemoryError(str(error)) from error
    try:
        # In units of 2**20 bytes; where memory is the system's too, in words that there is no such number.
        return [_Gpu(index, uuid, mode == "Enabled", int(size) * 2**20) for index, uuid, mode, size in rows]
    except ValueError as error:
        told = "; ".join(", ".join(row) for row in rows)
        raise UnknownMemoryError(f"nvidia-smi does not tell it: {one_line(told)}") from error


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
