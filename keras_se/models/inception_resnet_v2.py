"""Inception-ResNet-v2, plain or with SE on each module's branch.

Szegedy et al., 2016, arXiv:1602.07261, in the sizes of the authors' code, which
`keras.applications` has too: 10, 20 and 10 residual modules, where the paper draws 5, 10 and 5
wider ones.
"""

import dataclasses
from dataclasses import dataclass

import keras

from keras_se import blocks
from keras_se.config import PAPER
from keras_se.models.base import (
    Features,
    Network,
    Options,
    Tensor,
    pool_and_classify,
    round_channels,
)


@dataclass(frozen=True)
class Step:
    """One convolution, or a pooling where `out` is 0.

    Args:
        out: Channels.
        kernel: Side of the kernel, or a pair.
        stride: Stride; 2 goes without padding.
        padding: `"same"` or `"valid"`.
        pool: Kind of the pooling.
    """

    out: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    padding: str = "same"
    pool: str | None = None


@dataclass(frozen=True)
class Module:
    """One row of figures 15 to 19: branches, concatenated or added to the input.

    Args:
        name: The code's name of the module.
        branches: Steps of each branch.
        repeat: How often.
        scale: What the branches are multiplied by before they are added; 0 for no sum.
        activation: After the sum.
        se: Whether the module is rescaled, before a sum.
    """

    name: str
    branches: tuple[tuple[Step, ...], ...]
    repeat: int = 1
    scale: float = 0.0
    activation: str | None = "relu"
    se: bool = False


_POOL = (Step(0, 3, 2, "valid", "max"),)

STEM = (
    Step(32, 3, 2, "valid"),
    Step(32, 3, 1, "valid"),
    Step(64, 3),
    *_POOL,
    Step(80, 1, 1, "valid"),
    Step(192, 3, 1, "valid"),
    *_POOL,
)

ROWS = (
    Module(
        "mixed_5b",
        (
            (Step(96),),
            (Step(48), Step(64, 5)),
            (Step(64), Step(96, 3), Step(96, 3)),
            (Step(0, 3, 1, "same", "avg"), Step(64)),
        ),
    ),
    Module(
        "block35",
        ((Step(32),), (Step(32), Step(32, 3)), (Step(32), Step(48, 3), Step(64, 3))),
        repeat=10,
        scale=0.17,
    ),
    Module(
        "mixed_6a",
        (
            (Step(384, 3, 2, "valid"),),
            (Step(256), Step(256, 3), Step(384, 3, 2, "valid")),
            _POOL,
        ),
    ),
    Module(
        "block17",
        ((Step(192),), (Step(128), Step(160, (1, 7)), Step(192, (7, 1)))),
        repeat=20,
        scale=0.1,
    ),
    Module(
        "mixed_7a",
        (
            (Step(256), Step(384, 3, 2, "valid")),
            (Step(256), Step(288, 3, 2, "valid")),
            (Step(256), Step(288, 3), Step(320, 3, 2, "valid")),
            _POOL,
        ),
    ),
    Module(
        "block8",
        ((Step(192),), (Step(192), Step(224, (1, 3)), Step(256, (3, 1)))),
        repeat=9,
        scale=0.2,
    ),
    Module(
        "block8_last",
        ((Step(192),), (Step(192), Step(224, (1, 3)), Step(256, (3, 1)))),
        scale=1.0,
        activation=None,
    ),
)


def body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem, modules, last convolution of 1536 channels."""
    features, stride = {}, 1
    for index, step in enumerate(STEM, start=1):
        if step.stride == 2:
            features[stride], stride = x, stride * 2
        x = _apply(step, options, x, f"stem_{index}")
    for row, row_se in zip(network.rows, options.se, strict=True):
        if not row.scale and row.branches[-1] == _POOL:
            features[stride], stride = x, stride * 2
        for repeat, se in enumerate(row_se, start=1):
            name = row.name if row.repeat == 1 else f"{row.name}_{repeat}"
            x = _module(row, options, x, se, name)
    out = round_channels(1536 * options.width)
    features[stride] = x = blocks.conv_bn(x, out, name="conv_7b")
    features.pop(1, None)
    return x, features


def _module(row, options, x, se, name):
    ends = []
    for i, steps in enumerate(row.branches, start=1):
        y = x
        for j, step in enumerate(steps, start=1):
            y = _apply(step, options, y, f"{name}_{i}_{j}")
        ends.append(y)
    y = keras.layers.Concatenate(name=f"{name}_concat")(ends)
    if not row.scale:
        return blocks.squeeze_excite(y, se, name=f"{name}_se")
    y = blocks.conv_bn(y, x.shape[-1], activation=None, use_bias=True, batch_norm=False, name=name)
    y = blocks.squeeze_excite(y, se, name=f"{name}_se")
    if row.scale != 1:
        y = keras.layers.Rescaling(row.scale, name=f"{name}_scale")(y)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    if row.activation is None:
        return x
    return keras.layers.Activation(row.activation, name=f"{name}_out")(x)


def _apply(step, options, x, name):
    if step.pool:
        return blocks.pool(
            x, step.kernel, step.stride, kind=step.pool, padding=step.padding, name=name
        )
    out = round_channels(step.out * options.width)
    return blocks.conv_bn(x, out, step.kernel, step.stride, padding=step.padding, name=name)


def creation_order(network: Network) -> list[str]:
    """Name the convolutions that `keras.applications` only numbers, in its order."""
    names = [f"stem_{index}" for index, step in enumerate(STEM, start=1) if step.out]
    for row in network.rows:
        for repeat in range(1, row.repeat + 1):
            name = row.name if row.repeat == 1 else f"{row.name}_{repeat}"
            for i, steps in enumerate(row.branches, start=1):
                names += [f"{name}_{i}_{j}" for j, step in enumerate(steps, start=1) if step.out]
    return names


_PLAIN = Network(
    name="inception_resnet_v2",
    source="arXiv:1602.07261, figures 15 to 19, and github.com/tensorflow/models",
    rows=ROWS,
    body=body,
    head=pool_and_classify,
    input_shape=(299, 299, 3),
    dropout=0.2,
)

NETWORKS = (
    _PLAIN,
    dataclasses.replace(
        _PLAIN,
        name="se_inception_resnet_v2",
        source="arXiv:1709.01507, table 2",
        rows=tuple(dataclasses.replace(row, se=True) for row in ROWS),
        se=PAPER,
    ),
)
