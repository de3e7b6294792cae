"""The command, and whole studies in a real browser."""

import json
import re
import subprocess
import sys

import pytest

from crn_tf.errors import UsageError, UserError
from crn_tf.evaluation.methods import PHOTOGRAPHS
from crn_tf.pages.study_plan import StudyFolder
from crn_tf.study import main
from tests.conftest import ROOT
from tests.studies import Taste, events, make_study, served, take_part

# Notes when the pictures came and went, independently of the page's own clock.
WATCH = """
addEventListener("DOMContentLoaded", () => {
  window.seen = [];
  new MutationObserver(() => window.seen.push([document.getElementById("pair").className, performance.now()]))
    .observe(document.getElementById("pair"), { attributes: true, attributeFilter: ["class"] });
});
"""


def test_a_timed_study_in_a_browser_recovers_a_known_taste_and_the_durations(tmp_path, open_page, capsys):
    folder = make_study(
        *(
            tmp_path,
            "--timed",
            "--durations",
            50,
            150,
            "--repeats",
            4,
            "--sets",
            2,
            "--sentinels",
            2,
            "--size",
            "50x100",
        )
    )
    with served(folder) as (address, _):
        page = open_page("about:blank")
        page.add_init_script(WATCH)
        page.goto(address)
        assert "fraction of a second" in page.locator("#intro").inner_text()
        page.locator("#begin").click()
        take_part(page, Taste(folder, 0.8))
        seen = page.evaluate("window.seen")
        came = [time for name, time in seen if name == "shown"]
        went = [time for name, time in seen if name == "masked"]
        measured = [event["shown_ms"] for event in events(folder)]
        assert len(came) == len(went) == len(measured) == 3 + 24 + 2
        for start, end, shown in zip(came, went, measured, strict=True):
            assert abs(end - start - shown) < 40  # two frames
    answers = events(folder)
    off = [each for each in answers if abs(each["shown_ms"] - each["asked_ms"]) > 2 * each["frame_ms"]]
    assert len(off) <= len(answers) // 10, "a busy machine may miss a few frames"
    assert {each["asked_ms"] for each in answers} == {50, 150}
    capsys.readouterr()
    main(["report", str(folder.path)])
    said = capsys.readouterr().out
    assert "1 of 1 participants count; 0 failed sentinels" in said
    found = json.loads((folder.report / "report.json").read_text())
    ours = [each for each in found["preferences"] if (each["method"], each["over"]) == ("ours", "blurry")]
    assert [each["duration"] for each in ours] == [50, 150]
    assert all(each["low"] <= 0.8 <= each["high"] for each in ours)
    photographs = [each for each in found["preferences"] if each["method"] == PHOTOGRAPHS]
    assert len(photographs) == 4 and all(each["share"] == 1 for each in photographs)
    rows = (folder.report / "answers.csv").read_text().splitlines()
    assert len(rows) == 1 + len(answers)
    assert (folder.report / "durations.png").stat().st_size > 10_000


def test_a_participant_goes_on_where_they_stopped_and_answers_once(tmp_path, open_page):
    folder = make_study(tmp_path, "--sentinels", 1, "--pairs", 6, "--size", "50x100")
    with served(folder) as (address, process):
        page = open_page(address)
        page.locator("#begin").click()
        taste = Taste(folder, 1.0)
        take_part(page, taste, stop_after=5)
        own = page.url
        assert re.fullmatch(r"[\w-]{20,}", own.partition("#")[2])
        page.goto("about:blank")
        process.kill()
        process.wait()
        port = int(re.search(r":(\d+)/", address)[1])
        with served(folder, port):
            page.goto(address)  # the same browser knows where
            page.wait_for_selector("#left:enabled:visible")
            assert page.locator("#count").inner_text() == "Pair 3 of 7"
            elsewhere = open_page(own)  # and so does the address
            elsewhere.wait_for_selector("#left:enabled:visible")
            take_part(elsewhere, taste)
            page.keyboard.press("ArrowLeft")  # in the window that is behind: that pair has been answered
            page.wait_for_selector("#finished:not([hidden])")
            page.reload()
            page.wait_for_selector("#finished:not([hidden])")
    open_page.expected.append("409")
    answers = events(folder)
    assert [each["trial"] for each in answers] == list(range(10))  # three of them for practice
    assert len(events(folder, "begin")) == 1
    assert all(each["chosen"] != "blurry" for each in with_chosen(answers))


def with_chosen(answers):
    return [{**each, "chosen": each[each["choice"]]} for each in answers]


def test_a_timed_pair_that_was_seen_is_not_shown_again(tmp_path, open_page):
    folder = make_study(tmp_path, "--timed", "--durations", 50, "--repeats", 1, "--sets", 1, "--size", "50x100")
    with served(folder) as (address, _):
        page = open_page(address)
        page.locator("#begin").click()
        page.locator("#show").click()
        page.wait_for_selector("#left:enabled:visible")
        seen = page.locator("#left-picture").get_attribute("src")
        page.reload()
        page.wait_for_selector("#show:enabled:visible")
        assert page.locator("#count").inner_text() == "Practice 2 of 3"
        assert page.locator("#left-picture").get_attribute("src") != seen
    assert [event["trial"] for event in events(folder, "interrupted")] == [0] and not events(folder)


def test_an_answer_given_while_the_server_is_away_is_sent_when_it_is_back(tmp_path, open_page):
    folder = make_study(tmp_path, "--size", "50x100")
    with served(folder) as (address, process):
        page = open_page(address)
        page.locator("#begin").click()
        page.wait_for_selector("#left:enabled:visible")
        process.kill()
        process.wait()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#trouble:not([hidden])")
        assert "Nothing is lost" in page.locator("#trouble").inner_text()
        with served(folder, int(re.search(r":(\d+)/", address)[1])):
            page.wait_for_function("() => document.getElementById('count').innerText.startsWith('Practice 2')")
    assert [(each["trial"], each["choice"]) for each in events(folder)] == [(0, "right")]


def test_names_and_texts_are_shown_as_they_are_and_no_method_is_told(tmp_path, open_page):
    consent = tmp_path / "consent.txt"
    consent.write_text("<script>document.title = 'broken'</script> & more")
    names = ("<b>ours", "@blurry|x")
    folder = make_study(
        *(tmp_path, "--consent", consent, "--question", "Which is <i>real</i>?", "--size", "50x100"), methods=names
    )
    with served(folder) as (address, _):
        page = open_page(address)
        page.locator("#consent", has_text="<script>document.title").wait_for()
        assert page.locator("#intro-question").inner_text() == "Which is <i>real</i>?"
        assert page.title() == "Study"
        told = []
        page.on("response", lambda response: told.append(response.text()) if "picture" not in response.url else None)
        page.locator("#begin").click()
        page.wait_for_selector("#left:enabled:visible")
        page.wait_for_timeout(200)
        assert told and not any(name in text for name in (*names, "sentinel", "toy_val") for text in told)


def test_a_window_without_room_is_told_so(tmp_path, open_page):
    folder = make_study(tmp_path)
    with served(folder) as (address, _):
        page = open_page(address, viewport={"width": 700, "height": 600})
        page.locator("#begin").click()
        page.wait_for_selector("#narrow:not([hidden])")
        assert not page.locator("#trial").is_visible() and "864" in page.locator("#narrow").inner_text()
        page.set_viewport_size({"width": 1000, "height": 600})
        page.wait_for_selector("#left:enabled:visible")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "--a", "x", "--b", "y=.", "--out", "s"), "expected NAME=FOLDER"),
        (("new", "--a", "photographs=.", "--b", "y=.", "--out", "s"), "two methods are called"),
        (("new", "--a", "x=.", "--b", "x=.", "--out", "s"), "two methods are called"),
        (("new", "--a", "x=nowhere", "--b", "y=.", "--out", "s"), "there is no folder nowhere"),
        (("new", "--a", "x=.", "--b", "y=.", "--out", "s", "--repeats", "3"), "no meaning without --timed"),
        (("new", "--a", "x=.", "--b", "y=.", "--out", "s", "--timed", "--pairs", "3"), "no meaning with --timed"),
        (("new", "--a", "x=.", "--b", "y=.", "--out", "s", "--timed", "--durations", "0"), "1 to 60000"),
        (("new", "--a", "x=.", "--b", "y=.", "--out", "s", "--limit", "0"), "at least 1"),
        (("report", "nowhere", "--allowed", "-1"), "at least 0"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(arguments, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        main(arguments)


def test_what_is_no_study_is_said(tmp_path):
    for command in ("serve", "report"):
        with pytest.raises(UserError, match="is no study"):
            main([command, str(tmp_path)])
    (tmp_path / "study.json").write_text('{"version": 2}')
    with pytest.raises(UserError, match="is damaged"):
        main(["report", str(tmp_path)])


def test_a_report_without_answers_and_a_port_that_is_taken_are_one_line(tmp_path):
    folder = make_study(tmp_path)
    with pytest.raises(UserError, match="has no answers yet"):
        main(["report", str(folder.path)])
    with served(folder) as (address, _):
        with pytest.raises(UserError, match="is being served by another process"):
            main(["serve", str(folder.path)])
        other = make_study(tmp_path / "other")
        port = re.search(r":(\d+)/", address)[1]
        with pytest.raises(UserError, match="cannot listen at 127"):
            main(["serve", str(other.path), "--port", port])
    with pytest.raises(UsageError, match="--port must be 0 to 65535, not 70000"):
        main(["serve", str(make_study(tmp_path / "third").path), "--port", "70000"])


def test_help_and_mistakes_do_without_tensorflow():
    program = (
        "import sys, crn_tf.study\n"
        "try: crn_tf.study.main(['report', 'nowhere'])\n"
        "except Exception: pass\n"
        "assert not {'tensorflow', 'keras', 'scipy', 'starlette', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.slow
def test_the_papers_whole_timed_set_in_a_browser(tmp_path, open_page):
    folder = make_study(tmp_path, "--timed", "--sets", 1, layouts=24)
    with served(folder) as (address, _):
        page = open_page(address)
        page.locator("#begin").click()
        take_part(page, Taste(folder, 0.9))
    answers = events(folder)
    assert len(answers) == 3 + 105 + 5
    off = [each for each in answers if abs(each["shown_ms"] - each["asked_ms"]) > 2 * each["frame_ms"]]
    assert len(off) <= len(answers) // 10
    main(["report", str(folder.path)])
    found = json.loads((StudyFolder(folder.path).report / "report.json").read_text())
    ours = [each for each in found["preferences"] if each["method"] == "ours"]
    assert len(ours) == 7 and all(each["low"] <= 0.9 <= each["high"] for each in ours)
