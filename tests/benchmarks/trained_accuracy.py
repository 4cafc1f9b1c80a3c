"""Does int8 keep what SE networks learn here? Trained on flowers, judged in float and in int8.

    python tests/benchmarks/trained_accuracy.py [--size 96] [--epochs 30] [--seeds 1]

MobileNetV2 and ResNet-18 with squeeze-and-excitation learn the twelve species of
../shared/data/flowers12 from scratch. Each is converted twice, with calibrated ranges and after one
epoch of quantisation-aware training; test images serve neither. McNemar's p is of int8 against
float on the same images. Segmentation stands in segmentation.py. Where the data is absent it says
so and stops.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import keras_se
import mobile
from mobile import devices
from mobile.benchmarking import statistics
from mobile.pipeline import training
from mobile.record import table

DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "flowers12"
NETWORKS = {"mobilenet_v2": keras_se.MOBILE, "se_resnet18": "default"}


def train(name, images, epochs, seed):
    """Return the network with this much training behind it."""
    keras.utils.set_random_seed(seed)
    model = keras_se.models.build(
        name,
        se=NETWORKS[name],
        input_shape=images.x_train.shape[1:],
        classes=len(images.classes),
        classifier_activation=None,
    )
    training.train(
        model, images.x_train, images.y_train, epochs, 32, 2e-3, augment="photo", seed=seed
    )
    return model


def in_int8(model, images, seed):
    """Yield name and file of each way to int8."""
    chosen = np.random.default_rng(seed).permutation(len(images.x_train))[:256]
    aware = mobile.quantize_aware(model, calibration=images.x_train[chosen])
    yield "int8, calibrated", mobile.convert(aware)
    training.train(
        aware,
        images.x_train,
        images.y_train,
        1,
        32,
        1e-5,
        weight_decay=0.0,
        augment="photo",
        seed=seed,
    )
    yield "int8, one epoch more", mobile.convert(aware)


def judge(model, images, files):
    """Yield a row for float and for each file."""
    x, y = images.x_test, images.y_test
    truth = training.predict(model, x).argmax(-1)
    yield ("float", f"{np.mean(truth == y):.1%}", "", "", "", "")
    for kind, artifact in files:
        top = artifact.restore(devices.predict(artifact, artifact.prepare(x)))[0].argmax(-1)
        lost = np.mean(top == y) - np.mean(truth == y)
        p = f"{statistics.mcnemar(top == y, truth == y):.2f}"
        agreement = f"{np.mean(top == truth):.1%}"
        partitions = devices.partitions(artifact)
        yield (kind, f"{np.mean(top == y):.1%}", f"{100 * lost:+.1f}", agreement, p, partitions)


def main():
    """Train and judge each network, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"No images in {DATA}: this benchmark needs them.")
    images = mobile.data.load(DATA, size=options.size)
    rows = []
    for name in options.networks:
        for seed in range(options.seeds):
            model = train(name, images, options.epochs, seed)
            for row in judge(model, images, in_int8(model, images, seed)):
                print(name, seed, *row, flush=True)
                rows.append((name, seed, *row))
    header = ("network", "seed", "form", "accuracy", "points", "agreement", "p", "partitions")
    print(f"\n{len(images.x_test)} test images of {options.size}x{options.size}")
    print(table(header, rows))


if __name__ == "__main__":
    main()
