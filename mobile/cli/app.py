"""What all commands share: the application, the words of their options, checks of their files."""

import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

INSTALL = "pip install 'keras-se[mobile]'"

try:
    import typer

    from mobile.conversion.quiet import quiet
    from mobile.devices.connect import DEVICES
    from mobile.lowering.targets import TARGETS
    from mobile.quantization import ENGINES, METHODS
    from mobile.record import printable
except ImportError as error:  # keras-se was installed without an extra
    sys.exit(
        f"keras-se: the command line needs the package {error.name}. Install it with: {INSTALL}"
    )

app = typer.Typer(
    name="keras-se",
    help="Squeeze-and-excitation networks from Keras to the phone: right and fast in int8.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def one_of(words: Iterable[str]) -> str:
    """Say what an option can be.

    >>> one_of(("keras", "tfmot", "none"))
    'keras, tfmot or none'
    """
    *most, last = words
    return f"{', '.join(most)} or {last}"


#: What --se takes: `keras_se.PRESETS` and two more. A copy, since --help does not import Keras;
#: a test compares the two.
SE = ("default", "none", "paper", "mobile", "server", "static", "mobilenet_v3", "efficientnet")
SE += ("torchvision", "timm", "segmentation_models")
KINDS = ("cse", "sse", "scse", "static")  # likewise of keras_se.config
#: Likewise of mobile.tuning.ablation.
QUESTIONS = ("reduction", "pool", "gate", "kind", "aggregate", "placement", "stages")

Model = Annotated[Path, typer.Argument(help="A .keras file.")]
Output = Annotated[Path, typer.Argument(help="The file to write.")]
Data = Annotated[
    str | None,
    typer.Option(help="Folder of images. Default: digits, the embedded handwritten ones."),
]
OwnData = Annotated[
    str | None,
    typer.Option(
        help="Folder of images like those that the model was trained on, or digits for the "
        "embedded handwritten ones. There is no default."
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        help="Network in timm or torchvision that the weights were trained in, where the names of "
        "their entries fit several."
    ),
]
Target = Annotated[str, typer.Option(help=f"Runtime to lower for: {one_of(TARGETS)}.")]
Images = Annotated[int, typer.Option(help="How many images to calibrate on.")]
Method = Annotated[str, typer.Option(help=f"How ranges are found: {one_of(METHODS)}.")]
Engine = Annotated[str, typer.Option(help=f"Who trains the ranges' model: {one_of(ENGINES)}.")]
Seed = Annotated[int, typer.Option(help="Decides everything random.")]
Se = Annotated[str, typer.Option(help=f"Squeeze-and-excitation: {one_of(SE)}.")]
Threads = Annotated[int, typer.Option(help="Threads of the runtime.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
#: What --device takes, for a help that reads brackets as markup.
DEVICE_WORDS = one_of(DEVICES).replace("[", r"\[")


class Interrupted(Exception):  # noqa: N818 - not an error
    """Ctrl-C, with what was finished and how to go on."""


def command(function: Callable) -> Callable:
    """Register a command that needs no TensorFlow, or fetches it itself."""

    @functools.wraps(function)
    def registered(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt as error:  # typer would drop what it says
            raise Interrupted(str(error) or "interrupted") from None

    return app.command()(registered)


def keras_command(function: Callable) -> Callable:
    """Register a command that first imports TensorFlow, with its greetings off the terminal."""

    @functools.wraps(function)
    def prepared(*args, **kwargs):
        import_tensorflow()
        return function(*args, **kwargs)

    return command(prepared)


def import_tensorflow() -> None:
    """Import TensorFlow without what it prints on the way."""
    with quiet():
        import tensorflow

        tensorflow.config.list_physical_devices()  # says now that it looks for a GPU
    tensorflow.get_logger().setLevel("ERROR")


def refuse_existing(path: Path, overwrite: bool, suffix: str | None = None) -> None:
    """Raise unless a file of that name may be written; asked before the work whose result it is."""
    if suffix is not None and path.suffix != suffix:
        raise ValueError(f"The file to write must end in {suffix}. Received: {path}. Rename it.")
    refuse_unwritable([path], overwrite)


def refuse_unwritable(paths: Iterable[str | Path], overwrite: bool) -> None:
    """Raise unless all these files can be written; tried before the work whose result they hold."""
    paths = [Path(path) for path in paths]
    twice = {path for path in paths if [p.resolve() for p in paths].count(path.resolve()) > 1}
    if twice:
        raise ValueError(
            f"Each export needs a file of its own. Received: {sorted(map(str, twice))[0]} twice. "
            f"Rename one."
        )
    for path in paths:
        if path.is_dir():
            raise ValueError(
                f"The file to write must not be a folder. Received: {path}. Name a file in it."
            )
        if path.exists() and not overwrite:
            raise ValueError(
                f"The file to write must be new. Received: {path}, which exists. "
                f"Choose another name, or pass --overwrite."
            )
        parent = next(each for each in path.absolute().parents if each.exists())
        try:
            with tempfile.TemporaryFile(dir=parent):
                pass
        except OSError as error:
            raise ValueError(
                f"The file to write must lie where you may write. Received: {path}: "
                f"{error.strerror}. Name another folder."
            ) from None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every foreseen error is one line and exit status 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # this process alone
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = app(arguments, standalone_mode=False)
    except Interrupted as error:
        _fail(error, 130)
    except (ValueError, TypeError, ImportError, OSError, RuntimeError, KeyError) as error:
        _fail(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error
            _fail(_usage(error))
        raise
    sys.exit(status if isinstance(status, int) else 0)


def _show_warning(message, category, *where):
    if issubclass(category, UserWarning):  # the others are for developers
        print(f"keras-se: {_one_line(str(message))}", file=sys.stderr)


def _usage(error):
    """Say what is wrong with the arguments, and what is known."""
    text = error.format_message().rstrip(".")
    if "Did you mean" in text:
        return text
    context = getattr(error, "ctx", None)
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and "command" in text:
        return f"{text}. Known: {', '.join(commands)}."
    return f"{text}. See {context.command_path if context else 'keras-se'} --help."


def _fail(error, status=1):
    """Print an error as one line and exit."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _one_line(" ".join([text, *getattr(error, "__notes__", ())])) or type(error).__name__
    if isinstance(error, ImportError) and "pip install" not in text:
        text += f". Install what is missing with: {INSTALL}"
    print(f"keras-se: {text}", file=sys.stderr)
    sys.exit(status)


def _one_line(text):
    r"""Return a text without line ends, and without what a terminal would obey.

    >>> _one_line("a file\n called \x1b[2J")
    'a file called \\x1b[2J'
    """
    return printable(" ".join(text.split()))
