"""The example clients' words where something is wrong, and the configuration that stands beside them."""

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT


@pytest.fixture
def answering():
    """Start a server that answers each request with the same: (status, body) -> its model's address."""
    servers = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/v1/models/crn"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def the_error(kind: str, *arguments: str | Path) -> str:
    """The one line that a client ends with."""
    program = [sys.executable, ROOT / f"serving/client_{kind}.py", *arguments]
    result = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_files_that_cannot_be_read_or_written_are_one_line(kind, tmp_path):
    layout, missing = tmp_path / "layout.png", tmp_path / "missing.png"
    layout.write_bytes(b"any")
    assert the_error(kind, missing, tmp_path / "p.png") == (
        f"error: cannot read the layout {missing}: No such file or directory"
    )
    expected = "expected a file's name in a folder that is there"
    for picture in (tmp_path / "none/p.png", tmp_path):
        assert the_error(kind, layout, picture) == f"error: cannot write {picture}: {expected}"


def test_a_picture_that_cannot_be_written_is_one_line(answering, tmp_path):
    (tmp_path / "layout.png").write_bytes(b"any")
    url = answering(200, b'{"predictions": [[{"b64": "QUJD"}]]}')
    name = "x" * 300 + ".png"
    line = the_error("rest", tmp_path / "layout.png", tmp_path / name, "--url", url)
    assert line == f"error: cannot write {tmp_path / name}: File name too long"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>\n<body>a proxy", "answered '<html> <body>a proxy'; expected JSON with pictures"),
        (200, b"", "answered ''; expected JSON with pictures"),
        (200, b'{"predictions": [[1.5]]}', "expected JSON with pictures. Is it a model of crn_tf.export?"),
        (200, b'{"predictions": [[{"b64": "%"}]]}', "expected JSON with pictures"),
        (200, b'{"outputs": []}', "expected JSON with pictures"),
        (502, b"Bad\nGateway", "answered 'Bad Gateway' with status 502; expected JSON"),
        (404, b'["error"]', "with status 404; expected JSON"),
        (400, b'{"error": "a\\nb"}', "error: a"),
        (400, b'{"error": "2 root error(s): assertion failed: [item 0 is empty]\\n at"}', "error: item 0 is empty"),
    ],
)
def test_an_answer_that_is_not_the_models_is_one_line(answering, tmp_path, status, body, words):
    (tmp_path / "layout.png").write_bytes(b"any")
    line = the_error("rest", tmp_path / "layout.png", tmp_path / "p.png", "--url", answering(status, body))
    assert line.startswith("error: ") and words in line
    assert not list(tmp_path.glob("p*"))


def test_an_address_that_is_none_is_one_line(tmp_path):
    (tmp_path / "layout.png").write_bytes(b"any")
    for url in ("nonsense", "http://localhost:1/v1/models/crn", "http://localhost:nine/"):
        line = the_error("rest", tmp_path / "layout.png", tmp_path / "p.png", "--url", url)
        assert line.startswith(f"error: cannot reach {url}: ")


def test_compose_and_kubernetes_start_the_same_server():
    compose = yaml.safe_load((ROOT / "serving/compose.yaml").read_text())["services"]["crn"]
    deployment, _ = yaml.safe_load_all((ROOT / "serving/kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["args"] == compose["command"]
    assert container["image"] == re.sub(r"\$\{\w+:-([\d.]+)\}", r"\1", compose["image"])
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"model": compose["volumes"][0]["target"], "configuration": "/serving"}
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounted)


def test_kubernetes_sends_requests_only_where_a_model_is_ready():
    deployment, service = yaml.safe_load_all((ROOT / "serving/kubernetes.yaml").read_text())
    spec = deployment["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v1/models/crn", "port": "rest"}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert {(port["port"], port["targetPort"]) for port in service["spec"]["ports"]} == {(8500, "grpc"), (8501, "rest")}
