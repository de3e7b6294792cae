"""Ask people which picture looks more realistic, as the paper did: `crn study`, or `python -m crn_tf.study`.

crn study new --a ours=results/ours --b pix2pix=results/pix2pix --data cityscapes --out mystudy   # or --timed
crn study serve mystudy                                                      # the page that participants open
crn study report mystudy                                                     # what they say
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg
from tyro.extras import subcommand_cli_from_dict

from crn_tf.command_line import INSTEAD, Switch, how_to_call, require_at_least_one
from crn_tf.data.conventions import Labels, asked_form
from crn_tf.data.datasets import KINDS, Kind, open_data_set
from crn_tf.data.images import Fit, image_size
from crn_tf.data.picture_files import pictures
from crn_tf.errors import UsageError, UserError, one_line, run_command
from crn_tf.evaluation.asking import parse_folders
from crn_tf.files import read_small_text
from crn_tf.model.cascade import parse_pair
from crn_tf.pages.study_plan import Study, StudyFolder, read_study
from crn_tf.starting import silence_pillow

DURATIONS = (125, 250, 500, 1000, 2000, 4000, 8000)  # ms, the paper's
PORT = 8080


@dataclass(frozen=True)
class NewStudy:
    """Make a study of pictures in folders, and of the photographs of their layouts."""

    a: Annotated[str, arg(metavar="NAME=FOLDER")]
    """The method that is compared with each other one: its name, and its pictures, called as the layouts."""
    b: Annotated[tuple[str, ...], arg(metavar="NAME=FOLDER ...")]
    """The others."""
    out: Annotated[Path, arg(metavar="STUDY")]
    """Folder for the study."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("needed, but for --dataset toy"))] = (
        None
    )
    """The data set that layouts and photographs are of."""
    dataset: Annotated[Kind | None, arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape"))] = (
        None
    )
    """How its files lie."""
    split: str = "val"
    """Which part of it."""
    labels: Labels = "auto"
    """What its layouts hold, as train.py takes it; auto: found from the files."""
    timed: Switch = False
    """Show each pair for a time, then a mask: the paper's second protocol."""
    durations: Annotated[tuple[int, ...], arg(metavar="MS ...")] = DURATIONS
    """Of a timed study, in milliseconds."""
    repeats: int = 5
    """Pairs of each kind and duration in a timed set."""
    sets: int = 10
    """Of a timed study."""
    pairs: int = 100
    """Of a set without a limit of time, at most."""
    sentinels: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("10; 5 if timed"))] = None
    """Pairs in each set of which one picture is a photograph, and the answer is known."""
    question: str = "Which picture looks more realistic?"
    """What participants are asked."""
    consent: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint=INSTEAD("none is asked for"))] = None
    """Text that participants agree to before they begin: yours to write."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("200 rows, in A's shape"))] = (
        None
    )
    """At which all pictures are shown."""
    fit: Fit = "resize"
    """Stretch photographs of another shape, or cut their centre: as the methods were trained."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint=INSTEAD("all"))] = None
    """Only so many layouts, evenly spaced."""
    seed: int = 0
    """Of order and sides."""


@dataclass(frozen=True)
class ServeStudy:
    """Serve a study's page until Ctrl-C. Participants go on where they stopped when it is served again."""

    study: Annotated[Positional[Path], arg(metavar="STUDY")]
    """Folder that `study new` made."""
    host: str = "127.0.0.1"
    """Address to listen at: this machine only; 0.0.0.0 for all of its network."""
    port: int = PORT
    """Port to listen at; 0 for one that is free."""
    address: Annotated[str | None, arg(metavar="URL", help_behavior_hint=INSTEAD("none"))] = None
    """Under which participants reach it, if a web server passes requests on: https://study.example.org"""


@dataclass(frozen=True)
class ReportStudy:
    """Print what a study's answers say, and write it into STUDY/report."""

    study: Annotated[Positional[Path], arg(metavar="STUDY")]
    """Folder that `study new` made."""
    allowed: int = 0
    """Sentinels that a participant may fail without being left out."""
    unfinished: Switch = False
    """Count the answers of participants who have not finished."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make, serve or report a study.

    Args:
        arguments: Of the command line; this process' own if None.
    """
    silence_pillow()
    command = subcommand_cli_from_dict(
        {"new": NewStudy, "serve": ServeStudy, "report": ReportStudy},
        args=arguments,
        prog=how_to_call("study"),
        description="Ask people which picture looks more realistic.",
    )
    if isinstance(command, NewStudy):
        make(command)
    elif isinstance(command, ServeStudy):
        serve(command)
    elif isinstance(command, ReportStudy):
        report(command)


def make(asked: NewStudy) -> None:
    """Write a study's folder.

    Raises:
        UsageError: The arguments do not make sense.
        UserError: Pictures, photographs or the consent cannot be read, or the folder cannot be written.
    """
    check_numbers(asked)
    first = parse_folders([asked.a], "--a")
    methods = first | parse_folders(asked.b, "--b", first)
    size = parse_pair(asked.size, "--size") if asked.size else None
    consent = read_consent(asked.consent) if asked.consent else None
    some = pictures(*first.values())
    height = image_size(some[0])[0] if some else 0
    labels = asked_form(asked.labels)
    data = open_data_set(asked.data, asked.dataset, asked.split, height, need_photos=False, labels=labels)

    from crn_tf.pages.study_making import Asked, make_study

    wanted = Asked(
        methods,
        asked.question,
        consent,
        durations=asked.durations if asked.timed else (),
        sentinels=(5 if asked.timed else 10) if asked.sentinels is None else asked.sentinels,
        pairs=asked.pairs,
        repeats=asked.repeats,
        sets=asked.sets,
        size=size,
        fit=asked.fit,
        limit=asked.limit,
        seed=asked.seed,
    )
    say_what_was_made(asked.out, make_study(StudyFolder(asked.out), data, wanted))


def say_what_was_made(out: Path, study: Study) -> None:
    """Tell what is in a new study, and what comes next."""
    trials = [len(trials) for trials in study.sets]
    print(
        f"{out}: {len(study.layouts)} layouts, {len(study.pictures)} kinds of pictures with the photographs, "
        f"{len(trials)} sets of {max(trials)} pairs at most, {study.size[0]}x{study.size[1]}"
    )
    if study.consent is None:
        print("participants are asked for no consent: --consent FILE has your text")
    print(f"next: {how_to_call('study')} serve {out}")


def check_numbers(asked: NewStudy) -> None:
    """Compare numbers with what makes sense.

    Raises:
        UsageError: One does not.
    """
    require_at_least_one(asked, "repeats", "sets", "pairs", "limit")
    if asked.sentinels is not None and asked.sentinels < 0:
        raise UsageError(f"--sentinels must be at least 0, not {asked.sentinels}")
    if not asked.b:
        raise UsageError("--b NAME=FOLDER: at least one method to compare with")
    if not asked.durations or any(not 1 <= duration <= 60000 for duration in asked.durations):
        raise UsageError("--durations must be 1 to 60000 milliseconds")
    for name, default in (("durations", DURATIONS), ("repeats", 5), ("sets", 10)):
        if not asked.timed and getattr(asked, name) != default:
            raise UsageError(f"--{name} has no meaning without --timed")
    if asked.timed and asked.pairs != 100:
        raise UsageError("--pairs has no meaning with --timed: sets have --repeats of each kind and duration")


def read_consent(path: Path) -> str:
    """Read the owner's text.

    Raises:
        UserError: It cannot be read, or there is nothing in it.
    """
    try:
        text = read_small_text(path).strip()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}; expected a text in UTF-8") from error
    if not text:
        raise UserError(f"{path} is empty; expected the text that participants agree to")
    return text


def serve(asked: ServeStudy) -> None:
    """Serve a study's page until Ctrl-C.

    Raises:
        UsageError: The port or the address makes no sense.
        UserError: The folder is no study's, another process serves it, or the port is taken.
    """
    folder = StudyFolder(asked.study)
    study = read_study(folder)

    from crn_tf.pages.local_server import addresses, listen, network_address, page_address
    from crn_tf.pages.local_server import serve as serve_page
    from crn_tf.pages.study_answers import AnswersFile
    from crn_tf.pages.study_server import study_app

    answers = AnswersFile(folder, study)
    listening = listen(asked.host, asked.port)
    app = study_app(folder, study, answers, addresses(listening, asked.host, asked.address))
    begun = len(answers.participants)
    finished = sum(who.finished for who in answers.participants.values())
    print(f"{begun} participants so far, {finished} of them finished; answers go to {folder.answers}")
    if asked.address is None and (others := network_address(listening)):
        print(f"participants on other machines open {others}")
    print(f"serving {asked.address or page_address(listening, asked.host)} until Ctrl-C", flush=True)
    serve_page(app, listening)


def report(asked: ReportStudy) -> None:
    """Print and write a study's report.

    Raises:
        UsageError: The number makes no sense.
        UserError: The folder is no study's, there are no answers, or the report cannot be written.
    """
    if asked.allowed < 0:
        raise UsageError(f"--allowed must be at least 0, not {asked.allowed}")
    folder = StudyFolder(asked.study)
    study = read_study(folder)

    from crn_tf.pages.study_report import read_report, table, write_report  # only now: SciPy takes a second

    found = read_report(folder, study, asked.allowed, asked.unfinished)
    written = write_report(folder.report, found)
    print(table(found))
    print(f"written: {', '.join(map(str, written))}")


if __name__ == "__main__":
    run_command(main)
