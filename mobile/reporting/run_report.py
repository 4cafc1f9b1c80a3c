"""A run as a page: what each network reached, what it costs, how it was verified and made."""

from functools import partial
from typing import Any

from mobile.benchmarking import columns
from mobile.progress import minutes
from mobile.reporting import gate_plots, plots
from mobile.reporting.pages import Page, Picture, Sheet, facts, share
from mobile.reporting.results import Results
from mobile.reporting.sheets import compared, ratios_in_words, references_of
from mobile.reporting.units import millions, percent, se_in_words

LABELS = {"mobile": "mobile", "server": "server SE", "no_se": "without SE"}
_COLOURS = {"mobile": "#0072B2", "server": "#D55E00", "no_se": "#009E73"}
_OTHER_COLOUR = "#CC79A7"
_CONSTANT = 0.02  # what a constant may leave of the output of a gate that is called constant
_FORMS = {
    "float": "float, Keras",
    "lowered": "lowered, Keras",
    "qat": "quantisation-aware, Keras",
    "float32": "float32 .tflite",
    "int8": "int8 .tflite",
    "calibrated": "int8 .tflite, calibrated alone",
    "trained": "int8 .tflite, trained on",
}


def page(results: Results) -> Page:
    """Return the report of a run."""
    data = results.data
    summary = (
        f"{results.options['network']} on {data['name']}, {len(data['classes'])} classes, "
        f"{data['train_images']} training and {data['test_images']} test images "
        f"of {data['size']}x{data['size']}."
    )
    sheets = (
        _reached(results),
        _networks(results),
        _verification(results),
        *_gates(results),
        _making(results),
        facts("Options", results.options),
        facts("Conditions of the benchmark", results.timings.conditions.to_dict()),
        facts("Versions", results.versions),
    )
    return Page(results.name, summary, sheets, tuple(results.rows()))


def label(name: str) -> str:
    """Return the words for `mobile`, `no_se int8` and the like."""
    network, *scheme = name.split(" ")
    return " ".join([LABELS.get(network, network), *scheme])


def _reached(results):
    """Return the summary: a row a .tflite file."""
    files, timings = results.rows(), results.timings
    timed = {model.name: model for model in timings.models}
    models = [timed.get(f"{row['network']} {row['scheme']}") for row in files]
    references = references_of(timings)
    cells = {
        "network": [label(row["network"]) for row in files],
        "scheme": [row["scheme"] for row in files],
        "accuracy": [percent(row["accuracy"]) for row in files],
        "agreement": [percent(row["top1_agreement"]) for row in files],
        **compared(timings, models, references, label),
        "file MB": [columns.megabytes(row["size_bytes"]) for row in files],
    }
    said = [timings.where, *ratios_in_words(references, label)]
    said.append(
        "Agreement: share of the test images on which the file and the float Keras model have the "
        "same top-1."
    )
    said += [f"{remark}." for remark in results.data["remarks"]]
    return Sheet(
        "Accuracy and latency",
        tuple(cells),
        tuple(zip(*cells.values(), strict=True)),
        " ".join(said),
        timings.warnings,
        tuple(i for i, row in enumerate(files) if row["scheme"] == "int8"),
        ("agreement", *columns.spare()),
        tuple(_pictures(results, files)),
    )


def _networks(results):
    rows = []
    for network in results.networks:
        cost = network.complexity
        params, macs = cost["trainable_params"], cost["macs"]
        in_se = share(cost["se_params"], params), share(cost["se_macs"], macs)
        counts = (millions(params), percent(in_se[0]), millions(macs), percent(in_se[1]))
        rows.append((label(network.name), *counts, se_in_words(network.se)))
    header = ("network", "parameters", "in SE", "multiply-adds", "in SE", "SE")
    return Sheet("The networks", header, tuple(rows), shown="page")


def _verification(results):
    """Return every form of each network against its float Keras model."""
    rows = []
    for network in results.networks:
        for form, right in network.accuracy.items():
            if form == "int8" and network.int8_from:
                continue  # the kept one of two, each of which has a row
            found = network.agreement.get(form)
            said = _FORMS.get(form, form) + (", kept" if form == network.int8_from else "")
            same = (
                (percent(found.top1_agreement), f"{found.worst_abs:.2g}", f"{found.mean_abs:.2g}")
                if found
                else ("-", "-", "-")
            )
            rows.append((label(network.name), said, percent(right), *same))
    header = ("network", "form", "accuracy", "same top-1", "worst difference", "mean difference")
    said = (
        "Every form of each network on the same test images, against its float Keras model; "
        "differences are of the logits."
    )
    return Sheet("Verification", header, tuple(rows), said, shown="page")


def _gates(results):
    """Yield what the gates of each network do, block by block, and what they cost."""
    rows, pictures = [], []
    for network in results.networks:
        if network.gates is None:
            continue
        from keras_se.gate_statistics import Gates  # with Keras, which a report else does without

        found = Gates.from_dict(network.gates)
        whole, cost_us = sum(block.elements for block in found.blocks), _se_us(results, network)
        for block in found.blocks:
            cost = "" if cost_us is None else f"{cost_us * block.elements / whole:.1f}"
            shape = "x".join(map(str, block.shape))
            gate = f"{block.mean.mean():.3f} ± {block.spread.mean():.3f}"
            state = "constant" if block.error < _CONSTANT else "alive"
            left = percent(block.error)
            rows.append((label(network.name), block.name, shape, gate, left, state, cost))
        draw = partial(gate_plots.gates, found)
        title = f"The gates of the network with {LABELS.get(network.name, network.name)}"
        pictures.append(Picture(f"gates_{network.name}.png", title, draw))
    if not rows:
        return
    header = ("network", "block", "tensor", "gate", "a constant leaves", "it is", "about us")
    said = (
        "Gates over test images, mean and deviation over images, averaged over channels; what the "
        "best constant for each channel leaves of the block's output; and what the block costs: "
        "the measured difference to the int8 file without SE, shared out by multiplied elements. "
        "A gate that is constant costs as much as one that is alive, until keras-se fold makes it "
        "a part of its neighbours."
    )
    yield Sheet("The gates", header, tuple(rows), said, pictures=tuple(pictures), shown="page")


def _se_us(results, network):
    """What SE costs a network's int8 file in microseconds; None where it was not measured."""
    timed = {model.name: model.median_ms for model in results.timings.models if model.times_ms}
    files = f"{network.name} int8", "no_se int8"
    if not timed.keys() >= set(files):
        return None
    return 1000 * (timed[files[0]] - timed[files[1]])


def _making(results):
    stages = ", ".join(f"{stage} {minutes(taken)}" for stage, taken in results.seconds.items())
    said = f"{results.created}, {minutes(sum(results.seconds.values()))} in all"
    said += f": {stages}." if stages else "."
    said += " The raw times and everything else are in results.json beside this page."
    return Sheet("How it was done", caption=said, shown="page")


def _pictures(results: Results, files: list[dict[str, Any]]):
    points = [
        plots.Point(
            label(row["network"]),
            row["median_ms"],
            row["accuracy"],
            _colour(row["network"]),
            filled=row["scheme"] == "int8",
        )
        for row in files
        if row["median_ms"] is not None and row["accuracy"] is not None
    ]
    if points:
        marks = (("int8", True), ("float32", False))
        draw = partial(
            plots.accuracy_against_latency, points, results.data["test_images"], marks=marks
        )
        yield Picture("accuracy_latency.png", "Accuracy against latency", draw)
    if results.timings.models:
        draw = partial(plots.latency_distributions, results.timings, label, _colour)
        yield Picture("latency.png", "Latency distributions", draw)
    draw = partial(_draw_costs, results)
    yield Picture("costs.png", "Where the parameters and multiply-adds sit", draw)


def _draw_costs(results):
    from keras_se.counting import Complexity

    counted = {each.name: Complexity.from_dict(each.complexity) for each in results.networks}
    return plots.costs_by_stage(counted, label, _colour)


def _colour(name):
    return _COLOURS.get(name.split(" ")[0], _OTHER_COLOUR)
