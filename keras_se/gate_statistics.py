"""What the gates of a model do over images: their means, their spread, and the best constants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_se.checks import check_count
from keras_se.gated_blocks import find_gated_blocks

_END = 0.01  # how near to 0 or 1 a gate counts as saturated


@dataclass(frozen=True, eq=False)
class BlockGates:
    """The gates of one block over images: arrays of one value a channel.

    Of spatial squeeze-and-excitation, which gates positions, one value a position.

    Args:
        name: The block's name.
        kind: `"cse"` or `"sse"`.
        shape: Of the tensor that is multiplied, without the batch.
        mean: Mean over images.
        spread: Standard deviation over images.
        constant: `sum(x^2 g) / sum(x^2)`, over images and positions: the constant that is nearest
            to the gate `g` of `x` in squared error of `x * g`. The mean where `x` is zero.
        error: What that constant leaves: `|x * constant - x * g| / |x * g|`.
        saturated: Share of gates within 0.01 of 0 or 1.
        class_means: Mean over the images of each class, `(classes, channels)`; None without labels.
        reason: Why the gate cannot become a constant for each channel; None if it can.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    mean: np.ndarray
    spread: np.ndarray
    constant: np.ndarray
    error: float
    saturated: float
    class_means: np.ndarray | None = None
    reason: str | None = None

    @property
    def elements(self) -> int:
        """How many values one image has multiplied."""
        return math.prod(self.shape)

    def to_dict(self) -> dict:
        """Return plain values, arrays as lists."""
        values = asdict(self) | {"shape": list(self.shape)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict) -> BlockGates:
        """Return the record that `to_dict` described. Keys that are no field are skipped."""
        read: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        for name in ("mean", "spread", "constant", "class_means"):
            read[name] = None if values[name] is None else np.array(values[name])
        read["shape"] = tuple(read["shape"])
        return cls(**read)


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates of a model over images, block by block. Prints itself as a table.

    Args:
        model: The model's name.
        images: How many there were.
        blocks: One record a block, in the model's order.
        classes: The labels that `class_means` are of, sorted.
        skipped: Name of a multiplication to the reason why it is no gated block, where it looks
            like one.
    """

    model: str
    images: int
    blocks: tuple[BlockGates, ...]
    classes: tuple = ()
    skipped: dict[str, str] | None = None

    def __getitem__(self, name: str) -> BlockGates:
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(
            f"Gates are read by the name of a block. Received: {name!r}. Known are "
            f"{', '.join(block.name for block in self.blocks)}."
        )

    def to_dict(self) -> dict:
        """Return plain values, arrays as lists."""
        return {
            "model": self.model,
            "images": self.images,
            "blocks": [block.to_dict() for block in self.blocks],
            "classes": list(self.classes),
            "skipped": dict(self.skipped or {}),
        }

    @classmethod
    def from_dict(cls, values: dict) -> Gates:
        """Return the record that `to_dict` described. Keys that are no field are skipped."""
        blocks = tuple(BlockGates.from_dict(block) for block in values["blocks"])
        classes, skipped = tuple(values["classes"]), values["skipped"]
        return cls(values["model"], values["images"], blocks, classes, skipped)

    def __str__(self) -> str:
        head = ["block", "tensor", "gate", "spread", "widest", "saturated", "error"]
        rows = [
            [
                b.name,
                "x".join(map(str, b.shape)),
                f"{b.mean.mean():.3f}",
                f"{b.spread.mean():.3f}",
                f"{b.spread.max():.3f}",
                f"{b.saturated:.0%}",
                f"{b.error:.1%}",
            ]
            for b in self.blocks
        ]
        if self.classes:
            head.append("by class")
            for row, b in zip(rows, self.blocks, strict=True):
                row.append(f"{np.std(np.asarray(b.class_means), axis=0).mean():.3f}")
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(
                text.rjust(width) if i > 1 else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (head, *rows)
        ]
        lines += [f"{b.name}: {b.reason}" for b in self.blocks if b.reason]
        lines += [f"{name} is no gated block: {why}" for name, why in (self.skipped or {}).items()]
        return "\n".join(lines)


def gates(
    model: keras.Model,
    images: np.ndarray | Iterable,
    labels: np.ndarray | None = None,
    batch_size: int = 16,
) -> Gates:
    """Run a model on images and describe the gates of its squeeze-and-excitation.

    Our layers, and blocks written by hand: see `keras_se.gated_blocks`. Images pass once, batch
    by batch; the model is not changed.

    Args:
        model: A functional or sequential model.
        images: Array `(count, height, width, channels)` as the model takes it, or an iterable of
            such batches. For a model with several inputs a list of arrays, or batches of them.
        labels: The class of each image, for means by class: `(count,)` or `(count, 1)`.
        batch_size: Images at a time, where `images` is an array.

    Returns:
        `Gates`, which prints itself as a table: `gate` and `spread` are means over the channels,
        `by class` is the standard deviation of the means of the classes.

    Raises:
        TypeError: The model is not functional.
        ValueError: The model has no gated block; there are fewer than two images, or they are all
            alike, not finite, or of another shape; there are not as many labels.

    Source:
        Hu et al., 2018, arXiv:1709.01507 v4, section 7 and figures 6 and 7, plots means by class.

    Example:

    >>> import keras_se
    >>> image = keras.Input((8, 8, 16))
    >>> model = keras.Model(image, keras_se.SqueezeExcite(name="se")(image))
    >>> found = gates(model, np.random.default_rng(0).normal(size=(4, 8, 8, 16)))
    >>> found["se"].constant.shape
    (16,)
    """
    check_count("batch_size", batch_size, 1, "Pass 16, or fewer if memory is short.")
    found = find_gated_blocks(model)
    if not found.blocks:
        alike = "; ".join(f"{name}: {why}" for name, why in found.skipped.items())
        raise ValueError(
            f"The model must have squeeze-and-excitation: a tensor multiplied by a gate that is "
            f"read from it. Received: model {model.name!r} without"
            f"{f', though it has what looks like it ({alike})' if alike else ''}. Pass a model "
            f"that has it, as it was before lowering and quantisation."
        )
    labels = _checked_labels(labels)
    sites = {gate: (b, x) for b in found.blocks for x, gate in b.sites}
    sums = {block: _Sums(block) for block in found.blocks}
    last = max(i for i, node in enumerate(found.graph.nodes) if sites.keys() & set(node.outputs))
    passing = _Images(model, images, batch_size)
    for batch, count in passing:
        here = None if labels is None else labels[passing.count - count : passing.count]
        if here is not None and len(here) < count:
            break
        for number, (node, values) in enumerate(found.graph.run(batch)):
            for ref in sites.keys() & set(node.outputs):
                block, x = sites[ref]
                sums[block].add(values[x], values[ref], here)
            if number == last:
                break
    passing.finish()
    if labels is not None and len(labels) != passing.count:
        raise ValueError(
            f"`labels` must hold one class for each image. Received: {len(labels)} labels for "
            f"{passing.count} images{' or more' if len(labels) < passing.count else ''}. Pass as "
            f"many, in the same order."
        )
    classes = () if labels is None else tuple(np.unique(labels).tolist())
    blocks = tuple(sums[block].record(classes) for block in found.blocks)
    return Gates(model.name, passing.count, blocks, classes, found.skipped)


class _Sums:
    """What is kept of one block while images pass, in float64."""

    def __init__(self, block):
        self.block, self.count, self.shape = block, 0, ()
        self.base = self.total = self.squares = np.zeros(1)  # of gates, less the first image's
        self.energy, self.ends = np.zeros(3), 0  # x^2 times 1, g and g^2
        self.classes = {}

    def add(self, x, gate, labels):
        """Count a batch: a tensor and its gate."""
        axis = self.block.axis
        over = [a for a in range(1, len(x.shape)) if (a == axis) == (self.block.kind == "sse")]
        self.shape = self.shape or tuple(int(size) for size in x.shape[1:])
        energy = ops.sum(ops.square(ops.cast(x, "float32")), axis=over)
        energy, gate = (
            np.asarray(ops.convert_to_numpy(ops.cast(t, "float32")), "float64").reshape(
                int(x.shape[0]), -1
            )
            for t in (energy, gate)
        )
        if self.count == 0:
            self.base = gate[0]
        self.count += len(gate)
        self.total = self.total + (gate - self.base).sum(axis=0)
        self.squares = self.squares + np.square(gate - self.base).sum(axis=0)
        self.ends += np.mean((np.abs(gate) <= _END) | (np.abs(gate - 1) <= _END)) * len(gate)
        powers = np.stack([energy, energy * gate, energy * gate**2]).sum(axis=1)
        self.energy = powers if self.energy.ndim == 1 else self.energy + powers
        for label in () if labels is None else np.unique(labels):
            chosen = gate[labels == label]
            count, total = self.classes.get(label, (0, 0.0))
            self.classes[label] = count + len(chosen), total + chosen.sum(axis=0)

    def record(self, classes):
        """What was seen."""
        energy, first, second = self.energy
        mean = self.base + self.total / self.count
        constant = np.where(energy > 0, first / np.where(energy > 0, energy, 1), mean)
        lost = np.maximum(second - first * constant, 0).sum()
        return BlockGates(
            name=self.block.name,
            kind=self.block.kind,
            shape=self.shape,
            mean=mean,
            spread=np.sqrt(
                np.maximum(self.squares / self.count - (self.total / self.count) ** 2, 0)
            ),
            constant=constant,
            error=float(np.sqrt(lost / second.sum())) if second.sum() else 0.0,
            saturated=float(self.ends / self.count),
            class_means=np.stack([self.classes[c][1] / self.classes[c][0] for c in classes])
            if classes
            else None,
            reason=self.block.reason,
        )


def _checked_labels(labels):
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"`labels` must hold one class for each image: shape (count,) or (count, 1). Received: "
            f"shape {labels.shape}. Of one-hot rows pass labels.argmax(axis=-1)."
        )
    return labels


class _Images:
    """Batches of images, as a list of one tensor an input, checked as they pass."""

    def __init__(self, model, images, batch_size):
        self.model, self.images, self.batch_size = model, images, batch_size
        self.count, self.first, self.differ = 0, None, False

    def __iter__(self):
        for batch in self._batches():
            arrays = [np.asarray(array) for array in batch[: len(self.model.inputs)]]
            for array, entrance in zip(arrays, self.model.inputs, strict=True):
                self._check(array, entrance)
            if not len(arrays[0]):
                continue
            self.count += len(arrays[0])
            self.first = arrays[0][0].copy() if self.first is None else self.first
            self.differ = self.differ or bool((arrays[0] != self.first).any())
            tensors = [
                ops.convert_to_tensor(array, dtype=entrance.dtype)
                for array, entrance in zip(arrays, self.model.inputs, strict=True)
            ]
            yield tensors, len(arrays[0])

    def _batches(self):
        images, several = self.images, len(self.model.inputs) > 1
        if several and isinstance(images, list | tuple):
            columns = [np.asarray(column) for column in images]
        elif hasattr(images, "__array__"):
            columns = [np.asarray(images)]
        else:
            yield from (b if isinstance(b, list | tuple) else [b] for b in images)
            return
        for start in range(0, len(columns[0]), self.batch_size):
            yield [column[start : start + self.batch_size] for column in columns]

    def _check(self, array, entrance):
        shape = tuple(entrance.shape[1:])
        if array.ndim != len(shape) + 1 or any(
            size not in (None, got) for got, size in zip(array.shape[1:], shape, strict=True)
        ):
            raise ValueError(
                f"`images` must be as the model takes them: (count, {', '.join(map(str, shape))}). "
                f"Received: a batch of shape {array.shape}, for input {entrance.name!r} of model "
                f"{self.model.name!r}. Resize them, and put single ones in an array."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"`images` must be finite. Received: NaN or infinity in an array of shape "
                f"{array.shape}, for model {self.model.name!r}. Look at how they were scaled."
            )

    def finish(self):
        """Judge the images as a whole."""
        if self.count < 2:
            raise ValueError(
                f"`images` must be at least two, and are better a hundred: how a gate varies shows "
                f"only then. Received: {self.count}, for model {self.model.name!r}. Pass more."
            )
        if not self.differ:
            raise ValueError(
                f"`images` must differ: how a gate varies shows only then. Received: {self.count} "
                f"times the same, for model {self.model.name!r}. Pass real images, each once."
            )
