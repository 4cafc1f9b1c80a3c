"""What quantisation-aware training, distillation and calibration cost in time.

    python tests/benchmarks/quantization_speed.py [--network NAME] [--steps N] [--json FILE]

Prints the median step of the lowered float model, of the quantisation-aware one and of
distillation with its teacher, interleaved, and how many images a second calibration reads.
Weights are random, which does not change the time.
"""

import argparse
import json
import pathlib
import statistics
import time
import warnings

import keras
import numpy as np

import keras_se
import mobile
from mobile.record import table

BATCH = 16


def _fit_step(model, images):
    """A function that takes one step of `fit` with Adam on given images."""
    labels = np.zeros(len(images), "int64")
    model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy")
    return lambda: model.train_on_batch(images, labels)


def _distil_step(model, teacher, images):
    """Seconds of each step of one distillation, its clock being ours."""

    def times(steps):
        stamps = []

        def clock():
            stamps.append(time.perf_counter())
            return len(stamps) - 1  # a minute is over after `steps` steps

        mobile.distil(model, teacher, images, minutes=steps / 60, batch_size=BATCH, clock=clock)
        return np.diff(stamps)[2:].tolist()  # the first ones trace

    return times


def measure(network, steps):
    """Median milliseconds by kind of step, and images a second of calibration."""
    model = mobile.lower(keras_se.models.build(network))
    size = model.input_shape[1]
    images = np.random.default_rng(0).integers(0, 256, (200, size, size, 3)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random weights
        mobile.calibrate(model, images[:16], progress=False)
        start = time.perf_counter()
        ranges = mobile.calibrate(model, images, progress=False)
        per_second = len(images) / (time.perf_counter() - start)
    aware = mobile.quantize_aware(model, ranges=ranges)
    takes = {"float": _fit_step(keras.models.clone_model(model), images[:BATCH])}
    takes["quantisation-aware"] = _fit_step(aware, images[:BATCH])
    seconds = {name: [] for name in takes}
    for number in range(steps + 2):
        for name, take in takes.items():
            start = time.perf_counter()
            take()
            if number > 1:
                seconds[name].append(time.perf_counter() - start)
    seconds["distillation, teacher included"] = _distil_step(aware, model, images)(steps)
    medians = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
    return medians, per_second


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="mobilenet_v3_small")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    options = parser.parse_args()
    medians, per_second = measure(options.network, options.steps)
    rows = [(name, f"{ms:.0f}", f"{ms / medians['float']:.2f}") for name, ms in medians.items()]
    print(table(("step", f"ms, batch {BATCH}", "over float"), rows))
    print(f"calibration: {per_second:.0f} images a second")
    if options.json:
        options.json.write_text(json.dumps({"ms": medians, "images_per_second": per_second}))


if __name__ == "__main__":
    main()
