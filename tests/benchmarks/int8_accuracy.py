"""Accuracy of int8 files by how they were made, on the same images, with McNemar's p.

    python tests/benchmarks/int8_accuracy.py [--networks NAME ...] [--minutes M] [--steps N]
        [--images N] [--swap]

Ranges and distillation see one half of ../shared/data/imagenet500, accuracy is of the other half.
Distillation needs no labels, so it sees the training images of flowers12 as well.
With --swap the halves change places, which shows how much chance there is in 250 images.
Prints a table for each network: accuracy, top-1 agreement with float, p against float, size.
Where the data is absent it says so and stops.
"""

import argparse
import pathlib
import sys
import time

import keras
import numpy as np
from PIL import Image

import mobile
from keras_se import weights
from keras_se.graph import trace
from mobile import devices, quantization
from mobile.benchmarking import statistics
from mobile.conversion import quiet, tflite_converter
from mobile.record import table
from mobile.tflite.artifact import Artifact

DATA = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "data"


def mobilenet_v3_small():
    """Google's quantisation-aware trained MobileNetV3-Small, in float."""
    network = keras.applications.MobileNetV3Small(
        input_shape=(224, 224, 3), weights=None, include_preprocessing=False
    )
    return _with(network, "mobilenet_v3_small_imagenet", np.full(3, 128.0), np.full(3, 127.0))


def efficientnet_b0():
    """EfficientNet-B0 as trained in float; its own preprocessing is cut off."""
    network = keras.applications.EfficientNetB0(weights=None)
    network = keras.Model(network.get_layer("stem_conv_pad").input, network.output)
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return _with(network, "efficientnet_b0_imagenet", mean, deviation)


# What mobile.sensitivity finds worth most to leave out, on calibration images.
FLOAT_LAYERS = {
    "mobilenet_v3_small": (
        "MobileNetV3Small_conv",
        "MobileNetV3Small_activation",
    ),
    "efficientnet_b0": (
        "functional_block7a_se_squeeze",
        "functional_block2a_expand_activation",
    ),
}
NETWORKS = {"mobilenet_v3_small": mobilenet_v3_small, "efficientnet_b0": efficientnet_b0}


def _with(network, file, mean, deviation):
    weights.load(network, DATA / "weights" / f"{file}.npz")
    image = keras.Input((224, 224, 3), name="image")
    scaled = keras.layers.Rescaling(
        (1 / deviation).tolist(), (-mean / deviation).tolist(), name="rescaling"
    )(image)
    return keras.Model(image, network(scaled), name=file)


def plain_converter(model, images):
    """TFLiteConverter's own post-training int8, on the model as it is."""
    import tensorflow as tf

    core, preprocessing = _core(model)
    samples = preprocessing.apply(images)
    with quiet.quiet():
        traced = tflite_converter.concrete_function(core, trace(core))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        content = converter.convert()
    return Artifact.from_content(content, "int8", preprocessing)


def edge_quantizer(model, images, static):
    """ai-edge-quantizer on the plain float file; None where not installed, or why it failed."""
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        return None
    core, preprocessing = _core(model)
    content, _ = tflite_converter.run(core)
    rules = recipe.static_wi8_ai8() if static else recipe.dynamic_wi8_afp32()
    work = quantizer.Quantizer(content, rules)
    if not static:
        return Artifact.from_content(
            bytes(work.quantize().quantized_model), "dynamic", preprocessing
        )
    samples = preprocessing.apply(images)
    name = Artifact.from_content(content).inputs[0].name.removeprefix("serving_default_")
    data = {"serving_default": [{name.split(":")[0]: x[None]} for x in samples]}
    try:
        found = work.calibrate(data)
        content = bytes(work.quantize(found).quantized_model)
    except RuntimeError as error:
        return str(error).splitlines()[-1][-60:]
    return Artifact.from_content(content, "int8", preprocessing)


def _core(model):
    """The network behind the Rescaling, not lowered."""
    rescaling = model.get_layer("rescaling")
    scale, offset = (tuple(map(float, v)) for v in (rescaling.scale, rescaling.offset))
    return model.layers[-1], mobile.Preprocessing(scale, offset)


def read(paths):
    """Images of 224x224 pixels, as floats."""
    images = [np.asarray(Image.open(path).convert("RGB"), np.float32) for path in sorted(paths)]
    return np.stack(images)


def variants(model, images, float_layers, minutes, steps):
    """Name and maker of each row, in the order of the table."""
    lowered = mobile.lower(model)
    for method in ("minmax", "percentile", "mse"):
        ranges = quantization.calibrate(lowered, images, method=method)
        yield f"ours, {method}, not corrected", mobile.convert(lowered, ranges=ranges)
    mixed = mobile.convert(lowered, calibration=images, ranges=ranges, float_layers=float_layers)
    yield f"ours, {len(float_layers)} layers in float", mixed
    trained = quantization.quantize_aware(lowered, images, ranges=ranges)
    yield "ours", mobile.convert(trained)
    start = time.process_time()
    more = np.concatenate([images, read((DATA / "flowers12" / "train").rglob("*.jpg"))])
    quantization.distil(trained, lowered, more, minutes=minutes, steps=steps)
    spent = (time.process_time() - start) / 60
    yield f"ours, distilled {spent:.0f} CPU min", mobile.convert(trained)
    yield "ours, dynamic, convolutions", mobile.convert(model, "dynamic")
    yield "ours, weights alone", mobile.convert(model, "weight_only")
    yield "plain converter", plain_converter(model, images)
    yield "ai-edge-quantizer static", edge_quantizer(model, images, static=True)
    yield "ai-edge-quantizer dynamic", edge_quantizer(model, images, static=False)
    if model.name == "mobilenet_v3_small_imagenet":  # of the training that the weights come from
        content = (DATA / "tflite" / "mobilenet_v3_small_qat_uint8.tflite").read_bytes()
        yield "Google's uint8 file", Artifact.from_content(content, "int8", _core(model)[1])


def _run(artifact, images):
    """Raw outputs and partitions; without XNNPACK where that refuses the file; None and why."""
    prepared = artifact.prepare(images)
    try:
        return devices.predict(artifact, prepared)[0], str(devices.partitions(artifact))
    except devices.AgentError as refused:
        try:
            return devices.predict(artifact, prepared, kernels="builtin")[0], "refused"
        except devices.AgentError:
            return None, str(refused)[-60:]


def judge(model, labels, images, makers):
    """Print a row for each file as it is made, then the table."""
    truth = model.predict(images, batch_size=16, verbose=0).argmax(axis=-1)
    rows = [("float", float((truth == labels).mean()), 1.0, 1.0, "", "")]
    for name, artifact in makers:
        if artifact is None or isinstance(artifact, str):
            reason = artifact or "not installed"
            rows.append((name, float("nan"), float("nan"), float("nan"), "", reason))
            continue
        raw, partitions = _run(artifact, images)
        if raw is None:
            rows.append((name, float("nan"), float("nan"), float("nan"), "", partitions))
            continue
        outputs = artifact.restore(raw).reshape(len(images), -1)
        top = outputs[:, -model.output.shape[-1] :].argmax(axis=-1)  # some have a class 0 more
        p = statistics.mcnemar(top == labels, truth == labels)
        size = f"{artifact.size_bytes / 1e6:.2f} MB"
        accuracy, agreement = float((top == labels).mean()), float((top == truth).mean())
        rows.append((name, accuracy, agreement, p, size, partitions))
        print(name, accuracy, agreement, p, flush=True)
    return table(("file", "accuracy", "agreement", "p", "size", "partitions"), rows)


def main():
    """Make and judge every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--minutes", type=float, default=4.0, help="of distillation")
    parser.add_argument("--steps", type=int, help="of distillation, instead of minutes")
    parser.add_argument("--swap", action="store_true", help="exchange the halves")
    parser.add_argument("--images", type=int, default=500, help="half of them to judge with")
    options = parser.parse_args()
    paths = sorted((DATA / "imagenet500").glob("*.jpg"))[: options.images]
    if not paths:
        sys.exit(f"No images in {DATA / 'imagenet500'}: this benchmark needs them.")
    images = read(paths)
    labels = np.array([int(p.stem) for p in paths])
    seen, judged = (slice(start, None, 2) for start in ((1, 0) if options.swap else (0, 1)))
    for name in options.networks:
        model = NETWORKS[name]()
        makers = variants(model, images[seen], FLOAT_LAYERS[name], options.minutes, options.steps)
        result = judge(model, labels[judged], images[judged], makers)
        print(f"\n{name}, {len(labels[judged])} images\n{result}\n", flush=True)


if __name__ == "__main__":
    main()
