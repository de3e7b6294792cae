"""What the painting page may ask for, what it is told of mistakes, and that nobody holds up the others."""

import asyncio
import http.client
import json
import random
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.datasets import open_data_set
from crn_tf.data.images import encode_image
from crn_tf.data.layouts import colorize
from crn_tf.data.toy import ToyDataSet
from crn_tf.model.description import ModelDescription
from crn_tf.pages import guard
from crn_tf.pages.guard import Addresses
from crn_tf.pages.local_server import addresses, listen, make_server
from crn_tf.pages.paint_models import Painter, PaintModel
from crn_tf.pages.paint_server import LARGEST, PaintPage, paint_app
from crn_tf.pages.paint_starts import AllStarts, DataStarts, DrawnStarts, Start
from tests.paintings import Colours, decoded, encoded, indexed_png

TOY = ToyDataSet.classes
KNOWN = Addresses(frozenset({"testserver"}), frozenset({"http://testserver"}))
SIZE = (8, 16)


def layout(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TOY.num_classes, SIZE).astype(np.uint8)


def sent(seed: int) -> bytes:
    return indexed_png(layout(seed), TOY)


class Slow(Colours):
    """Takes its time, and can be held."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.begun = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, layouts: np.ndarray) -> np.ndarray:
        self.begun.set()
        self.go.wait(20)
        return super().__call__(layouts)


def make_page(synthesizer=None, classes=TOY) -> PaintPage:
    models = [
        PaintModel("one", ModelDescription(8, (4, 8), 2, 0.01, classes), synthesizer or Colours()),
        PaintModel("small", ModelDescription(4, (4, 8), 1, 0.01, classes), Colours(1), draft=True),
    ]
    parts = [DrawnStarts(classes), *([DataStarts("validation", ToyDataSet("val"), "resize")] if classes is TOY else [])]
    return PaintPage(Painter(models), AllStarts(parts))


@pytest.fixture
def client():
    page = make_page()
    with TestClient(paint_app(page, KNOWN)) as client:
        yield client
    page.close()


def said(answer) -> list[str]:
    return json.loads(unquote(answer.headers["x-said"]))


def test_the_model_tells_what_is_needed_to_draw(client):
    told = client.get("/api/model").json()
    assert (told["size"], told["images"], told["void"]) == ([8, 16], 2, 9)
    assert len(told["run"]) == 16 and told["run"] == client.get("/api/model").json()["run"]
    assert told["classes"][3] == {"id": 3, "name": "road", "color": [128, 64, 128], "file_id": 3}
    assert (
        len(told["classes"]) == 10
        and told["classes"][9]["name"] == "void"
        and told["starts"] == 8 + 24
        and told["limits"] == {"bytes": LARGEST}
    )
    first, second = told["models"]
    assert first | {"name": "one", "draft": False, "precision": "float32"} == first and first["parameters"] > 0
    assert (second["name"], second["size"], second["images"], second["draft"]) == ("small", [4, 8], 1, True)


def test_cityscapes_says_which_ids_its_files_have():
    page = make_page(classes=CITYSCAPES)
    with TestClient(paint_app(page, KNOWN)) as client:
        told = client.get("/api/model").json()
        assert [each["file_id"] for each in told["classes"]] == [*CITYSCAPES.ids, 0]
        assert (told["void"], told["classes"][19]["color"], told["starts"]) == (19, [0, 0, 0], 1)
        whole = np.arange(19 + 1, dtype=np.uint8).repeat(8)[:128].reshape(SIZE)
        for painted in (whole, np.full(SIZE, 19, np.uint8), np.full(SIZE, 1, np.uint8)):
            answer = client.post("/api/read?labels=ids", content=indexed_png(painted, CITYSCAPES))
            assert answer.content == painted.tobytes()
    page.close()


def test_a_picture_of_a_layout_comes_in_each_form(client):
    expected = Colours()(layout(0)[None])[0]
    answer = client.post("/api/synthesize", content=sent(0), headers={"content-type": "text/plain"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(decoded(answer.content), expected[0])
    assert answer.headers["x-images"] == "2" and float(answer.headers["x-seconds"]) >= 0 and said(answer) == []
    second = client.post("/api/synthesize?image=1&labels=ids&model=one&format=png&client=me", content=sent(0))
    np.testing.assert_array_equal(decoded(second.content), expected[1])
    jpeg = client.post("/api/synthesize?format=jpeg", content=sent(0))
    assert jpeg.headers["content-type"] == "image/jpeg" and jpeg.content == encode_image(expected[0], "jpg")
    small = client.post("/api/synthesize?model=small", content=sent(0))
    assert decoded(small.content).shape == (4, 8, 3) and small.headers["x-images"] == "1"


def test_a_layout_is_read_to_ids_with_what_there_is_to_say(client):
    answer = client.post("/api/read", content=encoded(Image.fromarray(layout(0).repeat(3, 0).repeat(3, 1))))
    assert answer.content == layout(0).tobytes() and answer.headers["content-type"] == "application/octet-stream"
    assert len(said(answer)) == 2 and "resized to 8x16" in said(answer)[1]
    odd = colorize(layout(0), TOY)
    odd[0, 0] = (1, 250, 3)
    answer = client.post("/api/read", content=encoded(Image.fromarray(odd)))
    assert "count as void" in said(answer)[-1] and answer.content[0] == 9
    assert said(client.post("/api/synthesize", content=encoded(Image.fromarray(odd)))) == said(answer)[1:]


def test_layouts_to_start_from_are_numbered(client):
    listed = client.get("/api/starts").json()
    assert [each["number"] for each in listed] == list(range(24)) and listed[0]["name"] == "street 1"
    assert {each["group"] for each in listed} == {"drawn", "validation"} and listed[8]["name"] == "toy_val_0000"
    assert [each["number"] for each in client.get("/api/starts?from=30&count=100").json()] == [30, 31]
    assert client.get("/api/starts?from=99").json() == []
    expected = ToyDataSet("val").load(1, SIZE, "resize")
    assert client.get("/api/starts/9/layout").content == expected[1].tobytes()
    thumbnail = client.get("/api/starts/9/thumbnail")
    np.testing.assert_array_equal(decoded(thumbnail.content), colorize(expected[1], TOY))
    photo = client.get("/api/starts/9/photo")
    assert photo.headers["content-type"] == "image/jpeg" and photo.content == encode_image(expected[0], "jpg")
    for wrong in ("32", "-1", "x", "9" * 5000, "%00", "..%2F..%2Fetc", "٣"):
        assert client.get(f"/api/starts/{wrong}/layout").status_code == 404


def test_a_start_that_cannot_be_read_any_more_is_one_line(folder_data, capsys):
    data = open_data_set(folder_data, None, "val", 40, need_photos=False)
    models = [PaintModel("one", ModelDescription(8, (4, 8), 2, 0.01, data.classes), Colours())]
    page = PaintPage(Painter(models), DataStarts("data", data, "resize"))
    with TestClient(paint_app(page, KNOWN)) as client:
        (folder_data / "photos/val/0.png").write_bytes(b"none")
        (folder_data / "labels/val/1.png").unlink()
        assert client.get("/api/starts/0/layout").status_code == 200
        for path in ("0/photo", "1/layout", "1/thumbnail"):
            answer = client.get(f"/api/starts/{path}")
            assert answer.status_code == 404
            assert answer.json() == {"error": f"{path[0]} cannot be read; the server's terminal says why"}
            assert str(folder_data) in capsys.readouterr().err
    page.close()


MISTAKES = [
    ("synthesize?image=2", 400, "image is '2'; expected 0 to 1"),
    ("synthesize?model=small&image=1", 400, "image is '1'; expected 0"),
    ("synthesize?image=-1", 400, "expected 0 to 1"),
    ("synthesize?image=1e0", 400, "expected 0 to 1"),
    ("synthesize?model=two", 400, "there is no model 'two'; there are one, small"),
    ("synthesize?format=gif", 400, "expected png, jpeg"),
    ("synthesize?labels=guess", 400, "expected auto, ids, colours, trainids, labelids"),
    ("synthesize?labels=labelids", 400, "Cityscapes"),
    ("synthesize?img=1", 400, "there is no parameter 'img'; expected model, image"),
    ("synthesize?image=0&image=1", 400, "twice"),
    ("synthesize?client=" + "x" * 257, 400, "256 characters"),
    ("synthesize?client=", 400, "256 characters"),
    ("read?image=0", 400, "expected labels"),
    ("nothing", 404, "Not Found"),
    ("model", 405, "Method Not Allowed"),
]


@pytest.mark.parametrize(("path", "status", "words"), MISTAKES)
def test_mistakes_are_one_line(client, path, status, words):
    answer = client.post(f"/api/{path}", content=sent(0))
    assert answer.status_code == status and words in answer.json()["error"] and "\n" not in answer.json()["error"]


def test_bodies_that_are_no_layouts_are_one_line(client):
    for path in ("synthesize", "read"):
        assert "no body" in client.post(f"/api/{path}").json()["error"]
        answer = client.post(f"/api/{path}", content=b"none")
        assert answer.status_code == 400 and answer.json()["error"].startswith("cannot read the layout: not a picture")
        assert client.post(f"/api/{path}", content=bytes(LARGEST + 1)).status_code == 413


def test_a_server_that_was_started_again_says_so(client):
    page = make_page()
    with TestClient(paint_app(page, KNOWN)) as again:
        assert again.get("/api/model").json()["run"] != client.get("/api/model").json()["run"]
    page.close()


def test_forms_are_told_how_to_send_a_file(client):
    """curl -F sends parts, curl -d sends a file without its line ends."""
    for path in ("synthesize", "read"):
        parts = client.post(f"/api/{path}", files={"file": ("layout.png", sent(0))})
        cut = client.post(f"/api/{path}", content=sent(0).replace(b"\r", b"").replace(b"\n", b""))
        for answer in (parts, cut):
            assert answer.status_code == 400 and "send the file itself: curl --data-binary @FILE" in answer.text
            assert answer.text.endswith('"}\n')  # a terminal's next line is a new one


def test_the_page_itself_is_served(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "style=" not in page.text and "onclick" not in page.text  # which the policy would not allow
    assert client.get("/index.html").status_code == 404


# --- several at once, by real connections


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def page(slow):
    made = make_page(slow)
    yield made
    slow.go.set()
    made.close()


@pytest.fixture
def running(page, slow):
    """A server in a thread: its address, and the network it paints with."""
    with listen("127.0.0.1", 0) as listening:
        server = make_server(paint_app(page, addresses(listening, "127.0.0.1")))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", slow
        slow.go.set()
        server.should_exit = True
        thread.join(20)


def ask(address: str, body: bytes, **parameters) -> tuple[int, bytes]:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    try:
        with urllib.request.urlopen(f"{address}/api/synthesize?{query}", body, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def until(condition) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def test_a_burst_of_200_layouts_is_a_few_computations_and_ends_with_the_last(running):
    address, slow = running
    slow.go.clear()
    with ThreadPoolExecutor(100) as pool:
        first = pool.submit(ask, address, sent(0), client="me")
        assert slow.begun.wait(20)
        burst = [pool.submit(ask, address, sent(number), client="me") for number in range(1, 199)]
        # All but one of these are overtaken before the first is done; which one is last is for the network to say.
        until(lambda: sum(each.done() for each in burst) == len(burst) - 1)
        last = pool.submit(ask, address, sent(199), client="me")
        until(lambda: all(each.done() for each in burst))
        slow.go.set()
        status, picture = last.result(20)
    assert status == 200 and len(slow.calls) == 2
    np.testing.assert_array_equal(decoded(picture), Colours()(layout(199)[None])[0, 0])
    assert first.result()[0] == 200
    assert {each.result()[0] for each in burst} == {409}
    assert json.loads(burst[0].result()[1]) == {"error": "overtaken by a newer layout"}


def test_two_clients_wait_for_each_other_but_overtake_only_themselves(running):
    address, slow = running
    slow.go.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, address, sent(0), client="a")
        assert slow.begun.wait(20)
        asked = [pool.submit(ask, address, sent(number), client="b") for number in (1,)]
        asked += [pool.submit(ask, address, sent(2), client="a"), pool.submit(ask, address, sent(3))]
        time.sleep(0.3)
        slow.go.set()
        for number, answer in enumerate([first, *asked]):
            status, picture = answer.result(20)
            assert status == 200
            np.testing.assert_array_equal(decoded(picture), Colours()(layout(number)[None])[0, 0])


def test_other_images_and_files_do_not_wait_for_a_picture_that_takes_long(running):
    address, slow = running
    assert ask(address, sent(0))[0] == 200
    slow.go.clear()
    with ThreadPoolExecutor(1) as pool:
        slow.begun.clear()
        long = pool.submit(ask, address, sent(1))
        assert slow.begun.wait(20)
        status, picture = ask(address, sent(0), image=1)  # from the cache
        assert status == 200 and (decoded(picture) == Colours()(layout(0)[None])[0, 1]).all()
        with urllib.request.urlopen(f"{address}/api/read", sent(5), timeout=20) as answer:
            assert answer.read() == layout(5).tobytes()
        with urllib.request.urlopen(f"{address}/api/starts/3/thumbnail", timeout=20) as answer:
            assert answer.status == 200
        assert not long.done()
        slow.go.set()
        assert long.result(20)[0] == 200


class Stuck:
    """A layout to start from whose disk does not answer."""

    def __init__(self, go: threading.Event) -> None:
        self._go = go

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Start:
        return Start("stuck", "data", lambda size: layout(0) if self._go.wait(20) else layout(1), None)


def test_thumbnails_take_no_places_of_files_that_are_read(running, page, slow, monkeypatch):
    address, _ = running
    monkeypatch.setattr(page, "_starts", Stuck(slow.go))
    slow.go.clear()

    def thumbnail() -> int:
        try:
            with urllib.request.urlopen(f"{address}/api/starts/0/thumbnail", timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(thumbnail) for _ in range(40)]
        until(lambda: sum(each.done() for each in asked) == 40 - 33)  # the others wait, as many as may
        with urllib.request.urlopen(f"{address}/api/read", sent(5), timeout=20) as answer:
            assert answer.read() == layout(5).tobytes()
        slow.go.set()
        assert [each.result(20) for each in asked].count(200) == 33


def connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def request_head(address: str, length: int) -> bytes:
    host = urlsplit(address).netloc
    return f"POST /api/synthesize HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode()


def test_who_has_gone_is_not_computed_for(running, page):
    address, slow = running
    slow.go.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, address, sent(0))
        assert slow.begun.wait(20)
        for number in range(1, 41):  # more than may wait at once: the places of those who have gone are free again
            with connect(address) as connection:
                connection.sendall(request_head(address, len(sent(number))) + sent(number))
                until(page.waiting)
            until(lambda: not page.waiting())
        last = pool.submit(ask, address, sent(99))
        until(page.waiting)
        slow.go.set()
        assert first.result(20)[0] == last.result(20)[0] == 200
    assert len(slow.calls) == 2


def test_only_so_many_wait(running):
    address, slow = running
    slow.go.clear()
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, address, sent(number)) for number in range(45)]
        until(lambda: sum(each.done() for each in asked) >= 45 - 33)
        assert {each.result()[0] for each in asked if each.done()} == {503}
        slow.go.set()
        statuses = [each.result(20)[0] for each in asked]
    assert statuses.count(200) == 33 and statuses.count(503) == 12


def test_300_hostile_requests_get_one_line_each_and_the_next_is_answered(running):
    address, _ = running
    chance = random.Random(0)
    good = sent(0)
    paths = ["/api/synthesize", "/api/read", "/api/model", "/api/starts", "/", "/api/starts/1/layout", "/../etc/passwd"]
    queries = ["", "?image=1", "?image=9" * 50, "?model=%00", "?client=%0a", "?from=-1", "?format=../png", "?%ff=%ff"]
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 20)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        body = chance.choice(
            [bytes(damaged), good[: chance.randrange(len(good))], chance.randbytes(chance.randrange(3000)), b""]
        )
        method = chance.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
        headers = chance.choice(
            [{}, {}, {}, {"host": "evil.example"}, {"origin": "http://evil.example"}, {"content-type": "image/gif"}]
        )
        path = chance.choice(paths) + chance.choice(queries)
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status in (200, 400, 403, 404, 405), (method, path, answer.status, content)
        if "host" in headers or "origin" in headers:
            assert answer.status == 403
        if answer.status != 200 and method != "HEAD":
            said = json.loads(content)
            assert list(said) == ["error"] and "\n" not in said["error"] and "/tmp" not in said["error"]
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000, b"G" * 100_000):
        with connect(address) as connection:
            connection.sendall(nonsense)
    assert ask(address, good)[0] == 200


def test_slow_clients_hold_nobody_up(running):
    address, _ = running
    connections = [connect(address) for _ in range(20)]
    for connection in connections:
        connection.sendall(request_head(address, len(sent(0))) + sent(0)[:50])
    assert ask(address, sent(1))[0] == 200
    for connection in connections:  # and are answered when they are done
        connection.sendall(sent(0)[50:])
    assert all(connection.recv(15) == b"HTTP/1.1 200 OK" for connection in connections)
    for connection in connections:
        connection.close()


def test_silent_connections_shut_nobody_out_and_are_closed(monkeypatch, running):
    """Those that send nothing, half a head, or that and byte after byte; the others are answered meanwhile."""
    address, _ = running
    monkeypatch.setattr(guard, "SLOWEST_REQUEST", 3.0)
    connections = [connect(address) for _ in range(300)]
    for connection in connections[100:]:
        with suppress(OSError):  # closed already, where this takes long
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    assert ask(address, sent(0))[0] == 200
    used = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    for _ in range(2):  # half a head after an answer
        used.request("GET", "/api/model")
        assert used.getresponse().read()
    used.sock.sendall(b"GET")
    connections.append(used.sock)
    began = time.monotonic()
    while time.monotonic() < began + 2:
        time.sleep(0.2)
        for connection in connections[200:300]:
            with suppress(OSError):
                connection.sendall(b"x")
    assert [closed(connection) for connection in connections] == [True] * 301
    assert time.monotonic() < began + 8
    assert ask(address, sent(1))[0] == 200
    for connection in connections:
        connection.close()


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_too_many_requests_at_once_are_one_line(monkeypatch, running):
    address, _ = running
    monkeypatch.setattr(guard, "_MOST_REQUESTS", 20)
    connections = [connect(address) for _ in range(20)]
    for connection in connections:
        connection.sendall(request_head(address, len(sent(0))) + sent(0)[:50])
    until(lambda: ask(address, sent(1))[0] == 503)
    said = json.loads(ask(address, sent(1))[1])
    assert said == {"error": "too many requests at once; try again in a moment"}
    connections[0].sendall(sent(0)[50:])
    assert connections[0].recv(15) == b"HTTP/1.1 200 OK"
    until(lambda: ask(address, sent(1))[0] == 200)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("headers", [{}, {"Host": "evil.example"}])
def test_who_sends_too_much_comes_to_read_why(running, chunked, headers):
    """As urllib does it, which sends all of it before it reads, and asks to close the connection."""
    address, _ = running
    body = bytes(3 * LARGEST)
    given = iter([body[:LARGEST], body[LARGEST:]]) if chunked else body
    request = urllib.request.Request(f"{address}/api/synthesize", given, headers)
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request, timeout=20):
        pass
    with caught.value as answer:
        words = "asked for as evil.example; open it under the address" if headers else "larger than 8,388,608 bytes"
        assert answer.code == (403 if headers else 413) and words in json.load(answer)["error"]


def test_who_waits_to_send_too_much_is_not_told_to(running):
    address, _ = running
    head = request_head(address, LARGEST + 1).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with connect(address) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "SLOWEST_REQUEST", 0.1)
    page, answers = make_page(), []

    async def never() -> dict:
        await asyncio.sleep(20)
        return {}

    async def send(message) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/synthesize", "headers": [(b"host", b"testserver")]}
    asyncio.run(paint_app(page, KNOWN)(scope, never, send))
    page.close()
    assert answers[0]["status"] == 408 and json.loads(answers[1]["body"]) == {"error": "the request took too long"}
