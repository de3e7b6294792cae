"""Training runs that benchmarks start: train.py in a process of its own, and what it logged."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def train(arguments: Sequence[str]) -> int:
    """Run train.py to its end. Ctrl-C and SIGTERM are passed on, so that it saves before it stops.

    Args:
        arguments: Of its command line.

    Returns:
        Its exit code.
    """
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    # In a session of its own: a terminal's Ctrl-C would reach it twice, and the second one ends it at once.
    with subprocess.Popen(command, start_new_session=True) as process:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda sent, _: process.send_signal(sent)) for number in numbers}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def logged(run: Path, name: str) -> list[float]:
    """The values of a scalar that a run wrote to TensorBoard, such as train/loss, in their order."""
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(run / "logs"), size_guidance={TENSORS: 0})
    events.Reload()
    return [float(make_ndarray(event.tensor_proto)) for event in events.Tensors(name)]
