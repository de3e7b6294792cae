"""The other networks by their names on command lines. Imports Keras only to build one."""

from typing import TYPE_CHECKING, Literal, get_args

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
    if name == "pix2pix":
        from crn_tf.model.other_networks.pix2pix import build_pix2pix_generator

        return build_pix2pix_generator(size, num_classes, width)
    if name == "dcgan":
        from crn_tf.model.other_networks.dcgan import build_dcgan_generator

        return build_dcgan_generator(size, num_classes, width)
    if name == "full-resolution":
        from crn_tf.model.other_networks.full_resolution import build_full_resolution

        return build_full_resolution(size, num_classes, num_images, width)
    from crn_tf.model.other_networks.encoder_decoder import build_encoder_decoder

    return build_encoder_decoder(size, num_classes, num_images, width)


def plan_network(name: str, size: Size, num_classes: int, num_images: int, width: float) -> list[PlannedConvolution]:
    """The convolutions of one of `OTHER_NETWORKS`, before it is built. Arguments as `build_network` takes them."""
    if name == "pix2pix":
        from crn_tf.model.other_networks.pix2pix import plan_pix2pix_generator

        return plan_pix2pix_generator(size, num_classes, width)
    if name == "dcgan":
        from crn_tf.model.other_networks.dcgan import plan_dcgan_generator

        return plan_dcgan_generator(size, num_classes, width)
    if name == "full-resolution":
        from crn_tf.model.other_networks.full_resolution import plan_full_resolution

        return plan_full_resolution(size, num_classes, num_images, width)
    from crn_tf.model.other_networks.encoder_decoder import plan_encoder_decoder

    return plan_encoder_decoder(size, num_classes, num_images, width)


def plan_discriminator(size: Size, num_classes: int, width: float) -> list[PlannedConvolution]:
    """The convolutions of the discriminator that adversarial losses train beside a network."""
    from crn_tf.model.other_networks.pix2pix import plan_pix2pix_discriminator

    return plan_pix2pix_discriminator(size, num_classes, width)
