import inspect

import pytest

import mobile.pipeline.run
from mobile.cli.run import run as command
from mobile.pipeline.options import Options


@pytest.fixture
def asked(monkeypatch):
    """What `mobile.run` was called with, instead of running."""
    calls = []
    monkeypatch.setattr(mobile.pipeline.run, "run", lambda **options: calls.append(options))
    return calls


def test_every_option_reaches_the_run_under_its_own_name(run, asked):
    options = {
        "data": "photos", "network": "resnet18", "se": "server", "reduction": 4.0, "size": 64,
        "width": 0.5, "epochs": 2, "qat_epochs": 3, "batch": 5, "learning_rate": 0.1,
        "qat_learning_rate": 0.2, "augment": "none", "weights": "w.npz", "source": "resnet50",
        "engine": "tfmot", "target": "tflm", "method": "entropy", "validation_split": 0.3,
        "strict": True, "threads": 2, "runs": 9, "seed": 7, "output": "there", "name": "this",
        "overwrite": True, "resume": True,
    }  # fmt: skip
    words = []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
    assert run("run", *words) == 0
    (given,) = asked
    assert given.pop("show") is True and given.pop("progress")
    assert {name: str(value) for name, value in given.items()} == {
        name: str(value) for name, value in options.items()
    }
    assert set(options) == set(inspect.signature(command).parameters)


def test_defaults_are_those_of_python(run, asked):
    assert run("run") == 0
    defaults = Options().to_dict()
    for name in set(defaults) & set(asked[0]):
        assert asked[0][name] == defaults[name]


def test_interruption_says_how_to_go_on(capsys, monkeypatch, run):
    def interrupted(**options):
        raise KeyboardInterrupt("interrupted; go on with --resume")

    monkeypatch.setattr(mobile.pipeline.run, "run", interrupted)
    assert run("run") == 130
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--se", "huge"), "default, none, paper"),
        (("--network", "huge"), "mobilenet_v3_small"),
        (("--data", "nowhere"), "does not exist"),
        (("--method", "entropi"), "Did you mean 'entropy'?"),
        (("--target", "xnpack"), "'xnnpack'"),
    ],
)
def test_bad_call_leaves_nothing(tmp_path, monkeypatch, fails, arguments, advice):
    monkeypatch.chdir(tmp_path)
    assert advice in fails("run", *arguments)
    assert list(tmp_path.iterdir()) == []
