"""The study's page and what it asks the server for.

A participant has a token, which the page keeps in its address and sends along. The next pair is told only when the
answer to the one before is on the disk.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from crn_tf.pages.guard import Addresses
from crn_tf.pages.local_server import guarded, json_object, static_routes
from crn_tf.pages.study_answers import AnswersFile, Participant
from crn_tf.pages.study_plan import Study, StudyFolder

_LARGEST = 4096  # bytes of a request: an answer has some 200
_LONGEST_MS = 1e8  # that a page may say something took


class StudyPage:
    """What the page asks for."""

    def __init__(self, folder: StudyFolder, study: Study, answers: AnswersFile) -> None:
        """Serve a study from its folder."""
        self._study, self._answers = study, answers
        # All names there are: what a request asks for is looked up, and never becomes a path.
        self._pictures = {name: folder.pictures / name for names in study.pictures.values() for name in names}

    def routes(self) -> list[BaseRoute]:
        """What can be asked for."""
        return [
            *static_routes("study", {"/": "index.html", "/study.css": "study.css", "/study.js": "study.js"}),
            Route("/study", self.about, methods=["GET"]),
            Route("/pictures/{name}", self.picture, methods=["GET"]),
            Route("/begin", self.begin, methods=["POST"]),
            Route("/resume", self.resume, methods=["POST"]),
            Route("/start", self.start, methods=["POST"]),
            Route("/answer", self.answer, methods=["POST"]),
        ]

    async def about(self, request: Request) -> Response:
        """What everybody may know."""
        study = self._study
        height, width = study.size
        return JSONResponse(
            {
                "question": study.question,
                "consent": study.consent,
                "timed": study.timed,
                "height": height,
                "width": width,
            }
        )

    async def picture(self, request: Request) -> Response:
        """A picture, without anything that would tell when it was made."""
        path = self._pictures.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "no such picture")
        try:
            return Response(path.read_bytes(), media_type="image/png")
        except OSError as error:
            raise HTTPException(500, "the picture cannot be read") from error

    async def begin(self, request: Request) -> Response:
        """A new participant."""
        json_object(await request.body(), request.headers.get("content-type"))
        token = self._answers.begin()
        return JSONResponse({"token": token, **self._next(self._answers.find(token))})

    async def resume(self, request: Request) -> Response:
        """Where a participant stopped. A timed pair that they have seen is not shown again."""
        token, who, _ = await self._participant(request)
        if who.started:
            self._answers.interrupt(token)
        return JSONResponse(self._next(who))

    async def start(self, request: Request) -> Response:
        """The pictures of a timed pair are about to be shown."""
        token, who, said = await self._participant(request)
        self._check_trial(who, said)
        if not who.started:
            self._answers.start(token)
        return JSONResponse({})

    async def answer(self, request: Request) -> Response:
        """An answer. The next pair goes back when it is on the disk."""
        token, who, said = await self._participant(request)
        self._check_trial(who, said)
        choice = said.get("choice")
        if choice not in ("left", "right"):
            raise HTTPException(400, "expected the choice left or right")
        timed = who.trials[who.resolved].trial.duration is not None
        if timed and not who.started:
            raise HTTPException(409, "the pair has not been shown")
        shown = _milliseconds(said, "shown_ms") if timed else None
        frame = _milliseconds(said, "frame_ms") if timed else None
        self._answers.answer(token, choice, shown, frame, _milliseconds(said, "response_ms"))
        return JSONResponse(self._next(who))

    async def _participant(self, request: Request) -> tuple[str, Participant, dict[str, Any]]:
        """Who asks, and what they say.

        Raises:
            HTTPException: There is no such participant.
        """
        said = json_object(await request.body(), request.headers.get("content-type"))
        token = said.get("token")
        who = self._answers.find(token) if isinstance(token, str) else None
        if who is None or not isinstance(token, str):
            raise HTTPException(404, "no such participant")
        return token, who, said

    def _check_trial(self, who: Participant, said: dict[str, Any]) -> None:
        """Compare the pair that a page speaks of with the participant's next.

        Raises:
            HTTPException: It is another one: answered already, in another window or before the connection broke.
        """
        if said.get("trial") != who.resolved or who.finished:
            raise HTTPException(409, "this pair is not the next one")

    def _next(self, who: Participant | None) -> dict[str, Any]:
        """The next pair, as the page has to know it: not which method is where, nor which pair is a sentinel."""
        assert who is not None
        practice = len(self._study.practice)
        counts = {"trial": who.resolved, "trials": len(who.trials), "practice": practice}
        if who.finished:
            return {**counts, "finished": True}
        shown = who.trials[who.resolved]

        def address(method: str) -> str:
            return f"/pictures/{self._study.pictures[method][shown.trial.layout]}"

        return {
            **counts,
            "finished": False,
            "left": address(shown.left),
            "right": address(shown.right),
            "duration": shown.trial.duration,
        }


def _milliseconds(said: dict[str, Any], name: str) -> float:
    """A time that a page has measured.

    Raises:
        HTTPException: It is none.
    """
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST_MS:  # nor NaN
        raise HTTPException(400, f"expected milliseconds as {name}")
    return round(float(value), 2)


def study_app(folder: StudyFolder, study: Study, answers: AnswersFile, known: Addresses) -> ASGIApp:
    """The application that serves a study."""
    return guarded(StudyPage(folder, study, answers).routes(), known, _LARGEST)
