"""Saving and loading models: round trips, and files that are damaged or of another model."""

import dataclasses
import json
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import crn_tf
from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.errors import UserError
from crn_tf.files import write_text
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoints import VERSION_ATTRIBUTE, VERSION_SUFFIX, named, save_weights, write_variables
from crn_tf.saved.loading import load_generator
from crn_tf.saved.run_checkpoints import KEPT_CHECKPOINTS, restore_checkpoint, save_checkpoint
from crn_tf.saved.run_folder import RunFolder, newest_run
from tests.conftest import ROOT

CLASSES = ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))
DESCRIPTION = ModelDescription(8, (4, 6), 2, 0.01, CLASSES)


@pytest.fixture
def generator():
    return DESCRIPTION.build()


@pytest.fixture
def run(tmp_path, generator):
    """A run folder with a checkpoint at step 3."""
    folder = RunFolder(tmp_path / "run")
    write_text(folder.model, DESCRIPTION.to_json())
    save_checkpoint(folder, 3, named(generator))
    return folder


def randomized(generator, seed=0):
    random = np.random.default_rng(seed)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape))
    return generator


def assert_same_weights(a, b):
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_description_survives_json():
    for change in ({"classes": CITYSCAPES}, {"fit": "crop"}, {"trained_size": (8, 16)}, {}):
        description = dataclasses.replace(DESCRIPTION, **change)
        assert ModelDescription.from_json(description.to_json()) == description


def test_a_description_without_a_fit_is_of_a_model_trained_on_stretched_pictures():
    values = json.loads(DESCRIPTION.to_json())
    assert values.pop("fit") == "resize"
    assert ModelDescription.from_json(json.dumps(values)) == DESCRIPTION


@pytest.mark.parametrize("change", [{"fit": "crop"}, {"trained_size": (8, 16)}])
def test_what_says_nothing_of_the_weights_is_no_difference(change):
    assert DESCRIPTION.difference(dataclasses.replace(DESCRIPTION, **change)) is None


def test_a_description_builds_the_generator():
    generator = DESCRIPTION.build()
    assert generator.input_shape == (None, 8, 12, 3)
    assert generator.output_shape == (None, 2, 8, 12, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0.5}, "width 0.5, expected 0.01"),
        ({"num_images": 1}, "num images 1, expected 2"),
        ({"classes": CITYSCAPES}, r"classes 19 \+ void .*, expected 2 \+ void \(a, b\)"),
    ],
)
def test_differences_between_models_are_named(change, words):
    import re

    other = dataclasses.replace(DESCRIPTION, **change)
    assert re.fullmatch(words, DESCRIPTION.difference(other))
    assert DESCRIPTION.difference(DESCRIPTION) is None


def test_a_checkpoint_restores_generator_and_optimizer(tmp_path):
    generator = randomized(DESCRIPTION.build())
    optimizer = keras.optimizers.Adam(name="adam")
    optimizer.build(generator.trainable_variables)
    optimizer.apply([np.float32(v) for v in generator.trainable_variables], generator.trainable_variables)
    folder = RunFolder(tmp_path)
    save_checkpoint(folder, 7, named(generator, optimizer))

    again = DESCRIPTION.build()
    fresh = keras.optimizers.Adam(name="adam")
    fresh.build(again.trainable_variables)
    assert restore_checkpoint(folder, named(again, fresh)) == 7
    assert_same_weights(again, generator)
    assert int(fresh.iterations) == 1
    for a, b in zip(fresh.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_the_last_checkpoints_are_kept(run, generator):
    for step in (5, 9, 11, 100):
        save_checkpoint(run, step, named(generator))
    assert [path.name for path in run.checkpoints()] == [f"step_{step:08d}" for step in (9, 11, 100)]
    assert KEPT_CHECKPOINTS == 3
    assert not list((run.path / "checkpoints").glob(".*"))


def test_a_run_folder_loads_as_its_newest_checkpoint(run, generator, monkeypatch):
    save_checkpoint(run, 9, named(randomized(generator)))
    monkeypatch.chdir(run.path)
    for path in (str(run.path), run.path, "."):
        loaded, description = load_generator(path)
        assert_same_weights(loaded, generator)
        assert description == DESCRIPTION


def test_a_weights_file_carries_its_description(tmp_path, generator):
    path = tmp_path / "some.weights.h5"
    save_weights(path, randomized(generator), DESCRIPTION)
    assert [p.name for p in tmp_path.iterdir()] == ["some.weights.h5"]
    loaded, description = load_generator(path)
    assert description == DESCRIPTION
    assert_same_weights(loaded, generator)


def test_a_weights_file_tells_its_version_and_one_from_before_is_read(tmp_path, generator):
    path = tmp_path / "some.weights.h5"
    save_weights(path, randomized(generator), DESCRIPTION)
    with h5py.File(path, "r+") as file:
        assert file.attrs[VERSION_ATTRIBUTE] == crn_tf.__version__
        del file.attrs[VERSION_ATTRIBUTE]
    assert_same_weights(load_generator(path)[0], generator)


def test_a_checkpoint_tells_its_version_and_one_from_before_is_read(run, generator):
    (version,) = run.checkpoints()[0].glob(f"*{VERSION_SUFFIX}")
    assert version.read_text() == f"{crn_tf.__version__}\n"
    version.unlink()
    other = randomized(DESCRIPTION.build())
    assert restore_checkpoint(run, named(other)) == 3
    assert_same_weights(other, generator)


def test_a_checkpoint_that_cannot_be_written_says_why_in_the_systems_words(tmp_path, generator):
    """TensorFlow's error has no number of the system's to tell it from."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^cannot write the checkpoint .*/file: Not a directory$"):
        write_variables(tmp_path / "file/state", named(generator))


@pytest.mark.parametrize("path", [".", "..", "/", "folder", "folder/.."])
def test_weights_are_not_written_over_a_folder(tmp_path, monkeypatch, generator, path):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    (tmp_path / "folder/folder").mkdir()
    with pytest.raises(UserError, match=rf"^cannot write {path}: [^\n]+$"):
        save_weights(path, generator, DESCRIPTION)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "folder", tmp_path / "folder/folder"]


def test_a_checkpoint_of_another_width_is_refused(run):
    wider = dataclasses.replace(DESCRIPTION, width=0.02).build()
    words = r"module_4_conv1/kernel in the checkpoint .*step_00000003 is \[3, 3, 3, 10\], expected \[3, 3, 3, 20\]"
    with pytest.raises(UserError, match=words):
        restore_checkpoint(run, named(wider))


def test_a_checkpoint_of_a_smaller_model_is_refused(run):
    taller = dataclasses.replace(DESCRIPTION, height=16).build()
    with pytest.raises(UserError, match=r"step_00000003 has no variable generator/module_16_conv1/kernel"):
        restore_checkpoint(run, named(taller))


def damage_checkpoint(folder, damage):
    data = folder / "state.data-00000-of-00001"
    content = data.read_bytes()
    if damage == "truncated":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "flipped bit":
        middle = len(content) // 2
        data.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "no data":
        data.unlink()
    else:
        data.with_name("state.index").unlink()


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "no data", "no index"])
def test_a_damaged_checkpoint_is_noticed(run, generator, damage):
    damage_checkpoint(run.checkpoints()[0], damage)
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*step_00000003"):
        restore_checkpoint(run, named(generator))


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "no index"])
def test_the_checkpoint_before_a_damaged_one_is_used(run, generator, capsys, damage):
    weights = [weights.copy() for weights in generator.get_weights()]
    for step in (5, 8):
        newest = save_checkpoint(run, step, named(randomized(generator, step)))
        damage_checkpoint(newest, damage)
    for locked in (False, True, False):
        if locked:
            run.lock()
        other = randomized(DESCRIPTION.build(), 99)
        assert restore_checkpoint(run, named(other)) == 3
        run.unlock()
        for a, b in zip(other.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)
        warnings = capsys.readouterr().err.splitlines()
        names = [path.name for path in (run.path / "checkpoints").iterdir()]
        if "damaged_step_00000008" not in names:  # only reading does not rename anything
            assert not locked and len(warnings) == 2
        elif locked:
            assert len(warnings) == 2
            for step, line in zip((8, 5), warnings, strict=True):
                name = f"step_{step:08d}"
                assert line.startswith(f"warning: cannot read the checkpoint {run.path}/checkpoints/{name}: ")
                assert line.endswith(f"; going on from step_00000003 instead; the damaged one is now damaged_{name}")
        else:
            assert not warnings
    save_checkpoint(run, 8, named(generator))
    assert restore_checkpoint(run, named(other)) == 8


def test_a_run_without_any_whole_checkpoint_says_so(run, generator):
    damage_checkpoint(save_checkpoint(run, 5, named(generator)), "truncated")
    damage_checkpoint(run.checkpoints()[0], "no index")
    with pytest.raises(UserError, match=r"step_00000005: .*; the 1 before it are damaged too$"):
        restore_checkpoint(run, named(generator))


def test_a_lock_ends_with_its_process_and_its_leftovers_are_removed(run):
    program = (
        "import os, signal, sys; from pathlib import Path; from crn_tf.saved.run_folder import RunFolder;"
        "run = RunFolder(Path(sys.argv[1])); run.lock(); print('locked', flush=True); signal.alarm(60); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, run.path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match="another process is training in"):
            run.lock()
        holder.kill()
    unfinished = run.path / "checkpoints/.step_00000009.0123abcd.part"
    unfinished.mkdir()
    (unfinished / "state.index").write_bytes(b"half")
    (run.path / ".model.json.0123abcd.part").write_text("half")
    run.lock()
    assert not list(run.path.rglob("*.part"))
    assert [path.name for path in run.checkpoints()] == ["step_00000003"]
    run.unlock()


def test_a_folder_without_a_model_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"no .*model.json: .* is not a run folder of train.py"):
        load_generator(tmp_path)


def test_a_run_without_checkpoint_says_so(tmp_path):
    write_text(tmp_path / "model.json", DESCRIPTION.to_json())
    with pytest.raises(UserError, match="no checkpoint in"):
        load_generator(tmp_path)


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no weights .*missing.weights.h5"):
        load_generator(tmp_path / "missing.weights.h5")


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.weights.h5"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save_weights(path)
    with pytest.raises(UserError, match="has no description of its model"):
        load_generator(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read the weights .*other.weights.h5"):
        load_generator(path)
    wrong_suffix = tmp_path / "weights.npz"
    wrong_suffix.write_bytes(b"")
    with pytest.raises(UserError, match=r"does not end in .weights.h5"):
        load_generator(wrong_suffix)


def test_the_newest_run_is_the_one_saved_last(tmp_path, generator):
    import os

    with pytest.raises(UserError, match="no run with a checkpoint"):
        newest_run(tmp_path)
    for name, age in (("b", 10), ("a", 0), ("c", 20)):
        folder = RunFolder(tmp_path / name)
        checkpoint = save_checkpoint(folder, 1, named(generator))
        os.utime(checkpoint, (1e9 - age, 1e9 - age))
    assert newest_run(tmp_path).path.name == "a"
