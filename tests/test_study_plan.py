"""Which pairs a study shows, in which order, on which side."""

import dataclasses
import json
from collections import Counter

import pytest

from crn_tf.errors import UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.pages.study_plan import (
    Study,
    StudyFolder,
    Trial,
    practice_trials,
    read_study,
    timed_sets,
    unlimited_sets,
)

PAPERS = (125, 250, 500, 1000, 2000, 4000, 8000)


def study_of(sets, layouts=30, methods=("ours", "pix2pix"), practice=()):
    pictures = {name: [f"{name}{i}.png" for i in range(layouts)] for name in (PHOTOGRAPHS, *methods)}
    names = [f"layout {i}" for i in range(layouts)]
    return Study("Which?", None, 3, (200, 400), names, pictures, sets, list(practice), methods[0])


def test_without_a_limit_each_layout_comes_once_for_each_baseline_as_in_the_paper():
    sets = unlimited_sets(500, "ours", ["l1", "pix2pix"], sentinels=10, seed=0)
    assert [Counter(trial.kind for trial in trials) for trials in sets] == [{"pair": 100, "sentinel": 10}] * 10
    for baseline, part in (("l1", sets[:5]), ("pix2pix", sets[5:])):
        pairs = [trial for trials in part for trial in trials if trial.kind == "pair"]
        assert sorted(trial.layout for trial in pairs) == list(range(500))
        assert {trial.methods for trial in pairs} == {("ours", baseline)}
        guards = [trial for trials in part for trial in trials if trial.kind == "sentinel"]
        assert {trial.methods for trial in guards} == {(PHOTOGRAPHS, baseline)}
    assert all(trial.duration is None for trials in sets for trial in trials)


def test_sets_are_alike_in_size_and_sentinels_show_other_layouts():
    sets = unlimited_sets(101, "a", ["b"], sentinels=10, seed=1)
    assert [len(trials) for trials in sets] == [61, 60]
    for trials in sets:
        assert len({trial.layout for trial in trials}) == len(trials)
    (small,) = unlimited_sets(3, "a", ["b"], sentinels=10, seed=1)
    assert len(small) == 13


def test_timed_sets_have_the_papers_proportions():
    sets = timed_sets(500, "ours", ["l1"], 5, 0, PAPERS)
    assert [len(trials) for trials in sets] == [110] * 10
    for trials in sets:
        counts = Counter((trial.methods, trial.duration) for trial in trials if trial.kind == "pair")
        kinds = [(PHOTOGRAPHS, "ours"), (PHOTOGRAPHS, "l1"), ("ours", "l1")]
        assert counts == {(kind, duration): 5 for kind in kinds for duration in PAPERS}
        guards = [trial for trial in trials if trial.kind == "sentinel"]
        assert {(trial.methods, trial.duration) for trial in guards} == {((PHOTOGRAPHS, "l1"), 4000)}
    used = Counter(trial.layout for trials in sets for trial in trials)
    assert max(used.values()) - min(used.values()) <= 1


def test_sentinels_are_not_known_by_a_duration_of_their_own():
    (trials,) = timed_sets(9, "a", ["b"], 2, 0, (50, 200), sets=1)
    assert {trial.duration for trial in trials if trial.kind == "sentinel"} == {200}
    (trials,) = timed_sets(9, "a", ["b"], 2, 0, (6000, 9000), sets=1)
    assert {trial.duration for trial in trials if trial.kind == "sentinel"} == {6000}


def test_order_and_sides_follow_from_seed_set_and_turn():
    study = study_of(unlimited_sets(30, "ours", ["pix2pix"], 5, 3))
    first, again, next_turn = study.trials(0, 0), study.trials(0, 0), study.trials(0, 1)
    assert first == again and first != next_turn
    assert Counter(shown.trial for shown in first) == Counter(shown.trial for shown in next_turn)
    other = dataclasses.replace(study, seed=4)
    assert other.trials(0, 0) != first
    sides = Counter(shown.left == shown.trial.methods[0] for turn in range(20) for shown in study.trials(0, turn))
    assert 0.42 < sides[True] / sum(sides.values()) < 0.58
    assert all({shown.left, shown.right} == set(shown.trial.methods) for shown in first)


def test_practice_comes_first_from_the_longest_to_the_shortest():
    practice = practice_trials(30, "ours", ["pix2pix"], PAPERS, 0)
    assert [trial.duration for trial in practice] == [8000, 1000, 125]
    assert {trial.kind for trial in practice} == {"practice"}
    assert [trial.duration for trial in practice_trials(30, "a", ["b"], (), 0)] == [None] * 3
    assert [trial.duration for trial in practice_trials(30, "a", ["b"], (100,), 0)] == [100] * 3
    study = study_of(timed_sets(30, "ours", ["pix2pix"], 5, 0, PAPERS), practice=practice)
    assert [shown.trial for shown in study.trials(2, 0)][:3] == practice and study.timed


def test_a_study_is_read_as_it_was_written_and_damage_is_one_line(tmp_path):
    study = study_of(timed_sets(30, "ours", ["pix2pix"], 5, 0, PAPERS), practice=[Trial(1, ("ours", "pix2pix"))])
    folder = StudyFolder(tmp_path)
    folder.plan.write_text(json.dumps(study.to_json()))
    assert read_study(folder) == study
    for change in (
        {"version": 2},
        {"sets": [[[30, 0, 1, None, 0]]]},
        {"sets": [[[0, 0, 7, None, 0]]]},
        {"sets": [[[0, 0, -1, None, 0]]]},
        {"sets": 3},
        {"size": [1]},
        {"pictures": {"ours": ["one.png"]}},
    ):
        folder.plan.write_text(json.dumps({**study.to_json(), **change}))
        with pytest.raises(UserError, match=r"study\.json is damaged"):
            read_study(folder)
