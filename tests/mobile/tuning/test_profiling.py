"""What is timed for a profile, on scripted times; that it is kept, and goes on."""

import dataclasses

import pytest

from keras_se import MOBILENET_V3, models
from mobile import devices
from mobile.benchmarking.timings import Failure, ModelTimings, Timings
from mobile.tuning import profiling
from mobile.tuning.se_profile import Profile
from tests.mobile.tuning.profiles import CONDITIONS

SMALL = {"size": 32, "progress": False}
TINY = "tiny"  # the first three blocks of MobileNetV3-Small; the last alone has a shortcut
EXPANDED = dataclasses.replace(MOBILENET_V3, placement="expanded")


class Bench:
    """Instead of a device: 0.1 ms for a block without SE, 1 ms for the network.

    With SE a block takes 0.02 ms more, a whole network with it everywhere as many ms as
    `everywhere` says, and one with it here and there as many as `whole` says. What a name in
    `refused` would take is not told. From the job numbered `lost` on, the device is gone.
    """

    def __init__(self):
        self.jobs, self.refused, self.lost = [], {}, None
        self.everywhere, self.whole = 1.06, 1.1
        self.conditions, self.error = CONDITIONS, devices.AgentError("cable pulled", "time")

    def __call__(self, files, device, reference, schedule, runtime, control):
        if self.lost is not None and len(self.jobs) >= self.lost:
            raise self.error
        self.jobs.append(list(files))
        timed = [
            ModelTimings(name, (self.takes(name),) * 3, 1, 10)
            for name in files
            if name not in self.refused
        ]
        if control and reference not in self.refused:
            timed.append(ModelTimings("again", (0.1,) * 3, 1, 10, control_of=reference))
        failures = tuple(Failure(n, "load", r) for n, r in self.refused.items() if n in files)
        references = () if reference in self.refused else (reference,)
        return Timings(tuple(timed), self.conditions, references, failures)

    @property
    def blocks(self):
        """The jobs that timed a block."""
        return [job for job in self.jobs if "without" in job]

    def takes(self, name):
        times = {"network": 1.0, "without": 0.1}
        times |= {"everywhere": self.everywhere, "checked": self.whole}
        return times.get(name.split()[0], 0.12)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A network of three blocks."""
    small = models.find("mobilenet_v3_small")
    network = dataclasses.replace(small, name=TINY, rows=small.rows[:3])
    monkeypatch.setitem(models._NETWORKS, TINY, network)


@pytest.fixture
def bench(monkeypatch):
    """Nothing is converted, and the times are scripted."""
    scripted = Bench()
    monkeypatch.setattr(profiling, "benchmark", scripted)
    monkeypatch.setattr(profiling, "untrained_file", lambda model, images, target: model)
    return scripted


def made(path=None, **options):
    return profiling.profile(TINY, path=path, **SMALL | {"kinds": ["cse"], "check": 0} | options)


def test_each_block_is_timed_beside_itself_without_se_and_the_network(bench):
    profile = made(places=["expanded", "identity"])
    sums = [False, False, True]  # blocks 0 and 1 stride: without a sum they have no identity
    assert bench.blocks == [
        ["network", "without", "cse expanded", *["cse identity"] * has] for has in sums
    ]
    for block, has in zip(profile.blocks, sums, strict=True):
        costs = {cost.name: cost for cost in block.costs}
        assert costs["cse expanded"].share == pytest.approx((0.12 - 0.1) / 1.0)
        assert costs["cse identity"].free is not has
    assert profile.predict([EXPANDED] * 3) == pytest.approx(1.0 + 3 * 0.02)
    assert profile.predict("default") == pytest.approx(1.0 + 0.02)  # block 0's, by the paper


def test_the_block_without_se_is_the_mean_of_its_two_copies(bench, monkeypatch):
    takes = bench.takes
    monkeypatch.setattr(bench, "takes", lambda name: 0.104 if name == "without" else takes(name))
    costs = made(places=["expanded"]).blocks[0].costs  # the second copy takes 0.1 ms
    assert costs[0].share == pytest.approx((0.12 - 0.102) / 1.0)


def test_a_static_gate_that_fits_its_neighbour_is_free_and_not_timed(bench):
    profile = made(kinds=["static"], places=["expanded", "projected"], check=2)
    assert bench.jobs == [["network", "without"]] * 3
    assert all(cost.free and cost.share == 0 for b in profile.blocks for cost in b.costs)
    assert profile.checks == ()  # nothing to check


def test_random_networks_are_timed_whole_in_three_copies(bench):
    bench.whole = 1.15
    profile = made(places=["expanded"], check=2)
    assert bench.jobs[4:] == [[f"{n} {i}" for i in range(3) for n in ("network", "checked")]] * 2
    for check in profile.checks:
        count = sum(each is not None for row in check.configs for each in row)
        assert count >= 1
        assert check.predicted == pytest.approx(0.02 * count)
        assert (check.low, check.measured, check.high) == pytest.approx([0.15] * 3)
    assert profile.checks[0].se != profile.checks[1].se
    again = made(places=["expanded"], check=2)
    assert again.checks == profile.checks  # of the same seed


def test_what_se_costs_everywhere_scales_its_blocks(bench, tmp_path):
    bench.everywhere = 1.09  # where three blocks alone took 0.02 ms each
    path = tmp_path / "p.json"
    profile = made(path, places=["expanded"], check=1)
    assert bench.jobs[3] == [f"{n} {i}" for i in range(3) for n in ("network", "everywhere")]
    assert profile.scales == pytest.approx({"cse expanded": 1.5})
    assert profile.predict([EXPANDED, None, EXPANDED]) == pytest.approx(1 + 2 * 0.02 * 1.5)
    assert profile.blocks[0].costs[0].share == pytest.approx(0.02)  # as measured, alone
    count = sum(each is not None for row in profile.checks[0].configs for each in row)
    assert profile.checks[0].predicted == pytest.approx(0.03 * count)
    made(path, places=["expanded"], check=1)
    assert len(bench.jobs) == 3 + 1 + 1  # nothing anew


def test_checks_made_before_are_held_against_the_scaled_costs(bench, tmp_path):
    path = tmp_path / "p.json"
    old = dataclasses.replace(made(path, places=["expanded"], check=1), everywhere=())
    old.save(path)
    bench.everywhere = 1.09
    (check,) = made(path, places=["expanded"], check=1).checks
    assert check.se == old.checks[0].se
    assert check.predicted == pytest.approx(1.5 * old.checks[0].predicted)


def test_a_lost_device_loses_nothing_and_the_same_call_goes_on(bench, tmp_path):
    path = tmp_path / "p.json"
    bench.lost = 2
    with pytest.raises(devices.AgentError, match="cable pulled") as error:
        made(path, places=["expanded"], check=1)
    assert f"2 of 3 blocks are in {path}; the same command goes on" in error.value.__notes__[0]
    assert len(Profile.load(path).blocks) == 2
    bench.lost = None
    profile = made(path, places=["expanded"], check=1)
    assert len(bench.jobs) == 3 + 1 + 1
    assert len(profile.blocks) == 3 and len(profile.checks) == 1
    assert Profile.load(path) == profile
    assert made(path, places=["expanded"], check=1) == profile
    assert len(bench.jobs) == 3 + 1 + 1


def test_an_interrupt_says_what_is_kept(bench, tmp_path):
    path = tmp_path / "p.json"
    bench.lost, bench.error = 1, KeyboardInterrupt("interrupted before any model was timed")
    with pytest.raises(KeyboardInterrupt, match=r"interrupted. 1 of 3 blocks are in .*p.json"):
        made(path, places=["expanded"])
    bench.lost = 0
    with pytest.raises(KeyboardInterrupt, match="before any model was timed"):
        made(places=["expanded"], check=1)


def test_more_variants_are_added_to_a_profile(bench, tmp_path):
    path = tmp_path / "p.json"
    made(path, places=["expanded"])
    profile = made(path, places=["projected", "expanded"])
    assert bench.blocks[3:] == [["network", "without", "cse projected"]] * 3
    assert [c.name for c in profile.blocks[0].costs] == ["cse projected", "cse expanded"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 0.5}, "width 0.5, not 1.0"),
        ({"classes": 7}, "classes 7, not 1000"),
        ({"size": 48}, r"input_shape \(48, 48, 3\), not \(32, 32, 3\)"),
        ({"target": "xnnpack-amx"}, "target 'xnnpack-amx', not 'xnnpack'"),
        ({"device": "ssh:board"}, "device 'ssh:board', not 'local'"),
        ({"threads": 2}, "threads 2, not 1"),
        ({"kernels": "builtin"}, "kernels 'builtin', not 'default'"),
    ],
)
def test_a_profile_of_another_is_not_gone_on_with(bench, tmp_path, options, said):
    path = Profile(TINY, (32, 32, 3), "xnnpack", CONDITIONS, classes=1000).save(tmp_path / "p.json")
    with pytest.raises(ValueError, match=rf"p.json is there already: .*{said}.*another file"):
        made(path, **options)
    assert bench.jobs == []


def test_a_profile_of_another_is_replaced_where_that_is_wanted(bench, tmp_path):
    path = Profile(TINY, (48, 48, 3), "builtin", CONDITIONS).save(tmp_path / "p.json")
    made(path, places=["expanded"], resume=False)
    assert Profile.load(path).input_shape == (32, 32, 3)


def test_another_processor_under_the_same_name_is_refused(bench, tmp_path):
    path = tmp_path / "p.json"
    made(path, places=["expanded"])
    bench.conditions = dataclasses.replace(CONDITIONS, cpu="Toy 2")
    with pytest.raises(ValueError, match="cpu 'Toy 1' and 'Toy 2'"):
        made(path, places=["projected"])
    assert {c.name for b in Profile.load(path).blocks for c in b.costs} == {"cse expanded"}


def test_a_variant_that_the_device_refuses_costs_its_row_alone(bench):
    bench.refused = {"cse expanded": "Node number 3 failed to prepare."}
    profile = made(places=["expanded", "projected"], check=1)
    first, second = profile.blocks[0].costs
    assert (first.share, first.reason) == (None, "Node number 3 failed to prepare.")
    assert second.share == pytest.approx(0.02)
    drawn = [each for row in profile.checks[0].configs for each in row if each]
    assert {each.placement for each in drawn} == {"projected"}


def test_a_block_that_does_not_run_without_se_is_an_error(bench):
    bench.refused = {"without": "out of memory."}
    with pytest.raises(RuntimeError, match=r"must run on .*out of memory.*another target"):
        made(places=["expanded"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kinds": ["eca"]}, r"kinds=\['eca'\].*Known: cse, sse, scse, static"),
        ({"kinds": "cse"}, "kinds='cse'"),
        ({"places": ["conv3x3"]}, r"conv3x3.*Known: standard, expanded, projected"),
        ({"se": None}, "se=None.*Pass 'default'"),
        ({"se": "none"}, "se='none'.*Pass 'default'"),
        ({"target": "xnpack"}, "xnpack"),
        ({"check": -1}, "check=-1"),
        ({"device": ["local", "adb"]}, "A profile of each|profile of each"),
        ({"threads": (1, 2)}, "profile of each"),
        ({"size": 0}, "size"),
    ],
)
def test_what_cannot_be_profiled_is_said_before_anything_is_timed(bench, options, said):
    with pytest.raises(ValueError, match=said):
        made(**options)
    assert bench.jobs == []


@pytest.mark.device
def test_a_network_is_profiled_on_this_machine(tmp_path):
    path = tmp_path / "p.json"
    options = {"kinds": ["cse", "static"], "places": ["projected"], "runs": 20, "check": 1}
    profile = profiling.profile(TINY, path=path, **SMALL, **options)
    assert Profile.load(path) == profile
    for block in profile.blocks:
        dynamic, static = block.costs
        assert dynamic.low <= dynamic.share <= dynamic.high
        assert static.free
    assert profile.conditions.device == "local" and profile.network_ms > 0
    (check,) = profile.checks
    assert check.predicted == profile.share(check.configs)
    assert check.low <= check.measured <= check.high
