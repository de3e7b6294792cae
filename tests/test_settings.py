"""Flags and settings of training: the release's schedule as defaults, what is refused, the file they are kept in."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crn_tf.errors import UsageError, UserError
from crn_tf.model.cascade import coarsest_grid, parse_pair
from crn_tf.train import resume, start
from crn_tf.training.flags import DEMO, TrainFlags
from crn_tf.training.settings import FIXED_AT_START, TrainSettings


def resolved(**given) -> TrainSettings:
    """The settings that flags ask for, with data and a perceiver that need no files."""
    if "data" not in given:
        given = {"dataset": "toy", **given}
    return TrainFlags.of(**{"vgg_weights": "random", **given}).resolved()


@pytest.mark.parametrize(
    ("res", "images", "loss", "epochs", "rebalance_epoch"),
    [(256, 9, "best-per-class", 200, 100), (512, 1, "content", 20, 10), (1024, 1, "content", 5, 2)],
)
def test_defaults_are_the_releases_schedule(res, images, loss, epochs, rebalance_epoch):
    settings = resolved(res=res)
    assert (settings.images, settings.loss, settings.epochs) == (images, loss, epochs)
    assert (settings.loss_weights, settings.rebalance_epoch) == ("inverse-elements", rebalance_epoch)
    assert (settings.lr, settings.batch, settings.precision) == (1e-4, 1, "float32")
    assert settings.size == (res, 2 * res) and settings.base_grid == (4, 8)
    assert settings.adam_epsilon == 1e-8
    assert (settings.lr_schedule, settings.lr_warmup, settings.ema) == ("constant", 0, None)


@pytest.mark.parametrize(("size", "epochs"), [("192x256", 200), ("384x512", 20), ("768x1024", 5)])
def test_other_sizes_take_the_schedule_of_the_next_height(size, epochs):
    assert resolved(size=size).epochs == epochs


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
    assert resolved(**given).rebalance_epoch == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train_modules": "512"}, "--train-modules 512: there is no module of that height at 256x512"),
        ({"train_modules": "128,"}, "--train-modules must be like 512,1024"),
        ({"init_optimizer": True}, "give that too"),
        ({"rebalance_epoch": -1}, "--rebalance-epoch must not be negative"),
        ({"lr_warmup": -1}, "--lr-warmup is a number of steps, 0 for none, not -1"),
        ({"ema": 0.0}, "--ema is greater than 0 and less than 1, such as 0.999, not 0.0"),
        ({"ema": 1.0}, "--ema is greater than 0 and less than 1"),
        ({"ema": float("nan")}, "--ema is greater than 0 and less than 1"),
        ({"max_unreadable": -0.1}, "--max-unreadable is a share, from 0 to less than 1, not -0.1"),
        ({"max_unreadable": 5.0}, "--max-unreadable is a share, from 0 to less than 1, not 5.0"),
        ({"max_unreadable": float("nan")}, "--max-unreadable is a share"),
    ],
)
def test_options_that_make_no_sense_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        resolved(**given)


@pytest.mark.parametrize(
    ("given", "model", "loss", "weights"),
    [
        ({}, "crn", "best-per-class", "inverse-elements"),
        ({"model": "encoder-decoder"}, "encoder-decoder", "content", "inverse-elements"),
        ({"model": "full-resolution", "images": 3}, "full-resolution", "best-per-class", "inverse-elements"),
        ({"model": "pix2pix"}, "pix2pix", "pix2pix", "fixed"),
        ({"model": "dcgan"}, "dcgan", "gan-segmentation", "fixed"),
        ({"loss": "image-space"}, "crn", "image-space", "fixed"),
        ({"loss": "composite"}, "crn", "composite", "auto"),
        ({"loss": "gan-segmentation"}, "dcgan", "gan-segmentation", "fixed"),
        ({"loss": "pix2pix"}, "pix2pix", "pix2pix", "fixed"),
        ({"loss": "composite", "model": "encoder-decoder"}, "encoder-decoder", "composite", "auto"),
    ],
)
def test_network_and_loss_ask_for_each_other(given, model, loss, weights):
    settings = resolved(**given)
    assert (settings.model, settings.loss, settings.loss_weights) == (model, loss, weights)
    assert settings.images == (given.get("images") or (9 if not given else 1))
    assert settings.rebalance_epoch == (100 if weights == "inverse-elements" else 0)
    assert settings.lr == (2e-4 if model in ("pix2pix", "dcgan") else 1e-4)
    assert settings.base_grid == ((4, 8) if model == "crn" else settings.size)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "pix2pix", "loss": "content"}, "with the network pix2pix go the losses pix2pix"),
        ({"model": "crn", "loss": "gan-segmentation"}, "with the network crn go the losses content, best-image, best-"),
        ({"model": "pix2pix", "images": 2}, "--images 2: with --model pix2pix --loss pix2pix there is one"),
        ({"loss": "composite", "images": 3}, "there is one for each layout"),
        ({"loss": "image-space", "images": 3}, "there is one for each layout"),
        (
            {"loss": "pix2pix", "loss_weights": "release-256p"},
            "--loss-weights: the loss pix2pix has weights of its own",
        ),
        ({"loss": "composite", "rebalance_epoch": 3}, "--rebalance-epoch: the loss composite has weights of its own"),
        ({"model": "full-resolution", "base_grid": "4x8"}, "--base-grid is for the CRN"),
        ({"model": "pix2pix", "train_modules": "4"}, "--train-modules is for the CRN"),
        ({"model": "pix2pix", "size": "3x8"}, "3x8: expected at least 4 rows and columns"),
        ({"loss": "content", "loss_weights": "fixed"}, "no loss weights fixed"),
        (
            {"loss": "gan-segmentation", "segmenter": Path("x")},
            "no segmenter in x: expected a folder as RUN/segmenters",
        ),
        ({"segmenter": Path("x")}, "--segmenter is for --loss gan-segmentation, not for best-per-class"),
    ],
)
def test_methods_that_do_not_go_together_are_refused(given, words):
    with pytest.raises(UserError, match=re.escape(words)):
        resolved(**given)


@pytest.mark.parametrize(
    ("given", "lr", "weights"),
    [
        ((), 1e-3, "inverse-elements"),
        (("--loss", "content"), 1e-3, "inverse-elements"),
        (("--model", "crn"), 1e-3, "inverse-elements"),
        (("--model", "full-resolution"), 1e-3, "inverse-elements"),
        (("--model", "pix2pix"), 2e-4, "fixed"),
        (("--loss", "composite"), 1e-4, "auto"),
        (("--loss", "image-space"), 1e-4, "fixed"),
    ],
)
def test_the_demo_of_another_method(given, lr, weights, tmp_path):
    settings, _ = start(TrainFlags.parse(["--demo", *given]), ["--demo", *given])
    assert (settings.lr, settings.loss_weights, settings.rebalance_epoch) == (lr, weights, 0)
    assert settings.size == (96, 192) and settings.images == 1


def begun(folder: Path, **given) -> Path:
    """A run's folder with its settings."""
    folder.mkdir()
    (folder / "settings.json").write_text(resolved(**given).to_json())
    return folder


@pytest.mark.parametrize(
    ("run", "given", "words"),
    [
        (
            {"loss": "content", "images": 1},
            ("--loss", "image-space"),
            "is content and cannot be changed to image-space",
        ),
        ({"loss": "content", "images": 1}, ("--loss", "composite"), "is content and cannot be changed to composite"),
        ({"loss": "image-space"}, ("--loss", "content"), "is image-space and cannot be changed to content"),
        ({"images": 1}, ("--model", "encoder-decoder"), "--model of .* is crn and cannot be changed"),
        ({"model": "pix2pix"}, ("--jitter",), "--jitter of .* is False and cannot be changed"),
        ({"loss": "gan-segmentation"}, ("--vgg-pool", "max"), "--vgg-pool of .* is avg and cannot be changed"),
    ],
)
def test_a_run_goes_on_with_its_method(run, given, words, tmp_path):
    folder = begun(tmp_path / "run", **run)
    with pytest.raises(UsageError, match=words):
        resume(TrainFlags.parse(["--out", str(folder), *given]), ["--out", str(folder), *given])


@pytest.mark.parametrize(
    ("run", "given"),
    [
        ({"images": 3}, ("--loss", "best-image")),
        ({"model": "full-resolution", "size": "37x50"}, ("--size", "37x50")),
        ({"images": 1}, ("--vgg-pool", "max")),
        ({"loss": "gan-segmentation"}, ("--steps", "9")),
    ],
)
def test_what_a_run_may_be_given_when_it_goes_on(run, given, tmp_path):
    folder = begun(tmp_path / "run", **run)
    settings, _ = resume(TrainFlags.parse(["--out", str(folder), *given]), ["--out", str(folder), *given])
    before = resolved(**run)
    assert (settings.model, settings.size, settings.images) == (before.model, before.size, before.images)


def test_a_run_that_was_stopped_while_its_segmenter_was_trained_starts_again(tmp_path):
    (tmp_path / "segmenters").mkdir()
    asked = ["--dataset", "toy", "--vgg-weights", "random", "--loss", "gan-segmentation", "--out", str(tmp_path)]
    assert start(TrainFlags.parse(asked), asked)[1].path == tmp_path


def test_other_networks_take_sizes_that_a_cascade_has_not():
    settings = resolved(model="full-resolution", size="37x50")
    assert settings.size == settings.base_grid == (37, 50)
    assert TrainFlags.of_settings(settings).resolved(settings) == settings


def test_modules_to_train_are_heights():
    assert resolved(train_modules="128,256").train_modules == (128, 256)
    assert resolved().train_modules is None


def test_what_is_given_is_kept():
    given = {"images": 4, "loss": "best-image", "loss_weights": "release-gta", "epochs": 7, "rebalance_epoch": 2}
    settings = resolved(**given, base_grid="8x16")
    assert {name: getattr(settings, name) for name in given} == given and settings.base_grid == (8, 16)


def test_several_images_are_compared_per_class_and_one_as_a_whole():
    assert resolved(res=512, images=3).loss == "best-per-class"
    assert resolved(res=256, images=1).loss == "content"


def test_the_demo_makes_sense():
    assert DEMO.resolved().base_grid == (3, 6)


def test_settings_ask_for_themselves():
    settings = resolved(size="192x256", train_modules="96,192", rebalance_epoch=3, ema=0.99, lr_schedule="cosine")
    assert TrainFlags.of_settings(settings).resolved() == settings and settings.base_grid == (3, 4)


def test_a_flag_that_is_not_there_is_no_flag():
    with pytest.raises(TypeError, match="there is no flag colour"):
        TrainFlags.of(colour="red")


def test_every_flag_of_a_run_is_a_setting_or_belongs_to_one_call():
    flags = {name for group in vars(TrainFlags()).values() for name in vars(group)}
    settings = {field.name for field in dataclasses.fields(TrainSettings)}
    of_one_call = {"res", "out", "resume", "resume_or_start", "demo", "dry_run", "strategy", "require_gpu"}
    assert flags - settings == of_one_call and settings <= flags


@pytest.mark.parametrize(("rebalance_epoch", "epochs"), [(5, 2), (2, 1)])
def test_rebalancing_behind_the_last_epoch_is_refused(rebalance_epoch, epochs):
    words = f"--rebalance-epoch {rebalance_epoch} is behind the last of {epochs} epochs: choose an earlier one"
    with pytest.raises(UsageError, match=words):
        resolved(rebalance_epoch=rebalance_epoch, epochs=epochs)
    assert resolved(rebalance_epoch=2, epochs=2).rebalance_epoch == 2


def test_a_run_that_goes_on_may_be_given_fewer_epochs():
    before = resolved(epochs=4)
    flags = TrainFlags.of_settings(before).changed(epochs=1)
    assert flags.resolved(before).rebalance_epoch == 2


def test_the_kind_of_a_data_set_is_decided(folder_data):
    assert resolved(data=folder_data).dataset == "folder"


def test_missing_data_and_vgg19_are_told_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"(?s)^no folder nowhere\nno VGG19 weights in vgg_weights/") as caught:
        TrainFlags.of(data=Path("nowhere")).resolved()
    assert caught.value.exit_code == 1


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
        resolved(size=size)


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
    assert resolved(size=f"{height}x{width}").base_grid == (rows, columns)


@pytest.mark.parametrize("base_grid", ["5x8", "4x4", "8x8", "300x600", "512x1024"])
def test_a_grid_that_does_not_double_up_to_the_size_is_refused(base_grid):
    with pytest.raises(UsageError, match=f"256x512 is not a base grid of {base_grid} doubled up to eight times"):
        resolved(base_grid=base_grid)


def test_more_than_nine_modules_are_refused():
    with pytest.raises(UsageError, match="1024x2048 is not a base grid of 2x4 doubled up to eight times"):
        resolved(res=1024, base_grid="2x4")


@pytest.mark.parametrize("text", ["", "256", "256x", "256X512", "0x512", "-4x8", "4x8x1", "4.5x8", " 4x8", "1000000x1"])
def test_what_is_no_pair_of_numbers_is_wrong_usage(text):
    with pytest.raises(UsageError, match=re.escape(f"--size must be like 192x256 (height x width), not {text!r}")):
        parse_pair(text, "--size")


@pytest.mark.parametrize(("field", "option"), [("size", "--size"), ("base_grid", "--base-grid")])
def test_a_bad_pair_is_told_with_its_option(field, option):
    with pytest.raises(UsageError, match=f"{option} must be like .*, not '4by8'"):
        resolved(**{field: "4by8"})


# --- values


@pytest.mark.parametrize("value", [0, -1, float("nan")])
@pytest.mark.parametrize(
    "name", ["images", "epochs", "steps", "batch", "lr", "width", "checkpoint_minutes", "validation_limit"]
)
def test_amounts_must_be_positive(name, value):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be greater than 0, not {value}$"):
        resolved(**{name: value})


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_a_seed_that_numpy_would_not_take_is_refused(seed):
    assert resolved(seed=0).seed == 0 and resolved(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(UsageError, match=f"--seed must be from 0 to 4294967295, not {seed}"):
        resolved(seed=seed)


@pytest.mark.parametrize("res", [0, 300, 2048])
def test_a_resolution_that_the_release_has_not_is_refused(res):
    with pytest.raises(UsageError, match=f"--res must be 256, 512 or 1024, not {res}: --size HEIGHTxWIDTH takes"):
        resolved(res=res)


def test_a_usage_error_leaves_with_exit_code_2():
    assert (UserError.exit_code, UsageError.exit_code) == (1, 2)
    assert issubclass(UsageError, UserError)


def test_what_resume_cannot_change_are_settings():
    assert set(FIXED_AT_START) <= {field.name for field in dataclasses.fields(TrainSettings)}


# --- the file


def test_settings_are_read_as_they_were_written(folder_data):
    settings = resolved(
        size="192x256", data=folder_data, cache=folder_data / "new", flip=True, lr=3e-4, steps=9, train_modules="96,192"
    )
    path = folder_data / "settings.json"
    for each in (settings, dataclasses.replace(settings, lr_schedule="cosine", lr_warmup="auto", ema=0.5)):
        path.write_text(each.to_json())
        assert TrainSettings.read(path) == each


def test_paths_are_kept_absolute_so_that_a_run_goes_on_from_anywhere(folder_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("vgg.h5").touch()
    Path("settings.json").write_text(resolved(data=Path("own"), vgg_weights="vgg.h5").to_json())
    settings = TrainSettings.read(Path("settings.json"))
    assert settings.data == tmp_path / "own" and settings.vgg_weights == str(tmp_path / "vgg.h5")


@pytest.mark.parametrize("weights", ["imagenet", "random"])
def test_weights_that_are_no_file_are_kept_as_they_are(tmp_path, weights):
    (tmp_path / "settings.json").write_text(resolved(vgg_weights=weights).to_json())
    assert TrainSettings.read(tmp_path / "settings.json").vgg_weights == weights


def rewritten(path: Path, remove: tuple = (), **values) -> Path:
    """A file of settings of which some are missing and others are there."""
    kept = json.loads(resolved().to_json())
    path.write_text(json.dumps({name: value for name, value in (kept | values).items() if name not in remove}))
    return path


def test_a_run_from_before_adams_epsilon_was_a_setting_goes_on_with_the_one_it_had(tmp_path):
    assert TrainSettings.read(rewritten(tmp_path / "a", remove=("adam_epsilon",))).adam_epsilon == 1e-7
    assert TrainSettings.read(rewritten(tmp_path / "a")).adam_epsilon == 1e-8


def test_settings_that_an_older_version_did_not_have_are_its_defaults(tmp_path):
    newer = ("max_unreadable", "checkpoint_steps", "vgg_pool", "precision", "remat", "cache")
    newer += ("lr_schedule", "lr_warmup", "ema")
    assert TrainSettings.read(rewritten(tmp_path / "a", remove=newer, res=None)) == resolved()


def test_settings_that_a_newer_version_has_are_told(tmp_path, capsys):
    assert TrainSettings.read(rewritten(tmp_path / "a", colour=1, shape="round")) == resolved()
    assert (
        capsys.readouterr().err == "warning: settings that this version does not know are left out: 'colour, shape'\n"
    )


def test_the_kind_of_data_that_an_older_run_did_not_keep_is_found(folder_data, tmp_path):
    path = rewritten(tmp_path / "a", dataset=None, data=str(folder_data))
    assert TrainSettings.read(path).dataset == "folder"
    path = rewritten(tmp_path / "a", dataset=None, data=str(tmp_path / "moved"))
    assert TrainSettings.read(path).dataset is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "Expecting property name"), ("[]", "expected a JSON object"), ("{}", "it has no size")],
)
def test_a_damaged_settings_file_is_named(tmp_path, text, complaint):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(UserError, match=f"cannot read the settings {tmp_path}/settings.json: .*{complaint}"):
        TrainSettings.read(tmp_path / "settings.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [("data", 5), ("size", "256"), ("size", 256), ("lr", "fast"), ("flip", 1), ("batch", True), ("loss", "l2"),
     ("train_modules", "a,b"), ("train_modules", 4), ("lr_warmup", "long"), ("lr_schedule", "steps"),
     ("ema", "on"), ("steps", 1.5), ("vgg_weights", None)],
)  # fmt: skip
def test_a_setting_of_another_type_is_named(tmp_path, name, value):
    with pytest.raises(UserError, match=f"cannot read the settings {tmp_path}/a: .*{name}"):
        TrainSettings.read(rewritten(tmp_path / "a", **{name: value}))


def test_a_missing_settings_file_is_explained(tmp_path):
    with pytest.raises(UserError, match=f"no {tmp_path}/settings.json: {tmp_path} is not a run folder of train.py"):
        TrainSettings.read(tmp_path / "settings.json")


def test_a_run_from_before_rebalancing_was_a_setting_is_read(tmp_path):
    assert TrainSettings.read(rewritten(tmp_path / "a", remove=("rebalance_epoch", "data"))).rebalance_epoch == 0
