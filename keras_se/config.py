"""One record that says what squeeze-and-excitation (SE) is, and the variants people know."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import keras

from keras_se.checks import (
    check_activation,
    check_count,
    check_flag,
    check_function,
    check_known,
    check_number,
)

KINDS = ("cse", "sse", "scse", "static")
POOLS = ("avg", "max", "avg+max", None)
GATES = ("sigmoid", "hard_sigmoid", "tanh", "relu")
AGGREGATES = ("add", "max", "mul", "concat")
PLACEMENTS = ("standard", "expanded", "projected", "pre", "post", "identity", "conv3x3")

_LAYERS: dict[str, Any] = {}  # each kind's layer; those of keras_se.layers enter themselves


@dataclass(frozen=True)
class SEConfig:
    """One variant of squeeze-and-excitation: what to squeeze, how far, and how to gate.

        width = max(channels // reduction, min_channels)                      # divisor 1
        width = channels / reduction, to a multiple of `divisor` (see below)  # otherwise

    Never more than the channels. With a `divisor` the nearest multiple is taken, and the next
    one where that is less than `round_limit` of the value or less than `min_channels`.

    Args:
        kind: `"cse"` (gate per channel), `"sse"` (gate per position), `"scse"` (both) or
            `"static"` (gate per channel, learned rather than read from the input). Lowering folds
            static gates into the convolutions beside them; of `"post"` and `"identity"`, whose
            scaled tensor is read twice, one multiplication a block may stay.
        reduction: Input channels over squeezed width, at least 1. Need not be an integer.
        min_channels: Least squeezed width. 0 for none: then fewer channels than `reduction`
            are an error.
        divisor: The squeezed width is a multiple of this.
        pool: How a channel is squeezed: `"avg"`, `"max"`, `"avg+max"` (their mean), or None
            for no squeeze, which gates each position by its own channels.
        activation: Between the two convolutions: a name of `keras.activations`, or a function.
        gate: `"sigmoid"`, `"hard_sigmoid"` (relu6(x + 3) / 6), `"tanh"`, `"relu"`, or a function.
        use_bias: Whether the convolutions have biases.
        aggregate: How scSE joins its branches: `"add"`, `"max"`, `"mul"`, or `"concat"`, which
            doubles the channels.
        placement: Where a block of `keras_se.blocks` has its SE: `"standard"`, which is where the
            block's paper has it, `"expanded"`, `"projected"`, `"pre"`, `"post"`, `"identity"` or
            `"conv3x3"`. Each block lists the places that it has.
        round_limit: Least fraction of channels / reduction that rounding to `divisor` may keep.

    Raises:
        ValueError: An argument is out of range or not one of the names above.
        TypeError: An argument is of the wrong kind.

    Example:

    >>> SEConfig(reduction=4, divisor=8).squeezed_channels(72)
    24
    >>> SEConfig(kind="scse").layer(name="scse").name
    'scse'

    Source:
        Hu et al., 2018, arXiv:1709.01507 (cSE, placements, no squeeze); Roy et al., 2018,
        arXiv:1803.02579 and 1808.08127 (sSE, scSE, aggregations); Huang et al., 2024,
        arXiv:2304.06345 (static); Howard et al., 2019, arXiv:1905.02244 (divisor, hard sigmoid).
        The paper has no `min_channels`.
    """

    kind: str = "cse"
    _: KW_ONLY
    reduction: float = 16
    min_channels: int = 8
    divisor: int = 1
    pool: str | None = "avg"
    activation: str | Callable = "relu"
    gate: str | Callable = "sigmoid"
    use_bias: bool = True
    aggregate: str = "add"
    placement: str = "standard"
    round_limit: float = 0.9

    def __post_init__(self) -> None:
        check_known("kind", self.kind, KINDS, "For a reduction, write SEConfig(reduction=16).")
        check_number(
            "reduction",
            self.reduction,
            1,
            math.inf,
            "It is input channels over squeezed width: for a quarter, pass reduction=4.",
        )
        check_count("min_channels", self.min_channels, 0, "For no least width, pass 0.")
        check_count("divisor", self.divisor, 1, "For any squeezed width, pass divisor=1.")
        check_number("round_limit", self.round_limit, 0, 1, "To round plainly, pass round_limit=0.")
        check_known("pool", self.pool, POOLS)
        check_activation("activation", self.activation)
        check_function("gate", self.gate, GATES)
        check_flag("use_bias", self.use_bias)
        check_known("aggregate", self.aggregate, AGGREGATES)
        check_known("placement", self.placement, PLACEMENTS)

    def squeezed_channels(self, channels: int) -> int:
        """The width that `channels` are squeezed to.

        Example:

        >>> [SEConfig(reduction=r).squeezed_channels(64) for r in (4, 8, 16, 32)]
        [16, 8, 8, 8]

        Raises:
            ValueError: The width would be less than 1, which only `min_channels=0` allows.
        """
        check_count("channels", channels, 1, "Pass the channels of the tensor to rescale.")
        if self.divisor == 1:
            width = max(int(channels // self.reduction), self.min_channels)
        else:
            width = self._round(channels / self.reduction)
        if width < 1:
            raise ValueError(
                f"The squeezed width must be at least 1 channel. Received: reduction="
                f"{self.reduction!r} for {channels} channels, with min_channels="
                f"{self.min_channels!r}. Pass a reduction of at most {channels}, or "
                f"min_channels=1."
            )
        return min(width, channels)

    def _round(self, value: float) -> int:
        least = math.ceil(self.min_channels / self.divisor) * self.divisor
        width = max(least, int(value + self.divisor / 2) // self.divisor * self.divisor)
        return width + self.divisor if width < self.round_limit * value else width

    def for_expansion(self, expansion: float) -> Self:
        """The same squeezed width in a tensor `expansion` times as wide.

        For networks that count the reduction from the block's input but rescale its expanded
        tensor, such as EfficientNet and MnasNet.

        Example: a block of 24 channels, expanded to 144, is squeezed to a quarter of the 24.

        >>> SEConfig(reduction=4, min_channels=1).for_expansion(6).squeezed_channels(144)
        6
        """
        return dataclasses.replace(self, reduction=self.reduction * expansion)

    def at(self, *places: str) -> Self | None:
        """What stands at a place of a block: this where its placement is among the place's names.

        Example:

        >>> SEConfig().at("standard", "expanded") == SEConfig(), SEConfig().at("projected")
        (True, None)
        """
        return self if self.placement in places else None

    def layer(self, name: str | None = None, **kwargs: Any) -> keras.layers.Layer:
        """A new Keras layer of this variant.

        Args:
            name: The layer's name.
            **kwargs: What the record does not hold: `kernel_initializer`,
                `kernel_regularizer`, `data_format`, `dtype`, `trainable`.

        Example:

        >>> SEConfig(reduction=4).layer(name="se").reduction
        4
        """
        cls = _LAYERS[self.kind]
        return cls(name=name, **{field: getattr(self, field) for field in cls.fields}, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; functions become what Keras makes of them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: to_plain(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The record that `to_dict` described.

        Example:

        >>> SEConfig.from_dict(PAPER.to_dict()) == PAPER
        True
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            check_known("field", name, known)
        return cls(**{name: from_plain(value) for name, value in values.items()})


def layer_of(kind: str) -> Callable[[type], type]:
    """Decorate the layer class that `SEConfig.layer` makes for `kind`."""

    def enter(cls: Any) -> Any:
        _LAYERS[kind] = cls
        cls.kind = kind
        return cls

    return enter


def to_plain(value: Any) -> Any:
    """A function as what Keras writes to JSON; anything else as it is."""
    return keras.saving.serialize_keras_object(value) if callable(value) else value


def from_plain(value: Any) -> Any:
    """The function that `to_plain` wrote; anything else as it is."""
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value


# Source: arXiv:1709.01507 v4, section 3.2 and table 10: no bias, no least width.
PAPER = SEConfig(reduction=16, min_channels=1, use_bias=False)

SERVER = SEConfig(reduction=8)

MOBILE = SEConfig(reduction=32, divisor=8, gate="hard_sigmoid")

# Source: keras/src/applications/mobilenet_v3.py, _se_block and _depth. torchvision's
# mobilenetv3.py is the same for channels that 4 divides.
MOBILENET_V3 = SEConfig(reduction=4, divisor=8, gate="hard_sigmoid")

# Source: keras/src/applications/efficientnet.py, block: the reduction counts from the block's
# input, so `EFFICIENTNET.for_expansion(6)` where it expands by 6. torchvision's
# efficientnet.py is the same.
EFFICIENTNET = SEConfig(reduction=4, min_channels=1, activation="silu")

# Source: torchvision/ops/misc.py, SqueezeExcitation with its default activations; it is given
# the squeezed width, a quarter of the block's input in torchvision's own RegNets.
TORCHVISION = SEConfig(reduction=4, min_channels=1)

# Source: timm/layers/squeeze_excite.py, SEModule: plain rounding to 8. Below 8 channels timm
# squeezes to 8, we to the channels themselves.
TIMM = SEConfig(reduction=16, divisor=8, round_limit=0.0)

# Source: segmentation_models_pytorch/base/modules.py, SCSEModule. Below 16 channels its squeezed
# width is 0, ours 1.
SEGMENTATION_MODELS = SEConfig(kind="scse", reduction=16, min_channels=1)

# Source: Huang et al., 2024, arXiv:2304.06345: SE's effect on training, one number a channel after.
STATIC = SEConfig(kind="static")

PRESETS = {
    "paper": PAPER,
    "mobile": MOBILE,
    "server": SERVER,
    "static": STATIC,
    "mobilenet_v3": MOBILENET_V3,
    "efficientnet": EFFICIENTNET,
    "torchvision": TORCHVISION,
    "timm": TIMM,
    "segmentation_models": SEGMENTATION_MODELS,
}
