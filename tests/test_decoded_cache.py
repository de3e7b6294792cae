"""The cache of decoded pairs: the same pairs as without it, made once, and never a wrong one."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crn_tf.data.datasets import open_data_set
from crn_tf.data.decoded_cache import DamagedCacheError, DecodedCache
from crn_tf.data.pipeline import InputPipeline
from crn_tf.errors import UserError
from tests.test_pipeline import Numbered


def test_a_damaged_cache_is_not_passed_over(tmp_path):
    cached = DecodedCache(Numbered(30), (2, 4), "resize", tmp_path)
    file = next(tmp_path.glob("*/layouts.uint8"))
    file.write_bytes(file.read_bytes()[:-1])  # the last pair only
    with pytest.raises(UserError, match="is damaged: remove it"):
        list(InputPipeline(cached, (2, 4), seed=0, max_unreadable=0.5).batches(0, 30))


def test_the_cache_gives_the_same_pairs_without_reading_files_again(tmp_path):
    data = Numbered(70)  # more than are decoded ahead at once
    cached = DecodedCache(data, (4, 6), "resize", tmp_path)
    assert data.loads == 70
    again = DecodedCache(data, (4, 6), "resize", tmp_path)
    for index in (0, 64, 69):
        for a, b in zip(again.load(index, (4, 6), "resize"), Numbered(70).load(index, (4, 6), "resize"), strict=True):
            np.testing.assert_array_equal(a, b)
    assert data.loads == 70
    assert len(cached) == 70
    assert not list(tmp_path.glob(".*.part"))


def test_the_cache_is_made_again_when_a_file_changed(folder_data, tmp_path):
    def first_pixel():
        data = open_data_set(folder_data, None, "train", 32)
        return DecodedCache(data, (32, 64), "resize", tmp_path / "cache").load(0, (32, 64), "resize")[0][0, 0]

    before = first_pixel()
    path = folder_data / "photos/train/0.png"
    path.write_bytes((folder_data / "photos/train/1.png").read_bytes())
    assert (first_pixel() != before).any()


def test_the_cache_remembers_what_was_odd_about_the_files(tmp_path):
    data = Numbered(2)
    data.warning = lambda: "3 pixels"
    DecodedCache(data, (4, 6), "resize", tmp_path)
    assert DecodedCache(Numbered(2), (4, 6), "resize", tmp_path).warning() == "3 pixels"


def test_two_runs_may_make_the_same_cache_at_once(tmp_path):
    class Overtaken(Numbered):
        def load(self, index, size, fit):
            if index == 1:  # while this run decodes, another one is done
                DecodedCache(Numbered(2), size, fit, tmp_path / "other")
                shutil.copytree(tmp_path / "other", tmp_path / "cache", dirs_exist_ok=True)
            return super().load(index, size, fit)

    cached = DecodedCache(Overtaken(2), (4, 6), "resize", tmp_path / "cache")
    np.testing.assert_array_equal(cached.load_layout(1, (4, 6), "resize"), Numbered(2).load(1, (4, 6), None)[1])


@pytest.mark.parametrize("locks", [True, False])
def test_processes_that_need_the_same_cache_make_it_once(tmp_path, monkeypatch, capfd, locks):
    """The others wait, except where the file system knows no locks."""
    if not locks:
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
    data = Numbered(20)
    load = data.load
    monkeypatch.setattr(data, "load", lambda *arguments: time.sleep(0.05) or load(*arguments))

    def open_cache(_):
        return DecodedCache(data, (4, 6), "resize", tmp_path / "cache").load_layout(7, (4, 6), "resize")[0, 1]

    with ThreadPoolExecutor(3) as threads:
        assert set(threads.map(open_cache, range(3))) == {7}
    assert data.loads == (20 if locks else 60)
    told = capfd.readouterr().err
    assert told.count("waiting for another process that fills the cache") == (2 if locks else 0)
    assert ("cannot be locked" in told) is not locks


def test_a_cache_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    data = Numbered(3)
    monkeypatch.setattr(data, "load", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"cannot write .*numbered3_4x6_resize: No space left on device"):
        DecodedCache(data, (4, 6), "resize", tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".numbered3_4x6_resize.lock"]


def test_what_cannot_be_read_cannot_be_read_from_the_cache(folder_data, tmp_path):
    """A run with a cache leaves out the same pairs as one without, also when it goes on."""
    (folder_data / "labels/train/3.png").write_bytes(b"")

    def pipeline(cached: bool) -> InputPipeline:
        data = open_data_set(folder_data, None, "train", 32)
        data = DecodedCache(data, (32, 64), "resize", tmp_path / "cache") if cached else data
        return InputPipeline(data, (32, 64), seed=0, max_unreadable=0.2)

    for _ in range(2):  # made, and found
        plain, cached = pipeline(False), pipeline(True)
        for a, b in zip(plain.batches(0, 10), cached.batches(0, 10), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])
        assert plain.unreadable == cached.unreadable and "labels/train/3.png" in plain.unreadable[0]
    next((tmp_path / "cache").glob("*/unreadable.json")).write_text("[")
    with pytest.raises(UserError, match=r"is damaged: remove it"):
        pipeline(True)


def test_a_shortened_cache_is_noticed(tmp_path):
    cached = DecodedCache(Numbered(3), (4, 6), "resize", tmp_path)
    file = next(tmp_path.glob("*/layouts.uint8"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"is damaged: remove it"):
        cached.load(2, (4, 6), "resize")


@pytest.mark.parametrize(
    ("size", "fit", "asked"), [((6, 4), "resize", "6x4 with fit resize"), ((4, 6), "crop", "4x6 with fit crop")]
)
def test_what_the_cache_does_not_hold_is_refused(tmp_path, size, fit, asked):
    cached = DecodedCache(Numbered(2), (4, 6), "resize", tmp_path)
    for load in (cached.load, cached.load_layout):
        with pytest.raises(
            ValueError, match=rf"numbered2_4x6_resize holds pairs of 4x6 with fit resize, not of {asked}$"
        ):
            load(0, size, fit)


@pytest.mark.parametrize("file", ["warning.txt", "unreadable.json"])
def test_a_missing_file_of_the_cache_is_noticed_as_it_is_opened(tmp_path, file):
    DecodedCache(Numbered(2), (4, 6), "resize", tmp_path)
    next(tmp_path.glob(f"*/{file}")).unlink()
    with pytest.raises(DamagedCacheError, match=r"the cache .*numbered2_4x6_resize is damaged: remove it"):
        DecodedCache(Numbered(2), (4, 6), "resize", tmp_path)
