"""What was found, for people and programs: `evaluation.json`, a table, and the lines that belong under it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crn_tf.evaluation.judging import Evidence
from crn_tf.evaluation.measures import scores_of_layouts
from crn_tf.evaluation.methods import MEAN_COLORS, Judged
from crn_tf.files import write_text

JSON_FILE, TABLE_FILE = "evaluation.json", "evaluation.md"
# Rows of the table: a measure's key, what it is called, which way is better, how many decimals.
_ROWS = (
    ("mean_iou", "mean IoU", "↑", 3),
    ("pixel_accuracy", "pixel accuracy", "↑", 3),
    ("class_accuracy", "class accuracy", "↑", 3),
    ("kid", "KID", "↓", 4),
    ("fid", "FID", "↓", 2),
    ("precision", "precision", "↑", 2),
    ("recall", "recall", "↑", 2),
    ("content_loss", "content loss", "↓", 3),
    ("content_loss_best", "content loss, best of k", "↓", 3),
    ("diversity", "diversity", "↑", 3),
    ("l1", "L1 (of 255)", "↓", 1),
    ("psnr", "PSNR (dB)", "↑", 2),
    ("ssim", "SSIM", "↑", 3),
    ("seconds_per_layout", "seconds a layout", "", 3),
)
_FEW_GROUPS = 20
_OF_SEVERAL = ("content_loss_best", "diversity")  # that say nothing of one picture for each layout


def table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table: a row for each measure, a column for each method, 95 % intervals in brackets."""
    several = any(numbers["images_of_each_layout"] > 1 for numbers in methods.values())
    rows = [["", *methods]]
    for key, title, better, digits in _ROWS:
        if (key in _OF_SEVERAL and not several) or all(numbers.get(key) is None for numbers in methods.values()):
            continue
        rows.append([f"{title} {better}".strip(), *(cell(numbers, key, digits) for numbers in methods.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "| " + " | ".join("-" * max(3, width) for width in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def cell(numbers: Mapping[str, Any], key: str, digits: int) -> str:
    """A method's number and its interval; a dash if there is none.

    Args:
        numbers: Of the method.
        key: Of the number.
        digits: Behind the point.
    """
    value, ends = numbers.get(key), numbers.get(f"{key}_interval")
    if value is None:
        return "-"
    return f"{value:.{digits}f}" + (f" ({ends[0]:.{digits}f} ... {ends[1]:.{digits}f})" if ends else "")


def notes(
    networks: Mapping[str, Mapping[str, Any]],
    layouts: int,
    groups: int,
    size: tuple[int, int],
    methods: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What has to be known to read the table: whose numbers they are, and what flatters whom.

    Args:
        networks: Segmenter, features and perceiver.
        layouts: How many were judged.
        groups: How many groups of neighbours they are.
        size: Height and width that were scored.
        methods: Numbers of each, for the reason why there is no FID, and what a model was trained against.
    """
    segmenter, features, perceiver = (networks[name] for name in ("segmenter", "features", "perceiver"))
    lines = [
        f"{layouts} layouts at {size[0]}x{size[1]}; segmenter: {segmenter['name']}; features: {features['name']}; "
        f"content loss: {perceiver['name']}",
        "in brackets: 95 % intervals"
        + (f", from {groups} groups of neighbouring frames" if groups < layouts else f", from {groups} pictures")
        + (": too few to be exact" if groups < _FEW_GROUPS else ""),
        "photographs are the ceiling of the segmentation score, mean colours the floor",
    ]
    shared = [title for title, one in (("segmenter", segmenter), ("features", features)) if _shares(one)]
    if shared:
        lines.append(
            f"warning: {' and '.join(shared)} share their layers with the perceiver: they flatter methods that were "
            "trained with a perceptual loss on VGG19, and so does the content loss"
        )
    lines += _about_training(segmenter, methods)
    refused = next((str(one["fid_reason"]) for one in methods.values() if "fid_reason" in one), None)
    return lines + ([f"FID: {refused}"] if refused else [])


def _about_training(segmenter: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each model that was trained to please a segmenter: whether that is the judge, or how far it is one."""
    lines = []
    for name, numbers in methods.items():
        against = numbers.get("about", {}).get("trained_against")
        if against is None:
            continue
        if Path(against).name == Path(segmenter.get("folder", "")).name:  # the name is a checksum of all that made it
            lines.append(
                f"warning: {name} was trained against this very segmenter: its segmentation score says nothing"
            )
        elif "folder" in segmenter:
            lines.append(f"{name} was trained against another segmenter of this kind: its mean IoU flatters it")
        else:
            lines.append(f"{name} was trained against a segmenter, of another kind than this one")
    return lines


def _shares(network: Mapping[str, Any]) -> bool:
    return bool(network["shares_features_with_training"])


def comparison_lines(comparisons: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> list[str]:
    """Lines like "A better than B on 84 of 101 layouts (content loss, p = 0.001)", without those about the floor."""
    lines = []
    for row in comparisons:
        if row["measure"] not in measures or MEAN_COLORS in (row["first"], row["second"]):
            continue
        first, second, better = row["first"], row["second"], row["better"]
        if row["worse"] > better:
            first, second, better = second, first, row["worse"]
        measure = row["measure"].replace("_", " ")
        p_value = f"p = {row['p_value']:.2g}" if row["p_value"] >= 1e-4 else "p < 0.0001"
        lines.append(f"{first} better than {second} on {better} of {row['pictures']} layouts ({measure}, {p_value})")
    return lines


def picture_rows(judged: Judged, found: Sequence[Evidence], layouts_classes: Sequence[list[str]]) -> list[Any]:
    """A row for each layout, as JSON values: its files, its classes, each method's pictures and their scores."""
    scores = {one.method.name: scores_of_layouts(one) for one in found}
    rows = []
    for position, name in enumerate(judged.names):
        layout, photo = judged.files(position)
        methods = {
            one.method.name: {
                "files": [str(path.resolve()) for path in one.method.files(position)],
                "scores": {key: _finite(values[position]) for key, values in scores[one.method.name].items()},
            }
            for one in found
        }
        rows.append(
            {
                "name": name,
                "layout": str(layout.resolve()) if layout else None,
                "photograph": str(photo.resolve()) if photo else None,
                "classes": layouts_classes[position],
                "methods": methods,
            }
        )
    return rows


def _finite(value: Any) -> float | None:
    """A number as JSON has it."""
    return float(value) if np.isfinite(value) else None


def write_reports(folder: Path, result: Mapping[str, Any], text: str) -> tuple[Path, Path]:
    """Write everything as JSON, and the table as Markdown.

    Args:
        folder: That is made.
        result: JSON values, without NaN and infinite numbers.
        text: The table and the lines under it.

    Returns:
        The two files.

    Raises:
        UserError: The folder cannot be written.
        ValueError: A number is not finite.
    """
    values, words = folder / JSON_FILE, folder / TABLE_FILE
    write_text(values, json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(words, text + "\n")
    return values, words
