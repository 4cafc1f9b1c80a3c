"""A training as a job: all that a worker needs stands in it."""

import json

import pytest

from mobile.pipeline.options import Options
from mobile.tuning import training_jobs
from mobile.tuning.candidates import Candidate, Made
from mobile.tuning.finalists import Trained
from mobile.tuning.shared_trials import SharedTrials

MADE = Made(Trained(3, 0.9, 0.8, 0.7), 1, 2, (), {})


@pytest.fixture
def trained(monkeypatch):
    """What was trained; nothing is."""
    seen = []

    def train_candidate(candidate, network, images, options, folder):
        seen.append((candidate, network, len(images.x_train), options.seed, folder))
        return MADE

    monkeypatch.setattr(training_jobs, "train_candidate", train_candidate)
    return seen


def job(folder, seed=3):
    options = Options(size=32, network="mobilenet_v2")
    candidate = Candidate.of("none", "mobilenet_v2", None, 0.5)
    return candidate, json.loads(json.dumps(training_jobs.job_of(candidate, options, seed, folder)))


def test_a_worker_reads_the_images_and_trains_what_the_job_says(trained, tmp_path):
    candidate, values = job(tmp_path)
    assert Made.from_dict(training_jobs.Trainer()("none, seed 3", values)) == MADE
    # Four fifths of scikit-learn's 1,797 digits.
    assert trained == [(candidate, "mobilenet_v2", 1438, 3, tmp_path)]


def test_a_folder_that_a_worker_does_not_see_is_said(tmp_path):
    _, values = job(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="must see the folder of the tuning"):
        training_jobs.Trainer()("none, seed 3", values)


def test_a_worker_serves_until_the_tuning_is_over(trained, tmp_path):
    storage = tmp_path / "trials.db"
    with SharedTrials(storage, "t", {}) as shared:
        shared.add({f"none, seed {seed}": job(tmp_path, seed)[1] for seed in (0, 1)})
        shared.finish()
        training_jobs.work(storage, "t")
        assert set(shared.results()) == {"none, seed 0", "none, seed 1"}
    assert [seed for _, _, _, seed, _ in trained] == [0, 1]


def test_images_that_only_the_tuning_has_are_said(trained, tmp_path):
    storage = tmp_path / "trials.db"
    with SharedTrials(storage, "t", {"options": {"data": "DataSet shades"}}) as shared:
        shared.add({"none, seed 0": job(tmp_path)[1]})
        with pytest.raises(ValueError, match="of DataSet shades, which is in the memory"):
            training_jobs.work(storage, "t")
        assert not trained and not shared.failures()
