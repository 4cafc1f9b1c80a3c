"""Widen ranges so far that XNNPACK takes every operator.

It refuses, when a file is loaded, an ADD whose input step over output step is outside
[2^-10, 2^8), a MUL whose product of input steps over output step is outside [2^-16, 2^8), and a
convolution whose requantisation is 2^8 or more. Trained weights rarely come near; dead channels
and random weights do.

Source:
    XNNPACK, src/subgraph/ and src/operators/ of the version in ai-edge-litert 2.3.0, by trial.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from mobile.quantization.kernel_grids import COARSEST
from mobile.quantization.range_plan import WEIGHTED, RangePlan

_LIMITED = {"Add", "Subtract", "Shift", "Multiply"} | WEIGHTED
_TOO_COARSE = 2.0**8 * 0.99
_ADD_TOO_FINE = 2.0**-10 * 1.01
_MUL_TOO_FINE = 2.0**-16 * 1.01


def widen(model: keras.Model, plan: RangePlan, ranges: Mapping) -> dict[str, tuple[float, float]]:
    """Ranges that hold all of `ranges`, and that XNNPACK accepts in every operator of `model`."""
    ranges = dict(ranges)
    # Each operator by the point that it makes; a fused one makes that of its ReLU.
    fused = {reads[0]: name for name, reads in plan.reads.items() if len(reads) == 1}
    operators = {}
    for layer in model.layers:
        point = layer.name if layer.name in plan.points else fused.get(layer.name)
        if point in plan.points and type(layer).__name__ in _LIMITED:
            operators[point] = (layer, type(layer).__name__, plan.reads[layer.name])

    def step(name):
        low, high = ranges[name]
        return (high - low) / 255

    def at_least(name, wanted):
        if step(name) >= wanted or plan.points[name].fixed is not None:
            return
        factor = wanted / step(name)
        group = plan.points[name].group
        for other, point in plan.points.items():
            if point.group == group:
                ranges[other] = tuple(end * factor for end in ranges[other])

    for name, (layer, kind, reads) in operators.items():  # outputs, from the front
        if kind in {"Add", "Subtract", "Shift"}:
            at_least(name, max(step(read) for read in reads) / _TOO_COARSE)
        elif kind == "Multiply":
            at_least(name, np.prod([step(read) for read in reads]) / _TOO_COARSE)
        else:
            kernel = np.abs(np.asarray(layer.get_weights()[0])).max() / COARSEST
            at_least(name, step(reads[0]) * kernel / _TOO_COARSE)
    for name, (_, kind, reads) in reversed(operators.items()):  # inputs, from the back
        if kind in {"Add", "Subtract"}:
            for read in reads:
                at_least(read, step(name) * _ADD_TOO_FINE)
        elif kind == "Multiply":
            product = np.prod([step(read) for read in reads])
            lacking = step(name) * _MUL_TOO_FINE / product
            if lacking > 1:
                at_least(reads[0], step(reads[0]) * lacking)
    return ranges
