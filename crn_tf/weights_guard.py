"""A look at a weights file (HDF5 or .mat) before it is read: what it claims must be inside it, and reading must end.

The HDF5 library and SciPy's .mat reader crash, or never end, on some damaged files. So a file is read once in a process
of its own, which may die of it; that takes a third of a second, and as long again as reading the file.
"""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from crn_tf.errors import UserError

if TYPE_CHECKING:
    import h5py

_SECONDS = 15  # and one more for every 10 MB
_FLOOR, _EXPANSION = 16 << 20, 8  # what a file may hold: so many bytes, or so many times its own size (if compressed)
_MEMORY = 1 << 30  # for Python and libraries
_CHUNK_LIMIT = 1 << 28  # bytes of a compressed piece
_MATLAB_COMPRESSED = 15  # miCOMPRESSED, the type of an element
_REFUSED = 3  # the child's exit code; its last line says why


def check_weights_file(path: Path) -> None:
    """Read all of a .h5 or .mat file in a child process, and see that it survives.

    Raises:
        UserError: The file is missing or damaged, refers to other files, or claims to hold far more than its size
            allows.
    """
    package = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", "crn_tf.weights_guard", str(path)]
    try:
        seconds = _SECONDS + path.stat().st_size / 1e7
        child = subprocess.run(command, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"cannot read the weights {path}: reading does not come to an end; it is damaged") from error
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror or error}") from error
    if child.returncode:
        last = (child.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        crashed = f"the library that reads it fails (exit code {child.returncode}); it is damaged"
        raise UserError(f"cannot read the weights {path}: {last if child.returncode == _REFUSED else crashed}")


def _read_hdf5(path: Path) -> None:
    """What the child does with an HDF5 file.

    Raises:
        ValueError: The file refers to others, or claims too much.
        Exception: The file is damaged; the kind is h5py's.
    """
    import h5py

    size = path.stat().st_size
    limit = max(_FLOOR, _EXPANSION * size)
    claimed = 0
    waiting, seen = [], set()
    with h5py.File(path) as file:
        waiting.append(file)
        while waiting:
            group = waiting.pop()
            dict(group.attrs)
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"{name} is a link to another place or file; expected everything inside it")
                item = group[name]
                if isinstance(item, h5py.Group):
                    place = h5py.h5o.get_info(item.id).addr
                    if place not in seen:  # a group may contain itself
                        seen.add(place)
                        waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    claimed += _check_dataset(name, item, limit - claimed)
                    dict(item.attrs)
                    item[()]


def _check_dataset(name: str, data: "h5py.Dataset", limit: int) -> int:
    """The bytes a dataset claims to hold.

    Raises:
        ValueError: The values are more bytes than `limit`, or in other files, or no numbers.
    """
    if data.external or data.is_virtual:
        raise ValueError(f"the values of {name} are in another file; expected everything inside it")
    if data.dtype.kind not in "biufSV":  # V: bfloat16
        raise ValueError(f"{name} has values of the kind {data.dtype}; expected numbers")
    chunk = data.dtype.itemsize
    for side in data.chunks or ():
        chunk *= side
    claimed = data.size * data.dtype.itemsize if data.shape is not None else 0
    if claimed > limit or (data.chunks and chunk > min(limit, _CHUNK_LIMIT)):
        raise ValueError(f"it claims that {name} has the shape {data.shape}, far more than a file of its size can hold")
    return claimed


def _read_matlab(path: Path) -> None:
    """What the child does with a .mat file (version 5).

    Raises:
        ValueError: The file claims to inflate to far more than weights would, which hardly shrink.
        Exception: The file is damaged; the kind is SciPy's.
    """
    import scipy.io

    size = path.stat().st_size
    with open(path, "rb") as file:
        order = "<" if file.read(128)[126:] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, length = struct.unpack(f"{order}II", tag)
            end = file.tell() + length
            if kind == _MATLAB_COMPRESSED:
                inner = zlib.decompressobj().decompress(file.read(min(length, 1024)), 8)
                kind, length = struct.unpack(f"{order}II", inner)
            if length > max(_FLOOR, _EXPANSION * size):
                raise ValueError(f"it claims to hold {length:,} bytes, far more than a file of {size:,} can")
            file.seek(end)
    scipy.io.loadmat(path, variable_names=["layers"])


def _main() -> int:
    import resource

    path = Path(sys.argv[1])
    memory = _MEMORY + 3 * max(_FLOOR, _EXPANSION * path.stat().st_size)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        (_read_matlab if path.suffix == ".mat" else _read_hdf5)(path)
    except Exception as error:  # the libraries raise many kinds, by where the damage is
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
