"""Does squeeze-and-excitation help a small U-Net on street scenes? CamVid, several seeds.

    python tests/benchmarks/segmentation.py [--epochs 12] [--seeds 3] [--height 96] [--width 128]
        [--variants none cse sse scse wider] [--images 367] [--output runs/camvid]

U-Net on MobileNetV3-Small with ImageNet weights where they are at hand. The decoder's blocks end in
nothing, cSE, sSE or scSE; all else is equal, seeds included. `wider` is the control without SE: a
decoder with a third more channels. Mean intersection over union (IoU) is over the eleven classes
of the validation images; void is neither trained on nor counted. Each network is converted to int8
with ranges from 128 training images, and the file judged on the same images. Results are kept by
variant and seed in the output folder, so that an interrupted run goes on, and `predictions.png` has
images, truth and predictions side by side.

The data are not the project's: without ../shared/data the script says so and ends.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import mobile
from keras_se import SEConfig, models, weights
from keras_se.counting import complexity
from mobile import devices
from mobile.pipeline.batch_norms import recenter_batch_norms, refresh_batch_norms

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLASSES, VOID = 11, 11
VARIANTS = {
    "none": None,
    "cse": SEConfig(kind="cse", reduction=2, min_channels=1),
    "sse": SEConfig(kind="sse"),
    "scse": SEConfig(kind="scse", reduction=2, min_channels=1),
    "wider": None,
}
COLOURS = np.array(
    [
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
        (0, 0, 0),
    ],
    "uint8",
)


def read(part, size, most=None):
    """Return images as float32 pixels and masks as class indices, resized to `size`."""
    from PIL import Image

    images, masks = [], []
    for path in sorted((DATA / "camvid" / part / "images").glob("*.jpg"))[:most]:
        mask = DATA / "camvid" / part / "masks" / f"{path.stem}.png"
        wide_high = size[::-1]
        images.append(np.asarray(Image.open(path).convert("RGB").resize(wide_high)))
        masks.append(np.asarray(Image.open(mask).resize(wide_high, Image.Resampling.NEAREST)))
    return np.stack(images).astype("float32"), np.stack(masks).astype("int32")


class Batches(keras.utils.PyDataset):
    """Shuffled batches, half of the images mirrored."""

    def __init__(self, images, masks, batch, seed):
        super().__init__()
        self.images, self.masks, self.batch = images, masks, batch
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // self.batch

    def __getitem__(self, index):
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        flip = self.flips[chosen][:, None, None]
        x, y = self.images[chosen], self.masks[chosen]
        x = np.where(flip[..., None], x[:, :, ::-1], x)
        return x, np.where(flip, y[:, :, ::-1], y)

    def on_epoch_end(self):
        """Shuffle again."""
        self.order = self.rng.permutation(len(self.images))
        self.flips = self.rng.random(len(self.images)) < 0.5


def mean_iou(truth, predicted):
    """Return intersection over union of each class that occurs, void pixels left out."""
    counted = truth != VOID
    pairs = CLASSES * truth[counted] + predicted[counted]
    confusion = np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    both = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - both
    return both[either > 0] / either[either > 0]


def build(variant, images):
    """Return the network of one variant, with its encoder trained on ImageNet if it can be."""
    network = models.find("unet")
    if variant == "wider":
        rows = tuple(dataclasses.replace(r, out=r.out * 4 // 3 // 8 * 8) for r in network.rows)
        network = dataclasses.replace(network, rows=rows)
    model = models.build(
        network,
        se=VARIANTS[variant],
        encoder="mobilenet_v3_small",
        input_shape=images.shape[1:],
        classes=CLASSES,
        classifier_activation=None,
        preprocessing=(1 / 127, -128 / 127),
    )
    path = DATA / "weights" / "mobilenet_v3_small_imagenet.npz"
    if path.is_file():
        weights.load(model, path, transfer=True)
        encoder = keras.Model(model.inputs, model.get_layer("conv_1_act").output)
        recenter_batch_norms(encoder, images[:64])  # the weights are folded
    return model


def train(variant, seed, options, data):
    """Train one network and return its record and its predictions on the validation images."""
    (x, y), (val_x, val_y) = data
    keras.utils.set_random_seed(seed)
    model = build(variant, x)
    batches = Batches(x, y, options.batch, seed)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, options.epochs * len(batches))
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID),
        jit_compile=False,  # compiling for each variant would take longer than it saves
    )
    began = time.perf_counter()
    history = model.fit(batches, epochs=options.epochs, verbose=0)
    refresh_batch_norms(model, x)  # so few steps leave the moving averages behind
    predicted = model.predict(val_x, batch_size=options.batch, verbose=0).argmax(-1)
    artifact = mobile.convert(model, "int8", calibration=x[:128])
    (in_int8,) = artifact.restore(devices.predict(artifact, artifact.prepare(val_x)))
    counted = complexity(model)
    return {
        "variant": variant,
        "seed": seed,
        "mean_iou": float(np.mean(mean_iou(val_y, predicted))),
        "int8_mean_iou": float(np.mean(mean_iou(val_y, in_int8.argmax(-1)))),
        "partitions": devices.partitions(artifact),
        "loss": float(history.history["loss"][-1]),
        "params": counted.trainable_params,
        "macs": counted.macs,
        "seconds": time.perf_counter() - began,
    }, predicted


def draw(path, images, truth, predictions, rows=3, enlarged=3):
    """Save images, truth and predictions side by side; void is black."""
    from PIL import Image, ImageDraw

    chosen = np.linspace(0, len(images) - 1, rows).astype(int)
    columns = [("image", images.astype("uint8")), ("truth", COLOURS[truth])]
    columns += [
        (name, COLOURS[np.where(truth == VOID, VOID, p)]) for name, p in predictions.items()
    ]
    strips = [np.concatenate([values[i] for i in chosen]) for _, values in columns]
    picture = Image.fromarray(np.concatenate(strips, axis=1))
    picture = picture.resize([enlarged * side for side in picture.size], Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for index, (name, _) in enumerate(columns):
        pen.text(
            (4 + index * enlarged * images.shape[2], 2),
            name,
            fill="white",
            stroke_width=1,
            stroke_fill=0,
        )
    picture.save(path)


def table(records):
    """Return mean IoU with its spread over the seeds, a line a variant."""
    lines = [
        f"{'decoder':8} {'mean IoU':>16} {'int8 - float':>14} {'seeds':>5} {'parameters':>11} "
        f"{'MMACs':>7}"
    ]
    for variant in VARIANTS:
        found = [r for r in records if r["variant"] == variant]
        if found:
            score = spread([100 * r["mean_iou"] for r in found])
            lost = [r["int8_mean_iou"] - r["mean_iou"] for r in found if "int8_mean_iou" in r]
            lost = spread([100 * x for x in lost]) if lost else "-"
            size = f"{found[0]['params']:>11,} {found[0]['macs'] / 1e6:>7.0f}"
            lines.append(f"{variant:8} {score:>16} {lost:>14} {len(found):>5} {size}")
    return "\n".join(lines)


def spread(values):
    """Return mean and standard deviation of percentages, as a table shows them."""
    deviation = f"± {statistics.stdev(values):.1f} " if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f} {deviation}%"


def main():
    """Train every variant with every seed, seeds outermost, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--images", type=int, help="train on the first so many only")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("runs") / "camvid")
    options = parser.parse_args()
    if not (DATA / "camvid").is_dir():
        print(f"skipped: no street scenes at {DATA / 'camvid'}")
        return
    size = (options.height, options.width)
    data = read("train", size, options.images), read("val", size)
    options.output.mkdir(parents=True, exist_ok=True)
    setting = {k: getattr(options, k) for k in ("epochs", "batch", "height", "width", "images")}
    path = options.output / "results.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    records = kept.get("records", []) if kept.get("setting") == setting else []
    predictions = {}
    for seed in range(options.seeds):
        for variant in options.variants:
            if any(r["variant"] == variant and r["seed"] == seed for r in records):
                continue
            record, predictions[variant] = train(variant, seed, options, data)
            records.append(record)
            text = json.dumps({"setting": setting, "records": records}, indent=1)
            path.with_suffix(".tmp").write_text(text)
            os.replace(path.with_suffix(".tmp"), path)
            scored = f"{record['mean_iou']:.3f} {record['seconds']:.0f} s"
            print(f"seed {seed} {variant:6} {scored}", flush=True)
            predictions = {v: predictions[v] for v in VARIANTS if v in predictions}
            draw(options.output / "predictions.png", *data[1], predictions)
            keras.backend.clear_session()
    print(table(records))


if __name__ == "__main__":
    main()
