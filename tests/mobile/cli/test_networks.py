import keras
import pytest

import keras_se
from mobile.cli import networks


def test_build_writes_a_model_with_the_wanted_gates(tmp_path, run):
    path = tmp_path / "small.keras"
    options = ("--se", "mobile", "--reduction", 8, "--size", 32, "--classes", 3, "--width", 0.35)
    assert run("build", "mobilenet_v3_small", path, *options, "--logits") == 0
    model = keras.saving.load_model(path)
    assert model.output_shape == (None, 3)
    gates = [layer for layer in model.layers if isinstance(layer, keras_se.SqueezeExcite)]
    assert {gate.reduction for gate in gates} == {8}


def test_one_network_is_shown_layer_by_layer(capsys, run):
    assert run("models", "mobilenet_v3_small") == 0
    assert "2,542,856" in capsys.readouterr().out  # the paper's 2.5 M


def test_every_network_is_listed_without_importing_keras(capsys, run):
    assert run("models") == 0
    out = capsys.readouterr().out
    for name in keras_se.models.names():
        assert name in out
    assert set(networks.network_figures()) == set(keras_se.models.names())


def test_build_reads_se_by_block_from_a_file(tmp_path, run, fails):
    blocks = [[None]] * 10 + [[keras_se.PAPER]]
    file = tmp_path / "se.json"
    file.write_text(keras_se.models.configuration.to_json("mobilenet_v3_small", blocks))
    path, size = tmp_path / "small.keras", ("--size", 32, "--width", 0.35)
    assert run("build", "mobilenet_v3_small", path, "--se", file, *size) == 0
    model = keras.saving.load_model(path)
    gates = [layer.name for layer in model.layers if isinstance(layer, keras_se.SqueezeExcite)]
    assert gates == ["block_10_se"]
    again = ("--se", file, "--overwrite", *size)
    assert "not of 'mobilenet_v2'" in fails("build", "mobilenet_v2", path, *again)
    reduced = fails("build", "mobilenet_v3_small", path, *again, "--reduction", 4)
    assert "`reduction` changes a preset" in reduced


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("models", "huge"), "mobilenet_v3_small"),
        (("models", "mobilenet_v3_smal"), "'mobilenet_v3_small'"),
        (("build", "mobilenet_v3_small", "a.tflite"), "must end in .keras"),
        (("build", "mobilenet_v3_small", "a.keras", "--se", "pape"), "Did you mean 'paper'?"),
    ],
)
def test_bad_call_leaves_nothing(tmp_path, monkeypatch, fails, arguments, advice):
    monkeypatch.chdir(tmp_path)
    assert advice in fails(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_weights_say_where_they_were_trained(tmp_path, run, fails):
    path, small = tmp_path / "small.keras", ("--size", 32, "--width", 0.35, "--classes", 3)
    arguments = ("mobilenet_v3_small", path, *small)
    said = fails("build", *arguments, "--source", "mobilenetv3_small_050")
    assert "source='mobilenetv3_small_050' without weights. Pass --weights FILE" in said
    assert run("build", *arguments) == 0
    keras.models.load_model(path).save_weights(tmp_path / "own.weights.h5")
    own = (*arguments, "--overwrite", "--weights", tmp_path / "own.weights.h5")
    assert run("build", *own) == 0
    said = fails("build", *own, "--source", "mobilenetv3_small_050")
    assert "source='mobilenetv3_small_050' for" in said and "named as in Keras" in said
