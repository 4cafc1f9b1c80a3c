"""Honest statistics for BatchNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def recenter_batch_norms(model: keras.Model, images: Any, batch: int = 32) -> None:
    """Give each BatchNorm the statistics of these images, and keep the model's function.

        mean' = E[x], variance' = Var[x]
        gamma' = gamma * sqrt((variance' + e) / (variance + e))
        beta'  = beta + gamma * (mean' - mean) / sqrt(variance + e)

    Folded weights leave BatchNorm with mean 0 and variance 1 - e, which no data has: one training
    step would change the function beyond repair. After this, training may go on.
    """
    import keras

    norms = [n for n in model.layers if isinstance(n, keras.layers.BatchNormalization)]
    if not norms:
        return
    for norm, (mean, variance) in zip(
        norms, _moments(model, [n.input for n in norms], images, batch), strict=True
    ):
        if not (norm.scale and norm.center):
            raise ValueError(
                f"BatchNorm must have gamma and beta to be recentred. Received: {norm.name!r} "
                f"without. Build it with scale=True and center=True."
            )
        gamma, beta, old_mean, old_variance = norm.get_weights()
        old, new = np.sqrt(old_variance + norm.epsilon), np.sqrt(variance + norm.epsilon)
        beta = beta + gamma * (mean - old_mean) / old
        norm.set_weights([gamma * new / old, beta, mean, variance])


def refresh_batch_norms(
    model: keras.Model, images: Any, batch: int = 64, batches: int = 16
) -> None:
    """Replace the moving averages of BatchNorm by plain averages over some training batches.

    After a short training the moving averages still remember the start. Dropout is active as in
    training; the trained variables stay. Frozen layers (`trainable=False`) keep theirs.
    """
    import keras

    norms = [
        n for n in model.layers if isinstance(n, keras.layers.BatchNormalization) and n.trainable
    ]
    if not norms:
        return
    momenta = [n.momentum for n in norms]
    count = min(batches, max(len(images) // batch, 1))
    order = np.random.default_rng(0).permutation(len(images))
    try:
        for i in range(count):
            for norm in norms:
                norm.momentum = i / (i + 1)  # the average of the first i + 1 batches
            model(np.asarray(images[order[i * batch : (i + 1) * batch]], np.float32), training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _moments(model, tensors, images, batch):
    """Return mean and variance of each tensor, by channel, over the images."""
    import keras
    import tensorflow as tf

    probe = keras.Model(model.inputs, tensors)

    @tf.function
    def sums(x):
        values = [
            tf.reshape(v, (-1, v.shape[-1])) for v in keras.tree.flatten(probe(x, training=False))
        ]
        values = [tf.cast(v, tf.float64) for v in values]
        return [(tf.reduce_sum(v, 0), tf.reduce_sum(v * v, 0), tf.shape(v)[0]) for v in values]

    totals = [[np.zeros(t.shape[-1]), np.zeros(t.shape[-1]), 0] for t in tensors]
    for start in range(0, len(images), batch):
        found = sums(np.asarray(images[start : start + batch], np.float32))
        for total, row in zip(totals, found, strict=True):
            total[:] = [old + new.numpy() for old, new in zip(total, row, strict=True)]
    means = [total / count for total, _, count in totals]
    variances = [
        np.maximum(squares / count - mean**2, 0)
        for (_, squares, count), mean in zip(totals, means, strict=True)
    ]
    return [
        (m.astype(np.float32), v.astype(np.float32)) for m, v in zip(means, variances, strict=True)
    ]
