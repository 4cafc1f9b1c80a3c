"""Where squeeze-and-excitation pays: CIFAR-10 from scratch, int8 accuracy against int8 time.

    python tests/benchmarks/se_placement.py [--out FOLDER] [--network mobilenet_v3_small]
        [--width 0.35] [--epochs 12] [--seeds 3] [--images 50000] [--minutes 60]

A network whose strides fit images of 32x32 is trained with SE nowhere, at the front, in the middle,
in the tail, everywhere, everywhere on the projected tensor, and everywhere static. Each training is
a file of its own in FOLDER: what is there is not trained again, so the same command goes on after a
stop, and `--minutes` stops it between two trainings. All seeds of a variant have the same int8
time, so seed 0 of each is timed, in one interleaved run. The table is of what is there by then,
with the number of seeds and the standard deviation over them. Where ../shared/data is absent it
says so and stops.
"""

import argparse
import dataclasses
import io
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np
from PIL import Image

import keras_se
import mobile
from keras_se import MOBILENET_V3, SEConfig
from mobile.data import DataSet
from mobile.pipeline.options import Options
from mobile.record import table, write_file
from mobile.tuning.candidates import Candidate, Made, train_candidate

DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10.npz"
# Row to stride: with the stem's 2, the last map of 32x32 is 4x4.
STRIDES = {"mobilenet_v3_small": {0: 1, 1: 1}, "mobilenet_v2": {1: 1, 5: 1}}
# First row of the middle and of the tail.
PARTS = {"mobilenet_v3_small": (3, 8), "mobilenet_v2": (3, 5)}


def network_for(name):
    """Return the network with strides for small images."""
    found = keras_se.models.find(name)
    rows = [
        dataclasses.replace(row, stride=STRIDES[name].get(i, row.stride))
        for i, row in enumerate(found.rows)
    ]
    return dataclasses.replace(found, rows=tuple(rows))


def candidates(network):
    """Return what is compared, by name, as `keras_se.models.build` takes it."""
    first, last = PARTS[network.name]
    count = len(network.rows)
    expanded = dataclasses.replace(MOBILENET_V3, placement="expanded")

    def rows(start, end):
        return [expanded if start <= i < end else None for i in range(count)]

    return {
        "none": None,
        "all": rows(0, count),
        "tail": rows(last, count),
        "projected": [dataclasses.replace(MOBILENET_V3, placement="projected")] * count,
        "static": [SEConfig(kind="static", gate="hard_sigmoid")] * count,
        "front": rows(0, first),
        "middle": rows(first, last),
    }


def read():
    """Return CIFAR-10: 50,000 images to train, 5,000 to test."""
    if not DATA.is_file():
        sys.exit(f"No images in {DATA}: this benchmark needs them.")
    with np.load(DATA) as stored:
        parts = {}
        for part in ("train", "test"):
            ends, content = stored[f"{part}_ends"], stored[f"{part}_jpeg"].tobytes()
            starts = [0, *ends[:-1]]
            images = [
                np.asarray(Image.open(io.BytesIO(content[start:end])).convert("RGB"))
                for start, end in zip(starts, ends, strict=True)
            ]
            parts[part] = np.stack(images), stored[f"{part}_labels"].astype("int64")
        classes = tuple(map(str, stored["classes"]))
    return DataSet("cifar10", classes, *parts["train"], *parts["test"])


def part_of(images, count):
    """Return the data set with its first so many training images; they are in no order."""
    return dataclasses.replace(
        images, x_train=images.x_train[:count], y_train=images.y_train[:count]
    )


def main():
    """Train what is missing, time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/se_placement"))
    parser.add_argument("--network", choices=STRIDES, default="mobilenet_v3_small")
    parser.add_argument("--width", type=float, default=0.35)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", nargs="*", help="variants to train; default: all")
    options = parser.parse_args()
    stop = time.monotonic() + 60 * options.minutes
    network, images = network_for(options.network), part_of(read(), options.images)
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = [(s, n, se) for s in range(options.seeds) for n, se in candidates(network).items()]
    for seed, name, se in wanted:
        path = options.out / f"{name}-{seed}.json"
        if path.exists() or (options.only and name not in options.only):
            continue
        if time.monotonic() > stop:
            print("Time is over; the same command goes on.")
            break
        settings = Options(
            network=network.name,
            epochs=options.epochs,
            batch=64,
            learning_rate=3e-3,
            augment="photo",
            seed=seed,
        )
        began = time.monotonic()
        made = Candidate.of(name, network, se, options.width)
        found = train_candidate(made, network, images, settings, options.out)
        both = {"candidate": made.to_dict(), "made": found.to_dict()}
        write_file(path, json.dumps(both))
        seconds = time.monotonic() - began
        print(name, seed, found.trained.int8_accuracy, f"{seconds:.0f} s", flush=True)
    report(options.out)


def report(folder):
    """Time the files of seed 0 in turn, and print accuracy against time."""
    found = {}
    for path in sorted(folder.glob("*-[0-9].json")):
        both = json.loads(path.read_text())
        found.setdefault(both["candidate"]["name"], []).append(Made.from_dict(both["made"]))
    files = {name: folder / runs[0].files["int8"] for name, runs in found.items()}
    timings: Any = mobile.benchmark(files, reference="none", runs=300)
    rows = []
    for name, runs in found.items():
        scores = np.array([run.trained.int8_accuracy for run in runs])
        ratio = "" if name == "none" else str(timings.ratio(name, "none"))
        spread = f"{100 * scores.std(ddof=1):.2f}" if len(runs) > 1 else ""
        rows.append((name, len(runs), f"{100 * scores.mean():.2f}", spread, ratio))
    header = ("SE", "seeds", "int8 accuracy, %", "deviation", "int8 time over none")
    print(table(header, rows))


if __name__ == "__main__":
    main()
