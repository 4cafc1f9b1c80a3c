"""Which variants an ablation compares, and the whole of one on scripted trainings and times."""

import dataclasses
import json
import pathlib

import pytest

from keras_se import MOBILENET_V3, models
from mobile.benchmarking.timings import ModelTimings, Timings
from mobile.reporting.results import Epoch
from mobile.tuning import ablation, trained_networks, training_jobs
from mobile.tuning.ablation import PUBLISHED, QUESTIONS, ablate, variants
from mobile.tuning.ablation_record import Ablation
from mobile.tuning.candidates import Made
from mobile.tuning.finalists import Trained
from tests.mobile.tuning.profiles import CONDITIONS

ANCHORS = pathlib.Path(__file__).resolve().parents[3].parent / "shared" / "anchors.json"
SMALL = models.find("mobilenet_v3_small")


@pytest.mark.parametrize("question", QUESTIONS)
def test_variants_differ_in_what_is_asked_and_can_be_built(question):
    found = variants(question, SMALL)
    assert found.pop("no SE") is None
    assert len(found) >= 3
    field = {"stages": None, "placement": "placement"}.get(question, question)
    for name, se in found.items():
        model = models.build(SMALL, se, (32, 32, 3), width=0.35, classes=4)
        assert any(layer.name.endswith("_se") for layer in model.layers), name
        if field:
            changed = {"kind": "scse"} if question == "aggregate" else {}
            value = {"no squeeze": None}.get(name, float(name) if field == "reduction" else name)
            for one in (one for row in se for one in row):
                assert one == dataclasses.replace(MOBILENET_V3, **changed, **{field: value})


def test_each_row_of_the_network_has_se_alone_and_all_have():
    found = variants("stages", SMALL)
    assert list(found) == ["no SE", *(f"row {n}" for n in range(11)), "all rows"]
    where = [n for n, row in enumerate(found["row 4"]) if row is not None]
    assert where == [4]


def test_equal_places_are_one_variant():
    assert list(variants("placement", SMALL)).count("expanded") == 1
    assert "standard" not in variants("placement", SMALL)
    assert "standard" in variants("placement", models.find("resnet18"))


def test_what_is_no_question_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(ValueError, match=r"question.*reductoin"):
        ablate("reductoin", folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not ANCHORS.is_file(), reason="no published figures at ../shared/anchors.json")
def test_published_errors_are_those_of_the_paper():
    known = json.loads(ANCHORS.read_text())
    ratio = {k: v[0] for k, v in known["senet_paper_table10_ratio_se_resnet50"].items()}
    other = known["senet_paper_ablations_top1_error"]
    expected = {
        "reduction": ratio | {"no SE": ratio.pop("none")},
        "pool": other["squeeze"] | {"no squeeze": other["no_squeeze"]},
        "gate": other["excitation"],
        "placement": other["placement"],
    }
    for question, errors in expected.items():
        ours = PUBLISHED[question].errors
        assert {name: ours[name] for name in errors} == errors
        assert set(ours) - set(errors) <= {"no SE"}


@pytest.fixture
def scripted(monkeypatch):
    trained = []

    def train_candidate(candidate, network, images, options, folder):
        trained.append((candidate.name, options.seed))
        name = f"{candidate.name}-{options.seed}.tflite"
        accuracy = {"no SE": 0.7, "relu": 0.65}.get(candidate.name, 0.75) + 0.01 * options.seed
        told = Trained(options.seed, accuracy, accuracy, accuracy)
        return Made(told, 10, 20, (Epoch(1.0, 0.5, 1.0),), {"int8": name})

    def benchmark(files, reference, **timing):
        models = [ModelTimings(name, (1.0,) * 3, 1, 10) for name in files]
        return Timings(tuple(models), CONDITIONS, (reference,), ())

    monkeypatch.setattr(training_jobs, "train_candidate", train_candidate)
    monkeypatch.setattr(trained_networks, "benchmark", benchmark)
    return trained


def test_an_ablation_is_kept_and_goes_on(scripted, tmp_path):
    options = {"folder": tmp_path / "a", "size": 32, "epochs": 1}
    found = ablate("gate", seeds=2, **options)
    names = ["no SE", "sigmoid", "hard_sigmoid", "tanh", "relu"]
    assert [one.name for one in found.networks] == names
    assert len(scripted) == 2 * len(names)
    assert "More accurate than no SE: sigmoid, hard_sigmoid, tanh." in found.verdict
    assert "Less accurate than no SE: relu." in found.verdict
    assert Ablation.load(tmp_path / "a" / ablation.RECORD) == found
    assert (tmp_path / "a" / ablation.PICTURE).read_bytes().startswith(b"\x89PNG")
    ablate("gate", seeds=2, **options)
    assert len(scripted) == 2 * len(names)
    with pytest.raises(ValueError, match="must go on with what it began with"):
        ablate("pool", seeds=2, **options)
