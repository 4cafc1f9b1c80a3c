"""Which gates of a trained network may become constants, in which order, and what that saves."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import keras
import numpy as np

import keras_se
from keras_se.checks import check_count
from keras_se.graph import check_functional
from mobile.lowering import lower
from mobile.lowering.targets import target_named
from mobile.tuning.block_times import block_times
from mobile.tuning.folded_gates import FoldedGate, GateFolding
from mobile.tuning.kernel_refit import refit_kernels
from mobile.tuning.switched_gates import SwitchedGates

BY = ("time", "elements")
_FEW = 10  # images that find constants, or that judge


def fold_gates(
    model: keras.Model,
    images: np.ndarray,
    keep: float = 0.99,
    by: str = "time",
    *,
    judges: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    device: str = "local",
    target: str = "xnnpack",
    batch_size: int = 16,
    **timing: Any,
) -> tuple[keras.Model, GateFolding]:
    """Make constants of the gates that cost more than they are worth.

    The constant of a channel is the one that is nearest in squared error over images, see
    `keras_se.gates`. Gates are folded one by one, always the one that saves most for the images
    whose top-1 it changes, as long as agreement with the model stays at `keep`. Half an image is
    added to those changed: no gate is free because so few images show no change.

    A gate stays as well where its constant would fit into no neighbour, because what it multiplies
    is read twice.

    At last the 1x1 convolutions behind the folded gates get the kernels that bring the network
    nearest to the model again: see `mobile.tuning.kernel_refit`. Where that keeps fewer answers of
    the judging images it is left.

    Args:
        model: A trained functional model with squeeze-and-excitation of ours or written by hand
            (`keras.applications`); as it was before lowering and quantisation. It is not changed.
        images: Array `(count, height, width, channels)` as the model takes them, better 200 or
            more: every other one finds the constants, the rest judge.
        keep: Least share of judging images whose top-1 stays that of the model.
        by: What to save: `"time"`, as the blocks take on `device` in int8; or `"elements"`, as
            they multiply, which needs no device.
        judges: Other images to judge with; all of `images` then find the constants.
        labels: Class of each of `judges`, or of `images` without them, for top-1 accuracy: which
            gates are folded does not depend on it.
        device: As in `mobile.benchmark`.
        target: What the timed blocks are lowered for.
        batch_size: Images at a time.
        **timing: As in `mobile.benchmark`: `runs`, `threads`, `python` and others.

    Returns:
        The folded model (see `keras_se.fold`), and a `GateFolding`. Where no gate could be folded
        a warning says so, and the model is a copy.

    Raises:
        TypeError: The model is not functional.
        ValueError: The model has no gate that can become a constant, or not one output of classes;
            images or labels are too few, all alike, or do not fit; an option is unknown.
        RuntimeError: The blocks gave no times on the device.
    """
    _check(model, keep, by, batch_size, timing)
    target_named(target)
    images, judges, labels = _parted(model, images, judges, labels)
    if keep < 1 and len(judges) * (1 - keep) < 1:
        warnings.warn(
            f"The agreement of {len(judges)} images moves in steps of {1 / len(judges):.1%}: with "
            f"keep={keep:g} not one may change. Pass more images.",
            stacklevel=2,
        )
    found = keras_se.gates(model, images, batch_size=batch_size)
    able = {block.name: block for block in found.blocks if block.reason is None}
    if not able:
        reasons = "; ".join(f"{block.name}: {block.reason}" for block in found.blocks)
        raise ValueError(
            f"A gate must be able to become a constant for each channel. Received: model "
            f"{model.name!r}, of which none can ({reasons}). Leave it as it is."
        )
    constants = {name: block.constant for name, block in able.items()}
    switched = SwitchedGates(model, constants, judges, labels, batch_size)
    times, place = {}, None
    if by == "time":
        times, timings = block_times(model, images, device, target, **timing)
        place = timings.conditions.device
    idle = _idle(model, constants, target)
    for name in able:
        if times.get(name, 1.0) <= 0:
            idle[name] = "its block costs nothing measurable on the device"
    gates = {
        block.name: FoldedGate(
            block=block.name,
            shape=block.shape,
            spread=float(block.spread.mean()),
            error=block.error,
            time_us=times.get(block.name),
            reason=idle.get(block.name, block.reason),
        )
        for block in found.blocks
    }
    record = GateFolding(
        model=model.name,
        gates=(),
        by=by,
        keep=keep,
        fitted=len(images),
        judged=len(judges),
        device=place,
        target=target if by == "time" else None,
        accuracy=switched.accuracy(switched.truth),
        skipped=found.skipped,
    )
    savings = {name: float(times.get(name, able[name].elements)) for name in able}
    savings |= dict.fromkeys(idle, 0.0)
    for name, changes in _greedy(switched, savings, keep):
        gates[name] = replace(gates[name], **changes)
    record = replace(record, gates=tuple(gates.values()))
    if not record.folded:
        nearest = max(able, key=lambda name: gates[name].alone or 0.0)
        warnings.warn(
            f"No gate of {model.name!r} could be folded: at least {keep:.1%} of the answers were "
            f"to stay, and the nearest, {nearest!r} alone, keeps {gates[nearest].alone:.1%} of "
            f"{len(judges)}. Pass a smaller `keep`, or distil after folding.",
            stacklevel=2,
        )
    return _refitted(model, images, switched, constants, record)


def _refitted(model, images, switched, constants, record):
    """The folded model, with the kernels behind its constants fitted anew if that helps."""

    def folded():
        return keras_se.fold(model, {gate.block: constants[gate.block] for gate in record.folded})

    made = folded()
    if not refit_kernels(model, made, images):
        return made, record
    answers = switched.answers_of(made)
    if switched.agreement(answers) < record.agreement:
        return folded(), record
    found = {
        "refitted": switched.agreement(answers),
        "refitted_accuracy": switched.accuracy(answers),
    }
    return made, replace(record, **found)


def _idle(model, constants, target):
    """Name to reason of those gates whose constant would save nothing.

    Where what a gate multiplies is read twice, its constant fits into no neighbour.
    """

    def scalings(*names):
        folded = keras_se.fold(model, {name: constants[name] for name in names})
        kinds = Counter(type(layer).__name__ for layer in lower(folded, target).layers)
        return kinds["DepthwiseConv2D"] + kinds["Rescaling"]

    try:
        before = scalings()
        if scalings(*constants) == before:
            return {}
        staying = [name for name in constants if scalings(name) > before]
    except (TypeError, ValueError):  # it cannot be lowered, so nothing is known
        return {}
    return dict.fromkeys(staying, "its constant would stay a multiplication: it fits no neighbour")


def _greedy(switched, savings, keep):
    """Yield block and changes of its record as they are found; see `fold_gates`.

    A gate's score may only fall while others are folded, as a rule: so it is found anew only for
    the first in the line, until that one stays first (Minoux, 1978, "Accelerated greedy
    algorithms").
    """
    count = len(switched.images)

    def tried(names):
        answers = switched.answers(names)
        return switched.agreement(answers), switched.accuracy(answers)

    def score(name, lost):
        return savings[name] / (max(lost, 0.0) * count + 0.5)

    scores = {}
    for name in savings:
        alone, _ = tried({name})
        yield name, {"alone": alone}
        if savings[name] > 0:
            scores[name] = score(name, 1 - alone)
    folded, now = set(), 1.0
    fresh = {}
    while scores:
        first = max(scores, key=scores.__getitem__)
        if first in fresh:
            now, accuracy = fresh[first]
            folded.add(first)
            del scores[first]
            yield first, {"order": len(folded), "agreement": now, "accuracy": accuracy}
            fresh = {}
            continue
        agreement, accuracy = tried(folded | {first})
        if agreement < keep:
            del scores[first]
            told = {"agreement": agreement, "accuracy": accuracy}
            yield first, told | {"reason": f"it would keep less than {keep:.1%}"}
            continue
        fresh[first] = agreement, accuracy
        scores[first] = score(first, now - agreement)


def _check(model, keep, by, batch_size, timing):
    check_functional(model)
    if len(model.inputs) != 1:
        raise ValueError(
            f"The model must have one input. Received: model {model.name!r} with "
            f"{len(model.inputs)}. Fold by hand: keras_se.gates takes a list of arrays; then "
            f"keras_se.fold."
        )
    check_count("batch_size", batch_size, 1, "Pass 16, or fewer if memory is short.")
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 <= keep <= 1:
        raise ValueError(
            f"`keep` must be the share of answers that stay, from 0 to 1. Received: keep={keep!r}. "
            f"Pass 0.99 for 99 %; 0 folds every gate."
        )
    if by not in BY:
        raise ValueError(
            f"`by` must be one of {', '.join(map(repr, BY))}. Received: by={by!r}. Pass 'elements' "
            f"where there is no device to time on."
        )
    if by == "time" and keras.config.backend() != "tensorflow":
        raise ValueError(
            f"Only Keras on TensorFlow makes the files that by='time' times. Received: Keras on "
            f"{keras.config.backend()}. Pass by='elements'."
        )
    if by == "elements" and timing:
        raise TypeError(
            f"Only by='time' takes settings of a benchmark. Received: {', '.join(timing)} with "
            f"by='elements'. Leave them out."
        )


def _parted(model, images, judges, labels):
    """Images that find constants, images that judge, and the labels of these."""
    images = _array(model, images, "images")
    judges = None if judges is None else _array(model, judges, "judges")
    labels = None if labels is None else np.asarray(labels)
    if labels is not None and labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labelled = images if judges is None else judges
    if labels is not None and len(labels) != len(labelled):
        raise ValueError(
            f"`labels` must hold a class for each image that {'is given' * (judges is None)}"
            f"{'judges' * (judges is not None)}. Received: {len(labels)} labels for "
            f"{len(labelled)} images. Pass as many, in the same order."
        )
    if judges is None:
        images, judges = images[::2], images[1::2]
        labels = None if labels is None else labels[1::2]
    if min(len(images), len(judges)) < _FEW:
        raise ValueError(
            f"Folding needs at least {_FEW} images to find constants with, and {_FEW} others to "
            f"judge with. Received: {len(images)} and {len(judges)}. Pass 200 or more."
        )
    if not np.isfinite(judges).all() or (judges == judges[0]).all():
        raise ValueError(
            f"Images that judge must be finite and differ. Received: {len(judges)} of shape "
            f"{judges.shape[1:]} that are all alike, or NaN. Pass real images, each once."
        )
    return images, judges, labels


def _array(model, images, argument):
    """The images as an array that the model takes."""
    shape = tuple(model.inputs[0].shape[1:])
    try:
        array = np.asarray(images)
    except ValueError:  # of several sizes
        array = np.array(None)
    fits = array.ndim == len(shape) + 1 and all(
        size in (None, got) for got, size in zip(array.shape[1:], shape, strict=True)
    )
    if not fits or not np.issubdtype(array.dtype, np.number):
        got = f"{array.dtype} of shape {array.shape}" if array.ndim else type(images).__name__
        raise ValueError(
            f"`{argument}` must be an array of images as the model takes them: (count, "
            f"{', '.join(map(str, shape))}). Received: {got}, for model {model.name!r}. Resize "
            f"them; of a data set or a generator pass np.concatenate(list(batches))."
        )
    return array
