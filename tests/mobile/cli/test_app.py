import inspect
import os
import re
import subprocess
import sys
import warnings

import pytest
import typer

import keras_se
import mobile
from keras_se import config
from mobile import cli
from mobile.analysis.operator_support import ACCELERATORS
from mobile.benchmarking.settings import Schedule
from mobile.cli import app
from mobile.conversion.schemes import IO_TYPES, SCHEMES
from mobile.devices.connect import DEVICES
from mobile.lowering.targets import TARGETS
from mobile.pipeline.options import Options
from mobile.pipeline.training import AUGMENTATIONS
from mobile.quantization import ENGINES, METHODS, calibration
from mobile.tuning.ablation import QUESTIONS

COMMANDS = typer.main.get_command(app.app).commands

#: What each option with a list of choices takes; of `lint` another list than of the rest.
CHOICES = {
    "--method": METHODS,
    "--engine": ENGINES,
    "--target": TARGETS,
    "--scheme": SCHEMES,
    "--input-type": IO_TYPES,
    "--output-type": IO_TYPES,
    "--augment": AUGMENTATIONS,
    "--se": ("default", "none", *keras_se.PRESETS),
    "--device": DEVICES,
    "--kinds": config.KINDS,
    "question": QUESTIONS,
}
#: The function behind a command, and the records of its options.
FUNCTIONS = {
    "ablate": [mobile.ablate],
    "build": [keras_se.models.build],
    "convert": [mobile.convert],
    "fold": [mobile.fold_gates, Schedule],
    "lint": [mobile.lint],
    "lower": [mobile.lower],
    "quantize": [mobile.quantize_aware],
    "run": [Options],
    "sensitivity": [mobile.sensitivity],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_names_every_choice_of_its_options(name, capsys, monkeypatch, run):
    monkeypatch.setenv("COLUMNS", "400")
    assert run(name, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    own = {**CHOICES, "--target": ACCELERATORS} if name == "lint" else CHOICES
    for option in COMMANDS[name].params:
        for choice in own.get(option.opts[0], ()):
            (line,) = (
                line
                for line in lines
                if line.lower().split()[1:2] == option.opts[:1]
                or line.lower().split()[2:3] == option.opts[:1]
            )
            assert choice in re.split(r"[,.;]?\s+", line)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_default_is_the_same_in_python_and_on_the_command_line(name):
    command = inspect.signature(COMMANDS[name].callback).parameters
    checked = 0
    for function in FUNCTIONS[name]:
        for word, parameter in inspect.signature(function).parameters.items():
            defaults = [each.default for each in (parameter, command.get(word, parameter))]
            if word in command and parameter.empty not in defaults:
                checked += 1
                assert (defaults[0] or None) == (defaults[1] or None), word
    assert checked


def test_the_presets_of_the_help_are_those_of_keras_se():
    assert ("default", "none", *keras_se.PRESETS) == app.SE


def test_methods_named_are_those_that_calibration_knows():
    for method in METHODS:
        assert callable(calibration._chooser(method))
    assert calibration.METHODS is METHODS


def test_help_names_every_command_and_imports_no_tensorflow():
    code = (
        "import sys; from mobile.cli import main\n"
        "for words in (['--help'], ['run', '--help'], ['convert', '--help']):\n"
        "    try: main(words)\n"
        "    except SystemExit as e: assert e.code == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    for command in ("models", "build", "lower", "quantize", "convert", "verify", "benchmark"):
        assert command in done.stdout


@pytest.mark.parametrize("missing", [["typer"], ["msgspec"], ["numpy"], ["msgspec", "typer"]])
def test_without_the_extra_the_entry_point_names_the_install_line(missing):
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import mobile.cli"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=os.getcwd()
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"needs the package {missing[-1]}." in line
    assert "pip install 'keras-se[mobile]'" in line


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("nothing",), "Known: models, build, gates"),
        (("convrt",), "Did you mean 'convert'?"),
        (("run", "--nothing"), "run --help"),
        (("run", "--overwrit"), "--overwrite"),
        (("run", "--epochs", "many"), "run --help"),
        (("convert",), "Missing argument"),
    ],
)
def test_usage_errors_are_one_line_with_advice(fails, arguments, advice):
    assert advice in fails(*arguments)


def test_errors_are_one_line_of_plain_text(monkeypatch, fails, tmp_path):
    """A file name may hold line ends and what moves a terminal's cursor."""
    (tmp_path / "evil\x1b[2J\nname").mkdir()
    said = fails("lint", tmp_path / "evil\x1b[2J\nname")
    assert "\x1b" not in said and "evil" in said


def test_warnings_for_users_are_one_line_and_others_are_not_shown(capsys, monkeypatch):
    def warn(*arguments, **options):
        warnings.warn("two\nlines", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(app, "app", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(SystemExit) as end:
            cli.main([])
    assert end.value.code == 0
    assert capsys.readouterr().err == "keras-se: two lines\n"


def test_tensorflow_is_imported_without_its_greetings():
    code = "from mobile.cli import app; app.import_tensorflow(); import logging; "
    code += "print(logging.getLogger('tensorflow').level == logging.ERROR)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_file_is_refused_before_the_work_whose_result_it_is(tmp_path):
    there = tmp_path / "there.keras"
    there.write_text("old")
    with pytest.raises(ValueError, match="--overwrite"):
        app.refuse_existing(there, False, ".keras")
    app.refuse_existing(there, True, ".keras")
    with pytest.raises(ValueError, match=r"end in \.tflite"):
        app.refuse_existing(there, True, ".tflite")
    with pytest.raises(ValueError, match="must not be a folder"):
        app.refuse_existing(tmp_path, True)
    with pytest.raises(ValueError, match="Name another folder"):
        app.refuse_existing(there / "in_a_file.keras", False, ".keras")
    assert there.read_text() == "old"


def test_one_of_says_the_last_with_or():
    assert app.one_of(["a", "b", "c"]) == "a, b or c"
