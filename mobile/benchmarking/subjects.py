"""The models to time, and the inputs that they may be run on."""

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobile import devices, tflite
from mobile.benchmarking.timings import Failure
from mobile.tflite.artifact import Artifact

_LARGEST_INPUT_BYTES = 1 << 30
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # what float models are usually fed
_CELLS = (4, 16, 1 << 20)  # of noise like pictures: as coarse as parts, as things, as pixels


@dataclass(frozen=True)
class Subject:
    """A model to time: its file, what the file says, and a batch of raw inputs.

    Args:
        name: What the caller named it.
        artifact: The file.
        draw: Number to a batch of raw inputs: 0 and 1 are of one kind, 2 and 3 of the next, ...
        number: Which of them `inputs` is.
        fixed: Whether the caller said what to run on, so that only number 0 will do.
    """

    name: str
    artifact: Artifact
    draw: Callable[[int], list]
    number: int = 0
    fixed: bool = False

    @functools.cached_property
    def inputs(self) -> list[np.ndarray]:
        """One batch of raw inputs."""
        return self.draw(self.number)

    def drawn(self, number: int) -> "Subject":
        """Return the same with other inputs."""
        return self if number == self.number else replace(self, number=number)

    def pack(self, prefix: str) -> tuple[dict, dict]:
        """Return its entry in a job, and the files that go with it."""
        entry, files = devices.pack(self.name, self.artifact, self.inputs, prefix)
        if any(-1 in spec.shape for spec in self.artifact.inputs):
            entry["shape"] = [list(x.shape) for x in self.inputs]
            entry["input_names"] = [spec.name for spec in self.artifact.inputs]
        return entry, files


def subjects(
    contents: Mapping, images: Any = None, shape: Any = None
) -> tuple[dict[str, Subject], list]:
    """Return a `Subject` by name for every file that can be read, and a `Failure` for the others.

    Args:
        contents: Name to the file's bytes, or to the error that reading it gave.
        images: Pixels to run on; without them the input is noise.
        shape: As in `mobile.benchmark`.

    Raises:
        ValueError: `shape` names what is an input of no model.
    """
    found, failures, known = {}, [], {}
    for name, content in contents.items():
        try:
            if isinstance(content, Exception):
                raise content
            artifact = Artifact.from_content(content)
            known |= {spec.name: _short(spec.name) for spec in artifact.inputs}
            draw = _drawing(artifact, images, _shapes(artifact.inputs, shape))
            found[name] = Subject(name, artifact, draw, fixed=images is not None)
            found[name].inputs  # noqa: B018 - what cannot be made is told now
        except Exception as error:  # a broken file breaks its reader in any way
            found.pop(name, None)
            failures.append(Failure(name, "read", f"{error}" or type(error).__name__))
    unknown = set(shape) - {*known, *known.values()} if isinstance(shape, Mapping) else ()
    if unknown and known:
        raise ValueError(
            f"`shape` must name inputs of the models. Received: {', '.join(sorted(unknown))}. "
            f"Known: {_listed(known)}."
        )
    return found, failures


def _drawing(artifact, images, shapes):
    """Return the function that draws a batch of raw inputs."""
    shapes = [tuple(max(size, 1) for size in shape) for shape in shapes]
    if images is not None:
        return functools.partial(_of_images, artifact, images, shapes)
    for spec, shape in zip(artifact.inputs, shapes, strict=True):
        _check(spec, shape)
    ranges = [_ranges(artifact, spec) for spec in artifact.inputs]
    return functools.partial(_of_noise, artifact, shapes, ranges)


def _of_images(artifact, images, shapes, number):
    """Return images of the caller, the first ones for 0; what is missing for 1 is noise."""
    several = isinstance(images, list | tuple)
    arrays = [np.asarray(x) for x in (images if several else [images])]
    batches = [shape[0] if shape else 1 for shape in shapes]
    noise = np.random.default_rng(number)
    chosen = []
    for x, count in zip(arrays, batches, strict=False):
        if not x.size:
            raise ValueError(
                f"`images` must hold at least one. Received: none, of shape {x.shape}. "
                f"Leave `images` out to run on noise."
            )
        part = x[number * count : (number + 1) * count] if number == 0 or len(x) > count else None
        if part is None:
            low, high = float(x.min()), float(x.max())
            low, high = (low, high) if low < high else (0.0, high or 1.0)
            part = low + _pictures(noise, (count, *x.shape[1:])) * (high - low)
        chosen.append(np.resize(part.astype(x.dtype), (count, *x.shape[1:])))
    with warnings.catch_warnings():
        if number:  # what there is to say of the caller's images has been said
            warnings.simplefilter("ignore")
        prepared = artifact.prepare(chosen if several else chosen[0])
    return prepared if several else [prepared]


def _of_noise(artifact, shapes, ranges, number):
    """Return noise that each input can take: pixels, a quantised value, or a small index."""
    noise, drawn = np.random.default_rng(number), []
    for spec, shape, known in zip(artifact.inputs, shapes, ranges, strict=True):
        dtype = np.dtype(spec.dtype)
        if dtype.kind in "fc":
            low, high = known[number // 2 % len(known)]
            drawn.append((low + _pictures(noise, shape) * (high - low)).astype(dtype))
        elif spec.scale or (dtype.itemsize == 1 and dtype.kind != "b"):
            limits = np.iinfo(dtype)
            steps = np.round(_pictures(noise, shape) * (int(limits.max) - int(limits.min)))
            drawn.append((steps + int(limits.min)).astype(dtype))
        else:
            drawn.append(noise.integers(0, 2, shape).astype(dtype))  # an index, a count, a mask
    return drawn


def _ranges(artifact, spec):
    """Return the ranges that a float input may be made for, the likeliest first.

    The file may say so itself: in our metadata, or by the scale at which it is quantised first.
    """
    if np.dtype(spec.dtype).kind not in "fc":
        return ()
    known = artifact.preprocessing
    if known is not None and len(artifact.inputs) == 1:
        scale, offset = np.min(np.abs(known.scale)), np.mean(known.offset)
        return (tuple(float(scale * edge + offset) for edge in known.input_range),)
    for op in tflite.read(artifact.content).operators:
        reads = [t.name for t in op.inputs if t is not None]
        if op.name == "QUANTIZE" and reads == [spec.name] and op.outputs[0].spec.scale:
            made = op.outputs[0].spec
            limits = np.iinfo(made.dtype)
            low, high = made.dequantize([limits.min, limits.max])
            return ((float(low), float(high)),)
    return _RANGES


def _pictures(noise, shape):
    """Return noise from 0 to 1; of four dimensions, with coarse and fine parts as pictures have.

    White noise has no parts that a network could know: its answers are weak, and rounding moves
    them far. (Google's int8 MobileNetV3-Small: two kinds of kernels differ by 0.38 in the median of
    32 white pictures, by 0.13 in that of these, by 0.15 in that of photographs.)
    """
    if len(shape) != 4:
        return noise.random(shape)
    count, height, width, channels = shape
    total = np.zeros(shape)
    for cells in _CELLS:
        rows, columns = min(cells, height), min(cells, width)
        coarse = noise.random((count, rows, columns, channels))
        down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
        total += coarse[:, down[:, None], across]
    return total / len(_CELLS)


def _check(spec, shape):
    """Raise if an input cannot be filled with noise."""
    if spec.dtype in ("string", "resource", "variant"):
        raise TypeError(
            f"An input must hold numbers. Received: {spec.name!r} of {spec.dtype}. "
            f"Cut the model behind the part that reads text."
        )
    if np.prod(shape, dtype=float) * np.dtype(spec.dtype).itemsize > _LARGEST_INPUT_BYTES:
        raise MemoryError(
            f"An input must not be larger than 1 GiB. Received: {spec.name!r} of shape "
            f"{list(shape)}. Is the file damaged? Else give another `shape`."
        )


def _short(name):
    """Return an input's name without what the converter puts around it."""
    return name.removeprefix("serving_default_").partition(":")[0]


def _listed(names):
    return ", ".join(repr(_short(name)) for name in names)


def _shapes(specs, shape):
    """Return each input's shape, with what the user says in place of what the file leaves open."""
    named = {}
    if isinstance(shape, Mapping):
        for spec in specs:
            for name in {_short(spec.name), spec.name} & set(shape):
                named[spec.name] = shape[name]
    elif shape is not None:
        if len(specs) != 1:
            raise ValueError(
                f"`shape` must be {{input name: shape}} for a model of {len(specs)} inputs. "
                f"Received: {tuple(shape)}. Known: {_listed(s.name for s in specs)}."
            )
        named = {specs[0].name: shape}
    shapes = []
    for spec in specs:
        wanted = tuple(int(size) for size in named.get(spec.name, spec.shape))
        fits = len(wanted) == len(spec.shape) and all(
            ours in (-1, theirs) for ours, theirs in zip(spec.shape, wanted, strict=True)
        )
        if not fits:
            raise ValueError(
                f"`shape` must fit {spec.shape} of input {spec.name!r}, where -1 is left open. "
                f"Received: {wanted}. Convert the model with another size, or leave `shape` out."
            )
        shapes.append(wanted)
    return shapes
