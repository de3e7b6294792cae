"""Fetching from a local server: broken connections, going on, checks."""

import hashlib
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crn_tf.errors import UserError
from crn_tf.fetching import Known, fetch, md5_of
from tests.full_disk import full_disk

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /file, with ranges; breaks off once where the server is told to, and waits if it is told so."""

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        if self.path != "/file":
            self.send_error(404)
            return
        start = 0
        if self.server.supports_ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.end_headers()
                return
        if self.server.page:
            self.send_response(200)
            self.send_header(*self.server.page[0])
            self.end_headers()
            self.wfile.write(self.server.page[1])
            return
        self.server.asked.set()
        self.server.answer.wait()
        self.send_response(206 if start else 200)
        self.send_header(*(self.server.size or ("Content-Length", str(len(CONTENT) - start))))
        self.end_headers()
        stop, self.server.break_at = self.server.break_at, None
        self.wfile.write(CONTENT[start:stop])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.break_at, server.supports_ranges, server.ranges, server.size = None, True, [], None
    server.page = None
    server.asked, server.answer = threading.Event(), threading.Event()
    server.answer.set()
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_arrives_whole_under_its_name(server, tmp_path):
    fetch(server.url, tmp_path / "deep/file.bin", Known(MD5))
    assert (tmp_path / "deep/file.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.bin"]


@pytest.mark.parametrize("supports_ranges", [True, False])
def test_a_cut_connection_is_reported_and_gone_on_with(server, tmp_path, supports_ranges):
    server.break_at, server.supports_ranges = 300_000, supports_ranges
    path = tmp_path / "file.bin"
    with pytest.raises(UserError, match=r"broke off at 300,000 of 1,048,576 bytes, which are kept: call again"):
        fetch(server.url, path, Known(MD5))
    assert not path.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 300_000
    fetch(server.url, path, Known(MD5))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_download_that_stopped_before_its_last_check_is_finished(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.bin", Known(MD5))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_that_does_not_tell_the_size_is_believed_by_the_checksum(server, tmp_path):
    server.size = ("Content-Length", "a few bytes")
    fetch(server.url, tmp_path / "file.bin", Known(MD5))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_an_answer_that_is_no_http_is_one_line(server, tmp_path):
    server.size = ("Transfer-Encoding", "chunked")  # and then come no chunks
    with pytest.raises(UserError, match=rf"^cannot download {server.url}: [^\n]+$"):
        fetch(server.url, tmp_path / "file.bin", Known(MD5))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_has_arrived(server, tmp_path):
    with (
        full_disk(300_000),
        pytest.raises(UserError, match=r"^cannot download .*File too large; 300,000 bytes are kept"),
    ):
        fetch(server.url, tmp_path / "file.bin", Known(MD5))
    fetch(server.url, tmp_path / "file.bin", Known(MD5))
    assert server.ranges == [None, "bytes=300000-"] and md5_of(tmp_path / "file.bin") == MD5


def test_two_that_want_the_same_file_fetch_it_once(server, tmp_path, capsys):
    server.answer.clear()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch, server.url, tmp_path / "file.bin", Known(MD5))
        server.asked.wait(10)
        second = threads.submit(fetch, server.url, tmp_path / "file.bin", Known(MD5))
        told = ""
        while "waiting for another process that fetches" not in told and not second.done():
            told += capsys.readouterr().err
        server.answer.set()
        first.result(), second.result()
    assert len(server.ranges) == 1
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_wrong_checksum_is_removed(server, tmp_path):
    with pytest.raises(UserError, match=rf"has the MD5 {MD5}, expected 0000; it was removed: call again"):
        fetch(server.url, tmp_path / "file.bin", Known("0000"))
    assert list(tmp_path.iterdir()) == []


PAGE = b"\xef\xbb\xbf \n<!DOCTYPE html><html><head><title>Domain for sale</title></head></html>"


@pytest.mark.parametrize("kept", [0, 300_000])
@pytest.mark.parametrize(
    ("kind", "page"),
    [("text/html; charset=utf-8", PAGE), ("text/html", b"\x1f\x8b compressed"), ("application/octet-stream", PAGE)],
)
def test_a_page_in_place_of_a_file_is_refused_and_what_had_arrived_stays(server, tmp_path, kind, page, kept):
    part = tmp_path / "file.bin.part"
    if kept:
        part.write_bytes(CONTENT[:kept])
    server.page = ("Content-Type", kind), page
    with pytest.raises(UserError, match=rf"^{server.url} sent a page \(HTML\) instead of the file: [^\n]+$"):
        fetch(server.url, tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == ([part] if kept else [])
    server.page = None
    fetch(server.url, tmp_path / "file.bin", Known(MD5, len(CONTENT), begins=CONTENT[:8]))
    assert server.ranges[-1] == ("bytes=300000-" if kept else None)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Known(size=80_134_624), "1,048,576 bytes, expected 80,134,624"),
        (Known(least=2_000_000), "1,048,576 bytes, expected at least 2,000,000"),
        (Known(begins=b"\x89HDF"), "a file that begins with .*, expected "),
    ],
)
@pytest.mark.parametrize("tells_its_size", [True, False])
def test_another_file_is_refused_by_its_size_and_its_first_bytes(server, tmp_path, known, expected, tells_its_size):
    if not tells_its_size:
        server.size = ("Content-Length", "a few bytes")
    with pytest.raises(UserError, match=rf"^{server.url} sent {expected}[^\n]+$"):
        fetch(server.url, tmp_path / "file.bin", known)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_an_earlier_version_kept_is_not_gone_on_with(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(PAGE)
    with pytest.raises(UserError, match=r"a page \(HTML\)"):
        fetch(server.url, tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_remains_of_another_file_do_not_get_through(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(UserError, match=r"file.bin.part did not fit .* and was removed; call again"):
        fetch(server.url, tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_missing_server_are_named(server, tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:\d+/other: 404"):
        fetch(server.url.replace("file", "other"), tmp_path / "file.bin")
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:1/file: .*refused"):
        fetch("http://127.0.0.1:1/file", tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []
