"""Statistics of times, accuracies and ranks. Pure numpy; every formula names its source."""

import math

import numpy as np
from numpy.typing import ArrayLike

# Student's t, of which 95 % lie within so much of 0, by degrees of freedom from 1. Source: Fisher
# and Yates, 1963, "Statistical tables", table III. Of more than the last, the last: a bit too wide.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL = 1.96

#: Fewer pairs than this have no `kendall_tau`.
LEAST_RANKED = 5


def median(values: ArrayLike) -> float:
    """Return the middle value, or the mean of the middle two.

    >>> median([3.0, 1.0, 2.0])
    2.0
    """
    return percentile(values, 50)


def percentile(values: ArrayLike, percent: float) -> float:
    """Return the value below which `percent` of 100 lie, linear between neighbours.

    >>> percentile([0.0, 10.0], 90)
    9.0

    Source:
        Hyndman and Fan, 1996, "Sample quantiles in statistical packages", definition 7, which is
        numpy's default.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("A percentile needs at least one value. Received: none. Measure first.")
    if not 0 <= percent <= 100:
        raise ValueError(
            f"`percent` must lie from 0 to 100. Received: percent={percent!r}. "
            f"For the median pass 50."
        )
    return float(np.percentile(array, percent))


def ratio_of_medians(
    times: ArrayLike,
    reference: ArrayLike,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return (ratio, low, high) of median(times) / median(reference), with a bootstrap interval.

    Entry i of both must come from the same round of an interleaved run. Rounds are resampled whole,
    so that a disturbance which slowed both models in one round does not widen the interval.

    >>> ratio_of_medians([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    (2.0, 2.0, 2.0)

    Source:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapter 13 (percentile
        interval), on pairs as in chapter 9.
    """
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (times, reference))
    if ours.size == 0 or ours.shape != theirs.shape or ours.ndim != 1:
        raise ValueError(
            f"Both samples must hold one time a round of the same run. Received: "
            f"{ours.shape} and {theirs.shape} values. Benchmark the two models together."
        )
    samples = np.stack([ours, theirs])
    return _with_interval(lambda a, b: a / b, samples, resamples, confidence, seed)


def added_share(
    times: ArrayLike,
    without: ArrayLike,
    whole: ArrayLike,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return (share, low, high) of (median(times) - median(without)) / median(whole).

    What a part costs of a whole, when it is timed with and without something. Entry i of all three
    must come from the same round of an interleaved run, as in `ratio_of_medians`.

    >>> added_share([3.0, 6.0], [2.0, 4.0], [10.0, 20.0])
    (0.1, 0.1, 0.1)
    """
    samples = np.stack([np.asarray(each, dtype=np.float64) for each in (times, without, whole)])
    return _with_interval(lambda a, b, c: (a - b) / c, samples, resamples, confidence, seed)


def _with_interval(figure, samples, resamples, confidence, seed):
    """The figure of the medians of samples, which share their rounds, and its interval."""
    random, rounds, found = np.random.default_rng(seed), samples.shape[1], np.empty(resamples)
    for i in range(resamples):  # one by one: all at once take gigabytes of many rounds
        picks = random.integers(0, rounds, rounds)
        found[i] = figure(*(np.median(each[picks]) for each in samples))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(figure(*np.median(samples, axis=1))), float(low), float(high)


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> float:
    """Return the p-value that two classifiers, judged on the same images, are equally good.

    Only the images count that one got right and the other wrong: if the two are equally good, the
    smaller of both counts is binomial with probability one half. Exact and two-sided.

    Args:
        first_right: For each image, whether the first classifier was right.
        second_right: The same of the second classifier.

    >>> mcnemar([True] * 6 + [False], [False] * 6 + [False])
    0.03125

    Source:
        McNemar, 1947, Psychometrika 12, in the exact binomial form of Dietterich, 1998, Neural
        Computation 10(7); 2 * 0.5**6 in the example.
    """
    first = np.asarray(first_right, dtype=bool)
    second = np.asarray(second_right, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(
            f"Both classifiers must have judged the same images. Received: {first.size} and "
            f"{second.size} answers. Evaluate both on one set."
        )
    gained, lost = int(np.sum(~first & second)), int(np.sum(first & ~second))
    trials = gained + lost
    tail = sum(math.comb(trials, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**trials)


def mean_with_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the mean and half of its 95 % interval, which is infinite for one value.

    For a gain, pass the differences of what belongs together, such as of runs of one seed.

    >>> mean, half = mean_with_interval([1.0, 2.0, 3.0])
    >>> mean, round(half, 3)  # 4.303 / sqrt(3)
    (2.0, 2.484)

    Source:
        Student, 1908, Biometrika 6(1), for values that scatter normally.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"A mean needs finite values in one row. Received: {array.tolist()}. "
            f"Leave out what was not measured."
        )
    if array.size == 1:
        return float(array[0]), math.inf
    quantile = _STUDENT[min(array.size - 1, len(_STUDENT)) - 1]
    half = quantile * array.std(ddof=1) / math.sqrt(array.size)
    return float(array.mean()), float(half)


def kendall_tau(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Return (tau, low, high): how far two rankings agree, from -1 to 1, with a 95 % interval.

    Tau-b, which allows for ties: pairs in the same order less pairs in the opposite order, over the
    geometric mean of how many pairs each ranking tells apart.

        interval = tanh(atanh(tau) +- 1.96 sqrt(0.437 / (n - 4)))

    A tau of 1 counts as half a swap less in it, which leaves it a lower end. Whether there is any
    agreement the interval tells well: tau 0 lies outside in 5 of 100 samples. Near 1 it is somewhat
    narrow: of 8 pairs, a tau of 0.85 lies outside in about 14.

    >>> tau, low, high = kendall_tau([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])
    >>> round(tau, 3)  # 14 pairs less 1, of 15
    0.867

    Source:
        Kendall, 1945, Biometrika 33(3) (tau-b); Fieller, Hartley and Pearson, 1957, Biometrika
        44(3/4) (variance of atanh).

    Raises:
        ValueError: There are fewer than `LEAST_RANKED` pairs, or one ranking tells none apart.
    """
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (first, second))
    count = ours.size
    if ours.shape != theirs.shape or ours.ndim != 1 or count < LEAST_RANKED:
        raise ValueError(
            f"Rankings to compare must be of the same things, at least {LEAST_RANKED}. Received: "
            f"{ours.shape} and {theirs.shape} values. Measure more of them."
        )
    i, j = np.triu_indices(count, 1)
    signs = [np.sign(each[i] - each[j]) for each in (ours, theirs)]
    told = [np.count_nonzero(each) for each in signs]
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all() and all(told)):
        raise ValueError(
            f"Rankings to compare must be of finite values that differ. Received: "
            f"{ours.tolist()} and {theirs.tolist()}. Leave out what was not measured."
        )
    tau = float(np.sum(signs[0] * signs[1]) / math.sqrt(told[0] * told[1]))
    most = 1 - 2 / (count * (count - 1))
    middle, half = math.atanh(max(-most, min(most, tau))), _NORMAL * math.sqrt(0.437 / (count - 4))
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return tau, min(low, tau), max(high, tau)
