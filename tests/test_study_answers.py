"""Answers on the disk: whole or not there, and never twice."""

import json
import random
import re
import threading
from http.client import HTTPException

import pytest

from crn_tf.errors import UserError
from crn_tf.pages.study_answers import AnswersFile, read_events
from crn_tf.pages.study_plan import read_study
from tests.full_disk import full_disk
from tests.studies import events, make_study, post, served


@pytest.fixture
def folder(tmp_path):
    return make_study(tmp_path, "--sentinels", 1, "--pairs", 6, "--size", "5x10")


def test_it_goes_on_where_it_ended(folder):
    study = read_study(folder)
    answers = AnswersFile(folder, study)
    one, two, three = (answers.begin() for _ in range(3))
    assert [answers.find(token).number for token in (one, two, three)] == [0, 1, 0]  # two sets take turns
    assert [answers.find(token).turn for token in (one, two, three)] == [0, 0, 1]
    answers.answer(one, "left", None, None, 812.5)
    answers.start(two)
    answers.close()
    again = AnswersFile(folder, study)
    assert (again.find(one).resolved, again.find(two).resolved, again.find(two).started) == (1, 0, True)
    assert again.find("nobody") is None
    text = folder.answers.read_text()
    assert one not in text and two not in text, "who reads the file could answer in their place"
    (answer,) = events(folder)
    shown = study.trials(0, 0)[0]
    assert (answer["left"], answer["right"], answer["choice"]) == (shown.left, shown.right, "left")
    assert answer["layout"] == study.layouts[shown.trial.layout] and answer["kind"] == "practice"
    with pytest.raises(UserError, match="another process"):
        AnswersFile(folder, study)
    again.close()


def test_half_a_line_is_taken_away_and_other_damage_is_named(folder):
    study = read_study(folder)
    answers = AnswersFile(folder, study)
    token = answers.begin()
    answers.answer(token, "right", None, None, 1.0)
    answers.close()
    whole = folder.answers.read_bytes()
    folder.answers.write_bytes(whole + b'{"event": "answer", "parti')
    assert read_events(folder.answers)[1] == len(whole)
    again = AnswersFile(folder, study)
    again.answer(token, "left", None, None, 2.0)
    again.close()
    assert [event["choice"] for event in events(folder)] == ["right", "left"]
    lines = whole.splitlines(keepends=True)
    for wrong, words in (
        (b"{}\n" + whole, "line 1"),
        (lines[0] + b"\xff\n" + lines[1], "line 2"),
        (lines[1], "line 1, does not belong"),
        (whole + lines[1], "line 3, does not belong"),
        (lines[0] * 2, "line 2, does not belong"),
    ):
        folder.answers.write_bytes(wrong)
        with pytest.raises(UserError, match=words):
            AnswersFile(folder, study)


def test_on_a_full_disk_there_is_no_answer_and_no_half_line(folder):
    answers = AnswersFile(folder, read_study(folder))
    token = answers.begin()
    before = folder.answers.read_bytes()
    with full_disk(len(before) + 20), pytest.raises(UserError, match="cannot write"):
        answers.answer(token, "left", None, None, 1.0)
    assert folder.answers.read_bytes() == before and answers.find(token).resolved == 0
    answers.answer(token, "left", None, None, 1.0)
    assert len(events(folder)) == 1
    answers.close()


def test_a_kill_at_any_moment_loses_no_given_answer(tmp_path):
    folder = make_study(tmp_path, "--sentinels", 100, "--size", "5x10")
    told, chance, port, token = [], random.Random(0), 0, None
    for _ in range(6):
        with served(folder, port) as (address, process):
            port = int(re.search(r":(\d+)/", address)[1])
            if token is None:
                token = post(address + "begin", {})[1]["token"]
            before_kill = chance.randint(4, 8)  # answers; then it comes at any moment of the next ones
            with pytest.raises((OSError, HTTPException, json.JSONDecodeError)):
                _, next_pair = post(address + "resume", {"token": token})
                while not next_pair["finished"]:
                    trial, choice = next_pair["trial"], chance.choice(["left", "right"])
                    said = {"token": token, "trial": trial, "choice": choice, "response_ms": 1}
                    status, next_pair = post(address + "answer", said)
                    assert status == 200 and next_pair["trial"] == trial + 1
                    told.append((trial, choice))
                    before_kill -= 1
                    if not before_kill:
                        threading.Timer(chance.uniform(0, 0.005), process.kill).start()
                raise AssertionError("finished before it was killed")
    kept = [(event["trial"], event["choice"]) for event in events(folder)]
    assert len(told) > 20
    assert set(told) <= set(kept), "answers that participants were told of"
    assert [trial for trial, _ in kept] == list(range(len(kept))), "each once"
    assert len(kept) - len(told) <= 6  # on the disk, and killed before that was said
