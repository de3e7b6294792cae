"""PNG layouts read inside a graph: as LayoutReader reads files, whatever kind of PNG, whatever size."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.images import resize
from crn_tf.data.label_looks import VOC_COLORS
from crn_tf.data.layouts import LayoutReader
from crn_tf.serving.layouts import MAX_PIXELS, PngLayoutDecoder, fit_nearest

OWN = ClassTable(("a", "b", "c"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)), ids=(0, 2, 3), void_ids=(1,))
SIZE = (16, 32)
RANDOM = np.random.default_rng(0)


def png(pixels, mode=None, palette=None, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    if palette is not None:
        image.putpalette(list(np.asarray(palette, np.uint8).ravel()))
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, "PNG", **options)
    return file.getvalue()


def ids(choices, size=(19, 45), kind=np.uint8):
    return np.array(choices, kind)[RANDOM.integers(0, len(choices), size)]


def colors(table, size=(19, 45), others=((9, 9, 9),)):
    return np.array([*table.palette, *table.void_colors, *others], np.uint8)[
        RANDOM.integers(0, len(table.palette) + len(table.void_colors) + len(others), size)
    ]


@pytest.fixture(scope="module")
def decode():
    """Decodes a batch of PNGs with a class table, in a graph: -> layouts, problems."""
    functions = {}

    def run(table: ClassTable, pngs: list[bytes]) -> tuple[np.ndarray, list[str]]:
        if table.names not in functions:
            decoder = PngLayoutDecoder(table, SIZE)
            functions[table.names] = tf.function(decoder.decode, input_signature=[tf.TensorSpec([None], tf.string)])
        layouts, problems = functions[table.names](tf.constant(pngs))
        return layouts.numpy(), [problem.decode() for problem in problems.numpy()]

    return run


def raw_png(pixels, depth, kind=0) -> bytes:
    """A PNG with pixels of any number of bits, which Pillow does not write."""
    height, width = pixels.shape
    bits = ["".join(f"{value:0{depth}b}" for value in row) for row in pixels]
    rows = b"".join(b"\0" + int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8)) for row in bits)
    chunks = (chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return header(width if kind == 0 else width // 2, height, depth, kind) + b"".join(chunks)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def header(width, height, depth=8, kind=0) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0))


def opaque_palette_of_16_entries():
    entries = RANDOM.permutation(256)[:16, None].repeat(3, 1)  # no colours of any class
    entries[[2, 5, 7]] = OWN.palette
    return entries


VOC_LIKE = ClassTable(
    ("d", "e", "f", "g"), tuple(map(tuple, VOC_COLORS[[3, 1, 2, 9]].tolist())), ids=(0, 1, 2, 3), void_ids=(255,)
)
PLAIN = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0), *[(0, 0, 255)] * 6)
OTHERS = [(200, 10 * i, 99) for i in range(4)]


def offsets(most):
    return RANDOM.integers(-most, most + 1, (19, 45, 3))


def partly_clear(pixels):
    clear = RANDOM.integers(0, 2, pixels.shape[:2], np.uint8)
    return np.dstack(
        [np.where(clear[..., None], RANDOM.integers(0, 256, pixels.shape, np.uint8), pixels), 255 - 255 * clear]
    )


def exif(orientation, endian):
    tags = Image.Exif()
    tags.endian = endian
    tags[0x010E], tags[0x0112], tags[0x0128] = "a label", orientation, 2
    return tags


KINDS = {
    "grey": lambda: (OWN, png(ids([0, 1, 2, 3]))),
    "labelIds": lambda: (CITYSCAPES, png(ids(np.arange(256)))),
    "16 bits": lambda: (OWN, png(ids([0, 1, 2, 3], kind=np.uint16))),
    "16 bits, of Cityscapes": lambda: (CITYSCAPES, png(ids([0, 7, 8, 33, 300, 65535], kind=np.uint16))),
    "1 bit": lambda: (OWN, png(ids([0, 1]) * 255, "1")),
    "2 bits": lambda: (OWN, raw_png(ids([0, 1, 2, 3]), 2)),
    "4 bits": lambda: (OWN, raw_png(ids([0, 1, 2, 3]), 4)),
    "4 bits, of Cityscapes": lambda: (CITYSCAPES, raw_png(ids(np.arange(16)), 4)),
    "grey with opacity": lambda: (OWN, png(ids([0, 1, 2, 3]), "LA")),
    "colours": lambda: (OWN, png(colors(OWN))),
    "colours of Cityscapes": lambda: (CITYSCAPES, png(colors(CITYSCAPES))),
    "colours with opacity": lambda: (OWN, png(colors(OWN), "RGBA")),
    "palette of the classes": lambda: (OWN, png(ids([2, 5, 7, 1]), palette=opaque_palette_of_16_entries())),
    "palette of the classes, 2 bits": lambda: (OWN, png(ids([0, 1, 2, 3]), palette=(*OWN.palette, (0, 0, 0)))),
    "palette of other colours": lambda: (OWN, png(ids([0, 1, 2, 3]), palette=RANDOM.integers(1, 250, (256, 3)))),
    "palette of equal colours": lambda: (OWN, png(ids([0, 1, 2, 3]), palette=np.full((4, 3), 77))),
    "palette mostly of other colours": lambda: (
        OWN,
        png(ids([0, 0, 2, 2, 2, 3]), palette=((255, 0, 0), (0, 0, 0), (1, 2, 3), (4, 5, 6))),
    ),
    "opaque palette with opacity": lambda: (
        OWN,
        png(ids([0, 2]), palette=(*OWN.palette, (0, 0, 0)), transparency=b"\xff\x00\xff"),
    ),
    "palette with a transparent class": lambda: (OWN, png(ids([0, 1, 2, 9]), palette=PLAIN, transparency=b"\xff\x00")),
    "palette of other colours, one transparent": lambda: (OWN, png(ids([0, 2, 3]), palette=OTHERS, transparency=0)),
    "the palette of labelling tools": lambda: (VOC_LIKE, png(ids([0, 1, 2, 3, 255]), palette=VOC_COLORS)),
    "a part of the palette of labelling tools": lambda: (VOC_LIKE, png(ids([0, 1, 3]), palette=VOC_COLORS[:4])),
    "too little of the palette of labelling tools": lambda: (VOC_LIKE, png(ids([0, 1]), palette=VOC_COLORS[:2])),
    "the palette of labelling tools, ids without a name": lambda: (
        VOC_LIKE,
        png(ids([1, 2, 3, 4]), palette=VOC_COLORS),
    ),
    "palette of near colours": lambda: (OWN, png(ids([0, 1, 2]), palette=((250, 3, 0), (0, 255, 8), (9, 0, 255)))),
    "grey with a transparent value": lambda: (OWN, png(ids([0, 1, 2, 3]), transparency=2)),
    "grey with clear pixels": lambda: (OWN, png(np.dstack([ids([0, 2, 3]), ids([0, 127, 128, 255])]))),
    "grey of 16 bits with clear pixels": lambda: (
        OWN,
        raw_png(np.dstack([ids([0, 2, 3]), ids([0, 32767, 32768], kind=np.uint16)]).reshape(19, -1), 16, kind=4),
    ),
    "colours with clear pixels": lambda: (OWN, png(np.dstack([colors(OWN), ids([0, 127, 128, 255])]))),
    "colours, one of them transparent": lambda: (OWN, png(colors(OWN), transparency=(0, 255, 0))),
    "near colours": lambda: (OWN, png(np.clip(colors(OWN).astype(int) + offsets(8), 0, 255).astype(np.uint8))),
    "near colours of Cityscapes": lambda: (
        CITYSCAPES,
        png(np.clip(colors(CITYSCAPES, others=()).astype(int) + offsets(3), 0, 255).astype(np.uint8)),
    ),
    "far colours": lambda: (OWN, png(np.repeat(np.repeat(colors(OWN, others=((90, 90, 200),)), 9, 0), 9, 1))),
    "grey in RGB": lambda: (OWN, png(ids([0, 1, 2, 3])[..., None].repeat(3, -1))),
    "grey in RGB, of Cityscapes": lambda: (CITYSCAPES, png(ids(np.arange(34))[..., None].repeat(3, -1))),
    "grey in RGB, an id without a name": lambda: (OWN, png(ids([0, 2, 9])[..., None].repeat(3, -1))),
    "grey in RGBA, partly clear": lambda: (OWN, png(partly_clear(ids([0, 2, 3])[..., None].repeat(3, -1)))),
    **{
        f"ids in {channel}": lambda unit=unit: (OWN, png(ids([0, 1, 2, 3])[..., None] * np.array(unit, np.uint8)))
        for channel, unit in {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}.items()
    },
    "red and black": lambda: (OWN, png(np.array([[255, 0, 0], [0, 0, 0]], np.uint8)[ids([0, 1])])),
    "greys that are classes' colours": lambda: (
        CITYSCAPES,
        png(np.array([[70, 70, 70], [153, 153, 153], [0, 0, 0]], np.uint8)[ids([0, 1, 2])]),
    ),
    **{
        f"turned as EXIF {orientation} says{kind}": lambda orientation=orientation, endian=endian, pixels=pixels: (
            OWN,
            png(pixels(), exif=exif(orientation, endian)),
        )
        for orientation in range(1, 9)
        for endian, kind, pixels in (
            ("<", "", lambda: ids([0, 1, 2, 3])),
            (">", ", colours", lambda: colors(OWN)),
        )
    },
    "palette, turned": lambda: (OWN, png(ids([0, 2, 3]), palette=OTHERS, exif=exif(6, "<"))),
    "EXIF that makes no sense": lambda: (OWN, png(ids([0, 2, 3]), exif=b"MM\0*\xff\xff\xff\xff\xff")),
    "EXIF that is cut off": lambda: (OWN, png(ids([0, 2, 3]), exif=exif(6, "<").tobytes()[6:-14])),
    "EXIF with an orientation that is none": lambda: (OWN, png(ids([0, 2, 3]), exif=exif(9, ">"))),
    "with text before the pixels": lambda: (
        OWN,
        png(ids([0, 1, 2]), palette=OWN.palette, pnginfo=text_chunks(), dpi=(72, 72)),
    ),
    "a palette larger than the layout": lambda: (OWN, png(ids([0, 1, 2]), palette=RANDOM.integers(0, 256, (256, 3)))),
    "of the model's size": lambda: (OWN, png(colors(OWN, SIZE))),
    "one pixel": lambda: (OWN, png(ids([3], (1, 1)))),
    "large": lambda: (OWN, png(colors(OWN, (700, 333)))),
}


def text_chunks():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "PLTE IDAT tRNS " * 40)
    return info


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_png_is_read_as_test_py_reads_it(kind, decode, tmp_path):
    table, file = KINDS[kind]()
    (tmp_path / "layout.png").write_bytes(file)
    expected = LayoutReader(table).read(tmp_path / "layout.png", SIZE)
    layouts, problems = decode(table, [file])
    assert problems == [""]
    np.testing.assert_array_equal(layouts[0], expected)
    assert len(np.unique(expected)) > 1 or kind in ("one pixel", "grey in RGB, an id without a name")


def test_the_releases_and_cityscapes_own_layouts(decode, shared):
    release = sorted((shared / "data/release").glob("*/Label256Full/*.png"))
    official = sorted((shared / "data/cityscapes_sample/gtFine").glob("*/*/*_labelIds.png"))[:1]
    files = [*release, *official]
    assert len(files) >= 3
    layouts, problems = decode(CITYSCAPES, [file.read_bytes() for file in files])
    assert set(problems) == {""}
    for layout, file in zip(layouts, files, strict=True):
        np.testing.assert_array_equal(layout, LayoutReader(CITYSCAPES).read(file, SIZE), err_msg=str(file))


def test_ids_without_a_meaning_become_void(decode):
    """Where test.py stops and says so, a server goes on."""
    layouts, problems = decode(OWN, [png(np.full((4, 4), 200, np.uint8)), png(np.full((4, 4), 5000, np.uint16))])
    assert problems == ["", ""] and (layouts == OWN.void).all()


def test_soft_edges_are_void_to_a_server(decode, tmp_path):
    """It sees no neighbours: the picture says void where test.py mends."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16], picture[:, 16], picture[:, 17:] = (255, 0, 0), (128, 127, 0), (0, 255, 0)
    (tmp_path / "a.png").write_bytes(png(picture))
    (layout,), problems = decode(OWN, [png(picture)])
    assert problems == [""] and (layout[:, 16] == OWN.void).all()
    mended = LayoutReader(OWN).read(tmp_path / "a.png")
    np.testing.assert_array_equal(np.delete(layout, 16, 1), np.delete(mended, 16, 1))
    assert (mended[:, 16] < OWN.void).all()


GOOD = png(ids([0, 2, 3]))
PALETTE = png(ids([0, 1, 2]), palette=RANDOM.integers(0, 256, (256, 3)))
DARK = b"".join(b"\0" + struct.pack(">135H", *[n % 3 for n in range(135)]) for _ in range(19))


def flipped(file: bytes, place: int) -> bytes:
    return file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "is empty; expected a PNG of class ids (grey) or of palette colours"),
        (b"hello", "is not a PNG; expected"),
        (b"\xff\xd8\xff\xe0" + b"x" * 99, "is a JPEG, which blurs class ids and colours"),
        (b"iVBORw0KGgoAAAANSUhEUgAA" * 9, "is base64 text; expected bytes"),
        (b"data:image/png;base64,iVBORw0KGgo", "is a data: URI; expected only what follows its comma, as base64"),
        (GOOD[:20], "is a damaged or truncated PNG"),
        (GOOD[:34], "is a damaged or truncated PNG"),
        (GOOD[: len(GOOD) // 2], "is a damaged or truncated PNG"),
        (flipped(GOOD, len(GOOD) // 2), "is a damaged or truncated PNG"),
        (flipped(GOOD, 30), "is a damaged or truncated PNG"),  # the header's checksum
        (flipped(PALETTE, 30), "is a damaged or truncated PNG"),
        *[(PALETTE[:end], "is a damaged or truncated PNG") for end in (36, 44, 100, 805, 830, len(PALETTE) - 30)],
        (flipped(PALETTE, 33), "is a damaged or truncated PNG"),  # a chunk of 2**24 bytes
        (header(1 << 13, MAX_PIXELS // (1 << 13) + 1) + GOOD[33:], "is 2049x8192 (height x width); expected at most"),
        (header(0xFFFFFFFF, 0xFFFFFFFF) + GOOD[33:], "is 4294967295x4294967295 (height x width)"),
        (header(0, 5) + GOOD[33:], "is 5x0 (height x width); expected at most 16,777,216 pixels, and at least one"),
        (header(4000, 4000) + GOOD[33:], "is a damaged or truncated PNG"),  # less data than the header says
        (header(45, 19, depth=3) + GOOD[33:], "is a damaged or truncated PNG"),
        (header(45, 19, kind=5) + GOOD[33:], "is a damaged or truncated PNG"),
        *[(header(45, 19, depth, 3) + PALETTE[33:], "is a damaged or truncated PNG") for depth in (0, 3, 16, 17, 255)],
        (GOOD[:8] + chunk(b"tEXt", bytes(13)) + GOOD[8:], "is a damaged or truncated PNG"),  # not the header first
        (PALETTE[:33] + 1001 * chunk(b"tEXt", b"") + PALETTE[33:], "is a damaged or truncated PNG"),
        (
            header(45, 19, 16, 2) + chunk(b"IDAT", zlib.compress(DARK)) + chunk(b"IEND", b""),
            "has colours of 16 bits per channel that are all nearly black; expected",
        ),
    ],
)
def test_a_bad_item_is_described_and_leaves_the_others_alone(decode, file, words):
    layouts, problems = decode(OWN, [GOOD, file, GOOD])
    assert problems[0] == problems[2] == "" and words in problems[1]
    np.testing.assert_array_equal(layouts[0], layouts[2])


def test_damaged_pngs_never_fail_the_others(decode):
    """Whatever bytes change, checksums mended or not: no operation's error leaves the graph."""
    random = np.random.default_rng(0)
    for file in (GOOD, PALETTE, png(ids([0, 2]), exif=exif(6, "<")), KINDS["colours with opacity"]()[1]):
        damaged = []
        for _ in range(100):
            changed = bytearray(file)
            for place in random.integers(8, 90, random.integers(1, 4)):
                changed[place] = random.integers(0, 256)
            if random.random() < 0.7:
                changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
            damaged.append(bytes(changed))
        layouts, problems = decode(OWN, [GOOD, *damaged, GOOD])
        assert problems[0] == problems[-1] == ""
        np.testing.assert_array_equal(layouts[0], layouts[-1])


@pytest.mark.parametrize("fit", ["resize", "crop"])
@pytest.mark.parametrize("target", [(16, 32), (24, 12), (7, 96), (192, 384)])
def test_nearest_neighbour_chooses_pillows_pixels(target, fit):
    # Of 640 to 192 and the like, Pillow's rounding errors matter.
    sizes = [(1, 1), (3, 5), (16, 32), (33, 21), (64, 128), (97, 130), (50, 75), (96, 30), (320, 640), (1280, 896)]
    numbers = np.arange(1280 * 896, dtype=np.int32).reshape(1280, 896)
    resized = tf.function(lambda x: fit_nearest(x, target, 0, fit), input_signature=[tf.TensorSpec([None, None])])
    sizes += RANDOM.integers(1, 600, (100, 2)).tolist()
    for height, width in sizes:
        part = numbers[:height, :width].astype(np.float32)
        expected = np.asarray(resize(Image.fromarray(part), target, fit, Image.Resampling.NEAREST))
        np.testing.assert_array_equal(resized(part), expected, err_msg=str((height, width)))


@pytest.mark.parametrize("kind", ["grey", "colours", "palette of the classes"])
def test_a_model_that_was_trained_on_centres_is_given_centres(kind, tmp_path):
    table, file = KINDS[kind]()
    (tmp_path / "a.png").write_bytes(file)
    decoder = PngLayoutDecoder(table, (24, 12), "crop")
    layouts, problems = tf.function(decoder.decode)(tf.constant([file]))
    assert problems.numpy().tolist() == [b""]
    expected = LayoutReader(table).read(tmp_path / "a.png", (24, 12), "crop")
    np.testing.assert_array_equal(layouts[0], expected)
    assert (expected != LayoutReader(table).read(tmp_path / "a.png", (24, 12))).any()
