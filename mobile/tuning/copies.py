"""Times of whole networks, each by several copies of its file.

Where a file comes to lie in memory can cost it 8 %, as long as it is loaded: more than what is to
be told apart. Each copy is loaded for itself, all run interleaved, and the interval is of copies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mobile.benchmarking.statistics import mean_with_interval
from mobile.benchmarking.timings import Ratio, Timings


def copied(files: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return files by name for one run of `mobile.benchmark`, the first copy of each in front.

    >>> list(copied({"a": [b"1", b"2"], "b": [b"3", b"4"]}))
    ['a 0', 'b 0', 'a 1', 'b 1']

    Args:
        files: Name of a network to its files, such as one a seed, or several times the same.
    """
    most = max(map(len, files.values()))
    return {
        f"{name} {number}": each[number]
        for number in range(most)
        for name, each in files.items()
        if number < len(each)
    }


def ratio_of(timings: Timings, name: str, reference: str) -> Ratio:
    """Return how many times as long one network takes as another, as files of `copied` were timed.

        value = exp(mean of log(median of copy i / median of the reference's copy i))

    The 95 % interval is Student's, on the logarithms; of a single copy it is over the rounds.

    Raises:
        RuntimeError: One of both gave no times; it is said why.
    """
    ours, theirs = (_numbers(timings, each) for each in (name, reference))
    if not (both := [number for number in ours if number in theirs]):
        raise RuntimeError(
            f"Both networks must run on the device. Received: "
            f"{reason(timings, f'{name if not ours else reference} 0')} Choose another target or "
            f"runtime."
        )
    if len(both) == 1:
        one = timings.ratio(f"{name} {both[0]}", f"{reference} {both[0]}")
        return Ratio(name, reference, one.value, one.low, one.high)
    mean, half = mean_with_interval([math.log(ours[n] / theirs[n]) for n in both])
    return Ratio(name, reference, *(math.exp(x) for x in (mean, mean - half, mean + half)))


def milliseconds(timings: Timings, name: str) -> float:
    """Return the time of a network: the geometric mean of its copies' medians.

    Raises:
        RuntimeError: It gave no times; it is said why.
    """
    if not (found := _numbers(timings, name)):
        raise RuntimeError(reason(timings, f"{name} 0"))
    return math.exp(mean_with_interval([math.log(each) for each in found.values()])[0])


def reason(timings: Timings, name: str) -> str:
    """Return why a file gave no times of its own."""
    if any(model.fallback_of == name for model in timings.models):
        return f"the delegate refused {name!r}."
    said = {failure.name: failure.message for failure in timings.failures}
    place = timings.conditions.device
    return said.get(name) or said.get(place) or f"{name!r} gave no times."


def _numbers(timings, name):
    """Return the number of each copy of a network to its median, in milliseconds."""
    found = {}
    for model in timings.models:
        head, _, number = model.name.rpartition(" ")
        if model.control_of is None and head == name and number.isdigit():
            found[int(number)] = model.median_ms
    return found
