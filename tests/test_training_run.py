"""Whole training runs: what is written, continuing, stopping, and a loss that goes wrong."""

import dataclasses
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from crn_tf.errors import UsageError, UserError
from crn_tf.model.loss_weights import TAP_NAMES, find_loss_weights
from crn_tf.saved.loading import find_model, load_generator
from crn_tf.saved.run_checkpoints import save_checkpoint
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training import run as training_run
from crn_tf.training.flags import TrainFlags
from crn_tf.training.opening import open_run
from crn_tf.training.progress import Progress
from crn_tf.training.run import TrainingRun
from crn_tf.training.settings import TrainSettings
from crn_tf.training.validation import Measured, Validation
from tests.conftest import raise_signal


@pytest.fixture
def settings(folder_data):
    return TrainFlags.of(
        size="32x64", data=folder_data, images=2, vgg_weights="random", width=0.02, lr=1e-3, epochs=2, flip=True
    ).resolved()


def start(settings, path) -> TrainingRun:
    return open_run(settings, RunFolder(path))


def assert_same_state(a: TrainingRun, b: TrainingRun) -> None:
    """All that a checkpoint has is equal, bit for bit: weights, moments, loss weights, measurements, counters."""
    assert a.step == b.step
    mine, other = a.trainer.variables(), b.trainer.variables()
    assert mine.keys() == other.keys()
    for name, variable in mine.items():
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(other[name]), err_msg=name)


def same_best(a: RunFolder, b: RunFolder) -> bool:
    """Whether two runs kept the same weights as the best."""
    mine, other = (load_generator(folder.best_weights)[0].get_weights() for folder in (a, b))
    best = [(folder.path / "best.json").read_text() for folder in (a, b)]
    return best[0] == best[1] and all((x == y).all() for x, y in zip(mine, other, strict=True))


def logged(folder: Path) -> dict[str, dict[int, float]]:
    """TensorBoard's scalars: name -> step -> value."""
    values: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    values.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return values


def test_a_run_folder_holds_settings_logs_sheets_checkpoints_and_weights(settings, tmp_path, capsys):
    run = start(settings, tmp_path / "run")
    before = run.trainer.generator.get_weights()
    assert run.run()
    folder = run.folder
    saved = dataclasses.replace(settings, data=settings.data.resolve(), remat="off")  # chosen
    assert TrainSettings.read(folder.settings) == saved
    assert [path.name for path in folder.checkpoints()] == ["step_00000010"]
    assert sorted(path.name for path in folder.samples.iterdir()) == [f"epoch_000{n}.png" for n in range(3)]
    with Image.open(folder.samples / "epoch_0002.png") as sheet:
        assert sheet.width == 4 * (6 * 64) + 3 * 4  # layout, photograph, two images, enlarged six times
    scalars = logged(folder.logs)
    taps = {f"train/tap_{n}" for n in ("image", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")}
    assert taps | {"train/loss", "train/images_per_second", "train/peak_memory_gb"} <= scalars.keys()
    assert sum(scalars[name][10] for name in taps) == pytest.approx(scalars["train/loss"][10], rel=1e-5)
    assert sorted(scalars["validation/loss"]) == [0, 5, 10]
    assert scalars["validation/loss"][10] < scalars["validation/loss"][0]
    assert "validation loss" in capsys.readouterr().out

    trained = run.trainer.generator.get_weights()
    assert any((a != b).any() for a, b in zip(before, trained, strict=True))
    for path in (folder.path, folder.weights):
        loaded, description = load_generator(path, last=True)
        assert description == run.description
        for a, b in zip(loaded.get_weights(), trained, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_continued_run_ends_as_an_uninterrupted_one(settings, tmp_path):
    whole = start(settings, tmp_path / "whole")
    assert whole.run()
    # Seven steps: the interruption is in the middle of the second epoch.
    assert start(dataclasses.replace(settings, steps=7), tmp_path / "parts").run()
    continued = start(settings, tmp_path / "parts")
    assert continued.step == 7
    assert continued.run()
    assert continued.step == whole.step == 10
    assert int(continued.trainer.optimizer.iterations) == 10
    assert_same_state(whole, continued)
    assert continued.folder.best_weights.read_bytes() and same_best(whole.folder, continued.folder)


@pytest.mark.parametrize("interrupted", [5, 6])  # in the middle of the epoch that is measured, and at its end
def test_with_mirroring_rebalancing_and_batches_too(settings, tmp_path, interrupted):
    settings = dataclasses.replace(settings, batch=2, epochs=4, rebalance_epoch=2, loss="best-per-class")
    whole = start(settings, tmp_path / "whole")
    assert whole.run() and whole.step == 12
    start(dataclasses.replace(settings, steps=interrupted), tmp_path / "parts").run()
    continued = start(settings, tmp_path / "parts")
    assert continued.step == interrupted and continued.run()
    assert_same_state(whole, continued)


@pytest.fixture
def scheduled(settings):
    """With a learning rate that changes, and averaged weights."""
    return dataclasses.replace(settings, lr_schedule="cosine", lr_warmup=3, ema=0.9)


def test_with_a_schedule_and_averaged_weights_too(scheduled, tmp_path, monkeypatch, capsys):
    whole = start(scheduled, tmp_path / "whole")
    assert whole.run()
    stopped = start(scheduled, tmp_path / "parts")
    monkeypatch.setattr(
        stopped.trainer, "train_step", interrupting(stopped.trainer.train_step, lambda: stopped.step == 5)
    )
    assert not stopped.run() and stopped.step == 6
    continued = start(TrainSettings.read(stopped.folder.settings), tmp_path / "parts")
    assert continued.step == 6 and not any("goes on with" in note for note in continued.notes)
    assert continued.run()
    assert_same_state(whole, continued)
    assert same_best(whole.folder, continued.folder)
    rates = logged(continued.folder.logs)["train/learning_rate"]
    assert rates[5] == pytest.approx(1e-3 * (1 + np.cos(np.pi * 1 / 7)) / 2)  # of the fifth step, the second after 3
    assert rates[10] == pytest.approx(1e-3 * (1 + np.cos(np.pi * 6 / 7)) / 2)


def test_averaged_weights_are_the_model_of_a_run(scheduled, tmp_path, monkeypatch):
    run = start(scheduled, tmp_path / "run")
    assert "averaged weights (--ema 0.9) are the model" in run.notes
    assert "learning rate: from 0.001 to 0 over 7 steps (cosine), after 3 steps of warm-up" in run.notes
    measured = []
    keep = run.validation.keep_if_best
    monkeypatch.setattr(
        run.validation,
        "keep_if_best",
        lambda found, step: measured.append(run.trainer.model.get_weights()) or keep(found, step),
    )
    assert run.run()
    average, trained = run.trainer.model.get_weights(), run.trainer.generator.get_weights()
    assert any((a != b).any() for a, b in zip(average, trained, strict=True))
    best = run.folder.best().step // 5
    for path, last, expected in (
        ("", True, average), ("generator.weights.h5", False, average), ("best.weights.h5", False, measured[best])
    ):  # fmt: skip
        loaded, _ = load_generator(run.folder.path / path, last=last)
        for a, b in zip(loaded.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    again = start(dataclasses.replace(scheduled, init_from=run.folder.path), tmp_path / "again")
    for a, b in zip(again.trainer.model.get_weights(), again.trainer.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.trainer.model.get_weights()[0], measured[best][0])


def test_a_schedule_follows_the_length_that_a_run_goes_on_with(scheduled, tmp_path):
    assert start(scheduled, tmp_path / "run").run()
    settings = dataclasses.replace(TrainSettings.read(tmp_path / "run/settings.json"), epochs=4)
    longer = start(settings, tmp_path / "run")
    now = 1e-3 * (1 + np.cos(np.pi * 7 / 17)) / 2
    (note,) = (note for note in longer.notes if "goes on with" in note)
    assert note.startswith(f"the learning rate goes on with {now:.3g} after 4.95e-05")
    assert longer.trainer.learning_rate == pytest.approx(now) and longer.settings.lr_warmup == 3
    assert longer.run() and longer.step == 20
    assert longer.trainer.learning_rate == pytest.approx(1e-3 * (1 + np.cos(np.pi * 16 / 17)) / 2)


def test_a_warm_up_as_long_as_the_run_is_refused(settings, tmp_path):
    with pytest.raises(UsageError, match="--lr-warmup 10 is not less than the 10 steps"):
        start(dataclasses.replace(settings, lr_warmup=10), tmp_path / "run")


def test_a_run_that_was_killed_while_validating_shows_the_epoch_when_it_goes_on(settings, tmp_path, monkeypatch):
    settings = dataclasses.replace(settings, checkpoint_steps=1, steps=5)
    killed = start(settings, tmp_path / "run")
    keep = killed.validation.keep_if_best
    monkeypatch.setattr(
        killed.validation, "keep_if_best", lambda measured, step: 1 / 0 if step else keep(measured, step)
    )
    with pytest.raises(ZeroDivisionError):
        killed.run()
    assert not (tmp_path / "run/samples/epoch_0001.png").exists()
    again = start(settings, tmp_path / "run")
    assert again.step == 5 and again.run()
    assert (tmp_path / "run/samples/epoch_0001.png").exists() and again.folder.best_weights.exists()


def test_a_sheet_of_a_shorter_run_does_not_stand_for_the_whole_epoch(settings, tmp_path, monkeypatch):
    assert start(dataclasses.replace(settings, steps=7), tmp_path / "run").run()
    sheet = tmp_path / "run/samples/epoch_0002.png"
    assert sheet.exists()
    run = start(dataclasses.replace(settings, checkpoint_steps=1), tmp_path / "run")

    def killed(request):  # when the epoch has ended
        raise KeyboardInterrupt

    monkeypatch.setattr(run.validation, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.folder.checkpoints()[-1].name == "step_00000010" and not sheet.exists()
    again = start(settings, tmp_path / "run")
    assert again.step == 10 and again.run() and sheet.exists()
    assert 10 in logged(again.folder.logs)["validation/loss"]


def test_workers_count_their_unreadable_pairs_together(settings, tmp_path, monkeypatch):
    run = start(settings, tmp_path / "run")
    # What others have met.
    monkeypatch.setattr(run.distribution, "merged", lambda flags: flags | [True, True, True, False, False])
    with pytest.raises(
        UserError, match=r"^3 of 5 pairs cannot be read; more than --max-unreadable 0.05 .* saved at step"
    ):
        run.run()


def test_the_best_weights_are_those_of_the_lowest_perceptual_distance(settings, tmp_path, monkeypatch, capsys):
    settings = dataclasses.replace(settings, epochs=4, rebalance_epoch=3)
    run = start(settings, tmp_path / "run")
    distances = iter([9.0, 5.0, 6.0, 4.0, 8.0])  # before training, and after each epoch
    weights = []

    def measure(request):
        weights.append(run.trainer.generator.get_weights())
        distance = next(distances)
        return Measured(np.full(6, 1 / distance), distance)  # the loss has nothing to do with it

    monkeypatch.setattr(run.validation, "measure", measure)
    kept = []
    keep = run.validation.keep_if_best
    monkeypatch.setattr(run.validation, "keep_if_best", lambda found, step: kept.append(keep(found, step)) or kept[-1])
    assert run.run()
    # The start counts, but is not called the best yet. Rebalancing changes nothing.
    assert kept == [True, True, False, True, False]
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation loss" in line]
    assert ["the best yet" in line for line in lines] == [False, True, False, True, False]
    for path, last, expected in (("best.weights.h5", False, 3), ("", False, 3), ("", True, 4)):
        generator, _ = load_generator(run.folder.path / path, last=last)
        for a, b in zip(generator.get_weights(), weights[expected], strict=True):
            np.testing.assert_array_equal(a, b)
    assert find_model(run.folder.path)[1].endswith("run (the best of the run, step 15, perceptual distance 4)")
    assert find_model(run.folder.path, last=True)[1].endswith("run (the last of the run, step 20)")


def test_a_run_that_was_stopped_before_it_compared_anything_is_its_last_weights(settings, tmp_path):
    run = start(settings, tmp_path / "run")
    validation = run.validation
    validation.keep_if_best(Measured(np.ones(6), 2.0), 0)
    assert find_model(run.folder.path)[1].endswith(
        "run (the best of the run, step 0, perceptual distance 2)"
    )  # all there is
    save_checkpoint(run.folder, 3, run.trainer.variables())
    assert find_model(run.folder.path)[1].endswith("run (the last of the run, step 3)")
    validation.keep_if_best(Measured(np.ones(6), 3.0), 3)  # worse
    assert find_model(run.folder.path)[1].endswith("run (the best of the run, step 0, perceptual distance 2)")


def test_the_same_perceiver_in_other_words_does_not_make_other_weights_the_best(settings, tmp_path, monkeypatch):
    run = start(dataclasses.replace(settings, steps=1), tmp_path / "run")
    assert run.run()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgg.h5").touch()
    for file, distance, kept in ((Path("vgg.h5"), 2.0, True), (tmp_path / "vgg.h5", 3.0, False), ("random", 3.0, True)):
        other = dataclasses.replace(settings, vgg_weights=str(file))
        validation = Validation(run.data.validation, run.trainer, run.folder, run.description, other)
        assert validation.keep_if_best(Measured(np.ones(6), distance), run.step) is kept


def test_sigterm_while_the_last_epoch_is_validated_leaves_that_to_the_run_that_goes_on(settings, tmp_path, monkeypatch):
    run = start(dataclasses.replace(settings, epochs=1), tmp_path / "run")
    monkeypatch.setattr(run.trainer, "evaluate", interrupting(run.trainer.evaluate, lambda: run.step == 5))
    assert not run.run() and run.preempted and run.step == 5
    assert not (tmp_path / "run/samples/epoch_0001.png").exists()
    again = start(dataclasses.replace(settings, epochs=1), tmp_path / "run")
    assert again.step == 5 and again.run()
    assert (tmp_path / "run/samples/epoch_0001.png").exists() and again.folder.best_weights.exists()


def test_a_damaged_sheet_is_left_out_of_the_stages(settings, tmp_path):
    assert start(dataclasses.replace(settings, steps=5), tmp_path / "run").run()
    with Image.open(tmp_path / "run/stages.png") as stages:
        width = stages.width
    (tmp_path / "run/samples/epoch_0001.png").write_bytes(b"")
    (tmp_path / "run/stages.png").unlink()
    assert start(dataclasses.replace(settings, steps=6), tmp_path / "run").run()
    with Image.open(tmp_path / "run/stages.png") as stages:
        assert stages.width == width  # epochs 0 and 2 instead of 0 and 1


def test_one_of_a_few_validation_pairs_may_be_unreadable(settings, folder_data, tmp_path, capsys):
    run = start(dataclasses.replace(settings, steps=1), tmp_path / "run")
    strict = start(dataclasses.replace(settings, steps=1, max_unreadable=0.0), tmp_path / "strict")
    (folder_data / "photos/val/0.png").write_bytes(b"")
    assert run.run()
    assert "photos/val/0.png" in "".join(warnings_in(capsys.readouterr().err))
    with pytest.raises(UserError, match="1 of 2 pairs cannot be read"):
        strict.run()


def interrupting(function, when):
    """The function, with a SIGTERM after it, at a certain time."""

    def interrupted(*arguments):
        result = function(*arguments)
        if when():
            raise_signal(signal.SIGTERM)
        return result

    return interrupted


@pytest.mark.parametrize("when", ["a step", "validation"])
def test_sigterm_saves_and_says_that_it_was_preempted(settings, tmp_path, monkeypatch, when):
    run = start(settings, tmp_path / "run")
    name = {"a step": "train_step", "validation": "evaluate"}[when]
    at_step = {"a step": 2, "validation": 5}[when]
    monkeypatch.setattr(run.trainer, name, interrupting(getattr(run.trainer, name), lambda: run.step == at_step))
    assert not run.run() and run.preempted
    step = {"a step": 3, "validation": 5}[when]
    assert [path.name for path in run.folder.checkpoints()] == [f"step_{step:08d}"]
    assert not (tmp_path / "run/samples/epoch_0001.png").exists()
    again = start(settings, tmp_path / "run")
    assert again.step == step and not again.preempted
    assert again.run() and (tmp_path / "run/samples/epoch_0001.png").exists()


def test_a_second_process_is_refused(settings, tmp_path):
    settings = dataclasses.replace(settings, steps=1)
    first = start(settings, tmp_path / "run")
    second = start(settings, tmp_path / "run")  # there was no folder yet, so it could not know
    first.folder.lock()
    with pytest.raises(UserError, match=r"another process is training in .*/run: wait for its end, or choose another"):
        second.run()
    with pytest.raises(UserError, match="another process is training in"):
        start(settings, tmp_path / "run")
    assert first.run()
    with pytest.raises(UserError, match=r"another process has trained in .* meanwhile"):
        second.run()
    assert start(settings, tmp_path / "run").step == 1


def test_a_step_that_is_not_finite_is_skipped_and_counted(settings, tmp_path, monkeypatch):
    run = start(settings, tmp_path / "run")
    kernel = run.trainer.generator.get_layer("projection_32").kernel
    step = run.trainer.train_step

    def step_with_one_overflow(*batch):
        if run.step != 2:
            return step(*batch)
        before = kernel.numpy()
        kernel.assign(np.full(kernel.shape, np.inf))
        result = step(*batch)
        kernel.assign(before)
        return result

    monkeypatch.setattr(run.trainer, "train_step", step_with_one_overflow)
    assert run.run()
    assert run.step == 10 and int(run.trainer.optimizer.iterations) == 9
    scalars = logged(run.folder.logs)
    assert scalars["train/skipped_steps"] == {5: 1, 10: 0}
    assert np.isfinite(list(scalars["train/loss"].values())).all()
    assert np.isfinite(run.trainer.loss_weights.numpy()).all()  # rebalanced without the step


def test_a_collapsed_loss_scale_is_recognized(settings, tmp_path):
    run = start(dataclasses.replace(settings, precision="float16"), tmp_path / "run")
    run.trainer.optimizer.dynamic_scale.assign(2.0)
    kernel = run.trainer.generator.get_layer("projection_32").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    run.step = 1  # or it would validate first
    words = r"float16's loss scale fell to 0\.125 at step 5, and gradients are still not finite; .*--precision float32"
    with pytest.raises(UserError, match=words):
        run.run()


def test_ctrl_c_saves_and_stops(settings, tmp_path, monkeypatch):
    run = start(settings, tmp_path / "run")
    step = run.trainer.train_step

    def interrupted_step(*batch):
        result = step(*batch)
        if run.step == 2:  # during the third step
            raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(run.trainer, "train_step", interrupted_step)
    assert not run.run()
    assert [path.name for path in run.folder.checkpoints()] == ["step_00000003"]
    assert run.folder.weights.exists()
    assert start(settings, tmp_path / "run").step == 3


def test_losses_that_are_not_numbers_in_a_row_stop_it_and_keep_the_last_checkpoint(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "MAX_SKIPPED", 3)
    start(dataclasses.replace(settings, steps=2), tmp_path / "run").run()
    run = start(settings, tmp_path / "run")
    kernel = run.trainer.generator.get_layer("projection_32").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    words = (
        r"the loss is nan at step 5, the last of 3 in a row that were skipped; "
        r".*step_00000002 is the last checkpoint: try a lower --lr"
    )
    with pytest.raises(UserError, match=words):
        run.run()
    assert [path.name for path in run.folder.checkpoints()] == ["step_00000002"]
    assert not list((tmp_path / "run/checkpoints").glob(".*"))
    generator, _ = load_generator(tmp_path / "run")
    assert all(np.isfinite(weights).all() for weights in generator.get_weights())


def test_weights_spoiled_by_the_last_update_are_not_saved(settings, tmp_path):
    run = start(dataclasses.replace(settings, steps=1), tmp_path / "run")
    run.trainer.optimizer.learning_rate = np.inf
    with pytest.raises(UserError, match=r"became (nan|infinite) at step \d; there is no checkpoint yet"):
        run.run()
    assert run.folder.checkpoints() == []
    assert not run.folder.weights.exists()


def test_a_run_that_ended_before_its_first_checkpoint_starts_again(settings, tmp_path, monkeypatch):
    whole = start(dataclasses.replace(settings, steps=2), tmp_path / "whole")
    whole.run()
    killed = start(dataclasses.replace(settings, steps=2), tmp_path / "run")
    monkeypatch.setattr(killed.trainer, "train_step", lambda *batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.run()
    again = start(dataclasses.replace(settings, steps=2), tmp_path / "run")
    assert again.step == 0
    assert again.run()
    assert_same_state(whole, again)


def fourth_of_the_first_epoch(run: TrainingRun) -> int:
    """Which pair the fourth step trains on."""
    *_, (photos, _) = run.data.train.batches(0, 4)
    pairs = [run.data.train.data.load(i, run.settings.size, "resize")[0] for i in range(5)]
    return next(i for i, photo in enumerate(pairs) if (photos[0] == photo).numpy().all())


def test_a_file_that_breaks_during_training_costs_no_steps(settings, tmp_path):
    run = start(settings, tmp_path / "run")
    fourth = fourth_of_the_first_epoch(run)
    (settings.data / f"photos/train/{fourth}.png").write_bytes(b"")
    words = rf"(?s)photos/train/{fourth}.png.*saved at step 3; .*go on with: python train.py --resume --out {tmp_path}"
    with pytest.raises(UserError, match=words):
        run.run()
    assert [path.name for path in run.folder.checkpoints()] == ["step_00000003"]


def test_loss_weights_are_rebalanced_and_survive_a_resume(settings, tmp_path, capsys):
    settings = dataclasses.replace(settings, epochs=3, rebalance_epoch=1)
    whole = start(settings, tmp_path / "whole")
    assert whole.run()
    weights = whole.trainer.loss_weights.numpy()
    assert (weights != 1).all()
    assert "loss weights rebalanced" in capsys.readouterr().out
    saved = find_loss_weights(str(whole.folder.loss_weights))
    np.testing.assert_allclose(saved, weights)
    scalars = logged(whole.folder.logs)
    assert scalars["loss_weights/image"][0] == 1 and scalars["loss_weights/image"][5] == pytest.approx(weights[0])
    # The terms of the epoch after are all about one.
    terms = [scalars[f"train/tap_{name}"][10] for name in TAP_NAMES]
    assert max(terms) < 2 and sum(terms) == pytest.approx(6, rel=0.4)

    start(dataclasses.replace(settings, steps=3), tmp_path / "parts").run()  # in the middle of the measured epoch
    continued = start(settings, tmp_path / "parts")
    continued.run()
    assert_same_state(whole, continued)


def test_a_checkpoint_at_the_end_of_the_measured_epoch_has_the_new_weights(settings, tmp_path, monkeypatch):
    settings = dataclasses.replace(settings, rebalance_epoch=1, checkpoint_minutes=1e-9)
    killed = start(settings, tmp_path / "run")
    measure = killed.validation.measure
    monkeypatch.setattr(killed.validation, "measure", lambda request: measure(request) if killed.step == 0 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.run()
    continued = start(settings, tmp_path / "run")
    assert continued.step == 5
    np.testing.assert_array_equal(continued.trainer.loss_weights, killed.trainer.loss_weights)
    assert (continued.trainer.loss_weights.numpy() != 1).all()


def test_automatic_loss_weights_are_measured_before_the_first_step(settings, tmp_path):
    run = start(dataclasses.replace(settings, loss_weights="auto", steps=1), tmp_path / "run")
    run.run()
    scalars = logged(run.folder.logs)
    # An untrained generator's terms, measured on all five pairs, are near those of two other pairs.
    for name in TAP_NAMES:
        assert scalars[f"validation/tap_{name}"][0] == pytest.approx(1, abs=0.5)


def test_a_run_grows_from_a_smaller_one(settings, tmp_path):
    small = start(dataclasses.replace(settings, size=(16, 32), base_grid=(4, 8), steps=1), tmp_path / "small")
    small.run()
    taller = start(dataclasses.replace(settings, init_from=tmp_path / "small", steps=1), tmp_path / "taller")
    assert f"modules taken over from {tmp_path / 'small'}: 4, 8, 16; new: 32" in taller.notes
    kernel = taller.trainer.generator.get_layer("module_8_conv1").kernel
    np.testing.assert_array_equal(kernel, small.trainer.generator.get_layer("module_8_conv1").kernel)


def test_data_that_changed_are_not_gone_on_with(settings, folder_data, tmp_path):
    start(dataclasses.replace(settings, steps=1), tmp_path / "run").run()
    for part in ("photos", "labels"):
        (folder_data / part / "train/4.png").unlink()
    with pytest.raises(UserError, match="was started on 5 pairs, now there are 4"):
        start(settings, tmp_path / "run")


def test_ctrl_c_during_the_last_step_completes_the_run(settings, tmp_path, monkeypatch):
    run = start(dataclasses.replace(settings, steps=5), tmp_path / "run")
    step = run.trainer.train_step

    def interrupted_step(*batch):
        if run.step == 4:
            raise_signal(signal.SIGINT)
        return step(*batch)

    monkeypatch.setattr(run.trainer, "train_step", interrupted_step)
    assert run.run()
    assert (tmp_path / "run/samples/epoch_0001.png").exists()


def test_checkpoints_are_saved_while_it_runs(settings, tmp_path):
    run = start(dataclasses.replace(settings, checkpoint_minutes=1e-9, steps=3), tmp_path / "run")
    run.run()
    assert [path.name[-1] for path in run.folder.checkpoints()] == ["1", "2", "3"]


def test_a_run_of_another_model_is_not_continued(settings, tmp_path):
    start(dataclasses.replace(settings, steps=1), tmp_path / "run").run()
    with pytest.raises(UserError, match=r"is of another model: now width 0.05, expected 0.02"):
        start(dataclasses.replace(settings, width=0.05), tmp_path / "run")


def test_without_a_validation_split_the_sheet_shows_training_pairs(settings, folder_data, tmp_path, capsys):
    for part in ("photos", "labels"):
        for path in (folder_data / part / "val").iterdir():
            path.unlink()
        (folder_data / part / "val").rmdir()
    assert start(dataclasses.replace(settings, steps=1), tmp_path / "run").run()
    assert "validation loss" not in capsys.readouterr().out
    assert (tmp_path / "run/samples/epoch_0001.png").exists()


def test_colours_outside_the_palette_are_counted_in_one_warning(settings, folder_data, tmp_path, capsys):
    colors = np.array([(255, 0, 0), (0, 255, 0), (9, 9, 9)], np.uint8)
    for path in (folder_data / "labels").glob("*/*.png"):
        Image.fromarray(colors[np.asarray(Image.open(path))]).save(path)
    start(dataclasses.replace(settings, max_unknown=1.0), tmp_path / "run").run()
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning:" in line]
    assert len(warnings) == 3  # what was seen of all files, then one for the training and one for the validation pairs
    unknown = sum((np.asarray(Image.open(p)) == 9).all(-1).sum() for p in (folder_data / "labels/train").iterdir())
    counted = next(line for line in warnings if "in 5 of 5 colour layouts" in line)
    assert f"{unknown:,} pixels (" in counted and "(9, 9, 9)" in counted


def test_the_cache_trains_the_same(settings, tmp_path):
    plain = start(dataclasses.replace(settings, steps=3), tmp_path / "plain")
    plain.run()
    cached = start(dataclasses.replace(settings, steps=3, cache=tmp_path / "cache"), tmp_path / "cached")
    cached.run()
    assert_same_state(plain, cached)


def cut_short(path: Path) -> None:
    """Damage a picture behind its header, so that it is noticed when it is decoded."""
    path.write_bytes(path.read_bytes()[:-40])


def warnings_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if "warning:" in line]


def test_a_file_that_becomes_unreadable_is_left_out_with_one_warning(settings, folder_data, tmp_path, capsys):
    run = start(dataclasses.replace(settings, epochs=4, max_unreadable=0.2), tmp_path / "run")
    step = run.trainer.train_step

    def spoiling_step(*batch):
        if run.step == 2:
            cut_short(folder_data / "photos/train/1.png")
        return step(*batch)

    run.trainer.train_step = spoiling_step
    assert run.run()
    (warning,) = warnings_in(capsys.readouterr().err)
    assert "photos/train/1.png" in warning and warning.endswith("the pair is left out")
    counted = logged(run.folder.logs)["train/unreadable_pairs"]
    assert counted[5] in (0, 1) and counted[20] == 1


@pytest.mark.slow
def test_a_run_with_unreadable_files_goes_on_as_an_uninterrupted_one(settings, folder_data, tmp_path):
    settings = dataclasses.replace(settings, max_unreadable=0.4)
    start(dataclasses.replace(settings, steps=1), tmp_path / "whole").run()
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    (folder_data / "photos/train/1.png").write_bytes(b"nothing is left of it")
    cut_short(folder_data / "labels/train/4.png")
    whole = start(settings, tmp_path / "whole")
    assert whole.run()
    assert start(dataclasses.replace(settings, steps=7), tmp_path / "parts").run()
    continued = start(settings, tmp_path / "parts")
    assert continued.step == 7 and continued.run()
    assert_same_state(whole, continued)


def test_too_many_unreadable_files_stop_the_run_and_it_is_saved(settings, folder_data, tmp_path):
    run = start(dataclasses.replace(settings, max_unreadable=0.3), tmp_path / "run")
    step = run.trainer.train_step

    def spoiling_step(*batch):
        for number in (1, 2, 3):
            (folder_data / f"photos/train/{number}.png").write_bytes(b"")
        return step(*batch)

    run.trainer.train_step = spoiling_step
    words = r"[23] of 5 pairs cannot be read; more than --max-unreadable 0\.3 .* The first: .*/photos/train/[123]\.png"
    with pytest.raises(UserError, match=words) as caught:
        run.run()
    assert f"go on with: python train.py --resume --out {tmp_path / 'run'}" in str(caught.value)
    assert len(run.folder.checkpoints()) == 1


def test_what_goes_wrong_at_the_measured_epochs_end_does_not_cost_the_rebalancing(settings, tmp_path, monkeypatch):
    settings = dataclasses.replace(settings, epochs=3, rebalance_epoch=1)
    run = start(settings, tmp_path / "run")

    def fail(unreadable):
        raise UserError("the disk is full")

    monkeypatch.setattr(run.data.train, "check_unreadable", fail)  # at the first log, which is the epoch's last step
    with pytest.raises(UserError, match="the disk is full; saved at step 5"):
        run.run()
    again = start(settings, tmp_path / "run")
    assert again.step == 5 and (again.trainer.loss_weights.numpy() != 1).all()


def test_training_goes_on_when_nobody_listens_any_more(settings, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("crn_tf.training.progress.tqdm.write", broken)
    assert start(settings, tmp_path / "run").run()
    assert (tmp_path / "run/generator.weights.h5").exists()


def test_an_unreadable_pair_counts_once_however_many_workers_met_it(settings, folder_data, tmp_path):
    run = start(dataclasses.replace(settings, max_unreadable=0.2), tmp_path / "run")
    (folder_data / "photos/train/3.png").write_bytes(b"")
    list(run.data.train.batches(0, 5))
    assert run.data.train.are_unreadable().tolist() == [False, False, False, True, False]
    run.data.train.check_unreadable(int(run.distribution.merged(run.data.train.are_unreadable()).sum()))


def test_the_bar_says_that_the_first_step_compiles_and_moves_with_it(capsys):
    progress = Progress(tells=True)
    with progress.epoch(1, 2, pairs=3, done=0) as bar:
        assert "0/3" in (first := capsys.readouterr().err) and "compiling" in first
        bar.advance(1)
        assert "1/3" in (second := capsys.readouterr().err) and "compiling" not in second
    capsys.readouterr()
    with progress.epoch(2, 2, pairs=3, done=0):
        assert "compiling" not in capsys.readouterr().err
