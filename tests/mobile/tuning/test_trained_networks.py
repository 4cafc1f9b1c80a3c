"""Trainings that are shared, and times of several copies of each file."""

import pytest

from mobile.benchmarking.timings import Failure, ModelTimings, Timings
from mobile.pipeline.options import Options
from mobile.progress import Silence
from mobile.reporting.results import Epoch
from mobile.tuning import trained_networks, training_jobs
from mobile.tuning.candidates import Candidate, Made
from mobile.tuning.finalists import Trained
from mobile.tuning.trained_networks import finalist, jobs_of, time_all, train_all
from tests.mobile.tuning.profiles import CONDITIONS

ONE, TWO = Candidate("one", ((None,),)), Candidate("two", ((None,),), 2.0)


def made(name, seed):
    told = Trained(seed, 0.5, 0.5, 0.5)
    return Made(told, 7, 9, (Epoch(1, 1, 1),), {"int8": f"{name}-{seed}.tflite"})


@pytest.fixture
def trained(monkeypatch):
    """What was trained, in order; "two" fails as long as it is in `failing`."""
    seen, failing = [], set()

    def train_candidate(candidate, network, images, options, folder):
        if candidate.name in failing:
            raise MemoryError("too wide")
        seen.append((candidate.name, options.seed))
        return made(candidate.name, options.seed)

    monkeypatch.setattr(training_jobs, "train_candidate", train_candidate)
    return seen, failing


def all_of(folder):
    folder.mkdir(exist_ok=True)
    jobs = jobs_of([ONE, TWO], [0, 1])
    where = folder / "networks", folder / "t.db", {"a": 1}
    return train_all(jobs, Options(), object(), *where, Silence())


def test_each_is_trained_with_each_seed_and_the_first_seed_first(trained, tmp_path):
    found = all_of(tmp_path / "t")
    assert trained[0] == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]
    assert found["two, seed 1"] == made("two", 1)
    assert all_of(tmp_path / "t") == found
    assert len(trained[0]) == 4


def test_one_that_fails_stops_no_other_and_is_tried_again(trained, tmp_path):
    trained[1].add("two")
    with pytest.raises(RuntimeError, match=r"2 of 4 failed; two, seed 0: MemoryError: too wide"):
        all_of(tmp_path / "t")
    assert trained[0] == [("one", 0), ("one", 1)]
    trained[1].clear()
    all_of(tmp_path / "t")
    assert trained[0][2:] == [("two", 0), ("two", 1)]


def test_times_are_of_three_copies_or_one_a_seed(monkeypatch, tmp_path):
    asked = {}

    def benchmark(files, **timing):
        asked.update(files=files, timing=timing)
        times = {"one": 1.0, "two": 1.5}
        models = [ModelTimings(n, (times[n.split()[0]],) * 3, 1, 10) for n in files]
        return Timings(tuple(models), CONDITIONS, ("one 0",), ())

    monkeypatch.setattr(trained_networks, "benchmark", benchmark)
    runs = {name: [made(name, seed) for seed in (0, 1)] for name in ("one", "two")}
    timings = time_all(runs, tmp_path, "one", {"threads": 2})
    assert asked["timing"] == {"reference": "one 0", "threads": 2}
    assert {n: path.name for n, path in asked["files"].items() if n.startswith("two")} == {
        "two 0": "two-0.tflite", "two 1": "two-1.tflite", "two 2": "two-0.tflite",
    }  # fmt: skip
    told = finalist(TWO, "wider", runs["two"], timings, "one")
    assert (told.width, told.params, told.macs, told.time_ms) == (2.0, 7, 9, pytest.approx(1.5))
    assert told.time and told.time.value == pytest.approx(1.5)
    assert finalist(ONE, "without", runs["one"], timings, "one").time is None


def test_why_a_network_gave_no_times_is_kept():
    failures = (Failure("two 0", "load", "out of memory"),)
    timings = Timings((ModelTimings("one 0", (1.0,), 1, 10),), CONDITIONS, ("one 0",), failures)
    told = finalist(TWO, "wider", [made("two", 0)], timings, "one")
    assert told.time is None and told.reason == "out of memory"
