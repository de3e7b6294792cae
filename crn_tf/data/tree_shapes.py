"""Where data sets keep their layouts and photographs: one row for each shape of folders that is recognized.

A new data set is a new row of `SHAPES`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from crn_tf.data.picture_files import files_inside, is_picture

_LOOKED_AT = 1000  # files, to see what a folder holds

Kind = Literal[
    "cityscapes",
    "release",
    "folder",
    "toy",
    "idd",
    "voc",
    "ade20k",
    "camvid",
    "kitti",
    "bdd100k",
    "gta5",
    "coco-stuff",
]


@dataclass(frozen=True)
class Shape:
    """How the files of a data set lie.

    Attributes:
        kind: Its word for `--dataset`.
        layouts: The folder of a split's layouts, with {split} in it; without, all are the split train.
        photos: The same of its photographs.
        layout_endings: What stands behind the names of layouts, best first; if empty, it is found from the names.
        photo_endings: The same of photographs.
        lists: Folder of the split lists: NAME.txt, with a name in each line.
        classes: Which published class table its files are written by; "" reads classes.json.
        holds: Whether this is the data set, where its folders alone could be another's.
        alone: Whether layouts without photographs are recognized too.
        advice: What to do if there are no layouts.
        names: A pattern of the photographs' names; others are none of the data set. "" takes all.
    """

    kind: Kind
    layouts: str
    photos: str
    layout_endings: tuple[str, ...] = ()
    photo_endings: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    classes: str = "cityscapes"
    holds: Callable[[Path], bool] = field(default=lambda layouts: True)
    alone: bool = False
    advice: str = ""
    names: str = ""


def _named(pattern: str) -> Callable[[Path], bool]:
    """Whether one of the first pictures of a folder has such a name."""

    def holds(layouts: Path) -> bool:
        return any(re.search(pattern, path.name) for path in islice(files_inside(layouts), _LOOKED_AT))

    return holds


def _all_numbered(layouts: Path) -> bool:
    """Whether these are GTA's files: five digits each, and nobody's own classes beside them."""
    if _has_classes(layouts.parent):
        return False
    names = {bool(re.fullmatch(r"\d{5}", path.stem)) for path in files_inside(layouts) if is_picture(path)}
    return names == {True}


def _has_classes(folder: Path) -> bool:
    return (folder / "classes.json").exists()


_COCO = r"^\d{12}(?=\.|$)"  # not what MMSegmentation writes beside them, which has other ids
_IDS = ("labelIds", "labelTrainIds", "color")
_IDD = "IDD's label files are made of its polygons by its publisher's preperation/createLabels.py --id-type level3Id"
SHAPES = (
    Shape(
        "idd",
        "gtFine/{split}",
        "leftImg8bit/{split}",
        ("_gtFine_labellevel3Ids", "_gtFine_labelLevel3Ids"),
        ("_leftImg8bit",),
        classes="idd",
        holds=_named(r"_gtFine_label[lL]evel3Ids\."),
        advice=_IDD,
    ),
    Shape(
        "cityscapes",
        "gtFine/{split}",
        "leftImg8bit/{split}",
        tuple(f"_gtFine_{ids}" for ids in _IDS),
        ("_leftImg8bit",),
        alone=True,
        advice=_IDD,
    ),
    Shape(
        "cityscapes",
        "gtCoarse/{split}",
        "leftImg8bit/{split}",
        tuple(f"_gtCoarse_{ids}" for ids in _IDS),
        ("_leftImg8bit",),
    ),
    Shape("voc", "SegmentationClass", "JPEGImages", lists=("ImageSets/Segmentation",), classes="voc"),
    Shape("ade20k", "annotations/{split}", "images/{split}", classes="ade20k", holds=_named("^ADE_")),
    Shape("camvid", "LabeledApproved_full", "701_StillsRaw_full", ("_L",), lists=("", "splits"), classes="camvid32"),
    Shape("camvid", "{split}annot", "{split}", classes="camvid11"),
    Shape("kitti", "{split}/semantic", "{split}/image_2", classes="kitti"),
    Shape("bdd100k", "labels/sem_seg/masks/{split}", "images/10k/{split}", classes="bdd100k"),
    Shape(
        "bdd100k",
        "labels/{split}",
        "images/{split}",
        ("_train_id",),
        classes="bdd100k",
        holds=_named(r"_train_id\."),
    ),
    *(
        Shape("coco-stuff", layouts, photos, ("",), classes="coco-stuff", holds=_named(_COCO), names=_COCO)
        for layouts, photos in (
            ("annotations/{split}2017", "images/{split}2017"),
            ("stuffthingmaps/{split}2017", "images/{split}2017"),
            ("stuffthingmaps/{split}2017", "{split}2017"),
        )
    ),
    Shape("gta5", "labels", "images", lists=("",), classes="gta5", holds=_all_numbered),
)
CITY = Shape(  # photographs and layouts of one city in one folder
    "cityscapes",
    "",
    "",
    tuple(f"_{quality}_{ids}" for quality in ("gtFine", "gtCoarse") for ids in _IDS),
    ("_leftImg8bit",),
)
OWN = Shape("folder", "labels/{split}", "photos/{split}", classes="", lists=("", "splits", "ImageSets/Segmentation"))
RELEASE = Shape("release", "Label*Full", "RGB*Full", alone=True)

EXPECTED_FORMS = """\
  cityscapes  leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png
  release     RGB256Full/*.png and Label256Full/*.png (or 512, 1024)
  folder      photos/SPLIT/*, labels/SPLIT/*.png and classes.json (or images and masks)
  ade20k      images/training/ADE_*.jpg and annotations/training/ADE_*.png
  voc         JPEGImages/*.jpg, SegmentationClass/*.png and ImageSets/Segmentation/*.txt
  camvid      701_StillsRaw_full/*.png and LabeledApproved_full/*_L.png, or train/*.png and trainannot/*.png
  kitti       training/image_2/*.png and training/semantic/*.png
  bdd100k     images/10k/SPLIT/*.jpg and labels/sem_seg/masks/SPLIT/*.png
  coco-stuff  images/train2017/*.jpg and annotations/train2017/*.png (or stuffthingmaps/train2017)
  gta5        images/*.png and labels/*.png
  idd         leftImg8bit/SPLIT/*/*_leftImg8bit.png and gtFine/SPLIT/*/*_gtFine_labellevel3Ids.png"""
