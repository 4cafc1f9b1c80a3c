"""The layers give equal outputs on every backend, and bring no TensorFlow with them.

Each backend is chosen by KERAS_BACKEND in a process of its own, which computes the same layers
with the same weights as this one.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import json, sys
import keras
before = set(sys.modules)
import keras_se
import numpy as np

report = {"backend": keras.backend.backend(), "imported": sorted(set(sys.modules) - before)}
POOLS, GATES = ("avg", "max", "avg+max", None), ("sigmoid", "hard_sigmoid", "tanh", "relu")
outputs, rng = {}, np.random.default_rng(0)
cases = [("cse", pool, gate, 4, "add") for pool in POOLS for gate in GATES]
cases += [("sse", "avg", gate, 4, "add") for gate in GATES]
cases += [("scse", "avg", "sigmoid", 4, way) for way in ("add", "max", "mul", "concat")]
cases += [(kind, None, "sigmoid", rank, "max") for kind in ("cse", "scse") for rank in (3, 5)]
cases += [("static", "avg", gate, rank, "add") for gate in GATES for rank in (3, 4, 5)]
for kind, pool, gate, rank, aggregate in cases:
    config = keras_se.SEConfig(
        kind, reduction=4, min_channels=1, pool=pool, gate=gate, aggregate=aggregate
    )
    # Sizes that equal numbers of filters: there Keras 3.15's ops.add on TensorFlow takes the bias
    # of a channels_first convolution for one of the last axis.
    x = rng.normal(size=(2, *(4, 16, 4)[: rank - 2], 16)).astype("float32")
    layer = config.layer()
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    name = f"{kind} {pool} {gate} {rank} {aggregate}"
    outputs[name] = keras.ops.convert_to_numpy(layer(x))
    if gate == "sigmoid":
        first = config.layer(data_format="channels_first")
        first.build(np.moveaxis(x, -1, 1).shape)
        first.set_weights(layer.get_weights())
        y = keras.ops.convert_to_numpy(first(np.moveaxis(x, -1, 1)))
        outputs[f"{name} channels_first"] = np.moveaxis(y, 1, -1)
    if kind == "static":
        layer.set_constant_gate(np.linspace(0.1, 0.9, 16))
        outputs[f"{name} set"] = layer.constant_gate()
        scale = keras_se.ChannelScale()
        scale.build(x.shape)
        scale.set_weights([layer.constant_gate()])
        outputs[f"{name} scale"] = keras.ops.convert_to_numpy(scale(x))
report["tensorflow"] = "tensorflow" in sys.modules  # later Keras's own trainer brings it

inputs = keras.Input((6, 6, 8))
x = keras_se.blocks.inverted_residual(inputs, 8, se=keras_se.MOBILE, name="block")
model = keras.Model(inputs, x)
model.set_weights([rng.uniform(0.1, 0.9, w.shape) for w in model.weights])
images = rng.normal(size=(4, 6, 6, 8)).astype("float32")
outputs["block"] = keras.ops.convert_to_numpy(model(images)) / 100
(gate,) = keras_se.gates(model, images).blocks
outputs["constant"] = gate.constant
folded = keras_se.fold(model, {gate.name: gate.constant})
outputs["folded"] = keras.ops.convert_to_numpy(folded(images)) / 100
model.compile(keras.optimizers.SGD(1e-4), "mse")
outputs["loss"] = np.array([float(model.train_on_batch(images, images)) for _ in range(2)]) / 1e4
model.save(sys.argv[1] + ".keras")
again = keras.models.load_model(sys.argv[1] + ".keras")
outputs["saved"] = keras.ops.convert_to_numpy(again(images)) / 100

half = keras_se.SqueezeExcite(dtype="mixed_float16")
half.build((None, 224, 224, 64))
half.set_weights([np.zeros(w.shape) for w in half.weights])
y = keras.ops.convert_to_numpy(half(np.full((1, 224, 224, 64), 1000, "float32")))
outputs["overflow"] = np.float32([y.min(), y.max()])

np.savez(sys.argv[1], **outputs)
print(json.dumps(report))
"""


def _run(backend, path):
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(f"{path}.npz") as outputs:
        return json.loads(done.stdout.splitlines()[-1]), dict(outputs)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("the reference is the tensorflow backend, which is not installed")
    return _run("tensorflow", tmp_path_factory.mktemp("reference") / "outputs")[1]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backend_gives_equal_outputs_and_brings_no_tensorflow(backend, reference, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend}")
    report, outputs = _run(backend, tmp_path / "outputs")
    assert report["backend"] == backend
    assert not report["tensorflow"]
    assert not [name for name in report["imported"] if name.startswith(("tensorflow", "mobile"))]
    assert set(outputs) == set(reference)
    for name, expected in reference.items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5, rtol=1e-5, err_msg=name)


HIDE = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_others(name, *where):
    return None if name in {missing} else find(name, *where)
PathFinder.find_spec = find_others
import {module}
"""


@pytest.mark.parametrize(
    ("chosen", "missing", "advice"),
    [
        (None, ["tensorflow", "jax", "torch"], "Run `pip install tensorflow`, or install jax or"),
        ("numpy", ["scipy"], "Run `pip install scipy`, or set .* KERAS_BACKEND=tensorflow, which"),
        ("openvino", ["openvino"], "Run `pip install openvino`, or set .* KERAS_BACKEND=tens"),
        ("Torch", [], "Torch, when .* Mend KERAS_BACKEND, one of tensorflow, jax and torch"),
        ("torch", ["torch"], "Run `pip install torch`, or set .* KERAS_BACKEND=tensorflow, which"),
        ("jax", ["jax", "tensorflow", "torch"], "Run `pip install jax`, or install jax or torch"),
    ],
)
@pytest.mark.parametrize("module", ["keras_se", "keras_se.config", "mobile; mobile.load"])
def test_no_backend_is_said_in_one_sentence(chosen, missing, advice, module, tmp_path):
    done = _import(HIDE.format(missing=missing, module=module), chosen, tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert re.match(f"ImportError: Keras needs its backend installed.*{advice}", lines[-1])
    assert len(lines) < 12  # where it was imported, and no more


def test_settings_that_keras_refuses_are_said_in_one_sentence(tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float99"}')
    done = _import("import keras_se", None, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: Keras needs") and "floatx=float99, when" in last
    assert "or Keras's file keras.json" in last


def _import(code, chosen, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment |= {"PYTHONPATH": str(ROOT), "KERAS_HOME": str(tmp_path)}
    environment |= {"KERAS_BACKEND": chosen} if chosen else {}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_half_precision_does_not_overflow(reference):
    # Zero weights: sigmoid(0) * 1000, exact in float16.
    assert reference["overflow"].tolist() == [500, 500]
