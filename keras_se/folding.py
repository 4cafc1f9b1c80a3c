"""Fold gates: in a trained model, put a constant for each channel in the place of a gate."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from keras_se.gated_blocks import GatedBlock, find_gated_blocks
from keras_se.layers import ChannelScale
from keras_se.rebuild import rebuild


def fold(model: keras.Model, constants: Mapping[str, np.ndarray]) -> keras.Model:
    """Copy a model with constants in the place of gates.

        y = x * gate(x)   becomes   y = x * constant

    The layers that made the gate are gone; a `ChannelScale` of the name of the multiplication
    stands there. Where the layer that multiplies is called elsewhere too, it is named after the
    block instead. All else is as it was, see `keras_se.rebuild.rebuild`.

    Args:
        model: A functional or sequential model. It is not changed.
        constants: Name of a gated block, as `keras_se.gates` lists them, to a value for each of
            its channels.

    Returns:
        A functional model that shares no weights with `model`.

    Raises:
        ValueError: There is no such block, its gate cannot become a constant, or the constants
            have another shape.

    Example:

    >>> import keras_se
    >>> image = keras.Input((8, 8, 16))
    >>> model = keras.Model(image, keras_se.SqueezeExcite(name="se")(image))
    >>> [type(layer).__name__ for layer in fold(model, {"se": np.full(16, 0.5)}).layers]
    ['InputLayer', 'ChannelScale']
    """
    blocks = {block.name: block for block in find_gated_blocks(model).blocks}
    calls = {}
    for name, scale in constants.items():
        if name not in blocks:
            raise ValueError(
                f"`constants` must name gated blocks of the model. Received: {name!r} for model "
                f"{model.name!r}. Known are {', '.join(blocks) or 'none'}."
            )
        block = blocks[name]
        if block.reason:
            raise ValueError(
                f"The gate of a block must be able to become a constant for each channel. "
                f"Received: {name!r} of model {model.name!r}, but {block.reason}. Leave it out."
            )
        check_constants(block, scale)
        calls[block.place] = _scaling(block, scale)
    return rebuild(model, calls=calls)


def check_constants(block: GatedBlock, scale: np.ndarray) -> None:
    """Raise unless `scale` is one finite number for each channel of a gated block."""
    channels = block.sites[0][0].shape[block.axis]
    scale = np.asarray(scale)
    if scale.shape != (channels,) or not np.isfinite(scale).all():
        held = "" if np.isfinite(scale).all() else ", not all finite"
        raise ValueError(
            f"The constants of a block must be one finite number for each of its channels. "
            f"Received: shape {scale.shape}{held} for the {channels} channels of {block.name!r}. "
            f"Take them from keras_se.gates(model, images)."
        )


def _scaling(block, scale):
    """What stands in the place of the block's multiplication."""
    first = block.axis == 1 and len(block.sites[0][0].shape) > 2

    def call(copy, *args, **kwargs):
        tensors = [t for t in keras.tree.flatten((args, kwargs)) if hasattr(t, "shape")]
        x = tensors[block.argument]
        layer = ChannelScale(
            data_format="channels_first" if first else "channels_last",
            dtype=getattr(copy, "dtype_policy", None) or x.dtype,
            name=f"{block.name.replace('/', '_')}_scale" if block.shared else copy.name,
        )
        y = layer(x)
        layer.set_weights([np.asarray(scale)])
        return y

    return call
