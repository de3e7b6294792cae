"""The small model that comes with the package: written in float16, read like any other model."""

import dataclasses
import zipfile

import numpy as np
import pytest

from crn_tf.data.toy import ToyDataSet
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.bundled import CARD, DESCRIPTION, FOLDER, LARGEST, WEIGHTS, bundled_model, is_bundled, write_bundled
from crn_tf.saved.loading import find_model, load_generator

SMALL = ModelDescription(8, (4, 8), 2, 0.01, ToyDataSet.classes, fit="crop")


def trained(description: ModelDescription = SMALL):
    generator, random = description.build(), np.random.default_rng(0)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape))
    return generator


@pytest.fixture
def folder(tmp_path):
    write_bundled(tmp_path / "small", trained(), SMALL, "# A card\n")
    return tmp_path / "small"


def test_it_is_read_like_any_other_model(folder):
    assert find_model(bundled_model(folder)) == (folder, str(folder))
    generator, description = load_generator(folder)
    assert description == SMALL and {v.dtype for v in generator.variables} == {"float32"}
    for variable, other in zip(generator.variables, trained().variables, strict=True):
        np.testing.assert_array_equal(variable, np.asarray(other).astype(np.float16).astype(np.float32))
    wide, _ = load_generator(folder, size=(8, 24))
    assert wide.output_shape == (None, 2, 8, 24, 3)
    assert (folder / CARD).read_text() == "# A card\n"
    assert (folder / WEIGHTS).stat().st_size < 2 * SMALL.parameters + 20_000


def test_where_there_is_none_that_is_one_line(tmp_path):
    with pytest.raises(UserError, match=f"no model comes with .* {tmp_path}.*: name one with --weights"):
        bundled_model(tmp_path)


def test_a_model_that_is_too_large_or_too_wild_is_not_written(tmp_path):
    large = dataclasses.replace(SMALL, width=0.5, height=32)
    assert 2 * large.parameters > LARGEST
    with pytest.raises(UserError, match="at most 4,000,000: train a narrower"):
        write_bundled(tmp_path / "large", trained(large), large, "")
    wild = trained()
    wild.variables[0].assign(np.full(wild.variables[0].shape, 1e6))
    with np.errstate(over="ignore"), pytest.raises(UserError, match="too large for float16"):
        write_bundled(tmp_path / "wild", wild, SMALL, "")
    assert not list(tmp_path.iterdir())


def damage(folder, **changes) -> None:
    """Write the weights again, some of them changed; None leaves one out."""
    with np.load(folder / WEIGHTS) as values:
        kept = {name.replace("/", "__"): values[name] for name in values.files} | changes
    kept = {name.replace("__", "/"): value for name, value in kept.items() if value is not None}
    np.savez(folder / WEIGHTS, **kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "module_4_conv1/kernel is not a file in the archive"),
        (np.zeros((3, 3), np.float16), r"is float16 \[3, 3\], expected \[3, 3, "),
        (np.zeros((3, 3, 10, 10), np.float32), "is larger than"),
        (np.array([{}]), "Object arrays cannot be loaded"),
    ],
)
def test_weights_of_another_model_are_one_line(folder, change, words):
    damage(folder, module_4_conv1__kernel=change)
    with pytest.raises(UserError, match=rf"cannot read the weights .*{WEIGHTS}: .*{words}"):
        load_generator(folder)


def test_damaged_files_are_one_line(folder):
    content = (folder / WEIGHTS).read_bytes()
    for start in range(0, len(content), len(content) // 40):  # somewhere in each part of the file
        (folder / WEIGHTS).write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
        try:
            load_generator(folder)
        except UserError as error:
            assert "cannot read the weights" in str(error) and "\n" not in str(error)
    (folder / WEIGHTS).write_bytes(content[:1000])
    with pytest.raises(UserError, match="its weights have 1,000 bytes, too few"):
        load_generator(folder)
    (folder / WEIGHTS).write_bytes(content + bytes(100))
    (folder / DESCRIPTION).write_text("{}")
    with pytest.raises(UserError, match="cannot read the model description"):
        load_generator(folder)


def test_an_array_that_inflates_beyond_the_model_is_not_inflated(folder):
    damage(folder, module_4_conv1__kernel=None)
    with zipfile.ZipFile(folder / WEIGHTS, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("module_4_conv1/kernel.npy", bytes(50_000_000))
    with pytest.raises(UserError, match="module_4_conv1/kernel is larger than"):
        load_generator(folder)


@pytest.mark.skipif(not is_bundled(FOLDER), reason="no model comes with this copy of the project")
def test_the_one_that_comes_along_is_small_paints_toy_streets_and_says_how_it_was_made():
    assert (FOLDER / WEIGHTS).stat().st_size < LARGEST
    _, description = load_generator(FOLDER)
    assert description.classes == ToyDataSet.classes
    card = (FOLDER / CARD).read_text()
    assert "python train.py --" in card and "python -m crn_tf.serving.bundling RUN" in card
    assert {path.name for path in FOLDER.iterdir()} == {WEIGHTS, DESCRIPTION, CARD}
