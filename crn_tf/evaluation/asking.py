"""What an evaluation is asked to judge: names and folders, as they are typed."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from crn_tf.errors import UsageError
from crn_tf.evaluation.methods import MEAN_COLORS, PHOTOGRAPHS
from crn_tf.saved.run_folder import no_weights


def parse_folders(named: Iterable[str], option: str = "--images", taken: Iterable[str] = ()) -> dict[str, Path]:
    """Methods' names and folders, from NAME=FOLDER.

    Args:
        named: What was typed.
        option: Behind which option.
        taken: Names of other methods.

    Raises:
        UsageError: One is not like that, has a name that is taken, or there is no such folder.
    """
    folders: dict[str, Path] = {}
    for text in named:
        name, is_, folder = text.partition("=")
        if not (is_ and name and folder):
            raise UsageError(f"{option} {text}: expected NAME=FOLDER, such as SPADE=results/spade")
        _check_name(name, [*taken, *folders])
        if not Path(folder).is_dir():
            raise UsageError(f"{option} {text}: there is no folder {folder}")
        folders[name] = Path(folder)
    return folders


def parse_models(named: Iterable[str], taken: Iterable[str]) -> dict[str, Path]:
    """Methods' names and models, from MODEL or NAME=MODEL; a model without a name is called as its folder or file.

    Args:
        named: What was typed.
        taken: Names of other methods.

    Raises:
        UsageError: A name is taken.
        UserError: There is no such model.
    """
    models: dict[str, Path] = {}
    for text in named:
        name, is_, model = text.partition("=")
        path = Path(text if Path(text).exists() or not is_ else model)
        if not any(one.exists() for one in (path, Path(f"{path}.index"))):  # of a release checkpoint
            raise no_weights(path)
        if path == Path(text):
            folder = path.resolve()
            own_names = path.is_dir() or not path.name.endswith(".weights.h5")
            name = folder.name if path.is_dir() else folder.parent.name if own_names else path.name.partition(".")[0]
        _check_name(name, [*taken, *models])
        models[name] = path
    return models


def _check_name(name: str, taken: Iterable[str]) -> None:
    """Check that a method can be called so.

    Raises:
        UsageError: Another is called so, or the name would be no name of a folder.
    """
    if name in (PHOTOGRAPHS, MEAN_COLORS, *taken):
        raise UsageError(f"two methods are called {name!r}: give each a name of its own, with NAME=...")
    if "/" in name or name.startswith("."):
        raise UsageError(f"a method cannot be called {name!r}: its pictures are kept in a folder of that name")


def user_cache() -> Path:
    """Where programs keep for this user what they can make again."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "crn_tf"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "crn_tf"


def outside_of(data: Path | None, option: str, folder: Path) -> None:
    """Check that nothing is going to be written into the data.

    Raises:
        UsageError: The folder of an option lies in the data's.
    """
    if data and data.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(f"{option} {folder} lies in the data's folder {data}: name one outside of it")
