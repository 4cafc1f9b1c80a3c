"""Statistics of times and of paired answers. Pure numpy; every formula names its source."""

import math

import numpy as np
from numpy.typing import ArrayLike


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
