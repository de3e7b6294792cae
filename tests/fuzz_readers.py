"""Feed damaged files to everything that reads files: `python tests/fuzz_readers.py --seconds 60 --seed 0`.

Each reader works in a child process with a limit on its memory. A reader may accept a damaged file or refuse it with a
UserError; a crash, a hang, another exception or much memory is a failure, which is printed with what repeats it:
`--reader png --seed 0 --first 1234 --inputs 1`.
"""

import argparse
import io
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # this is a program too

MEMORY = 2 << 30  # bytes a child may take, besides what it has after its imports
SECONDS = 30  # for one input, before it counts as a hang; the guard of weights files waits for half of that
_VGG_SHAPES = {"block1_conv1": (3, 3, 3, 4), "block1_conv2": (3, 3, 4, 2)}


# --- good files, to damage


HEIGHT, WIDTH = 23, 31


def picture(suffix: str, mode: str = "RGB", **options) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    image = image.quantize(16) if mode == "P" else image.convert("L" if mode == "I;16" else mode).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return buffer.getvalue()


def exif() -> bytes:
    """As a camera writes it that was held upright: with a resolution, the time and the place."""
    from PIL import ExifTags, Image

    tags = Image.Exif()
    tags[ExifTags.Base.Make], tags[ExifTags.Base.Orientation] = "Camera", 6
    tags[ExifTags.Base.XResolution] = tags[ExifTags.Base.YResolution] = 72.0
    tags[ExifTags.Base.ResolutionUnit] = 2
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return tags.tobytes()


def png_chunk(kind: bytes, content: bytes, damage: int = 0) -> bytes:
    checksum = zlib.crc32(kind + content) ^ damage
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(height, width, rows, color=2, interlaced=0, header_damage=0, level=9, bits=8) -> bytes:
    """A PNG whose header says `height` x `width`, and whose data are `rows`."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    data = png_chunk(b"IDAT", zlib.compress(rows, level))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header, header_damage) + data + png_chunk(b"IEND", b"")


def interlaced_rows(picture: np.ndarray) -> bytes:
    """The rows of a grey PNG in Adam7's order, as in the PNG specification's figure."""
    places = ["1 6 4 6 2 6 4 6", "7 7 7 7 7 7 7 7", "5 6 5 6 5 6 5 6", "7 7 7 7 7 7 7 7"]
    places += ["3 6 4 6 3 6 4 6", "7 7 7 7 7 7 7 7", "5 6 5 6 5 6 5 6", "7 7 7 7 7 7 7 7"]
    figure = np.array([row.split() for row in places], int)
    height, width = picture.shape
    turn = np.tile(figure, (-(-height // 8), -(-width // 8)))[:height, :width]
    rows = [picture[y, turn[y] == number] for number in range(1, 8) for y in range(height)]
    return b"".join(b"\0" + row.tobytes() for row in rows if row.size)


def pngs() -> list[bytes]:
    """One of each kind of pixels, with all that may say something about them."""
    from PIL.PngImagePlugin import PngInfo

    random, orientation = np.random.default_rng(0), PngInfo()
    orientation.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta tiff:Orientation="6"/>', zip=True)
    grey = random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    few_bits = [b"".join(b"\0" + random.bytes(-(-WIDTH * bits // 8)) for _ in range(HEIGHT)) for bits in (1, 2, 4)]
    return [
        picture("PNG"),
        picture("PNG", compress_level=0),
        picture("PNG", exif=exif()),
        picture("PNG", pnginfo=orientation),
        picture("PNG", transparency=(1, 2, 3)),
        picture("PNG", "RGBA"),
        picture("PNG", "LA"),
        picture("PNG", "L", transparency=300),
        picture("PNG", "I;16"),
        picture("PNG", "P"),
        picture("PNG", "P", transparency=b"\xff" * 16, exif=exif()),
        *(png(HEIGHT, WIDTH, rows, color=0, bits=bits) for rows, bits in zip(few_bits, (1, 2, 4), strict=True)),
        png(HEIGHT, WIDTH, interlaced_rows(grey), color=0, interlaced=1),
    ]


def kernels() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    noise = np.random.default_rng(0)
    return {
        name: (noise.normal(size=shape).astype("float32"), np.zeros(shape[-1], "float32"))
        for name, shape in _VGG_SHAPES.items()
    }


def matlab(path: Path, compressed: bool) -> None:
    import scipy.io

    layers = np.empty((1, 2), object)
    for number, (kernel, bias) in enumerate(kernels().values()):
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = kernel, bias
        layers[0, number] = {"type": "conv", "weights": weights}
    scipy.io.savemat(path, {"layers": layers}, do_compression=compressed)


def keras_file(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in kernels().items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            group["kernel:0"], group["bias:0"] = kernel, bias


def release_index(prefix: Path) -> None:
    """As TensorFlow 1's Saver wrote the published models, but small."""
    import tensorflow as tf

    from crn_tf import build_generator
    from tests.release_recipe import release_name

    values = {release_name(v.path): np.asarray(v.value) for v in build_generator(8, 20, 1, 4 / 1024).variables}
    names, tensors = list(values), [tf.constant(value) for value in values.values()]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)


def weights_file(path: Path) -> None:
    from crn_tf.data.class_tables import ClassTable
    from crn_tf.model.description import ModelDescription
    from crn_tf.saved.checkpoints import save_weights

    classes = ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))
    description = ModelDescription(8, (4, 8), 1, 0.002, classes)
    save_weights(path, description.build(), description)


def good_files(reader: str, folder: Path) -> list[bytes]:
    """What a reader's inputs are made from."""
    path = folder / "good"
    if reader == "png":
        return pngs()
    if reader == "jpeg":
        others = picture("JPEG", exif=exif()), picture("JPEG", "CMYK"), picture("JPEG", "L")
        return [picture("JPEG"), picture("JPEG", progressive=True, subsampling=0), *others]
    if reader == "webp":
        return [picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", exif=exif())]
    if reader == "bmp":
        return [picture("BMP"), picture("BMP", "P")]
    if reader == "gif":
        return [picture("GIF", "P"), picture("GIF", "L"), picture("GIF", "P", transparency=3)]
    if reader == "ppm":
        plain = " ".join(str(i % 19) for i in range(HEIGHT * WIDTH))
        few_levels = b"P5 %d %d 18\n" % (WIDTH, HEIGHT) + bytes(i % 19 for i in range(HEIGHT * WIDTH))
        return [
            *(picture("PPM", mode) for mode in ("RGB", "L", "1")),
            few_levels,
            f"P2 {WIDTH} {HEIGHT} 18\n{plain}\n".encode(),
        ]
    if reader == "tiff":
        compressed = [picture("TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate")]
        return [picture("TIFF"), *compressed, picture("TIFF", exif=exif())]
    if reader == "mat":
        contents = []
        for compressed in (False, True):
            matlab(path.with_suffix(".mat"), compressed)
            contents.append(path.with_suffix(".mat").read_bytes())
        return contents
    if reader == "h5":
        keras_file(path)
        return [path.read_bytes()]
    if reader == "index":
        release_index(path)
        return [path.with_name("good.index").read_bytes()]
    weights_file(path)
    return [path.read_bytes()]


# --- damage


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Change a few places: bits, bytes, numbers of 2 to 8 bytes, and pieces cut out, repeated, moved or cut off."""
    data = bytearray(content)
    for _ in range(random.choice([1, 1, 1, 2, 3, 8, 30])):
        if not data:
            break
        at = int(random.integers(len(data)) ** random.choice([1.0, 1.0, 0.7]))  # headers more often
        kind = random.integers(7)
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))])
        elif kind == 2:
            size = int(random.choice([2, 4, 8]))
            number = int(random.choice([0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1]))
            data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, random.choice(["little", "big"]))
        else:
            length = int(random.integers(1, 1 + min(64, len(data))))
            piece = bytes(data[at : at + length])
            if kind == 3:
                del data[at : at + length]
            elif kind == 4:
                data[at:at] = piece
            elif kind == 5:
                data[at : at + length] = random.bytes(len(piece))
            elif random.random() < 0.2:
                del data[at:]
            else:
                target = int(random.integers(len(data)))
                data[target : target + length] = piece
    return bytes(data)


def mend_chunks(content: bytes) -> bytes:
    """Set the checksums of a PNG's chunks right, as far as they can be found, as someone who means harm would."""
    data, start = bytearray(content), 8
    while (end := start + 8 + int.from_bytes(data[start : start + 4])) + 4 <= len(data):
        data[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4)
        start = end + 4
    return bytes(data)


def damage_chunks(content: bytes, random: np.random.Generator) -> bytes:
    """Change what a PNG's chunks hold, pixels before they are compressed, and repeat some; sizes and checksums fit."""
    chunks, start = [], 8
    while start < len(content):
        length = int.from_bytes(content[start : start + 4])
        chunks.append((content[start + 4 : start + 8], content[start + 8 : start + 8 + length]))
        start += 12 + length
    for _ in range(random.choice([1, 1, 2, 3])):
        at = int(random.integers(len(chunks)))
        kind, inside = chunks[at]
        if random.random() < 0.1:
            chunks.insert(int(random.integers(len(chunks) + 1)), chunks[at])
        elif kind == b"IDAT":
            chunks[at] = kind, zlib.compress(damage(zlib.decompress(inside), random))
        else:
            chunks[at] = kind, damage(inside, random)
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def damage_png(content: bytes, random: np.random.Generator) -> bytes:
    """Change a PNG; three times of four with the right checksums, without which little more than them is looked at."""
    if random.integers(2):
        return damage_chunks(content, random)
    damaged = damage(content, random)
    return mend_chunks(damaged) if random.integers(2) else damaged


_CRC = []  # of each byte, with Castagnoli's polynomial
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    _CRC.append(_value)


def table_checksum(block: bytes) -> bytes:
    """The checksum of a block of a checkpoint's index: CRC32C, rotated, and moved by a constant."""
    checksum = 0xFFFFFFFF
    for value in block:
        checksum = _CRC[(checksum ^ value) & 0xFF] ^ checksum >> 8
    checksum ^= 0xFFFFFFFF
    return (((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def damage_index(content: bytes, random: np.random.Generator) -> bytes:
    """Change the first block of a checkpoint's index and set its checksum right, as someone who means harm would."""
    footer, position, handle = content[-48:], 0, []
    for _ in range(4):
        number = shift = 0
        while True:
            number |= (footer[position] & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if footer[position - 1] < 0x80:
                break
        handle.append(number)
    size = min(handle[0], handle[2]) - 5  # the block before the first that the footer names
    block = bytearray(content[:size])
    for _ in range(random.choice([1, 1, 2, 3])):
        block[int(random.integers(size))] = random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))])
    checked = bytes(block) + content[size : size + 1]
    return checked + table_checksum(checked) + content[size + 5 :]


# --- readers, in the child


def reader_of(name: str) -> Callable[[Path], object]:
    """The function that reads such a file."""
    if name in ("png", "jpeg", "webp", "bmp", "tiff", "gif", "ppm"):
        from crn_tf.data.class_tables import CITYSCAPES
        from crn_tf.data.images import image_size, read_photo
        from crn_tf.data.layouts import LayoutReader
        from crn_tf.errors import UserError

        readers = [read_photo] if name == "jpeg" else [read_photo, LayoutReader(CITYSCAPES).read]

        def read(path):
            image_size(path)
            refusals = []
            for one in readers:  # 16 bits are a layout and no photograph
                try:
                    one(path, (8, 16))
                except UserError as error:
                    refusals.append(error)
            if len(refusals) == len(readers):
                raise refusals[0]

        return read
    if name in ("mat", "h5"):
        from crn_tf.model.vgg_weights import read_kernels

        return lambda path: read_kernels(path, _VGG_SHAPES)
    from crn_tf.saved.loading import load_generator

    if name == "index":
        from crn_tf.saved.release import describe_release

        return lambda path: describe_release(path.with_suffix(""))
    return lambda path: load_generator(path)[0].count_params()


SUFFIXES = {"jpeg": ".jpg", "weights": ".weights.h5"}
READERS = ("png", "jpeg", "webp", "bmp", "tiff", "gif", "ppm", "mat", "h5", "index", "weights")


def serve(name: str) -> None:
    """Read the files whose names come in, and answer each with a line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from crn_tf.errors import UserError

    read = reader_of(name)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries that print do not disturb the answers
    print("ready", file=answers)
    for line in sys.stdin:
        try:
            read(Path(line.rstrip("\n")))
            answer = "accepted"
        except UserError as error:
            answer = "refused" if "\n" not in str(error) else f"more than one line: {str(error)!r}"
        except BaseException as error:  # what it is, is the finding
            answer = f"{type(error).__name__}: {str(error)[:300]!r}"
        print(answer, file=answers)


# --- the parent


class Child:
    """A process that reads damaged files."""

    def __init__(self, name: str):
        command = [sys.executable, str(Path(__file__)), "--serve", name]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes)
        answer = self._answer(120)
        if answer != "ready":
            raise RuntimeError(f"the child for {name} did not start: {answer}")

    def read(self, path: Path) -> str:
        """What becomes of a file: "accepted", "refused", or what went wrong."""
        self._process.stdin.write(f"{path}\n")
        return self._answer(SECONDS)

    def _answer(self, seconds: float) -> str:
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            self.stop()
            return f"hang: no answer in {seconds} s"
        line = self._process.stdout.readline()
        if line:
            return line.rstrip("\n")
        code = self._process.wait()
        self._errors.seek(0)
        return f"crash: exit code {code}: {self._errors.read()[-300:].decode(errors='replace')!r}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Result:
    """How many inputs a reader accepted and refused, and what went wrong by the input's number."""

    accepted: int = 0
    refused: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.failures)


def fuzz(name: str, seed: int, inputs: int | None, seconds: float, first: int = 0, keep: Path | None = None) -> Result:
    """Feed a reader `inputs` damaged files, or as many as fit into some seconds."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{SUFFIXES.get(name, f'.{name}')}"
        good = good_files(name, Path(folder))
        child = Child(name)
        path.write_bytes(good[0])
        if child.read(path) != "accepted":
            raise RuntimeError(f"{name}: the undamaged file is not accepted")
        end = time.monotonic() + seconds
        number = first
        while time.monotonic() < end and (inputs is None or number < first + inputs):
            random = np.random.default_rng([seed, number, *name.encode()])
            how = damage_png if name == "png" else damage_index if name == "index" and number % 2 else damage
            content = how(good[number % len(good)], random)
            path.write_bytes(content)
            answer = child.read(path)
            if answer in ("accepted", "refused"):
                setattr(result, answer, getattr(result, answer) + 1)
            else:
                result.failures[number] = answer
                if keep:
                    (keep / f"{name}-{seed}-{number}{path.suffix}").write_bytes(content)
            if not child.alive:
                child = Child(name)
            number += 1
        child.stop()
    return result


def main() -> int:
    """Fuzz some or all readers and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append", help="only this one; may be repeated")
    parser.add_argument("--inputs", type=int, help="inputs for each reader, at most")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that failed")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    failed = False
    names = options.reader or READERS
    for name in names:
        result = fuzz(name, options.seed, options.inputs, options.seconds / len(names), options.first, options.keep)
        print(f"{name}: {result.inputs} inputs, {result.accepted} accepted, {result.refused} refused", flush=True)
        for number, answer in result.failures.items():
            print(f"  input {number}: {answer}")
        failed |= bool(result.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
