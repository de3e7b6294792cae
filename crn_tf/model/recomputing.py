"""Training with less memory: keep only what is dear to compute, and compute the rest again in the backward pass.

Of the generator the results of the convolutions are kept; normalized features are made from them again, at hardly any
cost. Of the perceiver's first, largest blocks only the input is kept, and their convolutions run again.

Pure Keras: runs on every Keras backend.
"""

from collections.abc import Callable, Sequence

import keras

from crn_tf.model.cascade import module_height
from crn_tf.model.passes import recomputed
from crn_tf.tensors import Features, Images, OneHotLayout, PerceiverBlock, Tensor

# The first blocks are cheap to compute and hold most of the perceiver's activations: 4/5 of them, for 1/4 of the work.
RECOMPUTED_BLOCKS = 2


def is_cascade(generator: keras.Model) -> bool:
    """Whether a generator is a CRN, whose modules `recomputing_generator` knows."""
    return any(layer.name.startswith("module_") for layer in generator.layers)


def recomputing_generator(generator: keras.Model) -> Callable[[OneHotLayout], Images]:
    """The same function as a generator, that keeps only its convolutions' results for the backward pass.

    Args:
        generator: From `build_generator`.

    Returns:
        A function from layouts [B, H, W, C] to images [B, k, H, W, 3].
    """
    layouts = generator.input
    convolutions = [layer for layer in generator.layers if "_conv" in layer.name]  # in the cascade's order
    levels = sorted({module_height(layer.name) for layer in convolutions})
    inputs = {level: generator.get_layer(f"module_{level}_conv1").input for level in levels}
    pyramid = {level: given[1] if isinstance(given, list) else given for level, given in inputs.items()}
    shrink = keras.Model(layouts, list(pyramid.values()))
    segments: list[tuple[int | None, Callable[..., Features]]] = []
    kept: Features = None
    for layer in convolutions:
        arguments = [kept] if kept is not None else []
        level = module_height(layer.name) if layer.name.endswith("conv1") else None
        if level:
            arguments.append(pyramid[level])
        segments.append((level, recomputed(_call(keras.Model(arguments, layer.output)))))
        kept = layer.output
    finish = recomputed(_call(keras.Model([kept], generator.output)))

    def synthesize(layout: OneHotLayout) -> Images:
        at_level = dict(zip(levels, keras.tree.flatten(shrink(layout)), strict=True))  # of one level: no list
        x: list[Features] = []
        for level, segment in segments:
            x = [segment(*x, *([at_level[level]] if level else []))]
        return finish(*x)

    return synthesize


def recomputing_blocks(blocks: Sequence[PerceiverBlock]) -> list[PerceiverBlock]:
    """The perceiver's blocks, of which the first keep only their input for the backward pass.

    Args:
        blocks: From `perceiver.split_blocks`.

    Returns:
        As many functions, with the same results.
    """
    return [recomputed(block) if i < RECOMPUTED_BLOCKS else block for i, block in enumerate(blocks)]


def _call(model: keras.Model) -> Callable[..., Tensor]:
    """A model as a function of tensors, one for each of its inputs."""
    return lambda *arguments: model(list(arguments))
