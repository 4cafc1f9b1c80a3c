"""The whole of a tuning on scripted scores, trainings and times; once for real."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import keras_se
from keras_se import models
from mobile.benchmarking.timings import ModelTimings, Ratio, Timings
from mobile.data import DataSet
from mobile.reporting.results import Epoch
from mobile.tuning import trained_networks, training_jobs, tuning_folder
from mobile.tuning import tune as tuning
from mobile.tuning.block_costs import BlockCosts, Cost, configuration_of
from mobile.tuning.candidates import Made
from mobile.tuning.finalists import Trained
from mobile.tuning.se_profile import Profile
from mobile.tuning.search_space import SearchSpace
from mobile.tuning.supernet import Score
from mobile.tuning.tuning_record import Tuning
from mobile.tuning.widening import MeasuredWidth, Widening
from tests.mobile.tuning.profiles import CONDITIONS

TINY = "tiny"  # the first three blocks of MobileNetV3-Small
COSTS = {"static": 0.0, "cse": 0.02, "scse": 0.05}
GAINS = {"static": 0.01, "cse": 0.04, "scse": 0.05}  # of loss, in each block


def images(count=400):
    """Four shades as four classes."""
    labels = np.arange(count) % 4
    pixels = np.broadcast_to(60 * labels[:, None, None, None], (count, 32, 32, 3)).astype("uint8")
    return DataSet("shades", tuple("abcd"), pixels, labels, pixels[:40], labels[:40])


def gain(se):
    return sum(GAINS[one.kind] for row in se for one in row if one is not None)


class Scripted:
    """In the place of what takes long: counts what it was asked for."""

    def __init__(self):
        self.trained, self.supernets, self.scored, self.failing = [], 0, [], set()

    def profile(self, network, se, kinds, places, path, **options):
        space = SearchSpace.of(network, se, kinds, places)
        blocks = []
        for place, variants in zip(models.places(network), space.blocks, strict=True):
            told = [one for one in variants if one is not None]
            costs = tuple(
                Cost(one.to_dict(), COSTS[one.kind], 0.0, 0.1, free=one.kind == "static")
                for one in told
            )
            blocks.append(
                BlockCosts(place.row, place.block, "b", (8, 8, 8), "x", 2.0, 0.1, None, costs)
            )
        return Profile(network, (32, 32, 3), "xnnpack", CONDITIONS, tuple(blocks))

    def train_candidate(self, candidate, network, images, options, folder, watch=None):
        self.trained.append((candidate.name, options.seed))
        if candidate.name in self.failing:
            raise RuntimeError("no memory")
        names = {"float": f"{candidate.name}-{options.seed}.keras"}
        names["int8"] = names["float"].replace(".keras", ".tflite")
        for name in names.values():
            (folder / name).write_text(f"{candidate.name} {options.seed}")
        accuracy = 0.8 + gain(configuration_of(candidate.se)) + 0.001 * (options.seed % 2)
        accuracy += 0.02 * (candidate.width > 1)
        told = Trained(options.seed, accuracy, accuracy, accuracy)
        return Made(told, 10, 20, (Epoch(1.0, 0.5, 1.0),), names)

    def benchmark(self, files, reference, **timing):
        def takes(name):
            return {"SE everywhere": 1.06, "wider": 1.04}.get(name.rpartition(" ")[0], 1.0)

        timed = [ModelTimings(name, (takes(name),) * 3, 1, 10) for name in files]
        return Timings(tuple(timed), CONDITIONS, (reference,), ())

    def supernet(self):
        script = self

        class Supernet:
            @classmethod
            def build(cls, space, *args, **kwargs):
                return cls()

            def train(self, *args, **kwargs):
                script.supernets += 1

            def save(self, path):
                path.write_text("weights")

            def load(self, path):
                assert path.read_text() == "weights"

            def score(self, se, x, y):
                script.scored.append(se)
                return Score(1.0 - gain(se), 0.5 + gain(se))

        return Supernet


@pytest.fixture
def script(monkeypatch):
    small = models.find("mobilenet_v3_small")
    network = dataclasses.replace(small, name=TINY, rows=small.rows[:3])
    monkeypatch.setitem(models._NETWORKS, TINY, network)
    made = Scripted()
    monkeypatch.setattr(tuning, "profile", made.profile)
    monkeypatch.setattr(trained_networks, "benchmark", made.benchmark)
    monkeypatch.setattr(training_jobs, "train_candidate", made.train_candidate)
    monkeypatch.setattr(tuning, "Supernet", made.supernet())
    monkeypatch.setattr(tuning, "untrained_file", lambda *args: b"")
    widths = itertools.count(110)  # each measurement finds another one, as noise will have it

    def widen_to(*args, **options):
        rival = MeasuredWidth(next(widths) / 100, Ratio("rival", "file", 1.0, 0.99, 1.01))
        narrow = MeasuredWidth(1.0, Ratio("rival", "file", 0.96, 0.95, 0.97))
        return Widening(TINY, (narrow, rival))

    monkeypatch.setattr(tuning, "widen_to", widen_to)
    return made


def tuned(folder, **options):
    options = {"trials": 5, "alone": 5, "seeds": 2, "epochs": 1} | options
    return tuning.tune(TINY, images(), folder=folder, **options)


def test_the_best_within_the_budget_is_trained_beside_its_rivals(script, tmp_path):
    found = tuned(tmp_path / "t", max_overhead=0.045)
    names = ["no SE", "SE everywhere", "static everywhere", "tuned 1", "tuned 2", "wider"]
    assert [each.name for each in found.finalists] == names
    # Of 0.045, two cSE blocks at 0.02 and a static one are most: 0.09; one scSE is over.
    winner = found.winner
    assert gain(configuration_of(winner.configuration)) == pytest.approx(0.04 + 0.04 + 0.01)
    assert found.finalists[-1].width == 1.1
    assert len(found.alone) == 5 and len({json.dumps(a.configuration) for a in found.alone}) == 5
    expected = {(name, seed) for name in names for seed in (0, 1)}
    assert set(script.trained) == expected | {(f"random {n}", 0) for n in range(1, 6)}
    assert len(script.trained) == 2 * 6 + 5
    # Paired by seed: 9 points over no SE, and 2 fewer over the wider one, both without spread.
    assert found.pays
    assert "SE gains 9.0 ± 0.0 points over no SE, and 7.0 ± 0.0" in found.verdict


def test_the_folder_holds_record_picture_and_winner(script, tmp_path):
    folder = tmp_path / "t"
    found = tuned(folder, max_overhead=0.045)
    assert Tuning.load(folder / "tuning.json") == found
    assert (folder / "tuning.png").read_bytes().startswith(b"\x89PNG")
    model = keras_se.models.build(TINY, folder / "winner.json", (32, 32, 3), classes=4)
    gated = [layer for layer in model.layers if layer.name.endswith("_se")]
    assert sorted(type(layer).kind for layer in gated) == ["cse", "cse", "static"]
    assert (folder / "winner.tflite").read_text() == f"{found.winner.name} 1"  # seed 1's is better


def test_the_same_call_goes_on_and_does_nothing_twice(script, tmp_path):
    script.failing = {"wider"}
    with pytest.raises(RuntimeError, match=r"2 of 17 failed; wider, seed 0: .*no memory"):
        tuned(tmp_path / "t")
    trained, scored = len(script.trained), len(script.scored)
    script.failing = set()
    found = tuned(tmp_path / "t")
    assert script.supernets == 1
    assert script.trained[trained:] == [("wider", 0), ("wider", 1)]
    assert len(script.scored) == scored + 5  # the random ones alone, which no study keeps
    assert len(found.finalists) == 6
    assert found.finalists[-1].width == 1.1  # as trained before, though measured anew it differs


def test_another_tuning_in_the_same_folder_is_refused(script, tmp_path):
    tuned(tmp_path / "t")
    with pytest.raises(ValueError, match=r"must go on with what it began with.*budget"):
        tuned(tmp_path / "t", max_overhead=0.1)


def test_a_budget_in_milliseconds_is_held_against_the_network_without_se(script, tmp_path):
    found = tuned(tmp_path / "a", budget_ms=2.1)  # without SE it takes 2 ms
    assert found.budget == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"at least what the network takes.*takes 2.000 ms"):
        tuned(tmp_path / "b", budget_ms=1.9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_overhead": -0.1}, "max_overhead"),
        ({"max_overhead": 0.1, "budget_ms": 1.0}, "one of both"),
        ({"seeds": 0}, "seeds"),
        ({"supernet_epochs": 0}, "supernet_epochs"),
        ({"alone": -1}, "alone"),
        ({"epoch": 1}, "Did you mean epochs"),
        ({"kinds": ["ese"]}, "kinds"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(script, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        tuned(tmp_path / "t", **options)
    assert not (tmp_path / "t").exists()


def test_too_few_images_are_said_before_the_device_is_timed(script, monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "profile", None)
    with pytest.raises(ValueError, match="Pass 160 or more"):
        tuning.tune(TINY, images(100), folder=tmp_path / "t", epochs=1)


def test_a_folder_is_tuned_by_one_at_a_time(script, tmp_path):
    with (
        tuning_folder.locked(tmp_path / "t"),
        pytest.raises(ValueError, match=r"one `tune` at a time.*--worker"),
    ):
        tuned(tmp_path / "t")


def test_no_configuration_but_the_rivals_is_said(script, tmp_path):
    found = tuned(tmp_path / "t", max_overhead=0.0, kinds=["cse"])
    assert found.winner is None
    assert "no configuration is left" in found.notes[0]
    assert "cannot be said" in found.verdict


@pytest.mark.slow
def test_a_network_is_tuned_on_this_machine(tmp_path):
    found = tuning.tune(
        "mobilenet_v3_small", folder=tmp_path / "t", kinds=["cse"], places=["projected"], size=32,
        width=0.35, epochs=1, supernet_epochs=1, trials=3, alone=0, seeds=1, best_of=1, runs=20,
    )  # fmt: skip
    assert {each.role for each in found.finalists} >= {"without", "everywhere", "tuned"}
    assert all(each.time_ms for each in found.finalists)
    assert (tmp_path / "t" / "winner.keras").exists()
