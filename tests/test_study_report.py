"""What answers say: shares, intervals and who is left out."""

import csv
import json
import random

import numpy as np
import pytest
from scipy.stats import beta

from crn_tf.errors import UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.pages.study_answers import AnswersFile
from crn_tf.pages.study_plan import StudyFolder, read_study
from crn_tf.pages.study_report import read_report, table, write_report
from tests.studies import make_study


class Crowd:
    """Participants with a known taste, who answer without a browser."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder, self.study = folder, read_study(folder)
        self.answers = AnswersFile(folder, self.study)

    def take_part(self, prefer, stop_after=None, shown=lambda asked: asked) -> str:
        token = self.answers.begin()
        who = self.answers.find(token)
        for each in who.trials[:stop_after]:
            left = prefer(each.trial) == each.left
            asked = each.trial.duration
            measured = (None, None) if asked is None else (shown(asked), 16.7)
            self.answers.answer(token, "left" if left else "right", *measured, 500.0)
        return token

    def report(self, **options):
        self.answers.close()
        return read_report(self.folder, self.study, **options)


def taste(share, chance):
    def prefer(trial):
        if PHOTOGRAPHS in trial.methods:
            return PHOTOGRAPHS
        return trial.methods[0] if chance.random() < share else trial.methods[1]

    return prefer


def test_a_known_taste_is_recovered_and_intervals_are_clopper_and_pearsons(tmp_path):
    crowd = Crowd(make_study(tmp_path, "--size", "5x10", "--sentinels", 2))
    chance = random.Random(1)
    for _ in range(40):
        crowd.take_part(taste(0.7, chance))
    report = crowd.report()
    (found,) = report.preferences
    assert (found.method, found.over, found.duration, found.answers) == ("ours", "blurry", None, 480)
    assert found.low < 0.7 < found.high and found.p < 1e-9
    k, n = found.preferred, found.answers
    np.testing.assert_allclose(found.low, beta.ppf(0.025, k, n - k + 1))
    np.testing.assert_allclose(found.high, beta.ppf(0.975, k + 1, n - k))
    assert 0.03 < (found.high - found.low) / 2 < 0.05  # 500 answers: about 4 points


def test_an_interval_covers_a_coin_as_often_as_it_says(tmp_path):
    crowd = Crowd(make_study(tmp_path, "--size", "5x10", "--sentinels", 0))
    chance, covered = random.Random(5), 0
    crowd.answers.close()
    for number in range(30):
        crowd.folder.answers.unlink()
        one = Crowd(crowd.folder)
        for _ in range(3):
            one.take_part(taste(0.5, chance))
        (found,) = one.report().preferences
        covered += found.low <= 0.5 <= found.high
        assert found.answers == 36, number
    assert covered >= 26  # of those of Clopper and Pearson, at least 95 % do


def test_who_fails_sentinels_or_stops_early_is_left_out_and_counted(tmp_path):
    crowd = Crowd(make_study(tmp_path, "--size", "5x10", "--sentinels", 3))
    always_ours = lambda trial: PHOTOGRAPHS if PHOTOGRAPHS in trial.methods else "ours"  # noqa: E731
    careless = lambda trial: trial.methods[1]  # noqa: E731
    crowd.take_part(always_ours)
    crowd.take_part(careless)
    crowd.take_part(always_ours, stop_after=8)
    report = crowd.report()
    assert (report.counts.begun, report.counts.counted) == (3, 1)
    assert (report.counts.failed, report.counts.unfinished) == (1, 1)
    assert [(each.preferred, each.answers) for each in report.preferences] == [(12, 12)]
    assert len(report.answers) == 18 + 18 + 8 and sum(each["counted"] for each in report.answers) == 12
    everyone = read_report(crowd.folder, crowd.study, allowed=3, unfinished=True)
    assert everyone.counts.counted == 3 and everyone.counts.failed == 0
    assert everyone.preferences[0].answers > 24
    assert "1 of 3 participants count; 1 failed sentinels" in table(report)


def test_times_are_told_as_they_were_shown_and_answers_that_are_off_are_left_out(tmp_path):
    options = ("--timed", "--durations", 100, 1000, "--repeats", 2, "--sets", 1, "--size", "5x10")
    crowd = Crowd(make_study(tmp_path, *options))
    better_with_time = lambda trial: trial.methods[0 if trial.duration > 500 else 1]  # noqa: E731
    crowd.take_part(better_with_time, shown=lambda asked: asked + 16.7)
    crowd.take_part(better_with_time, shown=lambda asked: asked + (300 if asked == 100 else 0))
    report = crowd.report()
    assert report.counts.off == 6
    rows = {(each.method, each.over, each.duration): each for each in report.preferences}
    assert len(rows) == 6
    brief, long = rows["ours", "blurry", 100], rows["ours", "blurry", 1000]
    assert (brief.answers, brief.preferred, brief.shown) == (2, 0, 116.7)
    assert (long.answers, long.preferred, long.shown) == (4, 4, pytest.approx(1008.4, abs=0.1))


def test_the_files_hold_every_answer_and_no_formula(tmp_path):
    crowd = Crowd(
        make_study(
            *(tmp_path, "--timed", "--durations", 100, "--repeats", 1, "--sets", 1, "--size", "5x10"),
            methods=("+1", "$a|b<c>"),
        )
    )
    crowd.take_part(lambda trial: trial.methods[0])
    report = crowd.report()
    written = write_report(crowd.folder.report, report)
    assert [path.name for path in written] == ["report.md", "report.json", "answers.csv", "durations.png"]
    with open(written[2], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.answers) and {row["kind"] for row in rows} == {"pair", "practice", "sentinel"}
    assert {row["left"] for row in rows} <= {"photographs", "'+1", "$a|b<c>"}
    assert "$a\\|b&lt;c>" in written[0].read_text()
    assert len(json.loads(written[1].read_text())["preferences"]) == len(report.preferences) == 3


def test_answers_of_another_study_are_refused(tmp_path):
    folder = make_study(tmp_path, "--size", "5x10")
    folder.answers.write_text('{"event": "answer", "participant": "a"}\n')
    with pytest.raises(UserError, match="does not belong to"):
        read_report(folder, read_study(folder))
