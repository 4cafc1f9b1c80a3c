"""Everything in one call: train, quantise, convert, verify, benchmark, report, or go on."""

import contextlib
import datetime
import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mobile import data as data_room
from mobile.benchmarking.timings import Timings
from mobile.pipeline import int8_files, training
from mobile.pipeline import options as options_room
from mobile.pipeline.keras_files import load, save
from mobile.pipeline.run_folder import Store, folder_of
from mobile.progress import Silence
from mobile.reporting import console, report, run_report
from mobile.reporting.results import NetworkResult, Results

#: The networks of a run: name, and what the names of its files end in.
NETWORKS = {"mobile": "", "server": "_server", "no_se": "_no_se"}
SCHEMES = ("int8", "float32")
REFERENCES = ("server int8", "no_se int8")
_GATE_IMAGES = 200


def run(
    data: Any = None,
    output: str | Path = "runs",
    name: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Any = None,
    show: bool = False,
    **options: Any,
) -> Results:
    """Take a network, the same with server SE and without SE, from images to a measured report.

    Each is built, trained, lowered and calibrated, which gives an int8 file; trained on
    quantisation-aware, which gives another; the better of the two on training images set apart is
    kept. It is converted to float32 too, and verified; then all files are timed in one interleaved
    benchmark.

    The folder `output/NAME` gets `float.keras`, `qat.keras`, `int8.tflite`, `float32.tflite` (for
    the others with `_server` and `_no_se` behind the first word), `results.json`, `results.csv`,
    `results.md`, `report.html` and its plots. It has that name only when everything is in it; until
    then it is `output/NAME.unfinished`, and an interrupted run goes on with `resume=True`.

    Args:
        data: A folder as `mobile.data.load` takes it, a `DataSet`, or None for the digits.
        output: Folder that holds the runs.
        name: The run's name; None takes the data's.
        overwrite: Whether to replace a run of that name, once this one is complete.
        resume: Whether to go on with an unfinished run of the same options.
        progress: A `mobile.progress.Progress`, or None to work in silence.
        show: Whether to print the table at the end.
        options: See `Options`.

    Raises:
        ValueError: A value is not known or not possible, or the folder holds another run.
    """
    progress = progress or Silence()
    given, chosen = options_room.decide(data, options)
    images = given or data_room.load(
        chosen.data, chosen.size, chosen.validation_split, chosen.seed, chosen.strict
    )
    for remark in images.remarks:
        progress.note(remark)
    store = Store(folder_of(output, name or images.name), chosen, overwrite, resume)
    _start("mobile", images, chosen, count=2)  # raises now what training would find in minutes
    with store:
        networks = tuple(_network(each, images, chosen, store, progress) for each in NETWORKS)
        timings = Timings.from_dict(
            store.stage("benchmark", progress, lambda _: _benchmark(store, images, chosen))
        )
        results = Results(
            name=store.final.name,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            options=chosen.to_dict(),
            data=images.describe(),
            networks=networks,
            timings=timings,
            seconds=store.seconds,
            versions=_versions(),
        )
        report.report(results, store.folder, console=False)
    if show:
        report.show(report.page_of(results))
        console.show(f"Report: {store.final / 'report.html'}")
    return results


def _build(se, images, options):
    import keras

    import keras_se

    keras.utils.set_random_seed(options.seed)
    return keras_se.models.build(
        options.network,
        se=se,
        input_shape=(images.size, images.size, 3),
        classes=len(images.classes),
        width=options.width,
        classifier_activation=None,
    )


def _start(name, images, options, count):
    """Build one of the networks, with random weights or from the given ones."""
    model = _build(_se(name, options), images, options)
    if options.weights is not None:
        from mobile.pipeline import transfer

        donor = _build("default", images, options)
        some = _some(images.x_train, count, options.seed)
        transfer.start_from(model, options.weights, donor, some, options.source)
    return model


def _se(name, options):
    import keras_se

    if name == "mobile":
        return options_room.se_named(options.se, options.reduction)
    return keras_se.SERVER if name == "server" else None


def _network(name, images, options, store, progress):
    """Take one network from nothing to its .tflite files, or read what is there."""
    import keras_se

    label = run_report.LABELS[name]
    float_path = store.folder / f"float{NETWORKS[name]}.keras"

    def train(watch):
        model = _start(name, images, options, options.calibration_images)
        epochs = training.train(
            model,
            images.x_train,
            images.y_train,
            **options.float_training(),
            watch=watch,
        )
        save(model, float_path, images.classes)
        return {"epochs": [epoch.to_dict() for epoch in epochs]}

    trained = store.stage(f"train {label}", progress, train, steps=True)

    def quantize(watch):
        model = load(float_path)
        found = _quantize(model, name, images, options, store, watch)
        se = _se(name, options)
        if se == "default":
            se = keras_se.models.find(options.network).se
        return replace(
            found,
            se=se and se.to_dict(),
            complexity=keras_se.complexity(model).to_dict(),
            gates=_gates(model, images, options),
        ).to_dict()

    quantized = store.stage(f"quantise {label}", progress, quantize, steps=True)
    return NetworkResult.from_dict({**quantized, **trained})


def _gates(model, images, options):
    """What its gates do over some test images, as plain values of 4 digits; None without gates."""
    import numpy as np

    import keras_se
    from keras_se.gated_blocks import find_gated_blocks

    if not find_gated_blocks(model).blocks:
        return None
    order = np.random.default_rng(options.seed).permutation(len(images.x_test))
    chosen = np.sort(order[:_GATE_IMAGES])
    labels = np.array(images.classes)[images.y_test[chosen]]
    found = keras_se.gates(model, images.x_test[chosen], labels).to_dict()
    for block in found["blocks"]:
        for name in ("mean", "spread", "constant", "class_means"):
            block[name] = np.round(block[name], 4).tolist()
    return found


def _quantize(model, name, images, options, store, watch) -> NetworkResult:
    """Lower, make int8 files, keep the better one, convert to float32, verify every form."""
    import mobile

    lowered = mobile.lower(model, options.target)
    int8 = int8_files.make(model, lowered, images, options, watch)
    suffix = NETWORKS[name]
    if options.engine == "keras":
        save(int8.aware, store.folder / f"qat{suffix}.keras", images.classes)
    kept = {
        "int8": int8.files[int8.kept],
        "float32": mobile.convert(model, scheme="float32"),
    }
    kept = {scheme: file.with_classes(images.classes) for scheme, file in kept.items()}
    for scheme, artifact in kept.items():
        artifact.save(store.folder / f"{scheme}{suffix}.tflite")
    x, y = images.x_test, images.y_test
    forms = {"lowered": lowered, "qat": int8.aware, **int8.files, "float32": kept["float32"]}
    agreement = {form: mobile.verify(model, each, x, y) for form, each in forms.items()}
    agreement["int8"] = agreement[int8.kept]
    accuracy = {"float": training.accuracy(training.predict(model, x), y)}
    accuracy |= {
        form: each.accuracy[each.candidate] for form, each in agreement.items() if each.accuracy
    }
    return NetworkResult(
        name=name,
        se=None,
        complexity={},
        qat_epochs=int8.epochs,
        accuracy=accuracy,
        agreement=agreement,
        artifacts={scheme: each.to_dict() for scheme, each in kept.items()},
        int8_from=int8.kept,
        apart=int8.apart,
    )


def _benchmark(store, images, options):
    import mobile

    named = {
        f"{name} {scheme}": store.folder / f"{scheme}{suffix}.tflite"
        for name, suffix in NETWORKS.items()
        for scheme in SCHEMES
    }
    timed = mobile.benchmark(
        named,
        runs=options.runs,
        threads=options.threads,
        reference=REFERENCES,
        images=images.x_test[:1],
    )
    return cast(Timings, timed).to_dict()  # one, as there is one device and one count of threads


def _some(images, count, seed):
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return images[np.sort(chosen)]


def _versions():
    names = ("keras-se", "keras", "tensorflow", "numpy", "ai-edge-litert", "tf_keras")
    names += ("tensorflow-model-optimization", "scikit-learn")
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
