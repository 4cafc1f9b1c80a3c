"""What the gated blocks of a network cost on a device, each beside its neighbours alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_se.gated_blocks import find_gated_blocks
from keras_se.rebuild import rebuild
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.timings import Timings
from mobile.conversion.converter import convert
from mobile.conversion.quiet import quiet

_WITHOUT = " without"
_IMAGES = 16  # whose tensors the ranges are from


def block_times(
    model: keras.Model,
    images: np.ndarray,
    device: str = "local",
    target: str = "xnnpack",
    **timing: Any,
) -> tuple[dict[str, float], Timings]:
    """Time the gated blocks of a network in int8 on a device.

    Each block stands between a depthwise and a 1x1 convolution of its channels, and is timed
    beside these two alone, on the tensors that it has in the network, all in one interleaved run.

    Args:
        model: A functional model.
        images: Some images as it takes them.
        device: As in `mobile.benchmark`.
        target: What the networks are lowered for.
        **timing: As in `mobile.benchmark`: `runs`, `threads`, `python` and others.

    Returns:
        Microseconds by the name of the block, of those whose gate can become a constant, and the
        times they are from: of each block, and as "NAME without" of its neighbours alone.

    Raises:
        RuntimeError: A block or its neighbours gave no times.
    """
    artifacts = {}
    with quiet():  # about the small networks, which are none of the user's
        for name, block, seen in _blocks(model, images[:_IMAGES]):
            for suffix, body in (("", block), (_WITHOUT, lambda x: x)):
                part = _between_convolutions(body, seen)
                artifacts[name + suffix] = convert(
                    part, calibration=seen, target=target, correction=False
                )
    timings: Any = benchmark(artifacts, device=device, **timing)
    medians = {m.name: 1000 * m.median_ms for m in timings.models}
    names = [name for name in artifacts if not name.endswith(_WITHOUT)]
    missing = [n for n in names if not {n, n + _WITHOUT} <= medians.keys()]
    if missing:
        reason = next((f.message for f in timings.failures if f.name in artifacts), "no times")
        raise RuntimeError(
            f"Every block must run on the device. {missing[0]!r} and {len(missing) - 1} others "
            f"gave no times on {device!r}: {reason} Choose by='elements', which needs no device."
        )
    return {name: medians[name] - medians[name + _WITHOUT] for name in names}, timings


def _blocks(model, images):
    """Name, block as a model, and the tensors it has in the network, of each that can be folded."""
    found = find_gated_blocks(model)
    wanted = [block for block in found.blocks if block.reason is None]
    parts, seen = {}, {}

    def taken(block):
        def call(copy, *args, **kwargs):
            tensors = [t for t in keras.tree.flatten((args, kwargs)) if hasattr(t, "shape")]
            y = copy(*args, **kwargs)
            parts[block.name] = keras.Model(tensors[block.argument], y)
            return y

        return call

    copy = rebuild(model, calls={block.place: taken(block) for block in wanted})
    first = {gate: (b.name, x) for b in wanted for x, gate in b.sites[:1]}
    batch = [keras.ops.convert_to_tensor(images, dtype=model.inputs[0].dtype)]
    for node, values in found.graph.run(batch):
        for ref in first.keys() & set(node.outputs):
            name, x = first[ref]
            seen[name] = np.asarray(keras.ops.convert_to_numpy(values[x]), "float32")
    del copy  # whose layers the parts are made of
    return [(block.name, parts[block.name], seen[block.name]) for block in wanted]


def _between_convolutions(body, seen):
    """A network of an image as `seen`, which comes to `body` nearly as it is."""
    image = keras.Input(seen.shape[1:], name="image")
    before = keras.layers.DepthwiseConv2D(3, padding="same", name="before")
    y = body(before(image))
    model = keras.Model(image, keras.layers.Conv2D(8, 1, name="behind")(y))
    kernel = np.zeros((3, 3, seen.shape[-1], 1))
    kernel[1, 1] = 1
    bias = np.random.default_rng(0).normal(0, 0.01 * seen.std(), seen.shape[-1])
    before.set_weights([kernel, bias])
    return model
