import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import keras_se
from mobile import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small trained-looking model, an image folder, and a place to write to."""
    place = tmp_path_factory.mktemp("cli")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(x)
    x = keras_se.SqueezeExcite(reduction=2, name="se")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(2, 1, name="logits")(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.name == "bias":  # of zeros it would look untrained, which is warned of
            weight.assign(random.normal(0, 0.1, weight.shape))
    model.save(place / "model.keras")
    for i in range(100):
        pixels = np.repeat(np.repeat(random.integers(0, 256, (4, 4, 3), np.uint8), 4, 0), 4, 1)
        (place / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / "photos" / f"{i}.png")
    return place


def _run(*arguments):
    """Call the command line as its entry point does; return the exit status."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code
    raise AssertionError("main must exit")


def _fails(capsys, *arguments):
    """Return the one line that a bad call prints; nothing else may be printed."""
    assert _run(*arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("keras-se: ")
    assert said.err.count("\n") == 1
    return said.err


def test_model_goes_the_whole_road_from_the_command_line(folder, capsys):
    model, photos = folder / "model.keras", ("--data", folder / "photos", "--images", 100)
    assert _run("lower", model, folder / "lowered.keras") == 0
    assert _run("quantize", model, folder / "qat.keras", *photos) == 0
    few, plot = (*photos[:2], "--images", 10), folder / "sensitivity.png"
    assert _run("sensitivity", folder / "qat.keras", *few, "--plot", plot) == 0
    assert "all layers" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert _run("convert", folder / "qat.keras", folder / "int8.tflite") == 0
    assert "CONV_2D int8" in capsys.readouterr().out
    assert _run("convert", model, folder / "float32.tflite", "--scheme", "float32") == 0
    assert _run("convert", model, folder / "again.tflite", *photos) == 0
    capsys.readouterr()
    assert _run("verify", model, folder / "int8.tflite", *photos) == 0
    assert "top-1 agreement" in capsys.readouterr().out
    files = (folder / "int8.tflite", folder / "float32.tflite")
    assert _run("benchmark", *files, "--runs", 5, "--export-json", folder / "times.json") == 0
    assert "int8" in capsys.readouterr().out
    assert (folder / "times.json").exists()


def test_gates_are_shown_and_folded(folder, capsys):
    model, photos = folder / "model.keras", ("--data", folder / "photos")
    assert _run("gates", model, *photos, "--images", 30, "--plot", folder / "gates.png") == 0
    assert "7x7x8" in capsys.readouterr().out
    assert (folder / "gates.png").read_bytes().startswith(b"\x89PNG")
    options = ("--by", "elements", "--keep", 0.5, "--plot", folder / "fold.png")
    record, folded = folder / "fold.json", folder / "folded.keras"
    assert _run("fold", model, folded, *photos, *options, "--json", record) == 0
    assert "1 of 1 gates folded" in capsys.readouterr().out
    assert (folder / "fold.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(record.read_text())["gates"][0]["block"] == "se"
    layers = {type(layer).__name__ for layer in keras.saving.load_model(folded).layers}
    assert "ChannelScale" in layers and "SqueezeExcite" not in layers


def test_gates_by_class_of_the_embedded_digits(folder, capsys):
    assert _run("gates", folder / "model.keras", "--by-class", "--images", 40) == 0
    assert "by class" in capsys.readouterr().out


@pytest.mark.filterwarnings("default::UserWarning")
def test_where_no_gate_can_go_no_file_is_written(folder, capsys):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras_se.SqueezeExcite(name="se", min_channels=3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 10, w.shape) for w in model.weights])
    model.save(folder / "alive.keras")
    options = ("--by", "elements", "--keep", 1, "--data", folder / "photos")
    assert _run("fold", folder / "alive.keras", folder / "none.keras", *options) == 1
    said = capsys.readouterr()
    assert "0 of 1 gates folded" in said.out and "could be folded" in said.err
    assert not (folder / "none.keras").exists()


def test_build_writes_a_model_with_the_wanted_gates(folder):
    path = folder / "small.keras"
    options = ("--se", "mobile", "--reduction", 8, "--size", 32, "--classes", 3, "--width", 0.35)
    assert _run("build", "mobilenet_v3_small", path, *options, "--logits") == 0
    model = keras.saving.load_model(path)
    assert model.output_shape == (None, 3)
    gates = [layer for layer in model.layers if isinstance(layer, keras_se.SqueezeExcite)]
    assert {gate.reduction for gate in gates} == {8}


def test_one_network_is_shown_layer_by_layer(capsys):
    assert _run("models", "mobilenet_v3_small") == 0
    assert "2,542,856" in capsys.readouterr().out  # the paper's 2.5 M


def test_lint_is_strict_on_demand(folder, capsys):
    target = folder / "lint.tflite"
    assert _run("convert", folder / "model.keras", target, "--scheme", "float32") == 0
    assert _run("lint", target, "--target", "ethos-u") == 0  # float operators leave an NPU
    assert _run("lint", target, "--target", "ethos-u", "--strict") == 1
    assert "leave" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("nothing",), "Known: models, build, lower"),
        (("run", "--nothing"), "run --help"),
        (("run", "--epochs", "many"), "run --help"),
        (("run", "--se", "huge"), "default, none, paper"),
        (("run", "--network", "huge"), "mobilenet_v3_small"),
        (("run", "--data", "nowhere"), "does not exist"),
        (("models", "huge"), "mobilenet_v3_small"),
        (("build", "mobilenet_v3_small", "a.tflite"), "must end in .keras"),
        (("lower", "nowhere.keras", "a.keras"), "does not exist"),
        (("verify", "nowhere.keras", "nowhere.tflite"), "does not exist"),
        (("benchmark", "nowhere.tflite"), "nowhere.tflite"),
        (("report", "nowhere"), "results.json"),
        (("benchmark", "nowhere.tflite", "--estimate", "toaster"), "ethos-u55-256"),
    ],
)
def test_bad_call_prints_one_line_and_fails(capsys, tmp_path, monkeypatch, arguments, advice):
    monkeypatch.chdir(tmp_path)
    assert advice in _fails(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_bad_value_of_a_model_command_names_the_known_ones(folder, capsys):
    model = folder / "model.keras"
    assert "int8, float32" in _fails(
        capsys, "convert", model, folder / "bad.tflite", "--scheme", "int4"
    )
    assert "xnnpack" in _fails(capsys, "lower", model, folder / "bad.keras", "--target", "toaster")
    assert "keras, tfmot" in _fails(
        capsys, "quantize", model, folder / "bad.keras", "--engine", "jax",
        "--data", folder / "photos",
    )  # fmt: skip
    assert "--overwrite" in _fails(capsys, "lower", model, model)
    assert not (folder / "bad.tflite").exists()
    assert not (folder / "bad.keras").exists()


def test_interruption_says_how_to_go_on(capsys, monkeypatch):
    import mobile.pipeline.run

    def interrupted(**options):
        raise KeyboardInterrupt("interrupted; go on with --resume")

    monkeypatch.setattr(mobile.pipeline.run, "run", interrupted)
    assert _run("run") == 130
    assert "--resume" in capsys.readouterr().err


def test_help_names_every_command_and_imports_no_tensorflow():
    code = (
        "import sys; from mobile.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as e: status = e.code\n"
        "assert status == 0 and 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    for command in ("models", "build", "lower", "quantize", "convert", "verify", "benchmark"):
        assert command in done.stdout


def test_without_the_extra_the_entry_point_names_the_install_line():
    code = "import sys; sys.modules['typer'] = None; import mobile.cli"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=os.getcwd()
    )
    assert done.returncode == 1
    assert "pip install 'keras-se[mobile]'" in done.stderr
    assert "Traceback" not in done.stderr
