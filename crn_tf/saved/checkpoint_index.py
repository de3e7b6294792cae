"""A look at the index of a TensorFlow checkpoint before TensorFlow reads it.

TensorFlow ends the process, or asks for any amount of memory, when an index with right checksums says what cannot be.
So everything it would believe is compared here with the files: where blocks lie, names, shapes, sizes and places.

An index is a sorted table as LevelDB's: blocks of entries (name, value) that leave out what a name shares with the one
before; an index block with the place of each; and a footer with the place of that. Values are protocol buffers.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

from crn_tf.errors import UserError, unprintable
from crn_tf.files import open_regular

_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_TRAILER = 5  # bytes behind a block: its compression, and a checksum, which TensorFlow verifies
_LARGEST = 64 << 20  # bytes of an index; the largest published one has some 20,000


def check_index(prefix: Path, shown: Path) -> None:
    """Compare what a checkpoint's index claims with its files.

    Args:
        prefix: The files without their endings, such as `result_256p/model.ckpt`. The data may be missing.
        shown: What messages call the checkpoint.

    Raises:
        UserError: The index is missing, cannot be read, or claims what cannot be.
    """
    path = prefix.with_name(prefix.name + ".index")
    data = prefix.with_name(prefix.name + ".data-00000-of-00001")
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST + 1)
        stored = data.stat().st_size if data.is_file() else None
        _check(content, stored)
    except FileNotFoundError as error:
        raise UserError(f"cannot read the checkpoint {shown}: there is no {path.name}") from error
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {shown}: {error.strerror or error}") from error
    except (ValueError, TypeError, IndexError, struct.error, DecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read the checkpoint {shown}: its index or its data are damaged: {reason}") from error


def _check(content: bytes, stored: int | None) -> None:
    """Check a whole index.

    Args:
        content: The index' bytes.
        stored: Bytes of the data file; None if it is missing.

    Raises:
        ValueError, TypeError, IndexError, struct.error, DecodeError: The index is wrong; the kind follows from how.
    """
    if not _FOOTER <= len(content) <= _LARGEST:
        raise ValueError(f"it has {len(content):,} bytes")
    footer = content[-_FOOTER:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as an index")
    *meta, position = _place(footer, 0)
    *index, _ = _place(footer, position)
    _block(content, *meta)
    before = None
    for _, value in _entries(_block(content, *index)):
        *place, end = _place(value, 0)
        if end != len(value):
            raise ValueError("a block's place is followed by something")
        for name, entry in _entries(_block(content, *place)):
            if before is not None and name <= before:
                raise ValueError("its names are not in order")
            if before is None:
                _check_header(name, entry)
            else:
                _check_entry(name.decode("utf-8"), entry, stored)
            before = name
    if before is None:
        raise ValueError("it is empty")


def _check_header(name: bytes, value: bytes) -> None:
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(value)
    if name != b"" or header.num_shards != 1 or header.endianness != header.LITTLE:
        raise ValueError("expected one data file, with the least significant byte first")


def _check_entry(name: str, value: bytes, stored: int | None) -> None:
    entry = tensor_bundle_pb2.BundleEntryProto.FromString(value)
    if unprintable(name):
        raise ValueError(f"the name {name[:80]!r} has control characters")
    kind = tf.as_dtype(entry.dtype)
    if not (kind.is_floating or kind.is_integer or kind.is_bool) or kind.size < 1 or kind.name.endswith("_ref"):
        raise ValueError(f"{name} has values of the kind {kind.name}, expected numbers")
    sides = [side.size for side in entry.shape.dim]
    if entry.shape.unknown_rank or len(sides) > 8 or any(side < 0 for side in sides):
        raise ValueError(f"{name} has the shape {sides[:9]}")
    if entry.slices or entry.shard_id or entry.size != math.prod(sides) * kind.size:
        raise ValueError(f"{name} has {entry.size} bytes, which is not what its shape {sides} takes")
    if entry.offset < 0 or (stored is not None and entry.offset + entry.size > stored):
        raise ValueError(f"{name} lies behind the end of the data, which has {stored} bytes")


def _block(content: bytes, offset: int, size: int) -> bytes:
    if offset + size + _TRAILER > len(content) - _FOOTER:
        raise ValueError("a block lies behind its end")
    if content[offset + size] != 0:
        raise ValueError("a block is compressed")
    return content[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of a block, whose restart points (where names are complete) have to be among the entries."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    if restarts < 1 or end < 0:
        raise ValueError("a block has no room for its restart points")
    points = struct.unpack(f"<{restarts}I", block[end:-4])
    complete, position, name = {0}, 0, b""
    while position < end:
        start = position
        shared, position = _number(block, position)
        own, position = _number(block, position)
        length, position = _number(block, position)
        if shared > len(name) or position + own + length > end:
            raise ValueError("an entry lies behind its block's end")
        if shared == 0:
            complete.add(start)
        name = name[:shared] + block[position : position + own]
        position += own + length
        yield name, block[position - length : position]
    if points[0] != 0 or list(points) != sorted(set(points)) or not complete.issuperset(points):
        raise ValueError("a block's restart points are wrong")


def _place(content: bytes, position: int) -> tuple[int, int, int]:
    """A block's offset and size, and the position behind them."""
    offset, position = _number(content, position)
    size, position = _number(content, position)
    return offset, size, position


def _number(content: bytes, position: int) -> tuple[int, int]:
    """A number in pieces of seven bits, the least significant first, and the position behind it."""
    value = 0
    for shift in range(0, 63, 7):
        piece = content[position]
        position += 1
        value |= (piece & 0x7F) << shift
        if piece < 0x80:
            return value, position
    raise ValueError("a number does not end")
