"""Train a quantisation-aware model to answer as its float teacher does: no labels needed."""

from __future__ import annotations

import math
import os
import time

import keras
import numpy as np

from mobile.quantization import keras_engine


def distil(
    model,
    teacher,
    images,
    minutes=4.0,
    learning_rate=1e-5,
    batch_size=16,
    mirror=True,
    steps=None,
    seed=0,
    clock=time.monotonic,
):
    """Train a quantisation-aware model to agree with its teacher, in place.

        loss = cross entropy of teacher's probabilities and softmax(student's logits)

    Outputs that are no probabilities are compared by mean squared error. The learning rate falls
    to zero on a cosine over the time or the steps.

    Args:
        model: A quantisation-aware model of engine `keras`.
        teacher: The float model. It answers once for each image; the answers are kept.
        images: Array `(count, height, width, channels)`, or a folder of images, whose classes do
            not matter. Not those that accuracy is judged with.
        minutes: How long to train, the teacher's answers not counted.
        learning_rate: Adam's at the start. 1e-5 suits trained weights; 3e-5 harms at first.
        batch_size: Images a step.
        mirror: Whether to learn from each image mirrored left to right as well.
        steps: How many steps, instead of `minutes`.
        seed: Of the order of images.
        clock: Gives the time in seconds.

    Returns:
        The model, trained.
    """
    keras_engine.check_quantized(model)
    images = _images(images, model)
    if mirror:
        images = np.concatenate([images, images[:, :, ::-1]])
    answers = np.asarray(teacher.predict(images, batch_size=batch_size, verbose=0), np.float32)
    student, loss = _student(model, answers)
    per_epoch = math.ceil(len(images) / batch_size)
    schedule = _Cosine(learning_rate, steps, None if steps else 60 * minutes, clock)
    student.compile(keras.optimizers.Adam(learning_rate), loss)
    keras.utils.set_random_seed(seed)
    student.fit(
        images,
        answers,
        batch_size=batch_size,
        epochs=math.ceil(steps / per_epoch) if steps else 10**6,
        callbacks=[schedule],
        verbose=0,
    )
    return model


class _Cosine(keras.callbacks.Callback):
    """Let the learning rate fall to zero over steps or seconds, then stop; show how far it is."""

    def __init__(self, learning_rate, steps, seconds, clock):
        super().__init__()
        self.learning_rate, self.steps, self.seconds = learning_rate, steps, seconds
        self.clock, self.done, self.start = clock, 0, None

    def on_train_begin(self, logs=None):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.start = self.clock()
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("Distilling"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=console.is_jupyter or not console.is_terminal,
        )
        self.progress.start()
        self.task = self.progress.add_task("", total=1.0, loss=float("nan"))

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        share = self.done / self.steps if self.steps else (self.clock() - self.start) / self.seconds
        self.progress.update(self.task, completed=min(share, 1.0), loss=(logs or {}).get("loss", 0))
        if share >= 1:
            self.model.stop_training = True
        factor = (1 + math.cos(math.pi * min(share, 1.0))) / 2
        self.model.optimizer.learning_rate.assign(self.learning_rate * factor)

    def on_train_end(self, logs=None):
        self.progress.stop()


def _student(model, answers):
    """The model up to its logits, where it ends in a softmax, and the loss for it."""
    layers = {layer.name: layer for layer in model.layers}
    last = next(layer for layer in model.layers if layer.output is model.outputs[0])
    before = layers.get(last.name.removesuffix("_range"))
    is_softmax = isinstance(before, keras.layers.Softmax) or (
        getattr(before, "activation", None) is keras.activations.softmax
    )
    if is_softmax and np.allclose(answers.sum(axis=-1), 1, atol=1e-3):
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        return keras.Model(model.input, before.input), loss
    return keras.Model(model.input, model.outputs[0]), keras.losses.MeanSquaredError()


def _images(images, model):
    if isinstance(images, str | os.PathLike):
        from mobile import data

        size = model.inputs[0].shape[1]
        return np.asarray(data.load_images(images, size=size, count=2000), np.float32)
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(
            "Distillation needs images of shape (count, height, width, channels). Received: "
            f"{images.shape}. Pass an array, or a folder of images."
        )
    return images
