"""Put trained weights into a model, and account for every one of them.

Read (`read`), rename (`name_maps`), match by layer name (`assign`): what is left over on either
side is an error that lists it. Nothing is ever unpickled.
"""

import json
import math
import os
import re
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from keras_se.graph import walk
from keras_se.layers import ConcurrentSqueezeExcite, SpatialSqueezeExcite, SqueezeExcite
from keras_se.name_maps import from_keras, number_inception, rename


@dataclass(frozen=True)
class Loaded:
    """What `load` did, by layer name.

    Args:
        layers: Layers that have their weights from the file.
        fresh: Layers that keep the ones they had.
        unused: Entries of the file that no layer wanted.
    """

    layers: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return the names as plain values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> "Loaded":
        """Return the record that `to_dict` described."""
        return cls(**{name: tuple(names) for name, names in values.items()})

    def __str__(self) -> str:
        lines = [f"{len(self.layers)} layers loaded"]
        if self.fresh:
            lines.append(f"start fresh: {', '.join(self.fresh)}")
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        return "\n".join(lines)


def load(model: keras.Model, path: str | os.PathLike, transfer: bool = False) -> Loaded:
    """Load weights by layer name, folded BatchNorm or not, and state dicts of timm, torchvision.

    A file whose convolution has a bias where the model has a BatchNorm is taken as folded: the
    BatchNorm gets gamma 1, beta the bias, mean 0, variance 1 - epsilon.

    Args:
        model: A functional model, such as `keras_se.models.build` makes.
        path: `.npz` with keys `LAYER/kernel`, `.safetensors` with the same or with the names of
            timm or torchvision, or `.weights.h5` / `.h5` as Keras writes them.
        transfer: Whether the model may differ where a new task begins: its last layers (another
            number of classes), and squeeze-and-excitation that the file does not have. Those
            start fresh and are named in what is returned.

    Returns:
        A `Loaded`, which prints which layers start fresh.

    Raises:
        ValueError: The file and the model do not match; both leftovers are listed.
    """
    entries = read(path)
    if any(key.endswith(".weight") for key in entries):
        entries = rename(entries, model, str(path))
    return assign(model, entries, transfer=transfer, source=str(path))


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a weight file into arrays by name, without executing anything in it."""
    path = Path(path)
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors, ".h5": _read_h5}
    if path.suffix in (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar"):
        raise ValueError(
            f"`path` must be a file that can be read without running code in it. Received: "
            f"{path.name}, which holds a pickle. Convert it where torch is installed:\n"
            f"  state = torch.load({path.name!r}, weights_only=True)\n"
            f"  safetensors.torch.save_file("
            f"{{k: v.contiguous() for k, v in state.items()}}, {path.stem + '.safetensors'!r})"
        )
    if path.suffix not in readers:
        raise ValueError(
            f"`path` must end in one of {', '.join(readers)}. Received: {path.name}. Save the "
            f"weights with numpy.savez(path, **{{'LAYER/kernel': array}}) or model.save_weights."
        )
    return readers[path.suffix](path)


def _read_npz(path):
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


_SAFE_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def _read_safetensors(path):
    """Read header length, JSON header, raw arrays (huggingface.co/docs/safetensors)."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else len(data)
    if 8 + length > len(data):
        raise ValueError(
            f"A .safetensors file must begin with the length of its header. Received: {path.name} "
            f"of {len(data)} bytes, which is cut off. Fetch it again."
        )
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _SAFE_DTYPES:
            raise ValueError(
                f"Weights must be of a type among {', '.join(_SAFE_DTYPES)}. Received: "
                f"{entry['dtype']} for {name!r} in {path.name}. Convert it to float32 first."
            )
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[begin:end], _SAFE_DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype("<u4") << 16).view("<f4")
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def _read_h5(path):
    import h5py

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        if "layer_names" in root.attrs:  # Keras 1 and 2: LAYER/LAYER/kernel:0
            return {
                f"{_text(layer)}/{_text(name).split('/')[-1].removesuffix(':0')}": np.array(
                    root[_text(layer)][_text(name)]
                )
                for layer in root.attrs["layer_names"]
                for name in root[_text(layer)].attrs["weight_names"]
            }
        return dict(_read_h5_group(file["layers"], ""))


def _read_h5_group(group, prefix):
    """Keras 3: GROUP/vars has the layer's name as an attribute and its variables by number."""
    for key, child in group.items():
        if key == "vars" or not hasattr(child, "items"):
            continue
        variables = child.get("vars")
        named = variables is not None and "name" in variables.attrs
        name = f"{prefix}{_text(variables.attrs['name'])}" if named else f"{prefix}{key}"
        roles = _roles(key, 0 if variables is None else len(variables))
        for index, role in enumerate(roles):
            yield f"{name}/{role}", np.array(variables[str(index)])
        yield from _read_h5_group(child, prefix if key == "layers" else f"{name}/")


def _roles(kind, count):
    if kind.startswith("batch_normalization"):
        return ("gamma", "beta", "moving_mean", "moving_variance")[4 - count :]
    return ("kernel", "bias")[:count]


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def assign(
    model: keras.Model, entries: dict, transfer: bool = False, source: str = "the given weights"
) -> Loaded:
    """Set the weights of `model` from arrays named `LAYER/kernel`; see `load`."""
    wanted = {name: layer for name, layer in _weighted(model)}
    given = _by_layer(entries, wanted)
    _unfold(model, wanted, given)
    values, fresh = {}, []
    for name, layer in wanted.items():
        arrays = _fit(layer, given.get(name, {}))
        if arrays is None:
            fresh.append(name)
        else:
            values[name] = arrays
    unused = sorted(set(given) - set(wanted))
    excused = _excused(model, wanted, given) if transfer else set()
    unused_entries = [f"{name}/{role}" for name in unused for role in given[name]]
    failed = [name for name in fresh if name not in excused]
    if failed or (unused and not transfer) or not values:
        raise ValueError(_leftovers(model, source, wanted, given, failed, unused, transfer))
    for name, arrays in values.items():
        wanted[name].set_weights(arrays)
    return Loaded(tuple(values), tuple(fresh), tuple(unused_entries))


_SE = (SqueezeExcite, SpatialSqueezeExcite)


def _weighted(model):
    """List `(name, layer)` of the layers that hold weights themselves, in the order they run."""
    seen = set()
    for call in walk(model):
        layer = call.operation
        if id(layer) in seen or not getattr(layer, "weights", None):
            continue
        seen.add(id(layer))
        yield from _parts(layer, call.path)


def _parts(layer, name):
    if isinstance(layer, ConcurrentSqueezeExcite):
        yield from _parts(layer.channel, f"{name}/channel")
        yield from _parts(layer.spatial, f"{name}/spatial")
    elif isinstance(layer, _SE):
        yield f"{name}/reduce", layer.reduce
        if isinstance(layer, SqueezeExcite):
            yield f"{name}/expand", layer.expand
    else:
        yield name, layer


_ROLES = {"depthwise_kernel": "kernel", "running_mean": "moving_mean"}


def _by_layer(entries, wanted):
    """Group the arrays by the name that the model has for their layer."""
    theirs = dict.fromkeys(key.rpartition("/")[0] for key in entries)
    names = number_inception(theirs, wanted)
    for name in theirs:
        if name not in wanted and name not in names:
            names[name] = next((ours for ours in from_keras(name) if ours in wanted), name)
    given = {}
    for key, array in entries.items():
        layer, _, role = key.rpartition("/")
        given.setdefault(names.get(layer, layer), {})[_ROLES.get(role, role)] = array
    return given


def _unfold(model, wanted, given):
    """Move the bias of a convolution that has none in the model into the BatchNorm behind it."""
    for conv_name, bn_name in _normalized(model):
        conv, bn = wanted[conv_name], wanted[bn_name]
        roles = given.get(conv_name, {})
        if conv.use_bias or "bias" not in roles:
            continue
        bias = np.asarray(roles.pop("bias"), "float32")
        if bn_name in given:  # the file normalises too: its mean moves
            given[bn_name]["moving_mean"] = given[bn_name]["moving_mean"] - bias
        else:
            one = np.ones_like(bias)
            given[bn_name] = {
                "gamma": one,
                "beta": bias,
                "moving_mean": 0 * one,
                "moving_variance": one * (1 - bn.epsilon),
            }


def _normalized(model):
    """List `(convolution, BatchNorm behind it)` by name."""
    makers = {}
    for call in walk(model):
        layer = call.operation
        if isinstance(layer, keras.layers.BatchNormalization) and id(call.inputs[0]) in makers:
            yield makers[id(call.inputs[0])], call.path
        if hasattr(layer, "kernel") and hasattr(layer, "use_bias"):
            makers[id(call.outputs[0])] = call.path


def _fit(layer, roles):
    """Return the layer's arrays in its own order and shapes, or None if they do not match."""
    names = [weight.path.rsplit("/", 1)[-1] for weight in layer.weights]
    roles = dict(roles)
    if isinstance(layer, keras.layers.BatchNormalization):
        size = layer.weights[-1].shape
        for role, default in (("gamma", np.ones), ("beta", np.zeros)):
            if "moving_mean" in roles and role not in roles and role in names:
                roles[role] = default(size, "float32")
    if set(names) != set(roles):
        return None
    arrays = [_reshape(roles[n], w.shape) for n, w in zip(names, layer.weights, strict=True)]
    return None if any(array is None for array in arrays) else arrays


def _reshape(array, shape):
    """Accept a dense kernel as a 1x1 convolution's and the reverse, nothing else."""
    if tuple(array.shape) == tuple(shape):
        return np.asarray(array)
    squeezed = [
        tuple(s[2:]) if len(s) == 4 and tuple(s[:2]) == (1, 1) else tuple(s)
        for s in (array.shape, shape)
    ]
    same = squeezed[0] == squeezed[1] and math.prod(array.shape) == math.prod(shape)
    return np.reshape(array, shape) if same else None


def _excused(model, wanted, given):
    """Name the layers that a new task may begin afresh: last ones, and SE that is not given."""
    tensors, last = {}, {}
    for call in walk(model):  # which weighted layers reach each tensor, nearest first
        reach = set().union(*(tensors.get(id(t), set()) for t in call.inputs))
        own = {name for name, layer in wanted.items() if _owner(name) == call.path}
        if own:
            for name in reach:
                last[name] = False
            last.update(dict.fromkeys(own, True))
            reach = own
        for tensor in call.outputs:
            tensors[id(tensor)] = reach
    excused = {name for name, is_last in last.items() if is_last}
    se = {name for name in wanted if re.search(r"/(reduce|expand)$", name) and name not in given}
    return excused | se


def _owner(name):
    return re.sub(r"(/channel|/spatial)?/(reduce|expand)$", "", name)


def _leftovers(model, source, wanted, given, failed, unused, transfer):
    def shapes(roles):
        return ", ".join(f"{role} {tuple(a.shape)}" for role, a in roles.items()) or "nothing"

    def needs(layer):
        return ", ".join(f"{w.path.rsplit('/', 1)[-1]} {tuple(w.shape)}" for w in layer.weights)

    lines = [f"  {n}: needs {needs(wanted[n])}; given {shapes(given.get(n, {}))}" for n in failed]
    extra = [f"  {name}: {shapes(given[name])}" for name in unused]
    advice = (
        "Build the network the weights were trained in (name, width, classes, se)."
        if transfer
        else "Build the network the weights were trained in (name, width, classes, se), or pass "
        "transfer=True to begin the last layers afresh."
    )
    return (
        f"Every weight in the file must find its layer, and every layer its weights. "
        f"Received: {source} for model {model.name!r}.\n"
        f"Layers without their weights ({len(lines)}):\n{_cut(lines)}\n"
        f"Weights without a layer ({len(extra)}):\n{_cut(extra)}\n{advice}"
    )


def _cut(lines, most=20):
    shown = lines[:most] + ([f"  and {len(lines) - most} more"] if len(lines) > most else [])
    return "\n".join(shown) or "  none"
