"""What training survives: being killed at any moment, and a disk that is full."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.images import write_image
from crn_tf.errors import UserError
from crn_tf.model.description import ModelDescription
from crn_tf.saved.checkpoints import named, save_weights
from crn_tf.saved.run_checkpoints import restore_checkpoint, save_checkpoint
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.flags import TrainFlags
from crn_tf.training.opening import open_run
from crn_tf.training.reports import RunLogs
from tests.conftest import ROOT
from tests.full_disk import full_disk

KILLS = 20


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_an_uninterrupted_one(folder_data, tmp_path):
    arguments = (
        "--data", folder_data, "--size", "16x32", "--images", "1", "--width", "0.015", "--vgg-weights", "random",
        "--epochs", "40", "--rebalance-epoch", "20", "--flip", "--checkpoint-steps", "1",
        "--lr-schedule", "cosine", "--ema", "0.9",
    )  # fmt: skip

    def train(name: str, kills: int) -> dict:
        command = [sys.executable, "-m", "tests.train_in_forks", "--out", tmp_path / name, "--kills", str(kills)]
        done = subprocess.run([*map(str, command), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
        log = (tmp_path / f"{name}.log").read_text()
        assert done.returncode == 0, done.stderr[-2000:] + log[-2000:]
        assert "Traceback" not in log
        return json.loads(done.stdout.splitlines()[-1])

    assert train("whole", 0)["codes"] == [0]
    killed = train("killed", KILLS)
    assert killed["codes"] == [-9] * KILLS + [75, 0]
    assert killed["unfinished"] >= 1  # some were killed as they wrote a checkpoint
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    assert [path.name for path in whole.checkpoints()] == [path.name for path in parts.checkpoints()]
    assert whole.checkpoints()[-1].name == "step_00000200"
    for a, b in zip(whole.checkpoints(), parts.checkpoints(), strict=True):
        for file in ("state.index", "state.data-00000-of-00001"):
            assert (a / file).read_bytes() == (b / file).read_bytes()
    assert (whole.path / "best.json").read_text() == (parts.path / "best.json").read_text()
    names = [
        sorted(path.name for path in folder.path.rglob("*") if "events" not in path.name) for folder in (whole, parts)
    ]
    assert names[0] == names[1]  # nothing is missing, and nothing half-written is left


DESCRIPTION = ModelDescription(8, (4, 6), 1, 0.02, ClassTable(("a",), ((255, 0, 0),), (0,), (1,)))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    generator, folder = DESCRIPTION.build(), RunFolder(tmp_path)
    save_checkpoint(folder, 1, named(generator))
    with full_disk(1000), pytest.raises(UserError, match=r"^cannot write .*/step_00000002: File too large") as caught:
        save_checkpoint(folder, 2, named(generator))
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]
    assert restore_checkpoint(folder, named(generator)) == 1


def test_a_full_disk_leaves_the_weights_and_images_before(tmp_path):
    generator = DESCRIPTION.build()
    weights, image = tmp_path / "generator.weights.h5", tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    save_weights(weights, generator, DESCRIPTION)
    write_image(image, pixels)
    before = weights.read_bytes(), image.read_bytes()
    for path, write in ((weights, lambda: save_weights(weights, generator, DESCRIPTION)),
                        (image, lambda: write_image(image, pixels))):  # fmt: skip
        with full_disk(1000), pytest.raises(UserError, match=rf"^cannot write {path}: .*File too large") as caught:
            write()
        assert "\n" not in str(caught.value)
    assert (weights.read_bytes(), image.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "generator.weights.h5"]


def test_logs_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^cannot write .*/file/logs: Not a directory$"):
        RunLogs(tmp_path / "file/logs").write_scalars("train", {"loss": 1.0}, 1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_bytes(folder) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def test_a_disk_that_is_really_full_is_one_line(small_disk):
    folder = RunFolder(small_disk / "run")
    save_checkpoint(folder, 1, named(DESCRIPTION.build()))
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    (small_disk / "full").write_bytes(bytes(free_bytes(small_disk)))
    for write in (
        lambda: save_checkpoint(folder, 2, named(DESCRIPTION.build())),
        lambda: save_weights(folder.weights, DESCRIPTION.build(), DESCRIPTION),
        lambda: write_image(small_disk / "a.png", image),
    ):
        with pytest.raises(UserError, match=r"^cannot write .*: No space left on device$"):
            write()
    assert [path.name for path in (folder.path / "checkpoints").iterdir()] == ["step_00000001"]
    assert not folder.weights.exists() and not (small_disk / "a.png").exists()


def test_a_disk_that_becomes_full_stops_the_run(folder_data, tmp_path, monkeypatch):
    settings = TrainFlags.of(
        size="16x32", data=folder_data, images=1, vgg_weights="random", width=0.02, epochs=2, checkpoint_steps=1
    ).resolved()
    run = open_run(settings, RunFolder(tmp_path / "run"))
    step = run.trainer.train_step

    def train_step(*batch):
        if run.step == 2:
            stack.append(full_disk(10_000))
            stack[-1].__enter__()
        return step(*batch)

    stack = []
    monkeypatch.setattr(run.trainer, "train_step", train_step)
    try:
        with pytest.raises(
            UserError, match=r"^cannot write .*step_00000003: File too large; saved at step 2; "
        ) as caught:
            run.run()
    finally:
        for limit in stack:
            limit.__exit__(None, None, None)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    again = open_run(dataclasses.replace(settings, steps=3), RunFolder(tmp_path / "run"))
    assert again.step == 2 and again.run()
