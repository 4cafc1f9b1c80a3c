"""Checks of arguments. Each raises an error that says what must hold, what came, and what to do."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras


def check_known(argument: str, value: Any, known: Sequence[str | None]) -> None:
    """Raise ValueError unless `value` is one of the `known`, and list those."""
    if value not in known:
        listed = ", ".join(repr(name) for name in known)
        raise ValueError(
            f"`{argument}` must be one of the known names. "
            f"Received: {argument}={value!r}. Choose from {listed}."
        )


def check_count(argument: str, value: Any, least: int, advice: str) -> None:
    """Raise unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{argument}` must be an integer. Received: {argument}={value!r} of type "
            f"{type(value).__name__}. {advice}"
        )
    if int(value) < least:
        raise ValueError(
            f"`{argument}` must be at least {least}. Received: {argument}={value!r}. {advice}"
        )


def check_number(argument: str, value: Any, least: float, most: float, advice: str) -> None:
    """Raise unless `value` is a finite number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number. Received: {argument}={value!r} of type "
            f"{type(value).__name__}. {advice}"
        )
    if not least <= float(value) <= most or math.isinf(value):
        raise ValueError(
            f"`{argument}` must be a finite number from {least} to {most}. "
            f"Received: {argument}={value!r}. {advice}"
        )


def check_flag(argument: str, value: Any) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(
            f"`{argument}` must be True or False. Received: {argument}={value!r} of type "
            f"{type(value).__name__}. Pass {argument}=True or {argument}=False."
        )


def check_activation(argument: str, value: Any) -> None:
    """Raise unless `value` is a Keras activation's name or a function that can be saved."""
    skip = ("get", "serialize", "deserialize")
    known = [n for n in dir(keras.activations) if not n.startswith("_") and n not in skip]
    check_function(argument, value, known, example="relu")


def check_function(
    argument: str, value: Any, known: Sequence[str], example: str = "sigmoid"
) -> None:
    """Raise unless `value` is one of the `known` names or a function that can be saved."""
    if isinstance(value, str):
        check_known(argument, value, known)
    elif not callable(value) or getattr(value, "__name__", "") == "<lambda>":
        raise TypeError(
            f"`{argument}` must be a name or a function that can be saved. Received: "
            f"{argument}={value!r} of type {type(value).__name__}. Pass a name such as "
            f"{example!r}, or a function registered with "
            f"keras.saving.register_keras_serializable."
        )
