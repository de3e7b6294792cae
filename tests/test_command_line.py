"""`train.py` and `test.py` as a user calls them: results, exit codes, and one clear line for a mistake."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from crn_tf import __version__, build_generator
from crn_tf.command_line import how_to_call
from crn_tf.errors import run_command
from crn_tf.training.cluster import tf_config
from tests.conftest import ROOT
from tests.test_release import SMALL, release_values, write_checkpoint


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    """Run a program in an empty folder, in this process: -> exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(program: str, *arguments) -> tuple[int, str, str]:
        spec = importlib.util.spec_from_file_location(f"program_{program[:-3]}", ROOT / program)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            run_command(module.main)
        output, errors = capfd.readouterr()
        return stop.value.code or 0, output, errors

    return run


def the_error(result: tuple[int, str, str], code: int = 1) -> str:
    """The one message of a failed call, which is not a traceback."""
    assert result[0] == code, result[1] + result[2]
    assert "Traceback" not in result[1] + result[2]
    errors = [line for line in result[2].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


TINY = ("--size", "32x64", "--width", "0.02", "--vgg-weights", "random", "--steps", "2", "--out", "run")


def train_tiny(call, data, *more):
    result = call("train.py", "--data", data, *TINY, *more)
    assert result[0] == 0, result[2]
    return result


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train.py", "--help"], 0),
        (["test.py", "--help"], 0),
        (["train.py", "--res", "1024"], 2),
        (["train.py", "--res", "300"], 2),
        (["train.py", "--demo", "--batch", "0"], 2),
        (["train.py", "--demo", "--seed", "4294967296"], 2),
        (["train.py", "--dataset", "toy", "--vgg-weights", "random", "--epochs", "2", "--rebalance-epoch", "5"], 2),
        (["train.py", "--data", "nowhere"], 1),
        (["train.py", "--resume"], 1),
        (["train.py", "--resume-or-start"], 2),
        (["test.py"], 1),
        (["test.py", "--weights", "nowhere"], 1),
        (["test.py", "--layouts", "missing.png"], 1),
        (["test.py", "--size", "256"], 2),
        (["test.py", "--output-size", "own"], 2),
    ],
)
def test_help_and_usage_errors_do_not_wait_for_tensorflow(tmp_path, arguments, code):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    (tmp_path / "work").mkdir()
    result = subprocess.run(
        [sys.executable, ROOT / arguments[0], *arguments[1:]],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path / "work", capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    assert "imported" not in result.stderr and "Traceback" not in result.stderr


def test_without_data_and_vgg19_both_are_explained_at_once(call):
    message = call("train.py", "--res", 1024)[2]
    for words in (
        "no data", "gtFine/SPLIT/CITY", "photos/SPLIT", "cityscapes-dataset.com",
        "no VGG19 weights in vgg_weights/", "notop.h5", "imagenet-vgg-verydeep-19.mat", "--demo needs neither",
    ):  # fmt: skip
        assert words in message


def test_a_missing_folder_and_vgg19_are_explained_at_once(call):
    result = call("train.py", "--data", "nowhere")
    message = the_error(result)
    assert message == "error: no folder nowhere" and "no VGG19 weights in vgg_weights/" in result[2]


def test_help_tells_what_is_used_instead_of_what_is_not_given(call):
    code, output, _ = call("train.py", "--help")
    assert code == 0 and "None" not in output
    text = " ".join(output.replace("│", " ").split())
    for words in (
        "{256,512,1024}",
        "(default: 9 of a CRN up to 256 rows",
        "(default: 200 up to 256 rows, 20 up to 512, 5 above",
    ):
        assert words in text
    groups = [line.split()[1] for line in output.splitlines() if line.startswith("╭─") and " options " in line]
    assert groups == ["options", "data", "model", "loss", "schedule", "run"]


def test_the_demo_and_then_test_without_arguments(call, tmp_path):
    code, output, errors = call("train.py", "--demo", "--size", "32x64", "--steps", "3", "--width", "0.02")
    assert code == 0, errors
    run = next((tmp_path / "runs").iterdir())
    assert run.name.startswith("demo-32x64-")
    assert f"{run.relative_to(tmp_path)}/stages.png" in output
    code, output, errors = call("test.py", "--limit", "3", "--gallery")
    assert code == 0, errors
    written = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert written == ["contact_sheet.png", "gallery", *(f"toy_val_{n:04d}.png" for n in (0, 8, 16))]
    assert "to look at: results/gallery/index.html" in output
    told = (tmp_path / "results/gallery/data.js").read_text()
    assert "toy_val_0008" in told and '"photographs": true' in told
    with Image.open(tmp_path / "results/toy_val_0000.png") as image:
        assert (image.size, image.mode) == ((64, 32), "RGB")


def test_k_images_are_numbered_and_resizing_is_said(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 2)
    code, output, errors = call("test.py", "--weights", "run", "--format", "jpg", "--batch", "2")
    assert code == 0, errors
    assert "2 of 2 layouts are not 32x64" in output and "is 40x56" in output and "nearest" in output
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"contact_sheet.png", "0_0.jpg", "0_1.jpg", "1_0.jpg", "1_1.jpg"}


def test_a_weights_file_needs_layouts_and_gives_the_runs_images(call, folder_data, tmp_path):
    train_tiny(call, folder_data)
    last, best = tmp_path / "run/generator.weights.h5", tmp_path / "run/best.weights.h5"
    assert "does not know any layouts" in the_error(call("test.py", "--weights", last), 2)
    for source, out in (("run", "a"), (best, "b"), ("run", "c"), (last, "d")):
        more = ["--last"] if out == "c" else []
        layouts = folder_data / "labels/val"
        code, _, errors = call("test.py", "--weights", source, "--layouts", layouts, "--out", out, *more)
        assert code == 0, errors
    for a, b in (("a", "b"), ("c", "d")):
        for name in ("0_4.png", "1_8.png"):  # nine images, as the release's schedule says for small sizes
            np.testing.assert_array_equal(Image.open(tmp_path / a / name), Image.open(tmp_path / b / name))


def test_resume_goes_on_with_the_runs_own_settings(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    code, output, errors = call("train.py", "--resume", "--out", "run", "--steps", 4)
    assert code == 0, errors
    assert "steps 2 to 4 in run" in output
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir() if path.name.endswith("4")]
    message = the_error(call("train.py", "--resume", "--out", "run", "--width", "0.5"), 2)
    assert "--width of run is 0.02 and cannot be changed" in message
    message = the_error(call("train.py", "--resume", "--out", "run", "--ema", "0.9"), 2)
    assert "--ema of run is None and cannot be changed" in message


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_command_starts_and_goes_on(call, folder_data, tmp_path):
    command = ("train.py", "--data", folder_data, *TINY, "--images", 1, "--resume-or-start")
    code, output, errors = call(*command)
    assert code == 0 and "run has no checkpoint to go on from: starting" in output, errors
    assert "steps 0 to 2 in run" in output
    code, output, errors = call(*command, "--steps", 3)
    assert code == 0 and "going on with run" in output, errors
    assert "steps 2 to 3 in run" in output
    assert "--resume goes on only" in the_error(call(*command, "--resume"), 2)
    assert "needs to know which run: --out RUN" in the_error(call("train.py", "--resume-or-start"), 2)


def test_a_dry_run_tells_and_writes_nothing(call, folder_data, tmp_path):
    command = ("train.py", "--data", folder_data, *TINY, "--dry-run", "--cache", tmp_path / "cache")
    before = files(tmp_path)
    code, output, errors = call(*command)
    assert code == 0, errors
    assert files(tmp_path) == before and not (tmp_path / "run").exists() and not (tmp_path / "cache").exists()
    told = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
    assert told["size"] == "32x64" and told["images"] == "9" and told["loss"] == "best-per-class"
    assert "CPU cores" in told["device"] or "GPU" in told["device"]
    assert told["data"] == "5 training pairs, 2 validation pairs, 3 classes"
    assert int(told["parameters"].replace(",", "")) == build_generator(32, 3, 9, 0.02).count_params()
    assert "GB are needed without it" in told["memory"] and told["steps"] == "0 to 2, 5 in an epoch, in run"
    assert told["time for an epoch"] == "not known before the first steps"

    code, output, errors = call(*command, "--steps", 100, "--lr-schedule", "cosine", "--ema", "0.99")
    assert code == 0 and "learning rate: from 0.0001 to 0 over 98 steps (cosine), after 2 steps of warm-up" in output
    assert "averaged weights (--ema 0.99) are the model" in output

    train_tiny(call, folder_data)
    before = files(tmp_path)
    code, output, errors = call("train.py", "--resume", "--out", "run", "--dry-run", "--steps", 9)
    assert code == 0 and "steps: 2 to 9" in output and "seconds for an epoch" in output, errors
    assert files(tmp_path) == before


def test_a_run_that_ends_before_its_loss_weights_are_rebalanced_says_so(call, folder_data):
    assert (
        "not rebalanced: epoch 1 ends at step 5, the run at step 2"
        in train_tiny(call, folder_data, "--images", 1, "--epochs", 3)[1]
    )


def test_the_untrained_model_is_called_that_and_recomputation_is_told_when_it_is_on(call, folder_data):
    output = train_tiny(call, folder_data, "--images", 1)[1]
    assert "untrained model, step 0: validation loss" in output and "epoch 0" not in output
    assert "recomputation" not in output
    output = train_tiny(call, folder_data, "--images", 1, "--out", "again", "--remat", "on")[1]
    assert "recomputation on" in output


def test_data_of_a_run_are_not_exchanged_for_the_toy_streets_nor_back(call, folder_data):
    train_tiny(call, folder_data, "--images", 1)
    message = the_error(call("train.py", "--resume", "--out", "run", "--dataset", "toy"), 2)
    assert f"--dataset toy: run was started on {folder_data}, which cannot be changed" in message
    toy = ("train.py", "--dataset", "toy", *TINY[:-1], "toy", "--images", 1)
    assert call(*toy)[0] == 0
    assert call("train.py", "--resume", "--out", "toy", "--dataset", "toy", "--steps", 3)[0] == 0
    message = the_error(call("train.py", "--resume", "--out", "toy", "--data", folder_data), 2)
    assert "toy was started on the toy streets, which cannot be changed" in message


def test_a_size_in_other_words_is_the_same_size(call, folder_data):
    grid = ("--base-grid", "8x16")
    train_tiny(call, folder_data, "--images", 1, *grid)
    assert call("train.py", "--resume", "--out", "run", "--size", "32x64", "--steps", 3)[0] == 0
    message = the_error(call("train.py", "--resume", "--out", "run", "--size", "64x128"), 2)
    assert "--size of run is 32x64 and cannot be changed" in message
    message = the_error(call("train.py", "--resume", "--out", "run", "--res", "256"), 2)
    assert "--size of run is 32x64 and cannot be changed" in message


@pytest.mark.parametrize("dataset", ["cityscapes", "folder", "release"])
def test_layouts_of_a_kind_that_a_toy_run_has_not_need_their_folder(call, dataset):
    assert call("train.py", "--dataset", "toy", *TINY, "--images", 1)[0] == 0
    message = the_error(call("test.py", "--weights", "run", "--dataset", dataset), 2)
    assert f"--dataset {dataset} needs its folder: --layouts FOLDER; run was trained on the toy streets" in message


def test_the_optimizer_of_a_folder_that_is_no_release_checkpoint_is_one_line(call, folder_data, tmp_path, monkeypatch):
    train_tiny(call, folder_data, "--images", 1)
    monkeypatch.chdir(tmp_path / "run")
    again = ("--images", 1, "--init-from", ".", "--init-optimizer", "--out", tmp_path / "again")
    message = the_error(call("train.py", "--data", folder_data, *TINY[:-2], *again))
    assert ". is no checkpoint of the 2017 release" in message


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["train", "--help"], ["download", "--help"]])
def test_crn_has_the_commands(arguments):
    result = subprocess.run([sys.executable, "-m", "crn_tf", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    usage = "usage: python -m crn_tf"
    expected = {"--version": f"crn_tf {__version__}", "train": f"{usage} train", "download": f"{usage} download"}
    assert expected.get(arguments[0] if arguments else "", "crn export") in result.stdout


def test_a_command_that_crn_has_not_is_told():
    for name, words in (
        ("trian", "there is no command 'trian': did you mean train?"),
        ("x", "expected one of check, train,"),
    ):
        result = subprocess.run([sys.executable, "-m", "crn_tf", name], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 2 and result.stdout == "" and words in result.stderr


@pytest.mark.parametrize(
    ("started", "called"),
    [("/usr/bin/crn", "crn train"), ("train.py", "python train.py"), ("crn_tf/__main__.py", "python -m crn_tf train"),
     ("crn_tf/train.py", "python -m crn_tf.train"), ("/usr/bin/pytest/__main__.py", "python train.py")],
)  # fmt: skip
def test_what_to_type_next_is_told_as_the_user_types(monkeypatch, started, called):
    monkeypatch.setattr(sys, "argv", [str(ROOT / started) if started.startswith("crn_tf") else started])
    assert how_to_call("train") == called


def test_the_same_command_with_resume_goes_on(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1, "--flip")
    code, output, errors = call("train.py", "--data", folder_data, *TINY, "--images", 1, "--flip", "--resume")
    assert code == 0, errors
    assert "steps 2 to 2 in run" in output
    message = the_error(call("train.py", "--resume", "--out", "run", "--no-flip"), 2)
    assert "--flip of run is True and cannot be changed" in message
    message = the_error(call("train.py", "--resume", "--out", "run", "--loss-weights", "release-512p"), 2)
    assert "--loss-weights of run is inverse-elements and cannot be changed" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--res", 256, "--size", "192x256"], "give one"),
        (["--dataset", "toy", "--data", "x"], "leave out --data x"),
        (["--demo", "--data", "x"], "leave out --resume and --data"),
        (["--demo", "--resume"], "leave out --resume and --data"),
        (["--demo", "--size", "100"], "--size must be like 192x256"),
    ],
)
def test_options_that_contradict_each_other_are_refused(call, arguments, words):
    assert words in the_error(call("train.py", *arguments), 2)


def test_no_image_is_written_over_a_layout(call, folder_data):
    train_tiny(call, folder_data, "--images", 1)
    layout = folder_data / "labels/val/0.png"
    before = layout.read_bytes()
    message = the_error(call("test.py", "--weights", "run", "--layouts", layout, "--out", layout.parent), 2)
    assert "0.png would be written over another file" in message
    for folder in (layout.parent, folder_data / "photos/val"):
        message = the_error(call("test.py", "--weights", "run", "--layouts", folder_data, "--out", folder), 2)
        assert "0.png would be written over another file" in message
    assert layout.read_bytes() == before


def test_a_run_that_failed_before_its_first_step_can_be_tried_again(call, folder_data, tmp_path):
    layouts = list((tmp_path / "own/labels/val").iterdir())
    good = [path.read_bytes() for path in layouts]
    for path in layouts:  # one of a few may be bad
        damage(path, "ids")
    the_error(call("train.py", "--data", folder_data, *TINY))
    for path, content in zip(layouts, good, strict=True):
        path.write_bytes(content)
    train_tiny(call, folder_data)


def test_resume_takes_the_newest_run_even_if_it_has_no_checkpoint(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    (tmp_path / "runs").mkdir()
    (tmp_path / "run").rename(tmp_path / "runs/old")
    started = tmp_path / "runs/new"
    started.mkdir()
    settings = (tmp_path / "runs/old/settings.json").read_text()
    (started / "settings.json").write_text(settings)
    code, output, errors = call("train.py", "--resume", "--steps", 1)
    assert code == 0, errors
    assert "steps 0 to 1 in runs/new" in output


def test_a_folder_with_other_files_is_no_place_for_a_run(call, folder_data, tmp_path):
    message = the_error(call("train.py", "--data", folder_data, *TINY[:-1], folder_data), 2)
    assert "has other files in it: choose a new folder" in message


def test_what_is_saved_when_a_file_breaks_is_said(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    for path in (folder_data / "photos/train").iterdir():
        path.write_bytes(b"\x89PNG" + path.read_bytes()[4:200])
    result = call("train.py", "--resume", "--out", "run", "--steps", 9)
    the_error(result)
    assert "cannot read the image" in result[2]


def test_a_run_folder_is_not_overwritten(call, folder_data):
    train_tiny(call, folder_data)
    message = the_error(call("train.py", "--data", folder_data, *TINY), 2)
    assert "run is a run already: go on with --resume, or choose another --out" in message


def damage(path: Path, how: str) -> None:
    image = Image.open(path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "ids":
        Image.fromarray(np.full((40, 56), 7, np.uint8)).save(path)
    elif how == "size":
        image.resize((20, 20)).save(path)
    elif how == "missing":
        path.unlink()
    elif how == "16-bit":
        Image.fromarray(np.full((40, 56), 300, np.uint16)).save(path)


@pytest.mark.parametrize(
    ("file", "how", "words"),
    [
        ("photos/train/2.png", "truncated", "cannot read the image"),
        ("photos/train/2.png", "empty", "cannot read the image"),
        ("photos/train/2.png", "16-bit", "has 16 or 32 bits per channel"),
        ("photos/train/2.png", "missing", "has no photograph; expected a photograph of the same name"),
        ("labels/train/2.png", "missing", "has no layout; expected a layout of the same name"),
        ("labels/train/2.png", "ids", "has class ids 7; expected 0..1 or 2 (void)"),
        ("labels/train/2.png", "size", "is 40x56 but its layout"),
        ("classes.json", "empty", "cannot read"),
        ("classes.json", "missing", "expected a file with the data set's names, palette and void id"),
    ],
)
def test_bad_training_data_is_one_line_that_names_the_file(call, folder_data, tmp_path, file, how, words):
    if file.endswith("json"):
        (folder_data / file).unlink()
        if how == "empty":
            (folder_data / file).write_text("")
    else:
        damage(folder_data / file, how)
    message = the_error(call("train.py", "--data", folder_data, *TINY, "--epochs", 1, "--steps", 5))
    assert words in message
    assert Path(file).stem in message
    assert not list(tmp_path.glob("run/checkpoints/*"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "no pictures in the folder"),
        (lambda path: path.write_bytes(b"\x89PNG"), "cannot read the image"),
        (
            lambda path: Image.fromarray(np.full((4, 4), 9, np.uint8)).save(path),
            "has ids without a name: 9; expected 0, 1, and void 2",
        ),
    ],
)
def test_bad_layouts_are_one_line_that_names_the_file(call, folder_data, tmp_path, make, words):
    train_tiny(call, folder_data, "--images", 1)
    make(tmp_path / "bad.png")
    message = the_error(call("test.py", "--weights", "run", "--layouts", tmp_path / "bad.png"))
    assert words in message and "bad.png" in message


def test_one_bad_layout_among_many_is_named_and_the_others_are_written(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    layouts = folder_data / "labels/train"
    damage(layouts / "1.png", "ids")
    damage(layouts / "2.png", "empty")
    (layouts / "4.png").write_bytes((layouts / "3.png").read_bytes()[:-30])
    code, output, errors = call("test.py", "--weights", "run", "--layouts", layouts, "--batch", 2)
    assert code == 1 and "Traceback" not in errors
    warnings = [line for line in errors.splitlines() if "the layout is left out" in line]
    assert len(warnings) == 3
    for line, name in zip(warnings, ("1.png has class ids 7", "2.png: ", "4.png: "), strict=True):
        assert line.startswith("warning: ") and name in line
    assert "error: 3 of 5 layouts could not be read and were left out" in errors
    assert "2 images in results" in output
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"0.png", "3.png", "contact_sheet.png"}
    alone = call("test.py", "--weights", "run", "--layouts", layouts / "3.png", "--out", "alone")
    assert alone[0] == 0, alone[2]
    difference = np.asarray(Image.open("alone/3.png")).astype(int) - np.asarray(Image.open("results/3.png"))
    assert np.abs(difference).max() <= 1  # the good ones share batches


def test_where_all_layouts_are_bad_nothing_is_written(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    for path in (folder_data / "labels/val").iterdir():
        damage(path, "empty")
    result = call("test.py", "--weights", "run")
    assert "none of the 2 layouts could be read: no images were written" in the_error(result)
    assert result[2].count("the layout is left out") == 2 and not list((tmp_path / "results").iterdir())


def test_layouts_are_fitted_as_the_model_was_trained(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1, "--fit", "crop")
    for weights in ("run", "run/generator.weights.h5"):
        model = ("test.py", "--weights", weights, "--layouts", folder_data / "labels/val")
        code, output, errors = call(*model, "--out", "as_trained")
        assert code == 0, errors
        assert "2 of 2 layouts do not have the shape of 32x64 (1 is 40x56, height x width): cut to their centre, " in (
            output
        )
        assert "without up to 30% of them; --fit resize stretches" in output and "stretched" not in output
        pictures = {"as_trained": np.asarray(Image.open("as_trained/0.png"))}
        for fit, words in (("crop", "cut to"), ("resize", "stretched, up to 1.43 times as much one way as the other")):
            code, output, errors = call(*model, "--out", fit, "--fit", fit)
            assert code == 0 and words in output, errors
            pictures[fit] = np.asarray(Image.open(f"{fit}/0.png"))
        np.testing.assert_array_equal(pictures["as_trained"], pictures["crop"])
        assert (pictures["resize"] != pictures["crop"]).any()


def test_images_at_the_layouts_own_size(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(folder_data / "labels/val/small.png")
    model = ("test.py", "--weights", "run", "--layouts", folder_data / "labels/val")
    sizes = {"resize": {"0": (56, 40), "small": (16, 8)}, "crop": {"0": (56, 28), "small": (16, 8)}}
    for fit, expected in sizes.items():
        code, output, errors = call(*model, "--out", fit, "--fit", fit, "--output-size", "layout")
        assert code == 0, errors
        assert output.count("images are synthesized at 32x64 and resized to that of each layout") == 1
        assert {name: Image.open(f"{fit}/{name}.png").size for name in expected} == expected
    code, output, errors = call(*model, "--out", "plain")
    assert code == 0 and "images are synthesized" not in output, errors
    own, plain = (Image.open(f"{out}/0.png") for out in ("resize", "plain"))
    np.testing.assert_array_equal(own, plain.resize((56, 40), Image.Resampling.BICUBIC))


def test_another_size_than_trained(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    model = ("test.py", "--layouts", folder_data / "labels/val")
    for weights in ("run", "run/generator.weights.h5"):
        code, output, errors = call(*model, "--weights", weights, "--size", "40x56", "--out", "wide")
        assert code == 0, errors
        assert output.count("synthesizing at 40x56, which is not the 32x64 that the model was trained at") == 1
        assert "layouts are not" not in output and Image.open("wide/0.png").size == (56, 40)
        code, output, errors = call(*model, "--weights", weights, "--size", "32x64", "--out", "same")
        assert code == 0 and "was trained at" not in output, errors
    assert call(*model, "--weights", "run", "--out", "plain")[0] == 0
    np.testing.assert_array_equal(Image.open("same/0.png"), Image.open("plain/0.png"))
    message = the_error(call(*model, "--weights", "run", "--size", "36x63"), 2)
    assert (
        "--size 36x63: the model has 4 modules, so height and width have to be multiples of 8; the nearest" in message
    )
    assert message.endswith("such size is 32x64")


def test_a_size_far_too_large_is_refused_before_anything_is_built(call, folder_data, monkeypatch):
    train_tiny(call, folder_data, "--images", 1)
    model = ("test.py", "--layouts", folder_data / "labels/val", "--weights", "run")
    monkeypatch.setattr("crn_tf.training.memory_needs.available_gb", lambda: 1.0)
    assert call(*model)[0] == 0
    monkeypatch.setattr("crn_tf.model.description.ModelDescription.build", lambda self: pytest.fail("it was built"))
    message = the_error(call(*model, "--size", "8192x8192"))
    assert "synthesis of one layout at 8192x8192 needs about" in message
    assert message.endswith("GB of memory, and 1.0 GB are available: choose a smaller --size")
    message = the_error(call(*model, "--batch", "100000"))
    assert "synthesis of 100000 layouts at once at 32x64" in message and message.endswith("choose a smaller --batch")


def test_layouts_of_other_classes_are_refused(call, folder_data, shared):
    train_tiny(call, folder_data, "--images", 1)
    message = the_error(call("test.py", "--weights", "run", "--layouts", shared / "data/camvid"))
    assert "the layouts have 12 classes (sky, " in message and "run was trained with 3 (a, b" in message


@pytest.mark.parametrize("program", ["train.py", "test.py"])
def test_a_folder_that_cannot_be_written_is_named(call, folder_data, tmp_path, program):
    (tmp_path / "file").write_text("")
    if program == "train.py":
        result = call("train.py", "--data", folder_data, *TINY[:-1], "file/run")
    else:
        train_tiny(call, folder_data, "--images", 1)
        result = call("test.py", "--weights", "run", "--out", "file/results")
    assert "file/" in the_error(result)


def test_training_without_layout_kind_or_folder_is_explained(call, tmp_path):
    assert f"no folder {tmp_path / 'nowhere'}" in the_error(call("train.py", "--data", tmp_path / "nowhere", *TINY))
    (tmp_path / "empty").mkdir()
    message = the_error(call("train.py", "--data", tmp_path / "empty", *TINY))
    assert "is no known kind of data set; expected one of" in message


def test_the_cityscapes_sample_trains_and_synthesizes(call, shared, tmp_path):
    train_tiny(call, shared / "data/cityscapes_sample", "--images", 1)
    code, output, errors = call("test.py", "--weights", "run", "--limit", "2")
    assert code == 0, errors
    assert "no validation split" in output
    assert (tmp_path / "results/aachen_000000_000019.png").exists()


def test_the_releases_layouts_train_with_photographs_and_synthesize_without(call, shared, tmp_path):
    release = shared / "data/release/cityscapes"
    code, _, errors = call("train.py", "--data", release, *TINY)
    assert code == 1 and "has no split 'train'; it has val" in errors
    own = tmp_path / "release"
    (own / "RGB512Full").mkdir(parents=True)
    (own / "Label512Full").mkdir()
    for number, path in enumerate(sorted((shared / "data/release/published_outputs").iterdir()), start=1):
        name = f"00{path.stem.removesuffix('_output')}.png"
        os.symlink(release / "Label512Full" / name, own / f"Label512Full/{number:08d}.png")
        os.symlink(path, own / f"RGB512Full/{number:08d}.png")
    train_tiny(call, own, "--images", 1)
    for kind in ("cityscapes/Label256Full", "GTA/Label256Full"):
        code, _, errors = call(
            "test.py", "--weights", "run", "--layouts", shared / "data/release" / kind, "--limit", "2", "--out", kind
        )
        assert code == 0, errors
    assert (tmp_path / "GTA/Label256Full/00100370.png").exists()
    assert (tmp_path / "cityscapes/Label256Full/00100027.png").exists()


@pytest.fixture
def release_checkpoint(tmp_path):
    """A small model in the release's format: 8x16, 20 classes, three images, Adam at step 50."""
    values = release_values(build_generator(**SMALL))
    moments = {f"{name}/{slot}": np.abs(value) for name, value in values.items() for slot in ("Adam", "Adam_1")}
    powers = {"beta1_power": np.float32(0.9**51), "beta2_power": np.float32(0.999**51)}
    return write_checkpoint(tmp_path / "result_256p/model.ckpt", values | moments | powers)


def test_a_release_checkpoint_synthesizes_the_releases_layouts(call, shared, tmp_path, release_checkpoint):
    layouts = shared / "data/release/cityscapes/Label256Full"
    code, _, errors = call("test.py", "--weights", release_checkpoint, "--layouts", layouts, "--limit", 2)
    assert code == 0, errors
    assert {path.name for path in (tmp_path / "results").iterdir()} >= {"00100027_0.png", "00100027_2.png"}
    again = ("--weights", release_checkpoint, "--layouts", layouts, "--limit", 1, "--size", "8x24", "--out", "wide")
    code, output, errors = call("test.py", *again)
    assert code == 0 and "not the 8x16 that the model was trained at" in output, errors
    assert Image.open("wide/00100027_0.png").size == (24, 8)
    sample = shared / "data/release/result_512p/model.ckpt"
    message = the_error(call("test.py", "--weights", sample, "--layouts", layouts))
    assert "result_512p/model.ckpt.data-00000-of-00001" in message and "crn_tf.download release-512p" in message


GROW = ("--images", 3, "--width", 4 / 1024, "--vgg-weights", "random", "--steps", 1, "--out", "run")


def test_training_grows_from_a_release_checkpoint(call, shared, release_checkpoint):
    data = ("--data", shared / "data/cityscapes_sample", "--init-from", release_checkpoint, *GROW)
    code, output, errors = call("train.py", "--size", "32x64", *data, "--train-modules", "16,32")
    assert code == 0, errors
    assert f"modules taken over from {release_checkpoint}: 4, 8; new: 16, 32" in output
    assert "training only modules 16,32" in output


def test_training_goes_on_where_the_authors_stopped(call, shared, tmp_path, release_checkpoint):
    data = ("--data", shared / "data/cityscapes_sample", "--init-from", release_checkpoint, *GROW)
    code, output, errors = call("train.py", "--size", "8x16", *data, "--init-optimizer")
    assert code == 0, errors
    assert "Adam's moments taken over, step 50" in output
    reader = tf.train.load_checkpoint(str(tmp_path / "run/checkpoints/step_00000001/state"))
    assert reader.get_tensor("optimizer/adam/iteration") == 51
    code, output, errors = call("train.py", "--size", "8x16", *data, "--init-optimizer", "--resume", "--steps", 2)
    assert code == 0, errors
    assert "steps 1 to 2 in run" in output and "taken over" not in output


def test_damaged_exif_of_a_photograph_is_no_warning_of_a_library(folder_data, tmp_path):
    for path in (folder_data / "photos").glob("*/*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x01\x00")
        path.unlink()
    command = [sys.executable, ROOT / "train.py", "--data", folder_data, *map(str, TINY), "--images", "1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0 and "Warning" not in result.stderr and "PIL" not in result.stderr, result.stderr


def test_a_kind_that_was_given_is_kept_when_the_same_command_goes_on(call, folder_data, tmp_path):
    """In a folder that could be either of two kinds, and is given by a relative path."""
    for name in ("RGB256Full", "Label256Full"):
        (folder_data / name).mkdir()
        Image.new("RGB", (16, 8), (128, 64, 128)).save(folder_data / name / "00000001.png")
    command = ("train.py", "--data", folder_data.name, "--dataset", "folder", *TINY, "--images", 1, "--resume-or-start")
    assert call(*command)[0] == 0
    code, output, errors = call(*command, "--steps", 3)
    assert code == 0 and "steps 2 to 3 in run" in output, errors
    assert '"dataset": "folder"' in (tmp_path / "run/settings.json").read_text()


def test_what_has_no_checkpoint_yet_is_started_with_what_is_given_now(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1)
    settings = (tmp_path / "run/settings.json").read_text()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/settings.json").write_text(settings)
    again = ("train.py", "--data", folder_data, *TINY[:-1], "killed", "--images", 1, "--width", 0.03)
    code, output, errors = call(*again, "--resume-or-start")
    assert code == 0 and "killed has no checkpoint to go on from: starting" in output, errors
    assert '"width": 0.03' in (tmp_path / "killed/settings.json").read_text()


def test_a_run_that_was_rebalanced_is_not_said_to_be_not(call, folder_data):
    train_tiny(call, folder_data, "--images", 1, "--epochs", 2, "--steps", 6)
    output = call("train.py", "--resume", "--out", "run", "--steps", 1)[1]
    assert "run is complete at step 6" in output and "not rebalanced" not in output


def test_a_dry_run_shares_the_batch_as_the_run_would(call, folder_data, monkeypatch):
    addresses = [f"127.0.0.1:{port}" for port in range(1, 5)]
    monkeypatch.setenv("TF_CONFIG", tf_config(addresses, 0))
    command = ("train.py", "--data", folder_data, *TINY, "--dry-run", "--batch")
    code, output, errors = call(*command, 4)
    assert code == 0 and "device: 4 workers with " in output, errors
    assert "--batch 3 cannot be shared equally by 4 devices" in the_error(call(*command, 3), 2)
    monkeypatch.delenv("TF_CONFIG")
    assert "needs several GPUs" in the_error(call(*command, 4, "--strategy", "mirrored"))


def test_a_gpu_that_is_required_and_not_there_stops_before_anything_is_written(call, folder_data, tmp_path):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    before = files(tmp_path)
    message = the_error(call("train.py", "--data", folder_data, *TINY, "--require-gpu"))
    assert message.startswith("error: --require-gpu: ")
    assert files(tmp_path) == before and not (tmp_path / "run").exists()


def test_memory_that_cannot_do_is_refused_before_anything_is_written(call, folder_data, tmp_path, monkeypatch):
    monkeypatch.setattr("crn_tf.training.memory_needs.available_gb", lambda: 2.0)
    command = ("train.py", "--data", folder_data, *TINY, "--res", 1024, "--images", 9, "--batch", 8)
    command = tuple(argument for argument in command if argument not in ("--size", "32x64"))
    for more in ((), ("--dry-run",)):
        result = call(*command, *more)
        assert re.search(r"GB are needed with recomputation, 2\.0 GB are available; ", the_error(result))
        assert ("GB with it" in result[1]) == bool(more)
    assert not (tmp_path / "run").exists()


def test_memory_that_runs_out_in_a_step_leaves_the_checkpoint(call, folder_data, tmp_path, monkeypatch):
    train_tiny(call, folder_data, "--images", 1)
    before = files(tmp_path / "run/checkpoints")

    def exhausted(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("crn_tf.training.trainer.Trainer.train_step", exhausted)
    message = the_error(call("train.py", "--resume", "--out", "run", "--steps", 4))
    assert "memory ran out (OOM when allocating tensor): try --remat on, --precision bfloat16" in message
    assert message.endswith("checkpoints in run stay as they are")
    assert files(tmp_path / "run/checkpoints") == before


def test_a_step_compiled_whole_is_kept_in_the_settings_and_may_be_changed(call, folder_data, tmp_path):
    train_tiny(call, folder_data, "--images", 1, "--jit", "on")
    assert json.loads((tmp_path / "run/settings.json").read_text())["jit"] == "on"
    assert call("train.py", "--resume", "--out", "run", "--steps", 3, "--jit", "off")[0] == 0
    assert json.loads((tmp_path / "run/settings.json").read_text())["jit"] == "off"


def test_skipped_steps_are_in_the_last_line(call, folder_data):
    output = train_tiny(call, folder_data, "--images", 1, "--precision", "float16", "--steps", 5)[1]
    skipped = re.search(r"^done at step 5, of which (\d) were skipped: run/stages.png$", output, re.MULTILINE)
    assert skipped


def test_a_dry_run_fetches_nothing_and_sees_what_is_missing(call, folder_data, tmp_path):
    command = ("train.py", "--data", folder_data, *TINY, "--dry-run")
    code, output, errors = call(*command, "--vgg-weights", "imagenet")
    assert code == 0 and "VGG19: its published file is fetched" in output, errors
    assert not (tmp_path / "vgg_weights").exists()
    assert "no weights nowhere" in the_error(call(*command, "--init-from", "nowhere"))
    (tmp_path / "file").touch()
    assert "file is a file" in the_error(call(*command[:-1], "--out", "file/run", "--dry-run"))


def paint(folder_data: Path, color: tuple[int, int, int]) -> None:
    """Write all labels in one colour."""
    for path in (folder_data / "labels").glob("*/*.png"):
        Image.new("RGB", (56, 40), color).save(path)


def test_labels_in_no_class_table_stop_training_and_synthesis(call, folder_data):
    train_tiny(call, folder_data, "--images", 1)
    paint(folder_data, (90, 90, 200))
    message = the_error(call("train.py", "--data", folder_data, *TINY[:-1], "other", "--images", 1))
    assert "100% of the labels' pixels are in no class table, more than --max-unknown 0.3" in message
    message = the_error(call("test.py", "--weights", "run", "--layouts", folder_data / "labels/val/0.png"))
    assert "more than --max-unknown 0.3" in message
    code, _, errors = call("test.py", "--weights", "run", "--layouts", folder_data / "labels/val", "--max-unknown", 1)
    assert code == 0, errors


def test_how_labels_are_read_is_told_and_kept(call, folder_data, tmp_path):
    output = train_tiny(call, folder_data, "--images", 1)[1]
    assert "labels: grey, ids 0..2 in 5 of 5 files looked at" in output
    assert "labels: grey, ids 0..2" in json.loads((tmp_path / "run/data.json").read_text())["labels"]
    code, output, errors = call("test.py", "--weights", "run", "--limit", 1)
    assert code == 0 and "labels: grey, ids 0..2 in 2 of 2 files looked at" in output, errors


def test_pairs_are_split_off_for_validation_where_there_is_no_split_for_it(call, folder_data):
    for part in ("photos", "labels"):
        for path in (folder_data / part / "val").iterdir():
            path.unlink()
    output = train_tiny(call, folder_data, "--images", 1, "--validation-share", 0.4)[1]
    assert "3 pairs at 32x64" in output and "(2 pairs)" in output
