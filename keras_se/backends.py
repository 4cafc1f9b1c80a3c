"""What to do when Keras finds no backend."""

import importlib.util

BACKENDS = ("tensorflow", "jax", "torch")


def advice(missing: str) -> str:
    """Say which backend to install or to set when the module `missing` is not there.

    Args:
        missing: The backend that Keras is set to, by `KERAS_BACKEND`, else by its configuration
            file, else `tensorflow`.
    """
    there = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    other = (
        f"set the environment variable KERAS_BACKEND={there[0]}, which is installed"
        if there
        else "install jax or torch and set the environment variable KERAS_BACKEND to its name"
    )
    return (
        f"Keras needs its backend installed. Received: no module named {missing!r}, which Keras is "
        f"set to, when keras_se imports keras. Run `pip install {missing}`, or {other}."
    )
