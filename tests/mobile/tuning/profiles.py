"""A profile written by hand, whose figures are round."""

import dataclasses

from keras_se import MOBILENET_V3, SEConfig, models
from mobile.benchmarking.timings import Conditions
from mobile.tuning.block_costs import BlockCosts, Check, Cost
from mobile.tuning.se_profile import Profile

CSE = {place: dataclasses.replace(MOBILENET_V3, placement=place)
       for place in ("expanded", "projected")}  # fmt: skip
STATIC = SEConfig(kind="static", placement="expanded")

CONDITIONS = Conditions(
    device="local", machine="x86_64", cpu="Toy 1", runtime="toy", runtime_version="1.0",
    threads=1, runs=100, warmups=20,
)  # fmt: skip


def by_hand(checks=(), network="mobilenet_v3_small", **changes):
    """Block i of MobileNetV3-Small costs (i + 1) % expanded, half of that projected; 2 ms in all.

    Block 5 has no expanded one: the device refused it.
    """
    blocks = []
    for i, place in enumerate(models.places(network)):
        share = (i + 1) / 100
        costs = [
            Cost(CSE["expanded"].to_dict(), share, share - 0.001, share + 0.001),
            Cost(CSE["projected"].to_dict(), share / 2, share / 2, share / 2),
            Cost(STATIC.to_dict(), 0.0, 0.0, 0.0, free=True),
        ]
        if i == 5:
            costs[0] = Cost(CSE["expanded"].to_dict(), None, reason="out of memory.")
        blocks.append(
            BlockCosts(place.row, place.block, f"block_{i}", (56, 56, 16), "abc", 2.0, 0.1,
                       (-0.001, 0.001), tuple(costs))
        )  # fmt: skip
    made = {"conditions": CONDITIONS, "blocks": tuple(blocks), "checks": tuple(checks)}
    return Profile(network, (224, 224, 3), "xnnpack", **made | changes)


def chosen(**by_block):
    """SE in the blocks named, such as b3=CSE["expanded"]."""
    return [by_block.get(f"b{i}") for i in range(11)]


def configuration(*blocks, se):
    return tuple((se.to_dict() if i in blocks else None,) for i in range(11))


def check(predicted, measured, noise=0.0, blocks=(0,), se=CSE["expanded"]):
    return Check(configuration(*blocks, se=se), predicted, measured, measured, measured, noise)
