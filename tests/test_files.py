"""Nothing half-written ever carries a file's final name."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crn_tf import files
from crn_tf.errors import UserError
from crn_tf.files import lock, make_folder, remove_unfinished, reserve, why_not_written, write_text, written_aside
from tests.conftest import ROOT

PATHS = {**os.environ, "PYTHONPATH": str(ROOT)}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_file_appears_under_its_name_only_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folders" / "a.txt"
    with written_aside(path) as temporary:
        assert temporary.parent == path.parent and not temporary.exists()  # same disk: the renaming is atomic
        temporary.write_text("whole")
        assert not path.exists()
    assert contents(tmp_path) == {"new/folders/a.txt": "whole"}


def test_an_older_file_is_replaced(tmp_path):
    write_text(tmp_path / "a.txt", "a long older text")
    write_text(tmp_path / "a.txt", "größer")
    assert (tmp_path / "a.txt").read_bytes() == "größer".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_appears_with_all_its_files(tmp_path):
    with written_aside(tmp_path / "step_3") as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text("1")
        assert not (tmp_path / "step_3").exists()
    assert contents(tmp_path) == {"step_3/a.txt": "1"}
    assert [p.name for p in tmp_path.iterdir()] == ["step_3"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), UserError("bad pair")])
def test_a_failure_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)) as caught, written_aside(path) as temporary:
        temporary.write_text("half")
        raise error
    assert caught.value is error
    assert contents(tmp_path) == {"a.txt": "old"}


def test_a_failure_in_the_block_leaves_no_half_folder(tmp_path):
    with pytest.raises(RuntimeError), written_aside(tmp_path / "step_3") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "a.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_with_the_final_path(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    complaint = r"cannot write .*/a\.txt: No space left on device$"
    with pytest.raises(UserError, match=complaint), written_aside(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert contents(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("inside", ["a.txt", "deeper/a.txt"])
def test_a_parent_that_is_a_file_is_named(tmp_path, inside):
    (tmp_path / "taken").write_text("old")
    with pytest.raises(UserError, match=r"cannot make the folder .*/taken"):
        write_text(tmp_path / "taken" / inside, "new")
    assert contents(tmp_path) == {"taken": "old"}


def test_a_name_that_the_disk_refuses_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*/xxx.*: File name too long"):
        write_text(tmp_path / ("x" * 300), "new")


def test_a_folder_in_the_place_of_a_file_stays(tmp_path):
    (tmp_path / "a" / "kept").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*/a: "):
        write_text(tmp_path / "a", "new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "kept"]


@pytest.mark.parametrize("path", [".", "..", "/", "a/.."])
def test_a_folder_without_a_name_is_not_written_over(tmp_path, monkeypatch, path):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^cannot write {path}: [^\n]+$"):
        write_text(Path(path), "new")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_a_librarys_story_without_a_number_becomes_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^cannot write .*/a: first line second line$"), written_aside(tmp_path / "a"):
        raise OSError("first line\nsecond line")


def refuse(number: int):
    """Stands for a system call that fails."""

    def call(*_):
        raise OSError(number, "words of a library")

    return call


def test_the_system_is_asked_why_a_library_could_not_write(tmp_path, monkeypatch):
    library = RuntimeError("{{node Save}} wrote\n nothing; Disk full [Op:Save]")
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC), raising=False)
    assert why_not_written(library, tmp_path, 1000) == "No space left on device"
    assert why_not_written(OSError(errno.EROFS, "a whole story"), tmp_path, 1000) == "Read-only file system"
    assert why_not_written(OSError("no number"), tmp_path, 1000) == "No space left on device"
    assert why_not_written(library, tmp_path / "missing", 1000) == "No such file or directory"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("knows", [True, False])
def test_where_the_system_has_nothing_against_it_the_library_is_quoted(tmp_path, monkeypatch, knows):
    if not knows:
        monkeypatch.setattr(os, "posix_fallocate", refuse(errno.EOPNOTSUPP), raising=False)
    library = RuntimeError("{{node Save}} wrote\n nothing; Disk full [Op:Save]")
    assert why_not_written(library, tmp_path, 1000) == "{{node Save}} wrote nothing; Disk full [Op:Save]"
    assert list(tmp_path.iterdir()) == []


def test_space_is_asked_for_all_bytes_and_set_aside(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fallocate", lambda *arguments: asked.append(arguments), raising=False)
    why_not_written(RuntimeError("x"), tmp_path, 12345)
    reserve(7, 0)
    assert [arguments[1:] for arguments in asked] == [(0, 12345), (0, 1)]  # the system refuses none


@pytest.mark.parametrize("fate", ["renamed", "removed"])
def test_who_waited_for_a_file_that_went_away_locks_the_one_that_is_there_now(tmp_path, capsys, fate):
    path = tmp_path / "lock"
    first, locked = lock(path), []
    waiter = threading.Thread(target=lambda: locked.append(lock(path, waiting="waiting")), daemon=True)
    waiter.start()
    assert any("waiting" in capsys.readouterr().err for _ in range(1000) if not waiter.join(0.01))
    path.rename(tmp_path / "final") if fate == "renamed" else path.unlink()
    first.close()
    waiter.join(10)
    with pytest.raises(UserError, match="taken"):
        lock(path, refusal="taken")
    locked[0].close()
    lock(path, refusal="taken").close()


UNKNOWN = [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS]


@pytest.fixture
def unsaid():
    """Warnings that are given once have not been given yet."""
    files._warn_unsynchronized.cache_clear()


@pytest.mark.parametrize("number", UNKNOWN)
@pytest.mark.parametrize("refused", ["folders", "everything"])
def test_what_cannot_be_waited_for_is_written_and_said_once(tmp_path, monkeypatch, capsys, unsaid, number, refused):
    synchronize = os.fsync

    def fsync(descriptor):
        if refused == "everything" or stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        synchronize(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "settings.json", "{}")
    write_text(tmp_path / "model.json", "{}")
    with written_aside(tmp_path / "step_3", durable=True) as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text("1")
    assert contents(tmp_path) == {"settings.json": "{}", "model.json": "{}", "step_3/a.txt": "1"}
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("warning: this file system") and os.strerror(number) in told


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_fails_is_told(tmp_path, monkeypatch, number):
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(UserError, match=rf"^cannot write .*/a\.txt: {os.strerror(number)}$"):
        write_text(tmp_path / "a.txt", "new")
    assert contents(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("number", [*UNKNOWN, errno.ENOLCK])
def test_where_no_lock_can_be_had_a_warning_says_so_once(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr("fcntl.flock", refuse(number))
    for name in ("one", "two"):
        lock(tmp_path / name, refusal="taken").close()
        lock(tmp_path / name, waiting="waiting").close()
    (told,) = capsys.readouterr().err.splitlines()
    told_of = f"files in {tmp_path} cannot be locked ({os.strerror(number)}): use one process at a time"
    assert told == f"warning: {told_of}"


def test_a_lock_that_is_lost_while_waiting_is_a_warning_too(tmp_path, monkeypatch, capsys):
    answers = [BlockingIOError(errno.EAGAIN, "taken"), OSError(errno.ENOLCK, "none left")]
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(answers.pop(0)))
    lock(tmp_path / "lock", waiting="waiting for it").close()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "waiting for it" and "cannot be locked (No locks available)" in second


def test_without_fcntl_as_on_windows_nothing_is_a_traceback(tmp_path):
    program = (
        "import sys; sys.modules['fcntl'] = None\nfrom crn_tf.files import lock\nlock(__import__('pathlib').Path('a'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=PATHS)
    assert done.returncode == 0
    assert done.stderr == "warning: files in . cannot be locked (Function not implemented): use one process at a time\n"


def test_make_folder_makes_parents_and_accepts_one_that_is_there(tmp_path):
    path = tmp_path / "a" / "b"
    assert make_folder(path) == path and make_folder(path).is_dir()


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    with written_aside(tmp_path / "a.txt") as first:
        first.write_text("first")
        with written_aside(tmp_path / "a.txt") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert contents(tmp_path) == {"a.txt": "first"}


def test_what_was_left_half_written_is_removed_once_nobody_can_be_writing_it(tmp_path):
    names = []
    for name in "ab":
        with pytest.raises(UserError), written_aside(tmp_path / name) as temporary:
            names.append(temporary)  # and nothing is written
    old, new = names
    whole, foreign = tmp_path / "c", tmp_path / ".video.part"
    for folder in (old, new, whole, foreign):
        folder.mkdir()
        (folder / "file").touch()
        for path in (folder / "file", folder):
            os.utime(path, (0, 0))
    (new / "file").touch()  # a long writing goes on: the folder itself is as old
    os.utime(new, (0, 0))
    remove_unfinished(tmp_path, untouched_for=3600)
    assert set(tmp_path.iterdir()) == {new, whole, foreign}
    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == {whole, foreign}
