"""Which pairs of pictures a study shows, to whom, in which order, on which side: the paper's two protocols.

Unlimited time: each layout once for each baseline, in sets of about 100 pairs. Timed: in each set, each kind of pair at
each duration, five times. To both come sentinels: pairs of which one picture is a photograph, so that whoever does not
look is noticed. Each participant has one set. Which set and which order that is follows from the study's seed and from
how many came before, so nothing of it is kept but that.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crn_tf.errors import UserError, one_line
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.files import read_json

Kind = Literal["pair", "sentinel", "practice"]
KINDS: tuple[Kind, ...] = ("pair", "sentinel", "practice")
_SENTINEL_MS = 4000  # for which the paper's timed study shows sentinels
PRACTICE_PAIRS = 3
_SET_SIZE = 100  # pairs, about


@dataclass(frozen=True)
class Trial:
    """Two pictures of one layout.

    Attributes:
        layout: Its number.
        methods: Whose pictures; of a sentinel, the photograph comes first.
        duration: Milliseconds for which they are shown; None for as long as it takes.
        kind: What its answer is for.
    """

    layout: int
    methods: tuple[str, str]
    duration: int | None = None
    kind: Kind = "pair"


@dataclass(frozen=True)
class Shown:
    """A trial as one participant sees it: the methods on the left and on the right."""

    trial: Trial
    left: str
    right: str


@dataclass(frozen=True)
class StudyFolder:
    """The files of a study."""

    path: Path

    @property
    def plan(self) -> Path:
        """What is compared, and which picture is whose: for the owner's eyes."""
        return self.path / "study.json"

    @property
    def pictures(self) -> Path:
        """All pictures, under random names."""
        return self.path / "pictures"

    @property
    def answers(self) -> Path:
        """Every answer, a line each."""
        return self.path / "answers.jsonl"

    @property
    def report(self) -> Path:
        """What the report writes."""
        return self.path / "report"


@dataclass(frozen=True)
class Study:
    """A study, as its `study.json` keeps it.

    Attributes:
        question: What participants are asked of each pair.
        consent: What they agree to first; None if nothing.
        seed: Of all that is random, but for the pictures' names.
        size: Height and width of the pictures.
        layouts: Names of the layouts.
        pictures: File names of each method's pictures, a layout each.
        sets: The trials of each set.
        practice: The trials that everyone begins with.
        first: The method that the paper would call ours.
    """

    question: str
    consent: str | None
    seed: int
    size: tuple[int, int]
    layouts: list[str]
    pictures: dict[str, list[str]]
    sets: list[list[Trial]]
    practice: list[Trial]
    first: str

    @property
    def timed(self) -> bool:
        """Whether pictures are shown for a time only."""
        return any(trial.duration is not None for trials in self.sets for trial in trials)

    def trials(self, number: int, turn: int) -> list[Shown]:
        """What a participant sees, in order: first the practice.

        Args:
            number: Of the set.
            turn: How many had this set before.
        """
        chance = random.Random(f"{self.seed} {number} {turn}")
        own = list(self.sets[number])
        chance.shuffle(own)
        return [Shown(trial, *chance.sample(trial.methods, 2)) for trial in [*self.practice, *own]]

    def to_json(self) -> dict[str, Any]:
        """A description for `study.json`, in few words: there are thousands of trials."""
        methods = list(self.pictures)

        def short(trial: Trial) -> list[Any]:
            first, second = (methods.index(name) for name in trial.methods)
            return [trial.layout, first, second, trial.duration, KINDS.index(trial.kind)]

        return {
            "version": 1,
            "question": self.question,
            "consent": self.consent,
            "seed": self.seed,
            "size": list(self.size),
            "first": self.first,
            "layouts": self.layouts,
            "pictures": self.pictures,
            "practice": [short(trial) for trial in self.practice],
            "sets": [[short(trial) for trial in trials] for trials in self.sets],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Study":
        """The study that `to_json` described.

        Raises:
            KeyError, TypeError, ValueError, IndexError: The values are not what `to_json` writes.
        """
        if found["version"] != 1:
            raise ValueError(f"its version is {found['version']!r}, expected 1")
        methods, layouts = list(found["pictures"]), list(found["layouts"])

        def whole(short: Sequence[Any]) -> Trial:
            layout, first, second, duration, kind = short
            if not 0 <= layout < len(layouts) or min(first, second, kind) < 0:
                raise ValueError(f"a trial is {short!r}")
            return Trial(layout, (methods[first], methods[second]), duration, KINDS[kind])

        height, width = found["size"]
        if any(len(names) != len(layouts) for names in found["pictures"].values()):
            raise ValueError("a method has more or fewer pictures than there are layouts")
        return cls(
            str(found["question"]),
            found["consent"],
            int(found["seed"]),
            (int(height), int(width)),
            layouts,
            {name: list(files) for name, files in found["pictures"].items()},
            [[whole(short) for short in trials] for trials in found["sets"]],
            [whole(short) for short in found["practice"]],
            str(found["first"]),
        )


def read_study(folder: StudyFolder) -> Study:
    """Read a study's plan.

    Raises:
        UserError: The folder is no study's, or the file is damaged.
    """
    if not folder.plan.is_file():
        raise UserError(f"{folder.path} is no study: no {folder.plan}; `study new` makes one")
    try:
        return Study.from_json(read_json(folder.plan))
    except OSError as error:
        raise UserError(f"cannot read {folder.plan}: {one_line(error)}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{folder.plan} is damaged: {one_line(error)}; expected what `study new` writes") from error


class _Deck:
    """Layouts in random order: all of them once, then all of them again."""

    def __init__(self, count: int, chance: random.Random) -> None:
        self._count, self._chance = count, chance
        self._left: list[int] = []

    def draw(self) -> int:
        if not self._left:
            self._left = list(range(self._count))
            self._chance.shuffle(self._left)
        return self._left.pop()


def unlimited_sets(
    layouts: int, first: str, baselines: Sequence[str], sentinels: int, seed: int, size: int = _SET_SIZE
) -> list[list[Trial]]:
    """Sets without a limit of time: each layout once for each baseline.

    Args:
        layouts: How many there are.
        first: The method that is compared with each baseline.
        baselines: The others.
        sentinels: Of each set: the photograph against the baseline's picture, of other layouts where there are enough.
        seed: Of the order.
        size: Pairs of a set, at most; the sets of a baseline are alike in size.
    """
    chance, sets = random.Random(f"{seed} unlimited"), list[list[Trial]]()
    for baseline in baselines:
        order = list(range(layouts))
        chance.shuffle(order)
        parts = -(-layouts // size)
        for part in range(parts):
            own = order[part::parts]
            others = [layout for layout in order if layout not in set(own)]
            chance.shuffle(others)
            guards = [*others, *own]
            sets.append(
                [Trial(layout, (first, baseline)) for layout in own]
                + [
                    Trial(guards[number % layouts], (PHOTOGRAPHS, baseline), kind="sentinel")
                    for number in range(sentinels)
                ]
            )
    return sets


def timed_sets(
    layouts: int,
    first: str,
    baselines: Sequence[str],
    sentinels: int,
    seed: int,
    durations: Sequence[int],
    repeats: int = 5,
    sets: int = 10,
) -> list[list[Trial]]:
    """Timed sets: photograph and first, photograph and baseline, first and baseline, each at each duration.

    Args:
        layouts: How many there are; they take turns, so that one comes twice in a set only where there are too few.
        first: The method that is compared with each baseline.
        baselines: The others.
        sentinels: Of each set: the photograph against the last baseline's picture, for 4 s, or the
            nearest duration below it.
        seed: Of the order.
        durations: Milliseconds.
        repeats: Pairs of one kind and duration in a set.
        sets: How many.
    """
    deck = _Deck(layouts, random.Random(f"{seed} timed"))
    longest = max((duration for duration in durations if duration <= _SENTINEL_MS), default=min(durations))
    pairs = [(PHOTOGRAPHS, first)]
    for baseline in baselines:
        pairs += [(PHOTOGRAPHS, baseline), (first, baseline)]
    return [
        [Trial(deck.draw(), methods, duration) for _ in range(repeats) for duration in durations for methods in pairs]
        + [Trial(deck.draw(), (PHOTOGRAPHS, baselines[-1]), longest, "sentinel") for _ in range(sentinels)]
        for _ in range(sets)
    ]


def practice_trials(
    layouts: int, first: str, baselines: Sequence[str], durations: Sequence[int], seed: int
) -> list[Trial]:
    """What everyone begins with, so that nobody is surprised: in a timed study from the longest to the shortest."""
    chance = random.Random(f"{seed} practice")
    times: list[int | None] = [None] * PRACTICE_PAIRS
    if durations:
        ordered = sorted(durations, reverse=True)
        times = [ordered[round(i * (len(ordered) - 1) / (PRACTICE_PAIRS - 1))] for i in range(PRACTICE_PAIRS)]
    return [
        Trial(chance.randrange(layouts), (first, chance.choice(list(baselines))), time, "practice") for time in times
    ]
