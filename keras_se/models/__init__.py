"""The networks: their names, one function that builds any of them, and their figures.

    build(name, se=...) -> keras.Model

A network is rows of a frozen dataclass in the file of its family. To change one, change a row.
"""

import functools
import json
import numbers
from dataclasses import asdict, dataclass
from importlib import resources

import keras

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
from keras_se.models.base import Network, Options, preprocess, resolve_se

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
_NETWORKS = {network.name: network for family in _FAMILIES for network in family.NETWORKS}

__all__ = ["Description", "build", "count", "describe", "find", "names"]


def names() -> list[str]:
    """List the networks that `build` knows.

    >>> "mobilenet_v3_small" in names()
    True
    """
    return list(_NETWORKS)


def find(name: str | Network) -> Network:
    """Return the record of a network: its rows, source and defaults."""
    if isinstance(name, Network):
        return name
    if name not in _NETWORKS:
        raise ValueError(
            f"`name` must be a network that keras_se.models knows. Received: name={name!r}. "
            f"Known: {', '.join(_NETWORKS)}."
        )
    return _NETWORKS[name]


def build(
    name: str | Network,
    se="default",
    input_shape=None,
    classes: int | None = None,
    width: float = 1.0,
    include_top: bool = True,
    features_only: bool = False,
    classifier_activation: str | None = "softmax",
    preprocessing=True,
    **settings,
) -> keras.Model:
    """Build a network with random weights.

    Args:
        name: One of `names()`, or a record of your own: `dataclasses.replace(find(...), rows=...)`.
        se: `"default"` for the paper's own squeeze-and-excitation, None for none, an `SEConfig`
            for another one where the paper has it (everywhere if it has none), or a list of
            these, one a row of the network.
        input_shape: `(height, width, 3)`; None for the size of the published figures.
        classes: Number of classes; None for the published number.
        width: Multiplies the channels.
        include_top: Whether to end in scores rather than in the last feature map.
        features_only: Return the last feature map of each resolution, largest first.
        classifier_activation: Last activation; None for scores.
        preprocessing: True for a first layer that takes RGB pixels 0..255 to what the network
            was published with, `(scale, offset)` for another one, False for none.
        settings: What the network's family accepts beside these, such as `padding="symmetric"`;
            `find(name).settings` lists them with their defaults.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: The name, a setting or a value is not known.
        TypeError: `se` is none of the above.

    Example:

    >>> model = build("mobilenet_v3_small", se=None, input_shape=(48, 48, 3), width=0.5, classes=10)
    >>> model.output_shape
    (None, 10)
    """
    network = find(name)
    name = network.name
    unknown = sorted(set(settings) - set(network.settings))
    if unknown:
        raise ValueError(
            f"Settings of a network must be among those of its family. Received: {unknown} for "
            f"{name!r}, which knows {sorted(network.settings) or 'none'}. Leave them out."
        )
    options = Options(
        se=resolve_se(network, se),
        input_shape=_checked_shape(name, input_shape or network.input_shape),
        classes=_checked("classes", network.classes if classes is None else classes, name),
        width=_checked("width", width, name),
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
    return keras.Model(inputs, outputs, name=name)


def _checked(argument, value, name):
    if not isinstance(value, numbers.Real) or value <= 0:
        raise ValueError(
            f"`{argument}` must be a number above 0. Received: {argument}={value!r} for network "
            f"{name!r}. Leave it out for the published value."
        )
    return value


def _checked_shape(name, shape):
    shape = tuple(shape)
    sides = shape[:2]
    if len(shape) != 3 or shape[2] is None or any(s is not None and s < 1 for s in sides):
        raise ValueError(
            f"`input_shape` must be (height, width, channels), channels known. Received: "
            f"input_shape={shape} for network {name!r}. For colour images, pass (224, 224, 3)."
        )
    return shape


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
    input_shape: tuple
    source: str

    @property
    def se_params_share(self) -> float:
        """Fraction of the parameters that belongs to squeeze-and-excitation."""
        return self.se_params / self.params

    @property
    def se_macs_share(self) -> float:
        """Fraction of the multiply-adds that belongs to squeeze-and-excitation."""
        return self.se_macs / self.macs

    def to_dict(self) -> dict:
        """Return the figures as plain values."""
        return asdict(self)


def describe(name: str) -> Description:
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
    from keras_se.counting import complexity

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
