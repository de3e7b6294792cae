"""Look at a data set before training on it: `crn check DATA`, or `python -m crn_tf.check DATA`.

python -m crn_tf.check camvid                  # what is in it, what is wrong with it, and a sheet to look at
python -m crn_tf.check camvid --write-classes  # a classes.json to fill the names in
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

import crn_tf
from crn_tf.checking import class_drafts, reports
from crn_tf.checking.census import Census, take_census
from crn_tf.checking.findings import Limits, find
from crn_tf.checking.opening import LOOKED_INTO, Opened, open_to_look
from crn_tf.command_line import INSTEAD, Switch, how_to_call, require_at_least_one
from crn_tf.data.class_tables import find_class_file, write_class_table
from crn_tf.data.conventions import Convention, Labels, asked_form
from crn_tf.data.datasets import KINDS, Kind
from crn_tf.data.images import write_image
from crn_tf.data.spacing import evenly_spaced
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.files import make_folder, write_text
from crn_tf.starting import silence_pillow
from crn_tf.training.settings import TrainSettings

SHEET, VALUES, CLASSES = "check.png", "check.json", "classes.json"


@dataclass(frozen=True)
class CheckSettings:
    """Look at a data set: every file, what the labels mean, what is wrong, and what to do about it."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """Folder of the data set."""
    dataset: Annotated[Kind | None, arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape"))] = (
        None
    )
    """How its files lie."""
    labels: Labels = TrainSettings.labels
    """What the label files hold, as train.py takes it; auto: found from the files."""
    max_unknown: float = TrainSettings.max_unknown
    """Share of the labels' pixels that may be in no class table."""
    max_unreadable: float = TrainSettings.max_unreadable
    """Share of the pairs that may be incomplete or unreadable."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Look at so many pairs of each split only, evenly spaced."""
    rows: int = 6
    """Pairs on the sheet."""
    out: Path = Path("check")
    """Folder for the sheet and the JSON file."""
    write_classes: Switch = False
    """Write a classes.json into the data set's folder, made of the ids or colours that were found, for the names to be
    filled in; into --out if there is a class list already."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at a data set, and say what was found.

    Args:
        arguments: Instead of this process' command line.

    Returns:
        The exit code: 1 if the data set could not be trained on.

    Raises:
        UsageError: A number is out of its range.
        UserError: There is no data set, or something cannot be written.
    """
    silence_pillow()
    settings = tyro.cli(CheckSettings, args=arguments, prog=how_to_call("check"))
    check_ranges(settings)
    asked = asked_form(settings.labels)
    opened = open_to_look(settings.data, settings.dataset, asked, settings.max_unreadable)
    make_folder(settings.out)
    censuses = {name: take(opened, name, settings.limit) for name in LOOKED_INTO if name in opened.splits}
    findings = find(opened, censuses, Limits(settings.max_unknown, settings.max_unreadable))
    print("\n".join(reports.describe(opened, censuses, findings)))

    values = reports.as_json(opened, censuses, findings, crn_tf.__version__)
    write_text(settings.out / VALUES, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    written = [settings.out / VALUES]
    pairs = [one for census in censuses.values() for one in census.pairs]
    sheet = reports.draw_overview(opened.convention or draft(censuses), pairs, settings.rows)
    if sheet is not None:
        write_image(settings.out / SHEET, sheet)
        written.insert(0, settings.out / SHEET)
    print(f"look at {written[0]}; all there is to know is in {settings.out / VALUES}")
    if settings.write_classes:
        print(f"{write_classes(settings, opened, censuses)}: fill in the names")
    return int(any(finding.level == "problem" for finding in findings))


def check_ranges(settings: CheckSettings) -> None:
    """Compare numbers with what they may be.

    Raises:
        UsageError: One is out of its range, or the data set is built in.
    """
    if settings.dataset == "toy":
        raise UsageError("the toy data set is built in: there is nothing to check")
    for name in ("max_unknown", "max_unreadable"):
        if not 0 <= getattr(settings, name) <= 1:
            raise UsageError(f"--{name.replace('_', '-')} must be 0 to 1, not {getattr(settings, name):g}")
    require_at_least_one(settings, "limit", "rows")


def take(opened: Opened, split: str, limit: int | None) -> Census:
    """Look at the pairs of a split, or at some of them, evenly spaced."""
    pairs = opened.splits[split].pairs
    some = [pairs[index] for index in evenly_spaced(limit or len(pairs), len(pairs))]
    return Census(list(take_census(some, opened.convention)), opened.classes if opened.convention else None)


def draft(censuses: dict[str, Census]) -> Convention | None:
    """How layouts may be shown that no class table is known for; None if they cannot be."""
    try:
        return class_drafts.draft_convention(censuses.values())
    except UserError:  # --write-classes says why
        return None


def write_classes(settings: CheckSettings, opened: Opened, censuses: dict[str, Census]) -> Path:
    """Write a class list made of what was found, and return where.

    Raises:
        UserError: No list can be made, or one that was written before is there.
    """
    if opened.convention:
        table = class_drafts.extended(opened.convention.classes, censuses.values())
    else:
        table = class_drafts.draft_convention(censuses.values()).classes
    taken = find_class_file(settings.data) or find_class_file(opened.tree.root)
    path = (settings.out if taken else opened.tree.root) / CLASSES
    if path.exists():
        raise UserError(f"{path} is there already: move it elsewhere first, so that nothing in it is lost")
    write_class_table(path, table)
    return path


if __name__ == "__main__":
    run_command(main)
