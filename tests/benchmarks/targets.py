"""What each choice of `mobile.targets` buys: the same network, lowered for each target.

    python tests/benchmarks/targets.py [--weights FILE.npz] [--images FOLDER] [--json FILE]

For each target of `mobile.lower`, and for TFLiteConverter's own int8 of the original:

- LiteRT with XNNPACK and with its builtin kernels: median latency as a ratio to the plain model
  within one interleaved run, and partitions;
- Arm Ethos-U: Vela's estimate (`pip install ethos-u-vela`), left out where it is not installed;
- TensorFlow Lite Micro: arena, and whether its outputs are those of LiteRT's reference kernels to
  the bit (`pip install tflite-micro`), left out where it is not installed.

The network is MobileNetV3-Small at 224x224. Without `--weights` its BatchNorm statistics are those
of the two photographs that scikit-learn ships; so are the images without `--images`.
"""

import argparse
import csv
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_se
import mobile

TARGETS = ("xnnpack", "builtin", "ethos-u", "tflm")
ACCELERATORS = ("ethos-u55-256", "ethos-u65-512")
SIZE = 224

_ARENA = """
import sys, numpy
from tflite_micro import runtime
model = runtime.Interpreter.from_file(sys.argv[1], arena_size=8_000_000)
model.print_allocations()
model.set_input(numpy.load(sys.argv[2]), 0)
model.invoke()
numpy.save(sys.argv[3], model.get_output(0))
"""


def main():
    """Convert, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="weights file for MobileNetV3-Small, (x - 128) / 127")
    parser.add_argument("--images", help="folder of .jpg files to calibrate on")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    images = _images(arguments.images)
    model = _network(arguments.weights, images)
    contents = {"plain": plain_int8(model, images)}
    for target in TARGETS:
        contents[target] = mobile.convert(model, calibration=images, target=target).content
    rows = {name: {"size_bytes": len(content)} for name, content in contents.items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            path = pathlib.Path(folder) / f"{name}.tflite"
            path.write_bytes(content)
            rows[name] |= _vela(path) | _micro(path)
    for kernels in ("default", "builtin"):
        timings = mobile.benchmark(
            contents, runs=arguments.runs, reference="plain", kernels=kernels
        )
        print(timings)
        for name in contents:
            rows[name][f"{kernels}_ratio"] = str(timings.ratio(name, "plain"))
    _print(rows)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=2))


def _images(folder):
    from PIL import Image
    from sklearn.datasets import load_sample_images

    if folder:
        paths = sorted(pathlib.Path(folder).rglob("*.jpg"))[:100]
        pictures = [Image.open(path).convert("RGB").resize((SIZE, SIZE)) for path in paths]
        return np.stack([np.asarray(picture) for picture in pictures]).astype("float32")
    photographs = load_sample_images().images
    corners = [(y, x) for y in range(0, 204, 50) for x in range(0, 417, 100)]
    cuts = [p[y : y + SIZE, x : x + SIZE] for p in photographs for y, x in corners]
    return np.stack([cut for cut in cuts if cut.shape == (SIZE, SIZE, 3)]).astype("float32")


def _network(weights, images):
    model = keras_se.models.build(
        "mobilenet_v3_small",
        classifier_activation=None,
        preprocessing=(1 / 127, -128 / 127) if weights else True,
    )
    if weights:
        keras_se.weights.load(model, weights)
        return model
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images[:16], training=True)
    return model


def plain_int8(model, images):
    """The int8 file that TFLiteConverter makes of a model by itself."""
    import tensorflow as tf

    from mobile.conversion.quiet import quiet

    x = keras.Input(batch_shape=(1, *model.inputs[0].shape[1:]))
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, model(x)))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


def _vela(path):
    vela = shutil.which("vela", path=str(pathlib.Path(sys.executable).parent)) or "vela"
    if not shutil.which(vela):
        return {}
    figures = {}
    for accelerator in ACCELERATORS:
        out = path.parent / f"{path.stem}-{accelerator}"
        command = [vela, path, "--accelerator-config", accelerator, "--output-dir", out]
        subprocess.run(command, check=True, capture_output=True)
        with open(next(out.glob("*summary*.csv"))) as file:
            summary = list(csv.DictReader(file))[-1]
        figures[f"{accelerator}_ms"] = round(1e3 * float(summary["inference_time"]), 3)
    return figures


def _micro(path):
    try:
        import tflite_micro  # noqa: F401
    except ImportError:
        return {}
    x = np.random.default_rng(0).integers(-128, 128, (1, SIZE, SIZE, 3)).astype("int8")
    given, answer = path.with_suffix(".in.npy"), path.with_suffix(".out.npy")
    np.save(given, x)
    command = [sys.executable, "-c", _ARENA, path, given, answer]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(x for x in (said.stdout + said.stderr).splitlines() if "allocation total" in x)
    reference = mobile.devices.predict(path.read_bytes(), x, kernels="reference")[0]
    return {
        "tflm_arena_bytes": int(line.split()[-2]),
        "tflm_equals_reference": bool(np.array_equal(reference, np.load(answer))),
    }


def _print(rows):
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    table = Table("lowered for", *columns)
    for name, row in rows.items():
        table.add_row(name, *(str(row.get(column, "")) for column in columns))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
