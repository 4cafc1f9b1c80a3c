"""What to do when Keras finds no backend."""

import importlib.util

BACKENDS = ("tensorflow", "jax", "torch")


def advice(error: ModuleNotFoundError | ValueError) -> str:
    """Say what to install or to set when Keras cannot be imported.

    Args:
        error: What came of it: a module is not there that Keras needs with the backend that it is
            set to, by `KERAS_BACKEND`, else by its configuration file, else `tensorflow`; or it
            refuses what it is set to.
    """
    there = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    other = (
        f"set the environment variable KERAS_BACKEND={there[0]}, which is installed"
        if there
        else "install jax or torch and set the environment variable KERAS_BACKEND to its name"
    )
    said = " ".join(str(error).split()).rstrip(".")
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    if missing:
        first = f"Run `pip install {missing}`, or {other}"
    else:
        first = "Mend KERAS_BACKEND, one of tensorflow, jax and torch, or Keras's file keras.json"
    return (
        f"Keras needs its backend installed, and settings that it knows. Received: {said}, when "
        f"keras_se imports keras. {first}."
    )
