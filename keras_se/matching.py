"""Match arrays with the layers of a model by name, and account for every one of them."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from keras_se.graph import trace
from keras_se.layers.base import Excite
from keras_se.name_maps import check_keras, from_keras, number_inception

Arrays = dict[str, Any]  # NumPy arrays by LAYER/ROLE, or by ROLE


@dataclass(frozen=True)
class Loaded:
    """What loading did, by layer name.

    Args:
        layers: Layers that have their weights from the file.
        fresh: Layers that keep the ones they had.
        unused: Entries of the file that no layer wanted.
    """

    layers: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[str]]:
        """Return the names as plain values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, list[str]]) -> "Loaded":
        """Return the record that `to_dict` described."""
        return cls(**{name: tuple(names) for name, names in values.items()})

    def __str__(self) -> str:
        lines = [f"{len(self.layers)} layers loaded"]
        if self.fresh:
            lines.append(f"start fresh: {', '.join(self.fresh)}")
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        return "\n".join(lines)


def assign(
    model: keras.Model, entries: Arrays, transfer: bool = False, origin: str = "the given weights"
) -> Loaded:
    """Set the weights of `model` from arrays named `LAYER/kernel`; see `weights.load`.

    Args:
        model: A functional model.
        entries: The arrays.
        transfer: As in `weights.load`.
        origin: Where they come from, for errors.
    """
    wanted = {part.name: part for part in _weighted(model)}
    names = _renamed(entries, wanted)
    given = _by_layer(entries, names, wanted)
    foreign = [theirs for theirs, ours in names.items() if theirs != ours and ours in wanted]
    kernels = [f"{name}/{role}" for name, roles in given.items() for role in roles]
    check_keras(model, foreign, kernels, origin, transfer)
    _unfold(model, wanted, given)
    values, fresh = {}, []
    for name, part in wanted.items():
        arrays = _fit(part, given.get(name, {}))
        if arrays is None:
            fresh.append(name)
        else:
            values[name] = arrays
    unused = sorted(set(given) - set(wanted))
    excused = _excused(model, wanted, fresh, given) if transfer else set()
    unused_entries = [f"{name}/{role}" for name in unused for role in given[name]]
    failed = [name for name in fresh if name not in excused]
    if failed or (unused and not transfer) or not values:
        raise ValueError(_leftovers(model, origin, wanted, given, failed, unused, transfer))
    for name, arrays in values.items():
        for role, weight in wanted[name].weights.items():
            weight.assign(arrays[role])
    return Loaded(tuple(values), tuple(fresh), tuple(unused_entries))


@dataclass(frozen=True, eq=False)
class _Part:
    """A layer, or a layer within one, that holds weights itself."""

    name: str  # below the models and layers it is nested in
    owner: str  # the layer that is called
    layer: Any
    weights: dict[str, Any]  # by role


def _weighted(model) -> Iterator[_Part]:
    """List the parts that hold weights, in the order they run."""
    seen = set()
    for call in trace(model).nodes:
        layer = call.operation
        if id(layer) in seen or not isinstance(layer, keras.layers.Layer):
            continue
        seen.add(id(layer))
        parts = {}
        for weight in layer.weights:
            *inside, role = _below(weight.path.split("/"), layer.name)
            parts.setdefault("/".join([call.path, *inside]), {})[role] = weight
        for name, weights in parts.items():
            yield _Part(name, call.path, layer, weights)


def _below(path, name):
    """What stands behind a layer's name in a weight's path; it may have been renamed since."""
    return path[path.index(name) + 1 :] if name in path[:-1] else path[1:] or path


_ROLES = {"depthwise_kernel": "kernel", "running_mean": "moving_mean"}


def _renamed(entries, wanted):
    """Map the layers' names in the file to those of the model."""
    theirs = dict.fromkeys(key.rpartition("/")[0] for key in entries)
    names = number_inception(theirs, wanted)
    for name in theirs:
        if name not in names:
            ours = [name, *from_keras(name)]
            names[name] = next((n for n in ours if n in wanted), name)
    return names


def _by_layer(entries, names, wanted):
    """Group the arrays by the name that the model has for their layer."""
    given = {}
    for key, array in entries.items():
        layer, _, role = key.rpartition("/")
        name = names[layer]
        known = name in wanted and role in wanted[name].weights
        given.setdefault(name, {})[role if known else _ROLES.get(role, role)] = array
    for name, roles in given.items():  # numbers stand for roles in the layer's order
        if name in wanted and all(role.isdigit() for role in roles):
            ordered = [roles[role] for role in sorted(roles, key=int)]
            if len(ordered) == len(wanted[name].weights):
                given[name] = dict(zip(wanted[name].weights, ordered, strict=True))
    return given


def _unfold(model, wanted, given):
    """Move the bias of a convolution that has none in the model into the BatchNorm behind it."""
    for conv_name, bn_name in _normalized(model):
        conv, bn = wanted[conv_name].layer, wanted[bn_name].layer
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
    for call in trace(model).nodes:
        layer = call.operation
        if isinstance(layer, keras.layers.BatchNormalization) and id(call.inputs[0]) in makers:
            yield makers[id(call.inputs[0])], call.path
        if hasattr(layer, "kernel") and hasattr(layer, "use_bias"):
            makers[id(call.outputs[0])] = call.path


def _fit(part, roles):
    """Return the arrays in the shapes of the part's weights, or None if they do not match."""
    roles = dict(roles)
    if isinstance(part.layer, keras.layers.BatchNormalization):
        size = part.weights["moving_mean"].shape
        for role, default in (("gamma", np.ones), ("beta", np.zeros)):
            if "moving_mean" in roles and role not in roles and role in part.weights:
                roles[role] = default(size, "float32")
    if set(part.weights) != set(roles):
        return None
    arrays = {role: _reshape(roles[role], weight.shape) for role, weight in part.weights.items()}
    return None if any(array is None for array in arrays.values()) else arrays


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


def _excused(model, wanted, fresh, given):
    """Name the fresh layers that a new task may begin afresh.

    Those are its last layers, whatever the file has for them; layers that the file does not have
    and behind which only such layers come, as a decoder; and SE that the file does not have.
    """
    tensors, behind = {}, {name: set() for name in wanted}
    for call in trace(model).nodes:  # which weighted layers each tensor comes from, nearest only
        nearest = set().union(*(tensors.get(id(t), set()) for t in call.inputs))
        own = {name for name, part in wanted.items() if part.owner == call.path}
        if own:
            for name in nearest:
                behind[name] |= own
            nearest = own
        for tensor in call.outputs:
            tensors[id(tensor)] = nearest
    excused = set()
    for name in reversed([name for name in wanted if name in fresh]):
        absent = name not in given
        is_se = isinstance(wanted[name].layer, Excite)
        if not behind[name] or (absent and (is_se or behind[name] <= excused)):
            excused.add(name)
    return excused


def _leftovers(model, origin, wanted, given, failed, unused, transfer):
    def shapes(roles):
        return ", ".join(f"{role} {tuple(a.shape)}" for role, a in roles.items()) or "nothing"

    lines = [
        f"  {n}: needs {shapes(wanted[n].weights)}; given {shapes(given.get(n, {}))}"
        for n in failed
    ]
    extra = [f"  {name}: {shapes(given[name])}" for name in unused]
    advice = (
        "Build the network the weights were trained in (name, width, classes, se)."
        if transfer
        else "Build the network the weights were trained in (name, width, classes, se), or pass "
        "transfer=True to begin the last layers afresh."
    )
    return (
        f"Every weight in the file must find its layer, and every layer its weights. "
        f"Received: {origin} for model {model.name!r}.\n"
        f"Layers without their weights ({len(lines)}):\n{_cut(lines)}\n"
        f"Weights without a layer ({len(extra)}):\n{_cut(extra)}\n{advice}"
    )


def _cut(lines, most=20):
    shown = lines[:most] + ([f"  and {len(lines) - most} more"] if len(lines) > most else [])
    return "\n".join(shown) or "  none"
