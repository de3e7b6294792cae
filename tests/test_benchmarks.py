"""The benchmarks: results that agree with each other, operations counted by hand, and a line when a worker dies."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks import measuring
from crn_tf import build_generator, build_perceiver
from crn_tf.errors import UsageError, UserError
from crn_tf.training.flags import TrainFlags
from tests.conftest import ROOT

TINY = ("--size", "16x32", "--width", str(1 / 64))

# A generator of 8x16 from a base grid of 4x8, of 16 channels (1024 / 64) in both modules, for 20 classes and 2 images.
TINY_MULTIPLY_ADDS = (
    4 * 8 * 9 * (20 * 16 + 16 * 16)  # the module at 4x8
    + 8 * 16 * 9 * ((16 + 20) * 16 + 16 * 16)  # at 8x16, from the features of 4x8 and the layout
    + 8 * 16 * 16 * 6  # the projection
)
# VGG19 up to conv5_2 on 8x16; its last block works on 1x1, for 'same' pooling keeps the last row.
PERCEIVER_MULTIPLY_ADDS = (
    8 * 16 * 9 * (3 * 64 + 64 * 64)
    + 4 * 8 * 9 * (64 * 128 + 128 * 128)
    + 2 * 4 * 9 * (128 * 256 + 3 * 256 * 256)
    + 1 * 2 * 9 * (256 * 512 + 3 * 512 * 512)
    + 1 * 1 * 9 * (2 * 512 * 512)
)


def run(program: str, *arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "benchmarks" / program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_operations_of_a_small_network_are_those_counted_by_hand():
    generator, perceiver = build_generator(8, 20, 2, 1 / 64), build_perceiver("random")
    assert measuring.synthesis_tflop(generator) == pytest.approx(2 * TINY_MULTIPLY_ADDS / 1e12)
    assert measuring.perceiver_tflop(perceiver, 8, 16) == pytest.approx(2 * PERCEIVER_MULTIPLY_ADDS / 1e12)
    # The photograph forward, each of two images forward and back.
    expected = 2 * (3 * TINY_MULTIPLY_ADDS + 5 * PERCEIVER_MULTIPLY_ADDS) / 1e12
    assert measuring.training_tflop(generator, perceiver) == pytest.approx(expected)


def test_operations_of_the_papers_networks_are_the_published_ones():
    perceiver = build_perceiver("random")
    for height, images, synthesis, training in ((256, 9, 2.15, 8.3), (1024, 1, 3.16, 14)):
        generator = build_generator(height, 20, images)
        assert measuring.synthesis_tflop(generator) == pytest.approx(synthesis, abs=0.005)
        assert measuring.training_tflop(generator, perceiver) == pytest.approx(training, rel=0.02)


def test_several_values_make_every_combination_and_follow_the_schedule():
    variants = measuring.Benchmark(res=(256, 512), precision=("float32", "bfloat16"), width=0.1).variants()
    assert [(v.size, v.precision, v.images, v.loss) for v in variants] == [
        ((256, 512), "float32", 9, "best-per-class"),
        ((256, 512), "bfloat16", 9, "best-per-class"),
        ((512, 1024), "float32", 1, "content"),
        ((512, 1024), "bfloat16", 1, "content"),
    ]
    with pytest.raises(UsageError, match="several"):
        measuring.Benchmark(compare=True).variants()


def test_a_result_is_the_median_of_all_rounds():
    rounds = [
        {"seconds": [1.0, 2.0], "first_step_seconds": 9.0, "peak_memory_gb": 3.0, "peak_tflops": 4.0},
        {"seconds": [4.0, 8.0], "first_step_seconds": 7.0, "peak_memory_gb": 2.0, "peak_tflops": 5.0},
    ]
    same = {"tflop_per_step": 6.0, "device": "abacus", "chosen": {"recompute": True}}
    result = measuring.summarize([measured | same for measured in rounds])
    assert result["seconds_per_step"] == 3.0 and result["seconds_spread"] == [1.0, 8.0]
    assert result["first_step_seconds"] == 8.0
    assert result["peak_memory_gb"] == 3.0 and result["recompute"]
    assert result["fraction_of_peak"] == pytest.approx(6.0 / 3.0 / 5.0)


@pytest.mark.parametrize(
    "program", ["train_step.py", "synthesis.py", "input.py", "parameters.py", "gpu.py", "paper_comparison.py"]
)
@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--size", "17x32"], 2), (["--rounds", "0"], 2)])
def test_help_and_usage_errors_do_not_wait_for_tensorflow(tmp_path, program, arguments, code):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    result = run(program, *arguments, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == code, result.stderr
    assert "imported" not in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory runs out"),
        ("import os; os.abort()", "SIGABRT"),
        ("import sys; sys.exit('warning\\nerror: memory ran out: a tensor')", "^memory ran out: a tensor$"),
        ("raise SystemExit(3)", "it said nothing"),
    ],
)
def test_a_worker_that_dies_is_one_line(tmp_path, program, line):
    worker = tmp_path / "worker.py"
    worker.write_text(program)
    settings = TrainFlags.of(size="16x32", dataset="toy", vgg_weights="random").resolved()
    with pytest.raises(UserError, match=line) as error:
        measuring.run_worker(str(worker), settings, steps=1)
    assert "\n" not in str(error.value)


def test_a_variant_that_dies_does_not_cost_the_others_results(tmp_path, capfd):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os, signal, sys\n"
        "batch = json.loads(sys.argv[2])['settings']['batch']\n"
        "if batch == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "print(json.dumps({'seconds': [batch], 'first_step_seconds': 9, 'peak_memory_gb': 1, 'peak_tflops': 1,"
        " 'tflop_per_step': 1, 'device': 'none', 'chosen': {}}))"
    )
    benchmark = measuring.Benchmark(size="16x32", batch=(1, 2, 3), json=tmp_path / "results.json")
    with pytest.raises(UserError, match=r"^batch 2: its process was killed, as the system does when memory runs out$"):
        measuring.run_benchmark(str(worker), benchmark)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(result["batch"], result["seconds_per_step"]) for result in results] == [(1, 1), (3, 3)]
    assert "batch 3" in capfd.readouterr().out


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_of_matrix_products_is_measured_in_each_precision(precision, monkeypatch):
    monkeypatch.setattr(measuring, "PEAK_SIZES", (64, 128))
    assert 1e-6 < measuring.measure_peak_tflops(precision) < 10


def test_parameters_of_all_networks_are_counted():
    result = run("parameters.py", "--size", "64x64", "--classes", 3, "--width", 1 / 32)
    assert result.returncode == 0, result.stderr
    counts = {line[:24].strip(): int(line[24:].replace(",", "")) for line in result.stdout.splitlines()[1:]}
    assert list(counts) == ["crn", "encoder-decoder", "full-resolution", "pix2pix", "dcgan", "pix2pix discriminator"]
    first, others = 9 * 3 * 8, 7 * 9 * 8 * 8  # of eight channels, without biases
    assert counts["full-resolution"] == first + others + 8 * 2 * 8 + 3 * 8 + 3
    assert counts["crn"] == build_generator(64, 3, width=1 / 32, base_grid=(4, 4)).count_params()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variants", "a=", "b"], '--variants b: expected NAME=OPTIONS of train.py, such as "mirrored=--flip"'),
        (["--variants", "a=--flip", "a="], "--variants: a is there twice"),
        (["--variants", "a/b=--flip"], "--variants a/b=--flip: expected NAME=OPTIONS"),
        (["--steps", "0"], "nothing to compare"),
        (["--size", "16x32"], "have size 8x16, not 16x32: choose another --out"),
    ],
)
def test_short_trainings_that_cannot_be_compared_are_refused(tmp_path, arguments, words):
    (tmp_path / "comparison.json").write_text('{"size": "8x16"}')
    result = run("short_training.py", "--out", tmp_path, *arguments)
    assert result.returncode == 2 and words in result.stderr, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.json"]


@pytest.mark.slow
def test_short_trainings_are_compared_and_go_on(tmp_path):
    arguments = ("--size", "16x32", "--width", "0.02", "--steps", 4, "--validation-limit", 2, "--seeds", 0,
                 "--out", tmp_path / "out", "--json", tmp_path / "short.json")  # fmt: skip
    result = run("short_training.py", *arguments, "--variants", "constant=", "averaged=--ema 0.5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first = json.loads((tmp_path / "short.json").read_text())["variants"]
    assert [one["name"] for one in first] == ["constant-0.0003", "averaged-0.0003"]
    for one in first:
        assert one["mean_curve"] == one["curves"]["0"] and list(one["mean_curve"]) == ["0", "4"]
        assert 0 < one["mean_measures"]["content_loss"] == one["measures"]["content_loss"]["0"]
    assert first[0]["mean_curve"]["0"] == first[1]["mean_curve"]["0"]  # the same start
    assert first[0]["mean_curve"]["4"] != first[1]["mean_curve"]["4"]
    run_folders = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").glob("*/settings.json")}
    again = run("short_training.py", *arguments, "--variants", "constant=", "averaged=--ema 0.5", cwd=tmp_path)
    assert again.returncode == 0 and again.stdout == result.stdout
    assert {path: path.stat().st_mtime_ns for path in run_folders} == run_folders


@pytest.mark.slow
def test_training_steps_are_measured(tmp_path):
    arguments = (*TINY, "--images", 2, "--steps", 2, "--json", tmp_path / "step.json")
    result = run("train_step.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    line = result.stdout.splitlines()[-1]
    assert (tmp_path / "step.json").read_text() == line + "\n"
    assert "model TFLOP" in result.stdout
    measured = json.loads(line)
    check(measured)
    expected = {"size": "16x32", "images": 2, "loss": "best-per-class", "precision": "float32", "batch": 1, "steps": 2,
                "remat": "auto", "recompute": False}  # fmt: skip
    assert measured | expected == measured
    assert 0 < measured["tracing_seconds"] < measured["first_step_seconds"]
    assert f"({measured['tracing_seconds']:.1f} tracing)" in result.stdout
    generator = build_generator(16, 20, 2, 1 / 64)
    assert measured["tflop_per_step"] == measuring.training_tflop(generator, build_perceiver("random"))


@pytest.mark.slow
def test_strokes_are_measured_until_their_pictures_are_there(tmp_path):
    result = run("paint.py", "--strokes", 4, "--json", tmp_path / "paint.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / "paint.json").read_text())
    assert measured | {"size": "96x192", "parameters": 1504067, "strokes": 4} == measured
    assert 0 < measured["synthesis"] < measured["median"] <= measured["slowest"]
    assert result.stdout.startswith("layout to picture over HTTP, 96x192, 1,504,067 parameters: median ")
    if shutil.which("chromium") and importlib.util.find_spec("playwright"):
        shown = run("paint.py", "--strokes", 2, "--browser", "--json", tmp_path / "shown.json", cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        measured = json.loads((tmp_path / "shown.json").read_text())
        assert 0 < measured["synthesis"] < measured["median"] and "mouse to picture on the page" in shown.stdout
    gone = run("paint.py", "--weights", tmp_path / "nowhere", cwd=tmp_path)
    assert gone.returncode == 1 and "no weights" in gone.stderr and "Traceback" not in gone.stderr


@pytest.mark.slow
def test_synthesis_is_compared_in_turn(tmp_path):
    arguments = (*TINY, "--images", 1, "--batch", 1, 3, "--steps", 2, "--compare", "--rounds", 2)
    result = run("synthesis.py", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    order = [line.split(":")[0] for line in result.stderr.splitlines() if line.startswith("measured")]
    assert order == ["measured batch 1", "measured batch 3"] * 2
    one, three = json.loads(result.stdout.splitlines()[-1])
    check(one)
    check(three)
    assert three["tflop_per_step"] == pytest.approx(3 * one["tflop_per_step"])
    assert one["tflop_per_step"] == pytest.approx(measuring.synthesis_tflop(build_generator(16, 20, 1, 1 / 64)))
    assert one["seconds_ratio"] == one["memory_ratio"] == 1
    assert three["seconds_ratio"] == pytest.approx(three["seconds_per_step"] / one["seconds_per_step"])


def check(measured: dict) -> None:
    """Numbers that any measurement must have, whatever the machine."""
    low, high = measured["seconds_spread"]
    assert 0 < low <= measured["seconds_per_step"] <= high < measured["first_step_seconds"]
    assert 0.1 < measured["peak_memory_gb"] < 8  # TensorFlow alone takes hundreds of megabytes
    share = measured["tflop_per_step"] / measured["seconds_per_step"] / measured["peak_tflops"]
    assert measured["fraction_of_peak"] == pytest.approx(share)
    assert 0 < share < 1


@pytest.mark.slow
def test_the_input_pipeline_is_compared_with_an_assumed_gpu(tmp_path):
    flags = ("--no-training-step", "--seconds", 0.3, "--rounds", 1, "--gpu-tflops", 1e-6)
    result = run("input.py", *TINY, *flags, "--json", tmp_path / "input.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / "input.json").read_text())
    rates = measured["pairs_per_second"]
    assert rates.keys() == {"files", "cache", "assumed GPU"}
    assert rates["assumed GPU"] == pytest.approx(1e-6 / measured["tflop_per_pair"])
    for name in ("files", "cache"):
        assert measured["times_assumed_gpu"][name] == pytest.approx(rates[name] / rates["assumed GPU"])
        assert f"from {name}" in result.stdout
    assert "NOT" not in result.stdout  # a GPU of a million multiply-adds a second


@pytest.mark.slow
def test_a_gpu_is_measured_where_there_is_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('there is no TensorFlow here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "torch"}
    arguments = (*TINY, "--images", 2, "--precision", "bfloat16", "--remat", "on", "--steps", 2)
    result = run("gpu.py", *arguments, "--json", tmp_path / "gpu.json", cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / "gpu.json").read_text())
    (check,) = measured.pop("check")
    assert check["equal"] and 1e-5 < check["loss"] < 0.02 and 1e-4 < check["gradients"] < 0.1  # not of float32
    assert 1e-5 < check["convolution"] < 0.02
    parts = ["synthesis", "training-step", "plain-convolution", "upsampled-convolution"]
    assert list(measured) == parts
    generator = build_generator(16, 20, 2, 1 / 64)
    tflop = {"synthesis": measuring.synthesis_tflop(generator)}
    tflop["training-step"] = measuring.training_tflop(generator, build_perceiver("random"))
    # Of the last of three modules of 16 channels, on the layout's 20 classes: forward, and to kernel and features.
    tflop |= dict.fromkeys(parts[2:], 3 * 2 * 16 * 32 * 9 * (16 + 20) * 16 / 1e12)
    for part, (one,) in measured.items():
        assert one["tflop_per_step"] == pytest.approx(tflop[part])
        assert 0 < one["seconds_per_step"] < one["first_step_seconds"] and one["peak_memory_gb"] > 0
        share = one["tflop_per_step"] / one["seconds_per_step"] / one["peak_tflops"]
        assert one["fraction_of_peak"] == pytest.approx(share)
        assert f"{part} 16x32, k=2, bfloat16" in result.stdout
