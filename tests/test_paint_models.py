"""What is kept of pictures, and what models are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.toy import ToyDataSet
from crn_tf.errors import UsageError, UserError
from crn_tf.model.description import ModelDescription
from crn_tf.pages.paint_models import Painter, PaintModel, names_of
from tests.paintings import Colours, encoded, indexed_png

TOY = ToyDataSet.classes


def model(name: str, height: int = 8, images: int = 2, classes: ClassTable = TOY, **options) -> PaintModel:
    return PaintModel(name, ModelDescription(height, (4, 8), images, 0.01, classes), Colours(images), **options)


def layout(seed: int, size=(8, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TOY.num_classes, size).astype(np.uint8)


def test_the_same_layout_is_synthesized_once_whatever_file_it_comes_in():
    painter = Painter([model("a")])
    painted = painter.paint(painter.default, indexed_png(layout(0), TOY), "ids")
    assert painted.images.shape == (2, 8, 16, 3) and (painted.images[1, ..., 0] == layout(0) * 20 + 1).all()
    large = indexed_png(layout(0).repeat(2, 0).repeat(2, 1), TOY)
    assert painter.known(painter.default, large, "ids") is None
    again = painter.paint(painter.default, large, "ids")
    assert again.images is painted.images and again.seconds == painted.seconds
    assert painter.known(painter.default, large, "ids").images is painted.images
    assert painter.known(painter.default, large, "auto") is None  # it might be another layout
    assert len(painter.default.synthesizer.calls) == 1


def test_only_the_last_few_are_kept():
    painter = Painter([model("a")])
    files = [indexed_png(layout(seed), TOY) for seed in range(12)]
    for file in files:
        painter.paint(painter.default, file, "ids")
    known = [painter.known(painter.default, file, "ids") is not None for file in files]
    assert known == [False] * 4 + [True] * 8


def test_a_draft_that_is_asked_often_leaves_the_large_models_pictures():
    painter = Painter([model("a"), model("small", draft=True)])
    first = indexed_png(layout(0), TOY)
    painter.paint(painter.default, first, "ids")
    for seed in range(12):
        painter.paint(painter.models["small"], indexed_png(layout(seed), TOY), "ids")
    assert painter.known(painter.default, first, "ids") is not None
    assert painter.known(painter.models["small"], first, "ids") is None


def test_each_model_has_its_size_and_its_own_pictures():
    painter = Painter([model("a"), model("b", height=16, images=1, draft=True)])
    assert painter.size() == (8, 16)
    file = indexed_png(layout(0), TOY)
    small, large = (painter.paint(each, file, "ids").images for each in painter.models.values())
    assert small.shape == (2, 8, 16, 3) and large.shape == (1, 16, 32, 3)
    np.testing.assert_array_equal(large[0], small[0].repeat(2, 0).repeat(2, 1))
    painter.warm_up()
    assert [len(each.synthesizer.calls) for each in painter.models.values()] == [2, 2]


def test_what_is_said_is_of_the_file_not_of_the_picture():
    painter = Painter([model("a")])
    odd = np.array([*TOY.palette, (1, 250, 3)], np.uint8)[layout(0)]  # void in a colour that is none
    said = painter.paint(painter.default, encoded(Image.fromarray(odd)), "auto").said
    assert "count as void" in " ".join(said)
    assert painter.paint(painter.default, indexed_png(layout(0), TOY), "ids").said == ()
    assert len(painter.default.synthesizer.calls) == 1


def test_models_of_other_classes_are_refused():
    with pytest.raises(UsageError, match=r"b has other classes \(19: road, .*\) than a \(9: sky, .*\.\.\.\); expected"):
        Painter([model("a"), model("b", classes=CITYSCAPES)])


def test_no_layout_is_an_error_of_whoever_sent_it():
    painter = Painter([model("a")])
    with pytest.raises(UserError, match="not a picture"):
        painter.paint(painter.default, b"none", "auto")


def test_names_say_where_models_are_from():
    paths = ["runs/one", "runs/two/best.weights.h5", "x/one", "other.weights.h5", "result_256p/model.ckpt", "y/one"]
    assert names_of(list(map(Path, paths))) == ["one", "two", "one (2)", "other", "result_256p", "one (3)"]
