"""A network's convolutions before anything is built: parameters and memory follow from them. No framework."""

from collections.abc import Iterable
from dataclasses import dataclass

from crn_tf.data.images import Size


@dataclass(frozen=True)
class PlannedConvolution:
    """A convolution, plain or transposed, of a network that is not built yet.

    Attributes:
        kernel: Rows and columns of its kernel.
        inputs: Channels that it is given.
        channels: Channels of its result.
        size: Height and width of its result.
        bias: Whether it adds one.
        normalized: Whether its result is normalized, with a gain and an offset for each channel.
    """

    kernel: int
    inputs: int
    channels: int
    size: Size
    bias: bool = False
    normalized: bool = True

    @property
    def parameters(self) -> int:
        """Numbers that are its weights, with those of its normalization."""
        return self.channels * (self.kernel**2 * self.inputs + self.bias + 2 * self.normalized)

    @property
    def elements(self) -> int:
        """Numbers in its result, for one layout."""
        return self.channels * self.size[0] * self.size[1]


def count_parameters(plan: Iterable[PlannedConvolution]) -> int:
    """Numbers that are a network's weights."""
    return sum(convolution.parameters for convolution in plan)


def planned_projection(inputs: int, num_images: int, size: Size) -> PlannedConvolution:
    """The 1x1 convolution from a network's last features to its images (`generator.project_images`)."""
    return PlannedConvolution(1, inputs, 3 * num_images, size, bias=True, normalized=False)
