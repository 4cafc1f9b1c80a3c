"""ShuffleNet with three groups, plain or with SE on each unit's branch.

Zhang et al., 2017, "ShuffleNet", arXiv:1707.01083, table 1, column g = 3.
"""

import dataclasses
from dataclasses import dataclass

from keras_se import blocks
from keras_se.blocks.residual import PLACES
from keras_se.config import PAPER
from keras_se.models.base import (
    Features,
    Network,
    Options,
    Tensor,
    pool_and_classify,
    round_channels,
)

_GROUPS = 3


@dataclass(frozen=True)
class Units:
    """Stage2 to Stage4 of table 1.

    Args:
        out: Output channels.
        repeat: Units, the first of which has stride 2.
        first_groups: Groups of the first pointwise convolution.
        se: Whether the branch of each unit is rescaled.
    """

    out: int
    repeat: int
    first_groups: int = _GROUPS
    se: bool = False


ROWS = (
    # out, 1 + n
    Units(240, 1 + 3, first_groups=1),  # its input of 24 channels is too few to group
    Units(480, 1 + 7),
    Units(960, 1 + 3),
)


def body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem of 24 channels, pooling, three stages."""

    def channels(n):
        return round_channels(n * options.width, 4 * _GROUPS)

    padding = options.settings["padding"]
    x = blocks.conv_bn(x, channels(24), 3, 2, padding=padding, name="conv1")
    features = {2: x}
    x = blocks.pool(x, name="pool1")
    for index, (row, row_se) in enumerate(zip(network.rows, options.se, strict=True), start=2):
        for repeat, se in enumerate(row_se):
            x = blocks.shuffle_unit(
                x,
                channels(row.out),
                strides=1 if repeat else 2,
                groups=_GROUPS,
                first_groups=_GROUPS if repeat else row.first_groups,
                se=se,
                padding=padding,
                name=f"stage{index}_unit{repeat + 1}",
            )
        features[2 ** (index + 1)] = x
    return x, features


_PLAIN = Network(
    name="shufflenet_v1",
    source="arXiv:1707.01083, table 1, g = 3",
    rows=ROWS,
    body=body,
    head=pool_and_classify,
    places=PLACES,
    settings={"padding": "same"},
)

NETWORKS = (
    _PLAIN,
    dataclasses.replace(
        _PLAIN,
        name="se_shufflenet_v1",
        source="arXiv:1709.01507, table 3",
        rows=tuple(dataclasses.replace(row, se=True) for row in ROWS),
        se=PAPER,
    ),
)
