"""Losses of adversarial training, and a segmenter's (docs/methods.md).

Pure Keras: runs on every Keras backend. What a discriminator says is a logit for each patch, positive for real ones.
"""

from keras import ops

from crn_tf.tensors import Features, Loss, OneHotLayout


def fooling_loss(synthesized: Features) -> Loss:
    """How far a discriminator is from taking synthesized pictures for photographs: the generator's part of the game.

    The mean over patches of -log of the probability that it gives to "real" (Goodfellow et al. 2014, the form that does
    not saturate; pix2pix's cross-entropy).

    Args:
        synthesized: Logits [B, h, w, 1] of synthesized pictures.

    Returns:
        A scalar.

    Example:
        >>> import numpy as np
        >>> from crn_tf.model.adversarial_losses import fooling_loss
        >>> round(float(fooling_loss(np.zeros((1, 2, 2, 1), "float32"))), 4)  # undecided: log 2
        0.6931
    """
    return ops.mean(ops.softplus(-ops.cast(synthesized, "float32")))


def discriminator_loss(real: Features, synthesized: Features) -> Loss:
    """How badly a discriminator tells photographs from synthesized pictures: the mean of both cross-entropies.

    Args:
        real: Logits [B, h, w, 1] of photographs.
        synthesized: Logits of synthesized pictures.

    Returns:
        A scalar. (pix2pix's authors halve the sum too, so that the discriminator learns more slowly.)
    """
    return (fooling_loss(real) + ops.mean(ops.softplus(ops.cast(synthesized, "float32")))) / 2


def segmentation_loss(scores: Features, layout: OneHotLayout) -> Loss:
    """Cross-entropy of a segmenter's scores with the layout that a picture was synthesized from.

    Args:
        scores: Of each class but void, before the softmax [B, H, W, C - 1].
        layout: One-hot [B, H, W, C], void last. Void pixels do not count.

    Returns:
        A scalar: the mean over the pixels that are not void; 0 if all are.
    """
    of_class = layout[..., :-1]
    logarithms = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
    return -ops.sum(of_class * logarithms) / ops.maximum(ops.sum(of_class), 1.0)
