"""What splits are called, and split lists: text files with the name of a photograph in each line."""

import re
import unicodedata
from pathlib import Path

from crn_tf.data.images import SUFFIXES
from crn_tf.errors import UserError
from crn_tf.files import read_small_text

# What splits are called, in any case of letters; others keep their names.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_lists(folder: Path) -> dict[str, frozenset[str]]:
    """The split lists of a folder.

    Raises:
        UserError: A list cannot be read.
    """
    found = {}
    for path in sorted(folder.glob("*.txt")):
        split = SPLITS.get(path.stem.lower(), "trainval" if path.stem.lower() == "trainval" else None)
        if split:
            try:
                lines = read_small_text(path).splitlines()
            except (OSError, ValueError) as error:
                raise UserError(f"cannot read the split list {path}: {error}; expected a name in each line") from error
            found[split] = frozenset(_list_name(line) for line in lines if line.strip())
    return found


def _list_name(line: str) -> str:
    """The photograph that a line names, alone or before its label, without folders and suffix."""
    match = _LISTED.match(line.strip())
    name = match[1] if match else line.strip()
    return unicodedata.normalize("NFC", name.rpartition("/")[2])


_LISTED = re.compile(rf"(.+?)({'|'.join(map(re.escape, SUFFIXES))})(?=\s|$)", re.I)
