"""In which order models take turns, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable


def order_of(turn: int, names: Iterable[str]) -> list[str]:
    """Return the names in the order of a turn, counted from 0: A B C, C B A, B C A, A C B, ...

    Models that alternate meet the same clock speed. Turning the order round cancels what the one
    before leaves behind in the caches; moving it on by one gives each its share of running twice
    in a row, with its own data still there.

    >>> ["".join(order_of(turn, "abc")) for turn in range(4)]
    ['abc', 'cba', 'bca', 'acb']
    """
    names = list(names)
    first = turn // 2 % len(names)
    turned = names[first:] + names[:first]
    return turned if turn % 2 == 0 else turned[::-1]


def interleave(
    invokes: dict[str, Callable[[], object]],
    runs: int,
    warmups: int,
    clock: Callable[[], float] = time.perf_counter,
    budget_s: float | None = None,
    least_s: float = 0,
    tell: Callable[[str], object] = lambda name: None,
    save: Callable[[dict], object] | None = None,
) -> dict[str, list[float]]:
    """Call each function `runs` times in the order of `order_of`; return milliseconds by name.

    Rounds before these are not counted: `warmups`, and up to 4 times as many more while the median
    of the last 10 of any model is 3 % below that of the 10 before. The counted ones go on until
    each model has run for `least_s`, or end after `budget_s` and 50 rounds. `tell` is called with
    each name first. `save` gets the times so far every 5 s; the round after it is not counted.
    """
    turn = 0
    times_ms, warming = {name: [] for name in invokes}, {name: [] for name in invokes}
    sums_ms = dict.fromkeys(invokes, 0.0)

    def play(into):
        nonlocal turn
        for name in order_of(turn, invokes):
            tell(name)
            begin = clock()
            invokes[name]()
            end = clock()
            into[name].append((end - begin) * 1e3)
            sums_ms[name] += into[name][-1]
        turn += 1

    while turn < warmups or (turn < 5 * warmups and any(map(_still_falling, warming.values()))):
        play(warming)
    sums_ms.update(dict.fromkeys(invokes, 0.0))
    start = saved = clock()
    done = 0
    while done < runs or min(sums_ms.values()) < least_s * 1e3:
        if budget_s is not None and done >= min(runs, 50) and clock() - start > budget_s:
            break
        play(times_ms)
        done += 1
        if save and clock() - saved > 5:
            save(times_ms)
            play(warming)
            saved = clock()
    return times_ms


def _still_falling(times):
    """Whether the last 10 times are clearly shorter than the 10 before."""
    if len(times) < 20:
        return False
    from statistics import median  # here, since a worker must start quickly

    return median(times[-10:]) < 0.97 * median(times[-20:-10])
