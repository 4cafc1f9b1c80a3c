"""The commands that measure: benchmark, lint, report."""

import dataclasses
import datetime
from pathlib import Path
from typing import Annotated

import typer

from mobile.cli import app

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
        typer.Option(
            help=r"local, ssh:\[user@]host\[:port] or adb\[:serial]; repeat it for several at "
            "once. Default: local."
        ),
    ] = None,
    threads: Annotated[str, typer.Option(help="Threads of the runtime, such as 1 or 1,2,4.")] = "1",
    runs: Annotated[
        int | None,
        typer.Option(help="Rounds, each of every model once. Default: 200, single-stream 1024."),
    ] = None,
    warmups: Annotated[int, typer.Option(help="Rounds before those, at least.")] = 20,
    budget_s: Annotated[
        float | None, typer.Option(help="Begin no round after so many seconds and 50 rounds.")
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="ai_edge_litert, tflite_runtime or tensorflow.")
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
    ] = 120.0,
    python: Annotated[str | None, typer.Option(help="Python interpreter on the device.")] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option(help="Native benchmark_model for an adb device without Python.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="single-stream: each model alone, 1,024 runs and 60 s at least, p90."),
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
    import mobile
    from mobile.analysis import vela
    from mobile.benchmarking import single_stream
    from mobile.benchmarking.measurements import Measurement, Measurements
    from mobile.progress import Progress
    from mobile.reporting import report

    targets = {"json": export_json, "markdown": export_markdown, "csv": export_csv, "html": html}
    targets = {kind: path for kind, path in targets.items() if path is not None}
    app.refuse_unwritable(targets.values(), overwrite)
    counts, shapes = _counts(threads), _shapes(shape)
    if scenario not in (None, *single_stream.SCENARIOS):
        raise ValueError(
            f"`scenario` must be one of {', '.join(single_stream.SCENARIOS)}. "
            f"Received: {scenario!r}. Leave it out to time the models in turn."
        )
    for accelerator in estimate or ():
        vela.check(accelerator)
    progress = Progress()
    if compare:
        known = _built(files, network, size, data, progress)
        models, reference = known.pop("models"), reference or files[0]
    else:
        if network is not None or size is not None or data is not None:
            raise ValueError(
                "--network, --size and --data go with --compare. Received: one without. "
                "Pass --compare and configurations such as mobile server, or leave it out."
            )
        models, reference, known = *named_files(files, reference), {}
        for path in models.values():
            if not path.exists():
                raise ValueError(
                    f"Every file must be there. Received: {path}, which is not. Check the path."
                )
    measured, warning = (), known.pop("warning", None)
    estimates, failures = _estimated(models, estimate or (), progress)
    places = device or ([] if estimate else ["local"])
    if places:
        options = {"device": places, "threads": counts, "warmups": warmups, "runtime": runtime}
        options |= {"kernels": kernels, "shape": shapes, "timeout": timeout, "python": python}
        options |= {"budget_s": budget_s, "benchmark_model": benchmark_model}
        rounds = (1024 if scenario else 200) if runs is None else runs
        many = f"{len(models)} model{'s' if len(models) > 1 else ''}"
        with progress.stage(f"time {many} on {', '.join(places)}"):
            if scenario:
                found = single_stream.single_stream(models, rounds, **options)
            else:
                found = mobile.benchmark(models, runs=rounds, reference=reference, **options)
        measured = tuple(Measurement(_noted(t, warning), **known) for t in found)
    result = Measurements(measured, estimates, _now(), _versions(), failures)
    report.publish(result, targets)
    if result.failed:
        raise typer.Exit(1)


def named_files(files, reference=None):
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
    return named, reference or names[0]


def _telling(place, places):
    """Return the shortest end of a path, without suffix, that no other has."""
    for count in range(1, len(place.parts)):
        end = place.with_suffix("").parts[-count:]
        if [other.with_suffix("").parts[-count:] for other in places].count(end) == 1:
            return "/".join(end)
    return str(place)


def _built(names, network, size, data, progress):
    """Build what `--compare` names."""
    if network is None:
        raise ValueError(
            "--compare needs a network to configure. Received: none. "
            "Pass --network, such as --network mobilenet_v3_small."
        )
    app.import_tensorflow()
    from mobile.pipeline import se_variants

    with progress.stage(f"build {network} with {', '.join(names)}"):
        models, made, title, warning = se_variants.build(names, network, size, data)
    return {"models": models, "configurations": made, "title": title, "warning": warning}


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
    import contextlib
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return {"keras-se": metadata.version("keras-se")}
    return {}
