"""Find the range of every tensor of a lowered model from images, in one pass and little memory.

Each tensor keeps its smallest and largest value and one histogram, whatever the number of
images. All methods read those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from mobile.progress import track
from mobile.quantization import METHODS, calibration_images, functions_behind, range_plan
from mobile.quantization.channel_weights import importances
from mobile.quantization.ranges import Ranges

_BINS = 1 << 14  # half of them each side of zero
_SAMPLES = 4096  # values of a tensor read per image for the histogram


def calibrate(
    model: keras.Model,
    images: Any,
    method: str = "mse",
    batch_size: int | None = None,
    progress: bool = True,
) -> Ranges:
    """Find the ranges of a lowered model on images.

    Args:
        model: A lowered model.
        images: Array `(count, height, width, channels)`, or an iterable of such batches, as a
            `tf.data.Dataset` is; for a model with several inputs a list of arrays, or a dictionary
            by the input's name. What stands behind the inputs in a batch, as labels do, is left
            out. Pixels as the model takes them.
        method: `mse`, the range of least squared error between value and quantised value, taken
            behind the swish, hard-swish or sigmoid that alone reads the tensor, if one does, and
            weighed by channel with what the next convolution makes of it; `minmax`, all that was
            seen; `percentile`, without the outermost 0.005 % each side; `entropy`, the least
            information lost (Kullback-Leibler, as TensorRT does).
        batch_size: Images at a time; the default is 16 for mobile sizes, fewer for larger ones.
        progress: Whether to show a progress bar.

    Returns:
        `Ranges` of every point of the plan, fixed ones included.
    """
    choose = _chooser(method)
    plan = range_plan.read_plan(model)
    calibration_images.warn_of_random_weights(model)
    asked = plan.free
    if not asked:  # every range is fixed: pixels, then ReLU6, say
        return Ranges(range_plan.complete(plan, {}), method=method)
    outputs = [model.get_layer(name).output for name in asked]
    probe = keras.Model(model.inputs, outputs)
    summary = _compile(model, probe)
    statistics = {name: _Statistics() for name in asked}
    batches = calibration_images.Inputs(model, images, batch_size)
    weights: dict[str, np.ndarray] = {}
    for number, batch in enumerate(track(batches, "Calibrating", progress)):
        found = summary(batch)
        for name, (low, high, *_) in zip(asked, found, strict=True):
            _check_finite(float(low), float(high), name)
        if method == "mse" and number == 0:
            weights = _group_weights(plan, importances(model, plan, batch))
        for name, (low, high, values, step) in zip(asked, found, strict=True):
            values = np.asarray(values)
            by_value = None
            if name in weights:  # the channel of the i-th value that was read
                by_value = weights[name][np.arange(len(values)) * int(step) % len(weights[name])]
            statistics[name].add(float(low), float(high), values, by_value)
    batches.finish()
    groups: dict[str, _Statistics] = {}
    for name in asked:
        groups.setdefault(plan.points[name].group, _Statistics()).merge(statistics[name])
    found = {}
    for name in asked:
        point = plan.points[name]
        seen = groups[point.group]
        if point.is_input:
            found[name] = (seen.low, seen.high)
        elif method == "mse":
            found[name] = _mse(seen, functions_behind.function_behind(name, plan, model))
        else:
            found[name] = choose(seen)
    return Ranges(range_plan.complete(plan, found), method=method, images=batches.count)


def _check_finite(low, high, name):
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"Calibration needs finite values. Received: {low} to {high} at the output of "
            f"layer {name!r}. Look for NaN in the images and in the model's weights."
        )


def _group_weights(plan, weights):
    """The weights of the groups of points of which every member has some that is not zero."""
    lacking = {p.group for p in plan.points.values() if not np.any(weights.get(p.name, 0))}
    return {name: w for name, w in weights.items() if plan.points[name].group not in lacking}


@dataclass
class _Statistics:
    """Extremes and histogram of one tensor; bins are `width` wide, the middle edge is zero.

    A value outside the histogram doubles the width and merges the bins in pairs, so one pass
    over the images is enough.
    """

    low: float = np.inf
    high: float = -np.inf
    width: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(_BINS))

    def add(
        self, low: float, high: float, values: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(abs(low), abs(high)))
        if self.width:
            index = np.floor(values / self.width).astype(np.int64) + _BINS // 2
            self.counts += np.bincount(np.clip(index, 0, _BINS - 1), weights, minlength=_BINS)

    def merge(self, other: _Statistics) -> None:
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if self.width == 0:
            self.width, self.counts = other.width, other.counts.copy()
        elif other.width:
            theirs = _Statistics(width=other.width, counts=other.counts.copy())
            theirs._widen(self.width * _BINS / 2)
            self._widen(theirs.width * _BINS / 2)
            self.counts = self.counts + theirs.counts

    def _widen(self, reach) -> None:
        if self.width == 0 and reach > 0:
            # A power of two, so that the histograms of a group can be put together.
            self.width = 2.0 ** np.ceil(np.log2(reach / (_BINS / 2)))
        while self.width and reach > self.width * _BINS / 2:
            self.width *= 2
            quarter = _BINS // 4
            self.counts = np.pad(self.counts.reshape(-1, 2).sum(axis=1), quarter)

    @property
    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres and counts of the bins that hold anything."""
        index = np.nonzero(self.counts)[0]
        return (index - _BINS // 2 + 0.5) * self.width, self.counts[index]


def _minmax(seen: _Statistics) -> tuple[float, float]:
    return min(seen.low, 0.0), max(seen.high, 0.0)


def _percentile(seen: _Statistics, share=5e-5) -> tuple[float, float]:
    if seen.width == 0:
        return _minmax(seen)
    centres, counts = seen.filled
    below = np.cumsum(counts) / counts.sum()
    low = centres[np.searchsorted(below, share)] - seen.width / 2
    high = centres[min(np.searchsorted(below, 1 - share), len(centres) - 1)] + seen.width / 2
    return max(min(low, 0.0), min(seen.low, 0.0)), min(max(high, 0.0), max(seen.high, 0.0))


def _mse(seen: _Statistics, function=None) -> tuple[float, float]:
    """Shrink both ends in turn, each to where the squared error is least.

    Args:
        seen: What the images showed of a tensor.
        function: What its only readers make of it: then the error counts behind that.
    """
    function = function or (lambda values: values)
    low, high = _minmax(seen)
    if seen.width == 0:
        return low, high
    centres, counts = seen.filled
    shares = np.concatenate([np.linspace(0.05, 0.5, 30), np.linspace(0.5, 1.0, 51)[1:]])

    def error(low, high):
        step = (high - low) / 255
        zero = np.round(-low / step)
        levels = np.minimum(np.maximum(np.rint(centres / step) + zero, 0), 255)
        return counts @ np.square(function((levels - zero) * step) - truth)

    truth = function(centres)
    full_low, full_high = low, high
    for _ in range(3):
        if full_high > 0:
            high = min((full_high * s for s in shares), key=lambda h: error(low, h))
        if full_low < 0:
            low = min((full_low * s for s in shares), key=lambda v: error(v, high))
    return low, high


def _entropy(seen: _Statistics) -> tuple[float, float]:
    """Least Kullback-Leibler divergence of the quantised histogram from the whole one."""
    low, high = _minmax(seen)
    if seen.width == 0:
        return low, high
    counts = seen.counts[_BINS // 2 :] if low == 0 else seen.counts
    start = 0.0 if low == 0 else -_BINS / 2 * seen.width
    edges = start + seen.width * np.arange(len(counts) + 1)
    best = (np.inf, low, high)
    for share in np.linspace(0.2, 1.0, 81):
        inside = (edges[:-1] >= low * share - seen.width) & (edges[1:] <= high * share + seen.width)
        kept = counts[inside].astype(np.float64)
        if len(kept) < 256 or not kept.any():
            continue
        clipped = kept.copy()
        clipped[-1] += counts[edges[1:] > high * share + seen.width].sum()
        clipped[0] += counts[edges[:-1] < low * share - seen.width].sum()
        level = np.arange(len(kept)) * 256 // len(kept)
        used = kept > 0
        mass = np.bincount(level, kept, 256) / np.maximum(np.bincount(level, used, 256), 1)
        quantised = np.where(used, mass[level], 0)
        p, q = clipped / clipped.sum(), quantised / quantised.sum()
        # A value that was clipped onto an empty level costs as much as one level's smallest share.
        divergence = np.sum(p[p > 0] * np.log(p[p > 0] / np.maximum(q[p > 0], 1e-9)))
        best = min(best, (divergence, low * share, high * share))
    return best[1:]


def _chooser(method):
    if method not in METHODS:
        raise ValueError(
            f"`method` must be one of {', '.join(METHODS)}. Received: method={method!r}. "
            "'mse' is the default and the most accurate on the networks measured."
        )
    return dict(zip(METHODS, (_mse, _minmax, _percentile, _entropy), strict=True))[method]


def _compile(model, probe):
    """A function from a batch to (min, max, sample, its step) of each output of `probe`."""
    import tensorflow as tf

    def sample(values):
        flat = tf.reshape(values, [-1])
        size = tf.size(flat)
        wanted = _SAMPLES * tf.shape(values)[0]
        # An odd step meets every channel, whose number is even in all but odd cases.
        step = tf.maximum(size // wanted, 1) // 2 * 2 + 1
        step = tf.minimum(step, size)
        return tf.reduce_min(flat), tf.reduce_max(flat), flat[::step], step

    signature = [tf.TensorSpec((None, *x.shape[1:]), tf.float32) for x in model.inputs]

    @tf.function(input_signature=[signature], autograph=False)
    def summary(batch):
        outputs = probe(batch[0] if len(batch) == 1 else batch, training=False)
        return [sample(tf.cast(t, tf.float32)) for t in keras.tree.flatten(outputs)]

    return summary
