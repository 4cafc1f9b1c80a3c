"""Translate state dicts of torchvision and timm into our names and layouts.

| where | theirs | ours |
|---|---|---|
| torchvision, timm ResNets | `layer1.0.conv2`, `.downsample.0`, `.se.fc1` | `conv2_block1_2_conv`, `_shortcut_conv`, `_se/reduce` |
| timm `legacy_se*` | `layer0.conv1`, `layer1.0.se_module.fc1`, `last_linear` | `conv1_conv`, `conv2_block1_se/reduce`, `predictions` |
| torchvision MobileNetV3 | `features.4.block.0.0`, `.block.2.fc1`, `classifier.0` | `block_3_1_conv`, `block_3_se/reduce`, `conv_2` |
| timm mobilenetv3 | `blocks.2.0.conv_pw`, `.conv_dw`, `.conv_pwl`, `.se.conv_reduce` | `block_3_1_conv`, `_2_dwconv`, `_3_conv`, `_se/reduce` |

PyTorch's kernels are transposed: `(out, in, height, width)` to `(height, width, in, out)`, depthwise
`(channels, 1, height, width)` to `(height, width, channels, 1)`, dense `(out, in)` to `(in, out)`.
BatchNorm's gamma is rescaled where the epsilons differ. What names do not tell, such as strides and
padding, is compared with the model; where names fit several networks, `source` must say which.
"""  # noqa: E501

import re

import keras
import numpy as np

from keras_se.checks import choices
from keras_se.name_maps import check_excitation, check_resnet, check_setting, padding_of

SOURCES = (
    *(f"{se}resnet{depth}" for se in ("", "se") for depth in (18, 34, 50, 101, 152)),
    *(f"{se}resnext{depth}_32x4d" for se in ("", "se") for depth in (50, 101)),
    *(f"legacy_seresnet{depth}" for depth in (50, 101, 152)),
    *(f"legacy_seresnext{depth}_32x4d" for depth in (50, 101)),
    "legacy_senet154",
    *(f"mobilenet_v3_{size}" for size in ("small", "large")),  # torchvision's; below timm's
    *(f"mobilenetv3_small_{width}" for width in ("050", "075", "100")),
    *(f"mobilenetv3_large_{width}" for width in ("075", "100")),
    *(f"tf_mobilenetv3_{s}_{w}" for s in ("small", "large") for w in ("075", "100", "minimal_100")),
)
"""The networks of timm and torchvision whose state dicts are known, by their names there."""


def rename(
    state: dict[str, np.ndarray],
    model: keras.Model,
    origin: str,
    source: str | None = None,
    transfer: bool = False,
) -> dict[str, np.ndarray]:
    """Turn a PyTorch state dict into arrays named and laid out as in `model`.

    Args:
        state: Arrays by the names of PyTorch.
        model: The model they are for.
        origin: Where they come from, for errors.
        source: Which of `SOURCES` they were trained in; needed where their names fit several.
        transfer: Whether the model's SE may compute something else than theirs.

    Raises:
        ValueError: The names are not known, or the model computes something else.
    """
    state = {key: np.asarray(a) for key, a in state.items() if "num_batches_tracked" not in key}
    layers = sorted({key.rpartition(".")[0] for key in state})
    dialect = _dialect(layers, state, origin, source)
    reader, gate, epsilon = _DIALECTS[dialect]
    names = reader(layers, model, origin, dialect)
    entries = {}
    for key, array in state.items():
        layer, _, role = key.rpartition(".")
        name = names.get(layer, layer)
        normalizes = f"{layer}.running_var" in state
        if role == "weight" and not normalizes:
            entries[f"{name}/kernel"] = _transpose(array, name)
        else:
            entries[f"{name}/{_BN_ROLES[role] if normalizes else role}"] = array
    if not transfer:
        check_excitation(model, entries, origin, ("relu", gate))
    _match_epsilon(entries, model, epsilon)
    return entries


def _dialect(layers, state, origin, source):
    """Say whose names these are; `source` decides where several networks have them."""
    found = _dialects(layers)
    told = ", ".join(layers[:5])
    if not found:
        raise ValueError(
            f"A PyTorch state dict must have the names of a network in "
            f"keras_se.state_dicts.SOURCES: ResNet, SE-ResNet, ResNeXt, SENet-154, MobileNetV3. "
            f"Received: {origin} with {told}, ... Rename its entries to LAYER/kernel."
        )
    if found == ["legacy"] and "layer1.0.conv3" not in layers:
        raise ValueError(
            f"Weights must be of a network that has an equal here. Received: {origin}, which are "
            f"timm's legacy_seresnet18 or legacy_seresnet34: their blocks have one ReLU more, "
            f"before SE. Take the weights of timm's seresnet18 or seresnet34."
        )
    if source is not None and source not in SOURCES:
        raise ValueError(
            f"`source` must be a network of timm or torchvision that has an equal here. Received: "
            f"source={source!r} for {origin}. {choices(source, SOURCES)} Weights that were trained "
            f"in {source!r} itself would compute something else here."
        )
    if source is not None and _dialect_of(source) not in found:
        raise ValueError(
            f"`source` must be the network that the weights were trained in. Received: "
            f"source={source!r} for {origin}, whose entries have other names: {told}, ... "
            f"Leave `source` out, or name another."
        )
    twins = _twins(layers, state, found)
    if source is None and twins:
        raise ValueError(
            f"`source` must say which network the weights were trained in, because the names of "
            f"their entries fit several: {twins}. Received: {origin} with source=None. "
            f"Pass source=..., the network's name in timm or torchvision."
        )
    return found[0] if source is None else _dialect_of(source)


def _dialects(layers):
    """List the dialects that have such names."""
    if "features.0.0" in layers and "features.1.block.0.0" in layers:
        return ["torchvision"]
    if "conv_stem" in layers and "conv_head" in layers:
        return ["timm", "tf"]
    if "layer0.conv1" in layers:
        return ["legacy"]
    return ["resnet"] if "layer1.0.conv1" in layers else []


def _dialect_of(source):
    if source.startswith("mobilenet_v3"):
        return "torchvision"
    if "mobilenetv3" in source:
        return "tf" if source.startswith("tf_") else "timm"
    return "legacy" if source.startswith("legacy_") else "resnet"


def _twins(layers, state, found):
    """Networks with the same names that compute something else."""
    if found == ["timm", "tf"]:
        return (
            "timm's 'mobilenetv3_small_100' and the like pad symmetrically, its "
            "'tf_mobilenetv3_small_100' and the like as TensorFlow does"
        )
    plain = found == ["resnet"] and "layer1.0.se.fc1" not in layers
    kernel = state.get("layer1.0.conv2.weight", np.zeros((1, 1)))
    if plain and kernel.shape[0] == kernel.shape[1]:  # without groups
        return (
            "'resnet50' and the like, and timm's resnetaa50 and resnetblur50, which smooth before "
            "they stride and have no equal here"
        )
    return ""


_BN_ROLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def _transpose(kernel, name):
    if kernel.ndim == 2:
        return kernel.T
    return kernel.transpose((2, 3, 0, 1) if name.endswith("_dwconv") else (2, 3, 1, 0))


def _match_epsilon(entries, model, epsilon):
    """Rescale gamma so that gamma / sqrt(variance + epsilon) stays what it was."""
    for layer in model.layers:
        key = f"{layer.name}/moving_variance"
        if isinstance(layer, keras.layers.BatchNormalization) and key in entries:
            variance = entries[key].astype("float64")
            factor = np.sqrt((variance + layer.epsilon) / (variance + epsilon))
            gamma = entries.get(f"{layer.name}/gamma", np.ones_like(variance))
            entries[f"{layer.name}/gamma"] = (gamma * factor).astype("float32")


def _resnet(layers, model, origin, dialect):
    legacy = dialect == "legacy"
    names = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
    names["last_linear"] = "predictions"
    single = "layer0.conv2" not in layers
    for layer in layers:
        if m := re.fullmatch(r"layer0\.(conv|bn)(\d)", layer):
            names[layer] = f"conv1_{m[1]}" if single else f"conv1_{m[2]}_{m[1]}"
        elif m := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", layer):
            name = f"conv{int(m[1]) + 1}_block{int(m[2]) + 1}"
            names[layer] = f"{name}{_RESNET_PARTS.get(m[3]) or _numbered(m[3])}"
    grouped = any(
        layer.name == "conv3_block1_2_conv" and layer.groups > 1 for layer in model.layers
    )
    check_resnet(model, origin, legacy and not grouped, "end" if legacy else "symmetric")
    return names


_RESNET_PARTS = {
    "downsample.0": "_shortcut_conv",
    "downsample.1": "_shortcut_bn",
    "se.fc1": "_se/reduce",
    "se.fc2": "_se/expand",
    "se_module.fc1": "_se/reduce",
    "se_module.fc2": "_se/expand",
}


def _numbered(part):
    return re.sub(r"^(conv|bn)(\d)$", r"_\2_\1", part)


def _torchvision_mobilenet_v3(layers, model, origin, dialect):
    check_setting(model, origin, "padding", padding_of(model), "symmetric")
    last = max(int(m[1]) for m in (re.match(r"features\.(\d+)\.", n) for n in layers) if m)
    names = {
        "features.0.0": "conv_conv",
        "features.0.1": "conv_bn",
        f"features.{last}.0": "conv_1_conv",
        f"features.{last}.1": "conv_1_bn",
        "classifier.0": "conv_2",
        "classifier.3": "logits",
    }
    for index in range(1, last):
        prefix, name = f"features.{index}.block", f"block_{index - 1}"
        convs = [n.removesuffix(".0") for n in layers if re.fullmatch(rf"{prefix}\.\d+\.0", n)]
        for part, conv in zip(("_1", "_2", "_3")[-len(convs) :], convs, strict=True):
            names[f"{conv}.0"] = f"{name}{part}_{'dwconv' if part == '_2' else 'conv'}"
            names[f"{conv}.1"] = f"{name}{part}_bn"
        for layer in layers:
            if m := re.fullmatch(rf"{prefix}\.\d+\.fc([12])", layer):
                names[layer] = f"{name}_se/{'reduce' if m[1] == '1' else 'expand'}"
    return names


def _timm_mobilenet_v3(layers, model, origin, dialect):
    check_setting(
        model, origin, "padding", padding_of(model), "same" if dialect == "tf" else "symmetric"
    )
    names = {"conv_stem": "conv_conv", "bn1": "conv_bn", "conv_head": "conv_2"}
    names["classifier"] = "logits"
    blocks = {m[1] for m in (re.match(r"blocks\.(\d+\.\d+)\.", n) for n in layers) if m}
    blocks = sorted(blocks, key=lambda b: [int(part) for part in b.split(".")])
    for index, block in enumerate(blocks):
        name, prefix = f"block_{index}", f"blocks.{block}"
        parts = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
        ours = ("_1_conv", "_1_bn", "_2_dwconv", "_2_bn", "_3_conv", "_3_bn")
        if f"{prefix}.conv_pwl" not in layers:
            parts, ours = ("conv_dw", "bn1", "conv_pw", "bn2"), ours[2:]
        if f"{prefix}.conv" in layers:
            name, parts, ours = "conv_1", ("conv", "bn1"), ("_conv", "_bn")
        names |= {f"{prefix}.{p}": f"{name}{o}" for p, o in zip(parts, ours, strict=True)}
        names |= {f"{prefix}.se.conv_{p}": f"{name}_se/{p}" for p in ("reduce", "expand")}
    return names


_DIALECTS = {
    # reader, SE's gate, BatchNorm's epsilon
    "resnet": (_resnet, "sigmoid", 1e-5),
    "legacy": (_resnet, "sigmoid", 1e-5),
    "torchvision": (_torchvision_mobilenet_v3, "hard_sigmoid", 1e-3),
    "timm": (_timm_mobilenet_v3, "hard_sigmoid", 1e-5),
    "tf": (_timm_mobilenet_v3, "hard_sigmoid", 1e-3),
}
