"""How many parameters has each network? Builds the CRN and the other methods' networks, and counts.

python benchmarks/parameters.py --size 256x512 --classes 20
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from crn_tf.data.images import Size
from crn_tf.errors import UsageError, run_command
from crn_tf.model.cascade import coarsest_grid, parse_pair
from crn_tf.model.other_networks.by_name import OTHER_NETWORKS, build_network
from crn_tf.starting import start_tensorflow


@dataclass(frozen=True)
class ParametersBenchmark:
    """Count each network's parameters."""

    size: str = "256x512"
    """Height and width; a size that the CRN can have."""
    classes: int = 20
    """Channels of the layout, void included."""
    width: float = 1.0
    """Multiplies the channels of every layer."""


def main() -> None:
    """Build, count, print."""
    options = tyro.cli(ParametersBenchmark)
    size = parse_pair(options.size, "--size")
    coarsest_grid(*size)
    if options.classes < 1 or options.width <= 0:
        raise UsageError(f"--classes and --width must be positive, not {options.classes} and {options.width}")
    start_tensorflow()
    print(f"{'':24}{'parameters':>13}")
    for name in ("crn", *OTHER_NETWORKS, "pix2pix discriminator"):
        print(f"{name:24}{count(name, size, options.classes, options.width):>13,}", flush=True)


def count(name: str, size: Size, classes: int, width: float) -> int:
    from crn_tf import build_generator
    from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator

    if name == "crn":
        return build_generator(size[0], classes, width=width, base_grid=coarsest_grid(*size)).count_params()
    if name == "pix2pix discriminator":
        return build_pix2pix_discriminator(size, classes, width).count_params()
    return build_network(name, size, classes, width=width).count_params()


if __name__ == "__main__":
    run_command(main)
