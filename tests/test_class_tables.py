"""Class tables: the files that people write them in, and what a table knows of its colours and ids."""

import codecs
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crn_tf.data.class_lists import label_color
from crn_tf.data.class_tables import (
    CITYSCAPES,
    CLASS_FILES,
    ClassTable,
    find_class_file,
    find_class_table,
    read_class_table,
    write_class_table,
)
from crn_tf.data.datasets import open_data_set
from crn_tf.errors import UserError

SKY, ROAD, CAR, BLACK = (70, 130, 180), (128, 64, 128), (0, 0, 142), (0, 0, 0)
NAMES = ["sky", "road", "car"]
OWN = {"names": NAMES, "palette": [SKY, ROAD, CAR], "void": 255}
TABLE = ClassTable(("sky", "road", "car"), (SKY, ROAD, CAR), (0, 1, 2), (255,), (BLACK,))


def read(tmp_path, content, name="classes.json") -> ClassTable:
    """The table of a file with this content: bytes, a text, or values for JSON."""
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_class_table(tmp_path / name)


def refusal(tmp_path, content, name="classes.json") -> str:
    """What is said about such a file, which must be one line that begins with or names the file."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content, name)
    message = str(caught.value)
    assert str(tmp_path / name) in message and "\n" not in message and len(message) < 400
    return message


# --- encodings

ENCODINGS = {
    "utf-8": ("utf-8", b""),
    "utf-8 with a mark": ("utf-8", codecs.BOM_UTF8),
    "utf-16": ("utf-16-le", codecs.BOM_UTF16_LE),
    "utf-16 of the other order": ("utf-16-be", codecs.BOM_UTF16_BE),
    "utf-16 without a mark": ("utf-16-le", b""),
    "utf-16 of the other order without a mark": ("utf-16-be", b""),
    "utf-32": ("utf-32-le", codecs.BOM_UTF32_LE),
}


@pytest.mark.parametrize("name", ["classes.json", "classes.txt"])
@pytest.mark.parametrize(("encoding", "mark"), ENCODINGS.values(), ids=ENCODINGS)
def test_a_list_of_classes_is_read_in_the_encodings_that_editors_write(tmp_path, encoding, mark, name):
    names = ["Straße", "空", "tree"]
    if name == "classes.json":
        text = json.dumps(OWN | {"names": names}, indent=1, ensure_ascii=False)
    else:
        text = "Straße 70 130 180\n空 128 64 128\ntree 0 0 142"
    table = read(tmp_path, mark + text.replace("\n", "\r\n").encode(encoding), name)
    assert table.names == tuple(names) and table.palette == (SKY, ROAD, CAR)


def test_a_data_set_with_a_classes_json_from_a_windows_editor_is_read(folder_data):
    content = (folder_data / "classes.json").read_text()
    plain = open_data_set(folder_data, None, "train", 32)
    expected = [plain.load_layout(i, (40, 56), "resize") for i in range(len(plain))]
    (folder_data / "classes.json").write_bytes(codecs.BOM_UTF8 + content.replace(",", ",\r\n").encode())
    data = open_data_set(folder_data, None, "train", 32)
    assert data.classes == plain.classes
    np.testing.assert_array_equal([data.load_layout(i, (40, 56), "resize") for i in range(len(data))], expected)


@pytest.mark.parametrize("content", ['{"names": ["Straße"]}'.encode("latin-1"), b"\xff\xfe{", b"\xff\xfe\x00\xd8"])
def test_another_encoding_is_explained(tmp_path, content):
    assert ": save it as UTF-8" in refusal(tmp_path, content)


# --- classes.json


def test_colours_may_be_hexadecimal(tmp_path):
    assert read(tmp_path, OWN | {"palette": ["#4682b4", "804080", "#00008E"]}) == TABLE


@pytest.mark.parametrize("color", ["#4682b", "#4682b4ff", "blue", "", "#46 82b4", "-4682b4"])
def test_a_text_that_is_no_colour_is_refused(tmp_path, color):
    message = refusal(tmp_path, OWN | {"palette": [SKY, color, CAR]})
    assert f'three whole numbers 0..255, or a text such as "#4682b4"; found {color!r}' in message


@pytest.mark.parametrize(
    ("void", "void_ids", "names", "void_colors"),
    [
        (9, (9,), NAMES, (BLACK,)),
        ([9, 255, 9], (9, 255), NAMES, (BLACK,)),
        ([255, 1], (255, 1), ["sky", "car"], (ROAD,)),
        ([2, 1], (2, 1), ["sky"], (ROAD, CAR)),
        ("road", (1,), ["sky", "car"], (ROAD,)),
        (["car", 7], (2, 7), ["sky", "road"], (CAR,)),
        ("every other id", None, NAMES, (BLACK,)),
        (None, (), NAMES, ()),
        ([], (), NAMES, ()),
    ],
)
def test_void_is_an_id_or_several_or_a_name_or_nothing(tmp_path, void, void_ids, names, void_colors):
    table = read(tmp_path, OWN | {"void": void})
    assert (table.void_ids, table.names, table.void_colors) == (void_ids, tuple(names), void_colors)
    for i in void_ids or ():
        assert table.class_of_id[i] == table.void
    assert table.class_of_id[300] == (table.void if void_ids is None else -1)


def test_without_void_names_that_mean_it_are_void_and_else_nothing_is(tmp_path):
    values = {"names": NAMES, "palette": [SKY, ROAD, CAR]}
    assert read(tmp_path, values).void_ids == () == read(tmp_path, values).void_colors
    for name in ("void", "Unlabelled", "unlabeled", "__ignore__"):
        table = read(tmp_path, {"names": [name, *NAMES], "palette": [BLACK, SKY, ROAD, CAR]})
        assert (table.names, table.ids, table.void_ids) == (tuple(NAMES), (1, 2, 3), (0,))
    named = {"names": ["void", *NAMES], "palette": [BLACK, SKY, ROAD, CAR], "void": None}
    assert read(tmp_path, named).names == ("void", *NAMES)  # null says that nothing is


@pytest.mark.parametrize("void", ["9", [9, "tree"], [[9]], 65536, [True], {"id": 9}, 1.0])
def test_another_void_is_refused(tmp_path, void):
    assert "; expected the id of void pixels in the layout files, a list of" in refusal(tmp_path, OWN | {"void": void})


def test_ids_may_be_ones_own(tmp_path):
    table = read(tmp_path, OWN | {"ids": [7, 0, 300], "void": [0, 8]})
    assert (table.names, table.ids, table.void_ids) == (("sky", "car"), (7, 300), (0, 8))
    assert table.class_of_id[[7, 300, 0, 8, 1]].tolist() == [0, 1, 2, 2, -1]


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([7, 8], "has 2 ids for 3 names; expected a list with one for each"),
        (7, "has ids 7 for 3 names; expected a list"),
        ([7, 8, 7], "gives the id 7 to 'sky' and 'car'; expected an id of its own for each name"),
        ([7, 8, 65536], "has the id 65536; expected whole numbers 0..65535"),
        ([7, 8, -1], "has the id -1; expected"),
        ([7, 8, True], "has the id True; expected"),
        ([7, 8, "9"], "has the id '9'; expected"),
    ],
)
def test_bad_ids_are_explained(tmp_path, ids, complaint):
    assert complaint in refusal(tmp_path, OWN | {"ids": ids})


@pytest.mark.parametrize("names", ["classes", "labels", "categories"])
@pytest.mark.parametrize("palette", ["colors", "colours"])
@pytest.mark.parametrize("void", ["ignore", "ignore_index", "void_ids"])
def test_other_spellings_of_the_keys_are_known(tmp_path, names, palette, void):
    assert read(tmp_path, {names: NAMES, palette: OWN["palette"], void: 255}) == TABLE


def test_two_spellings_at_once_are_refused(tmp_path):
    assert "has both 'names' and 'classes'; expected one" in refusal(tmp_path, OWN | {"classes": NAMES})


def test_classes_may_be_objects(tmp_path):
    colors = zip(NAMES, ["#4682b4", ROAD, CAR], strict=True)
    objects = [{"name": name, "color": color, "note": "x"} for name, color in colors]
    assert read(tmp_path, {"classes": objects, "void": 255}) == TABLE
    with_ids = [entry | {"id": i} for entry, i in zip(objects, (3, 0, 9), strict=True)]
    assert read(tmp_path, {"classes": with_ids, "void": 255}).ids == (3, 0, 9)
    with_ids[1]["void"] = True
    table = read(tmp_path, {"classes": with_ids})
    assert (table.names, table.void_ids, table.void_colors) == (("sky", "car"), (0,), (ROAD,))
    del with_ids[0]["id"]
    assert "has the id None; expected whole numbers" in refusal(tmp_path, {"classes": with_ids})
    del with_ids[2]["color"]
    assert "has no 'color'; expected names, palette and void" in refusal(tmp_path, {"classes": with_ids})


def test_void_is_said_once(tmp_path):
    entries = [{"name": name, "color": CAR, "void": name == "sky"} for name in NAMES]
    message = refusal(tmp_path, {"classes": entries, "void": 255})
    assert "says what is void beside its classes and in them; expected one of both" in message


def test_the_classes_of_an_exported_model_are_told_from_a_data_sets(tmp_path):
    served = {"height": 8, "width": 8, "images_per_layout": 1, "classes": [{"id": 0, "name": "a", "color": [1, 2, 3]}]}
    assert "describes an exported model's classes; expected the data set's own" in refusal(tmp_path, served)


@pytest.mark.parametrize("names", ["sky", {"0": "sky"}, 3, None])
def test_names_are_a_list(tmp_path, names):
    assert f"names must be 1 to 254 texts, found {names!r}" in refusal(tmp_path, OWN | {"names": names})


# --- colours that two share


@pytest.mark.parametrize(
    ("values", "shared", "told"),
    [
        (OWN | {"palette": [SKY, ROAD, SKY]}, SKY, "'sky' and 'car' have the same colour, #4682b4"),
        (OWN | {"palette": [SKY, ROAD, SKY], "void": 2}, SKY, "'sky' and 'void' have the same colour"),
        (OWN | {"palette": [BLACK, ROAD, BLACK], "void": 2}, BLACK, "'sky' and 'void' have the same colour, #000000"),
    ],
)
def test_names_of_one_colour_are_told_apart_by_ids_only(tmp_path, values, shared, told):
    table = read(tmp_path, values)
    assert table.shared_colors == (shared,)
    assert table.class_of_id[0] != table.class_of_id[2]
    number = shared[0] << 16 | shared[1] << 8 | shared[2]
    assert table.class_of_color[number] == 255 and shared not in table.class_colors
    with pytest.raises(UserError, match=told + ".*; expected layouts of ids"):
        table.require_own_colors()
    assert ClassTable.from_json(json.loads(json.dumps(table.to_json()))) == table


@pytest.mark.parametrize("values", [OWN, OWN | {"palette": [SKY, ROAD, BLACK]}, OWN | {"void": [1, 2]}])
def test_other_tables_share_none(tmp_path, values):
    table = read(tmp_path, values)
    assert not table.shared_colors
    table.require_own_colors()
    assert [table.class_of_color[r << 16 | g << 8 | b] for r, g, b in table.palette] == list(range(len(table.names)))


def test_what_stands_for_void_in_files_is_no_class(tmp_path):
    assert CITYSCAPES.file_ids[-1] == 0
    drawn = CITYSCAPES.for_drawing()
    assert drawn[0] == {"id": 0, "name": "road", "color": (128, 64, 128), "png_id": 7} and len(drawn) == 20
    assert drawn[19] == {"id": 19, "name": "void", "color": (0, 0, 0), "png_id": 0}
    black = {"names": ["a"], "palette": [[0, 0, 0]], "void": 5}
    assert read(tmp_path, black).for_drawing()[1] == {"id": 1, "name": "void", "color": (255, 0, 255), "png_id": 5}
    assert read(tmp_path, OWN | {"void": None}).file_ids == (0, 1, 2, 255)
    assert read(tmp_path, OWN | {"void": "every other id", "ids": [0, 255, 1]}).file_ids == (0, 255, 1, 2)
    assert read(tmp_path, OWN | {"void": [9, 4]}).file_ids[-1] == 9


# --- texts

TEXTS = {
    "name r g b": "sky 70 130 180\nroad 128 64 128\ncar 0 0 142\n",
    "r g b name": "70 130 180\tsky\n128 64 128\troad\n0 0 142\t\tcar",
    "commas, with headings": "name,r,g,b\nsky,70,130,180\nroad, 128, 64, 128\ncar,0,0,142\n",
    "headings first": "r,g,b,name\n70 130 180 sky\n128 64 128 road\n0 0 142 car",
    "quoted": '"sky",70,130,180\n"road",128,64,128\n"car",0,0,142',
    "colons": "# label:color_rgb:parts:actions\nsky:70,130,180::\nroad:128,64,128::\ncar:0,0,142::\n",
    "hexadecimal": "sky #4682b4\nroad #804080\ncar #00008e\n",
    "hexadecimal first": "#4682b4 sky\n#804080 road\n#00008e car\n",
    "id r g b name": "0 70 130 180 sky\n1 128 64 128 road\n2 0 0 142 car\n",
    "id name r g b": "0: sky 70 130 180\n1: road 128 64 128\n2: car 0 0 142\n",
    "comments and empty lines": "\n# mine\nsky 70 130 180\n\n  road 128 64 128\r\n\r\ncar 0 0 142\r\n",
    "carriage returns": "sky 70 130 180\rroad 128 64 128\rcar 0 0 142",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_has_one_class_in_each_line_and_its_numbers_where_they_are(tmp_path, text):
    table = read(tmp_path, text, "classes.txt")
    assert table == ClassTable(("sky", "road", "car"), (SKY, ROAD, CAR), (0, 1, 2), (), ())


def test_names_in_a_text_keep_their_blanks_commas_and_numbers(tmp_path):
    names = ("building, edifice", "route 66", "2 wheels", "traffic light: red")
    before = read(tmp_path, "".join(f"{i} 0 0 {name}\n" for i, name in enumerate(names)), "classes.txt")
    assert before.names == names and before.palette[1] == (1, 0, 0)
    after = read(tmp_path, "".join(f"{name} {i} 0 0\n" for i, name in enumerate(names)), "classes.txt")
    assert after.names == names and after.palette[1] == (1, 0, 0)


def test_ids_in_a_text_may_have_gaps(tmp_path):
    table = read(tmp_path, "7 70 130 180 sky\n11 128 64 128 road\n255 0 0 0 void\n", "classes.txt")
    assert table == ClassTable(("sky", "road"), (SKY, ROAD), (7, 11), (255,), (BLACK,))
    table = read(tmp_path, "0: unlabeled\n4: sky\n2: road\n", "classes.txt")
    assert (table.names, table.ids, table.void_ids) == (("sky", "road"), (4, 2), (0,))
    assert table.palette == (label_color(4), label_color(2))


def test_void_is_found_by_its_name_in_a_text(tmp_path):
    table = read(tmp_path, "64 128 64\tAnimal\n0 0 0\t\tVoid\n64 192 0\tWall\n", "label_colors.txt")
    assert table == ClassTable(("Animal", "Wall"), ((64, 128, 64), (64, 192, 0)), (0, 2), (1,), (BLACK,))


def test_names_alone_have_the_colours_of_pascal_voc(tmp_path):
    table = read(tmp_path, "__ignore__\n_background_\naeroplane\nlane 2\n", "classes.txt")  # as LabelMe has them
    assert (table.names, table.ids, table.void_ids) == (("_background_", "aeroplane", "lane 2"), (0, 1, 2), (255,))
    assert table.palette == (BLACK, (128, 0, 0), (0, 128, 0)) and table.void_colors == ((224, 224, 192),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names must be 1 to 254 texts, found 0, one in each line: name r g b"),
        ("# nothing\n", "found 0, one in each line"),
        ("sky 70 130 180\nroad 128 64\n", "line 2 is 'road 128 64'; expected name r g b, or r g b name"),
        ("70 130 180 sky\nroad\n", "line 2 is 'road'; expected"),
        ("sky 70 130 180\n128 64 128 road\n", "; expected name r g b, or r g b name"),
        ("sky 2\nroad 0\n", "line 1 is 'sky 2'; expected"),  # ids, or parts of the names?
        ("sky 70 130 180 255\nroad 128 64 128 255\n", "; expected name r g b"),
        ("70 130 180 255 sky\n128 64 128 255 road\n", "has r g b and opacity before each name"),
        ("70 130 180\n128 64 128\n", "line 1 has no name; expected name r g b"),
        ("sky 70 130 256\n", "every palette colour must be three whole numbers 0..255"),
        ("1 sky\n1 road\n", "gives the id 1 to 'sky' and 'road'"),
        ("99999 sky\n", "has the id 99999; expected whole numbers 0..65535"),
        ("b,g,r,name\n1,2,3,sky\n", "has the columns 'b,g,r,name'; expected red, green and blue in this order"),
        ("void 0 0 0\n", "the only name, 'void', is void; expected at least one class besides"),
        ("void 0 0 0\nignore 1 1 1\n", "all 2 names are void; expected at least one class besides"),
        ("sky\x07 70 130 180\n", r"the name 'sky\x07' has a line break or another control character"),
        ("sky\u2028error 70 130 180\n", "has a line break or another control character"),
        ("\n".join(map(str, map("class{}".format, range(255)))), "names must be 1 to 254 texts, found 255"),
    ],
)
def test_a_text_that_cannot_be_understood_is_explained(tmp_path, text, complaint):
    assert complaint in refusal(tmp_path, text, "classes.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "x" + "," * 900_000 + "x"),
        ("classes.txt", "a," * 500_000),
        ("classes.txt", "1 " * 500_000),
        ("classes.txt", "#aabbcc" * 140_000),
        ("classes.txt", "a\n" * 500_000),
        ("classes.txt", ("a" + "," * 290 + "a 1 1\n") * 254),
        ("classes.txt", ("1 " * 150 + "\n") * 254),
        ("classes.txt", "\n" * 1_000_000),
        ("classes.json", '{"names": [' + '"a",' * 100_000 + '"a"], "palette": [], "void": []}'),
        ("classes.json", '{"names": ["a"], "palette": [[0,0,1]], "void": [' + '"a",' * 200_000 + "[]]}"),
        ("classes.json", '{"classes": [' + "{}," * 200_000 + "{}]}"),
    ],
    ids=[
        "commas",
        "columns",
        "numbers",
        "colours",
        "lines",
        "full lines",
        "many numbers",
        "empty lines",
        "names",
        "void",
        "objects",
    ],
)
def test_lists_that_mean_harm_are_refused_at_once(tmp_path, name, content):
    begin = time.process_time()
    refusal(tmp_path, content, name)
    assert time.process_time() - begin < 5


pieces = st.sampled_from(['{"', '"names"', '"void"', '"palette"', ":", "[", "]", "}", ",", '"', "\n", "#4682b4", "sky"])
numbers = st.sampled_from(["0", "7", "255", "256", "-1", "1e9", "null", "9" * 30, "\ufeff", "\x00", "\u2028", "\t"])
jumbles = st.lists(pieces | numbers | st.sampled_from([" ", "\n"]), max_size=40).map("".join)


@pytest.mark.parametrize("name", ["classes.json", "classes.txt"])
@given(content=st.binary(max_size=200) | jumbles.map(str.encode) | jumbles.map(lambda text: text.encode("utf-16")))
def test_whatever_a_file_holds_it_is_a_table_or_refused_in_one_line(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("lists") / name
    path.write_bytes(content)
    try:
        table = read_class_table(path)
    except UserError as error:
        assert str(path) in str(error) and str(error).isprintable()
    else:
        assert ClassTable.from_json(json.loads(json.dumps(table.to_json()))) == table
        assert len(set(table.ids)) == len(table.ids) and not set(table.ids) & set(table.void_ids or ())


# --- in folders


def test_a_folders_list_of_classes_is_found(tmp_path):
    assert find_class_file(tmp_path) is None and find_class_table(tmp_path) is None
    for name in reversed(CLASS_FILES):  # the first of them wins
        values = "{" + f'"names": ["{name}"], "palette": ["#010203"]' + "}"
        (tmp_path / name).write_text(values if name == "classes.json" else f"1 2 3 {name}\n")
        assert find_class_file(tmp_path) == tmp_path / name
        assert find_class_table(tmp_path) == ClassTable((name,), ((1, 2, 3),), (0,), (), ())


def test_a_list_that_cannot_be_read_is_not_passed_over(tmp_path):
    (tmp_path / "classes.json").symlink_to("nowhere")
    (tmp_path / "classes.txt").write_text("sky\n")
    with pytest.raises(UserError, match=r"no .*/classes\.json"):
        find_class_table(tmp_path)


# --- written and read again

colors = st.tuples(*[st.integers(0, 255)] * 3)
words = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
some_ids = st.integers(0, 65535)


@st.composite
def tables(draw) -> ClassTable:
    """Any table that a data set may have: shared colours, no void, every other id void."""
    names = draw(st.lists(words, min_size=1, max_size=20))
    ids = draw(st.lists(some_ids, min_size=len(names), max_size=len(names), unique=True))
    palette = draw(st.lists(colors, min_size=len(names), max_size=len(names)))
    others = st.lists(some_ids.filter(lambda i: i not in ids), max_size=5, unique=True).map(tuple)
    void_colors = tuple(draw(st.lists(colors, max_size=3)))
    return ClassTable(tuple(names), tuple(palette), tuple(ids), draw(st.none() | others), void_colors)


@given(tables())
def test_a_table_that_is_written_is_the_same_when_read(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "classes.json"
    write_class_table(path, table)
    assert read_class_table(path) == table
    assert ClassTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_a_written_table_has_a_line_for_each_class(tmp_path):
    write_class_table(tmp_path / "classes.json", TABLE)
    lines = (tmp_path / "classes.json").read_text().splitlines()
    assert '  {"id": 1, "name": "road", "color": "#804080"},' in lines and ' "void": [255],' in lines
    write_class_table(tmp_path / "classes.json", CITYSCAPES)
    assert read_class_table(tmp_path / "classes.json") == CITYSCAPES
