"""Recomputation changes what is kept, and no result."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
from crn_tf.model import passes
from crn_tf.model.losses import LOSSES, tap_errors
from crn_tf.model.passes import recomputed
from crn_tf.model.perceiver import split_blocks
from crn_tf.model.recomputing import recomputing_blocks, recomputing_generator
from crn_tf.precision import PRECISION_POLICIES
from tests.conftest import ROOT


def test_recomputed_functions_run_again_for_the_gradient_only():
    calls = []
    scale = tf.Variable(3.0)

    def function(x, y):
        calls.append(1)
        return tf.sin(x * scale) * y, x + y

    def gradients(function):
        x, y = tf.constant([0.5, 2.0]), tf.constant([1.0, -1.0])
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            first, second = function(x, y)
            total = tf.reduce_sum(first * first + second)
        return [total, *tape.gradient(total, [x, y, scale])]

    expected = tf.function(lambda: gradients(function))()
    calls.clear()
    found = tf.function(lambda: gradients(recomputed(function)))()
    np.testing.assert_allclose([np.sum(f) for f in found], [np.sum(e) for e in expected], rtol=1e-6)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("precision", "fuse_from", "height", "images"),
    [
        ("float32", 1, 32, 3),
        ("float32", 1 << 30, 4, 1),
        ("float16", 1 << 30, 32, 3),
        *[pytest.param("bfloat16", fuse_from, 16, 2, marks=pytest.mark.slow) for fuse_from in (1, 1 << 30)],
    ],
)
@pytest.mark.usefixtures("float32_policy")
def test_recomputation_gives_the_same_gradients(monkeypatch, precision, fuse_from, height, images):
    monkeypatch.setattr(passes, "FUSE_FROM", fuse_from)
    keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
    random = np.random.default_rng(0)
    layouts = np.eye(4, dtype="float32")[random.integers(0, 4, (2, height, 2 * height))]
    photos = tf.constant(random.uniform(0, 255, (2, height, 2 * height, 3)), "float32")
    generator, blocks = build_generator(height, 4, images, width=0.02), split_blocks(build_perceiver("random"))

    def gradients(synthesize, blocks):
        @tf.function
        def run():
            with tf.GradientTape() as tape:
                errors = tap_errors(blocks, photos, synthesize(layouts))
                loss = LOSSES["best-per-class"](errors, LOSS_WEIGHTS["inverse-elements"], layouts)[0]
            return loss, tape.gradient(loss, generator.trainable_variables)

        return run()

    loss, plain = gradients(generator, blocks)
    loss_again, again = gradients(recomputing_generator(generator), recomputing_blocks(blocks))
    assert float(loss_again) == pytest.approx(float(loss), rel=1e-6)
    for variable, expected, found in zip(generator.trainable_variables, plain, again, strict=True):
        limit = 1e-5 * np.linalg.norm(expected)
        assert np.linalg.norm(found - expected) <= limit and limit > 0, variable.path


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("loss", "images"), [("content", 1), ("best-per-class", 3)])
@pytest.mark.usefixtures("float32_policy")
def test_training_with_recomputation_is_the_same_training(precision, loss, images):
    keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
    random = np.random.default_rng(0)
    photos = tf.constant(random.integers(0, 256, (2, 32, 64, 3)), "uint8")
    layouts = tf.constant(random.integers(0, 4, (2, 32, 64)), "uint8")
    weights = {}
    for recompute in (False, True):
        keras.utils.set_random_seed(0)
        trainer = Trainer(
            build_generator(32, 4, images, width=0.02), build_perceiver("random"), loss,
            LOSS_WEIGHTS["inverse-elements"], 1e-3, recompute=recompute,
        )  # fmt: skip
        losses = [float(trainer.train_step(photos, layouts)[0]) for _ in range(2)]
        weights[recompute] = [np.array(losses), *trainer.generator.get_weights()]
    for plain, again in zip(weights[False], weights[True], strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_recomputation_keeps_less():
    """The process' peak, above what it was before the step, falls by a quarter here."""
    peaks = {}
    for recompute in (False, True):
        program = f"""
import numpy as np, tensorflow as tf
tf.config.threading.set_inter_op_parallelism_threads(1)
from crn_tf import LOSS_WEIGHTS, Trainer, build_generator, build_perceiver
from crn_tf.training.memory import peak_memory_gb
trainer = Trainer(build_generator(256, 4, 1, width=0.1), build_perceiver("random"), "content",
    LOSS_WEIGHTS["inverse-elements"], recompute={recompute})
layouts = tf.zeros((4, 256, 512), "uint8")
before = peak_memory_gb()
trainer.train_step(tf.zeros((4, 256, 512, 3), "uint8"), layouts)
print(peak_memory_gb() - before)
"""
        done = subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True)
        peaks[recompute] = float(done.stdout.split()[-1])
    assert 0 < peaks[True] < 0.85 * peaks[False], peaks


def test_small_tensors_are_not_compiled(monkeypatch):
    """Compiling takes a second each; it must not slow down small models and tests."""
    traced = []
    subject = passes.fused(lambda x: traced.append(type(x).__name__) or x + 1)
    subject(tf.zeros((4, 4)))
    assert traced == ["EagerTensor"]
    monkeypatch.setattr(passes, "FUSE_FROM", 1)
    subject(tf.zeros((4, 4)))
    assert traced == ["EagerTensor", "SymbolicTensor"]
    with passes.unfused():
        subject(tf.zeros((4, 4)))
    assert traced[-1] == "EagerTensor"


def test_what_another_thread_traces_meanwhile_is_fused(monkeypatch):
    """An export beside a training: only the export has to run without XLA."""
    monkeypatch.setattr(passes, "FUSE_FROM", 1)

    def has_fused_parts() -> bool:
        function = tf.function(passes.fused(lambda x: x + 1))
        graph = function.get_concrete_function(tf.TensorSpec((4, 4))).graph
        return any("Call" in operation.type for operation in graph.get_operations())

    with ThreadPoolExecutor(1) as elsewhere:
        assert has_fused_parts()
        with passes.unfused():
            with passes.unfused():
                assert not has_fused_parts()
            assert elsewhere.submit(has_fused_parts).result() and not has_fused_parts()
        assert has_fused_parts()


COMPILED_ONCE = """
import tensorflow as tf
from crn_tf.model import passes
from crn_tf.model.layers import NormalizedLeakyReLU
passes.FUSE_FROM = 1
layer = NormalizedLeakyReLU()
layer.build((None, 4, 4, 3))

@tf.function
def run(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x) ** 2)
    return tape.gradient(y, x)

run.get_concrete_function(tf.TensorSpec((2, 4, 4, 3)))
passes._compiler().shutdown(wait=True)
print("TRACED", file=sys.stderr, flush=True)
run(tf.random.normal((2, 4, 4, 3)))
"""


def test_passes_are_compiled_while_a_graph_is_traced_and_not_again():
    log = {"TF_CPP_VMODULE": "device_compilation_profiler=1", "TF_CPP_MIN_LOG_LEVEL": "0"}
    program = [sys.executable, "-c", "import sys" + COMPILED_ONCE]
    told = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **log}).stderr
    before, found, after = told.partition("TRACED")
    assert found and len(re.findall(r"Compiled __inference_\w+ 1 times", before)) == 2, told  # forward and backward
    assert "Compiled __inference" not in after
