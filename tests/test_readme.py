import contextlib
import io
import pathlib
import re

import pytest

import mobile.cli  # noqa: F401  registers the commands
from mobile.cli.app import app

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = {each.callback.__name__: each.callback for each in app.registered_commands}


def _skeleton(text):
    """Leave out what a measurement decides: decimals, percentages, ratios, machine and time."""
    text = re.sub(r"^local, .*$", "CONDITIONS", text, flags=re.MULTILINE)
    text = re.sub(r"^!.*\n?", "", text, flags=re.MULTILINE)  # notes on a disturbed machine
    text = re.sub(r"\d+(\.\d+)?(e[-+]\d+)?%|\d*\.\d+(e[-+]\d+)?|\d+e[-+]\d+", "#", text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def test_every_python_block_runs_and_prints_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    examples = [(code, after) for (kind, code), after in pairs if kind == "python"]
    assert examples
    for code, (kind, shown) in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
        assert kind == "text"
        assert _skeleton(printed.getvalue()) == _skeleton(shown)


def test_every_command_is_documented_and_every_documented_one_exists():
    documented = set(re.findall(r"`keras-se (\w+)", README))
    assert documented == set(COMMANDS)


@pytest.mark.parametrize(
    "line", [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
)
def test_every_option_of_a_command_line_exists(line):
    words = line.split()
    assert words[0] == "keras-se"
    known = {name.replace("_", "-") for name in COMMANDS[words[1]].__annotations__}
    assert {word[2:] for word in words if word.startswith("--")} <= known


def test_rooms_on_the_page_are_there():
    rooms = README.split("## Rooms")[1]
    for name in re.findall(r"^ {4,6}([\w.]+/?) ", rooms, re.MULTILINE):
        assert (ROOT / name).exists() or (ROOT / "mobile" / name).exists(), name
