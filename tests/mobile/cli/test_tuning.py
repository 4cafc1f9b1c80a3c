"""The commands gates, fold and profile."""

import itertools
import json

import keras
import numpy as np
import pytest

import keras_se
from mobile.data import load_images
from mobile.tuning import ablation, profiling, training_jobs
from mobile.tuning import tune as tune_module
from tests.mobile.cli.conftest import save_noise
from tests.mobile.tuning.profiles import by_hand


@pytest.fixture(scope="module")
def evened(folder):
    """The file of the model, changed so that it takes half of the photos for each class."""
    model, photos = keras.saving.load_model(folder / "model.keras"), folder / "photos"
    logits = model.predict(load_images(str(photos), 16, 100), verbose=0)
    kernel, bias = model.get_layer("logits").get_weights()
    bias[0] -= np.median(logits[:, 0] - logits[:, 1])
    model.get_layer("logits").set_weights([kernel, bias])
    model.save(folder / "evened.keras")
    return folder / "evened.keras"


def test_gates_are_shown_and_folded(folder, evened, run, capsys):
    model, photos = evened, ("--data", folder / "photos")
    assert run("gates", model, *photos, "--images", 30, "--plot", folder / "gates.png") == 0
    assert "7x7x8" in capsys.readouterr().out
    assert (folder / "gates.png").read_bytes().startswith(b"\x89PNG")
    options = ("--by", "elements", "--keep", 0.5, "--plot", folder / "fold.png")
    record, folded = folder / "fold.json", folder / "folded.keras"
    assert run("fold", model, folded, *photos, *options, "--export-json", record) == 0
    assert "1 of 1 gates folded" in capsys.readouterr().out
    assert (folder / "fold.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(record.read_text())["gates"][0]["block"] == "se"
    layers = {type(layer).__name__ for layer in keras.saving.load_model(folded).layers}
    assert "ChannelScale" in layers and "SqueezeExcite" not in layers


def test_gates_by_class_of_the_folders(folder, run, capsys):
    random = np.random.default_rng(0)
    for part, name, number in itertools.product(("train", "test"), "ab", range(4)):
        save_noise(folder / "classes" / part / name / f"{number}.png", random)
    classes = ("--by-class", "--data", folder / "classes")
    assert run("gates", folder / "model.keras", *classes) == 0
    assert "by class" in capsys.readouterr().out


@pytest.mark.filterwarnings("default::UserWarning")
def test_where_no_gate_can_go_no_file_is_written(folder, run, capsys):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras_se.SqueezeExcite(name="se", min_channels=3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 10, w.shape) for w in model.weights])
    model.save(folder / "alive.keras")
    options = ("--by", "elements", "--keep", 1, "--data", folder / "photos")
    assert run("fold", folder / "alive.keras", folder / "none.keras", *options) == 1
    said = capsys.readouterr()
    assert "0 of 1 gates folded" in said.out and "could be folded" in said.err
    assert not (folder / "none.keras").exists()


@pytest.fixture
def asked(monkeypatch):
    """What `mobile.profile` is asked for; it answers with a profile written by hand."""
    kept = {}

    def profile(network, se, path, **options):
        kept.update(options, network=network, se=se, path=path)
        by_hand().save(path)
        return by_hand()

    monkeypatch.setattr(profiling, "profile", profile)
    return kept


def test_a_profile_is_shown_drawn_and_written(asked, run, capsys, tmp_path):
    output, plot = tmp_path / "p.json", tmp_path / "p.png"
    options = ("--kinds", "cse,static", "--places", "projected", "--device", "adb", "--threads", 2)
    assert run("profile", "mobilenet_v3_small", output, *options, "--plot", plot) == 0
    assert "2.000 ms without SE" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    wanted = {"network": "mobilenet_v3_small", "se": "default", "device": "adb", "resume": True}
    assert asked.items() >= wanted.items()
    assert (asked["kinds"], asked["places"]) == (["cse", "static"], ["projected"])
    assert (asked["runtime"].threads, asked["path"]) == (2, output)


def test_a_profile_that_is_there_goes_on_unless_it_is_to_be_replaced(asked, run, tmp_path):
    output = tmp_path / "p.json"
    output.write_text("{}")
    assert run("profile", "mobilenet_v3_small", output) == 0
    assert asked["resume"] is True
    assert run("profile", "mobilenet_v3_small", output, "--overwrite") == 0
    assert asked["resume"] is False


def test_what_is_no_profile_is_not_gone_on_with(fails, tmp_path):
    output = tmp_path / "p.json"
    output.write_text("{}")
    assert "p.json: A profile must say" in fails("profile", "mobilenet_v3_small", output)
    assert output.read_text() == "{}"
    assert "must end in .json" in fails("profile", "mobilenet_v3_small", tmp_path / "p.txt")
    assert "mobilenet_v3" in fails("profile", "mobilenet_v3_smal", tmp_path / "q.json")


@pytest.fixture
def tuned(monkeypatch):
    """What `mobile.tune` and a worker are asked for."""
    kept = {}
    monkeypatch.setattr(tune_module, "tune", lambda *args, **options: kept.update(options) or args)
    monkeypatch.setattr(training_jobs, "work", lambda *args: kept.update(worker=args[:2]))
    return kept


def test_a_tuning_is_asked_for_with_the_words_of_the_function(tuned, run, capsys, tmp_path):
    options = ("--max-overhead", 0.1, "--kinds", "static,cse", "--places", "projected")
    assert run("tune", tmp_path / "t", "--network", "mobilenet_v2", *options, "--seeds", 2) == 0
    assert "('mobilenet_v2', None)" in capsys.readouterr().out  # what it returned is shown
    wanted = {"folder": tmp_path / "t", "max_overhead": 0.1, "budget_ms": None, "seeds": 2}
    wanted |= {"kinds": ["static", "cse"], "places": ["projected"], "costs": None}
    assert tuned.items() >= wanted.items()


def test_a_worker_works_for_the_folder_s_tuning(tuned, run, tmp_path):
    assert run("tune", tmp_path / "t", "--worker") == 0
    assert tuned["worker"] == (tmp_path / "t" / "trials.db", "t")
    assert run("tune", tmp_path / "t", "--worker", "--storage", "postgresql://host/db") == 0
    assert tuned["worker"] == ("postgresql://host/db", "t")


def test_an_ablation_is_asked_for_with_the_words_of_the_function(
    run, capsys, monkeypatch, tmp_path
):
    kept = {}
    monkeypatch.setattr(ablation, "ablate", lambda *args, **options: kept.update(options) or args)
    monkeypatch.setattr(training_jobs, "work", lambda *args: kept.update(worker=args[:2]))
    options = ("--network", "mobilenet_v2", "--seeds", 5, "--epochs", 2)
    assert run("ablate", "gate", tmp_path / "a", *options) == 0
    assert "('gate', 'mobilenet_v2', None)" in capsys.readouterr().out
    assert kept.items() >= {"folder": tmp_path / "a", "seeds": 5, "epochs": 2}.items()
    assert run("ablate", "gate", tmp_path / "a", "--worker") == 0
    assert kept["worker"] == (tmp_path / "a" / "trials.db", "a")
