"""The documentation: links lead somewhere, and what it names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "vgg_weights/README.md"]
FOLDERS = "crn_tf|tests|benchmarks|serving|cluster|docs"  # of files that pages name
SOURCES = [*ROOT.glob("*.py"), *ROOT.glob("crn_tf/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("tests/*.py")]
OTHERS = [
    *(ROOT / name for name in ("Makefile", "Dockerfile", ".ci/run", "cluster/slurm.sh")),
    *(ROOT / name for name in ("serving/compose.yaml", "serving/kubernetes.yaml")),
]


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link may have behind its #, as GitHub makes it of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", without_code_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Links of a page to files of the project, and to its own headings."""
    for target in re.findall(r"\]\(([^)]+)\)", without_code_blocks(page.read_text())):
        if not re.match(r"\w+:", target):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads to no file"
        if anchor:
            assert anchor in anchors(target), f"{link} leads to no heading; there are {sorted(anchors(target))}"


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_that_are_named_exist(page):
    text = page.read_text()
    # Not behind a folder of one's own, as in runs/docs/..., nor in an address.
    names = re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*", text)
    commands = {command.replace(".", "/") for command in re.findall(r"python -m crn_tf\.(\w+(?:\.\w+)*)", text)}
    paths = [*(name.rstrip(".") for name in names), *(f"crn_tf/{command}.py" for command in commands - {"NAME"})]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_are_named_exist(page):
    sources = "\n".join(path.read_text() for path in [*SOURCES, *OTHERS] if path != Path(__file__))
    unknown = []
    for option in sorted(set(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", page.read_text()))):
        field = rf"^    {option.replace('-', '_')}:"  # of a dataclass that tyro makes a command line of
        if not re.search(rf"(?<![\w-])--{option}(?![\w-])|{field}", sources, re.MULTILINE):
            unknown.append(f"--{option}")
    assert unknown == []


def test_the_map_names_every_module():
    named = (ROOT / "docs/design.md").read_text()
    modules = [str(path.relative_to(ROOT)) for path in ROOT.glob("crn_tf/**/*.py") if path.name != "__init__.py"]
    assert [module for module in modules if f"`{module}`" not in named] == []


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_merge_is_left_half_done(page):
    assert not re.search("^(<{7}|={7}|>{7})( |$)", page.read_text(), re.MULTILINE)
