"""Features of pictures that were looked at before, on the disk, by their content."""

import sqlite3
from pathlib import Path
from types import TracebackType

import numpy as np

from crn_tf.errors import UserError, one_line
from crn_tf.files import make_folder
from crn_tf.tensors import Floats


class FeatureCache:
    """Features by network and picture, in one SQLite file, which several processes may use.

    A context manager: what was put in is on the disk after the block, however it ends.
    """

    def __init__(self, folder: Path) -> None:
        """Open the cache in a folder, which is made.

        Raises:
            UserError: It cannot be written, or is damaged.
        """
        self.path = make_folder(folder) / "features.sqlite"
        try:
            self._database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS features (network TEXT, picture TEXT, vector BLOB, "
                "PRIMARY KEY (network, picture))"
            )
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def get(self, network: str, picture: str) -> Floats | None:
        """The features float32 [d] that a network has of a picture; None if it was never asked.

        Args:
            network: Names the network and its weights.
            picture: The digest of its content.

        Raises:
            UserError: The cache is damaged.
        """
        try:
            row = self._database.execute(
                "SELECT vector FROM features WHERE network = ? AND picture = ?", (network, picture)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return np.frombuffer(row[0], np.float32) if row else None

    def put(self, network: str, picture: str, features: Floats) -> None:
        """Keep features [d].

        Raises:
            UserError: The disk is full, or the cache damaged.
        """
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                (network, picture, features.astype(np.float32).tobytes()),
            )
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: sqlite3.Error) -> UserError:
        return UserError(f"cannot use the cache of features {self.path}: {one_line(error)}; remove it, or use --cache")
