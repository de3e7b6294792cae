"""What is known of label files before they are looked at, and what is said where the files are otherwise."""

import json

import numpy as np
import pytest

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.conventions import decide
from crn_tf.data.declared_classes import DeclaredClasses, as_published, of_model, read_declared
from crn_tf.data.layouts import LayoutReader, colorize
from crn_tf.data.published_tables import PUBLISHED
from tests.test_conventions import refusal
from tests.test_layouts import RGB, save

IDS_ONLY = [key for key, entry in PUBLISHED.items() if entry.written == ("ids",)]


def published(key) -> DeclaredClasses:
    return as_published(PUBLISHED[key])


# --- what a publisher's files hold


@pytest.mark.parametrize("key", IDS_ONLY)
def test_colours_are_not_read_by_a_table_whose_files_hold_ids(tmp_path, key):
    table = PUBLISHED[key].table
    files = [save(tmp_path / "a.png", colorize(np.arange(10, dtype=np.uint8).reshape(2, 5), table))]
    message = refusal(files, published(key))
    assert f"a.png has colours, where {PUBLISHED[key].name}'s label files as published hold ids" in message
    assert "Put a classes.json with their names and colours beside the folders" in message
    if table.shared_colors:
        assert "--labels" not in message
    else:
        assert message.endswith("say --labels colours")
        assert decide(files, published(key), "colours").form == "colours"


def test_ids_are_not_read_by_a_table_whose_files_hold_colours(tmp_path):
    files = [save(tmp_path / "a.png", [[0, 1, 2, 3]])]
    message = refusal(files, published("camvid32"))
    assert "a.png has ids, where CamVid's label files as published hold colours" in message
    assert "(0 Animal, 1 Archway, ...), say --labels ids" in message
    assert decide(files, published("camvid32"), "ids").form == "ids"


def test_a_single_file_of_colours_among_ids_stops(tmp_path):
    table = PUBLISHED["idd"].table
    files = [save(tmp_path / f"{n}.png", [[0, 1, 2, 255]]) for n in range(3)]
    assert decide(files, published("idd")).form == "ids"
    files.append(save(tmp_path / "colours.png", colorize(np.array([[0, 1, 2]], np.uint8), table)))
    assert "colours.png has colours, where IDD's label files" in refusal(files, published("idd"))


# --- which of Cityscapes' ids they are


@pytest.mark.parametrize(
    ("key", "form"), [("kitti", "labelids"), ("gta5", "labelids"), ("bdd100k", "trainids"), ("cityscapes", None)]
)
def test_a_publisher_tells_what_few_ids_do_not(tmp_path, key, form):
    files = [save(tmp_path / "a.png", [[0, 7, 8, 11]])]
    if form is None:
        assert "as labelIds, or" in refusal(files, published(key))
        return
    found = decide(files, published(key))
    name = {"labelids": "labelIds", "trainids": "trainIds"}[form]
    assert found.form == form and found.evidence.endswith(f": Cityscapes {name}, as {PUBLISHED[key].name}'s are")


def test_ids_that_contradict_a_publisher_stop(tmp_path):
    train = [save(tmp_path / "a.png", [[4, 5, 6, 9, 14, 255]])]
    assert "a.png should hold labelIds, as KITTI's are, but" in refusal(train, published("kitti"))
    label = [save(tmp_path / "b.png", [[7, 21, 23, 33]])]
    assert "b.png should hold trainIds, as BDD100K's are, but" in refusal(label, published("bdd100k"))
    assert decide(label, published("bdd100k"), "labelids").classes.ids == CITYSCAPES.ids


# --- void that a list does not name


def test_255_is_void_where_a_text_names_no_void(tmp_path):
    text = tmp_path / "label_colors.txt"
    text.write_text("255 0 0 sky\n0 255 0 road\n0 0 255 tree\n")
    declared = read_declared(text)
    files = [save(tmp_path / "a.png", [[0, 1, 2, 255]])]
    found = decide(files, declared)
    assert found.evidence.endswith(
        f"ids 0..2 and 255 in the file looked at: 255 counts as void, as {text} names no void"
    )
    assert LayoutReader(found).read(files[0]).tolist() == [[0, 1, 2, 3]]
    without = decide([save(tmp_path / "b.png", [[0, 1, 2]])], declared)
    assert "void" not in without.evidence
    assert "ids without a name: 77" in refusal([save(tmp_path / "c.png", [[0, 1, 2, 77]])], declared)


def test_a_text_that_names_void_and_a_json_mean_what_they_say(tmp_path):
    text = tmp_path / "classes.txt"
    text.write_text("void 0 0 0\nsky 255 0 0\nroad 0 255 0\n")
    names_255 = [save(tmp_path / "a.png", [[0, 1, 2, 255]])]
    assert f"name them in {text}; which ids are void, a classes.json can say" in refusal(names_255, read_declared(text))
    own = tmp_path / "classes.json"
    own.write_text(json.dumps({"names": ["sky", "road", "tree"], "palette": [[9, 0, 0], [0, 9, 0], [0, 0, 9]]}))
    assert read_declared(own).table.void_ids == ()
    assert "name them in classes.json, or list them as void" in refusal(names_255, read_declared(own))


def test_a_mask_of_a_text_list_is_still_a_mask(tmp_path):
    text = tmp_path / "classes.txt"
    text.write_text("background 0 0 0\nobject 255 0 0\n")
    message = refusal([save(tmp_path / "a.png", [[0, 255]])], read_declared(text))
    assert "255 has no name, so background would be all there is" in message


# --- what to do about ids without a name


def test_what_to_do_fits_who_says_which_classes_there_are(tmp_path):
    text = tmp_path / "classes.txt"
    text.write_text("sky 255 0 0\nroad 0 255 0\ntree 0 0 255\n")
    beyond = [save(tmp_path / "a.png", [[1, 2, 3]])]
    assert f"put a line for it, called void, before all others in {text}" in refusal(beyond, read_declared(text))
    voc = refusal([save(tmp_path / "b.png", [[1, 20, 21]])], published("voc"))
    assert "one beyond the names, which are 0..20, and void 255" in voc
    assert "not the ids that Pascal VOC's files have as published" in voc and "before all others" not in voc
    model = refusal(beyond, of_model(RGB))
    assert "Layouts need the ids of the model's class table" in model and "classes.json" not in model


def test_a_class_table_alone_is_ones_own(tmp_path):
    assert "before all others in classes.json" in refusal([save(tmp_path / "a.png", [[1, 2, 3]])], RGB)
