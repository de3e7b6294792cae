"""The arithmetic of a cascade: its modules' heights and widths, and the image sizes it can have. No framework."""

import re

from crn_tf.errors import UsageError
from crn_tf.model.planning import PlannedConvolution, planned_projection

# Feature channels of each refinement module, coarsest first: 4x8 ... 1024x2048 in the paper's Cityscapes models.
MODULE_WIDTHS = (1024, 1024, 1024, 1024, 1024, 512, 512, 128, 32)
MAX_MODULES = len(MODULE_WIDTHS)


def module_heights(height: int, rows: int) -> list[int]:
    """Heights of the cascade's modules, coarsest first: rows, 2 rows, ..., height.

    Raises:
        ValueError: `height` is not rows * 2**n with at most nine modules.
    """
    heights = [rows * 2**i for i in range(MAX_MODULES)]
    if rows < 1 or height not in heights:
        raise ValueError(f"height {height} is not on the cascade of {rows} rows: {', '.join(map(str, heights))}")
    return heights[: heights.index(height) + 1]


def module_height(name: str) -> int:
    """The height in the name of a layer or variable: 64 for module_64_conv1 and for projection_64/bias."""
    return int(name.split("_")[1].partition("/")[0])


def module_channels(height: int, rows: int, width: float) -> dict[int, int]:
    """Feature channels of each module of a cascade, by its height, coarsest first.

    Args:
        height: Image height.
        rows: Rows of the first module's grid.
        width: Multiplies the paper's channels.

    Raises:
        ValueError: `height` is not rows * 2**n with at most nine modules.
    """
    heights = module_heights(height, rows)
    return {h: max(1, round(width * full)) for h, full in zip(heights, MODULE_WIDTHS, strict=False)}


def plan_cascade(
    height: int, base_grid: tuple[int, int], num_classes: int, num_images: int, width: float
) -> list[PlannedConvolution]:
    """The convolutions of a Cascaded Refinement Network, in their order. Arguments as `build_generator` takes them.

    Raises:
        ValueError: `height` is not on the cascade of `base_grid`.
    """
    rows, columns = base_grid
    plan, before = [], 0
    for module, channels in module_channels(height, rows, width).items():
        size = module, module // rows * columns
        plan.append(PlannedConvolution(3, before + num_classes, channels, size))
        plan.append(PlannedConvolution(3, channels, channels, size))
        before = channels
    return [*plan, planned_projection(before, num_images, (height, height // rows * columns))]


def parse_pair(text: str, option: str) -> tuple[int, int]:
    """Two positive numbers such as 192x256.

    Raises:
        UsageError: The text is not two positive numbers with an x between them.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise UsageError(f"{option} must be like 192x256 (height x width), not {text!r}")
    return int(match[1]), int(match[2])


def coarsest_grid(height: int, width: int) -> tuple[int, int]:
    """The smallest base grid of at least 3x3 that doubles up to an image size: 4x8 for 256x512, 3x4 for 192x256.

    Raises:
        UsageError: The size cannot be halved often enough; the message names the nearest one that can.
    """
    rows, columns, doublings = height, width, 0
    while rows % 2 == 0 and columns % 2 == 0 and min(rows, columns) >= 6 and doublings < MAX_MODULES - 1:
        rows, columns, doublings = rows // 2, columns // 2, doublings + 1
    if min(rows, columns) > 8:  # features could not see across the image: global coordination needs a small grid
        shrink = min(1, 2048 / min(height, width))  # eight doublings of 8 rows
        step = 2 ** max(1, (min(height, width, 2048) // 4).bit_length() - 1)
        nearest = "x".join(str(max(1, round(side * shrink / step)) * step) for side in (height, width))
        raise UsageError(
            f"{height}x{width} can be halved only to {rows}x{columns}; a cascade starts from about 4x8. "
            f"Try --size {nearest} (with --fit crop to keep proportions)"
        )
    return rows, columns
