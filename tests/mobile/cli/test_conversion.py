import numpy as np
import pytest

import mobile
from mobile.pipeline import keras_files
from tests.mobile.cli.conftest import save_noise


def test_model_goes_the_whole_road_from_the_command_line(folder, capsys, run):
    model, photos = folder / "model.keras", ("--data", folder / "photos", "--images", 100)
    assert run("lower", model, folder / "lowered.keras") == 0
    assert run("quantize", model, folder / "qat.keras", *photos) == 0
    few, plot = (*photos[:2], "--images", 10), folder / "sensitivity.png"
    assert run("sensitivity", folder / "qat.keras", *few, "--plot", plot) == 0
    assert "all layers" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run("convert", folder / "qat.keras", folder / "int8.tflite") == 0
    assert "CONV_2D int8" in capsys.readouterr().out
    assert run("convert", model, folder / "float32.tflite", "--scheme", "float32") == 0
    assert run("convert", model, folder / "again.tflite", *photos) == 0
    capsys.readouterr()
    assert run("verify", model, folder / "int8.tflite", *photos) == 0
    assert "top-1 agreement" in capsys.readouterr().out
    files = (folder / "int8.tflite", folder / "float32.tflite")
    assert run("benchmark", *files, "--runs", 5, "--export-json", folder / "times.json") == 0
    assert "int8" in capsys.readouterr().out
    assert (folder / "times.json").exists()


def test_bad_value_names_the_known_ones(folder, fails):
    model, photos = folder / "model.keras", ("--data", folder / "photos")
    bad = folder / "bad.tflite"
    assert "int8, float32" in fails("convert", model, bad, "--scheme", "int4")
    assert "xnnpack" in fails("lower", model, folder / "bad.keras", "--target", "toaster")
    assert "keras, tfmot" in fails(
        "quantize", model, folder / "bad.keras", "--engine", "jax", *photos
    )
    assert "--overwrite" in fails("lower", model, model)
    assert "does not exist" in fails("lower", "nowhere.keras", folder / "bad.keras")
    assert "nowhere.tflite" in fails("verify", model, "nowhere.tflite", *photos)
    assert not bad.exists()
    assert not (folder / "bad.keras").exists()


@pytest.fixture
def bad_output(folder):
    yield folder / "bad"
    assert not list(folder.glob("bad*"))


@pytest.mark.parametrize(
    ("command", "ending"),
    [("quantize", ".keras"), ("convert", ".tflite"), ("verify", None), ("sensitivity", None)],
)
def test_images_are_never_taken_unasked(folder, run, fails, bad_output, command, ending):
    """Once the digits calibrated, verified and trained any model without a word."""
    model = folder / "model.keras"
    output = [] if ending is None else [bad_output.with_suffix(ending)]
    if command == "verify":
        output = [folder / "float.tflite"]
        if not output[0].exists():
            assert run("convert", model, *output, "--scheme", "float32") == 0
    assert "Pass --data FOLDER, or --data digits" in fails(command, model, *output)
    said = fails(command, model, *output, "--data", "digits")
    assert "model.keras of 2 classes, and digits with 10 classes (0, 1, 2, ... 9)" in said


def test_data_without_effect_are_refused(folder, run, fails, bad_output):
    model, photos = folder / "model.keras", ("--data", folder / "photos")
    said = fails(
        "convert", model, bad_output.with_suffix(".tflite"), *photos, "--scheme", "float16"
    )
    assert "scheme float16" in said and "Leave out --data" in said
    aware = folder / "aware.keras"
    assert run("quantize", model, aware, *photos, "--images", 20) == 0
    assert "Leave out --data" in fails("convert", aware, bad_output.with_suffix(".tflite"), *photos)
    split = ("--validation-split", 0.2)
    said = fails("quantize", model, bad_output.with_suffix(".keras"), *photos, *split)
    assert "pass --epochs" in said


def test_class_names_travel_with_the_model_and_hold_for_its_images(
    folder, run, fails, tmp_path, capsys
):
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("bus", "tram"):
            for i in range(20):
                save_noise(tmp_path / "traffic" / part / name / f"{i}.png", random)
    own = ("--data", tmp_path / "traffic")
    model = keras_files.load(folder / "model.keras")
    named = keras_files.save(model, tmp_path / "named.keras", ("bus", "tram"))
    lowered, aware = tmp_path / "lowered.keras", tmp_path / "aware.keras"
    assert run("lower", named, lowered) == 0
    assert run("quantize", lowered, aware, *own, "--epochs", 1, "--batch", 8) == 0
    assert keras_files.class_names(aware) == ("bus", "tram")
    assert run("convert", aware, tmp_path / "int8.tflite") == 0
    assert mobile.Artifact.load(tmp_path / "int8.tflite").classes == ("bus", "tram")
    capsys.readouterr()
    assert run("verify", aware, tmp_path / "int8.tflite", *own) == 0
    said = capsys.readouterr().out
    assert "accuracy tflite" in said and "alphabetical" not in said  # the folders are classes
    keras_files.load(aware).save(tmp_path / "unnamed.keras")  # as Keras alone does
    assert run("verify", tmp_path / "unnamed.keras", tmp_path / "int8.tflite", *own) == 0
    assert "unnamed.keras names no classes: accuracies count" in capsys.readouterr().out
    (tmp_path / "traffic" / "train" / "tram").rename(tmp_path / "traffic" / "train" / "rose")
    (tmp_path / "traffic" / "test" / "tram").rename(tmp_path / "traffic" / "test" / "rose")
    said = fails("sensitivity", aware, *own)
    assert "aware.keras of 2 classes (bus, tram), and" in said and "(bus, rose)" in said


def test_table_of_sensitivities_is_shown_even_where_the_plot_fails(
    folder, run, capsys, monkeypatch
):
    from mobile.reporting import plots

    def draw(found):
        raise ValueError("no fonts")

    monkeypatch.setattr(plots, "sensitivity", draw)
    arguments = ("--data", folder / "photos", "--images", 10, "--plot", folder / "no.png")
    assert run("sensitivity", folder / "model.keras", *arguments) == 1
    said = capsys.readouterr()
    assert "all layers" in said.out and "no fonts" in said.err
