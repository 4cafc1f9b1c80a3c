"""Training as the caller distributed it: a strategy of tf.distribute, or keras.distribution."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any


def check(model: Any) -> None:
    """Raise a ValueError for a distribution that Keras cannot train with."""
    strategy = strategy_of(model)
    several = strategy and getattr(strategy.extended, "_in_multi_worker_mode", bool)()
    if several and _is_keras_3(model):
        raise ValueError(
            f"Keras 3 on TensorFlow must train in one process: of several workers' strategy its "
            f"`fit` takes the parts of a batch for one tensor, and fails "
            f"(https://github.com/keras-team/keras/issues/20585). Received: model {model.name!r} "
            f"of several workers. Make it under tf.distribute.MirroredStrategy; or set "
            f"KERAS_BACKEND=jax, where keras.distribution.initialize and DataParallel do it."
        )


def check_batch(model: Any, batch: int) -> None:
    """Raise a ValueError for a batch that cannot be cut into equal parts."""
    strategy, spread = strategy_of(model), _distribution(model)
    replicas = spread.num_model_replicas if spread else 1
    replicas = strategy.num_replicas_in_sync if strategy else replicas
    if batch % replicas:
        raise ValueError(
            f"`batch` must be a multiple of the replicas that share it. Received: batch={batch} "
            f"for {replicas}. Pass {(batch // replicas + 1) * replicas}."
        )


def strategy_of(model: Any) -> Any:
    """Return the strategy of several replicas under which a model was made, or None."""
    strategy = getattr(model, "distribute_strategy", None)  # of Keras on TensorFlow
    return strategy if strategy is not None and strategy.num_replicas_in_sync > 1 else None


def in_scope(train: Callable) -> Callable:
    """Let what a function makes of its first argument, a model, belong to the model's strategy.

    BatchNorm of Keras 3 takes mean and variance over all replicas meanwhile, as one process would,
    and as keras.distribution does.
    """

    @functools.wraps(train)
    def call(model, *args, **kwargs):
        check(model)
        strategy = strategy_of(model)
        if strategy is None:
            return train(model, *args, **kwargs)
        norms = [layer for layer in model.layers if hasattr(layer, "synchronized")]
        before = [norm.synchronized for norm in norms]
        try:
            for norm in norms:
                norm.synchronized = True
            with strategy.scope():
                return train(model, *args, **kwargs)
        finally:
            for norm, value in zip(norms, before, strict=True):
                norm.synchronized = value

    return call


def batches_for(model: Any, batches: Callable[[], Iterator]) -> Any:
    """Return batches as `fit` takes them: a new iterator, or where several take part, a data set.

    A data set is cut into each replica's part, and each process's. It begins anew with each
    iterator: Keras makes two, and a generator would lose what the first had read ahead.

    Args:
        model: The model to train.
        batches: Returns an iterator of images and targets, the same each time; all of one size.
    """
    spread = _distribution(model)
    if strategy_of(model) is None and (spread is None or spread.num_processes == 1):
        return batches()
    import tensorflow as tf

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec(array.shape, array.dtype), next(batches())
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _distribution(model):
    """What keras.distribution was set to, for a model of Keras 3; None without."""
    keras = sys.modules.get("keras")
    return keras.distribution.distribution() if keras and _is_keras_3(model) else None


def _is_keras_3(model):
    return any(each.__module__.split(".")[0] == "keras" for each in type(model).__mro__)
