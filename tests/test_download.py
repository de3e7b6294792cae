"""Downloads from a local server: broken connections, going on, checks."""

import hashlib
import http.server
import sys
import threading

import pytest

from crn_tf import download as module
from crn_tf.download import PUBLISHED, PublishedFile, download
from crn_tf.errors import UserError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /file, with ranges; breaks off once where the server is told to."""

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
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop, self.server.break_at = self.server.break_at, None
        self.wfile.write(CONTENT[start:stop])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.break_at, server.supports_ranges, server.ranges = None, True, []
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_arrives_whole_under_its_name(server, tmp_path):
    download(server.url, tmp_path / "deep/file.bin", MD5)
    assert (tmp_path / "deep/file.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.bin"]


@pytest.mark.parametrize("supports_ranges", [True, False])
def test_a_cut_connection_is_reported_and_gone_on_with(server, tmp_path, supports_ranges):
    server.break_at, server.supports_ranges = 300_000, supports_ranges
    path = tmp_path / "file.bin"
    with pytest.raises(UserError, match=r"broke off at 300,000 of 1,048,576 bytes, which are kept: call again"):
        download(server.url, path, MD5)
    assert not path.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 300_000
    download(server.url, path, MD5)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_download_that_stopped_before_its_last_check_is_finished(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", MD5)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_is_removed(server, tmp_path):
    with pytest.raises(UserError, match=rf"has the MD5 {MD5}, expected 0000; it was removed: call again"):
        download(server.url, tmp_path / "file.bin", "0000")
    assert list(tmp_path.iterdir()) == []


def test_remains_of_another_file_do_not_get_through(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(UserError, match=r"file.bin.part did not fit .* and was removed; call again"):
        download(server.url, tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_missing_server_are_named(server, tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:\d+/other: 404"):
        download(server.url.replace("file", "other"), tmp_path / "file.bin")
    with pytest.raises(UserError, match=r"cannot download http://127.0.0.1:1/file: .*refused"):
        download("http://127.0.0.1:1/file", tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_the_command_puts_a_models_files_into_its_folder(server, tmp_path, monkeypatch, capsys):
    files = [PublishedFile(server.url, file.path) for file in PUBLISHED["release-gta"]]
    monkeypatch.setitem(PUBLISHED, "release-gta", files)
    monkeypatch.setattr(sys, "argv", ["download", "release-gta", "--folder", str(tmp_path)])
    module.main()
    names = {path.name for path in (tmp_path / "result_GTA").iterdir()}
    assert names == {"model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001"}
    assert capsys.readouterr().out.count("1,048,576 bytes") == 3
    module.main()
    assert capsys.readouterr().out.count("is there already") == 3


def test_addresses_and_places_are_the_releases():
    data = PUBLISHED["release-1024p"][-1]
    assert data.url == "https://cqf.io/data/Tensorflow_models/result_1024p/model.ckpt.data-00000-of-00001"
    assert str(data.path) == "result_1024p/model.ckpt.data-00000-of-00001"
    assert str(PUBLISHED["vgg19-mat"][0].path) == "vgg_weights/imagenet-vgg-verydeep-19.mat"
    assert PUBLISHED["vgg19"][0].md5 == "253f8cb515780f3b799900260a226db6"
