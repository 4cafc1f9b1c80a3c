"""Widths that are tried until a network takes as long as a file, on scripted times."""

import dataclasses
import math

import pytest

from keras_se import models
from mobile.benchmarking.timings import Failure, ModelTimings, Ratio, Timings
from mobile.tflite.artifact import Artifact
from mobile.tflite.tensor import TensorSpec
from mobile.tuning import widening
from mobile.tuning.widening import MeasuredWidth, Widening, widen_to
from tests.mobile.tuning.profiles import CONDITIONS

TINY = "tiny"  # the first three blocks of MobileNetV3-Small


class Bench:
    """Instead of a device: a network takes `law(width)` ms, the file 1 ms."""

    def __init__(self, law):
        self.law, self.widths, self.jobs, self.failures = law, [], [], ()

    def file(self, model, images, target):
        return model

    def __call__(self, files, **timing):
        self.jobs.append(timing)
        if self.failures:
            return Timings((), CONDITIONS, failures=self.failures)
        params = files["rival 0"].count_params()
        if params not in self.widths:
            self.widths.append(params)
        takes = {"rival": self.law(params), "file": 1.0}
        return Timings(
            tuple(ModelTimings(n, (takes[n.split()[0]],) * 3, 1, 10) for n in files), CONDITIONS
        )


def spec(*shape):
    return TensorSpec(name="x", shape=shape, dtype="int8")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    small = models.find("mobilenet_v3_small")
    monkeypatch.setitem(
        models._NETWORKS, TINY, dataclasses.replace(small, name=TINY, rows=small.rows[:3])
    )


@pytest.fixture
def widened(monkeypatch):
    """Widen a network whose time follows a law of its parameters."""

    def call(law, inputs=((1, 32, 32, 3),), network=TINY, failures=(), **options):
        bench = Bench(law)
        bench.failures = failures
        artifact = Artifact(
            b"", "int8", {}, inputs=tuple(spec(*shape) for shape in inputs), outputs=(spec(1, 5),)
        )
        monkeypatch.setattr(widening, "benchmark", bench)
        monkeypatch.setattr(widening, "untrained_file", bench.file)
        monkeypatch.setattr(widening, "content_of", lambda file: file)
        monkeypatch.setattr(Artifact, "from_content", lambda content: artifact)
        return widen_to(network, b"file", progress=False, **options), bench

    return call


def params(width):
    model = models.build(
        TINY, None, (32, 32, 3), classes=5, width=width, classifier_activation=None
    )
    return model.count_params()


def test_the_width_is_found_that_takes_as_long(widened):
    goal = params(1.5)
    found, bench = widened(lambda count: (count / goal) ** 0.7)
    assert found.reached is not None and len(found.measured) <= 6
    # Of all widths up to 2, none is nearer to the file than the one found, or within 0.5 %.
    best = min(abs(0.7 * math.log(params(step / 100) / goal)) for step in range(100, 200, 5))
    assert abs(math.log(found.reached.time.value)) <= max(best, 0.005)
    assert len(bench.widths) == len(found.measured)  # no network twice


def test_no_network_is_measured_twice_and_neighbours_end_the_search(widened):
    # A time that jumps from 0.9 to 1.1 between two neighbouring networks: no width has 1.
    edge = params(1.31)
    found, bench = widened(lambda count: 0.9 if count < edge else 1.1, most=20)
    assert len(bench.widths) == len(found.measured) < 20
    below = max(one.width for one in found.measured if one.time.value < 1)
    above = min(one.width for one in found.measured if one.time.value > 1)
    steps = range(round(100 * below), round(100 * above) + 1)
    assert {params(step / 100) for step in steps} == {params(below), params(above)}


def test_a_network_that_is_as_slow_without_se_is_not_widened(widened):
    for time in (1.0, 1.2):
        found, _ = widened(lambda count, time=time: time)
        assert [one.width for one in found.measured] == [1.0]
        assert found.reached is found.measured[0]
        assert str(found).endswith("It is as slow without being wider.")


def test_no_more_widths_are_measured_than_allowed(widened):
    found, bench = widened(lambda count: 0.5, most=3)  # no width is ever slow enough
    assert len(found.measured) == len(bench.widths) == 3
    widths = [one.width for one in found.measured]
    assert widths == sorted(set(widths))


def test_a_network_without_widths_is_told_and_has_none(widened, monkeypatch):
    fixed = models.find(TINY)
    body = fixed.body

    def unwidened(network, options, x):
        return body(network, dataclasses.replace(options, width=1.0), x)

    def head(network, options, x, features):
        return fixed.head(network, dataclasses.replace(options, width=1.0), x, features)

    monkeypatch.setitem(
        models._NETWORKS, TINY, dataclasses.replace(fixed, body=unwidened, head=head)
    )
    found, bench = widened(lambda count: 0.5)
    assert found.reached is None and not bench.jobs
    assert str(found) == "tiny has no wider rival: its channels do not depend on `width`."


def test_a_network_that_does_not_run_is_an_error_with_the_reason(widened):
    with pytest.raises(RuntimeError, match=r"no such operator\. Choose another target"):
        widened(lambda count: 1.0, failures=(Failure("rival 0", "load", "no such operator."),))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": "tini"}, "tini"),
        ({"most": 0}, "`most` must be at least 1"),
        ({"threads": (1, 2)}, r"threads=\(1, 2\)\. Search on each"),
        ({"device": ["local", "adb"]}, "one device"),
        (
            {"inputs": ((1, 32, 48, 3),)},
            r"square RGB images\. Received: inputs of shape \[\(1, 32, 48",
        ),
        ({"inputs": ((1, 32, 32, 1),)}, "square RGB"),
        ({"inputs": ((1, 8), (1, 8))}, "square RGB"),
    ],
)
def test_what_cannot_be_widened_is_refused(widened, options, said):
    with pytest.raises(ValueError, match=said):
        widened(lambda count: 1.0, **options)


def test_a_network_of_another_width_is_widened_from_there(widened):
    found, bench = widened(lambda count: 0.5, width=0.5, most=2)
    assert found.measured[0].width == 0.5 and bench.widths[0] == params(0.5)
    assert found.measured[1].width > 0.5 and bench.widths[1] == params(found.measured[1].width)
    slow, _ = widened(lambda count: 1.2, width=0.5)
    assert str(slow).endswith("It is as slow without being wider.")


def test_settings_reach_the_benchmark(widened):
    _, bench = widened(lambda count: 1.0, runs=7, threads=2, device="adb")
    (job,) = bench.jobs
    assert (job["device"], job["schedule"].runs, job["runtime"].threads) == ("adb", 7, 2)


def test_the_sentence_tells_the_width_and_its_interval():
    def at(width, value):
        return MeasuredWidth(width, Ratio("rival", "file", value, value - 0.01, value + 0.01))

    found = Widening("tiny", (at(1.0, 0.95), at(1.08, 1.03), at(1.05, 0.998)))
    assert str(found) == (
        "tiny without SE, of width 1.05, takes 0.998 [0.988, 1.008] times as long as the "
        "file, the nearest of 3 widths measured."
    )
    assert Widening.from_json(found.to_json()) == found
