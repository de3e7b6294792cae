"""The comparison of the paper's methods: what it trains, what it refuses to mix, what its table says."""

import functools
import json
import os
import subprocess
import sys
from typing import get_args

import pytest

from benchmarks import paper_comparison
from benchmarks.paper_comparison import PaperComparison, Trained, plan
from benchmarks.paper_table import METHODS, MethodName, draw_table
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation import segmenter_training
from crn_tf.saved.run_folder import RunFolder
from crn_tf.training.flags import TrainFlags
from crn_tf.training.settings import TrainSettings
from tests.conftest import ROOT

TINY = ("--size", "32x64", "--width", str(1 / 64), "--steps", "2", "--vgg-weights", "random", "--limit", "3")
GAN_ROW = "| GAN + semantic segmentation (`gan-segmentation`)"


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """The program in this process, with a judge of a few steps."""
    recipe = functools.partial(segmenter_training.Recipe, steps=10)
    monkeypatch.setattr(segmenter_training, "Recipe", recipe)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["paper_comparison.py", "--out", "compared", *TINY, *arguments])
        return paper_comparison.main()

    return run


def test_every_method_is_one_that_can_be_trained_alike():
    assert list(METHODS) == list(get_args(MethodName))
    options = PaperComparison(out=None, size="32x64", vgg_weights="random", seed=3, steps=700)
    found = {name: TrainFlags.of(**options.flags(name, 700)).resolved() for name in METHODS}
    assert {(one.size, one.images, one.width, one.steps, one.seed, one.batch) for one in found.values()} == {
        ((32, 64), 1, 0.125, 700, 3, 1)
    }
    # No epochs end a training before its steps do, and no weights change on the way.
    assert {(one.epochs, one.rebalance_epoch) for one in found.values()} == {(700, 0)}
    assert {name: (one.model, one.loss, one.loss_weights) for name, one in found.items()} == {
        "crn": ("crn", "content", "auto"),
        "image-space": ("crn", "image-space", "fixed"),
        "gan-segmentation": ("dcgan", "gan-segmentation", "fixed"),
        "pix2pix": ("pix2pix", "pix2pix", "fixed"),
        "encoder-decoder": ("encoder-decoder", "content", "auto"),
        "full-resolution": ("full-resolution", "content", "auto"),
        "composite": ("crn", "composite", "auto"),
    }
    assert found["pix2pix"].lr == 2e-4 and found["crn"].lr == 1e-4  # each its authors'
    assert (
        TrainFlags.of(**PaperComparison(None, lr=3e-4, vgg_weights="random").flags("pix2pix", 1)).resolved().lr == 3e-4
    )


def begun(out, steps: int, **changes) -> RunFolder:
    """The folder of a CRN's run, as far as it is looked at before training."""
    options = PaperComparison(out, size="32x64", vgg_weights="random", **changes)
    run = RunFolder(out / "steps/runs/crn")
    run.checkpoint(steps).mkdir(parents=True)
    run.settings.write_text(TrainFlags.of(**options.flags("crn", steps)).resolved().to_json())
    return run


def test_a_run_that_was_begun_otherwise_is_not_mixed_in(tmp_path):
    options = PaperComparison(tmp_path, size="32x64", steps=20, vgg_weights="random", methods=("crn",))
    run = begun(tmp_path, 10)
    (training,) = plan(options)
    assert not training.complete
    run.weights.touch()
    assert Trained("crn", 10, run).complete and not training.complete  # more steps can be asked for
    with pytest.raises(UsageError, match="seed 0, not 1: choose another --out"):
        plan(PaperComparison(tmp_path, size="32x64", steps=20, vgg_weights="random", methods=("crn",), seed=1))
    with pytest.raises(UsageError, match="is at step 10, behind the 5"):
        plan(PaperComparison(tmp_path, size="32x64", steps=5, vgg_weights="random", methods=("crn",)))


@pytest.mark.parametrize(("code", "returned"), [(75, 75), (130, 130), (1, None)])
def test_a_training_that_stops_stops_the_comparison(compare, monkeypatch, capsys, code, returned):
    asked = []
    monkeypatch.setattr(paper_comparison, "train", lambda arguments: asked.append(arguments) or code)
    if returned:
        assert compare() == returned
        assert "the same command goes on" in capsys.readouterr().out
    else:
        with pytest.raises(UserError, match="training crn failed"):
            compare()
    (arguments,) = asked
    assert arguments[0] == "--resume-or-start"
    assert arguments[-2:] == ["--out", "compared/steps/runs/crn"]


def test_ctrl_c_reaches_a_training_once_and_is_waited_for(tmp_path):
    (tmp_path / "train.py").write_text(
        "import signal, sys, time\n"
        "heard = []\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
        "print('ready', flush=True)\n"
        "while not heard: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "sys.exit(100 + len(heard))\n"
    )
    program = "import sys; from pathlib import Path; from benchmarks import runs; runs.ROOT = Path(sys.argv[1]); "
    program += "sys.exit(runs.train([]))"
    command = [sys.executable, "-c", program, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, 2)  # as a terminal does
        assert process.wait() == 101


def test_two_methods_are_trained_once_and_judged_together(compare, tmp_path, monkeypatch, capsys):
    methods = ("--methods", "gan-segmentation", "crn")
    assert compare(*methods) == 0
    result = json.loads((tmp_path / "compared/comparison.json").read_text())
    table = result["tables"]["steps"]
    assert list(table["methods"]) == ["photographs", "mean-colours", "gan-segmentation", "crn"]
    gan, crn = table["methods"]["gan-segmentation"], table["methods"]["crn"]
    for name, one in (("gan-segmentation", gan), ("crn", crn)):
        run = RunFolder(tmp_path / "compared/steps/runs" / name)
        assert one["steps"] == run.newest_step() == 2
        assert one["parameters"] == run.description().parameters
        assert one["seconds_per_step"] > 0 and one["seconds_per_layout"] > 0
        assert 0 <= one["mean_iou"] <= 1 and one["content_loss"] > 0
    assert crn["discriminator_parameters"] is None
    from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator

    assert gan["discriminator_parameters"] == build_pix2pix_discriminator((32, 64), 10, 1 / 64).count_params()

    evaluation = json.loads((tmp_path / "compared/steps/evaluation/evaluation.json").read_text())
    judge = evaluation["segmenter"]["folder"]
    against = TrainSettings.read(tmp_path / "compared/steps/runs/gan-segmentation/settings.json").segmenter
    assert evaluation["methods"]["gan-segmentation"]["about"]["trained_against"] == str(against) != judge
    note = "gan-segmentation was trained against another segmenter of this kind: its mean IoU flatters it"
    assert note in evaluation["notes"] and note in table["notes"]
    assert "trained_against" not in evaluation["methods"]["crn"]["about"]

    text = (tmp_path / "compared/comparison.md").read_text()
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["| photographs", "| mean-colours", "| CRN (`crn`)", GAN_ROW]
    assert "98.5 % / 82.3 % [M]" in text and "remembered" in text and text in capsys.readouterr().out
    assert (tmp_path / "compared/steps/evaluation/gallery/index.html").is_file()
    shown = json.loads((tmp_path / "compared/steps/study/study.json").read_text())
    assert shown["first"] == "crn" and set(shown["pictures"]) == {"photographs", "crn", "gan-segmentation"}

    monkeypatch.setattr(paper_comparison, "train", lambda _: pytest.fail("trained again"))
    assert compare(*methods) == 0
    told = capsys.readouterr().out
    assert "crn: complete, 2 steps" in told and "study stays as it is" in told
    assert json.loads((tmp_path / "compared/comparison.json").read_text())["tables"]["steps"]["notes"] == table["notes"]


def test_remembered_numbers_are_marked_wherever_they_stand():
    about = {"steps": 1, "seconds_per_step": 1, "seconds_per_layout": 1, "parameters": 1, "discriminator_parameters": 2}
    rows = {
        name: about | {"title": method.title, "crn_preferred_in_the_paper_as_remembered": method.preferred}
        for name, method in METHODS.items()
    }
    lines = draw_table(rows).splitlines()
    assert len(lines) == 2 + len(METHODS)
    for line, method in zip(lines[2:], METHODS.values(), strict=True):
        assert line.endswith("[M] |") == bool(method.preferred)


@pytest.mark.slow
def test_all_methods_are_compared_at_equal_steps_and_at_equal_seconds(compare, tmp_path):
    assert compare("--seconds", "1") == 0
    tables = json.loads((tmp_path / "compared/comparison.json").read_text())["tables"]
    for name in ("steps", "seconds"):
        assert set(tables[name]["methods"]) == {"photographs", "mean-colours", *METHODS}
        assert (tmp_path / "compared" / name / "study/study.json").is_file()
    for name in METHODS:
        seconds = tables["steps"]["methods"][name]["seconds_per_step"]
        assert tables["seconds"]["methods"][name]["steps"] == max(1, round(1 / seconds))
