"""How a benchmark is run: its schedule, and the runtime that it asks of a device."""

import dataclasses
import difflib
import math
import os
from dataclasses import dataclass
from typing import Any

from mobile.devices.agent.runtime import KERNELS, RUNTIMES


@dataclass(frozen=True)
class Schedule:
    """How often models are run, and how long one may take.

    Args:
        runs: Timed rounds.
        warmups: Rounds before those, at least; more until the times stop falling.
        budget_s: Seconds after which no further round begins, once 50 rounds (or `runs`, if fewer)
            are done. None: there is no such limit.
        least_s: Seconds that the runs of each model must add up to, even after `runs` of them.
        control: Whether to time the reference against a second copy of itself.
        timeout: Seconds that one model may take to load or to run once; then it is given up.

    Raises:
        ValueError: A number is none that a run can have.
    """

    runs: int = 200
    warmups: int = 20
    budget_s: float | None = None
    least_s: float = 0.0
    control: bool = True
    timeout: float = 120.0

    def __post_init__(self):
        _check_count("runs", self.runs, 1)
        _check_count("warmups", self.warmups, 0)
        _check_seconds("timeout", self.timeout)
        _check_seconds("least_s", self.least_s, zero=True)
        if self.budget_s is not None:
            _check_seconds("budget_s", self.budget_s)
        if not isinstance(self.control, bool):
            raise TypeError(
                f"`control` must be True or False. Received: control={self.control!r}. "
                f"Name the model to time twice with `reference`."
            )


@dataclass(frozen=True)
class Runtime:
    """What runs the models on a device.

    Args:
        name: `ai_edge_litert`, `tflite_runtime` or `tensorflow`; None: the first of them that the
            device has.
        kernels: As in `devices.predict`.
        threads: Threads of the runtime. The process is pinned to as many cores. Of several in a
            tuple, each is measured in turn.
        cores: Cores to pin to, by number; None: the last ones.
        python: Python interpreter on the device, by default `python3` (here, this one).
        benchmark_model: Path, here, of TFLite's native `benchmark_model` made for the device; runs
            in place of Python on an adb device.

    Raises:
        ValueError: The kernels are unknown, or a number is none that a run can have.
    """

    name: str | None = None
    kernels: str = "default"
    threads: int | tuple[int, ...] = 1
    cores: tuple[int, ...] | None = None
    python: str | os.PathLike | None = None
    benchmark_model: str | os.PathLike | None = None

    def __post_init__(self):
        if self.name is not None and not (isinstance(self.name, str) and self.name):
            raise TypeError(
                f"`runtime` must be the name of one, or a mobile.Runtime. "
                f"Received: {self.name!r}. Known: {', '.join(RUNTIMES)}."
            )
        if self.kernels not in KERNELS:
            raise ValueError(
                f"`kernels` must be one of {', '.join(KERNELS)}. "
                f"Received: {self.kernels!r}. Leave it out for the runtime's delegate."
            )
        for count in self.counts:
            _check_count("threads", count, 1)
        if not self.counts or len(set(self.counts)) < len(self.counts):
            raise ValueError(
                f"`threads` must be one number, or several that differ. "
                f"Received: threads={self.threads!r}. Leave it out for one thread."
            )
        if self.cores is not None:
            for core in self.cores:
                _check_count("cores", core, 0)
            if not self.cores:
                raise ValueError(
                    "`cores` must name at least one core. Received: none. Leave it out for the "
                    "last ones."
                )

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of threads, each measured in turn."""
        return tuple(self.threads) if isinstance(self.threads, list | tuple) else (self.threads,)


def combined(schedule: Schedule, runtime: Any, fields: dict) -> tuple[Schedule, Runtime]:
    """Return both records with some of their fields replaced.

    Args:
        schedule: A `Schedule`.
        runtime: A `Runtime`, or the name of one, or None.
        fields: Name to value, each a field of one of the two.

    Raises:
        TypeError: A name is no field of either.
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"`schedule` must be a mobile.Schedule. Received: {schedule!r}. "
            f"For the number of rounds alone, pass `runs`."
        )
    if not isinstance(runtime, Runtime):
        runtime = Runtime(name=runtime)
    names = [{f.name for f in dataclasses.fields(one)} for one in (schedule, runtime)]
    names[1].discard("name")
    for name in fields:
        if name not in names[0] | names[1]:
            known = sorted(names[0] | names[1])
            near = difflib.get_close_matches(name, known, 1)
            advice = f"Did you mean {near[0]!r}? " if near else ""
            raise TypeError(
                f"A setting must be a field of Schedule or Runtime. Received: {name!r}. "
                f"{advice}Known: {', '.join(known)}."
            )
    chosen = [{n: v for n, v in fields.items() if n in known} for known in names]
    return dataclasses.replace(schedule, **chosen[0]), dataclasses.replace(runtime, **chosen[1])


def _check_count(name, count, least):
    if not isinstance(count, int) or isinstance(count, bool) or count < least:
        raise ValueError(
            f"`{name}` must be a whole number, at least {least}. Received: {name}={count!r}. "
            f"Leave it out for the default."
        )


def _check_seconds(name, value, zero=False):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "above 0"
        raise ValueError(
            f"`{name}` must be a number of seconds, {least}. Received: {name}={value!r}. "
            f"Leave it out for the default."
        )


INTERLEAVED = Schedule()
#: MLPerf's single stream: at least 1,024 queries and 60 s, each model alone.
SINGLE_STREAM = Schedule(runs=1024, least_s=60.0, control=False)
