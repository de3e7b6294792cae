"""What clients send, and what comes back: the examples in serving/, and many clients at once, by the API's messages."""

import base64
import io
import json
import random
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from crn_tf.serving.warmup import MODEL_NAME
from tests.conftest import ROOT
from tests.test_export import difference, exported, ids, images, layouts, weights  # noqa: F401  (fixtures)


class Server:
    """The stand-in, in a process of its own."""

    def __init__(self, folder: Path):
        program = [sys.executable, ROOT / "tests/serving_stand_in.py", folder]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ports = json.loads(self.process.stdout.readline())
        self.address, self.url = f"localhost:{ports['grpc']}", f"http://localhost:{ports['rest']}/v1/models/crn"
        self.channel = grpc.insecure_channel(self.address, [("grpc.max_receive_message_length", -1)])
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def predict(self, signature: str, model: str = "crn", **inputs) -> np.ndarray:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        (answer,) = self.stub.Predict(request, 60).outputs.values()
        return tf.make_ndarray(answer)

    def post(self, body: dict) -> tuple[int, dict]:
        request = urllib.request.Request(f"{self.url}:predict", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * 4096

    def close(self) -> None:
        self.channel.close()
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def server(exported):  # noqa: F811
    server = Server(exported)
    yield server
    server.close()


def client(name: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "serving" / name, *arguments], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_client_sends_a_layout_file_and_writes_the_pictures(server, layouts, images, kind, tmp_path):  # noqa: F811
    where = ("--url", server.url) if kind == "rest" else ("--address", server.address)
    result = client(f"client_{kind}.py", layouts[0], tmp_path / "picture.png", *where)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(tmp_path / f"picture_{k}.png") for k in range(2)]
    found = np.stack([np.asarray(Image.open(tmp_path / f"picture_{k}.png")) for k in range(2)])
    assert difference(found, images[0]) <= 1

    (tmp_path / "bad.png").write_bytes(layouts[0].read_bytes()[:90])
    for file, at, words in (
        (tmp_path / "bad.png", where, "is a damaged or truncated PNG; expected a PNG of class ids (grey) or"),
        (layouts[0], (where[0], where[1][:-3] + "xyz" if kind == "rest" else "localhost:1"), "error: "),
    ):
        result = client(f"client_{kind}.py", file, tmp_path / "other.png", *at, "--timeout", "20")
        assert result.returncode == 1 and words in result.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("other*"))


def test_rest_takes_every_signature(server, ids, images, layouts):  # noqa: F811
    for signature in ("serving_default", "layout_int32"):
        for form in ("instances", "inputs"):
            status, answer = server.post({"signature_name": signature, form: ids.tolist()})
            assert status == 200, answer
            found = np.array(answer["predictions" if form == "instances" else "outputs"])
            assert difference(found.astype(np.uint8), images) <= 1
    status, answer = server.post({"instances": [{"layouts": ids[1].tolist()}]})
    assert status == 200 and difference(np.array(answer["predictions"]).astype(np.uint8), images[1:]) <= 1
    soft = np.eye(4)[ids[:1]]
    status, answer = server.post({"signature_name": "layout_soft", "instances": soft.tolist()})
    assert status == 200 and difference(np.array(answer["predictions"]).astype(np.uint8), images[:1]) <= 1
    pngs = [{"b64": base64.b64encode(path.read_bytes()).decode()} for path in layouts]
    status, answer = server.post({"signature_name": "layout_png", "inputs": {"layout_bytes": pngs}})
    assert status == 200 and np.shape(answer["outputs"]) == (2, 2)
    encoded = base64.b64decode(answer["outputs"][1][0]["b64"])
    assert difference(np.asarray(Image.open(io.BytesIO(encoded))), images[1, 0]) <= 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"instances": [[0, 1], [2, 3]]}, "the shape is [2, 2]; expected class ids [batch, height, width]"),
        ({"signature_name": "layout_png", "instances": ["iVBORw0KGgoAAA"]}, "is base64 text; expected bytes (in REST"),
        ({"signature_name": "layout_png", "instances": [{"b64": "AAAA"}]}, "item 0 of 1 (from 0) is not a PNG"),
        ({"signature_name": "nothing", "instances": []}, "no signature"),
        ({"instances": [[["road"]]]}, "intVal"),
    ],
)
def test_rest_refuses_with_what_was_expected(server, body, words):
    status, answer = server.post(body)
    assert status == 400 and words in answer["error"]


def test_200_requests_good_and_bad_from_several_clients(server, ids, images, layouts):  # noqa: F811
    pngs = [path.read_bytes() for path in layouts]
    answers = {name: server.predict("layout_png", layout_bytes=[png]) for name, png in zip("ab", pngs, strict=True)}
    invalid = grpc.StatusCode.INVALID_ARGUMENT

    def check(call, expected):
        if isinstance(expected, tuple):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() == expected[0] and expected[1] in caught.value.details()
        else:
            np.testing.assert_array_equal(call(), expected)

    huge = pngs[0][:16] + b"\x7f\xff\xff\xff" * 2 + pngs[0][24:]
    kinds = [
        (lambda: server.predict("layout_png", layout_bytes=[pngs[0]]), answers["a"]),
        (lambda: server.predict("layout_png", layout_bytes=pngs), np.concatenate([answers["a"], answers["b"]])),
        (lambda: server.predict("serving_default", layouts=ids), images),
        (lambda: server.predict("layout_int32", layouts=ids[1:].astype(np.int32)), images[1:]),
        (lambda: server.predict("layout_png", layout_bytes=[pngs[1], pngs[0][:99]]), (invalid, "item 1 of 2")),
        (lambda: server.predict("layout_png", layout_bytes=[huge]), (invalid, "2147483647x2147483647")),
        (lambda: server.predict("layout_png", layout_bytes=[random.randbytes(5000)]), (invalid, "is not a PNG")),
        (lambda: server.predict("layout_png", layout_bytes=pngs[0]), (invalid, "the shape is []")),
        (lambda: server.predict("serving_default", layouts=ids[0]), (invalid, "the shape is [32, 64]")),
        (lambda: server.predict("serving_default", layouts=ids.astype(np.float32)), (invalid, "type of layouts")),
        (lambda: server.predict("layout_soft", layouts=np.ones((1, 32, 64, 4), "f4")), (invalid, "item 0 of 1")),
        (lambda: server.predict("layout_png", "other", layout_bytes=pngs), (grpc.StatusCode.NOT_FOUND, "no model")),
    ]
    requests = random.Random(0).choices(kinds, k=200)
    assert 50 < sum(isinstance(expected, tuple) for _, expected in requests) < 150
    memory, done = {}, 0
    lock = threading.Lock()

    def send(request):
        nonlocal done
        check(*request)
        with lock:
            done += 1
            memory[done] = server.memory

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(send, requests))
    assert done == 200
    late, early = np.mean([memory[n] for n in range(191, 201)]), np.mean([memory[n] for n in range(46, 56)])
    print(f"server: {early / 1e6:.1f} MB at the 50th request, {late / 1e6:.1f} MB at the 200th")
    assert late - early < 8e6


def parse_batching(text: str) -> dict:
    """Parse a batching configuration as the server does: its message is not among the API's, so it is made here, with
    the fields that tensorflow_serving/servables/tensorflow/session_bundle_config.proto gives BatchingParameters."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    kinds = {
        **dict.fromkeys(("max_batch_size", "batch_timeout_micros", "max_enqueued_batches"), "Int64Value"),
        **dict.fromkeys(("num_batch_threads", "max_execution_batch_size"), "Int64Value"),
        "enable_large_batch_splitting": "BoolValue",
        "thread_pool_name": "StringValue",
    }
    for number, (name, kind) in enumerate(kinds.items(), 1):
        message.field.add(name=name, number=number, type=11, type_name=f".google.protobuf.{kind}", label=1)
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))
    parsed = text_format.Parse(text, kind())
    return {field.name: value.value for field, value in parsed.ListFields()}


def test_the_server_configuration_is_the_apis(tmp_path):
    text = (ROOT / "serving/models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    batching = parse_batching((ROOT / "serving/batching.config").read_text())
    assert batching["max_execution_batch_size"] == batching["num_batch_threads"] == 1
    assert batching["max_enqueued_batches"] >= batching["max_batch_size"] and batching["enable_large_batch_splitting"]
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == (MODEL_NAME, "/models/crn")
    compose = (ROOT / "serving/compose.yaml").read_text()
    for words in (
        *("/serving/models.config", "/serving/batching.config", ".:/serving:ro"),
        *("${CRN_MODEL:-../exported/crn}", f"target: {model.base_path}"),
    ):
        assert words in compose
