"""Train a quantisation-aware model to answer as its float teacher does: no labels needed."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mobile.progress import bar
from mobile.quantization import calibration_images, keras_engine

_MEMORY, _SMALLEST = (0.9, 0.999), 1e-7  # Adam's


def distil(
    model: keras.Model,
    teacher: keras.Model,
    images: Any,
    minutes: float = 4.0,
    learning_rate: float = 0.003,
    batch_size: int = 16,
    augment: bool = True,
    steps: int | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> keras.Model:
    """Train a quantisation-aware model to agree with its teacher, in place.

        loss = divergence of softmax(student's logits) from the teacher's probabilities

    Outputs that are no probabilities are compared by mean squared error. Adam's learning rate
    falls to zero on a cosine over the time or the steps.

    Rates are in the units that rounding sets. A kernel's is one int8 step of its channel; a
    bias's is what rounding the inputs by one step does to its channel: `|kernel| * input step`.
    So small kernels keep still and large biases move, which one rate for all does not give.

    Args:
        model: A quantisation-aware model of engine `keras`.
        teacher: The float model.
        images: A folder of images, whose classes do not matter, or images in any form that
            `mobile.calibrate` takes. Not those that accuracy is judged with.
        minutes: How long to train.
        learning_rate: The largest step, in those units.
        batch_size: Images a step.
        augment: Whether to show crops of the images, mirrored, brighter and darker. The teacher
            then answers in each step; otherwise once for each image.
        steps: How many steps, instead of `minutes`.
        seed: Of the order of images, and of the crops.
        clock: Gives the time in seconds.

    Returns:
        The model, trained.

    Raises:
        ValueError: An argument is out of range, the teacher's answers are not of the model's kind
            and shape, or a loss is no longer a number: the model then has the weights that it
            came with.
    """
    import tensorflow as tf

    keras_engine.check_quantized(model)
    _check(minutes=minutes, learning_rate=learning_rate, batch_size=batch_size, steps=steps)
    for each in (model, teacher):
        calibration_images.check_weights(each)
    if len(model.inputs) > 1:
        raise ValueError(
            f"Distillation trains a model with one input. Received: {model.name!r} with "
            f"{len(model.inputs)}. Train it with fit, on what the teacher answers."
        )
    images = _images(images, model)
    _check_answers(model, teacher, images[:batch_size])
    student, loss = _student(model)
    update = _adam(model, student.trainable_variables)
    batches = _batches(images, batch_size, seed, augment, teacher)

    @tf.function(autograph=False)
    def step(batch, answers, rate, number):
        if answers is None:
            answers = teacher(batch, training=False)
        with tf.GradientTape() as tape:
            value = loss(tf.cast(answers, tf.float32), student(batch, training=True))
        update(tape.gradient(value, student.trainable_variables), rate, number)
        return value

    before = model.get_weights()
    start, share, done = clock(), 0.0, 0
    with bar("Distilling") as tell:
        while share < 1:
            rate = learning_rate * (1 + math.cos(math.pi * share)) / 2
            done += 1
            value = step(*next(batches), tf.constant(rate), tf.constant(float(done)))
            if not math.isfinite(value):
                model.set_weights(before)
                raise ValueError(
                    f"The loss must stay a number. Received: {float(value)} at step {done}, with "
                    f"learning_rate={learning_rate}. The model is as it was: lower the rate, or "
                    f"look at what teacher {teacher.name!r} answers."
                )
            share = done / steps if steps else (clock() - start) / (60 * minutes)
            tell(min(share, 1.0), f"loss {float(value):.4f}")
    return model


def _check(minutes, steps, **others):
    length = {"minutes": minutes} if steps is None else {"steps": steps}
    for name, value in {**length, **others}.items():
        whole = name in ("steps", "batch_size")
        if not value >= (1 if whole else 0) or value == 0 or (whole and value != int(value)):
            least = "a whole number of at least 1" if whole else "above 0"
            raise ValueError(
                f"`{name}` must be {least}. Received: {name}={value!r}. Leave it out for the "
                "default."
            )


def _check_answers(model, teacher, images):
    """Raise unless both answer with as many numbers, and both with probabilities or neither."""
    own, wanted = (keras.tree.flatten(x(images, training=False)) for x in (model, teacher))
    shapes = [[tuple(x.shape[1:]) for x in found] for found in (own, wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"A teacher must answer with as many numbers as its student. Received: shapes "
            f"{shapes[1]} from {teacher.name!r}, and {shapes[0]} from {model.name!r}. "
            "Pass a teacher of the same task."
        )
    own, wanted = (np.asarray(x[0], np.float64) for x in (own, wanted))
    are_shares = wanted.min() >= 0 and np.abs(wanted.sum(axis=-1) - 1).max() < 0.02
    # Sums of int8 probabilities tell nothing: what is small became zero.
    is_softmax, may_be = _softmax_of(model) is not None, own.min() > -0.1 and own.max() < 1.1
    differ = not may_be if are_shares else is_softmax
    if differ and np.isfinite(wanted).all():
        which = ("probabilities", "other numbers")
        theirs, ours = which if are_shares else which[::-1]
        raise ValueError(
            f"A teacher must answer as its student does. Received: {theirs} from "
            f"{teacher.name!r}, and {ours} from {model.name!r}. Let both end in a softmax, or "
            "neither."
        )


def _batches(images, size, seed, augment, teacher):
    """Batches without end, and the teacher's answers to them where they are known."""
    import tensorflow as tf

    answers = None
    if not augment:
        answers = teacher.predict(images, batch_size=size, verbose=0)
    random = np.random.default_rng(seed)
    ends = float(images.min()), float(images.max())
    size = min(size, len(images))
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(order) - size + 1, size):
            chosen = np.sort(order[start : start + size])
            batch = tf.constant(images[chosen])
            if augment:
                batch = _crops(batch, random, ends)
            yield batch, None if answers is None else tf.constant(answers[chosen])


def _crops(images, random, ends):
    """Each image's own crop of 35 to 100 % of its area, in the same size and a little other light.

    Args:
        images: The batch.
        random: A numpy generator.
        ends: The smallest and largest value of all images.
    """
    import tensorflow as tf

    count, low, high = len(images), *ends
    area = random.uniform(0.35, 1.0, count)
    aspect = np.exp(random.uniform(-0.3, 0.3, count))  # 3:4 to 4:3
    tall, wide = np.minimum(np.sqrt([area / aspect, area * aspect]), 1.0)
    top, left = random.uniform(0, 1 - tall), random.uniform(0, 1 - wide)
    sides = np.stack([left, left + wide])
    begin, end = np.where(random.random(count) < 0.5, sides, sides[::-1])  # mirrored or not
    boxes = np.stack([top, begin, top + tall, end], axis=1)
    crops = tf.image.crop_and_resize(images, boxes, np.arange(count), images.shape[1:3])
    contrast = random.uniform(0.7, 1.3, (count, 1, 1, 1))
    light = random.uniform(-0.1, 0.1, (count, 1, 1, 1)) * (high - low)
    middle = (low + high) / 2
    return tf.clip_by_value((crops - middle) * contrast + middle + light, low, high)


def _student(model):
    """The model up to its logits, where it ends in a softmax, and the loss for it."""
    import tensorflow as tf

    softmax = _softmax_of(model)

    def divergence(answers, logits):
        answers = tf.clip_by_value(answers, 1e-12, 1.0)  # less their entropy
        own = tf.nn.log_softmax(tf.cast(logits, tf.float32), axis=-1)
        return tf.reduce_mean(tf.reduce_sum(answers * (tf.math.log(answers) - own), axis=-1))

    def distance(answers, outputs):
        return tf.reduce_mean(tf.square(answers - tf.cast(outputs, tf.float32)))

    if softmax is not None:
        return keras.Model(model.input, softmax.input), divergence
    return keras.Model(model.input, model.outputs[0]), distance


def _softmax_of(model):
    """The softmax that a model ends in, or None."""
    last = keras_engine.last_layer(model)
    is_softmax = isinstance(last, keras.layers.Softmax) or (
        getattr(last, "activation", None) is keras.activations.softmax
    )
    return last if is_softmax else None


def _adam(model, variables):
    """A function that moves `variables` against their gradients, each in its own unit.

    Source:
        Kingma and Ba, 2015, arXiv:1412.6980, algorithm 1.
    """
    import tensorflow as tf

    units = _units(model)
    units = [tf.constant(units.get(variable.path, 1e-3), tf.float32) for variable in variables]
    values = [variable.value for variable in variables]
    moments = [[tf.Variable(tf.zeros_like(v), trainable=False) for v in values] for _ in range(2)]

    def update(gradients, rate, number):
        first, second = (1 - share**number for share in _MEMORY)
        for value, unit, mean, square, gradient in zip(
            values, units, *moments, gradients, strict=True
        ):
            mean.assign_add((1 - _MEMORY[0]) * (gradient - mean))
            square.assign_add((1 - _MEMORY[1]) * (tf.square(gradient) - square))
            slope = (mean / first) / (tf.sqrt(square / second) + _SMALLEST)
            value.assign_sub(rate * unit * slope)

    return update


def _units(model):
    """By a variable's path, how far rounding to int8 moves it: see `distil`."""
    units = {}
    for layer in model.layers:
        if not hasattr(layer, "on_grid"):
            continue
        kernel = layer.kernel.numpy()
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        inputs = (0, 1, 3) if transposed else (0, 1) if depthwise else tuple(range(kernel.ndim - 1))
        reach = np.abs(kernel).max(axis=inputs, keepdims=True)
        levels = 127 if layer.levels is None else np.reshape(layer.levels, reach.shape)
        units[layer.kernel.path] = np.maximum(reach / levels, 1e-3 / 127 * reach.max())
        norm = np.sqrt(np.square(kernel).sum(axis=inputs)).reshape(-1)
        units[layer.bias.path] = np.maximum(norm, 1e-3 * norm.max()) * layer.input_scale
    return units


def _images(images, model):
    if isinstance(images, str | os.PathLike):
        from mobile import data

        size = model.inputs[0].shape[1]
        folder = os.fspath(images)
        return np.asarray(data.load_images(folder, size=size, count=2000), np.float32)
    images = calibration_images.spread(model, calibration_images.reusable(images))[0]
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            "Distillation needs images of shape (count, height, width, channels). Received: "
            f"{images.shape}. Pass an array, or a folder of images."
        )
    if not np.isfinite(images).all():
        raise ValueError(
            f"Distillation needs finite images. Received: NaN or infinity among {len(images)}. "
            "Look at how the images were scaled."
        )
    return images
