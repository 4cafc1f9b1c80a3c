"""What the tests of networks and weights share."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_se import models


@pytest.fixture
def randomize():
    """Give every weight, batch statistics included, a value that keeps signals near 1 in size."""

    def assign(model, seed=0):
        rng = np.random.default_rng(seed)
        for w in model.weights:
            if w.path.endswith("kernel"):
                fan_in = np.prod(w.shape[:-1]) if w.shape[-1] > 1 else np.prod(w.shape[:2])
                w.assign(rng.normal(0, fan_in**-0.5, w.shape))
            elif w.path.endswith(("variance", "gamma")):
                w.assign(rng.uniform(0.5, 1.5, w.shape))
            else:
                w.assign(rng.normal(0, 0.3, w.shape))
        return model

    return assign


@pytest.fixture
def write_safetensors():
    """Write the format by its specification (huggingface.co/docs/safetensors)."""

    def write(path, arrays):
        header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
        for name, array in arrays.items():
            blob = np.ascontiguousarray(array, "<f4").tobytes()
            span = [offset, offset + len(blob)]
            header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": span}
            blobs.append(blob)
            offset += len(blob)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))

    return write


@pytest.fixture
def shared_data():
    """The real images and weights beside the repository; a copy of the project has none."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real images and weights at ../shared/data")
    return folder


@pytest.fixture
def build_v3(randomize):
    """Return a function that builds a small V3 with random weights, batch statistics included."""

    def make(seed=0, **kwargs):
        arguments = {"input_shape": (32, 32, 3), "classes": 5, "width": 0.5} | kwargs
        return randomize(models.build("mobilenet_v3_small", **arguments), seed)

    return make
