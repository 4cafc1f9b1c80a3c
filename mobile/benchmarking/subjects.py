"""The models to time, each with one batch of inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mobile import devices
from mobile.benchmarking.timings import Failure
from mobile.tflite.artifact import Artifact

_LARGEST_INPUT_BYTES = 1 << 30


@dataclass(frozen=True)
class Subject:
    """A model to time: its file, what the file says, and one batch of raw inputs."""

    name: str
    artifact: Artifact
    inputs: tuple

    def pack(self, prefix):
        """Return its entry in a job, and the files that go with it."""
        entry, files = devices.pack(self.name, self.artifact, self.inputs, prefix)
        if any(-1 in spec.shape for spec in self.artifact.inputs):
            entry["shape"] = [list(x.shape) for x in self.inputs]
            entry["input_names"] = [spec.name for spec in self.artifact.inputs]
        return entry, files


def subjects(contents, images=None, shape=None):
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
            found[name] = Subject(name, artifact, tuple(_inputs(artifact, images, shape)))
        except IsADirectoryError:
            failures.append(Failure(name, "read", "it is a folder. Name a .tflite file in it."))
        except Exception as error:  # a broken file breaks its reader in any way
            failures.append(Failure(name, "read", f"{error}" or type(error).__name__))
    unknown = set(shape) - {*known, *known.values()} if isinstance(shape, Mapping) else ()
    if unknown and known:
        raise ValueError(
            f"`shape` must name inputs of the models. Received: {', '.join(sorted(unknown))}. "
            f"Known: {_listed(known)}."
        )
    return found, failures


def _inputs(artifact, images, shape):
    """Return one batch of raw inputs."""
    shapes = _shapes(artifact.inputs, shape)
    if images is not None:
        prepared = artifact.prepare(images)
        arrays = prepared if isinstance(prepared, list) else [prepared]
        batches = [max(size[0], 1) if size else 1 for size in shapes]
        return [np.resize(x[:n], (n, *x.shape[1:])) for x, n in zip(arrays, batches, strict=True)]
    noise = np.random.default_rng(0)
    return [_noise(noise, s, size) for s, size in zip(artifact.inputs, shapes, strict=True)]


def _noise(noise, spec, shape):
    """Return random values that an input can take: pixels, a quantised value, or a small index."""
    shape = [max(size, 1) for size in shape]
    if spec.dtype in ("string", "resource", "variant"):
        raise TypeError(
            f"An input must hold numbers. Received: {spec.name!r} of {spec.dtype}. "
            f"Cut the model behind the part that reads text."
        )
    dtype = np.dtype(spec.dtype)
    if np.prod(shape, dtype=float) * dtype.itemsize > _LARGEST_INPUT_BYTES:
        raise MemoryError(
            f"An input must not be larger than 1 GiB. Received: {spec.name!r} of shape {shape}. "
            f"Is the file damaged? Else give another `shape`."
        )
    if dtype.kind in "fc":
        return noise.uniform(0, 255, shape).astype(dtype)
    if spec.scale or (dtype.itemsize == 1 and dtype.kind != "b"):
        limits = np.iinfo(dtype)
        return noise.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return noise.integers(0, 2, shape).astype(dtype)  # an index, a count, a mask


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
