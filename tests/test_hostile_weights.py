"""Weights files that mean harm: none runs code, reads other files, or takes memory for what it only claims."""

import dataclasses
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

from crn_tf import weights_guard
from crn_tf.data.class_tables import CITYSCAPES, ClassTable
from crn_tf.data.datasets import open_data_set
from crn_tf.errors import UserError
from crn_tf.files import write_text
from crn_tf.model.description import ModelDescription
from crn_tf.model.loss_weights import find_loss_weights
from crn_tf.model.vgg_weights import read_kernels
from crn_tf.saved.checkpoint_index import check_index
from crn_tf.saved.checkpoints import DESCRIPTION_ATTRIBUTE, named, read_variables, save_weights
from crn_tf.saved.loading import load_generator
from crn_tf.saved.release import build_generator_from_release, describe_release
from crn_tf.saved.run_checkpoints import save_checkpoint
from crn_tf.saved.run_folder import RunFolder
from crn_tf.weights_guard import check_weights_file
from tests import fuzz_readers
from tests.hostile import read_guarded

CLASSES = ClassTable(("a", "b"), ((255, 0, 0), (0, 255, 0)), (0, 1), (2,))
DESCRIPTION = ModelDescription(8, (4, 8), 1, 0.002, CLASSES)
SHAPES = {"block1_conv1": (3, 3, 3, 4)}
LIMITED = "from crn_tf.model.vgg_weights import read_kernels"
LIMITED_CALL = "read_kernels(sys.argv[1], {'block1_conv1': (3, 3, 3, 4)})"


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def one_line(read, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


# --- code


def pickled(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(marker)))


def numpy_archive(path: Path, marker: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, layers=np.array([Payload(marker)], object))


def numpy_array(path: Path, marker: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([Payload(marker)], object), allow_pickle=True)


def keras_archive(path: Path, marker: Path) -> None:
    """A whole Keras model whose Lambda layer holds marshalled code, and a pickle for whoever would take that."""
    import base64
    import marshal

    code = compile(f"import os; os.mkdir({str(marker)!r})", "payload", "exec")
    function = {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None}
    layer = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "l", "function": {"class_name": "__lambda__", "config": function}},
    }
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.npz", pickle.dumps(Payload(marker)))


PAYLOADS = [pickled, numpy_archive, numpy_array, keras_archive]
NAMES = ["a.keras", "a.weights.h5", "a.h5", "a.mat", "a.npz", "a.npy", "a.pkl", "a.ckpt.index", "a.json"]


def test_the_payloads_do_harm_where_they_are_trusted(tmp_path):
    for number, write in enumerate((pickled, numpy_archive, numpy_array)):
        marker = tmp_path / f"marker{number}"
        write(tmp_path / "a", marker)
        loaded = np.load(tmp_path / "a", allow_pickle=True)
        if hasattr(loaded, "files"):
            _ = loaded["layers"]
        assert marker.is_dir()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("write", PAYLOADS)
def test_no_weights_file_runs_code(tmp_path, write, name):
    marker, path = tmp_path / "marker", tmp_path / name
    write(path, marker)
    for read in (load_generator, lambda p: read_kernels(str(p), SHAPES), lambda p: find_loss_weights(str(p))):
        assert "a." in one_line(read, path)
    assert not marker.exists()


@pytest.mark.parametrize("write", PAYLOADS)
def test_no_checkpoint_runs_code(tmp_path, write):
    run = RunFolder(tmp_path / "run")
    write_text(run.model, DESCRIPTION.to_json())
    checkpoint = save_checkpoint(run, 1, named(DESCRIPTION.build()))
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    marker = tmp_path / "marker"
    for path in checkpoint.iterdir():
        write(path, marker)
        with open(path, "ab") as file:
            file.write(bytes(size))
    assert "cannot read the checkpoint" in one_line(load_generator, run.path)
    assert not marker.exists()


# --- HDF5 that refers to other files, or claims more than it has


@pytest.fixture
def secret(tmp_path) -> Path:
    """Another file, whose numbers must not get in."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.full((3, 3, 3, 4), 7, "float32")
        file["bias"] = np.zeros(4, "float32")
    return tmp_path / "secret.h5"


def external_link(group, secret):
    group["kernel"] = h5py.ExternalLink(str(secret), "/kernel")


def link_in_the_file(group, secret):
    group["kernel"] = h5py.SoftLink("/elsewhere")


def external_values(group, secret):
    group.create_dataset("kernel", (3, 3, 3, 4), "float32", external=[(str(secret), 0, 432)])


def virtual_values(group, secret):
    layout = h5py.VirtualLayout((3, 3, 3, 4), "float32")
    layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 3, 3, 4))
    group.create_virtual_dataset("kernel", layout)


def huge_shape(group, secret):
    group.create_dataset("kernel", (1 << 20, 1 << 20, 3, 4), "float32", chunks=(1, 1, 3, 4))


def huge_piece(group, secret):
    group.create_dataset("kernel", (1, 1, 3, 4), "float32", chunks=(1, 1, 3, 4), maxshape=(None,) * 4)
    del group["kernel"]
    group.create_dataset("kernel", (60_000, 60_000), "uint8", chunks=(60_000, 60_000), compression="gzip")


def inflated(group, secret):
    data = group.create_dataset("kernel", (1 << 26,), "float32", chunks=(1 << 22,), compression="gzip")
    data[:] = 0  # 268 MB in some 260 kB


def objects(group, secret):
    group.create_dataset("kernel", (3,), h5py.string_dtype())


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (external_link, "kernel is a link to another place or file"),
        (link_in_the_file, "kernel is a link to another place or file"),
        (external_values, "the values of kernel are in another file"),
        (virtual_values, "the values of kernel are in another file"),
        (huge_shape, "claims that kernel has the shape"),
        (huge_piece, "claims that kernel has the shape"),
        (inflated, "claims that kernel has the shape"),
        (objects, "kernel has values of the kind"),
    ],
)
def test_hdf5_that_reaches_out_or_blows_up_is_refused(tmp_path, secret, write, words):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        group["bias"] = np.zeros(4, "float32")
        write(group, secret)
    found = read_guarded(LIMITED, LIMITED_CALL, path, gigabytes=2)
    assert found.outcome == "refused" and str(path) in found.message and words in found.message
    assert found.megabytes < 100
    weights = tmp_path / "a.weights.h5"
    save_weights(weights, DESCRIPTION.build(), DESCRIPTION)
    with h5py.File(weights, "a") as file:
        write(file.create_group("more"), secret)
    assert words in one_line(load_generator, weights)


def test_a_group_that_contains_itself_comes_to_an_end(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("one")["again"] = file
        file["one/self"] = file["one"]
    check_weights_file(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", r"the library that reads it fails \(exit code -6\); it is damaged"),
        ("while True: pass", "reading does not come to an end"),
    ],
)
def test_a_library_that_crashes_or_hangs_does_so_elsewhere(tmp_path, monkeypatch, code, words):
    (tmp_path / "a.h5").write_bytes(b"")
    (tmp_path / "crn_tf").mkdir()
    (tmp_path / "crn_tf/__init__.py").touch()
    (tmp_path / "crn_tf/weights_guard.py").write_text(code)  # in the place of the library
    monkeypatch.setattr(weights_guard, "__file__", str(tmp_path / "crn_tf/weights_guard.py"))
    monkeypatch.setattr(weights_guard, "_SECONDS", 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        check_weights_file(tmp_path / "a.h5")


# --- .mat that claims more than it has


def mat_file(elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM") + elements


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_that_claims_or_inflates_to_too_much_is_refused(tmp_path, compressed):
    path = tmp_path / "a.mat"
    claim = struct.pack("<II", 14, 2**32 - 8)
    if compressed:
        deflate = zlib.compressobj(9)
        inner = deflate.compress(claim) + b"".join(deflate.compress(bytes(1 << 20)) for _ in range(300))
        inner += deflate.flush()
        claim = struct.pack("<II", 15, len(inner)) + inner
    path.write_bytes(mat_file(claim))
    found = read_guarded(LIMITED, LIMITED_CALL, path, gigabytes=4)
    assert found.outcome == "refused" and found.megabytes < 100
    assert f"cannot read the weights {path}: it claims to hold 4,294,967,288 bytes" in found.message


# --- descriptions of models


def changed(**values) -> str:
    return json.dumps(json.loads(DESCRIPTION.to_json()) | values)


HOSTILE_DESCRIPTIONS = {
    "deep": ("[" * 100_000, "nested too deeply"),
    "no object": ("[1]", "cannot read"),
    "height": (changed(height=2**40), "whole numbers from 1 to"),
    "not on the cascade": (changed(height=12), "is not on the cascade"),
    "text": (changed(height="8"), "whole numbers from 1 to"),
    "yes": (changed(num_images=True), "whole numbers from 1 to"),
    "grid": (changed(base_grid=[4, 10**9]), "whole numbers from 1 to"),
    "three sides": (changed(base_grid=[4, 8, 1]), "cannot read"),
    "images": (changed(num_images=60_000), "too few for that"),
    "width": (changed(width=1e300), "width must be a number"),
    "no width": (changed(width=float("nan")), "width must be a number"),
    "large": (changed(width=30_000), "too few for that"),
    "fit": (changed(fit="x" * 10_000), "expected one of resize, crop"),
    "no fit": (changed(fit=[1]), "expected one of resize, crop"),
    "trained size": (changed(trained_size=[8, -1]), "trained_size must be two positive whole numbers"),
    "trained sizes": (changed(trained_size="ab"), "trained_size must be two positive whole numbers"),
    "classes": (changed(classes=CLASSES.to_json() | {"names": ["x"] * 10_000}), "expected 1 to 254 names"),
    "ids": (changed(classes=CLASSES.to_json() | {"ids": [0, -70_000]}), "ids must be whole numbers"),
    "colours": (changed(classes=CLASSES.to_json() | {"palette": [[1, 2, 3], [1, 2, 2**70]]}), "every colour"),
    "names": (changed(classes=CLASSES.to_json() | {"names": ["a", "b\nc"]}), "without control characters"),
}


@pytest.mark.parametrize("case", HOSTILE_DESCRIPTIONS)
def test_a_description_is_checked_before_memory_is_taken(tmp_path, case):
    text, words = HOSTILE_DESCRIPTIONS[case]
    run = RunFolder(tmp_path / "run")
    save_checkpoint(run, 1, named(DESCRIPTION.build()))
    write_text(run.model, text)
    message = one_line(load_generator, run.path)
    assert words in message and str(run.model) in message
    path = tmp_path / "a.weights.h5"
    save_weights(path, DESCRIPTION.build(), DESCRIPTION)
    with h5py.File(path, "a") as file:
        if len(text) > 60_000:  # an attribute holds no more
            text = text[:60_000]
        file.attrs[DESCRIPTION_ATTRIBUTE] = text
    message = one_line(load_generator, path)
    assert words in message and str(path) in message


@pytest.mark.parametrize("height", [8, 32])
@pytest.mark.parametrize("classes", [CLASSES, CITYSCAPES])
def test_parameters_are_counted_from_the_description(height, classes):
    description = dataclasses.replace(DESCRIPTION, height=height, classes=classes, num_images=3, width=0.02)
    assert description.parameters == description.build().count_params()


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"pairs": "many"}', '{"pairs": null}', "[" * 99_999, '{"pairs": 1e999}']
)
def test_the_record_of_the_data_is_checked(folder_data, tmp_path, content):
    write_text(tmp_path / "run/data.json", content)
    data = open_data_set(folder_data, None, "train", 32)
    assert "data.json" in one_line(RunFolder(tmp_path / "run").check_data, data)


# --- checkpoints of TensorFlow's format


def number(value: int) -> bytes:
    """In pieces of seven bits, the least significant first."""
    pieces = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(piece | 0x80 for piece in pieces[:-1]), pieces[-1]])


def block(entries: dict[bytes, bytes], restarts: tuple[int, ...] = (0,)) -> bytes:
    parts = (number(0) + number(len(n)) + number(len(v)) + n + v for n, v in entries.items())
    return b"".join(parts) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def index_file(entries: dict[bytes, bytes], **options) -> bytes:
    """An index of one block, with right checksums."""
    content, places = b"", []
    for make in (
        lambda: block(entries, **options),
        lambda: block({}),
        lambda: block({b"~": places[0]}),
    ):
        made = make() + b"\0"
        places.append(number(len(content)) + number(len(made) - 1))
        content += made + fuzz_readers.table_checksum(made)
    return content + (places[1] + places[2]).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = tensor_bundle_pb2.BundleHeaderProto(num_shards=1).SerializeToString()


def entry(sides=(2, 3), kind="float32", offset=0, size=24, **more) -> bytes:
    shape = tf.TensorShape(None).as_proto()
    shape.unknown_rank = False
    for side in sides:
        shape.dim.add().size = side
    kind = kind if isinstance(kind, int) else tf.as_dtype(kind).as_datatype_enum
    return tensor_bundle_pb2.BundleEntryProto(
        dtype=kind, shape=shape, offset=offset, size=size, **more
    ).SerializeToString()


@pytest.fixture
def prefix(tmp_path) -> Path:
    (tmp_path / "state.data-00000-of-00001").write_bytes(bytes(24))
    return tmp_path / "state"


def test_a_good_index_is_believed(prefix, shared):
    prefix.with_name("state.index").write_bytes(index_file({b"": HEADER, b"w": entry()}))
    check_index(prefix, prefix)
    assert tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map() == {"w": [2, 3]}  # TensorFlow agrees
    published = sorted((shared / "data/release").glob("result_*/model.ckpt.index"))
    assert len(published) == 4
    for path in published:
        check_index(path.with_suffix(""), path)


BEHIND = "lies behind the end of the data, which has 24 bytes"
LIES = {
    "another shape": (index_file({b"": HEADER, b"w": entry((2, 4))}), "is not what its shape"),
    "a huge shape": (index_file({b"": HEADER, b"w": entry((2**40,), size=2**42)}), BEHIND),
    "a negative side": (index_file({b"": HEADER, b"w": entry((-2, -3))}), "has the shape"),
    "too many sides": (index_file({b"": HEADER, b"w": entry((1,) * 300, size=4)}), "has the shape"),
    "behind the end": (index_file({b"": HEADER, b"w": entry(offset=4)}), BEHIND),
    "before the beginning": (index_file({b"": HEADER, b"w": entry(offset=-4)}), "lies behind"),
    "texts": (index_file({b"": HEADER, b"w": entry(kind="string")}), "kind string, expected numbers"),
    "variants": (index_file({b"": HEADER, b"w": entry(kind="variant")}), "kind variant, expected numbers"),
    "no type": (index_file({b"": HEADER, b"w": entry(kind=0)}), "damaged"),
    "an unknown type": (index_file({b"": HEADER, b"w": entry(kind=99)}), "damaged"),
    "another data file": (index_file({b"": HEADER, b"w": entry(shard_id=5)}), "is not what its shape"),
    "no header": (index_file({b"w": entry()}), "damaged"),
    "no buffer": (index_file({b"": HEADER, b"w": b"\xff" * 9}), "damaged"),
    "many data files": (
        index_file({b"": tensor_bundle_pb2.BundleHeaderProto(num_shards=2**30).SerializeToString()}),
        "expected one data file",
    ),
    "no order": (index_file({b"": HEADER, b"x": entry(), b"w": entry()}), "names are not in order"),
    "no UTF-8": (index_file({b"": HEADER, b"\xff": entry()}), "damaged"),
    "a line break": (index_file({b"": HEADER, b"a\nb": entry()}), "has control characters"),
    "restart points": (index_file({b"": HEADER, b"w": entry()}, restarts=(0, 3)), "restart points are wrong"),
    "restart points far away": (index_file({b"": HEADER}, restarts=(2**31,)), "restart points are wrong"),
    "nothing": (index_file({}), "it is empty"),
}


@pytest.mark.parametrize("case", LIES)
def test_an_index_that_lies_with_right_checksums_is_refused(prefix, case):
    content, words = LIES[case]
    prefix.with_name("state.index").write_bytes(content)
    assert words in one_line(read_variables, prefix, {})
    assert words in one_line(describe_release, prefix)


# --- the release's checkpoints


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ((3, 3, 3, 4), {"g_7_conv100/weights": (1, 1, 4, 3)}, "expected a height of 4 to 1024"),
        ((3, 3, 3, 4), {"g_8_conv100/weights": (1, 1, 4, 2)}, "three channels for each image"),
        ((3, 3, 3, 4), {"g_8_conv100/weights": (9,)}, "is not a checkpoint of the 2017 release"),
        ((3, 3, 300, 1), {"g_8_conv100/weights": (1, 1, 4, 3)}, "2 to 255 classes"),
        ((3, 3, 3, 4096), {"g_1024_conv100/weights": (1, 1, 1, 3)}, "too few for that"),
    ],
)
def test_a_release_index_that_claims_too_much_is_refused(tmp_path, first, last, words):
    shapes = {"g_4_conv1/weights": first, **last}
    tensors = [tf.zeros(shape) for shape in shapes.values()]
    prefix = tmp_path / "model.ckpt"
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=list(shapes), shape_and_slices=[""] * 2, tensors=tensors)
    for read in (load_generator, build_generator_from_release):
        message = one_line(read, prefix)
        assert words in message and str(prefix) in message
    if words != "too few for that":
        assert words in one_line(describe_release, prefix)
