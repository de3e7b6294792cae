"""Model cards: what they tell of the data, the training and the model, and what they keep to themselves."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest

from crn_tf import __version__
from crn_tf.data.class_tables import ClassTable
from crn_tf.data.tree_shapes import Kind
from crn_tf.model.description import ModelDescription
from crn_tf.serving.model_card import ServedAs, classes_json, model_card

DESCRIPTION = ModelDescription(8, (4, 8), 1, 0.01, ClassTable(("a",), ((255, 0, 0),), (0,), (1,)))
SERVED = ServedAs("float32", "float32", "png", 123, 492, "none")
UNSTATED = "Its licence was not stated (`--data-licence`): ask whoever trained the model."
# The settings.json of a run, as train.py 0.1.0 wrote it.
SETTINGS = {
    "res": None, "size": "8x16", "base_grid": "4x8", "data": None, "dataset": None, "fit": "resize", "flip": False,
    "cache": None, "max_unreadable": 0.05, "images": 1, "loss": "content", "loss_weights": "inverse-elements",
    "rebalance_epoch": 0, "init_from": None, "init_optimizer": False, "train_modules": None, "vgg_weights": "random",
    "vgg_pool": "avg", "epochs": 2, "steps": None, "batch": 1, "lr": 0.0001, "precision": "float32", "remat": "off",
    "width": 0.01, "seed": 0, "validation_limit": 32, "checkpoint_minutes": 10.0, "checkpoint_steps": None,
}  # fmt: skip


def card_of_run(run: Path, data_licence: str | None = None, **settings) -> str:
    run.mkdir(exist_ok=True)
    (run / "settings.json").write_text(json.dumps(SETTINGS | settings))
    return model_card(DESCRIPTION, SERVED, run, data_licence)


def about_data(card: str) -> list[str]:
    """The lines of a card's section about the data."""
    section = card.partition("## Data and licence\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line]


@pytest.fixture
def data(tmp_path) -> dict[str, Path]:
    """Folders of each kind's shape, by kind."""
    shapes = {"cityscapes": "gtFine/train", "release": "Label256Full", "folder": "labels/train"}
    for kind, inside in shapes.items():
        (tmp_path / "streets" / kind / inside).mkdir(parents=True)
    return {kind: tmp_path / "streets" / kind for kind in shapes}


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(
    ("kind", "licence"),
    [
        ("cityscapes", "Licence: Cityscapes: for research and teaching, not commercial; see https://www.city"),
        ("release", "Licence: Cityscapes: for research and teaching, not commercial; see https://www.city"),
        ("folder", UNSTATED),
    ],
)
def test_the_kind_of_data_is_told_whether_the_settings_name_it_or_the_folder_shows_it(
    tmp_path, data, kind, licence, stated
):
    card = card_of_run(tmp_path / "run", data=str(data[kind]), dataset=kind if stated else None)
    name, told = about_data(card)
    assert name == f"The data set `{kind}` ({kind})."
    assert told.startswith(licence)
    assert str(tmp_path) not in card


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind not in ("folder", "toy")])
def test_every_published_kind_leads_to_its_publishers_terms(tmp_path, kind):
    _, told = about_data(card_of_run(tmp_path / "run", data="there", dataset=kind))
    assert told.startswith("Licence: ") and re.search("https?://", told)
    assert ("look at the publisher's terms" in told) == (kind in ("gta5", "idd", "camvid"))
    stated = card_of_run(tmp_path / "run", "CC0", data="there", dataset=kind)
    assert about_data(stated)[1] == "Licence: CC0"


def test_data_that_are_no_longer_there_are_told_by_name(tmp_path, data):
    shutil.rmtree(data["folder"])
    assert about_data(card_of_run(tmp_path / "run", data=str(data["folder"]))) == ["The data set `folder`.", UNSTATED]
    shutil.rmtree(data["cityscapes"])
    named = card_of_run(tmp_path / "run", data=str(data["cityscapes"]), dataset="cityscapes")
    assert about_data(named)[0] == "The data set `cityscapes` (cityscapes)." and "not commercial" in named


def test_toy_streets_are_this_projects_own(tmp_path):
    told = about_data(card_of_run(tmp_path / "run", dataset="toy"))
    assert told == ["The built-in toy streets.", "Licence: drawn by this project's own code (MIT)"]


def test_data_that_nobody_knows_are_said_to_be_unknown(tmp_path):
    told = about_data(card_of_run(tmp_path / "run"))
    assert told == ["The data set is not known: the settings of the run do not name it.", UNSTATED]
    (tmp_path / "moved.weights.h5").touch()
    told = about_data(model_card(DESCRIPTION, SERVED, tmp_path / "moved.weights.h5", None))
    expected = "The data set is not known: the model was exported from a file without its run folder."
    assert told == [expected, UNSTATED]


@pytest.mark.parametrize("given", ["", "model.ckpt", "model.ckpt.index"])
def test_of_a_release_model_both_possible_sources_are_told(tmp_path, given):
    (tmp_path / "model.ckpt.index").touch()
    name, licence = about_data(model_card(DESCRIPTION, SERVED, tmp_path / given, None))
    assert name == "The 2017 release's model: Cityscapes, or GTA frames with Cityscapes' classes."
    assert licence.startswith("Licence: not stated (`--data-licence`). Cityscapes is for research")


def test_a_stated_licence_wins(tmp_path, data):
    for settings in ({"data": str(data["cityscapes"])}, {"dataset": "toy"}, {}):
        assert about_data(card_of_run(tmp_path / "run", "CC0", **settings))[1:] == ["Licence: CC0"]
    (tmp_path / "model.ckpt.index").touch()
    assert about_data(model_card(DESCRIPTION, SERVED, tmp_path, "CC0"))[1:] == ["Licence: CC0"]


def test_the_version_that_made_it_is_told(tmp_path):
    assert f"| made with | crn_tf {__version__} |" in card_of_run(tmp_path / "run").splitlines()


@pytest.mark.parametrize("given", [".", "inside/..", "../run"])
def test_a_run_folder_may_be_given_in_any_way(tmp_path, monkeypatch, given):
    card_of_run(tmp_path / "run", dataset="toy")
    (tmp_path / "run/inside").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    card = model_card(DESCRIPTION, SERVED, Path(given), None)
    assert f"| exported from | `{tmp_path.name}/run` |" in card.splitlines()
    assert about_data(card)[0] == "The built-in toy streets."


def test_of_the_trainings_files_only_names_are_told(tmp_path):
    files = {name: str(tmp_path / name) for name in ("weights.json", "vgg.h5", "grown")}
    for name in ("weights.json", "vgg.h5"):
        (tmp_path / name).touch()
    card = card_of_run(
        tmp_path / "run", data="/", loss_weights=files["weights.json"], vgg_weights=files["vgg.h5"],
        init_from=files["grown"],
    )  # fmt: skip
    for words in ("loss weights weights.json,", "VGG19 of the file `vgg.h5`.", "grown from `grown`.", "data set `/`."):
        assert words in card
    assert str(tmp_path) not in card


def test_the_settings_are_told_as_the_command_line_takes_them(tmp_path):
    card = card_of_run(tmp_path / "run", train_modules="8,16", rebalance_epoch=3)
    assert "Settings: size 8x16, base grid 4x8, " in card and "train modules 8,16" in card
    assert "flip False" in card and "steps" not in card.split("Settings: ")[1].split("\n")[0]


def test_another_size_than_trained_and_what_is_done_with_other_shapes_are_told():
    plain = model_card(DESCRIPTION, SERVED, Path("a.weights.h5"), None)
    assert "| image size | 8x16 (height x width) |" in plain and "another shape are stretched." in plain
    other = dataclasses.replace(DESCRIPTION, fit="crop").at_size((8, 24))
    told = model_card(other, SERVED, Path("a.weights.h5"), None)
    assert "| image size | 8x24 (height x width); trained at 8x16, " in told and "are cut to their centre." in told
    assert json.loads(classes_json(other))["width"] == 24
