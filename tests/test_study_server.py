"""What the study's page may ask for, and what it is not told."""

import pytest
from starlette.testclient import TestClient

from crn_tf.pages.local_server import Addresses
from crn_tf.pages.study_answers import AnswersFile
from crn_tf.pages.study_plan import read_study
from crn_tf.pages.study_server import study_app
from tests.studies import events, make_study

KNOWN = Addresses(frozenset({"testserver"}), frozenset({"http://testserver"}))


@pytest.fixture
def asked(tmp_path, request):
    """A client of a study, its token, and the study's folder."""
    options = getattr(request, "param", ())
    folder = make_study(tmp_path, "--size", "5x10", *options)
    answers = AnswersFile(folder, read_study(folder))
    client = TestClient(study_app(folder, read_study(folder), answers, KNOWN))
    token = client.post("/begin", json={}).json()["token"]
    yield client, token, folder
    answers.close()


TIMED = ("--timed", "--durations", 50, "--sets", 1)


def answer(client, token, trial, **changes):
    said = {"token": token, "trial": trial, "choice": "left", "response_ms": 5, **changes}
    return client.post("/answer", json=said)


def test_a_pair_is_answered_once_and_in_order(asked):
    client, token, folder = asked
    assert answer(client, token, 1).status_code == 409
    first = answer(client, token, 0)
    assert first.status_code == 200 and first.json()["trial"] == 1
    assert answer(client, token, 0, choice="right").status_code == 409
    assert [(event["trial"], event["choice"]) for event in events(folder)] == [(0, "left")]
    assert client.post("/resume", json={"token": token}).json()["trial"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"choice": "both"},
        {"choice": None},
        {"response_ms": -1},
        {"response_ms": "5"},
        {"response_ms": True},
        {"response_ms": 1e300},
        {"response_ms": None},
    ],
)
def test_answers_that_are_none_are_refused(asked, changes):
    client, token, folder = asked
    assert answer(client, token, 0, **changes).status_code == 400
    not_a_number = f'{{"token": "{token}", "trial": 0, "choice": "left", "response_ms": NaN}}'
    said = client.post("/answer", content=not_a_number, headers={"content-type": "application/json"})
    assert said.status_code == 400 and not events(folder)


@pytest.mark.parametrize("token", ["", "nobody", 3, None, [], "\ud800"])
def test_who_is_nobody_is_not_answered(asked, token):
    client, _, folder = asked
    content = __import__("json").dumps({"token": token, "trial": 0, "choice": "left", "response_ms": 5})
    for address in ("/answer", "/resume", "/start"):
        said = client.post(address, content=content, headers={"content-type": "application/json"})
        assert said.status_code == 404
    assert not events(folder)


@pytest.mark.parametrize("asked", [TIMED], indirect=True)
def test_a_timed_pair_has_to_be_shown_and_measured(asked):
    client, token, folder = asked
    measured = {"shown_ms": 66.67, "frame_ms": 16.67}
    assert answer(client, token, 0, **measured).status_code == 409
    assert client.post("/start", json={"token": token, "trial": 0}).status_code == 200
    assert client.post("/start", json={"token": token, "trial": 0}).status_code == 200  # sent again
    assert answer(client, token, 0).status_code == 400
    assert answer(client, token, 0, **measured).status_code == 200
    (event,) = events(folder)
    assert (event["asked_ms"], event["shown_ms"], event["frame_ms"]) == (50, 66.67, 16.67)
    assert len(events(folder, "start")) == 1


def test_pictures_are_those_of_the_study_and_no_path(asked):
    client, token, folder = asked
    told = client.post("/resume", json={"token": token}).json()
    assert set(told) == {"trial", "trials", "practice", "finished", "left", "right", "duration"}
    answer_ = client.get(told["left"])
    assert answer_.headers["content-type"] == "image/png"
    assert not {"etag", "last-modified", "server"} & set(answer_.headers)
    assert answer_.content == (folder.path / told["left"].lstrip("/")).read_bytes()
    for path in ("/pictures/study.json", "/pictures/..%2Fstudy.json", "/study.json", "/pictures/%00", "/answers.jsonl"):
        assert client.get(path).status_code == 404


def test_the_page_and_its_files_are_served(asked):
    client, _, _ = asked
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html") and "<script src=" in page.text
    assert "style=" not in page.text and "onclick" not in page.text  # which the policy would not allow
    for name, kind in (("study.js", "text/javascript"), ("study.css", "text/css")):
        assert client.get(f"/{name}").headers["content-type"].startswith(kind)


def test_the_last_answer_finishes(asked):
    client, token, folder = asked
    told = client.post("/resume", json={"token": token}).json()
    for trial in range(told["trials"]):
        said = answer(client, token, trial).json()
    assert said["finished"] and len(events(folder)) == told["trials"] == 3 + 12 + 10
    assert answer(client, token, told["trials"]).status_code == 409
    assert client.post("/resume", json={"token": token}).json()["finished"]
