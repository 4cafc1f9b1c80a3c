"""Count parameters and multiply-adds, layer by layer, with squeeze-and-excitation's share."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import keras

from keras_se.graph import Node, read_inside, trace
from keras_se.layers.base import Excite
from keras_se.multiply_adds import multiply_adds


@dataclass(frozen=True)
class LayerCost:
    """One layer of a model, or an operation outside of layers that multiplies and adds.

    Args:
        name: The layer's name, below its models' where it is nested.
        kind: Name of its class.
        output_shape: Shape of what it returns.
        params: Trainable parameters, frozen or not.
        other_params: The others, such as BatchNorm's moving statistics.
        macs: Multiply-adds for one image.
        is_se: Whether it is a squeeze-and-excitation layer.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    params: int
    other_params: int
    macs: int
    is_se: bool


@dataclass(frozen=True)
class Complexity:
    """What a model costs: one row a layer, and sums. Prints itself as a table by stage.

    Args:
        name: Name of the model.
        layers: One row a layer, in the order in which they run.
        uncounted: Layers whose multiply-adds are not known, with their class. They are missing in
            the sums.
    """

    name: str
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def trainable_params(self) -> int:
        """Parameters that training changes where no layer is frozen; what papers print."""
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

    def to_dict(self) -> dict[str, Any]:
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
            "uncounted": list(self.uncounted),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Complexity":
        """Return the record that `to_dict` described. Keys that are no field are skipped."""
        rows = []
        for row in values["layers"]:
            read: dict[str, Any] = {field.name: row[field.name] for field in fields(LayerCost)}
            read["output_shape"] = tuple(read["output_shape"])
            rows.append(LayerCost(**read))
        return cls(values["name"], tuple(rows), tuple(values.get("uncounted", ())))

    def __str__(self) -> str:
        return self.table(self.by_stage())

    def table(self, rows: Iterable[LayerCost] | None = None) -> str:
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
        told = [f"not counted: {', '.join(self.uncounted)}"] if self.uncounted else []
        return "\n".join([*(line.rstrip() for line in lines), *told])


def complexity(model: keras.Model) -> Complexity:
    """Count the parameters and multiply-adds of a functional model.

    One MAC is one multiplication with its addition in a convolution or dense layer, biases not
    counted; a squeeze-and-excitation layer also counts one for each element it rescales, as the
    paper's figures do. Static squeeze-and-excitation counts nothing: its gate goes into its
    neighbours. Recurrent layers count their two kernels at each step, attention its two products
    of sequences. Pooling, BatchNorm, activations, additions and multiplications by element count
    nothing. A layer used twice counts its parameters once; frozen layers count as others do.

    A layer without a formula, such as one of your own, is read and counted by what its `call`
    consists of. Where that cannot be read either, `Complexity.uncounted` names it.

    Args:
        model: A functional model for images of known size with the channels last.

    Returns:
        A `Complexity`, which prints itself as a table.

    Raises:
        TypeError: The model is not functional.
        ValueError: The image size is not known, or channels come first.

    Example:

    >>> image = keras.Input((8, 8, 3))
    >>> counted = complexity(keras.Model(image, keras.layers.Conv2D(4, 3)(image)))
    >>> counted.macs == 6 * 6 * 4 * 3 * 3 * 3, counted.trainable_params == 4 * (27 + 1)
    (True, True)
    """
    uncounted: list[str] = []
    rows = tuple(_rows(trace(model).nodes, set(), uncounted))
    return Complexity(model.name, rows, tuple(uncounted))


def _rows(nodes: list[Node], seen: set[int], uncounted: list[str]) -> Iterator[LayerCost]:
    for node in nodes:
        layer = node.operation
        macs = multiply_adds(node)
        if macs is None:
            inside = _inside(node, seen)
            if inside is None:
                uncounted.append(f"{node.path} ({type(layer).__name__})")
            else:
                yield from inside.layers
                uncounted.extend(inside.uncounted)
        is_layer = isinstance(layer, keras.layers.Layer)
        if not is_layer and not macs:
            continue
        trainable, everything = _count_params(layer, seen) if is_layer else (0, 0)
        yield LayerCost(
            name=node.path,
            kind=type(layer).__name__,
            output_shape=node.outputs[0].shape,
            params=trainable,
            other_params=everything - trainable,
            macs=macs or 0,
            is_se=isinstance(layer, Excite),
        )


def _inside(node: Node, seen: set[int]) -> Complexity | None:
    """Count what the layer's `call` consists of; None if that cannot be read or counted."""
    if not isinstance(node.operation, keras.layers.Layer):
        return None
    uncounted: list[str] = []
    begun = set(seen)
    try:
        rows = tuple(_rows(read_inside(node).nodes, begun, uncounted))
    except (TypeError, ValueError, NotImplementedError):
        return None
    seen |= begun
    return Complexity(node.path, rows, tuple(uncounted))


def _count_params(layer, seen):
    """Count the trainable and all weights that were not seen before.

    Keras's own properties forget which weights of a frozen layer were made to be trained.
    """
    trainable = {
        id(weight.value) for part in layer._flatten_layers() for weight in part._trainable_variables
    }
    sums = [0, 0]
    for weight in layer.weights:
        key = id(weight.value)
        if key not in seen:
            seen.add(key)
            sums[0] += math.prod(weight.shape) * (key in trainable)
            sums[1] += math.prod(weight.shape)
    return sums


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
