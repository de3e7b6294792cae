"""Generator, perceiver and losses need Keras only, and give the same numbers on another backend."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

PURE = [f"model/{name}" for name in ("generator", "layers", "recomputing", "perceiver", "losses", "synthesizer")]
PURE += [f"model/other_networks/{name}" for name in ("parts", "pix2pix", "dcgan", "full_resolution", "encoder_decoder")]
PURE += ["model/vgg_weights", *(f"data/{name}" for name in ("layouts", "images", "datasets", "scenes"))]

PROGRAM = """
import sys, numpy as np, keras
from crn_tf import build_generator, build_perceiver, best_per_class_loss, tap_error, Synthesizer
from crn_tf.model.losses import tap_errors
from crn_tf.model.perceiver import split_blocks
from crn_tf.model.recomputing import recomputing_blocks, recomputing_generator
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

def loss_of(layout, photo, blocks, synthesize):
    errors = tap_errors(blocks, photo, synthesize(layout))
    return best_per_class_loss(errors, (1.0,) * 6, layout)[0]

def gradients(blocks, synthesize):
    trained = generator.trainable_variables
    if sys.argv[1] == "tensorflow":
        import tensorflow as tf
        with tf.GradientTape() as tape:
            loss = loss_of(tf.constant(layout), tf.constant(photo), blocks, synthesize)
        return tape.gradient(loss, trained)
    import jax
    def function(values):
        with keras.StatelessScope(state_mapping=list(zip(trained, values))):
            return loss_of(layout, photo, blocks, synthesize)
    return jax.grad(function)([variable.value for variable in trained])

blocks = split_blocks(perceiver)
plain = gradients(blocks, generator)
again = gradients(recomputing_blocks(blocks), recomputing_generator(generator))
convert = keras.ops.convert_to_numpy
results = {f"{kind}_{i}": convert(g) for kind, gs in (("plain", plain), ("again", again)) for i, g in enumerate(gs)}
pixels = Synthesizer(generator)(ids)
np.savez(sys.argv[2], **results, images=convert(images), loss=convert(loss), terms=convert(terms), pixels=pixels)
"""

OTHER_NETWORKS_PROGRAM = """
import sys, numpy as np, keras
from crn_tf.model.other_networks.by_name import OTHER_NETWORKS, build_network
from crn_tf.model.other_networks.pix2pix import build_pix2pix_discriminator, with_seed_input
assert keras.backend.backend() == sys.argv[1]
random = np.random.default_rng(0)
layout = np.eye(3, dtype="float32")[random.integers(0, 3, (2, 24, 40))]
convert = keras.ops.convert_to_numpy

def filled(model):
    for variable in model.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.3 + ("gamma" in variable.path))
    return model

def compiled(network):
    if sys.argv[1] == "tensorflow":
        import tensorflow as tf
        return tf.function(lambda *inputs: network(list(inputs), training=True))
    import jax
    return jax.jit(lambda *inputs: network(list(inputs), training=True))

networks = {name: filled(build_network(name, (24, 40), 3, width=1 / 32)) for name in OTHER_NETWORKS}
step = compiled(with_seed_input(networks["pix2pix"]))
seeds = [np.array(seed, "int32") for seed in ((1, 2), (1, 2), (1, 3))]
drawn = [convert(step(layout, seed)) for seed in seeds]
assert (drawn[0] == drawn[1]).all() and abs(drawn[0] - drawn[2]).mean() > 1
assert (convert(networks["pix2pix"](layout)) == convert(networks["pix2pix"](layout))).all()

keras.random.dropout = lambda ones, **_: ones  # which features are dropped is each backend's own
images = {name: convert(network(layout, training=True)) for name, network in networks.items()}
discriminator = filled(build_pix2pix_discriminator((24, 40), 3, width=1 / 32))
logits = discriminator([layout, images["pix2pix"][:, 0]], training=True)
np.savez(sys.argv[2], logits=convert(logits), **images)
"""


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_not_import_tensorflow(module):
    tree = ast.parse((ROOT / f"crn_tf/{module}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.split(".")[0] == "tensorflow" for name in imported)
    not_pure = {"crn_tf.training.trainer", "crn_tf.training.run", "crn_tf.data.pipeline", "crn_tf.saved.checkpoints"}
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
    gradients = [name for name in results["jax"].files if name.startswith(("plain_", "again_"))]
    assert len(gradients) == 2 * 26
    for name in gradients:
        expected = results["tensorflow"][name.replace("again", "plain")]
        for backend in results:
            assert np.linalg.norm(results[backend][name] - expected) < 1e-4 * np.linalg.norm(expected), (backend, name)
    difference = np.abs(results["jax"]["pixels"].astype(int) - results["tensorflow"]["pixels"])
    assert difference.max() <= 1


@pytest.mark.slow
def test_jax_gives_the_same_images_of_the_other_networks(tmp_path):
    results = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", OTHER_NETWORKS_PROGRAM, backend, str(path)]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
        results[backend] = np.load(path)
    assert len(results["jax"].files) == 5
    for name in results["jax"].files:
        np.testing.assert_allclose(results["jax"][name], results["tensorflow"][name], rtol=1e-3, atol=0.02)
