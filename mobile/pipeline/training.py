"""Train a classifier briefly: AdamW on a cosine, light augmentation, honest batch statistics."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mobile.pipeline import distribution
from mobile.pipeline.batch_norms import refresh_batch_norms
from mobile.reporting.results import Epoch

AUGMENTATIONS = {
    # name: (smallest and largest share of the side that is kept, whether to mirror)
    "none": (1.0, 1.0, False),
    "shift": (0.85, 1.1, False),
    "photo": (0.6, 1.0, True),
}


def train(
    model: Any,
    images: Any,
    labels: Any,
    epochs: int,
    batch: int = 32,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.02,
    label_smoothing: float = 0.1,
    augment: str = "none",
    seed: int = 0,
    watch: Callable[[int, int, int, float, float], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train a classifier in place, and return a record of each epoch.

    A softmax at the end is left out while it trains: the loss takes logits.

    The step size rises over the first twentieth of the steps and falls on half a cosine to 0. At
    the end BatchNorm gets plain averages over some batches (`refresh_batch_norms`).
    Biases, BatchNorm and learned ranges do not decay. The order of images, the augmentation and
    dropout follow `seed`.

    A model that was made under `tf.distribute.MirroredStrategy`, or after
    `keras.distribution.set_distribution` on JAX, also in several processes, trains that way:
    `batch` is what all see together, and the losses are those of one process. Dropout draws
    otherwise, and gradients are clipped by replica under a strategy.

    Args:
        model: A Keras or tf_keras model of one input, and one output: logits or probabilities.
        images: RGB pixels, `(count, height, width, 3)`.
        labels: Class indices, `(count,)`.
        epochs: Passes over the images; 0 returns at once.
        batch: Images in a step.
        learning_rate: Largest step size of AdamW.
        weight_decay: Share of each kernel that is taken off, times the step size.
        label_smoothing: Share of the target that is spread over all classes.
        augment: `none`, `shift` (moved and scaled a little) or `photo` (cut out and mirrored).
        seed: Decides everything random.
        watch: Called after each step with epoch, step and steps in all, loss and accuracy so far.

    Raises:
        ValueError: A value out of range, an unknown augmentation, images or labels that do not fit,
            a batch that replicas cannot share, or a loss or a weight that is no longer a number; a
            Keras 3 model of a strategy of several workers, which Keras cannot train on TensorFlow.
    """
    history = fit(
        model,
        images,
        labels,
        epochs,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        augment=augment,
        seed=seed,
        watch=watch,
    )
    if history:
        refresh_batch_norms(model, np.asarray(images), batch)
    return history


@distribution.in_scope
def fit(
    model: Any,
    images: Any,
    labels: Any,
    epochs: int,
    *,
    batch: int = 32,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.02,
    label_smoothing: float = 0.1,
    augment: str = "none",
    seed: int = 0,
    watch: Callable[[int, int, int, float, float], None] | None = None,
    beside: Callable[[np.random.Generator, int], np.ndarray] | None = None,
) -> tuple[Epoch, ...]:
    """Do what `train` does, but for BatchNorm's averages at the end.

    Args:
        model: As in `train`, or of a second input.
        images: As in `train`; so are the other arguments that are not here.
        beside: From random numbers and the number of a batch to what the second input reads
            beside each image of it, an array.

    Raises:
        ValueError: As `train`.
    """
    check_options(epochs, batch, learning_rate, augment)
    distribution.check_batch(model, batch)
    import keras

    images, labels = np.asarray(images), np.asarray(labels)
    framework = _framework(model)
    classes = check_images(model, images, labels, inputs=1 if beside is None else 2)
    if not epochs:
        return ()
    whole, (model, from_logits) = model, _up_to_logits(model, framework)
    framework.utils.set_random_seed(seed)
    steps = math.ceil(len(images) / batch)
    schedule = framework.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(epochs * steps - epochs * steps // 20, 1),
        warmup_target=learning_rate,
        warmup_steps=epochs * steps // 20,
    )
    if epochs * steps < 20:
        schedule = framework.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    optimizer = framework.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) < 2]
    )
    model.compile(
        optimizer,
        framework.losses.CategoricalCrossentropy(from_logits, label_smoothing=label_smoothing),
        metrics=["accuracy"],
        jit_compile=framework.backend.backend() == "jax",  # or else that runs each operation alone
    )
    # Variables that are made in the first step have it traced a second time.
    optimizer.build(model.trainable_variables)
    if distribution.strategy_of(model) is None:
        nothing = keras.ops.zeros((1, classes))
        model.compute_metrics(None, nothing, nothing, None)
        model.reset_metrics()
    recorder = _recorder(framework, epochs, steps, watch)

    def batches():
        drawn = _batches(images, labels, classes, batch, augment, np.random.default_rng(seed))
        return drawn if beside is None else _with(drawn, beside, np.random.default_rng(seed))

    model.fit(
        distribution.batches_for(model, batches),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    _check_weights(whole)  # of a softmax of NaN the loss may be a number
    return tuple(recorder.epochs)


def check_options(epochs: int, batch: int, learning_rate: float, augment: str) -> None:
    """Raise a ValueError for an option of `train` that cannot be."""
    for name, value, least in (("epochs", epochs, 0), ("batch", batch, 2)):
        if not isinstance(value, int) or value < least:
            raise ValueError(
                f"`{name}` must be a whole number of at least {least}. "
                f"Received: {name}={value!r}. Leave it out for the default."
            )
    if not learning_rate > 0:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate!r}. "
            f"Leave it out for the default."
        )
    if augment not in AUGMENTATIONS:
        raise ValueError(
            f"`augment` must be one of {', '.join(AUGMENTATIONS)}. Received: {augment!r}. "
            f"Take 'shift' for signs and letters, 'photo' for things that may be mirrored."
        )


def check_images(model: Any, images: np.ndarray, labels: np.ndarray, inputs: int = 1) -> int:
    """Raise unless images and labels fit a model of so many inputs; return its classes' number."""
    shapes = [tuple(tensor.shape) for tensor in (model.inputs[0], *model.outputs)]
    ranks = [len(shape) for shape in shapes]
    if ranks != [4, 2] or shapes[1][1] < 2 or len(model.inputs) != inputs:
        raise ValueError(
            f"The model must take images and give one number a class. Received: {model.name!r} of "
            f"{len(model.inputs)} inputs, and shapes {shapes} of the first and the output. Train "
            f"others with model.fit."
        )
    (_, *size), (_, classes) = shapes
    if images.ndim != 4 or any(
        want not in (None, have) for want, have in zip(size, images.shape[1:], strict=True)
    ):
        raise ValueError(
            f"Images must be (count, {', '.join(map(str, size))}), as {model.name!r} takes them. "
            f"Received: shape {images.shape}. Resize them first."
        )
    if len(images) == 0 or labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be one whole number an image. Received: labels of shape {labels.shape} "
            f"and dtype {labels.dtype} for {len(images)} images. Pass class indices from 0."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Labels must be one index from 0 to {classes - 1} an image. Received: {labels.min()} "
            f"to {labels.max()}. Build the model with classes={labels.max() + 1}, or mend the "
            f"labels."
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ValueError(
            f"Images must be finite. Received: NaN or infinity among {len(images)} images of "
            f"{images.dtype}. Look at how they were scaled."
        )
    return classes


def predict(model: Any, images: Any, batch: int = 64) -> np.ndarray:
    """Return a Keras or tf_keras model's outputs, computed in batches, without its progress bar."""
    return np.asarray(model.predict(np.asarray(images, np.float32), batch_size=batch, verbose=0))


def accuracy(outputs: Any, labels: Any) -> float:
    """Return the share of images whose largest output is the label.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), [1, 1])
    0.5
    """
    return float((np.argmax(outputs, axis=-1) == np.asarray(labels)).mean())


def _framework(model):
    """Return the module, keras or tf_keras, that the model is made of."""
    import importlib

    homes = {c.__module__.split(".")[0] for c in type(model).__mro__}
    name = next((n for n in ("keras", "tf_keras") if n in homes), None)
    if name is None:
        raise TypeError(
            f"The model must be a Keras or tf_keras model. Received: {type(model).__name__}. "
            f"Build one with keras_se.models.build."
        )
    return importlib.import_module(name)


def _check_weights(model):
    for layer in model.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise ValueError(
                f"Weights must stay numbers. Received: NaN or infinity in layer {layer.name!r} of "
                f"{model.name!r} after training. Lower --learning-rate; if it began with such "
                f"weights, load others."
            )


def _up_to_logits(model, framework):
    """The model up to its logits, of the same weights, and whether it could be cut there."""
    makers = {id(tensor): layer for layer in model.layers for tensor in _outputs(layer)}
    last: Any = makers.get(id(model.outputs[0]))
    while type(last).__name__ == "FakeQuantize":
        last = makers.get(id(last.input))
    inner = getattr(last, "layer", last)  # inside tensorflow-model-optimization's wrapper
    kind, activation = type(inner).__name__, getattr(inner, "activation", None)
    softmax = kind == "Softmax" or getattr(activation, "__name__", "") == "softmax"
    if softmax and kind in ("Softmax", "Activation"):
        return framework.Model(model.inputs, last.input), True
    return model, not softmax


def _outputs(layer):
    """The tensor that a layer makes; none of one that is used several times."""
    try:
        return [layer.output]
    except (AttributeError, ValueError):
        return []


def _recorder(framework, epochs, steps, watch):
    class Recorder(framework.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs: list[Epoch] = []
            self.epoch, self.start = 0, 0.0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.start = epoch, time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            logs, step = logs or {}, batch
            loss, right = float(logs["loss"]), float(logs["accuracy"])
            if not math.isfinite(loss):
                raise ValueError(
                    f"The loss must stay a number. Received: {loss} in epoch {self.epoch + 1}, "
                    f"step {step + 1}. Lower --learning-rate."
                )
            if watch:
                watch(self.epoch, self.epoch * steps + step + 1, epochs * steps, loss, right)

        def on_epoch_end(self, epoch, logs=None):
            seconds, logs = time.perf_counter() - self.start, logs or {}
            self.epochs.append(Epoch(float(logs["loss"]), float(logs["accuracy"]), seconds))

    return Recorder()


def _batches(images, labels, classes, batch, augment, random):
    """Yield batches for ever: each epoch in a new order, its last batch filled up at random."""
    targets = np.eye(classes, dtype=np.float32)
    count = math.ceil(len(images) / batch) * batch
    while True:
        order = random.permutation(len(images))
        order = np.concatenate([order, random.choice(len(images), count - len(images))])
        for start in range(0, count, batch):
            chosen = order[start : start + batch]
            yield _augmented(images[chosen], augment, random), targets[labels[chosen]]


def _with(batches, beside, random):
    """Yield the batches, with what stands beside each of their images."""
    for number, (images, targets) in enumerate(batches):
        yield (images, np.repeat(beside(random, number)[None], len(images), axis=0)), targets


def _augmented(images, augment, random):
    """Cut a square out of each image and scale it back; all in one operation."""
    images = images.astype(np.float32)
    low, high, mirror = AUGMENTATIONS[augment]
    if low == high == 1:
        return images
    import tensorflow as tf

    count, size = len(images), images.shape[1]
    side = random.uniform(low, high, count)
    stretch = random.uniform(0.9, 1.1, count)
    sides = np.stack([side * stretch, side / stretch], axis=1)
    if high <= 1:
        sides = np.minimum(sides, 1)
        corner = random.uniform(0, 1, (count, 2)) * (1 - sides)
    else:  # the cut may reach over the edge, and finds black there
        corner = (1 - sides) / 2 + random.uniform(-0.06, 0.06, (count, 2))
    boxes = np.concatenate([corner, corner + sides], axis=1)  # top, left, bottom, right
    if mirror:
        flipped = random.random(count) < 0.5
        boxes[flipped] = boxes[flipped][:, [0, 3, 2, 1]]
    index = np.arange(count, dtype=np.int32)
    return tf.image.crop_and_resize(images, boxes.astype(np.float32), index, (size, size)).numpy()
