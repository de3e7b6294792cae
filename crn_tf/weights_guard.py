"""Looking at an HDF5 file before it is read: what it claims must be inside it, and the library must survive it.

The HDF5 library crashes, or never ends, on some damaged files. So a file is read once in a process of its own, which
may die of it; that takes a third of a second.
"""

import os
import subprocess
import sys
from pathlib import Path

from crn_tf.errors import UserError

_SECONDS = 60  # and one more for every 10 MB
_FLOOR, _EXPANSION = 16 << 20, 8  # what a file may hold: so many bytes, or so many times its own size (if compressed)
_MEMORY = 1 << 30  # for Python and libraries
_CHUNK_LIMIT = 1 << 28  # bytes of a compressed piece
_REFUSED = 3  # the child's exit code; its last line says why


def check_hdf5(path: Path) -> None:
    """Read all of an HDF5 file in a child process, and see that it survives.

    Raises:
        UserError: The file is damaged, refers to other files, or claims to hold far more than its size allows.
    """
    package = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", "crn_tf.hdf5", str(path)]
    try:
        seconds = _SECONDS + path.stat().st_size / 1e7
        child = subprocess.run(command, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"cannot read the weights {path}: the HDF5 library does not come to an end: it is damaged"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror or error}") from error
    if child.returncode:
        last = (child.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        crashed = f"the HDF5 library fails on it (exit code {child.returncode}); it is damaged"
        raise UserError(f"cannot read the weights {path}: {last if child.returncode == _REFUSED else crashed}")


def _read_everything(path: Path) -> None:
    """What the child does.

    Raises:
        ValueError: The file refers to others, or claims too much.
        Exception: What h5py raises for a damaged file.
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


def _check_dataset(name: str, data, limit: int) -> int:
    """The bytes a dataset claims to hold.

    Raises:
        ValueError: They are more than `limit`, or in other files, or no numbers.
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


def _main() -> int:
    import resource

    path = Path(sys.argv[1])
    memory = _MEMORY + 3 * max(_FLOOR, _EXPANSION * path.stat().st_size)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _read_everything(path)
    except Exception as error:  # h5py raises many kinds, by where the damage is
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
