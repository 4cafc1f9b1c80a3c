"""What each kind of SE costs in int8 on this machine, between two convolutions of a network.

    python tests/benchmarks/se_latency.py [--runs 400] [--json FILE]

Each model is a 3x3 depthwise convolution with ReLU, the SE variant, and a 1x1 convolution to 16
channels, lowered and converted to int8 and timed with the others of its shape in one interleaved
run, one thread. A figure is the difference of medians to the model without SE; the A/A control is
the spread that means nothing.
Latency does not depend on what is computed, so weights and images are random.
"""

import argparse
import json
import pathlib

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_se
import mobile

SHAPES = ((56, 56, 72), (14, 14, 480))
VARIANTS = {
    "PAPER": keras_se.PAPER,
    "SqueezeExcite()": keras_se.SEConfig(),
    "SERVER": keras_se.SERVER,
    "MOBILE": keras_se.MOBILE,
    "MOBILENET_V3": keras_se.MOBILENET_V3,
    "EFFICIENTNET.for_expansion(6)": keras_se.EFFICIENTNET.for_expansion(6),
    "sSE": keras_se.SEConfig(kind="sse"),
    "scSE": keras_se.SEConfig(kind="scse"),
    "pool=None": keras_se.SEConfig(pool=None),
}


def main():
    """Convert, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    rows = {name: {} for name in VARIANTS}
    for shape in SHAPES:
        images = np.random.default_rng(0).normal(0, 1, (16, *shape)).astype("float32")
        models = {"none": _model(shape, None)}
        models |= {name: _model(shape, se) for name, se in VARIANTS.items()}
        artifacts = {name: mobile.convert(m, calibration=images) for name, m in models.items()}
        timings = mobile.benchmark(artifacts, runs=arguments.runs, images=images[:1])
        print(timings)
        alone = timings["none"].median_ms
        label = "x".join(map(str, shape))
        for name in VARIANTS:
            rows[name] |= {
                f"{label} params": models[name].count_params() - models["none"].count_params(),
                f"{label} us": round(1e3 * (timings[name].median_ms - alone), 1),
            }
    columns = list(next(iter(rows.values())))
    table = Table("SE", *columns)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:,}" for column in columns))
    Console(width=120).print(table)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=2))


def _model(shape, se):
    keras.utils.set_random_seed(0)
    x = image = keras.Input(shape)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = x if se is None else se.layer(name="se")(x)
    return keras.Model(image, keras.layers.Conv2D(16, 1)(x))


if __name__ == "__main__":
    main()
