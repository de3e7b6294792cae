"""Small studies for tests: pictures of plain colours, a server of its own, and participants with a known taste."""

import contextlib
import json
import random
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.pages.study_plan import StudyFolder
from crn_tf.study import main
from tests.conftest import ROOT

LAYOUTS = 12
METHODS = ("ours", "blurry")


def make_study(folder: Path, *options: object, methods: Sequence[str] = METHODS, layouts: int = LAYOUTS) -> StudyFolder:
    """A study of drawn pictures and the toy data set's photographs, by its command."""
    random_numbers = np.random.default_rng(0)
    named = []
    for number, method in enumerate(methods):
        pictures = folder / f"method {number}"
        pictures.mkdir(parents=True)
        named.append(f"{method}={pictures}")
        for layout in range(layouts):
            pixels = random_numbers.integers(0, 256, (20, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(pictures / f"toy_val_{layout:04d}.png")
    first, *others = named
    arguments = ["new", "--a", first, "--b", *others, "--dataset", "toy", "--out", folder / "study", *options]
    main([str(each) for each in arguments])
    return StudyFolder(folder / "study")


@contextlib.contextmanager
def served(folder: StudyFolder, port: int = 0) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve a study in a process of its own: its address, and the process, which is killed at the end."""
    command = [sys.executable, "-m", "crn_tf.study", "serve", str(folder.path), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("serving "):
                break
        yield lines[-1].split()[1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def post(address: str, question: dict, **headers: str) -> tuple[int, dict]:
    """Status and answer."""
    request = urllib.request.Request(
        address, json.dumps(question).encode(), {"content-type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def events(folder: StudyFolder, kind: str = "answer") -> list[dict]:
    """The lines of a study's answers of one kind."""
    lines = folder.answers.read_text().splitlines() if folder.answers.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


class Taste:
    """Chooses by what a picture really is, which the page is not told: photographs always, ours by a share."""

    def __init__(self, folder: StudyFolder, share: float, seed: int = 0) -> None:
        pictures = json.loads(folder.plan.read_text())["pictures"]
        self._methods = {name: method for method, names in pictures.items() for name in names}
        self._share, self._chance = share, random.Random(seed)

    def choose(self, left: str, right: str) -> str:
        """ "left" or "right", of the addresses of the pictures."""
        first, second = (self._methods[address.rpartition("/")[2]] for address in (left, right))
        if PHOTOGRAPHS in (first, second):
            return "left" if first == PHOTOGRAPHS else "right"
        ours = "left" if first == METHODS[0] else "right"
        return ours if self._chance.random() < self._share else {"left": "right", "right": "left"}[ours]


def take_part(page, taste: Taste, stop_after: int | None = None) -> None:
    """Answer in the browser, by mouse and by key in turn, until the study says thank you or so many are answered."""
    answered = 0
    while answered != stop_after:
        page.wait_for_selector("#finished:not([hidden]), #show:enabled:visible, #left:enabled:visible")
        if page.locator("#finished").is_visible():
            return
        if page.locator("#show:enabled").is_visible():
            page.locator("#show").click() if answered % 2 else page.keyboard.press(" ")
        page.wait_for_selector("#left:enabled:visible", timeout=30_000)
        sides = [page.locator(f"#{side}-picture").get_attribute("src") for side in ("left", "right")]
        before = page.locator("#count").inner_text()
        choice = taste.choose(*sides)
        page.locator(f"#{choice}").click() if answered % 2 else page.keyboard.press(f"Arrow{choice.title()}")
        answered += 1
        page.wait_for_function(
            "before => document.getElementById('count').innerText !== before"
            " || !document.getElementById('finished').hidden",
            arg=before,
        )
