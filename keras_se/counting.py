"""Count parameters and multiply-adds, layer by layer, with squeeze-and-excitation's share."""

import math
from dataclasses import asdict, dataclass

import keras

from keras_se.graph import trace
from keras_se.layers import ConcurrentSqueezeExcite, SpatialSqueezeExcite, SqueezeExcite


@dataclass(frozen=True)
class LayerCost:
    """One layer of a model.

    Args:
        name: The layer's name, below its models' where it is nested.
        kind: Name of its class.
        output_shape: Shape of what it returns.
        params: Trainable parameters.
        other_params: The others, such as BatchNorm's moving statistics.
        macs: Multiply-adds for one image.
        is_se: Whether it is a squeeze-and-excitation layer.
    """

    name: str
    kind: str
    output_shape: tuple
    params: int
    other_params: int
    macs: int
    is_se: bool


@dataclass(frozen=True)
class Complexity:
    """What a model costs: one row a layer, and sums. Prints itself as a table by stage."""

    name: str
    layers: tuple[LayerCost, ...]

    @property
    def trainable_params(self) -> int:
        """Parameters that training changes; what papers print."""
        return sum(row.params for row in self.layers)

    @property
    def params(self) -> int:
        """All parameters, BatchNorm's moving statistics included."""
        return sum(row.params + row.other_params for row in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(row.macs for row in self.layers)

    @property
    def se_params(self) -> int:
        """Parameters of squeeze-and-excitation layers."""
        return sum(row.params for row in self.layers if row.is_se)

    @property
    def se_macs(self) -> int:
        """Multiply-adds of squeeze-and-excitation layers."""
        return sum(row.macs for row in self.layers if row.is_se)

    def by_stage(self) -> tuple[LayerCost, ...]:
        """Sum the layers that work at one resolution, in the model's order.

        A stage is a run of layers with one output size; its name is that of its first layer.
        """
        stages = []
        for row in self.layers:
            size = row.output_shape[1:-1]
            if not stages or (stages[-1][0] != size):
                stages.append((size, []))
            stages[-1][1].append(row)
        return tuple(_sum(size, rows) for size, rows in stages)

    def se_by_stage(self) -> tuple[int, ...]:
        """Parameters of squeeze-and-excitation at each resolution that has it, in order."""
        sums = {}
        for row in self.layers:
            if row.is_se:
                size = row.output_shape[1:-1]
                sums[size] = sums.get(size, 0) + row.params
        return tuple(sums.values())

    def to_dict(self) -> dict:
        """Return plain values, sums included."""
        return {
            "name": self.name,
            "trainable_params": self.trainable_params,
            "params": self.params,
            "macs": self.macs,
            "se_params": self.se_params,
            "se_macs": self.se_macs,
            "layers": [
                asdict(row) | {"output_shape": list(row.output_shape)} for row in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, values: dict) -> "Complexity":
        """Return the record that `to_dict` described."""
        rows = (row | {"output_shape": tuple(row["output_shape"])} for row in values["layers"])
        return cls(values["name"], tuple(LayerCost(**row) for row in rows))

    def __str__(self) -> str:
        return self.table(self.by_stage())

    def table(self, rows=None) -> str:
        """Return `rows` (default: every layer that costs anything) and the total as text."""
        rows = [r for r in self.layers if r.params or r.macs] if rows is None else rows
        head = ("layer", "kind", "output", "parameters", "MACs")
        cells = [
            (r.name, r.kind, _size(r.output_shape), f"{r.params:,}", f"{r.macs:,}") for r in rows
        ]
        cells.append(("total", "", "", f"{self.trainable_params:,}", f"{self.macs:,}"))
        cells.append(("of which SE", "", "", f"{self.se_params:,}", f"{self.se_macs:,}"))
        widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
        lines = (
            "  ".join(
                text.rjust(width) if i > 2 else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in (head, *cells)
        )
        return "\n".join(line.rstrip() for line in lines)


def complexity(model: keras.Model) -> Complexity:
    """Count the parameters and multiply-adds of a functional model.

    One MAC is one multiplication with its addition in a convolution or dense layer, biases not
    counted; a squeeze-and-excitation layer also counts one for each element it rescales, as the
    paper's figures do. Pooling, BatchNorm, activations, and additions count nothing. A layer used
    twice counts its parameters once.

    Args:
        model: A functional model whose image size is known.

    Returns:
        A `Complexity`, which prints itself as a table.

    Raises:
        TypeError: The model is not functional.
        ValueError: The image size is not known.

    Example:

    >>> image = keras.Input((8, 8, 3))
    >>> counted = complexity(keras.Model(image, keras.layers.Conv2D(4, 3)(image)))
    >>> counted.macs == 6 * 6 * 4 * 3 * 3 * 3, counted.trainable_params == 4 * (27 + 1)
    (True, True)
    """
    rows, seen = [], set()
    for call in trace(model).nodes:
        path, layer, output = call.path, call.operation, call.outputs[0]
        if not isinstance(layer, keras.layers.Layer):
            continue
        trainable = sum(math.prod(w.shape) for w in layer.trainable_weights)
        everything = sum(math.prod(w.shape) for w in layer.weights)
        first = id(layer) not in seen
        seen.add(id(layer))
        rows.append(
            LayerCost(
                name=path,
                kind=type(layer).__name__,
                output_shape=tuple(output.shape),
                params=trainable * first,
                other_params=(everything - trainable) * first,
                macs=_macs(layer, call.inputs[0].shape, output.shape, path),
                is_se=isinstance(layer, _SE),
            )
        )
    return Complexity(model.name, tuple(rows))


_SE = (SqueezeExcite, SpatialSqueezeExcite, ConcurrentSqueezeExcite)


def _macs(layer, input_shape, output_shape, path):
    if isinstance(layer, ConcurrentSqueezeExcite):
        return sum(
            _macs(branch, input_shape, input_shape, path)
            for branch in (layer.channel, layer.spatial)
        )
    if isinstance(layer, SqueezeExcite):
        positions = 1 if layer.pool else _product(input_shape[1:-1], path)
        convs = (layer.reduce, layer.expand)
        return positions * sum(math.prod(c.kernel.shape) for c in convs) + _product(
            input_shape[1:], path
        )
    if isinstance(layer, SpatialSqueezeExcite):
        return 2 * _product(input_shape[1:], path)
    kernel = getattr(layer, "kernel", None)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return math.prod(kernel.shape) * _product(input_shape[1:-1], path)
    if isinstance(layer, keras.layers.SeparableConv2D):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return sum(math.prod(k.shape) for k in kernels) * _product(output_shape[1:-1], path)
    if kernel is not None:  # convolutions and dense layers
        return math.prod(kernel.shape) * _product(output_shape[1:-1], path)
    return 0


def _product(sizes, path):
    if any(size is None for size in sizes):
        raise ValueError(
            f"The image size must be known to count multiply-adds. Received: sizes {tuple(sizes)} "
            f"at layer {path!r}. Build the model with a size, such as input_shape=(224, 224, 3)."
        )
    return math.prod(sizes)


def _sum(size, rows):
    return LayerCost(
        name=rows[0].name,
        kind=f"{len(rows)} layers",
        output_shape=(None, *size, None),
        params=sum(r.params for r in rows),
        other_params=sum(r.other_params for r in rows),
        macs=sum(r.macs for r in rows),
        is_se=False,
    )


def _size(shape):
    return "x".join(str(size) for size in shape[1:] if size is not None) or "-"
