import dataclasses

import numpy as np
import pytest

import keras_se
import mobile
from mobile import data
from mobile.pipeline import keras_files, run
from mobile.pipeline.options import Options
from mobile.progress import Silence
from mobile.reporting.results import Results


@pytest.fixture(scope="module")
def images():
    digits = data.load(size=32)
    some, few = slice(0, 96), slice(0, 24)
    return data.from_arrays(
        digits.x_train[some], digits.y_train[some], digits.x_test[few], digits.y_test[few],
        name="tiny",
    )  # fmt: skip


OPTIONS = {
    "network": "mobilenet_v3_tiny",
    "width": 0.5,
    "epochs": 1,
    "qat_epochs": 1,
    "batch": 16,
    "augment": "shift",
    "calibration_images": 32,
    "runs": 5,
}


@pytest.fixture(scope="module", autouse=True)
def tiny_network():
    """MobileNetV3-Small's first two blocks, so that a run takes seconds."""
    small = keras_se.models.find("mobilenet_v3_small")
    tiny = dataclasses.replace(small, name="mobilenet_v3_tiny", rows=small.rows[:2])
    patch = pytest.MonkeyPatch()
    patch.setitem(keras_se.models._NETWORKS, tiny.name, tiny)
    yield
    patch.undo()


class _Interrupted(Silence):
    """Presses Ctrl-C when a stage begins, and remembers the stages and notes."""

    def __init__(self, at=None):
        self.at, self.stages, self.notes = at, [], []

    def stage(self, title, steps=False):
        if title == self.at:
            raise KeyboardInterrupt
        self.stages.append(title)
        return super().stage(title, steps)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """A run that was interrupted after its second stage, and went on."""
    output = tmp_path_factory.mktemp("runs")
    with pytest.raises(KeyboardInterrupt, match=r"train mobile, quantise mobile\. .*--resume"):
        run.run(images, output, progress=_Interrupted("train server SE"), **OPTIONS)
    assert not (output / "tiny").exists()
    kept = (output / "tiny.unfinished" / "float.keras").read_bytes()
    with pytest.raises(ValueError, match="Pass --resume"):
        run.run(images, output, **OPTIONS)
    with pytest.raises(ValueError, match="epochs=1"):
        run.run(images, output, resume=True, **{**OPTIONS, "epochs": 2})
    progress = _Interrupted()
    results = run.run(images, output, resume=True, progress=progress, **OPTIONS)
    return output, results, progress, kept


def test_resumed_run_repeats_nothing(finished):
    output, _, progress, kept = finished
    assert progress.stages == [
        "train server SE",
        "quantise server SE",
        "train without SE",
        "quantise without SE",
        "benchmark",
    ]
    assert progress.notes == ["train mobile: done before", "quantise mobile: done before"]
    assert (output / "tiny" / "float.keras").read_bytes() == kept


def test_run_leaves_models_files_and_report(finished):
    output, results, _, _ = finished
    assert sorted(path.name for path in output.iterdir()) == ["tiny"]
    names = {path.name for path in (output / "tiny").iterdir()}
    for suffix in ("", "_server", "_no_se"):
        assert {f"float{suffix}.keras", f"qat{suffix}.keras"} <= names
        assert {f"int8{suffix}.tflite", f"float32{suffix}.tflite"} <= names
    assert {"results.json", "results.csv", "results.md", "report.html"} <= names
    assert {"accuracy_latency.png", "latency.png", "costs.png", "gates_mobile.png"} <= names
    assert not any(name.startswith(".") or name == "state.json" for name in names)
    assert Results.from_json((output / "tiny" / "results.json").read_text()) == results


def test_run_verifies_every_form_and_times_every_file(finished):
    _, results, _, _ = finished
    for network in results.networks:
        forms = {"float", "lowered", "qat", "calibrated", "trained", "int8", "float32"}
        assert set(network.accuracy) == forms
        assert network.agreement["int8"] == network.agreement[network.int8_from]
        assert set(network.apart) == {"calibrated", "trained"}
        assert network.agreement["lowered"].worst_abs < 1e-4
        assert network.agreement["float32"].top1_agreement == 1
        assert len(network.epochs) == len(network.qat_epochs) == 1
    assert [r["partitions"] for r in results.rows()] == [1] * 6
    assert all(len(m.times_ms) == 5 for m in results.timings.models)
    assert results.timings.references == ("server int8", "no_se int8")


def test_the_three_networks_differ_in_squeeze_and_excitation_alone(finished):
    mobile_one, server, none = finished[1].networks
    assert mobile_one.se == keras_se.MOBILE.to_dict()
    assert server.se == keras_se.SERVER.to_dict()
    assert none.se is None
    bodies = {n.complexity["macs"] - n.complexity["se_macs"] for n in finished[1].networks}
    assert len(bodies) == 1


def test_the_gates_of_networks_that_have_any_are_in_the_record(finished):
    gates = {network.name: network.gates for network in finished[1].networks}
    assert gates["no_se"] is None
    assert [block["shape"][-1] for block in gates["mobile"]["blocks"]] == [16]  # of the stem
    assert gates["mobile"]["images"] == 24 and len(gates["mobile"]["classes"]) > 1


def test_int8_file_of_a_run_reads_back_and_is_fed_pixels(finished, images):
    output, results, _, _ = finished
    artifact = mobile.Artifact.load(output / "tiny" / "int8.tflite")
    model = keras_files.load(output / "tiny" / "float.keras")
    names = keras_files.class_names(output / "tiny" / "float.keras")
    assert names == artifact.classes == images.classes
    agreement = mobile.verify(model, artifact, images.x_test, images.y_test)
    assert agreement.accuracy["tflite"] == results.networks[0].accuracy["int8"]


def test_finished_run_is_kept_unless_overwriting_is_asked_for(finished, images):
    output = finished[0]
    with pytest.raises(ValueError, match="--overwrite to replace it"):
        run.run(images, output, **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        run.run(images, output, overwrite=True, progress=_Interrupted("train mobile"), **OPTIONS)
    assert (output / "tiny" / "results.json").exists()
    assert not (output / "tiny.unfinished").exists()  # nothing was finished in it


def test_folder_that_is_no_run_is_never_overwritten(images, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "letter.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="--name"):
            run.run(images, tmp_path, overwrite=overwrite, **OPTIONS)
    assert (tmp_path / "tiny" / "letter.txt").read_text() == "keep me"


def test_nothing_to_resume_is_said(images, tmp_path):
    with pytest.raises(ValueError, match="Leave out --resume"):
        run.run(images, tmp_path, resume=True, **OPTIONS)


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"network": "mobilenet_v9"}, "mobilenet_v2"),
        ({"se": "huge"}, "default, none, paper"),
        ({"method": "guess"}, "mse, minmax"),
        ({"weights": "nowhere.npz"}, "Leave out --weights"),
    ],
)
def test_bad_option_leaves_no_folder(images, tmp_path, option, advice):
    with pytest.raises((ValueError, TypeError), match=advice):
        run.run(images, tmp_path, **{**OPTIONS, **option})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_other_gates_start_all_three_networks(images, tmp_path):
    donor = run._build("default", images, Options(**OPTIONS).filled_in())
    donor.save_weights(tmp_path / "donor.weights.h5")
    options = dataclasses.replace(
        Options(**OPTIONS).filled_in(), weights=str(tmp_path / "donor.weights.h5")
    )
    for name in run.NETWORKS:
        model = run._start(name, images, options, count=4)
        np.testing.assert_allclose(
            model.get_layer("logits").get_weights()[0], donor.get_layer("logits").get_weights()[0]
        )
