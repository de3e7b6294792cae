"""Who may ask a page of this machine, how much, and what comes with its answers."""

import socket

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from crn_tf.errors import UsageError, UserError
from crn_tf.pages import local_server
from crn_tf.pages.guard import HEADERS, Addresses
from crn_tf.pages.local_server import (
    addresses,
    guarded,
    json_object,
    listen,
    network_address,
    page_address,
    page_files,
)


async def echo(request: Request) -> Response:
    return JSONResponse(json_object(await request.body(), request.headers.get("content-type")))


async def full(request: Request) -> Response:
    raise UserError("cannot write it:\n the disk is full")


async def mistaken(request: Request) -> Response:
    raise ZeroDivisionError


async def refusing(request: Request) -> Response:
    raise HTTPException(409, "not now")


ROUTES = [
    Route("/echo", echo, methods=["POST"]),
    *(Route(f"/{each.__name__}", each) for each in (full, mistaken, refusing)),
]
KNOWN = Addresses(frozenset({"here:80"}), frozenset({"http://here:80"}))


@pytest.fixture
def client():
    app = guarded(ROUTES, KNOWN, largest_request=100)
    return TestClient(app, base_url="http://here:80", headers={"host": "here:80"}, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "HERE:80"}, 200),
        ({"origin": "http://here:80"}, 200),
        ({"host": "evil.example:80"}, 403),
        ({"host": "here:81"}, 403),
        ({"host": "here:80.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "x" * 5000}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://here:80"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_only_its_own_host_and_origin_are_answered(client, headers, status):
    answer = client.post("/echo", json={"a": 1}, headers=headers)
    assert answer.status_code == status
    assert answer.json() == {"a": 1} if status == 200 else "error" in answer.json()
    assert len(answer.text) < 200


def test_two_hosts_are_none(client):
    answer = client.post("/echo", json={}, headers=[("host", "here:80"), ("host", "evil.example")])
    assert answer.status_code == 403


def test_large_requests_are_refused_whether_they_tell_their_length_or_not(client):
    assert client.post("/echo", content=b"[" * 101).status_code == 413
    assert client.post("/echo", content=iter([b"[" * 60, b"[" * 60])).status_code == 413
    assert client.post("/echo", json={"a": "b" * 80}).status_code == 200
    assert client.post("/echo", content=b"{}", headers={"content-length": "9" * 5000}).status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),  # what a form of another page could send
        (b"{}", "application/json; charset=utf-8", 200),
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 90, "application/json", 400),
    ],
)
def test_only_json_objects_are_read(client, content, kind, status):
    assert client.post("/echo", content=content, headers={"content-type": kind}).status_code == status


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/full", 503, "cannot write it: the disk is full"),
        ("/mistaken", 500, "its terminal says which"),
        ("/refusing", 409, "not now"),
        ("/nowhere", 404, "Not Found"),
        ("/../../etc/passwd", 404, "Not Found"),
        ("/echo", 405, "Method Not Allowed"),
    ],
)
def test_errors_are_one_line_of_json(client, path, status, words):
    answer = client.get(path)
    assert answer.status_code == status and words in answer.json()["error"] and "\n" not in answer.json()["error"]


@pytest.mark.parametrize("path", ["/echo", "/nowhere", "/refusing", "/full", "/favicon.ico"])
def test_every_answer_tells_the_browser_what_the_page_may_not(client, path):
    for headers in ({}, {"host": "evil.example"}):
        found = client.get(path, headers=headers).headers
        assert {name: found.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_answers_do_not_wait_for_more_to_send():
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # by which asyncio decides


def test_addresses_are_those_it_listens_on():
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        known = addresses(listening, "127.0.0.1")
        assert {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"} == known.hosts
        assert f"http://localhost:{port}" in known.origins and "127.0.0.1" not in known.hosts
        assert page_address(listening, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        outside = addresses(listening, "127.0.0.1", "https://Study.example.org/")
        assert "study.example.org" in outside.hosts and "https://study.example.org" in outside.origins
        assert "http://study.example.org" not in outside.origins
        for wrong in ("study.example.org", "ftp://a", "https://a/b", "https://"):
            with pytest.raises(UsageError, match="--address"):
                addresses(listening, "127.0.0.1", wrong)


def test_all_addresses_of_the_machine_are_meant_by_zeros():
    with listen("0.0.0.0", 0) as listening:
        port = listening.getsockname()[1]
        known = addresses(listening, "0.0.0.0")
        assert {f"127.0.0.1:{port}", f"{socket.gethostname().lower()}:{port}"} <= known.hosts
        assert f"0.0.0.0:{port}" not in known.hosts
        assert page_address(listening, "0.0.0.0") == f"http://127.0.0.1:{port}/"
        told = network_address(listening)
        assert told.removeprefix("http://").removesuffix("/") in known.hosts  # so it is answered under it


def test_without_a_network_the_machine_has_a_name(monkeypatch):
    with listen("0.0.0.0", 0) as listening:
        monkeypatch.setattr(local_server.socket.socket, "connect", unreachable)
        assert network_address(listening) == f"http://{socket.gethostname().lower()}:{listening.getsockname()[1]}/"
    with listen("127.0.0.1", 0) as listening:
        assert network_address(listening) is None


def unreachable(*_) -> None:
    raise OSError("Network is unreachable")


def test_what_editors_leave_is_no_part_of_a_page(tmp_path, monkeypatch):
    folder = tmp_path / "static/paint"
    folder.mkdir(parents=True)
    for name in ("index.html", "a.js", "a.css", "a.js.orig", "a.js~", ".DS_Store", ".#a.js", "README"):
        (folder / name).touch()
    monkeypatch.setattr(local_server.resources, "files", lambda _: tmp_path)
    assert page_files("paint") == {"/": "index.html", "/a.js": "a.js", "/a.css": "a.css"}


def test_a_port_that_is_taken_and_a_host_that_is_none_are_one_line():
    with listen("127.0.0.1", 0) as listening, pytest.raises(UserError, match="try another --port"):
        listen("127.0.0.1", listening.getsockname()[1])
    for port in (-1, 65536):
        with pytest.raises(UsageError, match=f"--port must be 0 to 65535, not {port}"):
            listen("127.0.0.1", port)
    with pytest.raises(UserError, match="expected an address of this machine"):
        listen("no such host", 0)
    with pytest.raises(UserError, match="cannot listen at 192"):
        listen("192.0.2.1", 0)
