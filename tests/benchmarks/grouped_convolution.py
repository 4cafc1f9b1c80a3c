"""Which form of a grouped convolution is fastest in int8? One layer between two 1x1 convolutions.

    python tests/benchmarks/grouped_convolution.py [--rounds 120]

`grouped` is one Conv2D with groups, `split` is a split, a convolution a group and a concatenation,
`dense` is one ungrouped Conv2D of the same size, which a kernel with zeros outside the groups'
blocks would make equal. One thread; in each round every form takes its turn, in one order and then
in the other. Prints partitions (delegated pieces), median microseconds, and KiB of the file.
"""

import argparse
import statistics
import time

import keras
import numpy as np

CASES = (
    # channels, groups, side of the image, kernel
    (128, 32, 56, 3),  # ResNeXt-50 32x4d, conv2_x
    (256, 32, 28, 3),
    (512, 32, 14, 3),
    (1024, 32, 7, 3),
    (60, 3, 28, 1),  # ShuffleNet, stage 2
    (240, 3, 28, 1),
)


def grouped(x, channels, groups, kernel):
    """One convolution with groups."""
    return keras.layers.Conv2D(channels, kernel, padding="same", groups=groups, activation="relu")(
        x
    )


def split(x, channels, groups, kernel):
    """One convolution a group."""
    parts = keras.ops.split(x, groups, axis=-1)
    width = channels // groups
    ends = [
        keras.layers.Conv2D(width, kernel, padding="same", activation="relu")(part)
        for part in parts
    ]
    return keras.layers.Concatenate()(ends)


def dense(x, channels, groups, kernel):
    """One convolution over all channels."""
    return keras.layers.Conv2D(channels, kernel, padding="same", activation="relu")(x)


FORMS = (grouped, split, dense)


def convert(form, channels, groups, side, kernel):
    """Return the int8 model of one form, calibrated on noise."""
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, side, side, 16))
    x = keras.layers.Conv2D(channels, 1, activation="relu")(image)
    x = keras.layers.Conv2D(16, 1)(form(x, channels, groups, kernel))
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, x))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.normal(size=(1, side, side, 16)).astype("float32")] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main():
    """Measure every case and print a line for each."""
    from ai_edge_litert.interpreter import Interpreter

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=120)
    options = parser.parse_args()
    print("channels groups side kernel | form: partitions, us, KiB")
    for case in CASES:
        running, lines = {}, []
        for form in FORMS:
            content = convert(form, *case)
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
            where = interpreter.get_input_details()[0]
            interpreter.set_tensor(where["index"], np.zeros(where["shape"], "int8"))
            kinds = [entry["op_name"] for entry in interpreter._get_ops_details()]
            running[form] = interpreter
            lines.append((form, kinds.count("DELEGATE"), len(content) / 1024))
        times = {form: [] for form in FORMS}
        for turn in range(options.rounds):
            for form in FORMS if turn % 2 else FORMS[::-1]:
                began = time.perf_counter()
                running[form].invoke()
                times[form].append(1e6 * (time.perf_counter() - began))
        cells = (
            f"{form.__name__}: {partitions}, {statistics.median(times[form][20:]):.0f}, {size:.0f}"
            for form, partitions, size in lines
        )
        print(*case, "|", "; ".join(cells), flush=True)


if __name__ == "__main__":
    main()
