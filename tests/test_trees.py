"""Folders of published data sets and of one's own: what is recognized, and what belongs to which split."""

import shutil

import pytest

from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.data.datasets import find_kind, layout_files, open_data_set, splits
from crn_tf.data.trees import find_tree
from crn_tf.errors import UserError
from tests.drawn_data import CLASSES, draw_label, draw_pairs, draw_photo


def names(root, split, **options) -> list[str]:
    data = open_data_set(root, None, split, 256, **options)
    for index in range(len(data)):
        data.load(index, (8, 16), "resize")
    return [data.name(index) for index in range(len(data))]


def draw_city(root, split="train", city="aachen", quality="gtFine", kinds=("labelIds", "color", "instanceIds")):
    """Files as Cityscapes has them."""
    folder = f"{split}/{city}" if split else city
    for number in range(2):
        stem = f"{folder}/{city}_{number:06}_000019"
        draw_photo(root / "leftImg8bit" / f"{stem}_leftImg8bit.png")
        for kind in kinds:
            draw_label(root / quality / f"{stem}_{quality}_{kind}.png", 7)
        (root / quality / folder).mkdir(parents=True, exist_ok=True)
        (root / quality / f"{stem}_{quality}_polygons.json").write_text("{}")


# --- one's own folders


@pytest.mark.parametrize("photos", ["photos", "images", "img", "JPEGImages", "image", "imgs"])
@pytest.mark.parametrize(
    "labels", ["labels", "masks", "gt", "annotations", "SegmentationClass", "label", "mask", "seg"]
)
@pytest.mark.parametrize("form", ["{part}/{split}", "{split}/{part}", "{part}"])
def test_folders_as_others_name_them(tmp_path, photos, labels, form):
    folders = [form.format(part=part, split="train") for part in (photos, labels)]
    draw_pairs(tmp_path, [f"{folders[0]}/a.jpg", f"{folders[0]}/b.JPG"], [f"{folders[1]}/a.png", f"{folders[1]}/b.png"])
    assert find_kind(tmp_path) == "folder" and splits(tmp_path, "folder") == ["train"]
    assert names(tmp_path, "train") == ["a", "b"]


def test_images_and_masks_are_taken(tmp_path):
    photos = [f"images/{split}/frame_{n}.jpg" for split in ("train", "val") for n in (0, 1)]
    draw_pairs(tmp_path, photos, [path.replace("images", "masks").replace("jpg", "png") for path in photos])
    assert splits(tmp_path, "folder") == ["train", "val"] and names(tmp_path, "val") == ["frame_0", "frame_1"]


@pytest.mark.parametrize(
    ("called", "split"),
    [("training", "train"), ("Train", "train"), ("valid", "val"), ("validation", "val"), ("testing", "test")],
)
def test_splits_have_one_name_each(tmp_path, called, split):
    draw_pairs(tmp_path, [f"images/{called}/a.jpg"], [f"masks/{called}/a.png"])
    assert splits(tmp_path, "folder") == [split] and names(tmp_path, split) == ["a"]


def test_an_empty_validation_folder_is_as_if_missing(tmp_path):
    draw_pairs(tmp_path, ["photos/train/a.jpg", "photos/train/b.jpg"], ["labels/train/a.png", "labels/train/b.png"])
    for part in ("photos", "labels"):
        (tmp_path / part / "val").mkdir()
    (tmp_path / "labels/val/.gitkeep").write_text("")
    assert splits(tmp_path, "folder") == ["train"]
    assert splits(tmp_path, "folder", validation_share=0.5) == ["train", "val"]
    assert names(tmp_path, "val", validation_share=0.5) == ["b"]


def test_label_folders_without_pictures_are_passed_over(tmp_path):
    """YOLO keeps text files in `labels`; the pictures are in `masks`."""
    draw_pairs(tmp_path, ["images/train/a.jpg"], ["masks/train/a.png"])
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 1 1")
    assert names(tmp_path, "train") == ["a"]


def test_two_folders_that_could_be_meant_are_both_named(tmp_path):
    draw_pairs(tmp_path, ["images/train/a.jpg"], ["masks/train/a.png", "gt/train/a.png"])
    with pytest.raises(UserError, match=rf"{tmp_path}/masks and {tmp_path}/gt could both be meant"):
        find_kind(tmp_path)


def test_split_lists_beside_flat_folders_are_read(tmp_path):
    draw_pairs(tmp_path, [f"images/{n}.jpg" for n in "abcd"], [f"labels/{n}_P.png" for n in "abcd"])
    (tmp_path / "valid.txt").write_text("images/b.jpg labels/b_P.png\n")
    assert names(tmp_path, "val") == ["b"] and names(tmp_path, "train") == ["a", "c", "d"]
    (tmp_path / "train.txt").write_text("a\n\nc.jpg\r\n")
    assert names(tmp_path, "train") == ["a", "c"]


@pytest.mark.parametrize("ending", ["", "_mask"])
def test_one_side_may_have_splits_where_the_other_is_flat(tmp_path, ending):
    split = {"a": "train", "b": "train", "c": "val"}
    for root, photo, label in (("x", "images", "labels/{}"), ("y", "images/{}", "labels")):
        photos = [f"{photo.format(split[n])}/{n}.jpg" for n in split]
        labels = [f"{label.format(split[n])}/{n}{ending}.png" for n in split]
        draw_pairs(tmp_path / root, photos, labels)
        assert splits(tmp_path / root, "folder") == ["train", "val"]
        assert names(tmp_path / root, "train") == ["a", "b"] and names(tmp_path / root, "val") == ["c"]
        alone = open_data_set(tmp_path / root, None, "val", 256, need_photos=False)
        assert [pair.layout.stem for pair in alone.pairs] == [f"c{ending}"]
    draw_label(tmp_path / "x/labels/val/d.png")  # where the labels have splits, each needs its photograph
    with pytest.raises(UserError, match=r"d\.png has no photograph"):
        names(tmp_path / "x", "val")


def test_a_split_without_photographs_is_not_given_those_of_another(tmp_path):
    draw_city(tmp_path)
    draw_city(tmp_path, split="val")
    shutil.rmtree(tmp_path / "leftImg8bit/val")
    with pytest.raises(UserError, match="has no photograph"):
        names(tmp_path, "val")


def test_several_data_sets_in_a_folder_are_named(tmp_path):
    for name in "xy":
        draw_pairs(tmp_path / name, ["photos/train/a.jpg"], ["labels/train/a.png"])
    with pytest.raises(UserError, match=rf"has several data sets, {tmp_path}/x \(folder\) and {tmp_path}/y \(folder\)"):
        find_kind(tmp_path)
    shutil.rmtree(tmp_path / "y")
    assert names(tmp_path, "train") == ["a"]
    assert open_data_set(tmp_path, None, "train", 256).notes == [f"the data set lies in {tmp_path}/x"]


def test_a_folder_of_layouts_is_no_data_set(tmp_path):
    draw_label(tmp_path / "one.png")
    draw_label(tmp_path / "drawings/two.png")
    draw_pairs(tmp_path / "data", ["photos/train/a.jpg"], ["labels/train/a.png"])
    assert find_tree(tmp_path, None) is None


# --- Cityscapes and its relatives


def test_cityscapes_archives_in_folders_of_their_own(tmp_path):
    draw_city(tmp_path / "x")
    (tmp_path / "gtFine_trainvaltest").mkdir()
    (tmp_path / "leftImg8bit_trainvaltest").mkdir()
    (tmp_path / "x/gtFine").rename(tmp_path / "gtFine_trainvaltest/gtFine")
    (tmp_path / "x/leftImg8bit").rename(tmp_path / "leftImg8bit_trainvaltest/leftImg8bit")
    assert find_kind(tmp_path) == "cityscapes" and splits(tmp_path, "cityscapes") == ["train"]
    assert names(tmp_path, "train") == ["aachen_000000_000019", "aachen_000001_000019"]


@pytest.mark.parametrize("kinds", [("labelTrainIds", "color"), ("color", "instanceIds")])
def test_cityscapes_files_are_taken_in_the_order_of_what_they_tell(tmp_path, kinds):
    draw_city(tmp_path, kinds=kinds)
    data = open_data_set(tmp_path, None, "train", 256, labels="labelids")
    assert [pair.layout.name for pair in data.pairs] == [
        f"aachen_00000{n}_000019_gtFine_{kinds[0]}.png" for n in (0, 1)
    ]


def test_coarse_labels_are_taken_where_there_are_no_fine_ones(tmp_path):
    draw_city(tmp_path, quality="gtCoarse")
    draw_city(tmp_path, split="train_extra", city="bonn", quality="gtCoarse")
    assert splits(tmp_path, "cityscapes") == ["train", "train_extra"]
    assert names(tmp_path, "train_extra") == ["bonn_000000_000019", "bonn_000001_000019"]
    draw_city(tmp_path, city="ulm")
    draw_photo(tmp_path / "leftImg8bit/train/x/x.png")  # no photograph of theirs
    for path in tmp_path.glob("leftImg8bit/train/aachen/*"):
        path.unlink()
    assert names(tmp_path, "train") == ["ulm_000000_000019", "ulm_000001_000019"]


def test_a_single_city_without_a_split_is_found(tmp_path):
    draw_city(tmp_path, split="")
    assert names(tmp_path, "train") == ["aachen_000000_000019", "aachen_000001_000019"]
    together = tmp_path / "together"
    together.mkdir()
    for path in [*tmp_path.glob("gtFine/aachen/*"), *tmp_path.glob("leftImg8bit/aachen/*")]:
        path.rename(together / path.name)
    assert find_kind(together) == "cityscapes" and len(names(together, "train")) == 2
    assert layout_files([together])[0].name == "aachen_000000_000019_gtFine_labelIds.png"


def test_a_folder_of_a_citys_label_files_gives_its_label_ids(tmp_path):
    draw_city(tmp_path)
    found = layout_files([tmp_path / "gtFine/train/aachen"])
    assert [path.name for path in found] == [f"aachen_00000{number}_000019_gtFine_labelIds.png" for number in (0, 1)]


def test_polygons_alone_are_told_what_was_looked_for(tmp_path):
    draw_city(tmp_path, kinds=())
    with pytest.raises(UserError) as caught:
        open_data_set(tmp_path, None, "train", 256)
    for part in (
        "no layouts in the split 'train'",
        "_gtFine_labelIds.png",
        "JSON files are not read",
        "--id-type level3Id",
    ):
        assert part in str(caught.value)


# --- other published trees


def draw_published(root, kind):
    """The tree of a published data set, as its publisher documents it; and the splits it has."""
    if kind == "voc":
        pairs = [f"VOCdevkit/VOC2012/{{}}/2007_{n:06}" for n in range(3)]
        draw_pairs(root, [f"{p.format('JPEGImages')}.jpg" for p in [*pairs, pairs[0] + "9"]], [], classes=False)
        draw_pairs(root, [], [f"{p.format('SegmentationClass')}.png" for p in pairs], classes=False)
        lists = root / "VOCdevkit/VOC2012/ImageSets/Segmentation"
        lists.mkdir(parents=True)
        for name, lines in (("train", (0, 1)), ("val", (2,)), ("trainval", (0, 1, 2))):
            (lists / f"{name}.txt").write_text("".join(f"2007_{n:06}\n" for n in lines))
        return {"train": ["2007_000000", "2007_000001"], "trainval": 3, "val": ["2007_000002"]}
    trees = {
        "ade20k": ("ADEChallengeData2016/images/{}/ADE_{}_1.jpg", "ADEChallengeData2016/annotations/{}/ADE_{}_1.png"),
        "kitti": ("{}/image_2/{}_10.png", "{}/semantic/{}_10.png"),
        "bdd100k": ("bdd100k/images/10k/{}/{}.jpg", "bdd100k/labels/sem_seg/masks/{}/{}.png"),
        "camvid": ("{}/{}.png", "{}annot/{}.png"),
        "idd": ("leftImg8bit/{}/9/{}_leftImg8bit.png", "gtFine/{}/9/{}_gtFine_labellevel3Ids.png"),
    }
    called = {"ade20k": ("training", "validation"), "kitti": ("training",)}.get(kind, ("train", "val"))
    for part in trees[kind]:
        draw_pairs(root, *([[part.format(split, split)] for split in called[:1]] * 2), classes=False)
        for split in called:
            (draw_label if part == trees[kind][1] else draw_photo)(root / part.format(split, split))
    return dict.fromkeys(("train", "val")[: len(called)], 1)


@pytest.mark.parametrize("kind", ["voc", "ade20k", "kitti", "bdd100k", "camvid", "idd"])
def test_published_trees_are_recognized(tmp_path, kind):
    expected = draw_published(tmp_path, kind)
    assert find_kind(tmp_path) == kind and splits(tmp_path, kind) == sorted(expected)
    (tmp_path / "classes.json").write_text(CLASSES)  # one's own choice of classes, where the kind is not Cityscapes'
    for split, there in expected.items():
        found = names(tmp_path, split)
        assert found == there or len(found) == there


def test_kitti_has_the_classes_of_cityscapes(tmp_path):
    draw_published(tmp_path, "kitti")
    assert open_data_set(tmp_path, None, "train", 256).classes == CITYSCAPES


def test_bdd100k_as_it_was_published_first(tmp_path):
    for split in ("train", "val"):
        draw_photo(tmp_path / f"bdd100k/seg/images/{split}/{split}.jpg")
        draw_label(tmp_path / f"bdd100k/seg/labels/{split}/{split}_train_id.png", 7)
        draw_label(tmp_path / f"bdd100k/seg/color_labels/{split}/{split}_train_color.png")
    draw_photo(tmp_path / "bdd100k/seg/images/test/test.jpg")
    assert find_kind(tmp_path) == "bdd100k" and splits(tmp_path, "bdd100k") == ["train", "val"]
    assert names(tmp_path, "train") == ["train"] and names(tmp_path, "val") == ["val"]
    data = open_data_set(tmp_path, None, "train", 256)
    assert data.convention.evidence.endswith("Cityscapes trainIds, as BDD100K's are")


@pytest.mark.parametrize(
    ("photos", "labels"), [("images", "annotations"), ("images", "stuffthingmaps"), ("", "stuffthingmaps")]
)
def test_coco_stuff_as_its_archives_unpack(tmp_path, photos, labels):
    for split in ("train", "val"):
        draw_photo(tmp_path / photos / f"{split}2017/000000000009.jpg")
        draw_label(tmp_path / labels / f"{split}2017/000000000009.png", 181)
        draw_label(tmp_path / labels / f"{split}2017/000000000009_labelTrainIds.png", 170)
    assert find_kind(tmp_path) == "coco-stuff" and splits(tmp_path, "coco-stuff") == ["train", "val"]
    assert names(tmp_path, "train") == names(tmp_path, "val") == ["000000000009"]
    data = open_data_set(tmp_path, None, "train", 256)
    assert data.load_layout(0, (8, 16), "resize").max() == 181 and data.classes.names[181] == "wood"


def test_camvid_as_published(tmp_path):
    for name in ("0001TP_006690", "Seq05VD_f00000"):
        draw_photo(tmp_path / f"701_StillsRaw_full/{name}.png")
        draw_label(tmp_path / f"LabeledApproved_full/{name}_L.png")
    (tmp_path / "classes.json").write_text(CLASSES)
    assert find_kind(tmp_path) == "camvid" and names(tmp_path, "train") == ["0001TP_006690", "Seq05VD_f00000"]


def test_gta_is_numbered_and_has_no_classes_of_its_own(tmp_path):
    draw_pairs(
        tmp_path, ["images/00001.png", "images/00002.png"], ["labels/00001.png", "labels/00002.png"], classes=False
    )
    assert find_kind(tmp_path) == "gta5" and names(tmp_path, "train") == ["00001", "00002"]
    (tmp_path / "classes.json").write_text(CLASSES)
    assert find_kind(tmp_path) == "folder"
