"""Lowering: an equal model of the operators that integer runtimes keep in one delegated piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mobile.lowering.targets import Target, target_named

if TYPE_CHECKING:
    import keras  # inside `lower` when it runs: --help reads the targets without

__all__ = ["lower"]


def lower(model: keras.Model, target: str | Target = "xnnpack") -> keras.Model:
    """Rewrite a model as an equal one that the target's integer runtime runs in one piece.

    BatchNorm is folded; `hard_swish` becomes an addition with a fused ReLU6 and a multiplication,
    its 1/6 moved into the next kernel; a hard-sigmoid gate becomes a convolution with a fused
    ReLU6; dense layers become 1x1 convolutions; average pooling, lone ReLUs, maxima and nearest
    upsampling become exact equals that the target delegates. Constants are gathered in float64
    and weights are float32. The given model is not changed and shares no weights with the result.

    Args:
        model: A functional or sequential Keras model of images, `channels_last`. Nested models
            are flattened; layers without a rule are opened by reading their `call`.
        target: `xnnpack` (LiteRT on phones, boards, desktops), `xnnpack-x86` and `xnnpack-amx`
            (the same, tuned for x86 without and with AMX), `xnnpack-float` (float32), `builtin`
            (tflite-runtime, which has no int8 delegate), `ethos-u` or `tflm`.

    Returns:
        A functional `keras.Model` with the same inputs and outputs, for inference: layers that
        act in training only are gone. All of them are float32, whole numbers such as uint8 too.

    Raises:
        TypeError: The model is not functional, or a layer can be neither lowered nor read.
        ValueError: The target is unknown, or a layer has a setting without an exact equal.
    """
    from mobile.lowering import rules  # noqa: F401  fills the registry
    from mobile.lowering.walk import Lowering

    return Lowering(target_named(target)).run(model)
