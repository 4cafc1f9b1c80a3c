"""Put trained weights into a model, and account for every one of them.

Read (`weight_files`), rename (`name_maps`), match by layer name (`assign`): what is left over on
either side is an error that lists it. Nothing is ever unpickled.
"""

import math
import os
import re
from dataclasses import asdict, dataclass

import keras
import numpy as np

from keras_se.graph import trace
from keras_se.layers import ConcurrentSqueezeExcite, SpatialSqueezeExcite, SqueezeExcite
from keras_se.name_maps import from_keras, number_inception, rename
from keras_se.weight_files import read


@dataclass(frozen=True)
class Loaded:
    """What `load` did, by layer name.

    Args:
        layers: Layers that have their weights from the file.
        fresh: Layers that keep the ones they had.
        unused: Entries of the file that no layer wanted.
    """

    layers: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return the names as plain values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> "Loaded":
        """Return the record that `to_dict` described."""
        return cls(**{name: tuple(names) for name, names in values.items()})

    def __str__(self) -> str:
        lines = [f"{len(self.layers)} layers loaded"]
        if self.fresh:
            lines.append(f"start fresh: {', '.join(self.fresh)}")
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        return "\n".join(lines)


def load(model: keras.Model, path: str | os.PathLike, transfer: bool = False) -> Loaded:
    """Load weights by layer name, folded BatchNorm or not, and state dicts of timm, torchvision.

    A file whose convolution has a bias where the model has a BatchNorm is taken as folded: the
    BatchNorm gets gamma 1, beta the bias, mean 0, variance 1 - epsilon. No data has those
    statistics: before training on, call `mobile.pipeline.batch_norms.recenter_batch_norms`.

    Args:
        model: A functional model, such as `keras_se.models.build` makes.
        path: `.npz` with keys `LAYER/kernel`, `.safetensors` with the same or with the names of
            timm or torchvision, or `.weights.h5` / `.h5` as Keras writes them.
        transfer: Whether the model may differ where a new task begins: its last layers (another
            number of classes, a decoder), and squeeze-and-excitation that the file does not have.
            Those start fresh and are named in what is returned.

    Returns:
        A `Loaded`, which prints which layers start fresh.

    Raises:
        ValueError: The file and the model do not match; both leftovers are listed.
    """
    entries = read(path)
    if any(key.endswith(".weight") for key in entries):
        entries = rename(entries, model, str(path))
    return assign(model, entries, transfer=transfer, source=str(path))


def assign(
    model: keras.Model, entries: dict, transfer: bool = False, source: str = "the given weights"
) -> Loaded:
    """Set the weights of `model` from arrays named `LAYER/kernel`; see `load`."""
    wanted = {name: layer for name, layer in _weighted(model)}
    given = _by_layer(entries, wanted)
    _unfold(model, wanted, given)
    values, fresh = {}, []
    for name, layer in wanted.items():
        arrays = _fit(layer, given.get(name, {}))
        if arrays is None:
            fresh.append(name)
        else:
            values[name] = arrays
    unused = sorted(set(given) - set(wanted))
    excused = _excused(model, wanted, fresh, given) if transfer else set()
    unused_entries = [f"{name}/{role}" for name in unused for role in given[name]]
    failed = [name for name in fresh if name not in excused]
    if failed or (unused and not transfer) or not values:
        raise ValueError(_leftovers(model, source, wanted, given, failed, unused, transfer))
    for name, arrays in values.items():
        wanted[name].set_weights(arrays)
    return Loaded(tuple(values), tuple(fresh), tuple(unused_entries))


_APPLICATIONS = (
    # their name, our name, and what they do to the pixels outside the model
    (r"mobilenet_(?P<width>[\d.]+)_.*", "mobilenet_v1", "tf"),
    (r"mobilenetv2_(?P<width>[\d.]+)_.*", "mobilenet_v2", "tf"),
    (r"MobileNetV3Small", "mobilenet_v3_small", None),
    (r"MobileNetV3Large", "mobilenet_v3_large", None),
    (r"efficientnetb0", "efficientnet_b0", None),
    (r"resnet(?P<depth>50|101|152)", "resnet{depth}", "caffe"),
    (r"vgg16", "vgg16_bn", "caffe"),
    (r"inception_resnet_v2", "inception_resnet_v2", "tf"),
)
_CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB; the models read BGR


def from_keras_applications(
    source: keras.Model, width: float | None = None, pixels: bool = False
) -> keras.Model:
    """Build our network with the weights of a `keras.applications` model; it computes the same.

    Args:
        source: MobileNet, MobileNetV2, MobileNetV3Small or -Large, EfficientNetB0, ResNet50, -101
            or -152, VGG16, or InceptionResNetV2, as `keras.applications` names them.
        width: Its `alpha`; None to read it in the model's name (V3's does not tell: 1).
        pixels: Whether ours takes RGB pixels 0..255 where the source wants its
            `preprocess_input` called first; ResNet and VGG are turned from BGR to RGB.

    Returns:
        A `keras.Model`. A convolution's bias is moved into the BatchNorm behind it.

    Raises:
        ValueError: The model is none of these.

    Example:

    >>> theirs = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None)
    >>> ours = from_keras_applications(theirs)
    >>> ours.name
    'mobilenet_v2'
    """
    from keras_se.models import build

    name, told, mode = _recognize(source)
    layers = {layer.name: layer for layer in source.layers}
    top = next((n for n in ("predictions", "conv_preds", "logits") if n in layers), None)
    entries = {
        w.path: value
        for w, value in zip(source.weights, source.get_weights(), strict=True)
        if not w.path.startswith("normalization")
    }
    preprocessing = _leading_preprocessing(source)
    if pixels and not preprocessing and mode == "tf":
        preprocessing = (1 / 127.5, -1.0)
    elif pixels and not preprocessing and mode == "caffe":
        preprocessing = (1.0, tuple(-mean for mean in _CAFFE_MEAN))
        first = next(w.path for w in source.weights)
        entries[first] = entries[first][:, :, ::-1]
    options = {}
    if top:
        last = getattr(source.layers[-1], "activation", keras.activations.linear)
        options["classes"] = source.output_shape[-1]
        if keras.activations.serialize(last) == "linear":
            options["classifier_activation"] = None
    model = build(
        name,
        input_shape=source.input_shape[1:],
        width=told if width is None else width,
        include_top=top is not None,
        preprocessing=preprocessing or False,
        **options,
    )
    assign(model, entries, source=f"keras.applications model {source.name!r}")
    return model


def _recognize(source):
    for pattern, name, mode in _APPLICATIONS:
        if match := re.fullmatch(pattern, source.name):
            told = match.groupdict()
            name = name.format(**told)
            if name.startswith("mobilenet_v3") and not any(
                "squeeze_excite" in layer.name for layer in source.layers
            ):
                name += "_minimalistic"
            return name, float(told.get("width", 1.0)), mode
    known = ", ".join(pattern for pattern, *_ in _APPLICATIONS)
    raise ValueError(
        f"`source` must be a keras.applications model that has a twin here. Received: a model "
        f"named {source.name!r}. Known: names that match {known}."
    )


def _leading_preprocessing(source):
    """Compose the Rescaling and Normalization layers before the first convolution."""
    scale, offset, found = np.ones(3), np.zeros(3), False
    for layer in source.layers[1:]:
        if isinstance(layer, keras.layers.Rescaling):
            factor, shift = np.asarray(layer.scale), np.asarray(layer.offset)
        elif isinstance(layer, keras.layers.Normalization):
            mean, variance = (np.reshape(v, -1) for v in (layer.mean, layer.variance))
            factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            shift = -mean * factor
        else:
            break
        scale, offset, found = scale * factor, offset * factor + shift, True
    return (tuple(scale), tuple(offset)) if found else None


_SE = (SqueezeExcite, SpatialSqueezeExcite)


def _weighted(model):
    """List `(name, layer)` of the layers that hold weights themselves, in the order they run."""
    seen = set()
    for call in trace(model).nodes:
        layer = call.operation
        if id(layer) in seen or not getattr(layer, "weights", None):
            continue
        seen.add(id(layer))
        yield from _parts(layer, call.path)


def _parts(layer, name):
    if isinstance(layer, ConcurrentSqueezeExcite):
        yield from _parts(layer.channel, f"{name}/channel")
        yield from _parts(layer.spatial, f"{name}/spatial")
    elif isinstance(layer, _SE):
        yield f"{name}/reduce", layer.reduce
        if isinstance(layer, SqueezeExcite):
            yield f"{name}/expand", layer.expand
    else:
        yield name, layer


_ROLES = {"depthwise_kernel": "kernel", "running_mean": "moving_mean"}


def _by_layer(entries, wanted):
    """Group the arrays by the name that the model has for their layer."""
    theirs = dict.fromkeys(key.rpartition("/")[0] for key in entries)
    names = number_inception(theirs, wanted)
    for name in theirs:
        if name not in wanted and name not in names:
            names[name] = next((ours for ours in from_keras(name) if ours in wanted), name)
    given = {}
    for key, array in entries.items():
        layer, _, role = key.rpartition("/")
        given.setdefault(names.get(layer, layer), {})[_ROLES.get(role, role)] = array
    return given


def _unfold(model, wanted, given):
    """Move the bias of a convolution that has none in the model into the BatchNorm behind it."""
    for conv_name, bn_name in _normalized(model):
        conv, bn = wanted[conv_name], wanted[bn_name]
        roles = given.get(conv_name, {})
        if conv.use_bias or "bias" not in roles:
            continue
        bias = np.asarray(roles.pop("bias"), "float32")
        if bn_name in given:  # the file normalises too: its mean moves
            given[bn_name]["moving_mean"] = given[bn_name]["moving_mean"] - bias
        else:
            one = np.ones_like(bias)
            given[bn_name] = {
                "gamma": one,
                "beta": bias,
                "moving_mean": 0 * one,
                "moving_variance": one * (1 - bn.epsilon),
            }


def _normalized(model):
    """List `(convolution, BatchNorm behind it)` by name."""
    makers = {}
    for call in trace(model).nodes:
        layer = call.operation
        if isinstance(layer, keras.layers.BatchNormalization) and id(call.inputs[0]) in makers:
            yield makers[id(call.inputs[0])], call.path
        if hasattr(layer, "kernel") and hasattr(layer, "use_bias"):
            makers[id(call.outputs[0])] = call.path


def _fit(layer, roles):
    """Return the layer's arrays in its own order and shapes, or None if they do not match."""
    names = [weight.path.rsplit("/", 1)[-1] for weight in layer.weights]
    roles = dict(roles)
    if isinstance(layer, keras.layers.BatchNormalization):
        size = layer.weights[-1].shape
        for role, default in (("gamma", np.ones), ("beta", np.zeros)):
            if "moving_mean" in roles and role not in roles and role in names:
                roles[role] = default(size, "float32")
    if set(names) != set(roles):
        return None
    arrays = [_reshape(roles[n], w.shape) for n, w in zip(names, layer.weights, strict=True)]
    return None if any(array is None for array in arrays) else arrays


def _reshape(array, shape):
    """Accept a dense kernel as a 1x1 convolution's and the reverse, nothing else."""
    if tuple(array.shape) == tuple(shape):
        return np.asarray(array)
    squeezed = [
        tuple(s[2:]) if len(s) == 4 and tuple(s[:2]) == (1, 1) else tuple(s)
        for s in (array.shape, shape)
    ]
    same = squeezed[0] == squeezed[1] and math.prod(array.shape) == math.prod(shape)
    return np.reshape(array, shape) if same else None


def _excused(model, wanted, fresh, given):
    """Name the fresh layers that a new task may begin afresh.

    Those are its last layers, whatever the file has for them; layers that the file does not have
    and behind which only such layers come, as a decoder; and SE that the file does not have.
    """
    tensors, behind = {}, {name: set() for name in wanted}
    for call in trace(model).nodes:  # which weighted layers each tensor comes from, nearest only
        nearest = set().union(*(tensors.get(id(t), set()) for t in call.inputs))
        own = {name for name in wanted if _owner(name) == call.path}
        if own:
            for name in nearest:
                behind[name] |= own
            nearest = own
        for tensor in call.outputs:
            tensors[id(tensor)] = nearest
    excused = set()
    for name in reversed([name for name in wanted if name in fresh]):
        absent = name not in given
        is_se = re.search(r"/(reduce|expand)$", name)
        if not behind[name] or (absent and (is_se or behind[name] <= excused)):
            excused.add(name)
    return excused


def _owner(name):
    return re.sub(r"(/channel|/spatial)?/(reduce|expand)$", "", name)


def _leftovers(model, source, wanted, given, failed, unused, transfer):
    def shapes(roles):
        return ", ".join(f"{role} {tuple(a.shape)}" for role, a in roles.items()) or "nothing"

    def needs(layer):
        return ", ".join(f"{w.path.rsplit('/', 1)[-1]} {tuple(w.shape)}" for w in layer.weights)

    lines = [f"  {n}: needs {needs(wanted[n])}; given {shapes(given.get(n, {}))}" for n in failed]
    extra = [f"  {name}: {shapes(given[name])}" for name in unused]
    advice = (
        "Build the network the weights were trained in (name, width, classes, se)."
        if transfer
        else "Build the network the weights were trained in (name, width, classes, se), or pass "
        "transfer=True to begin the last layers afresh."
    )
    return (
        f"Every weight in the file must find its layer, and every layer its weights. "
        f"Received: {source} for model {model.name!r}.\n"
        f"Layers without their weights ({len(lines)}):\n{_cut(lines)}\n"
        f"Weights without a layer ({len(extra)}):\n{_cut(extra)}\n{advice}"
    )


def _cut(lines, most=20):
    shown = lines[:most] + ([f"  and {len(lines) - most} more"] if len(lines) > most else [])
    return "\n".join(shown) or "  none"
