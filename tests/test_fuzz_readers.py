"""Damaged files for each reader; `python tests/fuzz_readers.py` tries as many as there is time for."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests import fuzz_readers

PICTURES = ("png", "jpeg", "webp", "bmp", "tiff", "gif", "ppm")
INPUTS = {"mat": 40, "h5": 60, "weights": 20}  # each starts a process that may die of it
SEED = 1


@pytest.mark.parametrize(
    "reader", [pytest.param(r, marks=pytest.mark.slow) if r in INPUTS else r for r in fuzz_readers.READERS]
)
def test_damaged_files_are_read_or_refused(reader):
    result = fuzz_readers.fuzz(reader, SEED, INPUTS.get(reader, 300), seconds=170)
    assert result.failures == {}
    assert result.inputs == INPUTS.get(reader, 300) and result.refused > result.inputs // 10
    if reader in PICTURES:  # not only what is looked at first is damaged
        assert result.accepted > result.inputs // 10


def test_a_crash_a_hang_and_an_exception_are_noticed(tmp_path, monkeypatch):
    """The program that finds such things finds them."""
    child = tmp_path / "child.py"
    child.write_text(
        "import os, sys, time\nprint('ready', flush=True)\n"
        "for line in sys.stdin:\n"
        "    name = line.split('/')[-1].strip()\n"
        "    if name == 'crash': os.abort()\n"
        "    if name == 'hang': time.sleep(60)\n"
        "    print('KeyError: x', flush=True)\n"
    )
    monkeypatch.setattr(fuzz_readers, "__file__", str(child))
    monkeypatch.setattr(fuzz_readers, "SECONDS", 1)
    for name, answer in (("crash", "crash: exit code -6"), ("hang", "hang: no answer"), ("other", "KeyError: x")):
        one = fuzz_readers.Child("png")
        assert one.read(Path(name)).startswith(answer)
        one.stop()


def test_the_same_seed_gives_the_same_damage():
    content = os.urandom(1000)
    damaged = [fuzz_readers.damage(content, np.random.default_rng([seed, 5])) for seed in (1, 1, 2)]
    assert damaged[0] == damaged[1] != damaged[2]


def test_most_damaged_pngs_have_the_right_checksums():
    good = fuzz_readers.pngs()
    assert all(fuzz_readers.mend_chunks(content) == content for content in good)
    damaged = [
        fuzz_readers.damage_png(content, np.random.default_rng([number, repetition]))
        for number, content in enumerate(good)
        for repetition in range(20)
    ]
    right = sum(fuzz_readers.mend_chunks(content) == content for content in damaged)
    assert len(damaged) * 0.6 < right < len(damaged) * 0.95
