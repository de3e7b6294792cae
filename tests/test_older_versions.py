"""What version 0.1 wrote is read: a run goes on as it would have there, and an export serves the same pictures.

tests/golden/version_0.1.tar.xz has a run of three steps, its weights after five, and an export of it, made by:

train.py --dataset toy --vgg-weights random --size 16x32 --images 2 --width 0.01 --steps 3 --validation-limit 2
    --rebalance-epoch 0 --lr 1e-3 --out run; test.py --weights run --export export; test.py --weights run --limit 1
cp -r run five; train.py --resume --out five --steps 5
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from crn_tf import Synthesizer, load_generator
from crn_tf.data.datasets import ToyDataSet
from crn_tf.saved.run_folder import RunFolder
from crn_tf.train import main as train
from crn_tf.training.opening import open_run
from crn_tf.training.settings import TrainSettings
from tests.conftest import GOLDEN


@pytest.fixture
def older(tmp_path) -> Path:
    with tarfile.open(GOLDEN / "version_0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "version_0.1"


@pytest.fixture
def pictures(older) -> np.ndarray:
    """The two images of the first validation layout, as version 0.1 wrote them."""
    return np.stack([np.asarray(Image.open(older / f"toy_val_0000_{number}.png")) for number in range(2)])


def first_layout() -> np.ndarray:
    return ToyDataSet("val").load_layout(0, (16, 32), "resize")


def differ_by_rounding(a: np.ndarray, b: np.ndarray) -> bool:
    """Processors differ in the last bits, and so by a grey level where one is halfway."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_a_run_goes_on_exactly_as_it_would_have(older, capsys):
    assert train(["--resume", "--out", str(older / "run"), "--steps", "5"]) == 0
    assert "steps 3 to 5" in capsys.readouterr().out
    folder = RunFolder(older / "run")
    run = open_run(TrainSettings.read(folder.settings), folder)
    assert run.step == 5 and run.settings.adam_epsilon == 1e-7
    expected, _ = load_generator(older / "step_5.weights.h5")
    for found, value in zip(run.trainer.generator.variables, expected.variables, strict=True):
        np.testing.assert_allclose(found.numpy(), value.numpy(), rtol=1e-5, atol=2e-6, err_msg=found.path)


def test_a_run_folder_and_a_weights_file_synthesize_the_same_pictures(older, pictures):
    for model in (older / "run", older / "run/generator.weights.h5"):
        generator, _ = load_generator(model)
        assert differ_by_rounding(Synthesizer(generator)(first_layout()[None])[0], pictures)


def test_an_export_answers_with_the_same_pictures(older, pictures):
    model = tf.saved_model.load(str(older / "export/1"))
    answer = model.signatures["serving_default"](layouts=tf.constant(first_layout()[None]))
    assert differ_by_rounding(answer["images"].numpy()[0], pictures)
