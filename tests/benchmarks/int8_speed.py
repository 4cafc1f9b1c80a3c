"""How fast a network is in int8 before and after lowering, beside float32.

    python tests/benchmarks/int8_speed.py [NETWORK ...] [--size 224] [--runs 200] [--out FOLDER]

A NETWORK is a name of `keras_se.models`, or of `keras.applications` (`MobileNetV3Small`). Each is
converted four times and timed in one interleaved run, one thread, with an A/A control:

- float32 plain and int8 plain: TFLiteConverter on the original, int8 with representative images;
- float32 lowered and int8 lowered: `mobile.lower` and `mobile.convert`, for this processor.

Weights are real where `../shared/data/weights` has them. Else kernels are random and BatchNorm has
the statistics of the images: photographs of `../shared/data/imagenet500`, or the embedded digits.
Written to the folder: `int8_speed.json` (every time), `int8_speed.txt`, `int8_speed.png`.
"""

import argparse
import contextlib
import io
import json
import pathlib
import platform
import sys

import keras
import numpy as np

import keras_se
import mobile
from mobile.record import table, write_file

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
NETWORKS = (
    "MobileNetV3Small",
    "MobileNetV3Large",
    "MobileNetV2",
    "EfficientNetB0",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet_a1",
    "se_shufflenet_v1",
    "se_resnet50",
    "se_resnext50_32x4d",
)
VARIANTS = ("float32 plain", "int8 plain", "float32 lowered", "int8 lowered")
_MEAN, _DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
# File, scale and offset: the network was trained on pixels * scale + offset.
WEIGHTS = {
    "mobilenet_v3_small": ("mobilenet_v3_small_imagenet.npz", 1 / 127, -128 / 127),
    "efficientnet_b0": ("efficientnet_b0_imagenet.npz", 1 / _DEVIATION, -_MEAN / _DEVIATION),
}
OURS = {"MobileNetV3Small": "mobilenet_v3_small", "EfficientNetB0": "efficientnet_b0"}


def main():
    """Convert, time, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--target", default=target_here(), help="what int8 is lowered for")
    parser.add_argument("--images", type=int, default=64, help="how many to calibrate on")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/int8_speed"))
    arguments = parser.parse_args()
    images, source = load_images(arguments.images, arguments.size)
    results = {}
    for name in arguments.networks:
        print(f"{name}: building and converting", file=sys.stderr)
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model, weights = build(name, images)
        models = {
            "float32 plain": plain(model),
            "int8 plain": plain(model, images),
            "float32 lowered": mobile.convert(mobile.lower(model, "xnnpack-float"), "float32"),
            "int8 lowered": mobile.convert(
                model, "int8", calibration=images, target=arguments.target
            ),
        }
        timings = mobile.benchmark(models, runs=arguments.runs)
        print(f"\n{name}, {weights}, on {source}\n{timings}\n", flush=True)
        results[name] = (weights, timings)
    text = summary(results)
    print(text)
    said = {n: {"weights": w, "images": source, **t.to_dict()} for n, (w, t) in results.items()}
    write_file(arguments.out / "int8_speed.json", json.dumps(said, indent=1))
    write_file(arguments.out / "int8_speed.txt", text + "\n")
    plot(results, arguments.out / "int8_speed.png")
    print(f"Written to {arguments.out}", file=sys.stderr)


def target_here():
    """Return the lowering target of this machine's processor."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "xnnpack"
    known = pathlib.Path("/proc/cpuinfo")
    return "xnnpack-amx" if known.exists() and "amx_int8" in known.read_text() else "xnnpack-x86"


def load_images(count, size):
    """Return float pixels 0 to 255, and where they are from."""
    paths = sorted((SHARED / "imagenet500").glob("*.jpg"))[: 2 * count : 2]
    if not paths:
        return mobile.data.load(size=size).x_train[:count].astype("float32"), "the embedded digits"
    from PIL import Image

    pictures = [Image.open(path).convert("RGB").resize((size, size)) for path in paths]
    return np.stack([np.asarray(p, "float32") for p in pictures]), f"{len(paths)} photographs"


def build(name, images):
    """Return the model, which takes pixels 0 to 255 and gives logits, and what its weights are."""
    shape = images.shape[1:]
    file, scale, offset = WEIGHTS.get(OURS.get(name, name), (None, 1 / 127.5, -1.0))
    path = SHARED / "weights" / file if file else None
    real = path is not None and path.exists() and shape == (224, 224, 3)
    if name in keras_se.models.names():
        preprocessing = (np.ravel(scale).tolist(), np.ravel(offset).tolist()) if real else True
        model = keras_se.models.build(
            name, input_shape=shape, classifier_activation=None, preprocessing=preprocessing
        )
    elif hasattr(keras.applications, name):
        model = with_preprocessing(name, shape, scale, offset)
    else:
        raise SystemExit(
            f"NETWORK must be one of {', '.join(keras_se.models.names())}, or a class of "
            f"keras.applications. Received: {name}."
        )
    if real:
        load_weights(model, path)
        return model, "real weights"
    return with_statistics_of(model, images), "random kernels, BatchNorm of the images"


def load_weights(model, path):
    """Load a weights file; a Normalization of keras.applications stays the identity."""
    entries = dict(np.load(path))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            entries |= {f"{layer.name}/{w.name}": np.asarray(w) for w in layer.weights}
    keras_se.weights.assign(model, entries, origin=str(path))


def with_preprocessing(name, shape, scale, offset):
    """Return the `keras.applications` network behind one Rescaling of ours."""
    if name.startswith("EfficientNet"):
        scale = np.array(scale) * 255  # its own preprocessing divides by 255, and no more
    image = keras.Input(shape)
    x = keras.layers.Rescaling(scale, offset, name="pixels")(image)
    options = {"weights": None, "input_tensor": x, "classifier_activation": None}
    if name.startswith("MobileNetV3"):
        options["include_preprocessing"] = False
    return getattr(keras.applications, name)(**options)


def with_statistics_of(model, images):
    """Give each BatchNorm the statistics of the images, in one pass, so that ranges are sane."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images[:32], training=True)
    return model


def plain(model, images=None):
    """Return what TFLiteConverter makes of the model by itself; with images, in int8."""
    import tensorflow as tf

    from mobile.conversion.quiet import quiet

    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if images is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


def summary(results):
    """Return the table: p50, how many times faster, partitions, size."""
    rows = []
    for name, (_, timings) in results.items():
        known = {model.name: model for model in timings.models}
        row = [name]
        row += [f"{known[v].median_ms:.2f}" if v in known else "failed" for v in VARIANTS]
        for reference in ("int8 plain", "float32 plain"):
            both = {reference, "int8 lowered"} <= set(known)
            row.append(str(timings.ratio(reference, "int8 lowered")) if both else "")
        both = {"float32 plain", "float32 lowered"} <= set(known)
        row.append(str(timings.ratio("float32 lowered", "float32 plain")) if both else "")
        row.append(" / ".join(str(known[v].partitions) if v in known else "-" for v in VARIANTS))
        row.append(" / ".join(f"{known[v].size_bytes / 1e6:.1f}" for v in VARIANTS if v in known))
        row.append(f"{timings.control.value:.3f}" if timings.control else "")
        rows.append(row)
    header = ["p50 ms"] + [variant.replace("float32", "float") for variant in VARIANTS]
    header += ["int8 plain over lowered", "float plain over int8 lowered"]
    header += ["float lowered over plain", "partitions", "MB", "A/A"]
    conditions = next(iter(results.values()))[1].conditions
    where = f"{conditions.cpu}, {conditions.threads} thread, {conditions.runtime} "
    where += (
        f"{conditions.runtime_version}, {conditions.runs} interleaved runs, {conditions.started}"
    )
    return f"{table(header, rows)}\n\n{where}"


def plot(results, path):
    """Draw the four medians of each network."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(max(7, 1.5 + 1.1 * len(results)), 4.5), layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(VARIANTS, ("#9aa5b1", "#d1495b", "#52606d", "#2a9d8f"), strict=True))
    for number, variant in enumerate(VARIANTS):
        found = [(i, t[variant]) for i, (_, t) in enumerate(results.values()) if _has(t, variant)]
        places = [i + (number - 1.5) * 0.2 for i, _ in found]
        heights = [m.median_ms for _, m in found]
        axes.bar(places, heights, 0.19, label=variant, color=colours[variant])
        for place, height in zip(places, heights, strict=True):
            axes.text(place, height, f"{height:.2g}", ha="center", va="bottom", fontsize=6)
    axes.set_xticks(range(len(results)), results, rotation=30, ha="right")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("median latency, ms (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.savefig(path, dpi=150)


def _has(timings, name):
    return any(model.name == name for model in timings.models)


if __name__ == "__main__":
    main()
