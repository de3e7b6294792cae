"""What a study's answers say: which method is preferred, how surely, and how that depends on the time to look."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scipy.stats import binomtest

from crn_tf.errors import UserError, one_line
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.files import make_folder, write_text, written_aside
from crn_tf.pages.study_answers import read_events
from crn_tf.pages.study_plan import Study, StudyFolder

LEVEL = 0.95  # of the intervals
_OFF_FRAMES = 2.5  # between what was asked for and what was shown, at most
_COLUMNS = (
    *("participant", "trial", "kind", "layout", "left", "right", "choice", "chosen"),
    *("asked_ms", "shown_ms", "frame_ms", "response_ms", "counted"),
)


@dataclass(frozen=True)
class Preference:
    """How often one method was preferred to another.

    Attributes:
        method: The one.
        over: The other.
        duration: Milliseconds that were asked for; None without a limit.
        shown: Median of the milliseconds that were measured.
        answers: How many there are.
        preferred: How many of them are for the one.
        share: Of them.
        low: Of the 95 % interval, after Clopper and Pearson.
        high: Likewise.
        p: Of answers at least so one-sided, if nobody could tell (two-sided binomial test).
    """

    method: str
    over: str
    duration: int | None
    shown: float | None
    answers: int
    preferred: int
    share: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Counts:
    """Who and what is in a report.

    Attributes:
        begun: Participants.
        unfinished: Those of them who have not answered all pairs.
        failed: Those of them who failed too many sentinels, and are left out.
        counted: Those whose answers count.
        interrupted: Pairs that were shown to those and not answered.
        off: Answers of those that are left out because the pictures were not shown for as long as they should be.
    """

    begun: int
    unfinished: int
    failed: int
    counted: int
    interrupted: int
    off: int


@dataclass(frozen=True)
class Report:
    """What a study's answers say."""

    preferences: list[Preference]
    counts: Counts
    answers: list[dict[str, Any]]  # every one, with "chosen" and "counted"


def read_report(folder: StudyFolder, study: Study, allowed: int = 0, unfinished: bool = False) -> Report:
    """Read a study's answers, and count.

    Args:
        folder: The study's.
        study: Its plan.
        allowed: Sentinels that a participant may fail.
        unfinished: Whether the answers of those count who have not finished.

    Raises:
        UserError: There are no answers, or the file is damaged.
    """
    events, _ = read_events(folder.answers)
    if not any(event["event"] == "answer" for event in events):
        raise UserError(f"{folder.path} has no answers yet; expected some in {folder.answers}")
    try:
        return _count(study, events, allowed, unfinished)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(
            f"{folder.answers} does not belong to {folder.plan}: {one_line(error)}; expected the file that "
            "`study serve` wrote for it"
        ) from error


def _count(study: Study, events: Sequence[dict[str, Any]], allowed: int, unfinished: bool) -> Report:
    sets = {event["participant"]: event["set"] for event in events if event["event"] == "begin"}
    answers = [
        {**event, "chosen": event["left"] if event["choice"] == "left" else event["right"]}
        for event in events
        if event["event"] == "answer"
    ]
    resolved = [event for event in events if event["event"] in ("answer", "interrupted")]
    done = {who: sum(event["participant"] == who for event in resolved) for who in sets}
    open_still = {who for who, number in sets.items() if done[who] < len(study.practice) + len(study.sets[number])}
    wrong = [each for each in answers if each["kind"] == "sentinel" and each["chosen"] != PHOTOGRAPHS]
    failed = {who for who in sets if sum(each["participant"] == who for each in wrong) > allowed}
    counted = set(sets) - failed - (set() if unfinished else open_still)
    off = 0
    for each in answers:
        theirs = each["kind"] == "pair" and each["participant"] in counted
        each["counted"] = theirs and not _is_off(each)
        off += theirs and not each["counted"]
    interrupted = sum(event["event"] == "interrupted" and event["participant"] in counted for event in resolved)
    counts = Counts(len(sets), len(open_still), len(failed), len(counted), interrupted, off)
    return Report(list(_preferences(study, [each for each in answers if each["counted"]])), counts, answers)


def _is_off(answer: dict[str, Any]) -> bool:
    """Whether the pictures were not shown for as long as they should be: the window was covered, the machine busy."""
    if answer["asked_ms"] is None:
        return False
    return bool(abs(answer["shown_ms"] - answer["asked_ms"]) > _OFF_FRAMES * answer["frame_ms"])


def _preferences(study: Study, answers: Iterable[dict[str, Any]]) -> Iterable[Preference]:
    """Of each pair of methods, by duration; as the paper, photographs over methods, and the first over baselines."""
    order = [PHOTOGRAPHS, study.first, *(name for name in study.pictures if name not in (PHOTOGRAPHS, study.first))]
    groups: dict[tuple[int, int, int | None], list[dict[str, Any]]] = {}
    for each in answers:
        one, other = sorted((order.index(each["left"]), order.index(each["right"])))
        groups.setdefault((one, other, each["asked_ms"]), []).append(each)
    for (one, other, asked), group in sorted(groups.items(), key=lambda item: (*item[0][:2], item[0][2] or 0)):
        preferred = sum(each["chosen"] == order[one] for each in group)
        test = binomtest(preferred, len(group))
        interval = test.proportion_ci(LEVEL, method="exact")
        shown = None if asked is None else round(median(each["shown_ms"] for each in group), 1)
        yield Preference(
            order[one],
            order[other],
            asked,
            shown,
            len(group),
            preferred,
            preferred / len(group),
            float(interval.low),
            float(interval.high),
            float(test.pvalue),
        )


def table(report: Report) -> str:
    """The report as Markdown, which can be read as it is."""
    timed = any(each.duration is not None for each in report.preferences)
    heads = ["preferred", *(["asked ms", "shown ms"] if timed else []), "answers", "share", "95 % interval", "p"]
    lines = [heads, ["---"] * len(heads)]
    for each in report.preferences:
        times = [str(each.duration or "-"), "-" if each.shown is None else f"{each.shown:g}"] if timed else []
        lines.append(
            [
                *(_cell(f"{each.method} over {each.over}"), *times),
                *(f"{each.preferred} of {each.answers}", f"{each.share:.1%}"),
                *(f"{each.low:.1%} to {each.high:.1%}", f"{each.p:.2g}"),
            ]
        )
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{rows}\n\n{in_words(report.counts)}\n"


def in_words(counts: Counts) -> str:
    """Who and what is in a report, and what is not."""
    return (
        f"{counts.counted} of {counts.begun} participants count; {counts.failed} failed sentinels and are left out, "
        f"{counts.unfinished} have not finished. Of those who count, {counts.interrupted} pairs were shown and not "
        f"answered, and {counts.off} answers are left out because their pictures were not shown for as long as they "
        "should be. Intervals are Clopper and Pearson's, p values those of a two-sided binomial test."
    )


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def write_report(folder: Path, report: Report) -> list[Path]:
    """Write a report: `report.md`, `report.json`, `answers.csv`, and `durations.png` of a timed study.

    Returns:
        The files.

    Raises:
        UserError: The folder cannot be written.
    """
    make_folder(folder)
    whole = {"preferences": [asdict(each) for each in report.preferences], "counts": asdict(report.counts)}
    texts = {
        "report.md": table(report),
        "report.json": json.dumps(whole, indent=1, ensure_ascii=False) + "\n",
        "answers.csv": _csv(report.answers),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    written = [folder / name for name in texts]
    if any(each.duration is not None for each in report.preferences):
        written.append(folder / "durations.png")
        _draw(written[-1], report.preferences)
    return written


def _csv(answers: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for each in answers:
        writer.writerow({key: _no_formula(value) for key, value in each.items()})
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """A name as a spreadsheet takes it for a text: one that begins with such a sign would be computed."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _draw(path: Path, preferences: Sequence[Preference]) -> None:
    """Draw shares by duration, as the paper's figure does: durations on a logarithmic axis, a line for each pair."""
    from matplotlib.figure import Figure  # only here: it takes a second

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    pairs = dict.fromkeys((each.method, each.over) for each in preferences)
    for number, (method, over) in enumerate(pairs):
        points = [each for each in preferences if (each.method, each.over) == (method, over) and each.shown]
        aside = 1 + 0.02 * (number - (len(pairs) - 1) / 2)  # so that intervals do not hide each other
        times, shares = [(each.shown or 0) * aside for each in points], [100 * each.share for each in points]
        reach = [
            [100 * (each.share - each.low) for each in points],
            [100 * (each.high - each.share) for each in points],
        ]
        label = f"{method} over {over}".replace("$", r"\$")
        axes.errorbar(times, shares, reach, marker="o", capsize=3, linewidth=1.5, label=label)
    ticks = sorted({each.duration for each in preferences if each.duration})
    axes.axhline(50, color="grey", linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick / 1000:g} s" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("time shown")
    axes.set_ylabel("preferred, per cent of answers (95 % intervals)")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    with written_aside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
