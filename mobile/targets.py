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
        mean_by_axis: The squeeze as a mean over rows, then one over columns; else one over both.
    """

    name: str
    hard_swish: bool = False
    average_pool: bool = False
    lone_relu: bool = False
    maximum: bool = False
    nearest: bool = False
    most_concatenated: int = 1_000
    mean_by_axis: bool = False


TARGETS = {
    target.name: target
    for target in (
        # LiteRT with XNNPACK in int8: refuses each of these operators, which splits the partition.
        Target("xnnpack", most_concatenated=5),
        # LiteRT with XNNPACK in float32: all of them are delegated.
        Target(
            "xnnpack-float",
            hard_swish=True,
            average_pool=True,
            lone_relu=True,
            maximum=True,
            most_concatenated=5,
        ),
        # The builtin kernels alone (tflite-runtime has no int8 delegate): nothing to split.
        Target("builtin", hard_swish=True, average_pool=True, lone_relu=True, maximum=True),
        # Arm Ethos-U: activations are free lookups, MEAN over both axes is a costly convolution.
        Target(
            "ethos-u",
            hard_swish=True,
            average_pool=True,
            lone_relu=True,
            maximum=True,
            mean_by_axis=True,
        ),
        # TensorFlow Lite for Microcontrollers: the pair of h-swish operators needs more arena.
        Target("tflm", hard_swish=True, average_pool=True, lone_relu=True, maximum=True),
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
