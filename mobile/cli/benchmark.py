"""The command that measures."""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobile.benchmarking.settings import INTERLEAVED, SINGLE_STREAM, Runtime, Schedule
from mobile.cli import app
from mobile.devices.agent.runtime import RUNTIMES

if TYPE_CHECKING:
    from mobile.benchmarking.measurements import Measurements

Files = Annotated[
    list[str],
    typer.Argument(
        help="The .tflite files to compare; with --compare, configurations of --network: "
        "default, none, or presets such as mobile and server."
    ),
]
Export = Annotated[Path | None, typer.Option(help="Write the result to this file.")]


@app.command
def benchmark(
    files: Files,
    reference: Annotated[
        str | None, typer.Option(help="The file that ratios are taken to. Default: the first.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help=f"{app.DEVICE_WORDS}; repeat it for several at once. Default: local."),
    ] = None,
    threads: Annotated[str, typer.Option(help="Threads of the runtime, such as 1 or 1,2,4.")] = "1",
    runs: Annotated[
        int | None,
        typer.Option(
            help=f"Rounds, each of every model once. Default: {INTERLEAVED.runs}, single-stream "
            f"{SINGLE_STREAM.runs}."
        ),
    ] = None,
    warmups: Annotated[
        int, typer.Option(help="Rounds before those, at least.")
    ] = INTERLEAVED.warmups,
    budget_s: Annotated[
        float | None, typer.Option(help="Begin no round after so many seconds and 50 rounds.")
    ] = INTERLEAVED.budget_s,
    runtime: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(RUNTIMES)}. Default: the first that is there."),
    ] = None,
    kernels: Annotated[
        str, typer.Option(help="default (with delegate), builtin (without) or reference.")
    ] = "default",
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Shape of an input left open: 1,224,224,3, or NAME=1,224,224,3."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that a model may take to load, or to run once.")
    ] = INTERLEAVED.timeout,
    python: Annotated[str | None, typer.Option(help="Python interpreter on the device.")] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option(help="Native benchmark_model for an adb device without Python.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            help=f"single-stream: each model alone, at least {SINGLE_STREAM.runs:,} runs and "
            f"{SINGLE_STREAM.least_s:g} s, p90."
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Build and time configurations of --network.")
    ] = False,
    network: Annotated[
        str | None, typer.Option(help="With --compare: a network of `keras-se models`.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="With --compare: height and width of the image.")
    ] = None,
    data: app.Data = None,
    estimate: Annotated[
        list[str] | None,
        typer.Option(
            help="Estimate on an accelerator such as ethos-u55-256; repeat it for several. "
            "Measures nothing unless --device is given too."
        ),
    ] = None,
    export_json: Export = None,
    export_markdown: Export = None,
    export_csv: Export = None,
    html: Export = None,
    overwrite: app.Overwrite = False,
):
    """Time .tflite files interleaved, on this machine or others; exit 1 if one gave no times."""
    from mobile.reporting import report

    exports = {"json": export_json, "markdown": export_markdown, "csv": export_csv, "html": html}
    exports = {kind: path for kind, path in exports.items() if path is not None}
    app.refuse_unwritable(exports.values(), overwrite)
    schedule = SINGLE_STREAM if scenario else INTERLEAVED
    schedule = dataclasses.replace(
        schedule,
        runs=schedule.runs if runs is None else runs,
        warmups=warmups,
        budget_s=budget_s,
        timeout=timeout,
    )
    build = _build(compare, files, network, size, data)
    models, reference = ({}, reference or files[0]) if build else _models(files, reference)
    plan = Plan(
        models,
        reference,
        build,
        places=tuple(device or ([] if estimate else ["local"])),
        schedule=schedule,
        runtime=Runtime(runtime, kernels, _counts(threads), None, python, benchmark_model),
        shape=_shapes(shape),
        scenario=scenario,
        accelerators=tuple(estimate or ()),
    )
    result = measured(plan)
    report.publish(result, exports)
    if result.failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Build:
    """What `--compare` builds: a network in several configurations."""

    names: list[str]
    network: str
    size: int | None
    data: Path | None


@dataclass(frozen=True)
class Plan:
    """What a command asks for, checked as far as it can be before anything is measured.

    Args:
        models: Name to path; empty where `build` makes them.
        reference: Name of the one that ratios are taken to.
        build: What to build.
        places: Devices, as the user writes them.
        schedule: How often the models are run.
        runtime: What runs them.
        shape: Shape of an input left open, or input name to shape.
        scenario: None, or `single-stream`.
        accelerators: What to estimate on.
    """

    models: Mapping[str, Path]
    reference: str
    build: Build | None
    places: tuple[str, ...]
    schedule: Schedule
    runtime: Runtime
    shape: tuple[int, ...] | dict | None
    scenario: str | None
    accelerators: tuple[str, ...]

    def __post_init__(self):
        from mobile.analysis import vela
        from mobile.benchmarking.single_stream import SCENARIOS

        if self.scenario not in (None, *SCENARIOS):
            raise ValueError(
                f"`scenario` must be one of {', '.join(SCENARIOS)}. "
                f"Received: {self.scenario!r}. Leave it out to time the models in turn."
            )
        for accelerator in self.accelerators:
            vela.check(accelerator)


def measured(plan: Plan) -> "Measurements":
    """Build, estimate and time what a plan says; return `Measurements`."""
    from mobile.benchmarking.measurements import Measurement, Measurements
    from mobile.progress import Progress

    progress = Progress()
    models, known, warning = plan.models, {}, None
    if plan.build is not None:
        models, known, warning = _built(plan.build, progress)
    estimates, failures = _estimated(models, plan.accelerators, progress)
    timed = tuple(
        Measurement(_noted(timings, warning), **known)
        for timings in (_timed(models, plan, progress) if plan.places else ())
    )
    return Measurements(timed, estimates, _now(), _versions(), failures)


class _Incomplete(Exception):  # noqa: N818 - not an error
    """Not all that was asked for was measured: such a stage gets no tick."""


def _timed(models, plan, progress):
    """Return one `Timings` a device and number of threads."""
    import mobile
    from mobile.benchmarking import single_stream

    options = {"device": list(plan.places), "schedule": plan.schedule, "runtime": plan.runtime}
    options |= {"shape": plan.shape}
    found: Any = ()
    many = f"{len(models)} model{'s' if len(models) > 1 else ''}"
    with (
        contextlib.suppress(_Incomplete),
        progress.stage(f"time {many} on {', '.join(plan.places)}"),
    ):
        if plan.scenario:
            found = single_stream.single_stream(models, **options)
        else:
            found = mobile.benchmark(models, reference=plan.reference, **options)
        if any(timings.failures for timings in found):
            raise _Incomplete
    return found


def _build(compare, files, network, size, data):
    """Return what to build; None where the files are there."""
    if compare and network is not None:
        return Build(files, network, size, data)
    if compare:
        raise ValueError(
            "--compare needs a network to configure. Received: none. "
            "Pass --network, such as --network mobilenet_v3_small."
        )
    if any(given is not None for given in (network, size, data)):
        raise ValueError(
            "--network, --size and --data go with --compare. Received: one without. "
            "Pass --compare and configurations such as mobile server, or leave it out."
        )
    return None


def _models(files, reference):
    """Return name to path, and the reference's name; every file must be there."""
    models, reference = named_files(files, reference)
    for path in models.values():
        if not path.exists():
            raise ValueError(
                f"Every file must be there. Received: {path}, which is not. Check the path."
            )
    return models, reference


def named_files(
    files: Iterable[str | Path], reference: str | Path | None = None
) -> tuple[dict[str, Path], str]:
    """Return name to path, each named after its file, or as much of its path as tells it apart.

    Args:
        files: Paths; `reference` joins them in the first place if it is not among them.
        reference: Path of the reference, or a name that the answer gives.

    Returns:
        Name to path, and the name of the reference.

    Raises:
        ValueError: A file is given twice.

    >>> named_files(["a.tflite", "old/b.tflite", "new/b.tflite"])[0].keys()
    dict_keys(['a', 'old/b', 'new/b'])
    """
    paths = [Path(file) for file in files]
    if reference is not None and Path(reference).exists():
        among = [path for path in paths if path.resolve() == Path(reference).resolve()]
        paths = paths if among else [Path(reference), *paths]
        among = among or paths[:1]
    else:
        among = []
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ValueError(
                f"Each file must be given once. Received: {path} twice. Leave one out: the first "
                f"file is timed against itself anyway."
            )
    names = [_telling(place, places) for place in places]
    named = dict(zip(names, paths, strict=True))
    if among:
        return named, names[paths.index(among[0])]
    if reference is not None and reference not in named:
        raise ValueError(
            f"`reference` must be one of the files. Received: {reference}. "
            f"Known: {', '.join(named)}."
        )
    return named, str(reference or names[0])


def _telling(place, places):
    """Return the shortest end of a path, without suffix, that no other has."""
    for count in range(1, len(place.parts)):
        end = place.with_suffix("").parts[-count:]
        if [other.with_suffix("").parts[-count:] for other in places].count(end) == 1:
            return "/".join(end)
    return str(place)


def _built(build, progress):
    """Build the configurations; return the models, what is known of them, and a warning."""
    app.import_tensorflow()
    from mobile.pipeline import se_variants

    with progress.stage(f"build {build.network} with {', '.join(build.names)}"):
        models, made, title, warning = se_variants.build(
            build.names, build.network, build.size, build.data
        )
    return models, {"configurations": made, "title": title}, warning


def _estimated(models, accelerators, progress):
    """Estimate each model on each accelerator; one that cannot be costs its row only."""
    import mobile
    from mobile.benchmarking.timings import Failure

    estimates, failures = [], []
    for accelerator in accelerators:
        with progress.stage(f"estimate on {accelerator}"):
            for name, model in models.items():
                try:
                    estimates.append(mobile.estimate(model, accelerator, name))
                except (ValueError, OSError, RuntimeError) as error:
                    failures.append(Failure(name, f"estimate on {accelerator}", str(error)))
    return tuple(estimates), tuple(failures)


def _noted(timings, warning):
    return dataclasses.replace(timings, notes=(*filter(None, (warning,)), *timings.notes))


def _counts(text):
    """Return the thread counts of `1,2,4`."""
    try:
        counts = tuple(int(word) for word in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or len(set(counts)) != len(counts):
        raise ValueError(
            f"`threads` must be whole numbers from 1 with commas between, each once. "
            f"Received: {text!r}. Pass --threads 1,2,4."
        )
    return counts


def _shapes(texts):
    """Return the shape of `1,224,224,3`, or input name to shape of several `NAME=...`."""
    if not texts:
        return None
    shapes = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = tuple(int(word) for word in sizes.split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1 or name in shapes or (not name and len(texts) > 1):
            raise ValueError(
                f"`shape` must be whole numbers with commas between, and of several inputs "
                f"NAME=SHAPE for each. Received: {text!r}. Pass --shape 1,224,224,3."
            )
        shapes[name] = shape
    return shapes.get("", shapes)


def _now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _versions():
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return {"keras-se": metadata.version("keras-se")}
    return {}
