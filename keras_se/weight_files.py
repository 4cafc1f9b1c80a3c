"""Read weight files into arrays by name, without executing anything in them."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a weight file into arrays by name, without executing anything in it.

    Args:
        path: `.npz`, `.safetensors`, or `.h5`: `.weights.h5` or a whole model, of any Keras.

    Returns:
        Arrays by `LAYER/ROLE`, or by the file's own names. Keras 3 numbers a layer's weights in
        `.weights.h5`; where the roles are not plain from its kind, they stay numbers.

    Raises:
        ValueError: The file is of another kind, or cut off.
    """
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
        root: Any = file.get("model_weights", file)
        if "layers" in file and "layer_names" not in root.attrs:
            return dict(_read_h5_group(file["layers"], ""))
        return {
            _by_layer(layer, name): np.array(root[layer][name])
            for layer in _attribute(root, "layer_names")
            for name in _attribute(root[layer], "weight_names")
        }


def _attribute(group, name):
    """A list of names, which HDF5 wants cut in pieces where it is long."""
    pieces = [name] if name in group.attrs else [k for k in group.attrs if k.startswith(name)]
    pieces.sort(key=lambda piece: int(f"0{piece.removeprefix(name)}"))
    return [_text(value) for piece in pieces for value in group.attrs[piece]]


def _by_layer(layer, name):
    """Name a weight of a whole-model file below its layer, whether or not it says that layer.

    >>> _by_layer("conv", "conv_1/kernel:0"), _by_layer("inner", "conv/kernel:0")
    ('conv/kernel', 'inner/conv/kernel')
    """
    parts = name.removesuffix(":0").split("/")
    own = (i for i, x in enumerate(parts[:-1]) if re.fullmatch(rf"{re.escape(layer)}(_\d+)?", x))
    return "/".join([layer, *parts[next(own, -1) + 1 :]])


def _read_h5_group(group, prefix):
    """Keras 3: GROUP/vars has the layer's name as an attribute and its variables by number."""
    for key, child in group.items():
        if key == "vars" or not hasattr(child, "items"):
            continue
        variables = child.get("vars", {})
        told = getattr(variables, "attrs", {}).get("name", key)
        name = f"{prefix}{_text(told)}"
        for index, role in enumerate(_roles(key, len(variables))):
            yield f"{name}/{role}", np.array(variables[str(index)])
        yield from _read_h5_group(child, prefix if key == "layers" else f"{name}/")


_WITH_KERNEL = r"(dense|conv\dd(_transpose)?|depthwise_conv\dd|reduce|expand)(_\d+)?"


def _roles(kind, count):
    if re.fullmatch(r"batch_normalization(_\d+)?", kind):
        return ("gamma", "beta", "moving_mean", "moving_variance")[4 - count :]
    if count <= 2 and re.fullmatch(_WITH_KERNEL, kind):
        return ("kernel", "bias")[:count]
    return tuple(map(str, range(count)))


def _text(value):
    return value.decode() if isinstance(value, bytes) else value
