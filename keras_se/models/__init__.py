"""The networks: their names, one function that builds any of them, and their figures.

    build(name, se=...) -> keras.Model

A network is rows of a frozen dataclass in the file of its family. To change one, change a row.
"""

import functools
import inspect
import json
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import keras

from keras_se.checks import check_activation, check_count, check_flag, check_number, choices
from keras_se.config import SEConfig
from keras_se.counting import complexity
from keras_se.layers import SqueezeExcite
from keras_se.models import (
    bn_inception,
    inception_resnet_v2,
    inverted,
    mobilenet_v1,
    mobilenet_v3,
    resnet,
    segmentation,
    shufflenet_v1,
    vgg,
)
from keras_se.models.base import (
    Network,
    Options,
    blocks_in,
    check_settings,
    preprocess,
    resolve_se,
)

_FAMILIES = (
    mobilenet_v1,
    inverted,
    mobilenet_v3,
    shufflenet_v1,
    resnet,
    vgg,
    bn_inception,
    inception_resnet_v2,
    segmentation,
)
_NETWORKS: dict[str, Network] = {
    network.name: network for family in _FAMILIES for network in family.NETWORKS
}

__all__ = ["Description", "Place", "build", "count", "describe", "find", "names", "places"]


def names() -> list[str]:
    """List the networks that `build` knows.

    >>> "mobilenet_v3_small" in names()
    True
    """
    return list(_NETWORKS)


def find(name: str | Network) -> Network:
    """Return the record of a network: its rows, source and defaults.

    Raises:
        ValueError: The name is not known; the nearest ones are told.
    """
    if isinstance(name, Network):
        return name
    if name not in names():
        raise ValueError(
            f"A network must be one that keras_se.models knows. Received: {name!r}. "
            f"{choices(name, _NETWORKS)} `keras_se.models.names()` lists them."
        )
    return _NETWORKS[name]


def build(
    network: str | Network,
    se: Any = "default",
    input_shape: Sequence[int | None] | None = None,
    classes: int | None = None,
    width: float = 1.0,
    include_top: bool = True,
    features_only: bool = False,
    classifier_activation: Any = "softmax",
    preprocessing: Any = True,
    name: str | None = None,
    **settings: Any,
) -> keras.Model:
    """Build a network with random weights.

    Args:
        network: One of `names()`, or a record of your own:
            `dataclasses.replace(find(...), rows=...)`.
        se: `"default"` for the paper's own squeeze-and-excitation, None for none, an `SEConfig`
            or the name of one in `keras_se.PRESETS` for another one where the paper has it
            (everywhere if it has none), or a list of these, one a row of the network. An entry of
            the list may be a list itself, with one of these for each block of that row. A
            `pathlib.Path`, or text that ends in .json, is a file of
            `keras_se.models.configuration`.
        input_shape: `(height, width, channels)`; None for the size of the published figures.
        classes: Number of classes; None for the published number.
        width: Multiplies the channels.
        include_top: Whether to end in scores rather than in the last feature map.
        features_only: Return the last feature map of each resolution, largest first.
        classifier_activation: Last activation; None for scores.
        preprocessing: True for a first layer that takes RGB pixels 0..255 to what the network
            was published with, `(scale, offset)` for another one, False for none. Where images
            have not three channels, constants published for each colour are replaced by their
            mean.
        name: Name of the model; None for the network's.
        settings: What the network's family accepts beside these, such as `padding="symmetric"`;
            `find(network).settings` lists them with their defaults.

    Returns:
        A functional `keras.Model`, for images with the channels last.

    Raises:
        ValueError: The name, a setting or a value is not known, or the data format of Keras is
            not `"channels_last"`.
        TypeError: A value is of the wrong kind.

    Example:

    >>> model = build("mobilenet_v3_small", se=None, input_shape=(48, 48, 3), width=0.5, classes=10)
    >>> model.output_shape
    (None, 10)
    """
    network = find(network)
    _check_data_format(network)
    _check_names(network, settings)
    check_settings(network, settings)
    where = f" for network {network.name!r}"
    check_flag("include_top", include_top, where)
    check_flag("features_only", features_only, where)
    if classifier_activation is not None:
        check_activation("classifier_activation", classifier_activation, where)
    options = Options(
        se=resolve_se(network, se),
        input_shape=_checked_shape(network, input_shape),
        classes=_checked_classes(network, classes),
        width=_checked_width(network, width),
        classifier_activation=classifier_activation,
        settings={**network.settings, **settings},
    )
    inputs = keras.Input(options.input_shape, name="image")
    x = preprocess(network.expects(options.settings), preprocessing, inputs)
    x, features = network.body(network, options, x)
    if features_only:
        outputs = [features[stride] for stride in sorted(features)]
    else:
        outputs = network.head(network, options, x, features) if include_top else x
    return keras.Model(inputs, outputs, name=network.name if name is None else name)


def _check_data_format(network):
    data_format = keras.config.image_data_format()
    if data_format != "channels_last":
        raise ValueError(
            f"Networks are built for images with the channels last. Received: "
            f"keras.config.image_data_format() is {data_format!r}, at network {network.name!r}. "
            f'Call keras.config.set_image_data_format("channels_last") first.'
        )


def _check_names(network, settings):
    known = [*inspect.signature(build).parameters, *network.settings]
    for name in settings:
        if name == "weights":
            advice = (
                "Leave it out, and load weights into the model: keras_se.weights.load(model, path)."
            )
        else:
            advice = choices(name, [n for n in known if n != "settings"])
        if name not in network.settings:
            raise ValueError(
                f"Settings of a network must be among those of its family. Received: "
                f"{name}={settings[name]!r} for {network.name!r}, which knows "
                f"{', '.join(network.settings) or 'none'}. {advice}"
            )


def _checked_classes(network, classes):
    if classes is not None:
        advice = f"For the published {network.classes}, leave it out."
        check_count("classes", classes, 1, advice, f" for network {network.name!r}")
    return network.classes if classes is None else int(classes)


def _checked_width(network, width):
    where = f" for network {network.name!r}"
    check_number("width", width, 0, math.inf, "For the published channels, pass width=1.0.", where)
    if not width:
        raise ValueError(
            f"`width` must be above 0: it multiplies the channels. Received: width={width!r}"
            f"{where}. For half the channels, pass width=0.5."
        )
    return width


def _checked_shape(network, shape) -> Any:
    def is_size(value):
        integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return integer and int(value) > 0

    if shape is None:
        return network.input_shape
    sizes = tuple(shape) if isinstance(shape, Iterable) else ()
    known = [size for size in sizes if size is not None]
    if len(sizes) != 3 or sizes[2] is None or not all(map(is_size, known)):
        raise ValueError(
            f"`input_shape` must be (height, width, channels), channels known. Received: "
            f"input_shape={shape!r} for network {network.name!r}. For colour images, pass "
            f"(224, 224, 3); for any size, (None, None, 3)."
        )
    height, width, channels = (None if size is None else int(size) for size in sizes)
    return height, width, channels


@dataclass(frozen=True)
class Place:
    """A block of a network where squeeze-and-excitation (SE) can stand.

    Args:
        row: Index of its row in the network.
        block: Index of the block in that row.
        layer: Name of the SE layer there.
        channels: Channels that SE rescales with `placement="standard"`, at width 1; in inverted
            residuals those of the expanded tensor.
        projected: Channels with `placement="projected"`; None where the block has no such place.
    """

    row: int
    block: int
    layer: str
    channels: int
    projected: int | None = None


def places(network: str | Network) -> tuple[Place, ...]:
    """List each block of a network where `build(se=...)` can put SE, in order.

    >>> places("mobilenet_v3_small")[1]
    Place(row=1, block=0, layer='block_1_se', channels=72, projected=24)
    """
    network = find(network)
    settings: dict[str, Any] = {"encoder_se": None} if "encoder_se" in network.settings else {}
    model = build(network, [SEConfig()] * len(network.rows), include_top=False, **settings)
    layers: list[Any] = [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]
    blocks = [(i, j) for i, row in enumerate(network.rows) for j in range(blocks_in(row))]
    found = []
    for (row, block), layer in zip(blocks, layers, strict=True):
        projected: Any = None
        if "projected" in network.places:
            projected = model.get_layer(layer.name.removesuffix("_se") + "_3_conv")
        filters = projected and projected.filters
        found.append(Place(row, block, layer.name, layer.expand.filters, filters))
    return tuple(found)


@dataclass(frozen=True)
class Description:
    """Figures of one network as it is built by default.

    Args:
        name: Name of the network.
        params: Trainable parameters.
        macs: Multiply-adds for one image.
        se_params: Parameters in squeeze-and-excitation layers.
        se_macs: Multiply-adds in squeeze-and-excitation layers.
        input_shape: The image the multiply-adds are for.
        source: Paper or code the network was read from.
    """

    name: str
    params: int
    macs: int
    se_params: int
    se_macs: int
    input_shape: tuple[int, int, int]
    source: str

    @property
    def se_params_share(self) -> float:
        """Fraction of the parameters that belongs to squeeze-and-excitation."""
        return self.se_params / self.params

    @property
    def se_macs_share(self) -> float:
        """Fraction of the multiply-adds that belongs to squeeze-and-excitation."""
        return self.se_macs / self.macs

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def describe(name: str | Network) -> Description:
    """Return a network's figures, from the table beside this file where it has them.

    >>> describe("mobilenet_v3_small").params
    2542856
    """
    network = find(name)
    figures = _figures().get(network.name)
    if figures is None or _NETWORKS.get(network.name) is not network:
        return count(network)
    return Description(name=network.name, **{**figures, "input_shape": network.input_shape})


def count(name: str | Network) -> Description:
    """Build a network and count it; what `describe` has in its table must equal this."""
    network = find(name)
    counted = complexity(build(network))
    return Description(
        name=network.name,
        params=counted.trainable_params,
        macs=counted.macs,
        se_params=counted.se_params,
        se_macs=counted.se_macs,
        input_shape=network.input_shape,
        source=network.source,
    )


@functools.cache
def _figures():
    return json.loads(resources.files(__name__).joinpath("figures.json").read_text())
