"""Honest statistics for BatchNorm."""

import numpy as np


def recenter_batch_norms(model, images, batch: int = 32):
    """Give each BatchNorm the statistics of these images, and keep the model's function.

        mean' = E[x], variance' = Var[x]
        gamma' = gamma * sqrt((variance' + e) / (variance + e))
        beta'  = beta + gamma * (mean' - mean) / sqrt(variance + e)

    Folded weights leave BatchNorm with mean 0 and variance 1 - e, which no data has: one training
    step would change the function beyond repair. After this, training may go on.
    """
    import keras

    norms = [n for n in model.layers if isinstance(n, keras.layers.BatchNormalization)]
    for norm, (mean, variance) in zip(
        norms, _moments(model, [n.input for n in norms], images, batch), strict=True
    ):
        old_mean, old_variance = (np.asarray(v) for v in (norm.moving_mean, norm.moving_variance))
        old, new = np.sqrt(old_variance + norm.epsilon), np.sqrt(variance + norm.epsilon)
        gamma = np.asarray(norm.gamma) if norm.scale else np.ones_like(mean)
        beta = np.asarray(norm.beta) if norm.center else np.zeros_like(mean)
        if not (norm.scale and norm.center):
            raise ValueError(
                f"BatchNorm must have gamma and beta to be recentred. Received: {norm.name!r} "
                f"without. Build it with scale=True and center=True."
            )
        norm.gamma.assign(gamma * new / old)
        norm.beta.assign(beta + gamma * (mean - old_mean) / old)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)


def refresh_batch_norms(model, images, batch: int = 64, batches: int = 16):
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

    totals = None
    for start in range(0, len(images), batch):
        found = sums(np.asarray(images[start : start + batch], np.float32))
        found = [[part.numpy().astype(np.float64) for part in row] for row in found]
        totals = (
            found
            if totals is None
            else [
                [a + b for a, b in zip(old, new, strict=True)]
                for old, new in zip(totals, found, strict=True)
            ]
        )
    moments = []
    for total, squares, count in totals:
        mean = total / count
        moments.append(
            (mean.astype(np.float32), np.maximum(squares / count - mean**2, 0).astype(np.float32))
        )
    return moments
