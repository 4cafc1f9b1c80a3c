"""A .tflite file as a record: its bytes, what is in it, and how to feed it."""

import hashlib
import os
import pathlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from mobile.record import Count, Record, converted, table, write_file
from mobile.tflite.content import content_of
from mobile.tflite.file import read, write_metadata
from mobile.tflite.tensor import TensorSpec


@dataclass(frozen=True)
class Preprocessing(Record):
    """What turns a pixel into the model's input: tensor = pixel * scale + offset.

    Args:
        scale: One factor, or one a channel.
        offset: One summand, or one a channel.
        input_range: Smallest and largest pixel value.

    >>> Preprocessing((1 / 127.5,), (-1.0,)).apply(np.array([[[[0.0], [255.0]]]])).ravel().tolist()
    [-1.0, 1.0]
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    input_range: tuple[float, float] = (0.0, 255.0)

    def apply(self, images: Any) -> np.ndarray:
        """Return float32 `images * scale + offset`; pixels outside `input_range` are an error."""
        images = np.asarray(images)
        low, high = self.input_range
        if images.size and (images.min() < low or images.max() > high):
            raise ValueError(
                f"Pixels must lie from {low:g} to {high:g}. Received: {images.min():g} to "
                f"{images.max():g}, of shape {images.shape}. Pass images before any preprocessing."
            )
        if images.size and images.dtype.kind == "f" and high > 2 and 0 < images.max() <= 1:
            warnings.warn(
                f"Pixels lie from {images.min():g} to {images.max():g}, where {low:g} to {high:g} "
                f"is expected: they look scaled already. Pass images before any preprocessing.",
                stacklevel=3,
            )
        scale, offset = (np.asarray(x, np.float32) for x in (self.scale, self.offset))
        return images.astype(np.float32) * scale + offset

    def __str__(self):
        return table(("preprocessing", ""), [(k, str(v)) for k, v in self.to_dict().items()])


@dataclass(frozen=True)
class Artifact(Record):
    """A .tflite file, what is in it, and how to feed it. Make one with `from_content` or `load`.

    Args:
        content: The file.
        scheme: `float32`, `float16`, `dynamic`, `int8`, `int16x8`, or `unknown` of a stranger's.
        operators: Operator and dtype, such as `"CONV_2D int8"`, to count.
        preprocessing: What `prepare` does to pixels first; None where the file does it itself.
        partitions: Pieces that the runtime's delegate took; None if never asked.
        inputs: The input tensors.
        outputs: The output tensors.
        classes: Names of the classes, in the order of the output; none where nobody wrote them.
    """

    content: bytes = field(repr=False)
    scheme: str
    operators: dict[str, Count]
    preprocessing: Preprocessing | None = None
    partitions: Count | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    classes: tuple[str, ...] = ()

    SUMMARY: ClassVar = ("size_bytes", "sha256")

    @classmethod
    def from_content(
        cls,
        content: bytes,
        scheme: str | None = None,
        preprocessing: Preprocessing | None = None,
        partitions: int | None = None,
    ) -> "Artifact":
        """Read a .tflite. Without `scheme`, that and preprocessing come from its own metadata.

        Given a `scheme`, both are written into the metadata first, so that the file alone says how
        it must be fed.
        """
        if scheme is not None:
            said = {"scheme": scheme, "preprocessing": preprocessing and preprocessing.to_dict()}
            content = write_metadata(content, "keras_se", said)
        file = read(content)
        said = file.metadata.get("keras_se") or {}
        return cls(
            content=bytes(content),
            scheme=said.get("scheme", "unknown"),
            operators=file.operator_counts,
            preprocessing=converted(
                said.get("preprocessing"), Preprocessing | None, "preprocessing"
            ),
            partitions=partitions,
            inputs=file.inputs,
            outputs=file.outputs,
            classes=converted(said.get("classes") or (), tuple[str, ...], "classes"),
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Artifact":
        """Read a .tflite file, ours or a stranger's."""
        return cls.from_content(content_of(path))

    def with_classes(self, classes: Sequence[str]) -> "Artifact":
        """Return the file with the names of its classes in its metadata, in its outputs' order."""
        said = {**(read(self.content).metadata.get("keras_se") or {}), "classes": list(classes)}
        content = write_metadata(self.content, "keras_se", said)
        return replace(self, content=content, classes=tuple(classes))

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Write the .tflite file and return its path."""
        return write_file(path, self.content)

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)

    @property
    def sha256(self) -> str:
        """Fingerprint of the file, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def prepare(self, images: Any) -> Any:
        """Return the exact input tensor for images: preprocessed, then quantised.

        Args:
            images: `(count, height, width, channels)` pixels; of a model with several inputs, a
                list with one such array each, and the answer is a list too.
        """
        if isinstance(images, list | tuple):
            if len(images) != len(self.inputs):
                raise ValueError(
                    f"The model has {len(self.inputs)} inputs. Received: {len(images)} arrays. "
                    f"Pass one array for each of {[spec.name for spec in self.inputs]}."
                )
            return [self._prepare(x, s) for x, s in zip(images, self.inputs, strict=True)]
        if len(self.inputs) != 1:
            raise ValueError(
                f"The model has {len(self.inputs)} inputs. Received: one array. "
                f"Pass a list, one array for each of {[spec.name for spec in self.inputs]}."
            )
        return self._prepare(images, self.inputs[0])

    def _prepare(self, images, spec):
        images = np.asarray(images)
        if images.ndim != len(spec.shape) or any(
            want not in (have, -1)
            for have, want in zip(images.shape[1:], spec.shape[1:], strict=True)
        ):
            raise ValueError(
                f"Input {spec.name!r} takes images of shape (count, "
                f"{', '.join(map(str, spec.shape[1:]))}). Received: shape {images.shape}. "
                f"Resize the images first."
            )
        return spec.quantize(self.preprocessing.apply(images) if self.preprocessing else images)

    def restore(self, outputs: Any) -> Any:
        """Return float32 outputs from the file's raw ones; a list gives a list."""
        if isinstance(outputs, list | tuple):
            return [s.dequantize(y) for y, s in zip(outputs, self.outputs, strict=True)]
        return self.outputs[0].dequantize(outputs)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the content, with its size and fingerprint instead."""
        return {name: value for name, value in super().to_dict().items() if name != "content"}

    @classmethod
    def from_dict(cls, values: Any, content: bytes = b"") -> "Artifact":
        """Return the record of `to_dict` with the file's `content`, whose fingerprint must fit."""
        if content and hashlib.sha256(content).hexdigest() != values["sha256"]:
            raise ValueError(
                f"The content must be the file that was described. Received: another one, "
                f"{len(content)} bytes. Load the file of {values['size_bytes']} bytes."
            )
        return super().from_dict({**values, "content": content})

    def __str__(self):
        facts = [("scheme", self.scheme), ("size", f"{self.size_bytes / 1e6:.3f} MB")]
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            facts += [(kind, f"{s.name} {s.shape} {s.dtype}") for s in specs]
        facts += [("partitions", "?" if self.partitions is None else self.partitions)]
        if self.preprocessing:
            facts += [("preprocessing", self.preprocessing.to_dict())]
        facts += sorted(self.operators.items(), key=lambda item: (-item[1], item[0]))
        return table(("artifact", ""), [(name, str(value)) for name, value in facts])
