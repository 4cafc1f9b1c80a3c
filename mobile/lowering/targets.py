"""What each target's integer runtime runs fast: a small table of choices for `lower`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Choices that `lower` makes for one runtime; True keeps the operator as it is.

    Attributes:
        hard_swish: Else `x * relu6(x + 3)`, with the 1/6 moved into the next kernel.
        average_pool: Else a depthwise convolution with a constant kernel.
        lone_relu: A ReLU that no operator before it can take in; else a depthwise 1x1 with ReLU.
        maximum: Maximum and minimum of two tensors; else `b + relu(a - b)`.
        nearest: Nearest-neighbour upsampling; else concatenation and depth-to-space.
        most_concatenated: Inputs that one concatenation may have.
        group_width: Channels that a group of a grouped convolution is to read: narrower groups are
            put together, with zeros where they were apart.
        folded_columns: Neighbouring columns of an image of at most 4 channels that a strided
            convolution reads as one, at most; with 1 it reads them as they are.
        narrow_width: Channels that a 1x1 convolution of at most 16 filters is to read: neighbouring
            columns are read as one up to that.
        mean_by_axis: The squeeze as a mean over rows, then one over columns; else one over both.
    """

    name: str
    hard_swish: bool = False
    average_pool: bool = False
    lone_relu: bool = False
    maximum: bool = False
    nearest: bool = False
    most_concatenated: int = 1_000
    group_width: int = 0
    folded_columns: int = 1
    narrow_width: int = 0
    mean_by_axis: bool = False


# The builtin kernels alone split nothing, so whatever they know is kept.
_KEPT = dict(hard_swish=True, average_pool=True, lone_relu=True, maximum=True)

TARGETS = {
    target.name: target
    for target in (
        # LiteRT with XNNPACK in int8 refuses each of these operators, which splits the partition,
        # and concatenations of more than 5 tensors. A grouped convolution of 128 channels in
        # groups of 4 needs half the instructions in groups of 8 (64-bit Arm), and half the time
        # (x86); of wider groups Arm gains nothing.
        Target("xnnpack", most_concatenated=5, group_width=8),
        # The same on x86 with int8 dot products (VNNI): groups of 16 take 0.46 of the time at
        # 56x56x128 in groups of 4, 0.85 at 28x28x256; two columns of the image 0.9.
        Target("xnnpack-x86", most_concatenated=5, group_width=16, folded_columns=2),
        # The same with AMX, whose tiles few channels do not fill: groups of 64 take 0.12 and 0.24;
        # 8 columns of the image 0.28 (3x3, 16 filters) to 0.6 (7x7, 64). Without a stride the
        # zeros in the kernel cost more than that (3x3, 64 filters: 1.5). A 1x1 convolution of 16
        # channels to 16 at 56x56 takes 0.45 with 8 columns, 32 to 16 at 112x112 0.51 with 4; with
        # 64 filters nothing is gained.
        Target(
            "xnnpack-amx", most_concatenated=5, group_width=64, folded_columns=8, narrow_width=128
        ),
        # LiteRT with XNNPACK in float32: all of the operators are delegated.
        Target("xnnpack-float", most_concatenated=5, group_width=8, **_KEPT),
        # tflite-runtime, or LiteRT without delegate.
        Target("builtin", **_KEPT),
        # Arm Ethos-U: activations are free lookups, MEAN over both axes is a costly convolution.
        Target("ethos-u", mean_by_axis=True, **_KEPT),
        # TensorFlow Lite for Microcontrollers: the pair of h-swish operators needs more arena.
        Target("tflm", **_KEPT),
    )
}


def target_named(name: str | Target) -> Target:
    """Look a target up by name; a `Target` passes through.

    Raises:
        ValueError: There is no such target.
    """
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise ValueError(
            f"`target` must be one of {', '.join(TARGETS)}. Received: target={name!r}. "
            "Pass target='xnnpack' for phones, boards and desktops that run LiteRT."
        )
    return TARGETS[name]
