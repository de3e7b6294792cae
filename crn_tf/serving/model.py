"""A generator as a TensorFlow module with signatures: what a server runs, from requests to pictures.

Everything between a client's bytes and the generator is in the graph: reading and resizing layouts, one-hot, clipping,
rounding, encoding. A request that makes no sense fails with a text that says what was expected.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from crn_tf.data.images import ImageFormat
from crn_tf.model.description import ModelDescription
from crn_tf.model.passes import unfused
from crn_tf.precision import Precision
from crn_tf.serving.layouts import PngLayoutDecoder, fit_nearest, unknown_to_optimizers
from crn_tf.tensors import OneHotLayout

SUM_TOLERANCE = 0.01  # of the fractions of a soft layout's pixel; half precision rounds by less
_JPEG_QUALITY = 95  # as test.py writes them
_PNG_COMPRESSION = 2  # of 9: zlib's own choice takes seven times as long, for a tenth less bytes
_PROJECTION = "projection_"  # the layer whose weights stay float32, as it computes


class ServingModel(tf.Module):
    """A generator with its weights, ready for `tf.saved_model.save`; it needs no Keras to be loaded."""

    def __init__(
        self,
        generator: keras.Model,
        description: ModelDescription,
        image_format: ImageFormat = "png",
        stored_in: Precision = "float32",
    ) -> None:
        """Take over a generator's weights.

        Args:
            generator: From `build_generator`, in the precision it is to compute in.
            description: What it is.
            image_format: How `layout_png` encodes images.
            stored_in: Type of the stored kernels. Gains, offsets and the projection are always stored in float32.
        """
        super().__init__(name="crn")
        self._size, self._classes, self._fit = description.image_size, description.classes, description.fit
        self._num_images, self._image_format = description.num_images, image_format
        self._generator = _Untracked(generator)
        self._trainable = [_variable(v, stored_in) for v in generator.trainable_variables]
        self._fixed = [_variable(v, stored_in) for v in generator.non_trainable_variables]

    @property
    def weights_bytes(self) -> int:
        """Size of the stored weights, in bytes."""
        return sum(v.dtype.size * v.shape.num_elements() for v in self._trainable + self._fixed)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions that requests name, traced."""
        height, width = self._size
        soft = [None, height, width, self._classes.num_classes]
        inputs = {
            "serving_default": (self.class_ids, tf.TensorSpec([None] * 3, tf.uint8, "layouts")),
            "layout_int32": (self.class_ids, tf.TensorSpec([None] * 3, tf.int32, "layouts")),
            "layout_soft": (self.soft, tf.TensorSpec(soft, tf.float32, "layouts")),
            "layout_png": (self.png, tf.TensorSpec([None], tf.string, "layout_bytes")),
        }
        with unfused():  # servers have no XLA
            return {name: tf.function(f).get_concrete_function(spec) for name, (f, spec) in inputs.items()}

    def class_ids(self, layouts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of layouts of class ids: [B, h, w], of any size -> uint8 [B, k, H, W, 3]."""
        layouts = _shaped(layouts, [None] * 3, "class ids")
        layouts = tf.cast(fit_nearest(layouts, self._size, axis=1, fit=self._fit), tf.int32)
        return {"images": self._synthesize(self._one_hot(layouts))}

    def soft(self, layouts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of layouts of class fractions: float32 [B, H, W, C] -> uint8 [B, k, H, W, 3]."""
        shape = [None, *self._size, self._classes.num_classes]
        layouts = _shaped(layouts, shape, "fractions of the classes")

        def proper(x: OneHotLayout) -> tf.Tensor:
            sums = tf.abs(tf.reduce_sum(x, -1) - 1) <= SUM_TOLERANCE  # false for what is not a number, too
            return tf.reduce_all(sums & tf.reduce_all(x >= -SUM_TOLERANCE, -1), [1, 2])

        layouts = _required(
            layouts,
            lambda x: tf.reduce_all(proper(x)),
            lambda x: _item_text(
                proper(x), tf.constant("has pixels that do not sum to 1, or are negative or no numbers; expected at "
                                       "each pixel a fraction for each class, that sum to 1")
            ),
        )  # fmt: skip
        return {"images": self._synthesize(layouts)}

    def png(self, layout_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images of PNG layouts: string [B] -> string [B, k]."""
        with tf.device("/CPU:0"):
            pngs = _shaped(layout_bytes, [None], "PNG layouts")
            layouts, problems = PngLayoutDecoder(self._classes, self._size, self._fit).decode(pngs)
            layouts = _required(
                layouts,
                lambda _: tf.reduce_all(problems == ""),
                lambda _: _item_text(problems == "", tf.gather(problems, _first(problems != ""))),
            )
        images = self._synthesize(self._one_hot(tf.cast(layouts, tf.int32)))
        with tf.device("/CPU:0"):
            flat = tf.reshape(images, [-1, *self._size, 3])
            encoded = tf.map_fn(self._encode, flat, fn_output_signature=tf.string)
            return {"image_bytes": tf.reshape(encoded, [-1, self._num_images])}

    def _encode(self, image: tf.Tensor) -> tf.Tensor:
        if self._image_format == "jpg":
            return tf.io.encode_jpeg(image, "rgb", _JPEG_QUALITY, chroma_downsampling=False)
        return tf.io.encode_png(image, compression=_PNG_COMPRESSION)

    def _one_hot(self, layouts: tf.Tensor) -> tf.Tensor:
        """Class ids, int32 [B, H, W], to float32 [B, H, W, C]; those that are no class become void."""
        count = self._classes.num_classes
        known = (layouts >= 0) & (layouts < count)
        return tf.one_hot(tf.where(known, layouts, self._classes.void), count)

    def _synthesize(self, layouts: tf.Tensor) -> tf.Tensor:
        """float32 [B, H, W, C] -> uint8 [B, k, H, W, 3]."""
        trainable, fixed = (
            [tf.cast(stored, variable.dtype) for stored, variable in zip(weights, variables, strict=True)]
            for weights, variables in (
                (self._trainable, self._generator.model.trainable_variables),
                (self._fixed, self._generator.model.non_trainable_variables),
            )
        )
        images, _ = self._generator.model.stateless_call(trainable, fixed, layouts, training=False)
        return tf.cast(tf.round(tf.clip_by_value(images, 0, 255)), tf.uint8)


class _Untracked:
    """Hides a Keras model from the module, whose own variables are the ones to be saved."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model


def _variable(variable: keras.Variable, stored_in: Precision) -> tf.Variable:
    """A copy; kernels in the type they are to be stored in."""
    value = variable.numpy() if hasattr(variable, "numpy") else np.asarray(variable)
    kernel = value.ndim > 1 and not variable.path.startswith(_PROJECTION)
    return tf.Variable(tf.cast(value, stored_in if kernel else value.dtype), trainable=False, name=variable.path)


def _shaped(tensor: tf.Tensor, shape: list[int | None], what: str) -> tf.Tensor:
    """A request's tensor, if it has the shape, in which None stands for anything from one on."""
    # The signature's shape is only written down: a server does not compare requests with it, but TensorFlow relies on
    # it and would optimize our own comparison away. Behind this operation it does not.
    received = unknown_to_optimizers(tensor, tf.TensorShape(None))
    any_side, no_side = -1, -2
    expected = tf.constant([side or any_side for side in shape] + [no_side])

    def fits(x: tf.Tensor) -> tf.Tensor:
        sides = tf.concat([tf.shape(x), tf.fill([len(shape) + 1], no_side)], 0)[: len(shape) + 1]
        return tf.reduce_all((sides == expected) | ((expected == any_side) & (sides > 0)))

    sides = ", ".join(str(side or name) for side, name in zip(shape, ("batch", "height", "width", ""), strict=False))
    return tf.ensure_shape(
        _required(
            received,
            fits,
            lambda x: ["the shape is ", _shape_text(tf.shape(x)), f"; expected {what} [{sides}], none of them 0"],
        ),
        shape,
    )


def _required(
    tensor: tf.Tensor, holds: Callable[[tf.Tensor], tf.Tensor], text: Callable[[tf.Tensor], list[str | tf.Tensor]]
) -> tf.Tensor:
    """The tensor, if a condition on it holds; else the request fails with a text, given in pieces."""
    message = tf.strings.join(text(tensor))
    with tf.control_dependencies([tf.debugging.Assert(holds(tensor), [message])]):
        return tf.identity(tensor)


def _item_text(good: tf.Tensor, problem: tf.Tensor) -> list[str | tf.Tensor]:
    """Name the first bad item of a batch: bool [B], string []."""
    return [
        "item ", tf.as_string(_first(~good)), " of ", tf.as_string(tf.size(good)), " (from 0) ", problem
    ]  # fmt: skip


def _first(bad: tf.Tensor) -> tf.Tensor:
    """Index of the first true of bool [B]; 0 if there is none."""
    return tf.argmax(tf.cast(bad, tf.int32))


def _shape_text(shape: tf.Tensor) -> tf.Tensor:
    """[2, 3] as it is written."""
    return tf.strings.join(["[", tf.strings.reduce_join(tf.as_string(shape), separator=", "), "]"])
