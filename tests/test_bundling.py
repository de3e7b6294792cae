"""The bundled model made of a run: what it is, what its card says, and that the card's command makes the same run."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from crn_tf.model.synthesizer import Synthesizer
from crn_tf.saved.bundled import CARD
from crn_tf.saved.loading import load_generator
from crn_tf.saved.run_folder import RunFolder
from crn_tf.serving.bundling import main, train_command
from crn_tf.train import main as train
from crn_tf.training.flags import TrainFlags
from crn_tf.training.settings import TrainSettings

TOY = ("--dataset", "toy", "--vgg-weights", "random", "--size", "16x32", "--width", "0.01", "--images", "2")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = ("--steps", "2", "--validation-limit", "2", "--fit", "crop", "--flip", "--out", str(folder))
    train([*TOY, *options])
    return folder


def test_a_run_becomes_a_small_folder_with_a_card(run, tmp_path, capsys):
    main([str(run), str(tmp_path / "bundled")])
    said = capsys.readouterr().out
    assert re.search(r"bundled: .*run \(.*, [\d,]+ parameters, [\d,]+ bytes of weights \(at most 4,000,000\)", said)
    assert "mean absolute difference" in said
    generator, description = load_generator(tmp_path / "bundled")
    original, same = load_generator(run)
    assert description == same
    layouts = np.zeros((1, 16, 32), np.uint8)
    difference = Synthesizer(generator)(layouts).astype(int) - Synthesizer(original)(layouts)
    assert np.abs(difference).max() <= 2
    card = (tmp_path / "bundled" / CARD).read_text()
    settings = TrainSettings.read(RunFolder(run).settings)
    assert f"{train_command(settings)} --out RUN\npython -m crn_tf.serving.bundling RUN" in card
    assert "The built-in toy streets." in card and str(run.parent) not in card


def test_the_cards_command_asks_for_the_same_training(run):
    settings = TrainSettings.read(RunFolder(run).settings)
    others = dataclasses.replace(
        settings, lr=3e-4, epochs=9, seed=5, batch=2, fit="resize", rebalance_epoch=4, base_grid=(2, 4)
    )
    for each in (settings, others):
        program, file, *arguments = shlex.split(train_command(each))
        assert (program, file) == ("python", "train.py")
        again = TrainFlags.parse(arguments).resolved()
        told = dataclasses.replace(each, remat=again.remat, validation_limit=again.validation_limit)
        assert json.loads(again.to_json()) == json.loads(told.to_json())
    named = dataclasses.replace(settings, vgg_weights="/home/somebody/vgg19 file.h5")
    assert "--vgg-weights 'vgg19 file.h5'" in train_command(named) and "somebody" not in train_command(named)
