"""Blocks are timed as they stand, beside their neighbours alone."""

import types

import pytest

from mobile.tuning import block_times as module
from tests.mobile.tuning.networks import network, pictures


def timings(artifacts, missing=()):
    models = [
        types.SimpleNamespace(name=name, median_ms=0.1 * (i + 1) ** 2)
        for i, name in enumerate(artifacts)
        if name not in missing
    ]
    failures = [types.SimpleNamespace(name=name, message="refused") for name in missing]
    return types.SimpleNamespace(models=models, failures=failures)


@pytest.fixture
def seen(monkeypatch):
    """The files that would be timed, on a scripted clock."""
    files = {}

    def benchmark(artifacts, device, **timing):
        files.update(artifacts=artifacts, device=device, **timing)
        return timings(artifacts, files.get("missing", ()))

    monkeypatch.setattr(module, "benchmark", benchmark)
    return files


def test_a_block_costs_what_it_adds_to_its_neighbours(seen):
    times, _ = module.block_times(network(), pictures(20), "ssh:pi", "builtin", runs=3)
    assert (seen["device"], seen["runs"]) == ("ssh:pi", 3)
    files = seen["artifacts"]
    names = ["early", "still", "late"]
    assert list(files) == [f"{name}{suffix}" for name in names for suffix in ("", " without")]
    for name, size in zip(names, ((1, 8, 8, 8), (1, 8, 8, 10), (1, 4, 4, 12)), strict=True):
        assert files[name].inputs[0].shape == size
        extra = dict(files[name].operators)
        for operator, count in files[f"{name} without"].operators.items():
            extra[operator] -= count
        kinds = {operator.split()[0]: count for operator, count in extra.items() if count}
        assert kinds == {"MEAN": 1, "CONV_2D": 2, "LOGISTIC": 1, "MUL": 1}
    # The clock: 0.1 ms times the square of the place in the line, from 1.
    assert times == pytest.approx(
        {"early": 100 * (1 - 4), "still": 100 * (9 - 16), "late": 100 * (25 - 36)}
    )


def test_a_block_that_gives_no_times_is_an_error_with_the_reason(seen, monkeypatch):
    monkeypatch.setattr(module, "convert", lambda *args, **kwargs: None)
    seen["missing"] = ["late"]
    with pytest.raises(RuntimeError, match=r"'late' and 0 others gave no times.*refused.*elements"):
        module.block_times(network(), pictures(20))
