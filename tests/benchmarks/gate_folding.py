"""Agreement against int8 time as the gates of a published network are folded one by one.

    python tests/benchmarks/gate_folding.py [NETWORK ...] [--out runs/gate_folding] [--images 500]
        [--by time] [--runs 200] [--threads 1] [--target xnnpack] [--distil 0]

Images are those of ../shared/data/imagenet500: every other one finds the constants, the rest
judge. For each network:

- `mobile.fold_gates` orders all gates, with nothing to keep;
- agreement after each step, and of the sets that stand in SETS, with the constants alone and with
  the kernels behind them fitted anew;
- an int8 file of each, all timed in one interleaved run with an A/A control;
- with --distil STEPS, the fitted network with the eight gates of SETS (EfficientNet-B0) or the
  first 4 (MobileNetV3-Small) folded learns to answer as the whole one does, without labels, in
  float.

Prints a table and writes NETWORK.json, NETWORK.txt and NETWORK.png to the folder. What is there
already is not made again, so that a run that was cut off goes on.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from int8_accuracy import DATA, NETWORKS, read
from int8_speed import target_here

import keras_se
import mobile
from mobile.record import table, write_file
from mobile.reporting import canvas
from mobile.tflite.artifact import Artifact
from mobile.tuning.folded_gates import GateFolding
from mobile.tuning.kernel_refit import refit_kernels

#: Sets of gates that were found before, by the place of the block among the gated ones.
SETS = {
    "mobilenet_v3_small": {"{0, 6}": (0, 4)},  # the blocks of expanded_conv and expanded_conv_6
    "efficientnet_b0": {"{1, 3, 5}": (1, 3, 5), "the eight": (0, 1, 2, 3, 4, 5, 8, 11)},
}
DISTILLED = {"mobilenet_v3_small": "4 gates", "efficientnet_b0": "the eight"}


def main():
    """Order, convert, time, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/gate_folding"))
    parser.add_argument("--images", type=int, default=500, help="half of them to judge with")
    parser.add_argument("--by", default="time", choices=("time", "elements"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", default=target_here(), help="what int8 is lowered for")
    parser.add_argument("--distil", type=int, default=0, metavar="STEPS")
    options = parser.parse_args()
    paths = sorted((DATA / "imagenet500").glob("*.jpg"))[: options.images]
    if not paths:
        sys.exit(f"No images in {DATA / 'imagenet500'}: this benchmark needs them.")
    images, labels = read(paths), np.array([int(path.stem) for path in paths])
    for name in options.networks:
        study = Study(name, images, labels, options)
        text, result = study.run()
        print(f"\n{name}\n{text}\n", flush=True)
        write_file(options.out / f"{name}.json", json.dumps(result, indent=1))
        write_file(options.out / f"{name}.txt", text + "\n")
        write_file(options.out / f"{name}.png", picture(name, result))


class Study:
    """One network, and what is in the folder of it."""

    def __init__(self, name, images, labels, options):
        self.name, self.options = name, options
        self.images, self.labels = images, labels
        self.model = NETWORKS[name]()
        self.folder = options.out / name
        self.truth = self.answers(self.model)
        found = keras_se.gates(self.model, images[::2])
        self.constants = {block.name: block.constant for block in found.blocks}

    def answers(self, model):
        """The top-1 of each image that judges."""
        return model.predict(self.images[1::2], batch_size=16, verbose=0).argmax(axis=-1)

    def run(self):
        """Return the table, and all figures as plain values."""
        record = self.order()
        ordered = [gate.block for gate in record.folded]
        blocks = list(self.constants)
        sets = {f"{count} gates": ordered[:count] for count in range(len(ordered) + 1)}
        sets |= {n: [blocks[i] for i in places] for n, places in SETS[self.name].items()}
        files = {name: self.file(name, names) for name, names in sets.items()}
        timings = mobile.benchmark(
            files, runs=self.options.runs, threads=self.options.threads, tolerance=0.3
        )
        rows = []
        for name, names in sets.items():
            answers = self.judged(name, names)
            ratio = timings.ratio(name, "0 gates")
            row = {"name": name, "folded": names, **answers}
            row |= {"median_ms": timings[name].median_ms, "ratio": ratio.to_dict()}
            rows.append(row)
        if self.options.distil:
            name = DISTILLED[self.name]
            rows.append(self.distilled(name, sets[name]))
        header = (
            "folded",
            "the last",
            "agreement, %",
            "fitted, %",
            "top-1, %",
            "int8 ms",
            "over none",
        )
        said = [
            (
                row["name"],
                row["folded"][-1] if row["folded"] else "",
                *(f"{100 * row[word]:.1f}" for word in ("agreement", "refitted", "accuracy")),
                f"{row['median_ms']:.3f}" if row["median_ms"] else "",
                "{value:.3f} [{low:.3f}, {high:.3f}]".format(**row["ratio"])
                if row["ratio"]
                else "",
            )
            for row in rows
        ]
        where = timings.conditions
        control = f"A/A {timings.control.value:.3f}, " if timings.control else ""
        text = f"{record}\n\n{table(header, said)}\n\n{len(self.truth)} images judged, "
        text += f"{control}{where.cpu}, {where.threads} thread, {where.runtime} "
        text += f"{where.runtime_version}, target {self.options.target}, {where.started}"
        result = {"record": record.to_dict(), "rows": rows, "timings": timings.to_dict()}
        return text, result

    def order(self):
        """Order all gates, or read in which order they were."""
        path = self.folder / "order.json"
        if not path.exists():
            _, record = mobile.fold_gates(
                self.model, self.images, 0.0, self.options.by, labels=self.labels,
                **({"target": self.options.target} if self.options.by == "time" else {}),
            )  # fmt: skip
            write_file(path, record.to_json())
        return GateFolding.from_json(path.read_text())

    def file(self, name, names):
        """The int8 file with the gates in `names` folded. Its ranges are from 32 images."""
        path = self.folder / f"{name.strip('{}').replace(', ', '_').replace(' ', '_')}.tflite"
        if not path.exists():
            print(f"{self.name}: converting with {name} folded", file=sys.stderr, flush=True)
            _, fitted = self.folded(names)
            made = mobile.convert(
                fitted, calibration=self.images[:64:2], target=self.options.target, correction=False
            )
            write_file(path, made.content)
        return Artifact.load(path)

    def judged(self, name, names):
        """Agreement of the float network with the gates in `names` folded, accuracy when fitted."""
        path = self.folder / "judged.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            known[name] = self.compared(*self.folded(names))
            write_file(path, json.dumps(known, indent=1))
        return known[name]

    def folded(self, names):
        """The network with the gates in `names` folded, and the same with kernels fitted anew."""
        constants = {name: self.constants[name] for name in names}
        plain, fitted = (keras_se.fold(self.model, constants) for _ in range(2))
        refit_kernels(self.model, fitted, self.images[::2])
        return plain, fitted

    def compared(self, plain, fitted):
        """The shares of answers that are the model's own, and right ones of the second."""
        answers = [self.answers(each) for each in (plain, fitted)]
        agreement, refitted = (float((each == self.truth).mean()) for each in answers)
        accuracy = float((answers[1] == self.labels[1::2]).mean())
        return {"agreement": agreement, "refitted": refitted, "accuracy": accuracy}

    def distilled(self, name, names):
        """The row of the folded network after training on the whole one's answers."""
        path = self.folder / f"distilled_{self.options.distil}.json"
        if not path.exists():
            _, fitted = self.folded(names)
            student = distil(self.model, fitted, self.images[::2], self.options.distil)
            write_file(path, json.dumps(self.compared(fitted, student)))
        row = {"name": f"{name}, distilled", "folded": names, "median_ms": None}
        return row | {"ratio": None} | json.loads(path.read_text())


def distil(teacher, folded, images, steps, batch_size=16, learning_rate=2e-5):
    """Train a folded network, lowered, to answer as its teacher does, without labels.

    It sees random crops of `images` and of the training images of flowers12, mirrored or not.
    """
    import tensorflow as tf

    flowers = sorted((DATA / "flowers12" / "train").rglob("*.jpg"))
    images = np.concatenate([images, read(flowers)]) if flowers else images
    student = mobile.lower(folded)  # without BatchNorm, whose statistics must not move
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(rate)
    random = np.random.default_rng(0)

    @tf.function
    def step(batch):
        answers = tf.clip_by_value(teacher(batch, training=False), 1e-12, 1.0)
        with tf.GradientTape() as tape:
            own = tf.clip_by_value(student(batch, training=True), 1e-12, 1.0)
            loss = tf.reduce_mean(tf.reduce_sum(answers * tf.math.log(answers / own), axis=-1))
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables, strict=True))
        return loss

    for number in range(steps):
        chosen = images[random.integers(0, len(images), batch_size)]
        side = np.sqrt(random.uniform(0.35, 1.0, batch_size))
        top, left = random.uniform(0, 1 - side), random.uniform(0, 1 - side)
        boxes = np.stack([top, left, top + side, left + side], axis=1)
        flipped = random.random(batch_size) < 0.5
        boxes[flipped] = boxes[flipped][:, [0, 3, 2, 1]]
        crops = tf.image.crop_and_resize(chosen, boxes, np.arange(batch_size), images.shape[1:3])
        loss = step(crops)
        if number % 20 == 0:
            print(f"distilling: step {number}, loss {float(loss):.4f}", file=sys.stderr, flush=True)
    return student


def picture(name, result):
    """Draw agreement and top-1 against time over that with all gates."""
    figure, axes = canvas.blank(8.0, 5.0)
    rows = [row for row in result["rows"] if row["median_ms"]]
    curve = [row for row in rows if row["name"].endswith("gates")]
    x = [row["ratio"]["value"] for row in curve]
    low = [row["ratio"]["value"] - row["ratio"]["low"] for row in curve]
    high = [row["ratio"]["high"] - row["ratio"]["value"] for row in curve]
    blue, orange, green = canvas.PALETTE[0], canvas.PALETTE[1], canvas.PALETTE[2]
    percent = {w: [100 * row[w] for row in curve] for w in ("agreement", "refitted", "accuracy")}
    axes.plot(x, percent["agreement"], "o:", color=canvas.GREY, markersize=4,
              label="agreement, constants alone")  # fmt: skip
    axes.errorbar(x, percent["refitted"], xerr=[low, high], fmt="o-", color=blue, elinewidth=1,
                  capsize=2, label="agreement, kernels fitted")  # fmt: skip
    axes.plot(x, percent["accuracy"], "s--", color=green, markersize=4, label="top-1")
    for row in curve[1:]:
        offset = {"xytext": (3, 4), "textcoords": "offset points", "rotation": 25}
        at = row["ratio"]["value"], 100 * row["refitted"]
        axes.annotate(row["folded"][-1], at, fontsize=6, **offset)
    at = {row["name"]: row["ratio"]["value"] for row in rows}
    for row in result["rows"]:
        if row not in curve:
            trained = row["name"].endswith(", distilled")
            place = at[row["name"].removesuffix(", distilled")], 100 * row["refitted"]
            axes.plot(*place, "*" if trained else "D", color=orange, zorder=3)
            axes.annotate(row["name"], place, (10, 34) if trained else (-30, -40), color=orange,
                          textcoords="offset points", fontsize=7, ha="center",
                          arrowprops={"arrowstyle": "-", "color": orange, "lw": 0.6})  # fmt: skip
    axes.invert_xaxis()
    axes.margins(0.08, 0.14)
    axes.set_xlabel("int8 time over that with all gates (right is faster)")
    axes.set_ylabel("%")
    axes.legend(loc="lower left", frameon=False)
    axes.set_title(f"{name}: gates folded one by one", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    return canvas.png(figure)


if __name__ == "__main__":
    main()
