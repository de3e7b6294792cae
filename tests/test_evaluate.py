"""`crn evaluate` from the command line to its files, on small pictures; and on CamVid where it is."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from crn_tf import ModelDescription, save_weights
from crn_tf.data.class_tables import read_class_table
from crn_tf.errors import UsageError, UserError
from crn_tf.evaluate import main
from crn_tf.evaluation import segmenter_training
from crn_tf.saved.run_folder import RunFolder
from tests.conftest import ROOT

LINES = ["--vgg-weights", "random", "--together", "1"]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Segmenters of a few steps, and a cache of one's own."""
    recipe = functools.partial(segmenter_training.Recipe, steps=30, batch=1, lr=1e-2)
    monkeypatch.setattr(segmenter_training, "Recipe", recipe)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(folder_data):
    """More validation pairs than there were: copies of the training pairs under other names, at 40x56."""
    for kind in ("photos", "labels"):
        for number in range(5):
            for copy in range(2):
                pixels = np.asarray(Image.open(folder_data / kind / f"train/{number}.png"))
                shown = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1] if copy else pixels[::-1]))
                shown.save(folder_data / kind / f"val/{chr(ord('a') + number)}{copy}x.png")
    return folder_data


def write_pictures(data, folder, change):
    folder.mkdir()
    for path in sorted((data / "photos/val").glob("*.png")):
        change(Image.open(path)).save(folder / path.name)
    return folder


def evaluate(*arguments):
    assert main([*map(str, arguments), *LINES]) == 0
    return json.loads(open("evaluation/evaluation.json").read())


def refuse_constants(name):
    raise AssertionError(f"{name} is no JSON")


def test_pictures_and_a_model_are_judged_and_the_numbers_move_the_right_way(quick, data, tmp_path, capsys):
    write_pictures(data, tmp_path / "same", lambda photo: photo)
    write_pictures(data, tmp_path / "blurred", lambda photo: photo.filter(ImageFilter.GaussianBlur(4)))
    model = ModelDescription(
        height=8, base_grid=(4, 8), num_images=2, width=0.01, classes=read_class_table(data / "classes.json")
    )
    save_weights(tmp_path / "tiny.weights.h5", model.build(), model)
    result = evaluate(
        *("--data", data, "--images", "same=same", "--images", "blurred=blurred", "--weights", "tiny.weights.h5")
    )
    methods = result["methods"]
    assert list(methods) == ["photographs", "mean-colours", "same", "blurred", "tiny"]
    assert result["data"]["layouts"] == 12
    assert result["size"] == [40, 56]

    photographs, same, blurred = (methods[name] for name in ("photographs", "same", "blurred"))
    assert same["confusion_matrix"] == photographs["confusion_matrix"]  # equal to the ceiling
    assert same["kid"] == pytest.approx(0, abs=1e-9)
    assert same["kid_interval"][0] < 0 < same["kid_interval"][1]
    assert (same["content_loss"], same["l1"], same["psnr"]) == (0, 0, None)
    assert "equal to its photograph" in same["psnr_reason"]
    assert same["pictures_sha256"] == photographs["pictures_sha256"] != blurred["pictures_sha256"]
    for worse_if_higher in ("kid", "content_loss", "l1"):
        assert blurred[worse_if_higher] > same[worse_if_higher], worse_if_higher
    assert blurred["ssim"] < same["ssim"] == pytest.approx(1)
    assert methods["tiny"]["images_of_each_layout"] == 2
    assert methods["tiny"]["diversity"] > 0 and methods["tiny"]["seconds_per_layout"] > 0
    assert methods["tiny"]["content_loss_best"] < methods["tiny"]["content_loss"]
    assert blurred["diversity"] is None and blurred["diversity_reason"] == "there is one picture of each layout"

    for name in ("pixel_accuracy", "class_accuracy", "mean_iou", "content_loss", "l1", "ssim"):
        low, high = blurred[f"{name}_interval"]
        assert low <= blurred[name] <= high, name
    assert blurred["fid"] is None and "refused: 12 photographs" in blurred["fid_reason"]
    assert sum(blurred["content_loss_terms"].values()) == pytest.approx(blurred["content_loss"])

    comparison = next(
        row
        for row in result["comparisons"]
        if (row["measure"], row["first"], row["second"]) == ("content_loss", "same", "blurred")
    )
    assert (comparison["better"], comparison["worse"], comparison["pictures"]) == (12, 0, 12)
    assert comparison["p_value"] == pytest.approx(2 / 2**12)

    row = result["pictures"][0]
    assert row["name"] == "0" and set(row["classes"]) <= {"a", "b", "void"}
    assert [path.rsplit("/", 1)[1] for path in row["methods"]["tiny"]["files"]] == ["0_0.png", "0_1.png"]
    assert row["methods"]["blurred"]["scores"]["l1"] > 0
    mean = np.mean([row["methods"]["blurred"]["scores"]["content_loss"] for row in result["pictures"]])
    assert mean == pytest.approx(blurred["content_loss"])

    written = (tmp_path / "evaluation/evaluation.md").read_text()
    assert "segmenter: fcn" in written and "features: vgg19" in written
    assert "flatter methods that were" in written
    assert "same better than blurred on 12 of 12 layouts (content loss" in written
    output = capsys.readouterr().out
    assert written.splitlines()[0] in output
    json.loads((tmp_path / "evaluation/evaluation.json").read_text(), parse_constant=refuse_constants)


def test_a_second_run_uses_segmenter_and_features_again(quick, data, tmp_path, capsys):
    write_pictures(data, tmp_path / "blurred", lambda photo: photo.filter(ImageFilter.GaussianBlur(2)))
    first = evaluate("--data", data, "--images", "blurred=blurred", "--limit", 4)
    told = capsys.readouterr().out
    assert "training the segmenter on 5 photographs" in told and " 0 known" in told
    assert [row["name"] for row in first["pictures"]] == ["0", "1", "a0x", "a1x"]  # the first by name
    assert first["segmenter"]["score"]["photographs"] == 12
    (tmp_path / "blurred").rename(tmp_path / "other_place")
    second = evaluate("--data", data, "--images", "blurred=other_place", "--limit", 4)
    told = capsys.readouterr().out
    assert "training the segmenter" not in told and "features: 0 computed" in told
    assert second["methods"] == first["methods"]
    assert not list(data.rglob("*.sqlite"))


def test_the_toy_streets_and_a_forced_fid(quick, capsys):
    model = ModelDescription(height=16, base_grid=(4, 8), num_images=1, width=0.01, classes=toy_classes())
    save_weights("toy.weights.h5", model.build(), model)
    result = evaluate(*("--dataset", "toy", "--weights", "toy.weights.h5", "--limit", 3), "--force-fid")
    assert result["data"]["layouts"] == 3
    assert result["methods"]["toy"]["fid"] > result["methods"]["photographs"]["fid"] == pytest.approx(0, abs=1e-2)
    assert result["methods"]["toy"]["fid_interval"] is None  # too few to halve
    assert result["pictures"][0]["layout"] is None


def toy_classes():
    from crn_tf.data.datasets import ToyDataSet

    return ToyDataSet.classes


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ([], UsageError, "nothing to judge"),
        (["--images", "a=."], UsageError, "no data: --data FOLDER"),
        (["--images", "a=.", "--limit", "0", "--data", "DATA"], UsageError, "--limit must be at least 1"),
        (["--images", "a=.", "--loss-weights", "auto", "--data", "DATA"], UsageError, "auto is measured in training"),
        (["--images", "a=DATA/photos/val", "--out", "DATA/x", "--data", "DATA"], UsageError, "lies in the data's"),
        (["--images", "a=DATA/photos/val", "--cache", "DATA", "--data", "DATA"], UsageError, "lies in the data's"),
        (["--images", "a=DATA/photos/train", "--data", "DATA", "--split", "test"], UserError, "no split 'test'"),
        (["--weights", "nowhere", "--data", "DATA"], UserError, "no weights nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(quick, folder_data, tmp_path, arguments, kind, message):
    with pytest.raises(kind, match=message):
        main([argument.replace("DATA", str(folder_data)) for argument in arguments] + ["--vgg-weights", "random"])
    assert not (tmp_path / "evaluation").exists()


def test_help_and_usage_errors_do_not_wait_for_tensorflow(tmp_path):
    script = (
        "import sys; sys.argv = ['evaluate', '--images', 'x']\n"
        "from crn_tf.evaluate import main\n"
        "try:\n    main()\nexcept Exception as error: print(error)\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False False"
    assert "expected NAME=FOLDER" in found.stdout


def test_without_training_photographs_another_segmenter_is_asked_for(quick, data, tmp_path):
    write_pictures(data, tmp_path / "same", lambda photo: photo)
    for kind in ("photos", "labels"):
        (data / kind / "train").rename(data / kind / "other")
    with pytest.raises(UserError, match="--segmenter fcn is trained on training photographs"):
        main(["--data", str(data), "--images", "same=same", *LINES])


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ({"name": "fcn", "folder": "cache/segmenters/0a"}, "against this very segmenter: its segmentation score says"),
        ({"name": "fcn", "folder": "cache/segmenters/0b"}, "against another segmenter of this kind: its mean IoU flat"),
        ({"name": "other.onnx"}, "against a segmenter, of another kind than this one"),
    ],
)
def test_who_was_trained_against_a_segmenter_is_told_beside_its_score(tmp_path, judge, said):
    from crn_tf.evaluation.reports import notes

    run = RunFolder(tmp_path)
    run.settings.write_text(json.dumps({"segmenter": "runs/gan/segmenters/0a"}))
    networks = {name: {"name": name, "shares_features_with_training": False} for name in ("features", "perceiver")}
    networks["segmenter"] = {"shares_features_with_training": False, **judge}
    methods = {"gan": {"about": {"trained_against": str(run.segmenter())}}, "crn": {"about": {}}, "photographs": {}}
    lines = [line for line in notes(networks, 101, 101, (96, 128), methods) if "trained against" in line]
    assert len(lines) == 1 and f"gan was trained {said}" in lines[0]
    run.settings.write_text(json.dumps({"segmenter": None}))
    assert run.segmenter() is None and RunFolder(tmp_path / "nowhere").segmenter() is None
