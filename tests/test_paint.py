"""`crn paint` as a command: what it serves equals test.py's pictures, what it says, and how it ends."""

import json
import re
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crn_tf import paint
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.toy import ToyDataSet
from crn_tf.errors import UsageError, UserError
from crn_tf.model.description import ModelDescription
from crn_tf.pages.paint_models import PaintModel
from crn_tf.paint import PaintSettings, main, open_starts
from crn_tf.saved.bundled import bundled_model, write_bundled
from crn_tf.saved.checkpoints import save_weights
from crn_tf.test import main as synthesize
from crn_tf.train import main as train
from tests.paint_pages import Painter
from tests.paintings import Colours, decoded, indexed_png, served

TOY = ToyDataSet.classes
LAYOUT = ToyDataSet("val").load_layout(3, (16, 32), "resize")


def save(path: Path, height: int, images: int, classes=TOY, seed: int = 0) -> Path:
    description = ModelDescription(height, (4, 8), images, 0.02, classes)
    generator, random = description.build(), np.random.default_rng(seed)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.3)
    save_weights(path, generator, description)
    return path


def get(address: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(address, body, timeout=60) as answer:
        return answer.read()


def test_its_pictures_are_test_pys_and_ctrl_c_ends_it(tmp_path):
    """Two models, one of them a draft, in one server: the first's pictures of the page's own file and of grey."""
    weights = save(tmp_path / "large.weights.h5", 16, 2)
    draft = save(tmp_path / "small.weights.h5", 8, 1, seed=1)
    for name, content in (("palette", indexed_png(LAYOUT, TOY)), ("draft", indexed_png(LAYOUT, TOY))):
        (tmp_path / f"{name}.png").write_bytes(content)
    Image.fromarray(LAYOUT.repeat(2, 0).repeat(2, 1)).save(tmp_path / "grey.png")
    for model, names in ((weights, ("palette", "grey")), (draft, ("draft",))):
        files = [tmp_path / f"{name}.png" for name in names]
        synthesize(list(map(str, ("--weights", model, "--layouts", *files, "--out", tmp_path / "results"))))
    with served("--weights", weights, "--draft", draft) as (address, process, lines):
        assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+/ until Ctrl-C\n", lines[-1])
        assert not any("--host" in line for line in lines)
        for name, query in (
            ("palette_0", "labels=ids"),
            ("palette_1", "image=1"),
            ("grey_0", ""),
            ("grey_1", "image=1&client=a"),
            ("draft", "model=small"),
        ):
            body = (tmp_path / f"{name.partition('_')[0]}.png").read_bytes()
            expected = np.asarray(Image.open(tmp_path / "results" / f"{name}.png"))
            assert expected.std() > 1  # of a picture, not of an even grey
            np.testing.assert_array_equal(decoded(get(f"{address}/api/synthesize?{query}", body)), expected, name)
        if shutil.which("curl"):  # as the documentation shows it
            curl = ("curl", "--silent", "--fail-with-body", f"{address}/api/synthesize")
            curl = (*curl, "--output", tmp_path / "curl.png")
            wrong = subprocess.run([*curl, "-F", f"file=@{tmp_path / 'palette.png'}"])
            assert wrong.returncode == 22 and "curl --data-binary @FILE" in (tmp_path / "curl.png").read_text()
            subprocess.run([*curl, "--data-binary", f"@{tmp_path / 'palette.png'}"], check=True)
            expected = np.asarray(Image.open(tmp_path / "results/palette_0.png"))
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "curl.png")), expected)
        told = json.loads(get(f"{address}/api/model"))
        assert [model["name"] for model in told["models"]] == ["large", "small"] and told["starts"] == 8
        with pytest.raises(UserError, match=r"^cannot listen at 127\.0\.0\.1, port \d+: .*; try another --port$"):
            main(["--weights", str(weights), "--port", address.rpartition(":")[2]])
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 130 and errors.splitlines()[-1] == "stopped" and "Traceback" not in output + errors


def test_what_is_painted_with_the_mouse_and_downloaded_is_test_pys_too(tmp_path, open_page):
    """The page, the server and test.py: each by itself may be right, and still speak of another layout."""
    weights = save(tmp_path / "model.weights.h5", 16, 2)
    with served("--weights", weights) as (address, _, _):
        painter = Painter(open_page(address))
        painter.begin(np.asarray(LAYOUT))
        painter.choose(TOY.names.index("car"))
        painter.size(5)
        painter.drag((4, 10), (20, 4), (28, 12))
        painted = painter.ids.copy()
        assert (painted != LAYOUT).any()
        shown = painter.wait_for_picture()
        ((_, picture),) = painter.download("picture")
        ((_, palette),) = painter.download("palette")
        pixels = np.asarray(Image.open(picture))
        (tmp_path / "painted.png").write_bytes(palette.read_bytes())
        painter.page.close()
    synthesize(["--weights", str(weights), "--layouts", str(tmp_path / "painted.png"), "--out", str(tmp_path / "out")])
    expected = np.asarray(Image.open(tmp_path / "out/painted_0.png"))
    assert expected.std() > 1
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "painted.png")), painted)


def test_whoever_reaches_the_machine_may_paint_only_where_that_was_asked_for(tmp_path):
    description = ModelDescription(8, (4, 8), 1, 0.01, TOY)
    write_bundled(tmp_path / "bundled", description.build(), description, "")
    with served("--weights", tmp_path / "bundled", "--host", "0.0.0.0") as (address, _, lines):
        (line,) = (line for line in lines if line.startswith("--host 0.0.0.0: "))
        assert "listening at all addresses of this machine" in line and "nobody is asked who they are" in line
        port = address.rpartition(":")[2]
        assert address == f"http://127.0.0.1:{port}"
        assert json.loads(get(f"http://localhost:{port}/api/model"))["images"] == 1
        (others,) = (line.split()[-1] for line in lines if line.startswith("other machines open "))
        assert json.loads(get(f"{others}api/model"))["images"] == 1
        request = urllib.request.Request(f"{address}/api/model", headers={"host": f"evil.example:{port}"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=20)


def test_where_no_model_came_along_one_has_to_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(paint, "bundled_model", lambda: bundled_model(tmp_path))
    with pytest.raises(UserError, match="name one with --weights"):
        main([])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("--weights", ".", "--port", "70000"), UsageError, "--port must be 0 to 65535"),
        (("--size", "8"), UsageError, "--size must be like"),
        (("--split", "train"), UsageError, "--split has no meaning without --data"),
        (("--labels", "ids"), UsageError, "--labels has no meaning without --data"),
        (("--dataset", "camvid"), UsageError, "--dataset has no meaning without --data"),
        (("--weights", "nowhere"), UserError, "no weights nowhere; expected a run folder"),
        (("--weights", ".", "--draft", "nowhere"), UserError, "no weights nowhere"),
        (("--weights", ".", "--data", "nowhere"), UserError, "no folder nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_takes_time(arguments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        main(list(arguments))


def test_models_of_other_classes_are_one_line(tmp_path):
    toy, other = save(tmp_path / "a.weights.h5", 8, 1), save(tmp_path / "b.weights.h5", 8, 1, CITYSCAPES)
    with pytest.raises(UsageError, match=r"^b has other classes \(19: road, .*; expected models of the same classes$"):
        main(["--weights", str(toy), str(other), "--port", "0", "--no-browser"])


def starts_of(asked: PaintSettings, weights: Path, classes=TOY):
    return open_starts(asked, weights, PaintModel("a", ModelDescription(8, (4, 8), 1, 0.01, classes), Colours()))


def test_a_runs_own_layouts_can_be_started_from(folder_data, tmp_path, capsys):
    options = ("--size", "8x16", "--width", "0.01", "--vgg-weights", "random", "--images", "1", "--steps", "1")
    train(["--data", str(folder_data), *options, "--out", str(tmp_path / "run")])
    classes = ModelDescription.from_json((tmp_path / "run/model.json").read_text()).classes
    capsys.readouterr()
    starts = starts_of(PaintSettings(), tmp_path / "run", classes)
    told = [(starts[index].name, starts[index].group) for index in range(len(starts))]
    assert told == [("empty", "drawn"), ("0", "validation"), ("1", "validation")]
    more = starts_of(PaintSettings(data=folder_data, split="train"), tmp_path / "run", classes)
    assert len(more) == 3 + 5 and more[7].group == "data" and more[7].name == "4"
    assert capsys.readouterr().err == ""
    folder_data.rename(tmp_path / "moved")
    assert len(starts_of(PaintSettings(), tmp_path / "run", classes)) == 1
    assert "warning: the run's own layouts cannot be started from: no folder " in capsys.readouterr().err


def test_a_data_set_of_other_classes_is_refused(folder_data, tmp_path):
    with pytest.raises(UserError, match=r"the layouts have 3 classes .* expected the same classes"):
        starts_of(PaintSettings(data=folder_data), tmp_path / "none")
    toy = starts_of(PaintSettings(dataset="toy", split="train"), tmp_path / "none")
    assert len(toy) == 8 + 160


def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch):
    """Without a screen, a browser for terminals would take the one that the server writes to."""
    opened = []
    monkeypatch.setattr(paint.webbrowser, "open", opened.append)
    monkeypatch.setattr(paint.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    before = threading.active_count()
    paint.open_browser("http://127.0.0.1:1/")
    assert threading.active_count() == before and opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    paint.open_browser("http://127.0.0.1:1/")
    for thread in threading.enumerate():
        if thread.daemon and "open_it" in thread.name:
            thread.join(5)
    assert opened == ["http://127.0.0.1:1/"]
