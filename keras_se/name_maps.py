"""Translate the layer names of keras.applications, torchvision and timm into ours.

| where | theirs | ours |
|---|---|---|
| keras MobileNetV3, V2 | `expanded_conv_3_expand`, `_depthwise`, `_project` (V2: `block_3_...`) | `block_3_1_conv`, `_2_dwconv`, `_3_conv` |
| keras MobileNetV3 | `expanded_conv_3_squeeze_excite_conv`, `..._conv_1` | `block_3_se/reduce`, `/expand` |
| keras EfficientNet | `block2a_expand_conv`, `_dwconv`, `_project_conv`, `_se_reduce` | `block2a_1_conv`, `_2_dwconv`, `_3_conv`, `_se/reduce` |
| keras MobileNet | `conv_dw_3`, `conv_pw_3` | `block_3_1_dwconv`, `block_3_2_conv` |
| keras ResNet | `conv2_block1_0_conv` | `conv2_block1_shortcut_conv` |
| keras VGG16 | `block1_conv2` | `block1_2_conv` |
| keras InceptionResNetV2 | `conv2d_N`, by number | `creation_order` of our network |
| torchvision, timm ResNets | `layer1.0.conv2`, `.downsample.0`, `.se.fc1` | `conv2_block1_2_conv`, `_shortcut_conv`, `_se/reduce` |
| timm `legacy_se*` | `layer0.conv1`, `layer1.0.se_module.fc1`, `last_linear` | `conv1_conv`, `conv2_block1_se/reduce`, `predictions` |
| torchvision MobileNetV3 | `features.4.block.0.0`, `.block.2.fc1`, `classifier.0` | `block_3_1_conv`, `block_3_se/reduce`, `conv_2` |
| timm mobilenetv3 | `blocks.2.0.conv_pw`, `.conv_dw`, `.conv_pwl`, `.se.conv_reduce` | `block_3_1_conv`, `_2_dwconv`, `_3_conv`, `_se/reduce` |

PyTorch's kernels are transposed: `(out, in, height, width)` to `(height, width, in, out)`, depthwise
`(channels, 1, height, width)` to `(height, width, channels, 1)`, dense `(out, in)` to `(in, out)`.
BatchNorm's gamma is rescaled where the epsilons differ.
"""  # noqa: E501

import re

import keras
import numpy as np

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


def number_inception(names, wanted) -> dict[str, str]:
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


def rename(state: dict, model: keras.Model, source: str) -> dict[str, np.ndarray]:
    """Turn a PyTorch state dict into arrays named and laid out as in `model`."""
    state = {key: np.asarray(a) for key, a in state.items() if "num_batches_tracked" not in key}
    layers = sorted({key.rpartition(".")[0] for key in state})
    for dialect in (_resnet, _torchvision_mobilenet_v3, _timm_mobilenet_v3):
        names, epsilon = dialect(layers, model, source)
        if names:
            break
    else:
        raise ValueError(
            f"A PyTorch state dict must have the names of a network that keras_se.name_maps knows: "
            f"ResNet, SE-ResNet, ResNeXt, SENet-154, MobileNetV3 of torchvision or timm. Received: "
            f"{source} with {', '.join(layers[:5])}, ... Rename its entries to LAYER/kernel."
        )
    entries = {}
    for key, array in state.items():
        layer, _, role = key.rpartition(".")
        name = names.get(layer, layer)
        normalizes = f"{layer}.running_var" in state
        if role == "weight" and not normalizes:
            entries[f"{name}/kernel"] = _transpose(array, name)
        else:
            entries[f"{name}/{_BN_ROLES[role] if normalizes else role}"] = array
    _match_epsilon(entries, model, epsilon)
    return entries


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


def _resnet(layers, model, source):
    if "layer1.0.conv1" not in layers:
        return {}, None
    legacy = "layer0.conv1" in layers
    names = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
    names["last_linear"] = "predictions"
    single = "layer0.conv2" not in layers
    for layer in layers:
        if m := re.fullmatch(r"layer0\.(conv|bn)(\d)", layer):
            names[layer] = f"conv1_{m[1]}" if single else f"conv1_{m[2]}_{m[1]}"
        elif m := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", layer):
            name = f"conv{int(m[1]) + 1}_block{int(m[2]) + 1}"
            names[layer] = f"{name}{_RESNET_PARTS.get(m[3]) or _numbered(m[3])}"
    ours = {layer.name: layer for layer in model.layers}
    first, grouped = ours.get("conv3_block1_1_conv"), ours.get("conv3_block1_2_conv")
    if "layer1.0.conv3" in layers and first is not None and grouped is not None:
        wants = "1x1" if legacy and grouped.groups == 1 else "3x3"
        _check(model, source, "stride_in", "1x1" if first.strides[0] == 2 else "3x3", wants)
    wants = "end" if legacy else "symmetric"
    _check(model, source, "pool", "symmetric" if "pool1_pad" in ours else "end", wants)
    return names, 1e-5


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


def _torchvision_mobilenet_v3(layers, model, source):
    if "features.0.0" not in layers or "features.1.block.0.0" not in layers:
        return {}, None
    _check(model, source, "padding", _padding(model), "symmetric")
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
    return names, 1e-3


def _timm_mobilenet_v3(layers, model, source):
    if "conv_stem" not in layers or "conv_head" not in layers:
        return {}, None
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
    # timm's tf_mobilenetv3_* pad and normalise as TensorFlow does, the others as PyTorch does.
    return names, 1e-3 if _padding(model) == "same" else 1e-5


def _padding(model):
    strided = [layer for layer in model.layers if layer.name == "conv_conv"]
    return "symmetric" if strided and strided[0].padding == "valid" else "same"


def _check(model, source, setting, has, wants):
    """Weights fit either way, but compute something else."""
    if has != wants:
        raise ValueError(
            f"The model must stride and pad as the weights were trained. Received: "
            f"{setting}={has!r} in model {model.name!r} for {source}, trained with {wants!r}. "
            f"Build it with keras_se.models.build(..., {setting}={wants!r})."
        )
