"""How much memory a training step or synthesis needs, by the shapes of tensors; what is recomputed; what would fit.

Nothing is built for it: a run that cannot fit is refused before anything large is allocated.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.model.other_networks.by_name import plan_discriminator
from crn_tf.model.planning import count_parameters
from crn_tf.model.recomputing import RECOMPUTED_BLOCKS
from crn_tf.precision import Precision
from crn_tf.training.memory import UnknownMemoryError, available_gb
from crn_tf.training.objectives import OBJECTIVES, SEGMENTATION, LossName
from crn_tf.training.settings import TrainSettings

# VGG19 up to conv5_2: channels and convolutions of its blocks, each of half the size of the one before.
PERCEIVER_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 2))
# Chosen so that all peaks measured on a CPU are met within 10 % (docs/numbers.md, "estimates of memory").
TENSORFLOW_BYTES = 1.15e9  # libraries, compiled functions, and the perceiver's weights
FEATURE_TENSORS = 1.5  # of each convolution: its result, and what is computed from it
LAYOUT_PYRAMIDS = 3  # one-hot float32: the layouts at all sizes, and copies
TEMPORARY_TENSORS = 3  # as large as the largest, in one operation and its neighbours
# Synthesis: before anything is computed, and tensors as large as the largest, alive at once (benchmarks/synthesis.py).
SYNTHESIS_BYTES, SYNTHESIS_TENSORS = 7e8, 8
ACCURACY = 0.15  # how wrong the estimate may be: what might fit is not refused
SHARE = 0.8  # of the available memory, which others use too


@dataclass(frozen=True)
class StepKind:
    """What a training step needs memory for, beside the generator and its batch.

    Attributes:
        loss: How many of the perceiver's blocks are kept for the backward pass, and whether there is a discriminator.
        averaged: Whether averages of the weights are kept beside them.
    """

    loss: LossName = "content"
    averaged: bool = False

    @classmethod
    def of(cls, settings: TrainSettings) -> "StepKind":
        """That of a run."""
        return cls(settings.loss, bool(settings.ema))

    @property
    def blocks(self) -> int:
        """Of the perceiver, through which gradients flow."""
        objective = OBJECTIVES[self.loss]
        return len(PERCEIVER_BLOCKS) if SEGMENTATION in objective.terms else max(0, objective.taps - 1)

    @property
    def recomputed_blocks(self) -> int:
        """Of these, those that can be computed again: a segmenter's are not."""
        return 0 if SEGMENTATION in OBJECTIVES[self.loss].terms else RECOMPUTED_BLOCKS


_USUAL = StepKind()


def training_memory_gb(
    description: ModelDescription, batch: int, precision: Precision, recompute: bool, kind: StepKind = _USUAL
) -> float:
    """An estimate of a training step's peak, in 10**9 bytes. Within `ACCURACY` of what was measured.

    Args:
        description: Of the model.
        batch: Pairs computed at once on a device.
        precision: Of the convolutions.
        recompute: Whether features are computed again in the backward pass.
        kind: What else a step needs memory for.
    """
    (height, width), images = description.image_size, description.num_images
    plan = description.plan()
    features = [convolution.elements for convolution in plan if convolution.normalized]
    halvings = enumerate(PERCEIVER_BLOCKS[: kind.blocks])
    blocks = [(images * depth * height * width / 4**block, count) for block, (depth, count) in halvings]
    kept_blocks = blocks[kind.recomputed_blocks :] if recompute else blocks
    activations = sum(elements * count for elements, count in kept_blocks)
    of_element = 4 if precision == "float32" else 2
    of_weight = 16 + (0 if of_element == 4 else of_element)  # itself, its gradient, two moments; a copy to compute with
    weights = (of_weight + (4 if kind.averaged else 0)) * count_parameters(plan)
    if OBJECTIVES[kind.loss].adversarial:
        discriminator = plan_discriminator(description.image_size, description.classes.num_classes, description.width)
        weights += of_weight * count_parameters(discriminator)
        features += 2 * [convolution.elements for convolution in discriminator]  # of photographs and of pictures
    largest = max(0, *features, *(elements for elements, _ in blocks))
    signs = sum(elements for elements, _ in blocks)  # of the errors at the taps, a byte each
    layouts = 4 * description.classes.num_classes * height * width * 4 / 3
    computed = of_element * (FEATURE_TENSORS * sum(features) + activations + TEMPORARY_TENSORS * largest)
    of_pair = computed + signs + LAYOUT_PYRAMIDS * layouts
    return (TENSORFLOW_BYTES + weights + batch * of_pair) / 1e9


def choose_recomputation(
    remat: Literal["auto", "on", "off"],
    description: ModelDescription,
    batch: int,
    precision: Precision,
    kind: StepKind = _USUAL,
) -> tuple[bool, str]:
    """Choose whether to recompute.

    Args:
        remat: What was asked for; "auto" compares what is needed with what there is, and recomputes if that is unknown.
        description: Of the model.
        batch: Pairs computed at once on a device.
        precision: Of the convolutions.
        kind: What else a step needs memory for.

    Returns:
        The choice, and a line that says why.
    """
    if remat != "auto":
        return remat == "on", f"recomputation {remat}"
    without, with_it = (training_memory_gb(description, batch, precision, on, kind) for on in (False, True))
    why = f"about {without:.1f} GB are needed without it"
    try:
        available = available_gb()
    except UnknownMemoryError as error:
        return (
            True,
            f"recomputation on: {why}, and what the GPU has is not known: {error} (--remat off, if it has more)",
        )
    recompute = without > SHARE * available
    why += f", {with_it:.1f} GB with it" if recompute else ""
    return recompute, f"recomputation {'on' if recompute else 'off'}: {why}, {available:.1f} GB are available"


def check_memory(settings: TrainSettings, description: ModelDescription, replicas: int = 1) -> None:
    """Check that a run's steps fit into memory, before anything is allocated.

    Args:
        settings: Of the run.
        description: Of its model.
        replicas: Devices that share a batch.

    Raises:
        UserError: They need more than there is, even if the estimate is too high by `ACCURACY`. The message says what
            would fit.
    """
    batch = settings.batch // replicas
    kind = StepKind.of(settings)
    recompute, _ = choose_recomputation(settings.remat, description, batch, settings.precision, kind)
    needed = training_memory_gb(description, batch, settings.precision, recompute, kind)
    try:
        available = available_gb()
    except UnknownMemoryError:
        return
    if needed <= (1 + ACCURACY) * available:
        return
    what_fits = _what_fits(replace(settings, remat="on" if recompute else "off"), description, replicas, available)
    how = "with" if recompute else "without"
    raise UserError(
        f"not enough memory for a training step: about {needed:.1f} GB are needed {how} recomputation, "
        f"{available:.1f} GB are available; {what_fits}"
    )


def _what_fits(settings: TrainSettings, description: ModelDescription, replicas: int, available: float) -> str:
    """What to ask for instead: each option that is enough alone; if none is, several together."""

    def needed(settings: TrainSettings) -> float:
        model = replace(description, num_images=settings.images, width=settings.width)
        batch, recompute = settings.batch // replicas, settings.remat == "on"
        return training_memory_gb(model, batch, settings.precision, recompute, StepKind.of(settings))

    def nearest(choices: list[TrainSettings]) -> TrainSettings | None:
        """The first that fits; the last if none does; None without any."""
        return next((choice for choice in choices if needed(choice) <= available), choices[-1] if choices else None)

    ways = (_recomputing, partial(_smaller_batches, replicas=replicas), _fewer_images, _in_bfloat16, _narrower)
    alone = [choice for way in ways[:-1] if (choice := nearest(way(settings))) and needed(choice) <= available]
    if not alone:
        together = settings
        for way in ways:
            together = (needed(together) > available and nearest(way(together))) or together
        alone = [together] if needed(together) <= available else []
    told = [f"{_differences(settings, choice)} ({needed(choice):.1f} GB)" for choice in alone]
    return f"what would fit: {', or '.join(told)}" if told else "try a smaller --size"


def _recomputing(settings: TrainSettings) -> list[TrainSettings]:
    return [replace(settings, remat="on")]


def _smaller_batches(settings: TrainSettings, replicas: int) -> list[TrainSettings]:
    return [replace(settings, batch=batch) for batch in range(settings.batch - replicas, 0, -replicas)]


def _fewer_images(settings: TrainSettings) -> list[TrainSettings]:
    return [replace(settings, images=images) for images in range(settings.images - 1, 0, -1)]


def _in_bfloat16(settings: TrainSettings) -> list[TrainSettings]:
    return [replace(settings, precision="bfloat16")] if settings.precision == "float32" else []


def _narrower(settings: TrainSettings) -> list[TrainSettings]:
    return [replace(settings, width=settings.width / 2**halvings) for halvings in range(1, 5)]


def _differences(settings: TrainSettings, other: TrainSettings) -> str:
    """The options that ask for what is different."""
    names = ("remat", "batch", "images", "precision", "width")
    return " ".join(f"--{n} {getattr(other, n)}" for n in names if getattr(other, n) != getattr(settings, n))


def what_saves_memory(settings: TrainSettings) -> str:
    """What makes a run need less, to be told where memory has run out, as the end of a sentence."""
    options = ["--remat on"] if settings.remat != "on" else []
    options += ["--precision bfloat16"] if settings.precision == "float32" else []
    options += ["a smaller --batch"] if settings.batch > 1 else []
    options += ["fewer --images"] if settings.images > 1 else []
    return f"try {', '.join([*options, 'a smaller --width or --size'])}"


def synthesis_memory_gb(description: ModelDescription, batch: int, precision: Precision) -> float:
    """An estimate of synthesis' peak, in 10**9 bytes. Within a fifth of what was measured; nothing is built for it.

    Args:
        description: The model.
        batch: Layouts synthesized at once.
        precision: That it computes in.
    """
    height, width = description.image_size
    of_element = 4 if precision == "float32" else 2
    largest = max(convolution.elements for convolution in description.plan()[:-1])  # but for the images
    one_hot = 4 * height * width * description.classes.num_classes
    copies = 2 if description.trained_size else 1  # the network as it was trained, and at its other size
    of_weight = 4 * copies + (0 if of_element == 4 else of_element)  # and a copy to compute with
    kept = SYNTHESIS_TENSORS * of_element * largest + one_hot
    return (SYNTHESIS_BYTES + of_weight * description.parameters + batch * kept) / 1e9


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
