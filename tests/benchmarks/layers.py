"""What `SqueezeExcite` costs in float32 Keras, beside the ways people write it by hand.

    python tests/benchmarks/layers.py [--rounds 60] [--backends tensorflow jax]

One process a backend; in it every variant takes its turn in every round, in one order and then in
the other, so that a disturbance meets all of them. The reference is the block in plain functional
layers; `again` is that block a second time (the A/A control). keras-hub's layer takes part where
keras-hub is installed. All have the same kernels, and equal outputs are checked first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial

SHAPES = ((56, 56, 72), (14, 14, 480))
BATCH = 8
REDUCTION = 4


def _variants(channels, keras_hub_layer):
    """Name to a function from tensor to tensor; each makes its own layers."""
    from keras import layers

    import keras_se

    width = channels // REDUCTION

    def ours(x):
        return keras_se.SqueezeExcite(reduction=REDUCTION)(x)

    def functional(x):
        s = layers.GlobalAveragePooling2D(keepdims=True)(x)
        s = layers.Conv2D(width, 1, activation="relu")(s)
        s = layers.Conv2D(channels, 1, activation="sigmoid")(s)
        return layers.Multiply()([x, s])

    def dense(x):
        s = layers.GlobalAveragePooling2D()(x)
        s = layers.Dense(width, activation="relu")(s)
        s = layers.Dense(channels, activation="sigmoid")(s)
        return layers.Multiply()([x, layers.Reshape((1, 1, channels))(s)])

    variants = {"functional": functional, "again": functional, "dense": dense, "ours": ours}
    if keras_hub_layer is not None:
        variants["keras-hub"] = keras_hub_layer(channels, width, name="se")
    return variants


def _keras_hub_layer():
    try:
        from keras_hub.src.models.mobilenet.mobilenet_backbone import SqueezeAndExcite2D
    except ImportError as error:
        print(f"keras-hub left out: {error}", file=sys.stderr)
        return None
    return SqueezeAndExcite2D


def measure(rounds):
    """Return {shape: {step: {variant: [ms, ...]}}} on the backend of this process."""
    import keras
    import numpy as np

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    keras_hub_layer = _keras_hub_layer()
    rng = np.random.default_rng(0)
    results = {}
    for shape in SHAPES:
        x = rng.normal(size=(BATCH, *shape)).astype("float32")
        y = rng.normal(size=(BATCH, *shape)).astype("float32")
        inputs, models = keras.Input(shape), {}
        for name, function in _variants(shape[-1], keras_hub_layer).items():
            model = keras.Model(inputs, function(inputs))
            model.compile("sgd", "mse")
            models[name] = model
        weights = [rng.normal(0, 0.1, w.shape) for w in models["functional"].weights]
        outputs = {}
        for name, model in models.items():
            pairs = zip(weights, model.weights, strict=True)
            model.set_weights([w.reshape(v.shape) for w, v in pairs])
            outputs[name] = model.predict_on_batch(x)
        for name, output in outputs.items():
            np.testing.assert_allclose(output, outputs["functional"], atol=1e-5, err_msg=name)
        steps = {
            "forward": {n: partial(m.predict_on_batch, x) for n, m in models.items()},
            "training": {n: partial(m.train_on_batch, x, y) for n, m in models.items()},
        }
        results["x".join(map(str, shape))] = {
            step: _interleave(functions, rounds) for step, functions in steps.items()
        }
    return results


def _interleave(functions, rounds, warm_up=8):
    for function in functions.values():
        for _ in range(warm_up):
            function()
    times_ms = {name: [] for name in functions}
    for turn in range(rounds):
        order = list(functions) if turn % 2 else list(functions)[::-1]
        for name in order:
            start = time.perf_counter()
            functions[name]()
            times_ms[name].append(1e3 * (time.perf_counter() - start))
    return times_ms


def import_ms(backend, runs=5):
    """Return what `import keras_se` adds to `import keras`, and what that takes: medians in ms."""
    ours, keras = [], []
    for _ in range(runs):
        done = _python(["-X", "importtime", "-c", "import keras; import keras_se"], backend)
        lines = (line.split("|") for line in done.stderr.splitlines() if line.count("|") == 2)
        total = {name.strip(): cumulative for _, cumulative, name in lines}
        ours.append(int(total["keras_se"]) / 1e3)
        keras.append(int(total["keras"]) / 1e3)
    return statistics.median(ours), statistics.median(keras)


def _python(arguments, backend):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [environment.get("PYTHONPATH")])]
    )
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done


def main():
    """Measure each backend in a process of its own and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.rounds)))
        return
    from mobile.benchmarking.statistics import ratio_of_medians

    print(f"float32, batch {BATCH}, reduction {REDUCTION}, {arguments.rounds} rounds; ratio to the")
    print("functional block, with 95 % bootstrap interval\n")
    for backend in arguments.backends:
        child = [os.path.abspath(__file__), "--child", "--rounds", str(arguments.rounds)]
        done = _python(child, backend)
        for line in done.stderr.splitlines():
            if line.startswith("keras-hub"):
                print(line)
        results = json.loads(done.stdout.splitlines()[-1])
        for shape, steps in results.items():
            for step, times_ms in steps.items():
                for name, times in times_ms.items():
                    ratio, low, high = ratio_of_medians(times, times_ms["functional"])
                    print(
                        f"{backend:<10} {shape:<10} {step:<8} {name:<10} "
                        f"{statistics.median(times):8.3f} ms  {ratio:.3f} [{low:.3f}, {high:.3f}]"
                    )
        ours, keras = import_ms(backend)
        print(f"{backend:<10} import keras_se adds {ours:.0f} ms to import keras ({keras:.0f} ms)")


if __name__ == "__main__":
    main()
