"""What share of a step would be the exchange of gradients, on several devices? On paper: nothing is measured.

python benchmarks/scaling.py
python benchmarks/scaling.py --devices 16 --gpu-tflops 200 --batch-per-device 4
"""

import gc
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import training_tflop
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.errors import UsageError, run_command
from crn_tf.starting import start_tensorflow
from crn_tf.training.flags import TrainFlags

# Bytes a second, in each direction, between a device and the next one in the ring.
LINKS = {"NVLink, 450 GB/s": 450e9, "Ethernet, 100 Gbit/s": 100e9 / 8, "Ethernet, 10 Gbit/s": 10e9 / 8}


@dataclass(frozen=True)
class ScalingArithmetic:
    """Compute bytes all-reduced in a step, and the share of the step that this takes."""

    devices: int = 8
    """Devices that share a batch, in one ring."""
    batch_per_device: int = 1
    """Pairs in a step on each device."""
    gpu_tflops: float = 400.0
    """TFLOP/s that a device is assumed to sustain in training; benchmarks/input.py assumes the same."""
    link_share: float = 0.8
    """Share of a link's nominal rate that is assumed to be reached."""


def ring_bytes(gradient_bytes: int, devices: int) -> float:
    """Bytes that each device sends, and receives, in a ring all-reduce.

    The gradients are cut into as many parts as there are devices. Each device passes on one part at a time: devices - 1
    times until every part is summed up somewhere, and as often again until everyone has every sum.
    """
    return 2 * (devices - 1) / devices * gradient_bytes


def exchange_share(compute_seconds: float, exchange_seconds: float) -> float:
    """Share of a step that is exchange, if none of it happens while gradients are still computed: at most this."""
    return exchange_seconds / (compute_seconds + exchange_seconds)


def main() -> None:
    """Print the arithmetic for the release's three resolutions."""
    options = tyro.cli(ScalingArithmetic)
    for name in ("devices", "batch_per_device", "gpu_tflops", "link_share"):
        if not getattr(options, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be greater than 0, not {getattr(options, name)}")
    start_tensorflow()
    from crn_tf import build_generator, build_perceiver

    perceiver = build_perceiver("random")
    batch = options.batch_per_device
    print(
        f"{options.devices} devices, {batch} pair(s) each, {options.gpu_tflops:g} TFLOP/s assumed; links at "
        f"{options.link_share:.0%} of their nominal rate"
    )
    for height in (256, 512, 1024):
        settings = TrainFlags.of(res=height, dataset="toy", vgg_weights="random").resolved()
        generator = build_generator(height, CITYSCAPES.num_classes, settings.images)
        gradient_bytes = 4 * generator.count_params()  # float32
        tflop = batch * training_tflop(generator, perceiver)
        compute = tflop / options.gpu_tflops
        sent = ring_bytes(gradient_bytes, options.devices)
        print(
            f"\n{height}p, {settings.images} image(s): {generator.count_params():,} parameters, "
            f"{gradient_bytes:,} bytes of gradients, {sent / 1e6:,.0f} MB sent by each device\n"
            f"  compute {tflop:.1f} model TFLOP: {1000 * compute:.1f} ms"
        )
        for link, rate in LINKS.items():
            exchange = sent / (options.link_share * rate)
            share = exchange_share(compute, exchange)
            enough = 9 * exchange / compute * batch  # then a tenth
            print(
                f"  {link:21} exchange {1000 * exchange:7.1f} ms, {share:5.1%} of the step, speedup "
                f"{options.devices * (1 - share):4.1f}; a tenth from {max(1, -(-enough // 1)):.0f} pairs a device"
            )
        del generator
        gc.collect()


if __name__ == "__main__":
    run_command(main)
