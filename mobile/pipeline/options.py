"""What a run depends on, what the data decide where nothing is said, and what cannot be."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mobile import data as data_room
from mobile.benchmarking.settings import INTERLEAVED
from mobile.lowering.targets import TARGETS
from mobile.pipeline import training
from mobile.quantization import ENGINES, METHODS
from mobile.record import Record


@dataclass(frozen=True)
class Options(Record):
    """What a run depends on; None stands for a default that the data decide.

    Args:
        data: Folder of images, or None for the embedded digits.
        network: A name of `keras_se.models.names()`.
        se: Preset of the mobile network's squeeze-and-excitation.
        reduction: Takes the place of the preset's reduction.
        size: Height and width of the images.
        width: Multiplies the channels.
        epochs: Float training.
        qat_epochs: Quantisation-aware training, kept if it is better than calibration alone; with
            0 there is none.
        batch: Images in a step.
        learning_rate: Largest step size of the float training.
        qat_learning_rate: Largest step size of the quantisation-aware training.
        augment: A name of `mobile.pipeline.training.AUGMENTATIONS`.
        weights: Weights file to start from.
        source: As in `keras_se.weights.load`, of those weights.
        engine: `keras` or `tfmot`.
        target: What int8 is lowered for, a name of `mobile.lower`.
        method: How ranges are found.
        calibration_images: How many training images ranges are found on.
        validation_split: Share of each class to test on, for a folder without a test part.
        strict: Whether a broken image is an error.
        threads: Threads of the benchmark.
        runs: Rounds of the benchmark.
        seed: Decides everything random.
    """

    data: str | None = None
    network: str = "mobilenet_v3_small"
    se: str = "mobile"
    reduction: float | None = None
    size: int | None = None
    width: float | None = None
    epochs: int | None = None
    qat_epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    qat_learning_rate: float | None = None
    augment: str | None = None
    weights: str | None = None
    source: str | None = None
    engine: str = "keras"
    target: str = "xnnpack"
    method: str = "mse"
    calibration_images: int = 256
    validation_split: float | None = None
    strict: bool = False
    threads: int = 1
    runs: int = INTERLEAVED.runs
    seed: int = 0

    def float_training(self) -> dict[str, Any]:
        """Return the arguments of `mobile.train` for the float training."""
        return {
            "epochs": self.epochs,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "augment": self.augment,
            "seed": self.seed,
        }

    def aware_training(self) -> dict[str, Any]:
        """Return those for the quantisation-aware training."""
        own = {"epochs": self.qat_epochs, "learning_rate": self.qat_learning_rate}
        return {**self.float_training(), **own, "weight_decay": 0.0}

    def filled_in(self) -> "Options":
        """Return a copy whose Nones that the data decide are decided."""
        chosen = DIGITS if self.data is None else FOLDER if self.weights is None else TRANSFER
        return replace(self, **{k: v for k, v in chosen.items() if getattr(self, k) is None})


DIGITS = {
    "size": data_room.DIGITS_SIZE,
    "width": 0.75,
    "epochs": 5,
    "qat_epochs": 0,  # calibrated alone, int8 keeps every answer to images set apart
    "batch": 64,
    "learning_rate": 3e-3,
    "qat_learning_rate": 1e-5,  # 3e-5 and more first loses what calibration kept
    "augment": "shift",
}
FOLDER = {
    "size": data_room.PHOTO_SIZE,
    "width": 1.0,
    "epochs": 40,
    "qat_epochs": 3,
    "batch": 32,
    "learning_rate": 2e-3,
    "qat_learning_rate": 1e-5,  # 3e-5 and more first loses what calibration kept
    "augment": "photo",
}
TRANSFER = {**FOLDER, "epochs": 10, "learning_rate": 1e-3}


def decide(
    data: str | Path | data_room.DataSet | None, options: dict
) -> tuple[data_room.DataSet | None, Options]:
    """Check the options of a run before anything is done; return a given data set and the rest."""
    known = [f.name for f in fields(Options) if f.name != "data"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        near = [m for word in unknown for m in difflib.get_close_matches(word, known, 1)]
        raise ValueError(
            f"Options of a run must be among {', '.join(known)}. Received: {', '.join(unknown)}. "
            + (f"Did you mean {', '.join(near)}?" if near else "Leave them out.")
        )
    given, folder = None, None
    if isinstance(data, data_room.DataSet):
        given = data
        idle = {"size": given.size, "validation_split": None, "strict": False}
        said = [f"{k}={options[k]!r}" for k, v in idle.items() if options.get(k) not in (None, v)]
        if said:
            raise ValueError(
                f"Images in a DataSet have their size and their parts. Received: {', '.join(said)} "
                f"with {given.name!r} of {given.size}x{given.size}. Leave that out."
            )
        folder, options = f"DataSet {given.name}", {**options, "size": given.size}
    else:
        folder = None if data_room.is_digits(data) else str(data)
    weights = options.get("weights")
    options = {**options, "data": folder, "weights": None if weights is None else str(weights)}
    chosen = Options(**options).filled_in()
    for arguments in (chosen.float_training(), chosen.aware_training()):
        training.check_options(
            *(arguments[word] for word in ("epochs", "batch", "learning_rate", "augment"))
        )
    for word, known in (("engine", ENGINES), ("method", METHODS), ("target", TARGETS)):
        _check_known(word, getattr(chosen, word), known, "Leave it out for the default.")
    for word in ("threads", "runs", "calibration_images"):
        value = getattr(chosen, word)
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"`{word}` must be a whole number of at least 1. Received: {word}={value!r}. "
                f"Leave it out for {getattr(Options(), word)}."
            )
    if chosen.weights is not None and not Path(chosen.weights).is_file():
        raise ValueError(
            f"The weights must be a file. Received: {chosen.weights}, which is none. "
            f"Leave out --weights to start from scratch."
        )
    check_source(chosen.source, chosen.weights)
    return given, chosen


def check_source(source: str | None, weights: str | Path | None) -> None:
    """Raise where it is said where weights come from, and there are none."""
    if source is not None and weights is None:
        raise ValueError(
            f"`source` says in which network weights were trained. Received: source={source!r} "
            f"without weights. Pass --weights FILE too, or leave --source out."
        )


def _check_known(word: str, value, known: Iterable[str], advice: str) -> None:
    """Raise unless a value is one of the known ones; of a typo say what was meant."""
    known = tuple(known)
    if value not in known:
        near = difflib.get_close_matches(str(value), known)
        meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(
            f"`{word}` must be one of {', '.join(known)}. Received: {value!r}. {meant}{advice}"
        )


def se_of(word: str, reduction: float | None = None) -> Any:
    """Return the `se` argument of `keras_se.models.build` for a word, or a file of SE by block."""
    from keras_se.models import configuration

    if not configuration.is_path(word):
        return se_named(word, reduction)
    _check_unreduced(word, reduction)
    return word


def se_named(name: str, reduction: float | None = None) -> Any:
    """Return the `se` argument of `keras_se.models.build` for a word of the command line.

    >>> se_named("mobile", reduction=8).reduction
    8
    """
    import keras_se

    advice = "From Python, any SEConfig can be passed to keras_se.models.build."
    _check_known("se", name, ("default", "none", *keras_se.PRESETS), advice)
    if name in ("default", "none"):
        _check_unreduced(name, reduction)
        return "default" if name == "default" else None
    preset = keras_se.PRESETS[name]
    return preset if reduction is None else replace(preset, reduction=reduction)


def _check_unreduced(se: str, reduction: float | None) -> None:
    if reduction is not None:
        raise ValueError(
            f"`reduction` changes a preset. Received: reduction={reduction} with se={se!r}. "
            f"Name a preset, such as --se mobile."
        )
