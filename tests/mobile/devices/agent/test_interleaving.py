import itertools

from mobile.devices.agent.interleaving import interleave, order_of


class Clock:
    """A clock that the functions it times move on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds, log, name):
        def invoke():
            log.append(name)
            self.now += seconds

        return invoke


def test_each_name_stands_in_every_place_and_next_to_itself_equally_often():
    orders = [order_of(turn, "abc") for turn in range(6)]
    for place in range(3):
        assert sorted(order[place] for order in orders) == list("aabbcc")
    pairs = itertools.pairwise(orders)
    twice = [before[-1] for before, after in pairs if before[-1] == after[0]]
    assert sorted(twice) == ["a", "b", "c"]


def test_models_alternate_forwards_and_backwards():
    clock, log = Clock(), []
    interleave({name: clock.takes(1, log, name) for name in "abc"}, 6, 0, clock)
    assert "".join(log) == "abccbabcaacbcabbac"


def test_times_are_milliseconds_without_the_warm_ups():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(0.25, log, "a"), "b": clock.takes(0.5, log, "b")}
    times = interleave(invokes, runs=2, warmups=3, clock=clock)
    assert times == {"a": [250.0, 250.0], "b": [500.0, 500.0]}
    assert len(log) == 2 * (2 + 3)


def test_rounds_end_with_the_budget_but_never_before_50():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(1, log, "a"), "b": clock.takes(2, log, "b")}
    times = interleave(invokes, 1000, 0, clock, budget_s=10)
    assert len(times["a"]) == len(times["b"]) == 50
    times = interleave(invokes, 1000, 0, clock, budget_s=180)
    assert len(times["a"]) == 61  # 3 s a round: the limit is passed in the 61st
    assert len(interleave(invokes, 7, 0, clock, budget_s=1)["a"]) == 7


def test_rounds_go_on_until_each_model_has_run_long_enough():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(1, log, "a"), "b": clock.takes(2, log, "b")}
    times = interleave(invokes, 5, 0, clock, least_s=20)
    assert len(times["a"]) == 20  # of 1 s each


def test_warm_up_goes_on_while_times_fall():
    clock, calls = Clock(), []

    def cooling():
        calls.append(None)
        clock.now += max(1.0, 3 - 0.05 * len(calls))

    times = interleave({"a": cooling}, 5, 20, clock)
    # The 40th call is the first to take 1 s. Medians of 10 fall by less than 3 % when those of
    # calls n-9..n and n-19..n-10 do: both 1 s from n = 53 or so on.
    assert times["a"] == [1000.0] * 5
    assert 45 < len(calls) - 5 < 60


def test_times_so_far_are_saved_and_the_round_after_is_not_counted():
    clock, log, saved = Clock(), [], []
    interleave(
        {"a": clock.takes(2, log, "a")}, 7, 0, clock, save=lambda t: saved.append(len(t["a"]))
    )
    assert saved == [3, 6]
    assert len(log) == 7 + 2
