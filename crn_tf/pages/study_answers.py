"""A study's answers on the disk: a line each, which is there for good before the next pair appears.

A line holds no names, no addresses and no times of day. Of a participant's token it holds a digest, by which nobody
else can answer in their place.
"""

import hashlib
import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crn_tf.errors import UserError, one_line
from crn_tf.files import lock, synchronize, system_words
from crn_tf.pages.study_plan import Shown, Study, StudyFolder


@dataclass
class Participant:
    """How far a participant is.

    Attributes:
        trials: What they see, in order.
        resolved: How many of those are answered, or can be answered no more.
        started: Whether the pictures of the next one have been shown.
    """

    number: int
    turn: int
    trials: list[Shown] = field(repr=False)
    resolved: int = 0
    started: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""
        return self.resolved == len(self.trials)


def digest(token: str) -> str:
    """What is kept of a participant's token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()[:16]


def read_events(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file of answers.

    Args:
        path: The file; it may be missing.

    Returns:
        The lines, and how many bytes they take. What follows those is half a line, which no participant was told of.

    Raises:
        UserError: The file cannot be read, or a line is none of a study's.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UserError(f"cannot read {path}: {system_words(error)}") from error
    whole = content.rfind(b"\n") + 1
    events: list[dict[str, Any]] = []
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            event = json.loads(line)
            if event["event"] not in _EVENTS or not isinstance(event["participant"], str):
                raise ValueError("it is no event of a study")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path} is damaged in line {number}: {one_line(error)}; mend or remove the line"
            ) from error
        events.append(event)
    return events, whole


_EVENTS = ("begin", "start", "answer", "interrupted")


class AnswersFile:
    """The file, and what follows from it: who takes part, and how far they are. One process at a time has it."""

    def __init__(self, folder: StudyFolder, study: Study) -> None:
        """Open or make the file, and take up where it ends.

        Raises:
            UserError: Another process serves the study, or the file is damaged or cannot be written.
        """
        self._path, self._study = folder.answers, study
        self._lock = lock(folder.path / ".serving", f"{folder.path} is being served by another process")
        events, whole = read_events(self._path)
        self.participants: dict[str, Participant] = {}
        for number, event in enumerate(events, 1):
            try:
                self._take(event)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise UserError(
                    f"{self._path}, line {number}, does not belong to {folder.plan}; expected the file that "
                    "`study serve` wrote for it"
                ) from error
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._file, whole)
            os.lseek(self._file, whole, os.SEEK_SET)
            os.fsync(self._file)
            synchronize(folder.path)
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {system_words(error)}") from error
        self._end = whole

    def close(self) -> None:
        """Let others have the file."""
        os.close(self._file)
        self._lock.close()

    def find(self, token: str) -> Participant | None:
        """Whom a token belongs to."""
        return self.participants.get(digest(token))

    def begin(self) -> str:
        """Let somebody take part: with the set that fewest have.

        Returns:
            Their token, which is kept nowhere else.

        Raises:
            UserError: The disk is full.
        """
        token = secrets.token_urlsafe(16)
        had = Counter(participant.number for participant in self.participants.values())
        number = min(range(len(self._study.sets)), key=lambda each: (had[each], each))
        self._write({"event": "begin", "participant": digest(token), "set": number, "turn": had[number]})
        return token

    def start(self, token: str) -> None:
        """The pictures of a participant's next pair are about to be shown.

        Raises:
            UserError: The disk is full.
        """
        who = self.participants[digest(token)]
        self._write({"event": "start", "participant": digest(token), "trial": who.resolved})

    def interrupt(self, token: str) -> None:
        """A participant's next pair was shown and not answered; it is not shown again.

        Raises:
            UserError: The disk is full.
        """
        who = self.participants[digest(token)]
        self._write({"event": "interrupted", "participant": digest(token), "trial": who.resolved})

    def answer(
        self, token: str, choice: str, shown_ms: float | None, frame_ms: float | None, response_ms: float
    ) -> None:
        """A participant's answer to the next pair. When this returns, it is on the disk.

        Args:
            token: The participant's.
            choice: "left" or "right".
            shown_ms: How long the pictures were to be seen, measured; None if until the answer.
            frame_ms: The time between two of the browser's frames.
            response_ms: From when an answer was possible until it came.

        Raises:
            UserError: The disk is full; there is no answer.
        """
        who = self.participants[digest(token)]
        shown = who.trials[who.resolved]
        self._write(
            {
                "event": "answer",
                "participant": digest(token),
                "trial": who.resolved,
                "kind": shown.trial.kind,
                "layout": self._study.layouts[shown.trial.layout],
                "left": shown.left,
                "right": shown.right,
                "choice": choice,
                "asked_ms": shown.trial.duration,
                "shown_ms": shown_ms,
                "frame_ms": frame_ms,
                "response_ms": response_ms,
            }
        )

    def _write(self, event: dict[str, Any]) -> None:
        """Add a line, wait until it is on the disk, and take it to be true.

        Raises:
            UserError: The disk is full; the file is as it was.
        """
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise UserError(f"cannot write {self._path}: {system_words(error)}") from error
        self._end += len(line)
        self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        """What follows from a line.

        Raises:
            KeyError, IndexError, TypeError, ValueError: The line does not follow from those before it.
        """
        name = event["participant"]
        if event["event"] == "begin":
            if name in self.participants:
                raise ValueError("begun twice")
            number, turn = int(event["set"]), int(event["turn"])
            self.participants[name] = Participant(number, turn, self._study.trials(number, turn))
            return
        who = self.participants[name]
        if event["trial"] != who.resolved or who.finished:
            raise ValueError("not the next trial")
        if event["event"] == "start":
            who.started = True
            return
        who.resolved += 1
        who.started = False
