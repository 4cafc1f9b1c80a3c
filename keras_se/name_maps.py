"""Translate the layer names of keras.applications into ours, and check what names do not tell.

| where | theirs | ours |
|---|---|---|
| keras MobileNetV3, V2 | `expanded_conv_3_expand`, `_depthwise`, `_project` (V2: `block_3_...`) | `block_3_1_conv`, `_2_dwconv`, `_3_conv` |
| keras MobileNetV3 | `expanded_conv_3_squeeze_excite_conv`, `..._conv_1` | `block_3_se/reduce`, `/expand` |
| keras EfficientNet | `block2a_expand_conv`, `_dwconv`, `_project_conv`, `_se_reduce` | `block2a_1_conv`, `_2_dwconv`, `_3_conv`, `_se/reduce` |
| keras MobileNet | `conv_dw_3`, `conv_pw_3` | `block_3_1_dwconv`, `block_3_2_conv` |
| keras ResNet | `conv2_block1_0_conv` | `conv2_block1_shortcut_conv` |
| keras VGG16 | `block1_conv2` | `block1_2_conv` |
| keras InceptionResNetV2 | `conv2d_N`, by number | `creation_order` of our network |

Names do not tell strides, padding and SE's functions: these are compared with the model.
"""  # noqa: E501

import re
from collections.abc import Iterable
from typing import Any

import keras

from keras_se.graph import trace
from keras_se.layers import SqueezeExcite

_KERAS = (
    # MobileNetV3 and V2
    (r"expanded_conv_(expand|depthwise|project|squeeze)(.*)", r"expanded_conv_0_\1\2"),
    (r"(?:expanded_conv|block)_(\d+)_expand", r"block_\1_1_conv"),
    (r"(?:expanded_conv|block)_(\d+)_expand_(?:bn|BN)", r"block_\1_1_bn"),
    (r"(?:expanded_conv|block)_(\d+)_depthwise", r"block_\1_2_dwconv"),
    (r"(?:expanded_conv|block)_(\d+)_depthwise_(?:bn|BN)", r"block_\1_2_bn"),
    (r"(?:expanded_conv|block)_(\d+)_project", r"block_\1_3_conv"),
    (r"(?:expanded_conv|block)_(\d+)_project_(?:bn|BN)", r"block_\1_3_bn"),
    (r"expanded_conv_(\d+)_squeeze_excite_conv", r"block_\1_se/reduce"),
    (r"expanded_conv_(\d+)_squeeze_excite_conv_1", r"block_\1_se/expand"),
    (r"(conv|conv_1)", r"\1_conv"),
    (r"Conv1", "stem_conv"),
    (r"bn_Conv1", "stem_bn"),
    (r"Conv_1(_bn)?", lambda m: "top_bn" if m[1] else "top_conv"),
    # EfficientNet
    (r"(block\d+[a-z])_expand_(conv|bn)", r"\1_1_\2"),
    (r"(block\d+[a-z])_dwconv", r"\1_2_dwconv"),
    (r"(block\d+[a-z])_bn", r"\1_2_bn"),
    (r"(block\d+[a-z])_project_(conv|bn)", r"\1_3_\2"),
    (r"(block\d+[a-z])_se_(reduce|expand)", r"\1_se/\2"),
    # MobileNet
    (r"conv1(_bn)?", lambda m: "conv_bn" if m[1] else "conv_conv"),
    (r"conv_dw_(\d+)(_bn)?", lambda m: f"block_{m[1]}_1_{'bn' if m[2] else 'dwconv'}"),
    (r"conv_pw_(\d+)(_bn)?", lambda m: f"block_{m[1]}_2_{'bn' if m[2] else 'conv'}"),
    (r"conv_preds", "logits"),
    # ResNet, VGG, Inception-ResNet-v2
    (r"(conv\d_block\d+)_0_(conv|bn)", r"\1_shortcut_\2"),
    (r"(block\d+)_conv(\d+)", r"\1_\2_conv"),
    (r"conv_7b", "conv_7b_conv"),
    (r"block8_10_conv", "block8_last_conv"),
)


def from_keras(name: str) -> list[str]:
    """List what a layer of keras.applications may be called here.

    >>> from_keras("expanded_conv_3_squeeze_excite_conv")
    ['block_3_se/reduce']
    """
    found, names = [], [name]
    while names:
        current = names.pop(0)
        for pattern, replacement in _KERAS:
            match = re.fullmatch(pattern, current)
            if match:
                ours = replacement(match) if callable(replacement) else match.expand(replacement)
                (names if pattern == _KERAS[0][0] else found).append(ours)
    return found


def number_inception(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Map the numbered layers of keras.applications.InceptionResNetV2 to ours, in order."""
    if "mixed_5b_1_1_conv" not in wanted:
        return {}
    from keras_se.models import find
    from keras_se.models.inception_resnet_v2 import creation_order

    ours = creation_order(find("inception_resnet_v2"))
    mapped = {}
    for theirs, part in (("conv2d", "conv"), ("batch_normalization", "bn")):
        numbered = [name for name in names if re.fullmatch(rf"{theirs}(_\d+)?", name)]
        numbered.sort(key=lambda name: int(f"0{name.removeprefix(theirs).strip('_')}"))
        mapped |= dict(zip(numbered, (f"{name}_{part}" for name in ours), strict=False))
    return mapped


def check_keras(
    model: keras.Model, names: Iterable[str], entries: Iterable[str], origin: str, transfer: bool
) -> None:
    """Raise unless `model` computes what weights under names of keras.applications are for.

    Args:
        model: The model they are for.
        names: Those of their names that are not ours.
        entries: The arrays' names, in ours.
        origin: Where they come from, for errors.
        transfer: Whether the model's SE may compute something else.
    """
    names = list(names)
    if any(re.fullmatch(r"conv\d_block\d+_0_conv", name) for name in names):
        check_resnet(model, origin, True, "symmetric")
    elif names and any(layer.name in _STEMS for layer in model.layers):
        check_setting(model, origin, "padding", padding_of(model), "same")
    hard = any("squeeze_excite" in name for name in names)
    if not transfer and (hard or any("_se_reduce" in name for name in names)):
        wants = ("relu", "hard_sigmoid") if hard else ("silu", "sigmoid")
        check_excitation(model, entries, origin, wants)


_STEMS = ("conv_conv", "stem_conv")  # of the MobileNets and EfficientNets


def padding_of(model: keras.Model) -> str:
    """Say how a MobileNet or EfficientNet pads: `"same"` or `"symmetric"`."""
    strided = [layer for layer in model.layers if layer.name in _STEMS]
    return "symmetric" if strided and strided[0].padding == "valid" else "same"


def check_resnet(model: keras.Model, origin: str, in_first: bool, pool: str) -> None:
    """Raise unless a ResNet strides (in the first convolution of a bottleneck?) and pools so."""
    ours: dict[str, Any] = {layer.name: layer for layer in model.layers}
    first, third = ours.get("conv3_block1_1_conv"), ours.get("conv3_block1_3_conv")
    if first is not None and third is not None:  # a bottleneck
        has = "1x1" if first.strides[0] == 2 else "3x3"
        check_setting(model, origin, "stride_in", has, "1x1" if in_first else "3x3")
    if "pool1_pad" in ours:
        even = ours["pool1_pad"].padding == ((1, 1), (1, 1))
        check_setting(model, origin, "pool", "symmetric" if even else "end", pool)


def check_setting(model: keras.Model, origin: str, setting: str, has: str, wants: str) -> None:
    """Raise where weights would fit either way, but compute something else."""
    if has != wants:
        raise ValueError(
            f"The model must stride and pad as the weights were trained. Received: "
            f"{setting}={has!r} in model {model.name!r} for {origin}, trained with {wants!r}. "
            f"Build it with keras_se.models.build(..., {setting}={wants!r})."
        )


def check_excitation(
    model: keras.Model, entries: Iterable[str], origin: str, wants: tuple[str, str]
) -> None:
    """Raise unless SE layers that get weights stand and compute as where these were trained.

    Args:
        model: The model they are for.
        entries: The arrays' names, in ours.
        origin: Where they come from, for errors.
        wants: Activation and gate.
    """
    given = set(entries)
    for call in trace(model).nodes:
        layer = call.operation
        if not isinstance(layer, SqueezeExcite) or f"{call.path}/reduce/kernel" not in given:
            continue
        same = all(
            keras.activations.get(has) is keras.activations.get(name)
            for has, name in zip((layer.activation, layer.gate), wants, strict=True)
        )
        before = call.inputs[0].name.removeprefix(call.path.removesuffix("_se"))
        if not same or layer.pool != "avg" or not re.fullmatch(r"_[23]_(bn|act)", before):
            raise ValueError(
                f"SE must stand and compute as where the weights were trained: "
                f"activation={wants[0]!r}, gate={wants[1]!r}, pool='avg', placement='standard'. "
                f"Received: activation={layer.activation!r}, gate={layer.gate!r}, "
                f"pool={layer.pool!r}, behind {call.inputs[0].name!r}, in layer {call.path!r} for "
                f"{origin}. Build the model with the weights' own SE, or pass transfer=True."
            )
