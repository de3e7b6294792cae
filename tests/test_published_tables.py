"""Tables of published data sets: what is known of them besides, and what they have to have to be tables at all."""

import json
import string

import pytest

from crn_tf.data.class_tables import CITYSCAPES, MAX_NAMES, read_class_table
from crn_tf.data.published_tables import PUBLISHED

COUNTS = {
    "cityscapes": 19,
    "cityscapes-trainids": 19,
    "gta5": 19,
    "kitti": 19,
    "bdd100k": 19,
    "idd": 26,
    "voc": 21,
    "camvid11": 11,
    "camvid32": 31,
    "ade20k": 150,
    "coco-stuff": 182,
    "nyuv2-40": 40,
}
KNOWN = {  # data set: (id, name, colour, or None where the publisher has none)
    "cityscapes": [(7, "road", (128, 64, 128)), (26, "car", (0, 0, 142)), (33, "bicycle", (119, 11, 32))],
    "cityscapes-trainids": [(0, "road", (128, 64, 128)), (10, "sky", (70, 130, 180)), (18, "bicycle", (119, 11, 32))],
    "bdd100k": [(0, "road", (128, 64, 128)), (13, "car", (0, 0, 142))],
    "idd": [(0, "road", None), (8, "autorickshaw", (255, 204, 54)), (18, "traffic sign", None), (25, "sky", None)],
    "voc": [(0, "background", (0, 0, 0)), (1, "aeroplane", (128, 0, 0)), (15, "person", (192, 128, 128))],
    "camvid11": [(0, "Sky", (128, 128, 128)), (3, "Road", (128, 64, 128)), (10, "Bicyclist", (0, 128, 192))],
    "camvid32": [(0, "Animal", (64, 128, 64)), (19, "Sidewalk", (0, 0, 192)), (31, "Wall", (64, 192, 0))],
    "ade20k": [
        (1, "wall", (120, 120, 120)),
        (3, "sky", (6, 230, 230)),
        (13, "person", (150, 5, 61)),
        (150, "flag", None),
    ],
    "coco-stuff": [(0, "person", None), (15, "bird", None), (156, "sky-other", None), (181, "wood", None)],
    "nyuv2-40": [(1, "wall", None), (4, "bed", None), (22, "ceiling", None), (40, "otherprop", None)],
}


def published(key):
    return PUBLISHED[key].table


@pytest.mark.parametrize("key", PUBLISHED)
def test_a_published_table_is_a_table_and_names_its_source(key):
    entry, table = PUBLISHED[key], published(key)
    assert len(table.names) == COUNTS[key] == len(table.palette) == len(table.ids) <= MAX_NAMES
    assert len(set(table.names)) == len(set(table.ids)) == len(table.names)
    assert all(name == name.strip() and name for name in table.names)
    assert not set(table.ids) & set(table.void_ids or ())
    assert type(table).from_json(json.loads(json.dumps(table.to_json()))) == table
    assert entry.title and entry.source and entry.checked
    assert entry.written in (("ids",), ("colours",), ("ids", "colours"))
    if "colours" in entry.written:
        assert not table.shared_colors


def test_every_data_set_is_counted():
    assert COUNTS.keys() == PUBLISHED.keys() and KNOWN.keys() == PUBLISHED.keys() - {"gta5", "kitti"}


@pytest.mark.parametrize(("key", "known"), [(key, known) for key, values in KNOWN.items() for known in values])
def test_what_is_known_of_a_data_set_is_in_its_table(key, known):
    i, name, color = known
    table = published(key)
    number = table.class_of_id[i]
    assert table.names[number] == name and color in (None, table.palette[number])


def test_cityscapes_relatives_have_its_classes():
    for key in ("gta5", "kitti"):
        assert published(key) is CITYSCAPES
    for key in ("cityscapes-trainids", "bdd100k"):
        assert (published(key).names, published(key).palette) == (CITYSCAPES.names, CITYSCAPES.palette)
        assert published(key).ids == tuple(range(19)) and published(key).void_ids == (255,)
    same = set(published("idd").names) & set(CITYSCAPES.names)
    assert set(CITYSCAPES.names) - same == {"terrain", "train"}
    for name in same:
        colors = (table.palette[table.names.index(name)] for table in (published("idd"), CITYSCAPES))
        assert len(set(colors)) == 1, name


def test_pascal_vocs_colours_follow_its_rule():
    """Written here another way than in the package: as the digits of the id in base 8, from the last."""
    table = published("voc")
    for i, color in [*zip(table.ids, table.palette, strict=True), (255, table.void_colors[0])]:
        digits = [int(digit) for digit in reversed(f"{i:o}")]
        weights = [128, 64, 32]
        for channel, bit in enumerate((1, 2, 4)):
            assert color[channel] == sum(w for w, digit in zip(weights, digits, strict=False) if digit & bit)
    assert table.void_colors == ((224, 224, 192),) and not table.shared_colors


def test_camvids_eleven_classes_have_colours_of_its_thirty_two():
    eleven, all_of_them = published("camvid11"), published("camvid32")
    assert all_of_them.void_ids == (30,) and all_of_them.void_colors == ((0, 0, 0),)
    other = {name for name, c in zip(eleven.names, eleven.palette, strict=True) if c not in all_of_them.palette}
    assert other == {"Pavement"}  # SegNet draws it in (60, 40, 222), CamVid in (0, 0, 192)
    for name in ("Sky", "Building", "Road", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"):
        colors = (table.palette[table.names.index(name)] for table in (eleven, all_of_them))
        assert len(set(colors)) == 1, name


def test_ade20k_has_one_colour_twice_and_so_is_read_by_ids_only():
    table = published("ade20k")
    shared = [n for n, color in zip(table.names, table.palette, strict=True) if color in table.shared_colors]
    assert shared == ["road", "skyscraper"] and PUBLISHED["ade20k"].written == ("ids",)


def test_coco_stuffs_stuff_is_in_the_order_of_the_alphabet():
    things, stuff = published("coco-stuff").names[:91], published("coco-stuff").names[91:]
    assert (things[0], things[-1]) == ("person", "hair brush")
    assert list(stuff) == sorted(stuff) and set("".join(stuff)) <= set(string.ascii_lowercase + "-")


def test_camvid_as_it_lies_here_agrees(shared):
    ours, theirs = published("camvid11"), read_class_table(shared / "data/camvid/classes.json")
    assert (ours.palette, ours.ids, ours.void_ids) == (theirs.palette, theirs.ids, theirs.void_ids)
    assert [n.lower() for n in ours.names] == [n.replace(" ", "") for n in theirs.names]
