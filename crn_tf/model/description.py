"""The description of a model: what is needed to build its generator again, and to read layouts for it."""

import json
import reprlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import Fit, Size
from crn_tf.errors import UsageError, UserError
from crn_tf.files import parse_json
from crn_tf.model.cascade import module_heights, plan_cascade
from crn_tf.model.other_networks.by_name import ONE_IMAGE, Network, build_network, plan_network
from crn_tf.model.planning import PlannedConvolution, count_parameters

if TYPE_CHECKING:
    import keras

_LARGEST_COUNT = 1 << 16  # of rows, columns or images in a description that is believed
_LARGEST_SIDE = 8192  # of images of another size than trained


@dataclass(frozen=True)
class ModelDescription:
    """What is needed to build a generator again and to read layouts for it.

    Attributes:
        height: Image height in pixels.
        base_grid: Rows and columns of the first module's grid. Networks other than the CRN have no modules; it is then
            the size.
        num_images: Images synthesized per layout (k in the paper).
        width: Multiplies the paper's feature channels.
        classes: Of the layouts.
        fit: What was done with pictures of another aspect ratio in training, and is to be done with layouts:
            "resize" stretches, "crop" cuts the centre. Files of older versions do not say, and are read as "resize".
        trained_size: Height and width that it was trained at, if `image_size` is another; see `at_size`.
        network: The CRN, or one of the paper's other methods (docs/methods.md). Files that do not say are of a CRN.

    Example:
        The release's model for 256p, of which nothing is built to know its size:

        >>> from crn_tf import CITYSCAPES, ModelDescription
        >>> description = ModelDescription(height=256, base_grid=(4, 8), num_images=9, width=1.0, classes=CITYSCAPES)
        >>> description.image_size, f"{description.parameters:,} parameters"
        ((256, 512), '97,875,483 parameters')
        >>> ModelDescription.from_json(description.to_json()) == description
        True
    """

    height: int
    base_grid: tuple[int, int]
    num_images: int
    width: float
    classes: ClassTable
    fit: Fit = "resize"
    trained_size: Size | None = None
    network: Network = "crn"

    @property
    def image_size(self) -> Size:
        """Height and width in pixels."""
        return self.height, self.height // self.base_grid[0] * self.base_grid[1]

    def at_size(self, size: Size) -> "ModelDescription":
        """The same network for images of another size: the same modules, from another base grid.

        Args:
            size: Height and width; each is a number of rows or columns doubled as often as here.

        Raises:
            UsageError: No base grid doubles up to that size in as many modules, it is too large, or the network is none
                whose modules do not depend on it.

        Example:
            >>> from crn_tf import CITYSCAPES, ModelDescription
            >>> description = ModelDescription(256, base_grid=(4, 8), num_images=9, width=1.0, classes=CITYSCAPES)
            >>> wide = description.at_size((256, 768))
            >>> wide.base_grid, wide.trained_size, wide.at_size((256, 512)) == description
            ((4, 12), (256, 512), True)
        """
        if size == self.image_size:
            return self
        if self.network != "crn":
            own = "x".join(map(str, self.image_size))
            raise UsageError(
                f"--size {size[0]}x{size[1]}: the model is a {self.network} network for {own}, which is made for one "
                "size; only a CRN can be used at another"
            )
        (height, width), scale = size, self.height // self.base_grid[0]
        if height % scale or width % scale:
            nearest = "x".join(str(max(1, round(side / scale)) * scale) for side in size)
            raise UsageError(
                f"--size {height}x{width}: the model has {scale.bit_length()} modules, so height and width have to be "
                f"multiples of {scale}; the nearest such size is {nearest}"
            )
        if max(size) > _LARGEST_SIDE:
            raise UsageError(f"--size {height}x{width}: expected at most {_LARGEST_SIDE} rows and columns")
        trained = self.trained_size or self.image_size
        return replace(
            self,
            height=height,
            base_grid=(height // scale, width // scale),
            trained_size=None if size == trained else trained,
        )

    def build(self) -> "keras.Model":
        """Build the generator, with fresh weights: from layouts [B, H, W, C] to images [B, k, H, W, 3].

        Raises:
            ValueError: No generator can be like this; see `build_generator` and `build_network`.
        """
        if self.network != "crn":
            return build_network(self.network, self.image_size, self.classes.num_classes, self.num_images, self.width)
        from crn_tf.model.generator import build_generator  # only here: it needs Keras, which takes seconds to import

        return build_generator(self.height, self.classes.num_classes, self.num_images, self.width, self.base_grid)

    def to_json(self) -> str:
        """The description as readable text."""
        values = {**vars(self), "classes": self.classes.to_json()}
        if self.trained_size is None:
            del values["trained_size"]
        if self.network == "crn":  # which versions that know no other can read
            del values["network"]
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelDescription":
        """The description `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: The text is not what `to_json` writes, or no generator can be like this.
        """
        values = parse_json(text)
        classes = ClassTable.from_json(values["classes"])
        rows, columns = values["base_grid"]
        height, images, width = values["height"], values["num_images"], values["width"]
        if not all(type(count) is int and 1 <= count <= _LARGEST_COUNT for count in (height, rows, columns, images)):
            raise ValueError(f"height, base_grid and num_images must be whole numbers from 1 to {_LARGEST_COUNT}")
        if type(width) not in (int, float) or not 0 < width <= _LARGEST_COUNT:
            raise ValueError(f"width must be a number from 0 to {_LARGEST_COUNT}")
        network = values.get("network", "crn")
        if network not in get_args(Network):
            raise ValueError(f"network is {reprlib.repr(network)}, expected one of {', '.join(get_args(Network))}")
        if network == "crn":
            module_heights(height, rows)
        elif rows != height or (network in ONE_IMAGE and images != 1):
            raise ValueError(f"a {network} network of base grid {rows}x{columns} and {images} images cannot be")
        fit = values.get("fit", "resize")  # older versions did not keep it
        if fit not in get_args(Fit):
            raise ValueError(f"fit is {reprlib.repr(fit)}, expected one of {', '.join(get_args(Fit))}")
        return cls(height, (rows, columns), images, width, classes, fit, _trained_size(values), network)

    def plan(self) -> list[PlannedConvolution]:
        """The generator's convolutions, of which nothing is built."""
        classes = self.classes.num_classes
        if self.network == "crn":
            return plan_cascade(self.height, self.base_grid, classes, self.num_images, self.width)
        return plan_network(self.network, self.image_size, classes, self.num_images, self.width)

    @property
    def parameters(self) -> int:
        """How many numbers the generator's weights are, from the shapes alone."""
        return count_parameters(self.plan())

    def check_size(self, path: Path, stored: int, bytes_each: int = 4) -> None:
        """Compare the model with the size of the files that should hold its weights, before memory is taken for it.

        Args:
            path: What messages call the files.
            stored: Their size in bytes.
            bytes_each: That they have for each parameter, at least.

        Raises:
            UserError: The files are too small for the model.
        """
        if bytes_each * self.parameters > stored:
            raise UserError(
                f"{path} describes a model of {self.parameters:,} parameters, but its weights have {stored:,} bytes, "
                "too few for that: it is damaged, or of another model"
            )

    def difference(self, other: "ModelDescription") -> str | None:
        """What makes another generator's weights unfit for this one, or None if nothing does.

        How pictures of another shape were treated does not: `fit` may differ, and a run keeps its own by its settings.
        """
        for name in ("network", "height", "base_grid", "num_images", "width"):
            if getattr(self, name) != getattr(other, name):
                return f"{name.replace('_', ' ')} {getattr(other, name)}, expected {getattr(self, name)}"
        if self.classes.names != other.classes.names:
            return f"classes {_brief(other.classes)}, expected {_brief(self.classes)}"
        return None


def _trained_size(values: dict[str, Any]) -> Size | None:
    """The trained size in a description's values; None if they have none.

    Raises:
        ValueError: It is not two positive whole numbers.
    """
    found = values.get("trained_size")
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != 2 or not all(type(n) is int and n > 0 for n in found):
        raise ValueError("trained_size must be two positive whole numbers")
    return found[0], found[1]


def _brief(classes: ClassTable) -> str:
    """The classes in a few words."""
    names = classes.names if len(classes.names) <= 6 else (*classes.names[:5], "...")
    return f"{len(classes.names)} + void ({', '.join(names)})"
