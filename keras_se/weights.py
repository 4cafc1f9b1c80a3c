"""Put trained weights into a model.

Read (`weight_files`), rename (`name_maps`, `state_dicts`), match by layer name (`matching`): what
is left over on either side is an error that lists it. Nothing is ever unpickled.
"""

import os
import re
from typing import Any

import keras
import numpy as np

from keras_se.matching import Loaded, assign
from keras_se.state_dicts import rename
from keras_se.weight_files import read

__all__ = ["Loaded", "assign", "from_keras_applications", "load"]


def load(
    model: keras.Model,
    path: str | os.PathLike,
    transfer: bool = False,
    source: str | None = None,
) -> Loaded:
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
        source: Name in timm or torchvision of the network that a state dict was trained in, such
            as `"tf_mobilenetv3_small_100"`. Needed where the entries of several networks, which
            compute different things, have the same names; an error says so.

    Returns:
        A `Loaded`, which prints which layers start fresh.

    Raises:
        ValueError: The file and the model do not match, and both leftovers are listed; or the
            model computes something else than the weights were trained for.
    """
    entries = read(path)
    if any(key.endswith(".weight") for key in entries):
        entries = rename(entries, model, str(path), source, transfer)
    elif source is not None:
        raise ValueError(
            f"`source` is for state dicts of timm and torchvision. Received: source={source!r} for "
            f"{path}, whose entries are named as in Keras. Leave it out."
        )
    return assign(model, entries, transfer=transfer, origin=str(path))


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
_POOLS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
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
        A `keras.Model`. A convolution's bias is moved into the BatchNorm behind it. Where the
        source's image size is not given, the two agree on sides that are multiples of 32: theirs
        pads other sides as if they were even.

    Raises:
        ValueError: The model is none of these, or a MobileNet for sides that are no multiples of
            32, which it pads as no network here does, or it pools where it has no top.

    Example:

    >>> theirs = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None)
    >>> ours = from_keras_applications(theirs)
    >>> ours.name
    'mobilenet_v2'
    """
    from keras_se.models import build

    name, told, mode = _recognize(source)
    if name == "mobilenet_v1" and any(side and side % 32 for side in source.input_shape[1:3]):
        raise ValueError(
            f"A MobileNet of keras.applications must be for sides that are multiples of 32: it "
            f"pads others as no network here does. Received: input_shape="
            f"{source.input_shape[1:]} of {source.name!r}. Make it for such a size."
        )
    layers = {layer.name: layer for layer in source.layers}
    if isinstance(source.layers[-1], _POOLS):
        raise ValueError(
            f"A source without a top must end in its map of features. Received: {source.name!r}, "
            f"which pools it (pooling='avg' or 'max'). Make it with pooling=None, and pool behind."
        )
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
        options["classifier_activation"] = None if last is keras.activations.linear else last
    model = build(
        name,
        input_shape=source.input_shape[1:],
        width=told if width is None else width,
        include_top=top is not None,
        preprocessing=preprocessing or False,
        **options,
    )
    assign(model, entries, origin=f"keras.applications model {source.name!r}")
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
        f"`source` must be a keras.applications model of a network that is here. Received: a model "
        f"named {source.name!r}. Known: names that match {known}."
    )


def _leading_preprocessing(source):
    """Compose the Rescaling and Normalization layers before the first convolution."""
    channels = source.input_shape[-1]
    scale, offset, found = np.ones(channels), np.zeros(channels), False
    for layer in source.layers[1:]:
        if isinstance(layer, keras.layers.Rescaling):
            factor, shift = np.asarray(layer.scale), np.asarray(layer.offset)
        elif isinstance(layer, keras.layers.Normalization):
            constants: Any = (layer.mean, layer.variance)
            mean, variance = (np.reshape(value, -1) for value in constants)
            factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            shift = -mean * factor
        else:
            break
        scale, offset, found = scale * factor, offset * factor + shift, True
    return (tuple(scale), tuple(offset)) if found else None
