"""Files of a run: its folder while it is unfinished, models, and results."""

import importlib.util
import json
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from mobile.options import Options
from mobile.results import Results
from mobile.serial import write_file

STATE = "state.json"


class Store:
    """The folder of a run while it is unfinished, and the stages that are finished in it."""

    def __init__(self, final: Path, options: Options, overwrite: bool, resume: bool):
        self.final, self.overwrite = final, overwrite
        self.folder = final.with_name(final.name + ".unfinished")
        self.options = options.to_dict()
        self.state = {"options": self.options, "stages": {}, "seconds": {}}
        if final.exists() and not overwrite:
            raise ValueError(
                f"The output folder must be new. Received: {final}, which holds "
                f"{'another run' if (final / 'results.json').exists() else 'something else'}. "
                f"Pass --name for another one, or --overwrite to replace it."
            )
        if final.exists() and not (final / "results.json").exists() and any(final.iterdir()):
            raise ValueError(
                f"Only a run may be overwritten. Received: {final}, which holds no results.json. "
                f"Pass --name for another folder."
            )
        if resume:
            self._read()
        elif self.folder.exists() and not overwrite:
            raise ValueError(
                f"The output folder must be new. Received: {self.folder}, an unfinished run. "
                f"Pass --resume to go on with it, or --overwrite to start again."
            )

    @property
    def seconds(self) -> dict:
        """Wall-clock time of each stage."""
        return dict(self.state["seconds"])

    def stage(self, title, progress, work, steps=False):
        """Do a stage and keep what it returns, or return what was kept."""
        if title in self.state["stages"]:
            progress.note(f"{title}: done before")
            return self.state["stages"][title]
        start = time.perf_counter()
        with progress.stage(title, steps) as watch:
            found = work(watch)
        self.state["stages"][title] = json.loads(json.dumps(found))
        self.state["seconds"][title] = round(time.perf_counter() - start, 3)
        write_file(self.folder / STATE, json.dumps(self.state))
        return self.state["stages"][title]

    def __enter__(self):
        if self.overwrite and self.folder.exists() and not self.state["stages"]:
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.folder / STATE, json.dumps(self.state))
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            (self.folder / STATE).unlink()
            if self.final.exists():
                shutil.rmtree(self.final)
            os.replace(self.folder, self.final)
        elif not self.state["stages"]:
            shutil.rmtree(self.folder)  # nothing was finished: leave nothing
        elif issubclass(kind, KeyboardInterrupt):
            done = ", ".join(self.state["stages"])
            raise KeyboardInterrupt(
                f"interrupted; finished and kept in {self.folder}: {done}. "
                f"Go on with the same command and --resume."
            ) from None
        return False

    def _read(self):
        if not (self.folder / STATE).exists():
            raise ValueError(
                f"There must be an unfinished run to resume. Received: {self.folder}, which "
                f"{'holds none' if self.folder.exists() else 'does not exist'}. "
                f"Leave out --resume."
            )
        self.state = json.loads((self.folder / STATE).read_text())
        old, new = self.state["options"], self.options
        differing = [f"{k}={old.get(k)!r}" for k in new if old.get(k) != new[k]]
        if differing:
            raise ValueError(
                f"A run must go on with the options it began with. In {self.folder} they were: "
                f"{', '.join(differing)}. Pass these, or start again with --overwrite."
            )


def load_model(path: str | Path):
    """Read a .keras file, our own layers included."""
    import keras

    import keras_se  # noqa: F401  registers its layers
    import mobile.layers
    import mobile.quantization.keras_engine  # noqa: F401

    path = Path(path)
    if not path.is_file() or path.suffix not in (".keras", ".h5"):
        raise ValueError(
            f"The model must be a .keras file. Received: {path}, which "
            f"{'is something else' if path.exists() else 'does not exist'}. "
            f"Write one with model.save or keras-se build."
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(
            f"The model must be one that this Keras, {keras.__version__}, can read. Received: "
            f"{path}, {_written_by(path)}, refused with: {reason[:200]} Save it again with this "
            "Keras, or build it in code, load its weights, and pass it from Python."
        ) from error


def _written_by(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return f"written by Keras {json.loads(archive.read('metadata.json'))['keras_version']}"
    except (zipfile.BadZipFile, KeyError, ValueError):
        return "which does not say what wrote it"


def save_model(model, path: str | Path) -> Path:
    """Write a model so that a reader sees the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving") as folder:
        model.save(Path(folder) / path.name)
        os.replace(Path(folder) / path.name, path)
    return path


def load_results(folder: str | Path) -> Results:
    """Read the results of a run from its folder."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise ValueError(
            f"A run's folder must hold results.json. Received: {folder}, which does not. "
            f"Pass a folder that keras-se run has finished."
        )
    return Results.from_json(path.read_text())


def network_figures() -> dict:
    """Return name to parameters, multiply-adds and source of every network, without Keras.

    As `keras_se.models.describe` says, from the file behind it: importing Keras takes seconds.
    """
    package = Path(importlib.util.find_spec("keras_se").origin).parent
    return json.loads((package / "models" / "figures.json").read_text())


def image_size(model) -> int:
    """Return height and width of a model's square images."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(
            f"The model must take square RGB images of a known size. Received: a model of input "
            f"shape {shape}. From Python, pass your own arrays to the function."
        )
    return shape[1]


def is_quantized(model) -> bool:
    """Tell whether a Keras model is quantisation-aware."""
    from mobile.quantization import keras_engine

    return keras_engine.is_quantized(model)
