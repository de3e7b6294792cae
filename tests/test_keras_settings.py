"""A user's keras.json and KERAS_BACKEND change nothing that is computed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

# Under a user's settings as they are: the model is part of other Keras programs too.
PROGRAM = """
import sys, numpy as np, keras
from crn_tf import Synthesizer, Trainer, best_per_class_loss, build_generator, build_perceiver
from crn_tf.model.other_networks.dcgan import build_dcgan_generator
from crn_tf.model.other_networks.encoder_decoder import build_encoder_decoder
from crn_tf.model.other_networks.full_resolution import build_full_resolution
from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator
from crn_tf.model.segmenter import build_segmenter, build_segmenter_head
from crn_tf.model.losses import tap_errors
from crn_tf.model.perceiver import split_blocks
from crn_tf.model.recomputing import recomputing_blocks, recomputing_generator
before = keras.config.image_data_format(), keras.config.floatx()
print(*before, keras.config.epsilon())
generator, perceiver = build_generator(32, 5, 2, width=0.02), build_perceiver("random")
random = np.random.default_rng(0)
for variable in generator.variables:
    assert variable.dtype == "float32", variable.path
    variable.assign(random.standard_normal(variable.shape) * 0.1)
ids = random.integers(0, 5, (2, 32, 64)).astype("uint8")
layout, photo = np.eye(5, dtype="float32")[ids], random.integers(0, 256, (2, 32, 64, 3)).astype("float32")
blocks, results = split_blocks(perceiver), {}
for kind, synthesize, parts in (
    ("plain", generator, blocks),
    ("again", recomputing_generator(generator), recomputing_blocks(blocks)),
):
    import tensorflow as tf
    with tf.GradientTape() as tape:
        images = synthesize(tf.constant(layout))
        loss, terms = best_per_class_loss(tap_errors(parts, tf.constant(photo), images), (1.0,) * 6, layout)
    gradients = tape.gradient(loss, generator.trainable_variables)
    results |= {f"{kind}_{i}": keras.ops.convert_to_numpy(g) for i, g in enumerate([images, loss, terms, *gradients])}
for build in (build_dcgan_generator, build_encoder_decoder, build_full_resolution, build_pix2pix_discriminator):
    network = build((32, 64), 5, width=0.02)
    inputs = [layout, photo] if len(network.inputs) == 2 else layout
    for variable in network.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.1)
    results[build.__name__] = keras.ops.convert_to_numpy(network(inputs))
head = build_segmenter_head([tap.shape[-1] for tap in perceiver.outputs[-3:]], 5)
results["segmenter"] = keras.ops.convert_to_numpy(build_segmenter(perceiver, head)(photo))
trainer = Trainer(generator, perceiver, "best-per-class", (1.0,) * 6, 1e-3)
for step in range(3):
    results[f"step_{step}"] = trainer.train_step(photo.astype("uint8"), ids)[0].numpy()
assert keras.config.image_data_format() == before[0] and keras.config.floatx() == before[1]
np.savez(sys.argv[1], pixels=Synthesizer(generator)(ids), **results)
"""

USERS = {
    "channels first": {"image_data_format": "channels_first", "backend": "tensorflow"},
    "half": {"floatx": "float16", "epsilon": 0.01, "backend": "tensorflow"},
    "double": {"floatx": "float64", "image_data_format": "channels_first", "backend": "tensorflow"},
}
TOY = ["--dataset", "toy", "--vgg-weights", "random", "--size", "16x32", "--width", "0.01", "--images", "2"]


def settings(folder, values) -> dict[str, str]:
    """The environment of a user whose keras.json has these values."""
    folder.mkdir()
    (folder / "keras.json").write_text(values if isinstance(values, str) else json.dumps(values))
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**environment, "KERAS_HOME": str(folder), "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_the_model_computes_the_same_under_every_keras_json(tmp_path):
    results = {}
    for name, values in {"default": {"backend": "tensorflow"}, **USERS}.items():
        call = [sys.executable, "-c", PROGRAM, tmp_path / f"{name}.npz"]
        environment = settings(tmp_path / name, values)
        done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert values.get("floatx", "float32") in done.stdout  # the file was read
        results[name] = np.load(tmp_path / f"{name}.npz")
    for name in USERS:
        for key, expected in results["default"].items():
            found = results[name][key]
            assert found.dtype == expected.dtype, (name, key)
            np.testing.assert_array_equal(found, expected, err_msg=f"{name}: {key}")


def test_the_commands_compute_the_same_under_a_keras_json_that_keras_itself_refuses(tmp_path):
    worst = {"image_data_format": "channels_first", "floatx": "bfloat16", "epsilon": 1, "backend": "jax"}
    weights, told = {}, {}
    for name, values in {"default": {}, "user": worst}.items():
        environment = settings(tmp_path / name, values)
        call = [sys.executable, ROOT / "train.py", *TOY, "--steps", "3", "--validation-limit", "1", "--out", "run"]
        done = subprocess.run(call, cwd=tmp_path / name, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        weights[name] = (tmp_path / name / "run/generator.weights.h5").read_bytes()
        told[name] = [line for line in done.stdout.splitlines() if "loss" in line]
    assert told["user"] == told["default"] and any("validation loss" in line for line in told["user"])
    assert weights["user"] == weights["default"]
    assert (tmp_path / "user/keras.json").read_text() == json.dumps(worst)


@pytest.mark.parametrize("backend", ["torch", "jax", "nonsense"])
@pytest.mark.parametrize("command", ["train", "export"])
def test_another_backend_is_one_line_before_anything_is_imported(tmp_path, backend, command):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    (tmp_path / "run").mkdir()
    arguments = {"train": [*TOY, "--out", "new"], "export": ["--weights", "run"]}[command]
    call = [sys.executable, "-m", f"crn_tf.{command}", *arguments]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line == (
        f"error: KERAS_BACKEND is {backend!r}, but the commands need TensorFlow: leave it out, or "
        "KERAS_BACKEND=tensorflow"
    )
    assert not (tmp_path / "new").exists()
