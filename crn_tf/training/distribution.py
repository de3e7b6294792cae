"""Training on several devices: which ones there are, who reads which pairs, who writes, and how workers agree."""

import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from crn_tf.errors import UsageError, UserError, one_line
from crn_tf.model.passes import compiler_failure
from crn_tf.training.cluster import Cluster, Watchdog, wait_for_others
from crn_tf.training.replicas import sum_over_workers

LOGICAL_CPUS = "CRN_LOGICAL_CPUS"  # environment variable: into how many devices to divide the CPU, to try things out
LOST_WITHIN = 10.0  # seconds for the watchdog to find out who is missing
# What a collective operation ends with when another worker's process is gone, or is a new one.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnavailableError,
)

# What a GPU's collectives may end with then, but also what a mistake of ours would.
_PERHAPS_LOST = (tf.errors.InternalError, tf.errors.UnknownError)


class Distribution:
    """The devices that a run trains on: one, several of this machine, or those of several workers.

    Attributes:
        strategy: TensorFlow's strategy. Networks and trainer are to be made in its scope.
        cluster: The workers, or None if this process is the only one.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, cluster: Cluster | None = None):
        """Wrap a strategy; one device if None."""
        self.strategy = strategy or tf.distribute.get_strategy()
        self.cluster = cluster
        self._watchdog: Watchdog | None = None  # while `watching`

    @classmethod
    def start(cls, name: str, cluster: Cluster | None, batch: int) -> "Distribution":
        """Find the devices, and wait until all workers are there. To be called before TensorFlow computes anything.

        Args:
            name: "single", "mirrored", "multi-worker", or "auto" for what there is.
            cluster: From `find_cluster`.
            batch: The global batch. "auto" uses as many of this machine's devices as can share it, and says so.

        Raises:
            UserError: There is only one device, or the cluster cannot be joined.
            ValueError: Several workers are asked for, and there is no cluster.
        """
        name, devices = choose_devices(name, cluster, batch)
        if name == "multi-worker":
            if cluster is None:
                raise ValueError("several workers need a cluster: see find_cluster")
            return cls(_join(cluster), cluster)
        return cls(tf.distribute.MirroredStrategy(devices)) if name == "mirrored" else cls()

    @property
    def replicas(self) -> int:
        """Devices that share a batch, of all workers together."""
        return self.strategy.num_replicas_in_sync

    @property
    def shard(self) -> tuple[int, int]:
        """Which part of each batch this worker reads: its index, and how many there are."""
        return (self.cluster.index, len(self.cluster.addresses)) if self.cluster else (0, 1)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder, validates and tells."""
        return self.shard[0] == 0

    def check_batch(self, batch: int) -> None:
        """Check that a global batch can be shared equally.

        Raises:
            UsageError: The batch is no multiple of the devices.
        """
        check_shared(batch, self.replicas)

    def sums(self, *values: float) -> list[float]:
        """Each value's sum over all workers. All have to ask at the same time; the answer is the same."""
        if self.shard[1] == 1:
            return list(values)
        return list(map(float, self._sum(tf.constant(values, "float64"))))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set at any worker. All have to ask at the same time; the answer is the same."""
        return self.sums(float(flag))[0] > 0

    def check_agreement(self, values: Mapping[str, str]) -> None:
        """Check that all workers were started alike, or they would wait for each other for ever. All have to ask at the
        same time.

        Args:
            values: By name, the same names for all.

        Raises:
            UsageError: Some values differ from the chief's.
        """
        index, count = self.shard
        if count == 1:
            return
        checksums = np.zeros((count, len(values)))
        checksums[index] = [zlib.crc32(value.encode()) for value in values.values()]
        checksums = self._sum(tf.constant(checksums.ravel())).numpy().reshape(checksums.shape)
        for worker, differ in enumerate(checksums != checksums[0]):
            if differ.any():
                names = [name for name, differs in zip(values, differ, strict=True) if differs]
                raise UsageError(
                    f"worker {worker} was started with another {', '.join(names)} than worker 0: start all with the "
                    "same arguments and data"
                )

    def follow_chief(self, variables: Iterable[keras.Variable], step: int) -> int:
        """Give every worker the chief's variables and step. All have to call it at the same time.

        Returns:
            The chief's step.
        """
        if self.shard[1] == 1:
            return step
        for variable in variables:
            exact = "float64" if "int" in variable.dtype else variable.dtype  # collectives take no integers everywhere
            value = tf.reshape(tf.cast(tf.convert_to_tensor(variable.value), exact), [-1])
            value = self._sum(value if self.chief else tf.zeros_like(value))
            variable.assign(tf.cast(tf.reshape(value, variable.shape), variable.dtype))
        return int(self._sum(tf.constant([step if self.chief else 0], "float64"))[0])

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the other workers while the block runs, and wait for them at its end.

        If one dies, this process ends with the exit code `RESTART`, whatever it is doing.
        """
        if self.cluster is None or self.shard[1] == 1:
            yield
            return
        self._watchdog = watchdog = Watchdog(self.cluster)
        try:
            self.any(False)  # all are there
            watchdog.start()
            yield
            self.any(False)  # nobody goes while another still needs something
        except (*_LOST, *_PERHAPS_LOST) as error:
            if not watchdog.is_alive():
                watchdog.start()
            watchdog.hurry()  # it finds out who is missing
            watchdog.join(LOST_WITHIN)
            if not isinstance(error, _LOST):  # all answer
                raise
            watchdog.leave(f"another worker stopped answering ({one_line(error)})")
        finally:
            watchdog.stop()

    @contextmanager
    def needing_nobody(self) -> Iterator[None]:
        """In the block, other workers may die: what this one does, such as a last save, comes to its end."""
        if self._watchdog is None:
            yield
            return
        self._watchdog.pause(True)
        try:
            yield
        finally:
            self._watchdog.pause(False)

    def merged(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where a flag is set at any worker. All have to ask at the same time; the answer is the same."""
        if self.shard[1] == 1:
            return flags
        return np.asarray(self._sum(tf.constant(flags, "float32"))) > 0

    def _sum(self, vector: tf.Tensor) -> tf.Tensor:
        """Sum of a vector over workers."""
        return sum_over_workers(self.strategy, vector)


def choose_devices(name: str, cluster: Cluster | None, batch: int) -> tuple[str, list[str]]:
    """The strategy that "auto" stands for here, and this machine's devices that take part.

    Args:
        name: "single", "mirrored", "multi-worker" or "auto".
        cluster: From `find_cluster`.
        batch: The global batch.

    Raises:
        UserError: Several devices are asked for, and there is one.
    """
    devices = _find_devices()
    if name == "auto":
        several = cluster is not None and len(cluster.addresses) > 1
        if not several:
            devices = _those_that_can_share(batch, devices)
        name = "multi-worker" if several else "mirrored" if len(devices) > 1 else "single"
    if name == "mirrored" and len(devices) < 2:
        raise UserError(
            f"--strategy mirrored needs several GPUs, here is one device; to try it on a CPU divided in two, set "
            f"{LOGICAL_CPUS}=2"
        )
    return name, devices[:1] if name == "single" else devices


def check_shared(batch: int, replicas: int) -> None:
    """Check that a global batch can be shared equally.

    Raises:
        UsageError: The batch is no multiple of the devices.
    """
    if batch % replicas:
        raise UsageError(
            f"--batch {batch} cannot be shared equally by {replicas} devices: try --batch "
            f"{_next_shareable(batch, replicas)} (it is the batch of all together)"
        )


def check_compiled(replicas: int, in_cluster: bool) -> None:
    """Check that XLA can compile a whole step here (`--jit on`).

    Args:
        replicas: Devices that share it, of all workers together.
        in_cluster: Whether they are a cluster's, be it of one worker.

    Raises:
        UsageError: Several devices share the step, or a cluster's one.
        UserError: XLA cannot compile.
    """
    if replicas > 1 or in_cluster:
        raise UsageError(
            f"--jit on compiles steps of one device alone, here a strategy shares them among {replicas}: add "
            "--strategy single, or leave it out"
        )
    failure = compiler_failure()
    if failure:
        raise UserError(f"--jit on needs XLA's compiler, which fails here ({failure}): leave it out")


def _join(cluster: Cluster) -> tf.distribute.Strategy:
    """Wait until all workers of a cluster are there, and make their strategy.

    Raises:
        UserError: The cluster cannot be joined.
    """
    if len(cluster.addresses) > 1:
        names = ", ".join(cluster.others.values())
        print(f"worker {cluster.index} of {len(cluster.addresses)}; waiting for {names}", file=sys.stderr)
    wait_for_others(cluster)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=_communication())
    except tf.errors.OpError as error:
        address = cluster.addresses[cluster.index]
        raise UserError(f"worker {cluster.index} cannot join at {address}: {one_line(error)}") from error


def _communication() -> tf.distribute.experimental.CommunicationOptions:
    """How workers exchange gradients. Left to itself, TensorFlow takes its own ring for GPUs too, not NCCL."""
    kinds = tf.distribute.experimental.CommunicationImplementation
    gpus = tf.config.list_physical_devices("GPU")
    return tf.distribute.experimental.CommunicationOptions(implementation=kinds.NCCL if gpus else kinds.AUTO)


def _those_that_can_share(batch: int, devices: list[str]) -> list[str]:
    """As many devices as can share a batch equally, the first ones; a line says if that leaves any out."""
    count = max(number for number in range(1, len(devices) + 1) if batch % number == 0)
    if count < len(devices):
        print(
            f"using {count} of {len(devices)} devices, since --batch {batch} cannot be shared equally by all: "
            f"--batch {_next_shareable(batch, len(devices))} can"
        )
    return devices[:count]


def _next_shareable(batch: int, devices: int) -> int:
    """The smallest batch, not below one, that devices can share equally."""
    return -(-batch // devices) * devices


def _find_devices() -> list[str]:
    """The devices of this machine that can share a batch: its GPUs, or the parts of a CPU that is to be divided."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return [f"GPU:{number}" for number in range(len(gpus))]
    parts = os.environ.get(LOGICAL_CPUS, "1")
    if not parts.isdecimal() or not 1 <= int(parts) <= 64:
        raise UserError(f"{LOGICAL_CPUS} is {parts!r}, expected a number of devices, such as 2")
    if int(parts) > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(parts))
    return [f"CPU:{number}" for number in range(int(parts))]
