"""When two outputs count as equal, which layer broke it, and what looks wrong.

End to end an int8 network is chaotic: one level of difference in one operator changes logits by
a dozen levels, and two right runtimes differ as much from each other as from the simulation.
So whole networks are compared by agreement, and single operators by level: fed its own int8
inputs, each must be at most one level from what the Keras layers compute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_se.graph import check_functional
from mobile import devices, tflite
from mobile.conversion.agreement import Agreement, Blame
from mobile.lowering import lower
from mobile.quantization import calibration_images, classes, keras_engine, range_plan
from mobile.quantization.channel_weights import importances
from mobile.quantization.functions_behind import function_behind
from mobile.record import Record
from mobile.tflite.artifact import Artifact
from mobile.tflite.content import content_of
from mobile.tflite.file import Tensor

_LEVELS = 256
_SILENT: Any = {"verbose": 0}  # which Keras annotates as a word
_FEW = 8  # images that tensors inside the model are read for


@dataclass(frozen=True)
class OperatorCheck(Record):
    """An operator of an int8 file against the Keras layers it stands for, on the same int8 inputs.

    `worst_levels` is the largest difference in steps of the output, `share_off` the share of
    values that differ at all.
    """

    layer: str
    operator: str
    worst_levels: int
    share_off: float


def verify(
    model: Any, artifact: Any, images: Any, labels: Any = None, blame: bool = False
) -> Agreement:
    """Compare a .tflite with the Keras model it came from, on the same images.

    Args:
        model: The original, lowered or quantisation-aware model.
        artifact: An `Artifact`, the bytes of a .tflite, or a path; or another form of the model,
            lowered or quantisation-aware, which is then called `candidate`.
        images: An array as the Keras model takes it (pixels, where it preprocesses itself); of a
            model with several inputs a list of arrays, or a dictionary by the input's name.
        labels: Class numbers `(count,)` or `(count, 1)`, for the accuracy of each side; of a
            segmentation model, masks `(count, height, width)`, where 255 and -1 are not counted.
        blame: Whether to compare every layer too, and look for pitfalls inside (int8 files).
            Signal-to-noise is weighed by channel with what the next convolution makes of it.

    Returns:
        An `Agreement`; several outputs count together, and the first one has the classes. One
        channel alone says yes above 0.5, or above 0 where outputs leave 0 to 1.

    Raises:
        ValueError: Images, answers or labels are not what they must be, such as NaN or strings.
    """
    is_keras = hasattr(artifact, "predict")
    artifact = artifact if is_keras else _artifact(artifact)
    images = _columns(model, images)
    names = calibration_images.input_names(model)
    if len(images[0]) == 0 or (labels is not None and len(labels) != len(images[0])):
        raise ValueError(
            f"Verification needs images, and a label for each if any. Received: {len(images[0])} "
            f"images, {'no' if labels is None else len(labels)} labels. Pass as many of both."
        )
    truth = _predict(model, images)
    _check_finite(model.name, truth)
    if is_keras:
        answers, candidate = _predict(artifact, images), "candidate"
    else:
        answers, candidate = _answers(artifact, dict(zip(names, images, strict=True))), "tflite"
        answers = [answers[i] for i in _output_order(artifact, model)]
    _check_finite(f"the {candidate}", answers)
    answers = _in_order(answers, truth)
    differences = np.concatenate(
        [np.abs(t - a).reshape(-1) for t, a in zip(truth, answers, strict=True)]
    )
    answered, accuracy = [classes.classes_of(side[0]) for side in (truth, answers)], None
    if labels is not None:
        labels = classes.checked_labels(labels, truth[0])
        keras_side, other = (classes.accuracy(each, labels) for each in answered)
        accuracy = {"keras": keras_side, candidate: other}
    layers, pitfalls = (), tuple(said for each in images for said in image_pitfalls(each))
    if blame and not is_keras:
        few = [column[:_FEW] for column in images]
        inside = _Inside(artifact, _for_file(artifact, dict(zip(names, few, strict=True))))
        layers = inside.blame(_float_model(model), few)
        pitfalls += tuple(inside.pitfalls())
    return Agreement(
        images=len(images[0]),
        top1_agreement=float((answered[0] == answered[1]).mean()),
        worst_abs=float(differences.max()),
        mean_abs=float(differences.mean()),
        accuracy=accuracy,
        blame=layers,
        pitfalls=pitfalls,
        candidate=candidate,
    )


def check_operators(
    model: keras.Model, artifact: Any, images: Any, kernels: str = "reference"
) -> tuple[OperatorCheck, ...]:
    """Feed each operator's own int8 inputs to the Keras layers it stands for, and compare.

    Expect `worst_levels` of at most 1: both round the same sum, in another order. Known to be
    off by one often: MEAN and SOFTMAX of the builtin kernels.

    Args:
        model: The quantisation-aware Keras model that was converted.
        artifact: Its int8 file.
        images: A few images.
        kernels: `reference` or `builtin`; a delegate keeps its tensors to itself.
    """
    keras_engine.check_quantized(model)
    artifact = _artifact(artifact)
    names = calibration_images.input_names(model)
    images = dict(zip(names, _columns(model, images), strict=True))
    inside = _Inside(artifact, _for_file(artifact, images), kernels)
    known, ranged = _by_lowered_name(model)
    entry = {name: ranged[point] for name, point in range_plan.read_plan(model).inputs.items()}
    checks = []
    for operator in inside.file.operators:
        output = operator.outputs[0]
        reads = [t for t in operator.inputs if t is not None and not t.constant]
        if output.name not in known or any(t.name not in known for t in reads):
            continue
        if not output.scales:  # a layer in float
            continue
        sources = list(dict.fromkeys(reads))
        symbols = [entry.get(t.name, ranged.get(t.name, known[t.name])) for t in sources]
        part = keras.Model(symbols, ranged.get(output.name, known[output.name]))
        values = [keras.ops.convert_to_tensor(inside.real(t)) for t in sources]
        expected = keras.ops.convert_to_numpy(part(values, training=False))
        got = inside.real(output).reshape(expected.shape)
        levels = np.round(np.abs(got - expected) / output.scales[0]).astype(int)
        checks.append(
            OperatorCheck(output.name, operator.name, int(levels.max()), float((levels > 0).mean()))
        )
    return tuple(checks)


def image_pitfalls(images: Any) -> list[str]:
    """What looks wrong with images, in sentences.

    >>> noise = np.random.default_rng(0).uniform(0, 255, (20, 32, 32, 3))
    >>> image_pitfalls(noise)[0]
    'The images look like noise: neighbouring pixels correlate by 0.00. Pass real images.'
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or min(images.shape[1:3]) < 4 or images.std() == 0:
        return []
    left, right = images[:, :, :-1].reshape(-1), images[:, :, 1:].reshape(-1)
    correlation = float(np.corrcoef(left, right)[0, 1])
    if correlation < 0.3:
        return [
            f"The images look like noise: neighbouring pixels correlate by "
            f"{max(correlation, 0.0):.2f}. Pass real images."
        ]
    return []


class _Inside:
    """The tensors inside an int8 file on some images."""

    def __init__(self, artifact, prepared, kernels="builtin"):
        self.file = tflite.read(artifact)
        floats = [op.outputs[0].name for op in self.file.operators if op.dtype == "float32"]
        if len(floats) < len(self.file.operators):  # but for layers in float
            tflite.check_int8(self.file, allow_float_io=True, float_layers=floats)
        found = devices.activations(artifact, prepared, "all", kernels)
        self._values = {int(k): v for k, v in found.items()}
        inputs = prepared if isinstance(prepared, list) else [prepared]
        self._values.update(zip(self.file.subgraphs[0].input_indices, inputs, strict=True))

    def stored(self, tensor: Tensor) -> np.ndarray:
        return self._values[tensor.index]

    def real(self, tensor: Tensor) -> np.ndarray:
        return tensor.spec.dequantize(self.stored(tensor))

    def blame(self, model: keras.Model, images: list[np.ndarray]) -> tuple[Blame, ...]:
        """Each layer's distance from the float model; a note where most noise is added.

        Signal and noise are weighed as in calibration: by channel with what the next convolution
        makes of it, and behind the swish or the like that alone reads the layer.
        """
        known = {layer.name: layer.output for layer in model.layers}
        operators = [o for o in self.file.operators if o.outputs[0].name in known]
        names = [operator.outputs[0].name for operator in operators]
        floats = keras.Model(model.inputs, [known[name] for name in names])
        truths = floats.predict(images, batch_size=_FEW, **_SILENT)
        truths = truths if isinstance(truths, list) else [truths]
        plan = range_plan.read_plan(model)
        weights = importances(model, plan, images)
        ratios: dict[str, float] = {}
        rows, worst = [], (0.0, None, 0.0)
        for operator, truth in zip(operators, truths, strict=True):
            tensor = operator.outputs[0]
            answer = self.real(tensor).reshape(truth.shape)
            absolute = np.abs(answer - truth)
            if tensor.name in plan.points:
                function = function_behind(tensor.name, plan, model)
                if function:
                    answer, truth = function(answer), function(truth)
            weight = weights.get(tensor.name, 1.0)
            noise = float((weight * np.square(answer - truth)).sum())
            signal = float((weight * np.square(truth)).sum())
            ratio = 10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30))
            before = [ratios[t.name] for t in operator.inputs if t is not None and t.name in ratios]
            ratios[tensor.name] = ratio
            before = min(before, default=50.0)
            added = 10 ** (-ratio / 10) - 10 ** (-before / 10)  # noise, as a share of the signal
            worst = max(worst, (added, tensor.name, before - ratio), key=lambda found: found[0])
            rows.append(
                Blame(tensor.name, float(absolute.max()), float(absolute.mean()), float(ratio))
            )
        note = f"float and int8 part here: {worst[2]:.0f} dB lost in this operator"
        return tuple(replace(row, note=note) if row.layer == worst[1] else row for row in rows)

    def pitfalls(self) -> Iterator[str]:
        """What looks wrong inside, in sentences."""
        for operator in self.file.operators:
            output = operator.outputs[0]
            if output.index not in self._values or not output.scales:
                continue
            stored = self.stored(output)
            used = len(np.unique(stored))
            if stored.size > 10 * _LEVELS and used < _LEVELS // 10:
                yield (
                    f"{output.name}: only {used} of {_LEVELS} levels are hit. Its range is too "
                    "wide: calibrate on images like these."
                )
            gates = operator.name == "LOGISTIC" or operator.activation == "RELU6"
            ends = float(np.isin(stored, (-128, 127)).mean())
            if gates and stored.size >= 64 and ends > 0.98:
                yield f"{output.name}: the gate is saturated, {ends:.0%} of it at its ends."
            dead = _dead_channels(operator)
            if dead:
                yield (
                    f"{output.name}: {dead} channels have a kernel of zeros. They cost time and "
                    "say nothing: prune them."
                )


def _dead_channels(operator) -> int:
    kernel = operator.inputs[1] if len(operator.inputs) > 1 else None
    if "CONV" not in operator.name or kernel is None or not kernel.constant:
        return 0
    values = np.moveaxis(np.asarray(kernel.values), kernel.axis, 0)
    return int((np.abs(values.reshape(len(values), -1)).max(axis=1) == 0).sum())


def _by_lowered_name(model):
    """What the layers of a quantisation-aware model make, before and after it is rounded."""
    names = range_plan.lowered_names(model)
    rounds = {x.name for x in model.layers if isinstance(x, keras_engine.FakeQuantize)}
    made = [(names[layer.name], layer.output, layer.name in rounds) for layer in model.layers]
    known = {name: tensor for name, tensor, rounded in made if not rounded}
    return known, {name: tensor for name, tensor, rounded in made if rounded}


def _float_model(model):
    return keras_engine.strip(model)[0] if keras_engine.is_quantized(model) else lower(model)


def _columns(model, images):
    """Images as one array per input of a Keras model."""
    check_functional(model)
    names = calibration_images.input_names(model)
    if isinstance(images, list) and len(names) == 1:
        images = np.asarray(images)
    found = calibration_images.columns(images, names)
    if found is None:
        raise TypeError(
            f"Images must be an array, or one for each of the inputs {', '.join(names)}. "
            f"Received: {type(images).__name__}. Put the batches together with numpy.concatenate."
        )
    for name, column, tensor in zip(names, found, model.inputs, strict=True):
        wanted = tuple(tensor.shape[1:])
        fits = column.ndim == len(wanted) + 1 and all(
            size in (None, given) for size, given in zip(wanted, column.shape[1:], strict=True)
        )
        if not fits or column.dtype.kind not in "biuf":
            raise ValueError(
                f"Images must be numbers of shape (count, {', '.join(map(str, wanted))}). "
                f"Received: {column.dtype} of shape {column.shape} for input {name!r} of model "
                f"{model.name!r}. Read them as the model takes them."
            )
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise ValueError(
                f"Images must be finite. Received: NaN or infinity in an array of shape "
                f"{column.shape} for input {name!r}. Look at how the images were scaled."
            )
    return found


def _for_file(artifact, images):
    """What a file takes of images by the input's name, whatever the order of its inputs."""
    specs = artifact.inputs
    if len(specs) == 1:
        return artifact.prepare(*images.values())
    said = [spec.name.removeprefix("serving_default_").split(":")[0] for spec in specs]
    if set(said) != set(images):
        raise ValueError(
            f"The inputs of file and model must have the same names. Received: "
            f"{', '.join(said)} for {', '.join(images)}. Pass the model it was converted from."
        )
    return artifact.prepare([images[name] for name in said])


def _answers(artifact, images):
    raw = devices.predict(artifact, _for_file(artifact, images))
    return [spec.dequantize(y) for spec, y in zip(artifact.outputs, raw, strict=True)]


def _check_finite(name, outputs):
    for number, values in enumerate(outputs):
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise ValueError(
                f"Answers must be finite to be compared. Received: NaN or infinity from {name}, in "
                f"output {number} for {bad.sum()} of {len(values)} images. Look for NaN in the "
                "weights, and for values too large for the file's dtype."
            )


def _predict(model, images, batch=64):
    """Outputs of a Keras model as a list; eagerly, since a graph costs seconds to trace."""
    parts = []
    for start in range(0, len(images[0]), batch):
        given = [np.asarray(x[start : start + batch], np.float32) for x in images]
        given = keras.tree.pack_sequence_as(model.input, given) if len(given) > 1 else given[0]
        predicted = keras.tree.flatten(model(given, training=False))
        parts.append([np.asarray(p, np.float32) for p in predicted])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _output_order(artifact, model):
    """Where in a file the model's outputs are: by name, by the converter's numbers, or as it is."""
    said = [spec.name for spec in artifact.outputs]
    names = getattr(model, "output_names", None)  # a Sequential model has none
    if names and sorted(said) == sorted(names):
        return [said.index(name) for name in names]
    found = [re.search(r"PartitionedCall\w*:(\d+)$", name) for name in said]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) == len(said):
        return sorted(range(len(said)), key=numbers.__getitem__)
    return range(len(said))


def _in_order(answers, truth):
    """The file's outputs in the model's order: by shape, where the order is not the same."""
    shapes = [t.shape for t in truth]
    if [a.shape for a in answers] == shapes:
        return answers
    left = list(answers)
    ordered = []
    for shape in shapes:
        match = next((i for i, a in enumerate(left) if a.size == np.prod(shape)), None)
        if match is None:
            raise ValueError(
                f"The .tflite must have the model's outputs. Received: shapes "
                f"{[a.shape for a in answers]} for {shapes}. Pass the model it was converted from."
            )
        ordered.append(left.pop(match).reshape(shape))
    return ordered


def _artifact(model) -> Artifact:
    return model if isinstance(model, Artifact) else Artifact.from_content(content_of(model))
