import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from mobile.benchmarking import statistics


def test_median_of_an_even_number_lies_between_the_middle_two():
    assert statistics.median([4.0, 1.0, 2.0, 10.0]) == (2.0 + 4.0) / 2


def test_percentile_is_linear_between_neighbours():
    # Hyndman and Fan, definition 7: position (n - 1) p = 4 * 0.9 = 3.6, so 4 + 0.6 * (5 - 4)
    assert statistics.percentile([1, 2, 3, 4, 5], 90) == pytest.approx(4.6)


def test_percentile_of_nothing_says_to_measure():
    with pytest.raises(ValueError, match="Measure first"):
        statistics.percentile([], 50)


def test_percentile_above_100_is_refused():
    with pytest.raises(ValueError, match="For the median pass 50"):
        statistics.percentile([1.0], 101)


def test_ratio_of_a_sample_to_itself_is_one_and_certain():
    times = np.random.default_rng(0).gamma(2, size=50)
    assert statistics.ratio_of_medians(times, times) == (1.0, 1.0, 1.0)


def test_interval_holds_the_true_ratio_and_shrinks_with_the_sample():
    random = np.random.default_rng(1)
    width = {}
    for count in (50, 5000):
        a, b = 2.0 + random.normal(0, 0.2, count), 1.0 + random.normal(0, 0.1, count)
        _, low, high = statistics.ratio_of_medians(a, b)
        assert low < 2.0 < high
        width[count] = high - low
    # The standard error falls as 1 / sqrt(count): by 10 here
    assert width[50] / width[5000] == pytest.approx(10, rel=0.6)


def test_disturbance_of_whole_rounds_does_not_widen_the_interval():
    disturbed = np.where(np.arange(100) % 2, 1.0, 3.0)
    assert statistics.ratio_of_medians(2 * disturbed, disturbed) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("figure", "samples"), [(statistics.ratio_of_medians, 2), (statistics.added_share, 3)]
)
def test_interval_of_many_rounds_takes_little_memory(figure, samples):
    times = np.linspace(1, 2, 200_000)
    tracemalloc.start()
    try:
        figure(*[times] * samples, resamples=100)
        assert tracemalloc.get_traced_memory()[1] < 10 * times.nbytes
    finally:
        tracemalloc.stop()


def test_samples_of_different_runs_are_refused():
    with pytest.raises(ValueError, match="Benchmark the two models together"):
        statistics.ratio_of_medians([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    "gained, lost, p",
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 2**5),
        # 2 * (C(10, 0) + C(10, 1)) / 2^10 = 2 * 11 / 1024
        (1, 9, 22 / 1024),
    ],
)
def test_mcnemar_is_the_two_sided_binomial_test_of_the_disagreements(gained, lost, p):
    first = [True] * 20 + [False] * gained + [True] * lost
    second = [True] * 20 + [True] * gained + [False] * lost
    assert statistics.mcnemar(first, second) == pytest.approx(p)
    assert statistics.mcnemar(second, first) == pytest.approx(p)


def test_mcnemar_agrees_with_scipy():
    scipy = pytest.importorskip("scipy.stats")
    first = np.arange(80) < 60
    second = np.concatenate([np.arange(60) < 53, np.arange(20) < 16])
    p = scipy.binomtest(7, 7 + 16).pvalue
    assert statistics.mcnemar(first, second) == pytest.approx(p)


def test_mcnemar_wants_the_same_images():
    with pytest.raises(ValueError, match="Evaluate both on one set"):
        statistics.mcnemar([True], [True, False])


def test_what_a_part_adds_is_a_share_of_the_whole():
    times, without, whole = [3.0, 3.0, 9.0], [2.0, 2.5, 2.0], [10.0, 50.0, 10.0]
    share, low, high = statistics.added_share(times, without, whole)
    assert share == pytest.approx((3.0 - 2.0) / 10.0)
    assert low < share < high


def test_what_slows_a_whole_round_adds_nothing():
    slow = np.array([1.0, 7.0, 3.0, 2.0, 5.0])  # rounds, each as slow in all three
    share, low, high = statistics.added_share(3 * slow, 2 * slow, 10 * slow)
    assert [share, low, high] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_interval_of_a_mean_is_students(count):
    values = np.random.default_rng(count).normal(0.3, 2.0, count)
    mean, half = statistics.mean_with_interval(values)
    error = scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(0.95, count - 1, loc=values.mean(), scale=error)
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-3)


def test_interval_of_more_values_than_the_table_has_is_no_narrower_than_students():
    values = np.random.default_rng(0).normal(size=40)
    _, half = statistics.mean_with_interval(values)
    students = scipy.stats.t.ppf(0.975, 39) * scipy.stats.sem(values)
    assert students < half < 1.15 * students


def test_one_value_has_no_interval_and_none_no_mean():
    assert statistics.mean_with_interval([0.5]) == (0.5, math.inf)
    for values in ([], [1.0, math.nan], [[1.0]]):
        with pytest.raises(ValueError, match="Leave out what was not measured"):
            statistics.mean_with_interval(values)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [3, 1000])  # with ties, and without
def test_agreement_of_rankings_is_kendalls_tau_b(seed, levels):
    random = np.random.default_rng(seed)
    first, second = random.integers(0, levels, (2, 9))
    tau, low, high = statistics.kendall_tau(first, second)
    assert tau == pytest.approx(scipy.stats.kendalltau(first, second).statistic)
    assert -1 <= low < tau < high <= 1


def test_rankings_that_agree_wholly_are_not_certain():
    # 28 pairs of 8: half a swap less is 1 - 1 / 28.
    tau, low, high = statistics.kendall_tau(range(8), range(8))
    assert (tau, high) == (1.0, 1.0)
    assert low == pytest.approx(math.tanh(math.atanh(27 / 28) - 1.96 * math.sqrt(0.437 / 4)))
    turned, least, most = statistics.kendall_tau(range(8), range(8, 0, -1))
    assert (turned, least, most) == (-1.0, -1.0, pytest.approx(-low))


@pytest.mark.parametrize(("rho", "least"), [(0.0, 0.92), (0.7, 0.9), (0.97, 0.8)])
def test_interval_of_tau_holds_that_of_normal_pairs(rho, least):
    # Kendall's tau of a normal pair is 2 / pi * asin(rho).
    truth, random, held = 2 / math.pi * math.asin(rho), np.random.default_rng(0), 0
    for _ in range(400):
        x, other = random.normal(size=(2, 8))
        _, low, high = statistics.kendall_tau(x, rho * x + math.sqrt(1 - rho**2) * other)
        held += low <= truth <= high
    assert held / 400 >= least


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (range(4), range(4), "at least 5.*Measure more"),
        (range(6), range(5), "of the same things"),
        ([1] * 6, range(6), "values that differ"),
        ([1, 2, 3, 4, math.nan], range(5), "finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(first, second, said):
    with pytest.raises(ValueError, match=said):
        statistics.kendall_tau(first, second)
