"""Generator, perceiver and losses need Keras only, and give the same numbers on another backend."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

PURE = ["generator", "layers", "recomputing", "perceiver", "losses", "synthesizer"]
PURE += ["vgg_weights", "layouts", "images", "datasets", "scenes"]

PROGRAM = """
import sys, numpy as np, keras
from crn_tf import build_generator, build_perceiver, best_per_class_loss, tap_error, Synthesizer
assert keras.backend.backend() == sys.argv[1]
generator, perceiver = build_generator(32, 5, 3, width=0.02), build_perceiver("random")
random = np.random.default_rng(0)
for variable in generator.variables:
    variable.assign(random.standard_normal(variable.shape) * 0.1)
ids = random.integers(0, 5, (2, 32, 64)).astype("uint8")
layout, photo = np.eye(5, dtype="float32")[ids], random.integers(0, 256, (2, 32, 64, 3)).astype("float32")
images = generator(layout)
taps = [keras.ops.reshape(t, (2, 3, *t.shape[1:])) for t in perceiver(keras.ops.reshape(images, (6, 32, 64, 3)))]
errors = [tap_error(r, t) for r, t in zip([photo, *perceiver(photo)], [images, *taps])]
loss, terms = best_per_class_loss(errors, (1.0,) * 6, layout)
convert = keras.ops.convert_to_numpy
pixels = Synthesizer(generator)(ids)
np.savez(sys.argv[2], images=convert(images), loss=convert(loss), terms=convert(terms), pixels=pixels)
"""


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_not_import_tensorflow(module):
    tree = ast.parse((ROOT / f"crn_tf/{module}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.split(".")[0] == "tensorflow" for name in imported)
    not_pure = {"crn_tf.trainer", "crn_tf.training_run", "crn_tf.pipeline", "crn_tf.checkpoints"}
    assert not imported & not_pure


@pytest.mark.slow
def test_jax_gives_the_same_images_and_losses(tmp_path):
    results = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
        subprocess.run([sys.executable, "-c", PROGRAM, backend, str(path)], check=True, cwd=ROOT, env=environment)
        results[backend] = np.load(path)
    for name in ("images", "loss", "terms"):
        np.testing.assert_allclose(results["jax"][name], results["tensorflow"][name], rtol=1e-3, atol=1e-2)
    difference = np.abs(results["jax"]["pixels"].astype(int) - results["tensorflow"]["pixels"])
    assert difference.max() <= 1
