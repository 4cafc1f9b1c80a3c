"""Read weight files into arrays by name, without executing anything in them."""

import json
import os
import struct
from pathlib import Path

import numpy as np


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
