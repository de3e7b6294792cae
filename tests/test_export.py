"""Exported models: readers other than our code get the images of test.py, from files complete or not there at all."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from crn_tf.data.class_tables import ClassTable
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.errors import UserError
from crn_tf.export import ExportSettings, export, main, next_version, patchworks
from crn_tf.files import lock
from crn_tf.model import passes
from crn_tf.model.description import ModelDescription
from crn_tf.model.synthesizer import Synthesizer
from crn_tf.saved.checkpoints import save_weights
from crn_tf.saved.loading import load_generator
from crn_tf.serving import warmup as serving_warmup
from crn_tf.serving.layouts import PngLayoutDecoder
from crn_tf.serving.model import ServingModel
from crn_tf.serving.warmup import WARMUP_FILE
from tests.conftest import ROOT
from tests.full_disk import full_disk
from tests.test_command_line import call, release_checkpoint, the_error  # noqa: F401  (fixtures)

CLASSES = ClassTable(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)), (0, 1, 2), (9,))
DESCRIPTION = ModelDescription(32, (4, 8), 2, 1 / 64, CLASSES)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A model's file: 32x64, two images, with pictures from black to white."""
    keras.utils.set_random_seed(0)
    generator = DESCRIPTION.build()
    kernel = generator.get_layer("projection_32").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) * 0.5)
    path = tmp_path_factory.mktemp("model") / "generator.weights.h5"
    save_weights(path, generator, DESCRIPTION)
    return path


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> list[Path]:
    """Two layout files of another size than the model's: colours, and class ids."""
    folder = tmp_path_factory.mktemp("layouts")
    ids = np.random.default_rng(1).integers(0, 4, (2, 9, 11)).repeat(5, 1).repeat(7, 2)
    Image.fromarray(colorize(ids[0], CLASSES)).save(folder / "colours.png")
    Image.fromarray(np.array([0, 1, 2, 9], np.uint8)[ids[1]]).save(folder / "ids.png")
    return [folder / "colours.png", folder / "ids.png"]


@pytest.fixture(scope="module")
def exported(weights, layouts, tmp_path_factory) -> Path:
    return export(ExportSettings(weights, tmp_path_factory.mktemp("exported"), layouts=tuple(layouts)))


@pytest.fixture(scope="module")
def images(weights, layouts, tmp_path_factory) -> np.ndarray:
    """What test.py writes for the layouts: uint8 [2, k, H, W, 3]."""
    out = tmp_path_factory.mktemp("images")
    subprocess.run(
        [sys.executable, ROOT / "test.py", "--weights", weights, "--layouts", *layouts, "--out", out],
        check=True, capture_output=True,
    )  # fmt: skip
    return np.stack([[np.asarray(Image.open(out / f"{p.stem}_{k}.png")) for k in range(2)] for p in layouts])


@pytest.fixture(scope="module")
def ids(layouts) -> np.ndarray:
    """The layouts as class ids, in the model's size."""
    return np.stack([LayoutReader(CLASSES).read(path, (32, 64)) for path in layouts])


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported)).signatures


def difference(found: np.ndarray, expected: np.ndarray) -> int:
    """Grey levels, at most."""
    assert found.dtype == np.uint8 and found.shape == expected.shape
    return np.abs(found.astype(int) - expected).max()


def decoded(encoded: np.ndarray) -> np.ndarray:
    return np.array([[np.asarray(Image.open(io.BytesIO(file))) for file in row] for row in encoded])


# --- the signatures


def test_every_signature_gives_test_pys_images(loaded, images, ids, layouts):
    assert images.min() == 0 and images.max() == 255 and images.std() > 30
    assert difference(loaded["serving_default"](layouts=tf.constant(ids))["images"].numpy(), images) <= 1
    assert difference(loaded["layout_int32"](layouts=tf.constant(ids, tf.int32))["images"].numpy(), images) <= 1
    soft = tf.one_hot(ids, 4)
    assert difference(loaded["layout_soft"](layouts=soft)["images"].numpy(), images) <= 1
    pngs = tf.constant([path.read_bytes() for path in layouts])
    assert difference(decoded(loaded["layout_png"](layout_bytes=pngs)["image_bytes"].numpy()), images) <= 1


def test_ids_out_of_range_are_void(loaded, ids):
    void = loaded["layout_int32"](layouts=tf.constant(ids, tf.int32))["images"]
    for other in (-1, 4, 255, 2**31 - 1):
        found = loaded["layout_int32"](layouts=tf.constant(np.where(ids == 3, other, ids), tf.int32))["images"]
        np.testing.assert_array_equal(found, void)
    found = loaded["serving_default"](layouts=tf.constant(np.where(ids == 3, np.uint8(77), ids)))["images"]
    np.testing.assert_array_equal(found, void)


def test_class_ids_of_another_size_are_resized(loaded, images, layouts):
    whole = LayoutReader(CLASSES).read(layouts[0])
    assert whole.shape == (45, 77)
    assert difference(loaded["serving_default"](layouts=whole[None])["images"].numpy(), images[:1]) <= 1


def test_soft_layouts_blend(loaded, weights):
    fractions = np.random.default_rng(0).dirichlet([1] * 4, (1, 32, 64)).astype("float32")
    generator = DESCRIPTION.build()
    generator.load_weights(weights)
    exact = np.clip(generator.predict_on_batch(fractions), 0, 255)
    images = loaded["layout_soft"](layouts=fractions)["images"].numpy()
    assert np.abs(images - exact).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(
    ("signature", "value", "words"),
    [
        ("serving_default", np.zeros((32, 64), "uint8"), "is [32, 64]; expected class ids [batch, height, width]"),
        ("serving_default", np.zeros((0, 32, 64), "uint8"), "is [0, 32, 64]; expected class ids [batch"),
        ("layout_int32", np.zeros((1, 0, 64), "int32"), "the shape is [1, 0, 64]; expected class ids"),
        ("layout_int32", np.zeros((1, 32, 64, 1), "int32"), "the shape is [1, 32, 64, 1]; expected class ids"),
        ("layout_soft", np.ones((1, 32, 64, 5), "float32"), "expected fractions of the classes [batch, 32, 64, 4]"),
        ("layout_soft", np.ones((1, 16, 64, 4), "float32"), "the shape is [1, 16, 64, 4]; expected fractions"),
        ("layout_soft", np.eye(4, dtype="float32")[[[[0] * 64] * 32] * 2] * [[[[1]]], [[[2]]]], "item 1 of 2"),
        ("layout_soft", np.full((1, 32, 64, 4), np.nan, "float32"), "item 0 of 1 (from 0) has pixels that do not sum"),
        ("layout_soft", np.float32([2, -1, 0, 0]) + np.zeros((1, 32, 64, 4), "float32"), "or are negative"),
        ("layout_png", np.array(b""), "the shape is []; expected PNG layouts [batch]"),
        ("layout_png", [b"GIF89a", b"GIF89a"], "item 0 of 2 (from 0) is not a PNG"),
    ],
)
def test_a_bad_request_is_told_what_was_expected(exported, signature, value, words):
    """By the runtime that servers have: Python's would look at the shape first."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run_in_session(exported, signature, np.asarray(value, object if signature == "layout_png" else None))
    assert caught.value.message.startswith("assertion failed: [") and words in caught.value.message


def run_in_session(folder: Path, signature: str, value: np.ndarray) -> np.ndarray:
    """Run a signature without Python's own comparison of shapes."""
    from tensorflow.python.client import pywrap_tf_session

    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        source, target = (graph.get_tensor_by_name(name)._as_tf_output() for name in endpoints(folder, signature))
        feeds = {source: value.astype(np.float32) if value.dtype == np.float64 else value}
        return pywrap_tf_session.TF_SessionRun_wrapper(session._session, None, feeds, [target], [], None)[0]


def endpoints(folder: Path, signature: str) -> list[str]:
    """The names of a signature's input and output tensors."""
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    definition = model.meta_graphs[0].signature_def[signature]
    return [tensor.name for side in (definition.inputs, definition.outputs) for tensor in side.values()]


def test_concurrent_requests_get_the_answers_of_serial_ones(loaded, ids, layouts):
    pngs = [path.read_bytes() for path in layouts]
    requests = [
        lambda: loaded["serving_default"](layouts=tf.constant(ids[:1]))["images"].numpy(),
        lambda: loaded["serving_default"](layouts=tf.constant(ids))["images"].numpy(),
        lambda: loaded["layout_png"](layout_bytes=tf.constant(pngs[1:]))["image_bytes"].numpy(),
        lambda: loaded["layout_png"](layout_bytes=tf.constant(pngs))["image_bytes"].numpy(),
    ] * 10
    serial = [request() for request in requests]
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(lambda request: request(), requests))
    for a, b in zip(serial, concurrent, strict=True):
        np.testing.assert_array_equal(a, b)


# --- other readers


def test_a_process_without_our_code_loads_it(exported, ids, images, tmp_path):
    np.save(tmp_path / "ids.npy", ids)
    program = (
        "import numpy, sys, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(exported)!r})\n"
        "answer = model.signatures['serving_default'](layouts=numpy.load('ids.npy'))\n"
        "numpy.save('images.npy', answer['images'])\n"
        "assert not [name for name in sys.modules if name.startswith('crn_tf')]\n"
    )
    # -I: without the folder and environment through which Python could find our code.
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, capture_output=True)
    assert difference(np.load(tmp_path / "images.npy"), images) <= 1


def test_saved_model_cli_runs_it(exported, ids, images, tmp_path):
    np.save(tmp_path / "ids.npy", ids)
    command = [Path(sys.executable).with_name("saved_model_cli"), "run", "--dir", exported, "--tag_set", "serve"]
    command += ["--signature_def", "serving_default", "--inputs", "layouts=ids.npy", "--outdir", "."]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert difference(np.load(tmp_path / "images.npy"), images) <= 1


def run_in_c(folder: Path, signature: str, request: bytes, result: Path) -> subprocess.CompletedProcess:
    libraries = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    program = [sys.executable, "-I", ROOT / "tests/run_saved_model_in_c.py", libraries, folder]
    return subprocess.run([*program, *endpoints(folder, signature), result], input=request, capture_output=True)


def test_the_c_api_runs_it(exported, ids, images, layouts, tmp_path):
    file = io.BytesIO()
    np.save(file, ids)
    run = run_in_c(exported, "serving_default", file.getvalue(), tmp_path / "images.npy")
    assert run.returncode == 0, run.stderr.decode()
    assert difference(np.load(tmp_path / "images.npy"), images) <= 1
    run = run_in_c(exported, "layout_png", layouts[0].read_bytes(), tmp_path / "image.png")
    assert run.returncode == 0, run.stderr.decode()
    assert difference(np.asarray(Image.open(tmp_path / "image.png")), images[0, 0]) <= 1
    run = run_in_c(exported, "layout_png", b"GIF89a", tmp_path / "none")
    assert run.returncode == 1 and b"item 0 of 1 (from 0) is not a PNG" in run.stderr


def test_every_operation_is_tensorflows_own(exported):
    from tensorflow.python.framework import op_def_registry

    graph = SavedModel.FromString((exported / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    functions = {function.signature.name for function in graph.library.function}
    used = {node.op for part in (graph, *graph.library.function) for node in getattr(part, "node_def", graph.node)}
    assert {"Conv2D", "DecodePng", "EncodePng"} <= used
    # In a process that imported nothing else, so that no package has registered operations of its own.
    program = f"import tensorflow as tf\nfor name in {sorted(used - functions)}: getattr(tf.raw_ops, name)"
    subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True)
    assert all(op_def_registry.get(name) for name in used - functions)
    assert not {name for name in used if "PyFunc" in name}


def test_no_part_waits_for_xla(weights, tmp_path, monkeypatch):
    """Large models have parts that XLA compiles where it is there; servers do not have it."""
    monkeypatch.setattr(passes, "FUSE_FROM", 0)
    compiled = tf.function(DESCRIPTION.build()).get_concrete_function(tf.TensorSpec([1, 32, 64, 4]))
    assert must_compile(compiled.graph.as_graph_def())
    folder = export(ExportSettings(weights, tmp_path))
    assert not must_compile(SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def)


def must_compile(graph) -> list[str]:
    """The parts of a graph that only XLA can run."""
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    return [str(part)[:80] for part in (*nodes, *functions) if part.attr["_XlaMustCompile"].b]


def test_openvino_reads_it_and_agrees(exported, ids, images):
    import openvino

    # In float32: by itself it would compute in bfloat16 where the processor can.
    model = openvino.Core().compile_model(str(exported), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert difference(model([ids])["images"], images) <= 1


# --- the command


def test_the_benchmark_measures_requests(exported, tmp_path):
    command = [
        sys.executable,
        ROOT / "benchmarks/request.py",
        exported,
        "--requests",
        "1",
        "--json",
        tmp_path / "r.json",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (measured,) = json.loads((tmp_path / "r.json").read_text())
    assert (measured["size"], measured["images"]) == ("32x64", 2)
    assert 0 < measured["seconds_per_request"] < measured["first_request_seconds"]
    assert f"{measured['seconds_per_request']:.3f}" in result.stdout
    refused = subprocess.run([*command[:2], tmp_path], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith(f"error: {tmp_path} has no saved_model.pb")


def visible(folder):
    """Names in a folder, without the lock."""
    return [path.name for path in folder.iterdir() if path.name != ".lock"]


def test_exporting_says_nothing_of_drivers_that_are_not_there(weights, tmp_path):
    command = [sys.executable, "-m", "crn_tf.export", "--weights", weights, "--out", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_versions_count_up_and_the_loss_of_one_is_not_filled(tmp_path):
    for name in ("1", "2", "10", "notes", ".11.5.part"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / "11"
    (tmp_path / "2").rmdir()
    assert next_version(tmp_path) == tmp_path / "11"
    assert next_version(tmp_path / "notes") == tmp_path / "notes/1"


@pytest.mark.slow
def test_test_py_exports_what_the_module_does(call, weights, exported, tmp_path, layouts):  # noqa: F811
    code, output, errors = call("test.py", "--weights", weights, "--export", "served", "--layouts", *layouts)
    assert code == 0, errors
    parameters = f"{DESCRIPTION.build().count_params():,}"
    for words in ("served/1: ", "32x64", "2 image(s)", f"{parameters} parameters", "MB", "precision float32"):
        assert words in output
    files = {str(path.relative_to(exported)) for path in exported.rglob("*")}
    assert {str(path.relative_to(tmp_path / "served/1")) for path in (tmp_path / "served/1").rglob("*")} == files
    assert {"assets/classes.json", "assets/model_card.md", "model_card.md", str(WARMUP_FILE)} <= files
    code, output, _ = call("test.py", "--weights", weights, "--export", "served", "--format", "jpg")
    assert code == 0 and "served/2: " in output
    assert sorted(visible(tmp_path / "served")) == ["1", "2"]


@pytest.mark.parametrize("place", ["write_warmup", "saved_model"])
def test_a_disk_that_is_full_for_tensorflow_is_one_line(weights, tmp_path, monkeypatch, place):
    with ExitStack() as disk:

        def becoming_full(write):
            def call(*arguments, **options):
                disk.enter_context(full_disk(100))
                return write(*arguments, **options)

            return call

        if place == "saved_model":
            monkeypatch.setattr(tf.saved_model, "save", becoming_full(tf.saved_model.save))
        else:
            monkeypatch.setattr(serving_warmup, "write_warmup", becoming_full(serving_warmup.write_warmup))
        with pytest.raises(UserError, match=r"cannot write .*1: File too large$") as caught:
            export(ExportSettings(weights, tmp_path))
    assert isinstance(caught.value.__cause__, tf.errors.OpError)  # which has no number of the system's
    assert visible(tmp_path) == []


def test_arguments_and_name_may_come_from_another_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/crn", "something", "else"])
    with pytest.raises(UserError, match=f"no layout {tmp_path}/missing.png"):
        main(["--layouts", str(tmp_path / "missing.png")])
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert not stop.value.code and capsys.readouterr().out.startswith("usage: crn export ")


def test_what_the_disk_has_nothing_against_is_told_in_tensorflows_words(weights, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.InternalError(None, None, "a kernel\nis missing")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(UserError, match=r"cannot write .*1: a kernel is missing$"):
        export(ExportSettings(weights, tmp_path))
    assert visible(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot make the folder .*/file/served: Not a directory"):
        export(ExportSettings(tmp_path / "no weights here", tmp_path / "file/served"))


def test_a_failed_export_leaves_nothing(weights, tmp_path, monkeypatch):
    def full(*_, **__):
        assert [path.name for path in tmp_path.iterdir() if path.name.isdecimal()] == []  # nothing to load yet
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*1: No space left"):
        export(ExportSettings(weights, tmp_path))
    assert visible(tmp_path) == []


def test_a_model_that_changed_on_its_way_is_not_kept(weights, tmp_path, monkeypatch):
    save = tf.saved_model.save

    def spoiled(model, *arguments, **options):
        for variable in model.variables:
            variable.assign(tf.zeros_like(variable))
        save(model, *arguments, **options)
        for variable in model.variables:
            variable.assign(tf.ones_like(variable))

    monkeypatch.setattr(tf.saved_model, "save", spoiled)
    with pytest.raises(UserError, match="images of the written model differ by up to"):
        export(ExportSettings(weights, tmp_path))
    assert visible(tmp_path) == []


def test_a_graph_that_computes_something_else_is_not_kept(weights, tmp_path, monkeypatch):
    class_ids, decode = ServingModel.class_ids, PngLayoutDecoder.decode
    monkeypatch.setattr(ServingModel, "class_ids", lambda self, layouts: class_ids(self, (layouts + 1) % 4))
    with pytest.raises(UserError, match=r"images of the exported graph differ by up to .* from test.py's"):
        export(ExportSettings(weights, tmp_path))
    monkeypatch.setattr(ServingModel, "class_ids", class_ids)

    def others(self, pngs):
        layouts, problems = decode(self, pngs)
        return (layouts + 1) % 4, problems

    monkeypatch.setattr(PngLayoutDecoder, "decode", others)
    with pytest.raises(UserError, match="pictures that layout_png answers differ by"):
        export(ExportSettings(weights, tmp_path))
    assert visible(tmp_path) == []


def test_a_second_export_into_the_same_folder_waits_for_the_first(weights, tmp_path):
    with lock(tmp_path / ".lock", "unused"), pytest.raises(UserError, match="another process is exporting into"):
        export(ExportSettings(weights, tmp_path))
    assert visible(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--export", "file/served"], 1, "file/served"),
        (["--export", "served", "--limit", 3], 2, "--limit has no meaning with --export"),
        (["--export", "served", "--output-size", "layout"], 2, "--output-size has no meaning with --export"),
        (["--export", "served", "--size", "30x64"], 2, "the nearest such size is 32x64"),
        (["--export", "served", "--layouts", "nowhere.png"], 1, "no layout nowhere.png"),
        (["--export", "served", "--weights", "nowhere.weights.h5"], 1, "no weights nowhere.weights.h5"),
    ],
)
def test_mistakes_are_one_line(call, weights, tmp_path, arguments, code, words):  # noqa: F811
    (tmp_path / "file").write_text("")
    assert words in the_error(call("test.py", "--weights", weights, *arguments), code)
    assert not (tmp_path / "served/1").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "--store-in-precision"),
        (["--store-in-precision"], 2, "--store-in-precision needs --precision bfloat16 or float16"),
        (["--layouts", "nowhere.png"], 1, "no layout nowhere.png"),
        (["--size", "64"], 2, "--size must be like 192x256"),
    ],
)
def test_help_and_mistakes_do_not_wait_for_tensorflow(tmp_path, arguments, code, words):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    result = subprocess.run(
        [sys.executable, "-m", "crn_tf.export", *arguments], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert result.returncode == code and words in result.stdout + result.stderr
    assert "imported" not in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "exported").exists()


def test_without_the_serving_api_the_lack_of_warmup_is_said(weights, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    version = export(ExportSettings(weights, tmp_path))
    assert not (version / WARMUP_FILE).exists()
    assert "no warm-up requests" in capfd.readouterr().out and (version / "saved_model.pb").exists()


def test_every_warmup_record_replays(exported, loaded):
    from tensorflow_serving.apis import prediction_log_pb2

    seen = []
    for record in tf.data.TFRecordDataset(str(exported / WARMUP_FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        (answer,) = loaded[request.model_spec.signature_name](**inputs).values()
        assert answer.shape[:2] == (1, 2)
        seen.append(request.model_spec.signature_name)
    assert sorted(seen) == sorted(loaded)
    assert (exported / WARMUP_FILE).stat().st_size < 20_000  # the soft layout is not written out


def test_the_assets_tell_the_classes(exported):
    told = json.loads((exported / "assets/classes.json").read_text())
    assert (told["height"], told["width"], told["images_per_layout"]) == (32, 64, 2)
    assert told["classes"][1] == {"id": 1, "name": "road", "color": [128, 64, 128], "png_id": 1}
    assert told["classes"][3] == {"id": 3, "name": "void", "color": [0, 0, 0], "png_id": 9}
    card = (exported / "model_card.md").read_text()
    assert card == (exported / "assets/model_card.md").read_text()
    for words in ("32x64", "| 2 | car | 0, 0, 142 | 2 |", "without its run folder", "licence was not stated"):
        assert words in card


@pytest.mark.slow
def test_the_card_of_a_run_tells_its_training(call, tmp_path):  # noqa: F811
    code, _, errors = call("train.py", "--demo", "--size", "16x32", "--steps", 12, "--width", 0.02, "--out", "run")
    assert code == 0, errors
    best = "run/best.weights.h5` (step 12, perceptual distance"
    sources = {"1": ("run", best), "2": ("run/best.weights.h5", best), "3": ("run/generator.weights.h5", "run/gen")}
    for source, _ in sources.values():
        code, _, errors = call("test.py", "--weights", source, "--export", "served")
        assert code == 0, errors
    for version, (_, told) in sources.items():
        card = (tmp_path / "served" / version / "model_card.md").read_text()
        for words in (
            told,
            "Perceiver: an untrained VGG19.",
            "steps 12",
            "lr 0.0005",
            "The built-in toy streets.",
            "(MIT)",
            "| step | training loss |",
        ):
            assert words in card
        rows = [line for line in card.splitlines() if line.startswith("| 12 |")]
        assert len(rows) == 1 and float(rows[0].split("|")[3]) > 0  # the last validation loss
        assert str(tmp_path) not in card


def test_a_release_checkpoint_is_exported(release_checkpoint, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(release_checkpoint.parent)  # from and into folders that are given without a name
    version = export(ExportSettings(Path("."), Path(".")))
    assert (release_checkpoint.parent / "1/saved_model.pb").is_file()
    model = tf.saved_model.load(str(version)).signatures["serving_default"]
    generator, description = load_generator(release_checkpoint)
    layouts = patchworks(description)
    assert difference(model(layouts=layouts)["images"].numpy(), Synthesizer(generator)(layouts)) <= 1
    card = (version / "model_card.md").read_text()
    for words in (
        "The 2017 release's model",
        "Licence: not stated (`--data-licence`). City",
        "| 13 | car | 0, 0, 142 | 26 |",
    ):
        assert words in card


def test_an_export_for_another_size_fits_layouts_as_test_py_does(weights, layouts, tmp_path, capfd):
    version = export(ExportSettings(weights, tmp_path, size="40x48", fit="crop"))
    assert "40x48, trained at 32x64, " in capfd.readouterr().out
    told = json.loads((version / "assets/classes.json").read_text())
    assert (told["height"], told["width"]) == (40, 48) and "trained at 32x64" in (version / "model_card.md").read_text()
    served = tf.saved_model.load(str(version)).signatures
    generator, _ = load_generator(weights, size=(40, 48))
    reader = LayoutReader(CLASSES)
    expected = Synthesizer(generator)(np.stack([reader.read(path, (40, 48), "crop") for path in layouts]))
    whole = np.stack([reader.read(path) for path in layouts])
    assert difference(served["serving_default"](layouts=tf.constant(whole))["images"].numpy(), expected) <= 1
    pngs = tf.constant([path.read_bytes() for path in layouts])
    assert difference(decoded(served["layout_png"](layout_bytes=pngs)["image_bytes"].numpy()), expected) <= 1


# --- precision, formats


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_computes_and_stores_what_it_says(weights, tmp_path, capfd, precision, ids, images):
    wide = export(ExportSettings(weights, tmp_path, precision=precision))
    output = capfd.readouterr().out
    assert types_of_convolutions(wide) == {"projection": {"float32"}, "module": {precision}}
    told = float(output.partition("mean absolute difference ")[2].split()[0])
    generator = DESCRIPTION.build()
    generator.load_weights(weights)
    answers = {}
    for folder in (wide, export(ExportSettings(weights, tmp_path, precision=precision, store_in_precision=True))):
        model = tf.saved_model.load(str(folder)).signatures["serving_default"]
        answers[folder.name] = [model(layouts=tf.constant(x))["images"].numpy() for x in (ids, patchworks(DESCRIPTION))]
        assert keras.config.dtype_policy().name == "float32"
    output = capfd.readouterr().out
    for a, b in zip(*answers.values(), strict=True):
        np.testing.assert_array_equal(a, b)  # kernels are rounded to the precision either way
    measured = np.abs(answers["1"][1].astype(int) - Synthesizer(generator)(patchworks(DESCRIPTION))).mean()
    assert told == pytest.approx(measured, rel=0.2) and 0 < told < 3
    assert 0 < np.abs(answers["1"][0].astype(int) - images).mean() < 3
    kernels = [v for v in generator.variables if len(v.shape) == 4 and not v.path.startswith("projection_")]
    saved = 2 * sum(v.numpy().size for v in kernels)
    sizes = [(tmp_path / v / "variables/variables.data-00000-of-00001").stat().st_size for v in ("1", "2")]
    assert abs(sizes[0] - sizes[1] - saved) < 100
    assert f"kernels stored in {precision}" in output and "in float32" in output


def types_of_convolutions(folder: Path) -> dict[str, set[str]]:
    """Of the projection, and of the others."""
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    types = {"projection": set(), "module": set()}
    for node in (node for function in graph.library.function for node in function.node_def if node.op == "Conv2D"):
        types["projection" if "projection" in node.name else "module"].add(tf.as_dtype(node.attr["T"].type).name)
    return types


def test_jpegs_are_close_to_the_images_and_a_licence_can_be_stated(weights, tmp_path, layouts, images):
    folder = export(ExportSettings(weights, tmp_path, format="jpg", data_licence="CC BY 4.0"))
    assert "Licence: CC BY 4.0" in (folder / "model_card.md").read_text()
    signature = tf.saved_model.load(str(folder)).signatures["layout_png"]
    encoded = signature(layout_bytes=tf.constant([path.read_bytes() for path in layouts]))["image_bytes"].numpy()
    assert all(Image.open(io.BytesIO(file)).format == "JPEG" for file in encoded.ravel())
    assert np.abs(decoded(encoded).astype(int) - images).mean() < 6


@pytest.mark.slow
def test_onnx_agrees(weights, tmp_path, ids, images):
    import onnxruntime

    folder = export(ExportSettings(weights, tmp_path, onnx=True))
    session = onnxruntime.InferenceSession(folder / "crn.onnx")
    assert [output.name for output in session.get_outputs()] == ["images"]
    (found,) = session.run(None, {"layouts": ids})
    assert difference(found, images) <= 1
    void = DESCRIPTION.classes.num_classes - 1
    unknown, as_void = (session.run(None, {"layouts": np.full_like(ids, value)})[0] for value in (77, void))
    np.testing.assert_array_equal(unknown, as_void)


def test_onnx_without_its_converter_is_explained(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"--onnx needs tf2onnx: pip install -r requirements-serving.txt"):
        export(ExportSettings(weights, tmp_path, onnx=True))
    assert visible(tmp_path) == []
