"""Checks of arguments. Each raises an error that says what must hold, what came and what to do.

`where` is appended to what came, such as `" in block 'stem'"`.
"""

import difflib
import math
import numbers
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import keras


def choices(value: Any, known: Iterable[str | None], most: int = 10) -> str:
    """Advise on a name that is not known: the nearest ones, and all where they are few.

    Args:
        value: What came instead of a known name.
        known: The known names.
        most: Above so many, all are listed only where none is near.

    Example:

    >>> choices("Sigmiod", ("sigmoid", "tanh"))
    "Did you mean 'sigmoid'? Choose from 'sigmoid', 'tanh'."
    >>> choices("Sigmiod", ("sigmoid", "tanh"), most=1)
    "Did you mean 'sigmoid'?"
    """
    known = list(known)
    lower = {name.lower(): name for name in known if name is not None}
    near = difflib.get_close_matches(value.lower(), lower) if isinstance(value, str) else []
    meant = " or ".join(repr(lower[name]) for name in near)
    listed = ", ".join(map(repr, known))
    if near and len(known) > most:
        return f"Did you mean {meant}?"
    return f"Did you mean {meant}? Choose from {listed}." if near else f"Choose from {listed}."


def check_known(
    argument: str, value: Any, known: Iterable[str | None], advice: str = "", where: str = ""
) -> None:
    """Raise ValueError unless `value` is one of the `known` names."""
    known = tuple(known)
    if value not in known:
        raise ValueError(
            f"`{argument}` must be one of the known names. Received: {argument}={value!r}"
            f"{where}. {choices(value, known)} {advice}".rstrip()
        )


def check_arguments(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError unless every argument that is `given` by name is `known`."""
    known = [name for name in known if name not in ("self", "x", "kwargs", "options")]
    for name in given:
        if name not in known:
            raise TypeError(
                f"Every argument must be one that {function} takes. Received: {name}. "
                f"{choices(name, known)}"
            )


def check_count(argument: str, value: Any, least: int, advice: str, where: str = "") -> None:
    """Raise unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{argument}` must be an integer. Received: {argument}={value!r} of type "
            f"{type(value).__name__}{where}. {advice}"
        )
    if int(value) < least:
        raise ValueError(
            f"`{argument}` must be at least {least}. "
            f"Received: {argument}={value!r}{where}. {advice}"
        )


def check_side(argument: str, value: Any, advice: str, where: str = "") -> None:
    """Raise unless `value` is an integer of at least 1, or a pair of such."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    for side in value if is_pair else (value,):
        check_count(argument, side, 1, advice, where)


def check_name(name: Any) -> None:
    """Raise TypeError unless `name` can begin the names of layers."""
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"`name` must be what the names of the layers begin with. Received: name={name!r} of "
            f"type {type(name).__name__}. Pass a word such as 'stage1_block1'."
        )


def check_number(
    argument: str, value: Any, least: float, most: float, advice: str, where: str = ""
) -> None:
    """Raise unless `value` is a finite number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{argument}` must be a number. Received: {argument}={value!r} of type "
            f"{type(value).__name__}{where}. {advice}"
        )
    if not least <= float(value) <= most or math.isinf(value):
        raise ValueError(
            f"`{argument}` must be a finite number from {least} to {most}. "
            f"Received: {argument}={value!r}{where}. {advice}"
        )


def check_flag(argument: str, value: Any, where: str = "") -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(
            f"`{argument}` must be True or False. Received: {argument}={value!r} of type "
            f"{type(value).__name__}{where}. Pass {argument}=True or {argument}=False."
        )


def check_activation(argument: str, value: Any, where: str = "") -> None:
    """Raise unless `value` is a Keras activation's name or a function that can be saved."""
    check_function(argument, value, _names(keras.activations), "relu", where)


def check_function(
    argument: str, value: Any, known: Iterable[str], example: str = "sigmoid", where: str = ""
) -> None:
    """Raise unless `value` is one of the `known` names or a function that can be saved."""
    if isinstance(value, str):
        check_known(argument, value, known, where=where)
    elif not callable(value) or getattr(value, "__name__", "") == "<lambda>":
        raise TypeError(
            f"`{argument}` must be a name or a function that can be saved. Received: "
            f"{argument}={value!r} of type {type(value).__name__}{where}. Pass a name such as "
            f"{example!r}, or a function registered with "
            f"keras.saving.register_keras_serializable."
        )


def check_initializer(argument: str, value: Any, where: str = "") -> None:
    """Raise unless `keras.initializers.get` can read `value`."""
    _check_readable(argument, value, keras.initializers, "he_normal", where)


def check_regularizer(argument: str, value: Any, where: str = "") -> None:
    """Raise unless `keras.regularizers.get` can read `value`."""
    _check_readable(argument, value, keras.regularizers, "l2", where)


def _check_readable(
    argument: str, value: Any, module: ModuleType, example: str, where: str
) -> None:
    if _reads(module, value):
        return
    kind, advice = TypeError, f"Pass a name such as {example!r}."
    if isinstance(value, str):  # Keras lists names that it does not read
        known = [name for name in _names(module) if _reads(module, name)]
        kind, advice = ValueError, choices(value, known)
    raise kind(
        f"`{argument}` must be a name or an object of {module.__name__}. Received: "
        f"{argument}={value!r} of type {type(value).__name__}{where}. "
        f"{advice}"
    )


def _reads(module: ModuleType, value: Any) -> bool:
    try:
        module.get(value)
    except (KeyError, TypeError, ValueError):  # KeyError: the name lacks an argument of its own
        return False
    return True


def _names(module: ModuleType) -> list[str]:
    """The names of a module of Keras that stand for functions in a configuration."""
    other = ("get", "serialize", "deserialize")
    return [name for name in dir(module) if name[0].islower() and name not in other]
