"""Training settings: the release's schedule as defaults, what is refused, and the file they are kept in."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crn_tf.cascade import coarsest_grid, parse_pair
from crn_tf.errors import UsageError, UserError
from crn_tf.settings import DEMO, FIXED_AT_START, TrainSettings


@pytest.mark.parametrize(
    ("res", "images", "loss", "epochs", "rebalance_epoch"),
    [(256, 9, "best-per-class", 200, 100), (512, 1, "content", 20, 10), (1024, 1, "content", 5, 2)],
)
def test_defaults_are_the_releases_schedule(res, images, loss, epochs, rebalance_epoch):
    settings = TrainSettings(res=res).resolved()
    assert (settings.images, settings.loss, settings.epochs) == (images, loss, epochs)
    assert (settings.loss_weights, settings.rebalance_epoch) == ("inverse-elements", rebalance_epoch)
    assert (settings.lr, settings.batch, settings.precision) == (1e-4, 1, "float32")
    assert settings.image_size == (res, 2 * res)
    assert settings.base_grid == "4x8" and settings.grid == (4, 8)


@pytest.mark.parametrize(("size", "epochs"), [("192x256", 200), ("384x512", 20), ("768x1024", 5)])
def test_other_sizes_take_the_schedule_of_the_next_height(size, epochs):
    assert TrainSettings(size=size).resolved().epochs == epochs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"loss_weights": "release-256p"}, 0),  # chosen weights stay
        ({"loss_weights": "release-256p", "rebalance_epoch": 3}, 3),
        ({"rebalance_epoch": 0}, 0),
        ({"epochs": 7}, 3),
        ({"epochs": 1}, 1),
    ],
)
def test_loss_weights_are_rebalanced_after_half_of_the_epochs_unless_chosen(given, expected):
    assert TrainSettings(**given).resolved().rebalance_epoch == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train_modules": "512"}, "--train-modules 512: there is no module of that height at 256x512"),
        ({"train_modules": "128,"}, "--train-modules must be like 512,1024"),
        ({"init_optimizer": True}, "give that too"),
        ({"rebalance_epoch": -1}, "--rebalance-epoch must not be negative"),
        ({"max_unreadable": -0.1}, "--max-unreadable is a share, from 0 to less than 1, not -0.1"),
        ({"max_unreadable": 5.0}, "--max-unreadable is a share, from 0 to less than 1, not 5.0"),
        ({"max_unreadable": float("nan")}, "--max-unreadable is a share"),
    ],
)
def test_options_that_make_no_sense_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        TrainSettings(**given).resolved()


def test_modules_to_train_are_heights():
    assert TrainSettings(train_modules="128,256").resolved().trained_heights == [128, 256]
    assert TrainSettings().resolved().trained_heights is None


def test_what_is_given_is_kept():
    settings = TrainSettings(images=4, loss="best-image", loss_weights="release-gta", epochs=7, base_grid="8x16")
    settings = dataclasses.replace(settings, rebalance_epoch=2)
    assert settings.resolved() == dataclasses.replace(settings, size="256x512")


def test_several_images_are_compared_per_class_and_one_as_a_whole():
    assert TrainSettings(res=512, images=3).resolved().loss == "best-per-class"
    assert TrainSettings(res=256, images=1).resolved().loss == "content"


def test_the_demo_makes_sense():
    assert DEMO.resolved().grid == (3, 6)


def test_resolving_twice_changes_nothing():
    once = TrainSettings(size="192x256").resolved()
    assert once.resolved() == once and once.base_grid == "3x4"


# --- sizes and grids


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((256, 512), (4, 8)),
        ((512, 1024), (4, 8)),
        ((1024, 2048), (4, 8)),
        ((192, 256), (3, 4)),
        ((256, 256), (4, 4)),
        ((384, 1280), (3, 10)),
        ((448, 640), (7, 10)),
        ((2048, 2048), (8, 8)),  # eight doublings, not nine
        ((5, 8), (5, 8)),
    ],
)
def test_the_coarsest_grid(size, grid):
    assert coarsest_grid(*size) == grid


@pytest.mark.parametrize(
    ("size", "found", "suggested"),
    [
        ("360x480", "45x60", "384x512"),
        ("1080x1920", "135x240", "1024x2048"),
        ("320x480", "10x15", "320x512"),
        ("4000x6000", "250x375", "2048x3072"),
    ],
)
def test_a_size_that_cannot_be_halved_often_enough_is_told_a_near_one_that_can(size, found, suggested):
    message = f"{size} can be halved only to {found}; a cascade starts from about 4x8. Try --size {suggested} "
    with pytest.raises(UsageError, match=re.escape(message)):
        TrainSettings(size=size).resolved()


@given(st.integers(1, 6000), st.integers(1, 6000))
@example(4097, 4097)
def test_a_grid_doubles_up_to_its_size_and_every_suggestion_has_one(height, width):
    try:
        rows, columns = coarsest_grid(height, width)
    except UsageError as error:
        height, width = parse_pair(re.search(r"--size (\S+)", str(error))[1], "--size")
        rows, columns = coarsest_grid(height, width)
    doublings = (height // rows).bit_length() - 1
    assert (rows << doublings, columns << doublings) == (height, width)
    assert doublings <= 8 and min(rows, columns) <= 8
    assert TrainSettings(size=f"{height}x{width}").resolved().grid == (rows, columns)


@pytest.mark.parametrize("base_grid", ["5x8", "4x4", "8x8", "300x600", "512x1024"])
def test_a_grid_that_does_not_double_up_to_the_size_is_refused(base_grid):
    with pytest.raises(UsageError, match=f"256x512 is not a base grid of {base_grid} doubled up to eight times"):
        TrainSettings(base_grid=base_grid).resolved()


def test_more_than_nine_modules_are_refused():
    with pytest.raises(UsageError, match="1024x2048 is not a base grid of 2x4 doubled up to eight times"):
        TrainSettings(res=1024, base_grid="2x4").resolved()


@pytest.mark.parametrize("text", ["", "256", "256x", "256X512", "0x512", "-4x8", "4x8x1", "4.5x8", " 4x8", "1000000x1"])
def test_what_is_no_pair_of_numbers_is_wrong_usage(text):
    with pytest.raises(UsageError, match=re.escape(f"--size must be like 192x256 (height x width), not {text!r}")):
        parse_pair(text, "--size")


@pytest.mark.parametrize(("field", "option"), [("size", "--size"), ("base_grid", "--base-grid")])
def test_a_bad_pair_is_told_with_its_option(field, option):
    with pytest.raises(UsageError, match=f"{option} must be like .*, not '4by8'"):
        TrainSettings(**{field: "4by8"}).resolved()


# --- values


@pytest.mark.parametrize("value", [0, -1, float("nan")])
@pytest.mark.parametrize(
    "name", ["images", "epochs", "steps", "batch", "lr", "width", "checkpoint_minutes", "validation_limit"]
)
def test_amounts_must_be_positive(name, value):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be greater than 0, not {value}$"):
        TrainSettings(**{name: value}).resolved()


def test_the_seed_must_not_be_negative():
    assert TrainSettings(seed=0).resolved().seed == 0
    with pytest.raises(UsageError, match="--seed must not be negative, not -1"):
        TrainSettings(seed=-1).resolved()


def test_a_usage_error_leaves_with_exit_code_2():
    assert (UserError.exit_code, UsageError.exit_code) == (1, 2)
    assert issubclass(UsageError, UserError)


def test_what_resume_cannot_change_are_settings():
    assert set(FIXED_AT_START) <= {field.name for field in dataclasses.fields(TrainSettings)}


# --- the file


def test_settings_are_read_as_they_were_written(tmp_path):
    settings = TrainSettings(size="192x256", data=tmp_path, cache=tmp_path / "new", flip=True, lr=3e-4, steps=9)
    settings = settings.resolved()
    (tmp_path / "settings.json").write_text(settings.to_json())
    assert TrainSettings.read(tmp_path / "settings.json") == settings


def test_what_belongs_to_one_call_is_not_kept(tmp_path):
    (tmp_path / "settings.json").write_text(TrainSettings(out=tmp_path, resume=True, demo=True, batch=3).to_json())
    assert TrainSettings.read(tmp_path / "settings.json") == TrainSettings(batch=3)


def test_paths_are_kept_absolute_so_that_a_run_goes_on_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("vgg.h5").touch()
    Path("settings.json").write_text(TrainSettings(data=Path("own"), vgg_weights="vgg.h5").to_json())
    settings = TrainSettings.read(Path("settings.json"))
    assert settings.data == tmp_path / "own" and settings.vgg_weights == str(tmp_path / "vgg.h5")


@pytest.mark.parametrize("weights", ["imagenet", "random", None])
def test_weights_that_are_no_file_are_kept_as_they_are(tmp_path, weights):
    (tmp_path / "settings.json").write_text(TrainSettings(vgg_weights=weights).to_json())
    assert TrainSettings.read(tmp_path / "settings.json").vgg_weights == weights


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ("{}", "'data'"),
        ('{"data": null, "cache": null, "init_from": null, "colour": 1}', "unexpected keyword argument 'colour'"),
        ('{"data": 5, "cache": null}', "int"),
    ],
)
def test_a_damaged_settings_file_is_named(tmp_path, text, complaint):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UserError, match=f"cannot read the settings {tmp_path}/settings.json: .*{complaint}"):
        TrainSettings.read(tmp_path / "settings.json")


def test_a_missing_settings_file_is_explained(tmp_path):
    with pytest.raises(UserError, match=f"no {tmp_path}/settings.json: {tmp_path} is not a run folder of train.py"):
        TrainSettings.read(tmp_path / "settings.json")
