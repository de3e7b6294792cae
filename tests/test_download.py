"""The download command: where the published files come from, where they go, and how it is called."""

import sys

import pytest

from crn_tf import CITYSCAPES, ModelDescription, download
from crn_tf.download import PUBLISHED, PublishedFile
from crn_tf.errors import UserError
from tests.test_fetching import server  # noqa: F401  (fixture)


def test_the_command_puts_a_models_files_into_its_folder(server, tmp_path, monkeypatch, capsys):  # noqa: F811
    files = [PublishedFile(server.url, file.path) for file in PUBLISHED["release-gta"]]
    monkeypatch.setitem(PUBLISHED, "release-gta", files)
    monkeypatch.setattr(sys, "argv", ["download", "release-gta", "--folder", str(tmp_path)])
    download.main()
    names = {path.name for path in (tmp_path / "result_GTA").iterdir()}
    assert names == {"model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001"}
    assert capsys.readouterr().out.count("1,048,576 bytes") == 3
    download.main()
    assert capsys.readouterr().out.count("is there already") == 3


def test_a_small_answer_is_no_model_and_nothing_is_kept(server, tmp_path, monkeypatch):  # noqa: F811
    """All sizes that are known are larger than 1 MiB, but of two files, which a page's first bytes tell."""
    for name in PUBLISHED:
        files = [PublishedFile(server.url, file.path, file.known) for file in PUBLISHED[name]]
        large = [file for file in files if file.path.suffix not in (".index", ".meta")]
        assert len(large) == 1
        with pytest.raises(UserError, match=r"sent 1,048,576 bytes, expected|sent a file that begins with"):
            download.download(large[0].url, tmp_path / large[0].path, large[0].known)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("name", "parameters"), [("256p", 97_875_483), ("512p", 98_622_851), ("1024p", 98_674_531)])
def test_a_release_file_has_at_least_the_weights(name, parameters):
    height, images = int(name[:-1]), 9 if name == "256p" else 1
    assert ModelDescription(height, (4, 8), images, 1.0, CITYSCAPES).parameters == parameters
    assert PUBLISHED[f"release-{name}"][-1].known.least == 4 * parameters


def test_addresses_and_places_are_the_releases():
    data = PUBLISHED["release-1024p"][-1]
    assert data.url == "https://cqf.io/data/Tensorflow_models/result_1024p/model.ckpt.data-00000-of-00001"
    assert str(data.path) == "result_1024p/model.ckpt.data-00000-of-00001"
    assert str(PUBLISHED["vgg19-mat"][0].path) == "vgg_weights/imagenet-vgg-verydeep-19.mat"
    assert PUBLISHED["vgg19"][0].known.md5 == "253f8cb515780f3b799900260a226db6"


def test_arguments_and_name_may_come_from_another_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/crn", "something", "else"])
    for file in PUBLISHED["vgg19"]:
        (tmp_path / file.path).parent.mkdir()
        (tmp_path / file.path).touch()
    download.main(["vgg19", "--folder", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / PUBLISHED['vgg19'][0].path} is there already\n"
    with pytest.raises(SystemExit) as stop:
        download.main(["--help"])
    assert not stop.value.code and capsys.readouterr().out.startswith("usage: crn download ")
