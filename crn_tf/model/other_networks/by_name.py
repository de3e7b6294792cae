"""The other networks by their names on command lines. Imports Keras only to build one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

from crn_tf.data.images import Size
from crn_tf.model.planning import PlannedConvolution

if TYPE_CHECKING:
    import keras

Network = Literal["crn", "encoder-decoder", "full-resolution", "pix2pix", "dcgan"]
OTHER_NETWORKS: tuple[Network, ...] = get_args(Network)[1:]
ONE_IMAGE = ("pix2pix", "dcgan")  # that these synthesize for each layout; the others as many as they are built for


def build_network(
    name: str, size: Size, num_classes: int = 20, num_images: int = 1, width: float = 1.0
) -> "keras.Model":
    """Build one of `OTHER_NETWORKS`, with fresh weights.

    Args:
        name: Of the network.
        size: Height and width in pixels.
        num_classes: Channels of the layout, void included.
        num_images: Images synthesized per layout (k in the paper); 1 of pix2pix and dcgan.
        width: Multiplies the channels of every layer.

    Returns:
        A model from one-hot layouts [B, H, W, C] to images [B, k, H, W, 3], float32 on the 0..255 scale.

    Raises:
        ValueError: There is no such network, or it cannot be like this.

    Example:
        >>> from crn_tf.model.other_networks.by_name import build_network
        >>> build_network("full-resolution", (24, 32), num_classes=3, num_images=2, width=1 / 32).output_shape
        (None, 2, 24, 32, 3)
    """
    if name not in OTHER_NETWORKS:
        raise ValueError(f"no network {name!r}; expected one of {', '.join(OTHER_NETWORKS)}")
    if name in ONE_IMAGE and num_images != 1:
        raise ValueError(f"{name} synthesizes one image for each layout, not {num_images}")
    build, _ = _functions(name)
    images = () if name in ONE_IMAGE else (num_images,)
    network: keras.Model = build(size, num_classes, *images, width)
    return network


def plan_network(name: str, size: Size, num_classes: int, num_images: int, width: float) -> list[PlannedConvolution]:
    """The convolutions of one of `OTHER_NETWORKS`, before it is built. Arguments as `build_network` takes them."""
    _, plan = _functions(name)
    images = () if name in ONE_IMAGE else (num_images,)
    convolutions: list[PlannedConvolution] = plan(size, num_classes, *images, width)
    return convolutions


def _functions(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What builds a network, and what plans it: of size, classes, images (of those that make several), and width."""
    if name == "pix2pix":
        from crn_tf.model.other_networks import pix2pix

        return pix2pix.build_pix2pix_generator, pix2pix.plan_pix2pix_generator
    if name == "dcgan":
        from crn_tf.model.other_networks import dcgan

        return dcgan.build_dcgan_generator, dcgan.plan_dcgan_generator
    if name == "full-resolution":
        from crn_tf.model.other_networks import full_resolution

        return full_resolution.build_full_resolution, full_resolution.plan_full_resolution
    from crn_tf.model.other_networks import encoder_decoder

    return encoder_decoder.build_encoder_decoder, encoder_decoder.plan_encoder_decoder


def plan_discriminator(size: Size, num_classes: int, width: float) -> list[PlannedConvolution]:
    """The convolutions of the discriminator that adversarial losses train beside a network."""
    from crn_tf.model.other_networks.pix2pix import plan_pix2pix_discriminator

    return plan_pix2pix_discriminator(size, num_classes, width)
