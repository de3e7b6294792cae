"""Class tables of published data sets, each with the file of its publisher that it was taken from.

Example:
    >>> from crn_tf.data.published_tables import PUBLISHED
    >>> voc = PUBLISHED["voc"]
    >>> voc.table.names[15], voc.table.palette[15], voc.table.void_ids
    ('person', (192, 128, 128), (255,))
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crn_tf.data.class_lists import label_color
from crn_tf.data.class_tables import CITYSCAPES, ClassTable, read_class_table

_FOLDER = Path(__file__).with_name("tables")
CityscapesIds = Literal["labelids", "trainids"]
"""Which ids stand for Cityscapes' classes: its own, or 0 .. 18 in the order of the names."""


@dataclass(frozen=True)
class PublishedTable:
    """A data set's classes.

    Attributes:
        name: What people call the data set.
        title: The same, and which of its ways to write classes this is.
        table: The classes.
        written: What the publisher's layout files hold. Where that is only ids, the table's colours are for pictures of
            layouts: files of colours may have others.
        source: The publisher's file that the table was taken from.
        checked: Against what else it was checked.
        ids: Which of Cityscapes' ids the files hold, where classes are Cityscapes' and all the files hold the same.
    """

    name: str
    title: str
    table: ClassTable
    written: tuple[Literal["ids", "colours"], ...]
    source: str
    checked: str
    ids: CityscapesIds | None = None


def _read(name: str, void_ids: tuple[int, ...]) -> ClassTable:
    """A table that comes with the package. Void is black."""
    table = read_class_table(_FOLDER / f"{name}.txt")
    return dataclasses.replace(table, void_ids=void_ids, void_colors=((0, 0, 0),))


_VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_VOC = ClassTable(
    names=_VOC_NAMES,
    palette=tuple(map(label_color, range(len(_VOC_NAMES)))),
    ids=tuple(range(len(_VOC_NAMES))),
    void_ids=(255,),
    void_colors=(label_color(255),),
)
_TRAIN_IDS = dataclasses.replace(CITYSCAPES, ids=tuple(range(len(CITYSCAPES.names))), void_ids=(255,))
_CITYSCAPES_LABELS = "mcordts/cityscapesScripts: cityscapesscripts/helpers/labels.py"

PUBLISHED: dict[str, PublishedTable] = {
    "cityscapes": PublishedTable(
        name="Cityscapes",
        title="Cityscapes, labelIds",
        table=CITYSCAPES,
        written=("ids", "colours"),
        source=_CITYSCAPES_LABELS,
        checked="the package cityscapesscripts 2.3.0; MMSegmentation 1.2.2",
    ),
    "cityscapes-trainids": PublishedTable(
        name="Cityscapes",
        title="Cityscapes, trainIds",
        table=_TRAIN_IDS,
        written=("ids",),
        source=_CITYSCAPES_LABELS,
        checked="the package cityscapesscripts 2.3.0; MMSegmentation 1.2.2",
        ids="trainids",
    ),
    "gta5": PublishedTable(
        name="GTA5",
        title="GTA5 (Playing for Data), Cityscapes' labelIds in its colours",
        table=CITYSCAPES,
        written=("ids", "colours"),
        source="download.visinf.tu-darmstadt.de/data/from_games: code/read_mapping.zip (readImage.m)",
        checked="the conversions to trainIds of DAFormer and SELMA",
        ids="labelids",
    ),
    "kitti": PublishedTable(
        name="KITTI",
        title="KITTI semantics, Cityscapes' labelIds",
        table=CITYSCAPES,
        written=("ids", "colours"),
        source="www.cvlibs.net/datasets/kitti/eval_semseg.php (the format is Cityscapes')",
        checked="Cityscapes' table",
        ids="labelids",
    ),
    "bdd100k": PublishedTable(
        name="BDD100K",
        title="BDD100K semantic segmentation, Cityscapes' trainIds",
        table=_TRAIN_IDS,
        written=("ids",),
        source="bdd100k/bdd100k: bdd100k/label/label.py (trainId)",
        checked="doc.bdd100k.com/format.html",
        ids="trainids",
    ),
    "idd": PublishedTable(
        name="IDD",
        title="IDD, level3Ids",
        table=_read("idd_level3", void_ids=(255,)),
        written=("ids",),
        source="AutoNUE/public-code: helpers/anue_labels.py (level3Id)",
        checked="its version of 2018; the same repository's evaluation/evaluate_mIoU.py",
    ),
    "voc": PublishedTable(
        name="Pascal VOC",
        title="Pascal VOC",
        table=_VOC,
        written=("ids", "colours"),
        source="VOCdevkit: VOCcode/VOCinit.m (names), VOCcode/VOClabelcolormap.m (the rule of the colours)",
        checked="MMSegmentation 1.2.2",
    ),
    "camvid11": PublishedTable(
        name="SegNet's CamVid",
        title="CamVid, 11 classes as SegNet orders them",
        table=_read("camvid_11", void_ids=(11,)),
        written=("ids",),
        source="alexgkendall/SegNet-Tutorial: Scripts/test_segmentation_camvid.py",
        checked="names and colours of CamVid's label_colors.txt, but for the pavement's, which is SegNet's own",
    ),
    "camvid32": PublishedTable(
        name="CamVid",
        title="CamVid, 32 colours as published",
        table=_read("camvid_32", void_ids=(30,)),
        written=("colours",),
        source="mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid: data/label_colors.txt",
        checked="Datumaro's table; the listing of the same laboratory's CamSeq01",
    ),
    "ade20k": PublishedTable(
        name="ADE20K",
        title="ADE20K, 150 classes of SceneParse150",
        table=_read("ade20k", void_ids=(0,)),
        written=("ids",),
        source="CSAILVision/sceneparsing: objectInfo150.txt",
        checked="MMSegmentation 1.2.2; the colours also GluonCV's",
    ),
    "coco-stuff": PublishedTable(
        name="COCO-Stuff",
        title="COCO-Stuff, 182 ids of stuffthingmaps",
        table=_read("coco_stuff", void_ids=(255,)),
        written=("ids",),
        source="nightrome/cocostuff: labels.txt, README.md (ids in stuffthingmaps)",
        checked="MMSegmentation 1.2.2, which leaves out the 11 that are never annotated",
    ),
    "nyuv2-40": PublishedTable(
        name="NYUv2",
        title="NYUv2, 40 classes",
        table=_read("nyuv2_40", void_ids=(0,)),
        written=("ids",),
        source="shelhamer/fcn.berkeleyvision.org: data/nyud/classes.txt (Gupta, Arbelaez, Malik 2013)",
        checked="ScanNet's BenchmarkScripts/util.py",
    ),
}
