"""What holds for every input: encoding and resizing of pictures, tap masking, checkpoints. Inputs are hypothesis'.

`HYPOTHESIS_PROFILE=search python -m pytest tests/test_properties.py` tries two thousand new inputs of each.
"""

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from PIL import Image

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import read_photo, resize
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.errors import UserError
from crn_tf.model.losses import best_per_class_loss, class_errors, content_loss, layout_pyramid
from crn_tf.saved.checkpoints import read_variables, write_variables

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
fits = st.sampled_from(["resize", "crop"])
seeds = st.integers(0, 2**32 - 1)
colors = st.tuples(*[st.integers(0, 255)] * 3).filter(any)  # black is void's


@st.composite
def class_tables(draw) -> ClassTable:
    """Up to 20 classes of any colours and ids, in any order."""
    palette = draw(st.lists(colors, min_size=1, max_size=20, unique=True))
    count = len(palette) + 1
    ids = draw(st.lists(st.integers(0, 65535), min_size=count, max_size=count, unique=True))
    return ClassTable(tuple(map(str, palette)), tuple(palette), tuple(ids[1:]), (ids[0],))


@st.composite
def tables_and_layouts(draw) -> tuple[ClassTable, np.ndarray]:
    table = draw(class_tables())
    return table, draw(arrays(np.uint8, sizes, elements=st.integers(0, table.void)))


# --- layouts


@given(tables_and_layouts())
def test_a_layout_survives_as_colours_and_as_ids(tmp_path_factory, table_and_layout):
    table, layout = table_and_layout
    folder, reader = tmp_path_factory.mktemp("layout"), LayoutReader(table)
    Image.fromarray(colorize(layout, table)).save(folder / "colors.png")
    Image.fromarray(np.array([*table.ids, *table.void_ids], np.uint16)[layout]).save(folder / "ids.png")
    for name in ("colors.png", "ids.png"):
        np.testing.assert_array_equal(reader.read(folder / name), layout)
    assert reader.warning() is None


@given(tables_and_layouts())
def test_one_hot_layouts_have_one_class_at_each_pixel_and_give_the_ids_back(table_and_layout):
    table, layout = table_and_layout
    channels = ops.convert_to_numpy(ops.one_hot(layout, table.num_classes))  # as the trainer and synthesizer do
    assert channels.shape == (*layout.shape, table.num_classes) and set(np.unique(channels)) <= {0, 1}
    np.testing.assert_array_equal(channels.sum(-1), 1)
    np.testing.assert_array_equal(channels.argmax(-1), layout)


@given(tables_and_layouts(), sizes, fits)
def test_resizing_a_layout_invents_no_class(tmp_path_factory, table_and_layout, size, fit):
    table, layout = table_and_layout
    path = tmp_path_factory.mktemp("layout") / "a.png"
    Image.fromarray(colorize(layout, table)).save(path)
    resized = LayoutReader(table).read(path, size, fit)
    assert resized.shape == size and set(resized.ravel()) <= set(layout.ravel())


# --- photographs


@given(arrays(np.uint8, st.tuples(sides, sides, st.just(3))), sizes, fits)
def test_a_resized_photograph_is_of_the_size_and_averages_its_pixels(tmp_path_factory, pixels, size, fit):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    Image.fromarray(pixels).save(path)
    photo = read_photo(path, size, fit)
    assert photo.shape == (*size, 3) and photo.dtype == np.uint8
    # Bicubic filters overshoot, by at most a quarter of the range.
    low, high = pixels.min((0, 1)).astype(float), pixels.max((0, 1)).astype(float)
    overshoot = 0.25 * (high - low) + 1
    assert (photo >= low - overshoot).all() and (photo <= high + overshoot).all()


@given(colors, sizes, sizes, fits)
def test_a_photograph_of_one_colour_keeps_it(tmp_path_factory, color, stored, size, fit):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    Image.new("RGB", stored[::-1], color).save(path)
    assert (read_photo(path, size, fit) == color).all()


@given(sizes, st.integers(1, 4), st.integers(1, 4))
def test_reducing_by_whole_numbers_keeps_the_mean_of_area_averages(size, down, across):
    # The layout pyramid's and the photograph's reduction agree about where things are.
    pixels = np.add.outer(np.linspace(0, 120, size[0] * down), np.linspace(0, 120, size[1] * across))
    image = Image.fromarray(pixels.astype(np.float32))
    reduced = np.asarray(resize(image, size, "resize", Image.Resampling.BOX))
    expected = pixels.reshape(size[0], down, size[1], across).mean((1, 3))
    np.testing.assert_allclose(reduced, expected, atol=1e-2)


# --- tap masking


@st.composite
def layouts_and_errors(draw):
    """One-hot layouts [B, H, W, C] and errors [B, k, h, w] at taps of decreasing size."""
    random = np.random.default_rng(draw(seeds))
    batch, images, classes = draw(st.tuples(*[st.integers(1, 3)] * 2, st.integers(1, 6)))
    height, width = draw(st.tuples(*[st.integers(1, 5)] * 2))
    halvings = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
    height, width = height << sum(halvings), width << sum(halvings)
    layout = np.eye(classes, dtype="float32")[random.integers(0, classes, (batch, height, width))]
    scale = 10.0 ** draw(st.integers(-6, 6))
    errors = []
    for halving in halvings:
        height, width = height >> halving, width >> halving
        errors.append(np.float32(scale * random.random((batch, images, height, width))))
    return layout, errors


@given(layouts_and_errors())
def test_class_shares_sum_to_the_mean_error_at_every_tap(layout_and_errors):
    layout, errors = layout_and_errors
    for error, at_tap in zip(errors, layout_pyramid(layout, errors), strict=True):
        shares = ops.convert_to_numpy(class_errors(error, at_tap))
        assert shares.shape == (*error.shape[:2], layout.shape[-1]) and (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(-1), error.mean((2, 3)), rtol=1e-4)
        np.testing.assert_allclose(np.sum(at_tap, -1), 1, rtol=1e-5)
        absent = ~np.any(np.asarray(at_tap) > 0, axis=(1, 2))
        assert not shares[np.broadcast_to(absent[:, None], shares.shape)].any()


@given(layouts_and_errors())
def test_the_best_of_each_class_costs_no_more_than_all_images_do(layout_and_errors):
    layout, errors = layout_and_errors
    weights = [1.0] * len(errors)
    best, terms = best_per_class_loss(errors, weights, layout)
    content, _ = content_loss(errors, weights)
    assert float(best) <= float(content) * (1 + 1e-4)
    assert float(np.sum(terms)) == pytest.approx(float(best), rel=1e-4)
    if errors[0].shape[1] == 1:
        assert float(best) == pytest.approx(float(content), rel=1e-4)


# --- checkpoints

names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
dtypes = st.sampled_from(["float16", "bfloat16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"])


def variable(shape, dtype, seed) -> keras.Variable:
    value = np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 128, shape)
    return keras.Variable(ops.cast(value, dtype), dtype=dtype, trainable=False)


@given(st.dictionaries(names, st.tuples(shapes, dtypes, seeds), min_size=1, max_size=6))
def test_variables_of_any_name_shape_and_type_survive_a_checkpoint(tmp_path_factory, described):
    prefix = tmp_path_factory.mktemp("checkpoint") / "state"
    written = {name: variable(*what) for name, what in described.items()}
    write_variables(prefix, written)
    read = {name: keras.Variable(ops.zeros(s, d), dtype=d, trainable=False) for name, (s, d, _) in described.items()}
    read_variables(prefix, read)
    for name, expected in written.items():
        assert read[name].dtype == expected.dtype
        np.testing.assert_array_equal(np.array(read[name], "float64"), np.array(expected, "float64"))


@given(shapes, shapes, seeds)
def test_a_checkpoint_of_another_shape_changes_nothing(tmp_path_factory, stored, wanted, seed):
    assume(stored != wanted)
    prefix = tmp_path_factory.mktemp("checkpoint") / "state"
    write_variables(prefix, {"v": variable(stored, "float32", seed)})
    kept = variable(wanted, "float32", seed + 1)
    before = np.array(kept)
    with pytest.raises(UserError, match=r"v in the checkpoint .* expected"):
        read_variables(prefix, {"v": kept})
    np.testing.assert_array_equal(before, np.array(kept))
