"""The synthesizer: from layouts of class ids to uint8 images. Pure Keras: runs on every Keras backend."""

import keras
import numpy as np
from keras import ops

from crn_tf.tensors import Layout, Pixels


class Synthesizer:
    """Turns layouts into images with a trained generator.

    Example:
        >>> import numpy as np
        >>> from crn_tf import Synthesizer, build_generator
        >>> synthesizer = Synthesizer(build_generator(height=16, num_classes=3, num_images=2, width=1 / 64))
        >>> synthesizer.size
        (16, 32)
        >>> layout = np.zeros((16, 32), "uint8")
        >>> layout[8:] = 1  # the lower half is of another class
        >>> images = synthesizer(layout[None])  # a batch of one layout, two images of it
        >>> images.shape, images.dtype
        ((1, 2, 16, 32, 3), dtype('uint8'))
    """

    def __init__(self, generator: keras.Model) -> None:
        """Prepare a generator for synthesis.

        Args:
            generator: From `build_generator`, `ModelDescription.build` or `load_generator`.
        """
        height, width, self.num_classes = generator.input_shape[1:]
        self.num_images: int = generator.output_shape[1]
        layouts = keras.Input((height, width), dtype="uint8", name="layouts")
        known = ops.minimum(layouts, self.num_classes - 1)  # an exported model has no Python that refuses other ids
        images = generator(ops.one_hot(known, self.num_classes, dtype="float32"))
        images = ops.cast(ops.round(ops.clip(images, 0, 255)), "uint8")
        self.model = keras.Model(layouts, images, name="synthesizer")  # uint8 [B, H, W] -> uint8 [B, k, H, W, 3]
        self.model.compile(jit_compile=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of layouts and images, in pixels."""
        return self.model.input_shape[1:]

    def __call__(self, layouts: Layout) -> Pixels:
        """Synthesize a batch.

        Args:
            layouts: Class ids, uint8 [B, H, W], at the generator's size.

        Returns:
            k images of each layout, uint8 [B, k, H, W, 3].

        Raises:
            ValueError: The layouts have another size than the generator, or an id that is none of its classes.
        """
        if layouts.shape[1:] != self.size:
            raise ValueError(f"layouts are {layouts.shape[1:]}, the generator's size is {self.size}")
        if layouts.max() >= self.num_classes:
            raise ValueError(f"class id {layouts.max()}, the generator has {self.num_classes} classes")
        return np.asarray(self.model.predict_on_batch(layouts))
