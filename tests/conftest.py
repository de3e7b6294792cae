"""What several tests use."""

import ctypes
import gc
import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)  # HYPOTHESIS_PROFILE=search
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("CRN_SHARED", ROOT.parent / "shared"))


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture(scope="module", autouse=True)
def memory_given_back():
    """Gives back what a file of tests leaves behind: a process runs many of them, beside others like it."""
    yield
    gc.collect()
    with suppress(OSError, AttributeError):  # another system's library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture
def shared() -> Path:
    """The folder with real data; see CONTRIBUTING.md."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no {SHARED}/data; CRN_SHARED names the folder that has it")
    return SHARED


@pytest.fixture
def standin(shared) -> Path:
    """A perceiver with photographic features, in the published Keras file's format."""
    return shared / "data/vgg19_standin/vgg19_standin_notop.h5"


@pytest.fixture
def float32_policy():
    """Sets Keras' dtype policy back after a test that changes it."""
    yield
    import keras

    keras.config.set_dtype_policy("float32")


@pytest.fixture
def folder_data(tmp_path) -> Path:
    """A small data set of one's own: five training and two validation pairs of 40x56."""
    root = tmp_path / "own"
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        (root / "photos" / split).mkdir(parents=True)
        (root / "labels" / split).mkdir(parents=True)
        for number in range(count):
            layout = np.repeat(np.repeat(random.integers(0, 3, (5, 7)), 8, 0), 8, 1).astype(np.uint8)
            photo = (layout[..., None] * 80 + random.integers(0, 40, (40, 56, 3))).astype(np.uint8)
            Image.fromarray(layout).save(root / "labels" / split / f"{number}.png")
            Image.fromarray(photo).save(root / "photos" / split / f"{number}.png")
    (root / "classes.json").write_text('{"names": ["a", "b"], "palette": [[255, 0, 0], [0, 255, 0]], "void": 2}')
    return root


def raise_signal(number: int) -> None:
    """Send this process a signal; its handler may raise.

    Without garbage collection meanwhile: what a handler raises inside of a callback of that is lost.
    """
    gc.disable()
    try:
        signal.raise_signal(number)
    finally:
        gc.enable()


# Refused, cut off, or ended in the middle of an answer.
SERVER_GONE = (
    "net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|ABORTED"
    "|CONTENT_LENGTH_MISMATCH|INCOMPLETE_CHUNKED_ENCODING)"
)


@pytest.fixture(scope="session")
def chromium():
    """Debian's chromium, driven by playwright: what a page does in a real browser."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium; .ci/run installs Debian's")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright; requirements-dev.txt has it")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens a page in a context of its own; whatever its scripts complain of fails the test.

    But for a server that is gone: a test ends its own while the page may still be fetching something. A test names in
    `expected` what else it expects, parts of complaints: they may come at any time.
    """
    contexts, complaints, expected = [], [], [SERVER_GONE]

    def open_it(address: str, **options):
        contexts.append(chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(address)
        return page

    open_it.complaints, open_it.expected = complaints, expected
    yield open_it
    for context in contexts:
        context.close()
    assert [each for each in complaints if not any(re.search(one, each) for one in expected)] == []


@pytest.fixture(scope="session")
def paint_server():
    """The address of a server that stands in for `crn paint`."""
    from tests.paint_stand_in import stand_in

    with stand_in() as (address, _):
        yield address


@pytest.fixture
def painter(paint_server, open_page):
    """The page for painting, before that server."""
    from tests.paint_pages import Painter

    return Painter(open_page(paint_server))
