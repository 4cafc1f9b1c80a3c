"""What the documents show is run, and what they name is there."""

import contextlib
import io
import pathlib
import re

import pytest

import mobile.cli  # noqa: F401  registers the commands
from mobile.cli.app import app

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
BLOCKS = [
    (page, kind, block)
    for page, text in PAGES.items()
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
]
PYTHON = [
    (page, code, BLOCKS[i + 1][2] if BLOCKS[i + 1 : i + 2] and BLOCKS[i + 1][1] == "text" else None)
    for i, (page, kind, code) in enumerate(BLOCKS)
    if kind == "python"
]
LINES = [
    (page, line)
    for page, kind, block in BLOCKS
    if kind == "bash"
    for line in block.splitlines()
    if line.startswith("keras-se ")
]
COMMANDS = {each.callback.__name__: each.callback for each in app.registered_commands}


def test_there_is_something_to_check():
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/commands.md"} <= set(PAGES)
    assert any(page == "README.md" and shown for page, _, shown in PYTHON)
    assert len([page for page, _ in LINES if page == "README.md"]) >= 4


def _skeleton(text):
    """Leave out what a measurement decides: decimals, percentages, ratios, machine and time."""
    text = re.sub(r"^local, .*$", "CONDITIONS", text, flags=re.MULTILINE)
    text = re.sub(r"^!.*\n?", "", text, flags=re.MULTILINE)  # notes on a disturbed machine
    text = re.sub(r"\d+(\.\d+)?(e[-+]\d+)?%|\d*\.\d+(e[-+]\d+)?|\d+e[-+]\d+", "#", text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


@pytest.mark.parametrize(("page", "code", "shown"), PYTHON, ids=[page for page, *_ in PYTHON])
def test_python_runs_and_prints_what_the_page_says(page, code, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), {"__name__": "page"})
    if shown is not None:
        assert _skeleton(printed.getvalue()) == _skeleton(shown)


def test_every_command_is_listed_and_every_command_named_exists():
    listed = set(re.findall(r"`keras-se (\w+)", PAGES["docs/commands.md"]))
    assert listed == set(COMMANDS)
    named = {name for text in PAGES.values() for name in re.findall(r"keras-se ([a-z]\w+)\b", text)}
    assert named >= listed
    assert {line.split()[1] for _, line in LINES} <= set(COMMANDS)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line for _, line in LINES])
def test_every_option_of_a_command_line_exists(page, line):
    words = line.split()
    known = {name.replace("_", "-") for name in COMMANDS[words[1]].__annotations__}
    assert {word[2:] for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_every_path_of_the_project_leads_somewhere(page):
    text, folder = PAGES[page], (ROOT / page).parent
    links = [to for to in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in to]
    for to in links:
        assert (folder / to).exists(), to
    for path in re.findall(r"`((?:keras_se|mobile|tests|docs|notebooks)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
