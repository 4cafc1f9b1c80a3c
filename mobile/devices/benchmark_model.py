"""TFLite's native tool `benchmark_model`: its command line, and what it prints.

Source:
    tflite/tools/benchmark/benchmark_model.cc and tensorflow/core/util/stats_calculator.cc.
"""

import re
from collections.abc import Mapping, Sequence

_NUMBER = r"([0-9][0-9.]*(?:e[+-]?[0-9]+)?)"
_SUMMARY = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
_DELTA = re.compile(rf"[Mm]emory footprint.*\(MB\): init={_NUMBER} overall={_NUMBER}")
_PIECES = re.compile(r"partially executed by the delegate w/ (\d+) delegate kernels")
_PROFILE = "Operator-wise Profiling Info for Regular Benchmark Runs"


def arguments(
    graph: str,
    runs: int,
    warmups: int,
    threads: int,
    kernels: str = "default",
    profile: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> list[str]:
    """Return the tool's arguments.

    Args:
        graph: The model's path on the device.
        runs: Timed runs.
        warmups: Runs before those.
        threads: Threads of the runtime.
        kernels: `"default"` (what the tool does by itself), or `"builtin"` (without XNNPACK).
        profile: Whether to time each operator, which slows the whole.
        shapes: Input name to shape, for a model that leaves it open.

    >>> arguments("m.tflite", 50, 20, 1)[:3]
    ['--graph=m.tflite', '--num_runs=50', '--min_secs=0']
    """
    if kernels not in ("default", "builtin"):
        raise ValueError(
            f"`kernels` must be 'default' or 'builtin' for benchmark_model. "
            f"Received: {kernels!r}. For the reference kernels use the agent under Python."
        )
    words = [f"--graph={graph}", f"--num_runs={runs}", "--min_secs=0", f"--warmup_runs={warmups}"]
    words += ["--warmup_min_secs=0", f"--num_threads={threads}"]
    words += ["--use_xnnpack=false"] if kernels == "builtin" else []
    words += ["--enable_op_profiling=true", "--report_peak_memory_footprint=true"] * profile
    if shapes:
        words.append("--input_layer=" + ",".join(shapes))
        sizes = (",".join(map(str, shape)) for shape in shapes.values())
        words.append("--input_layer_shape=" + ":".join(sizes))
    return words


def parse(text: str) -> dict | None:
    """Return what the tool says of one model, or None where it did not come to its end.

    The dictionary has `load_ms`, `first_ms`, `mean_ms`, `peak_memory_bytes`, `partitions`, and
    `profile`, a list of `{"name", "kind", "mean_ms"}`; None stands for what it does not tell.
    """
    summary = _SUMMARY.search(text)
    if not summary:
        return None
    load, first, _, mean = (float(number) / 1e3 for number in summary.groups())
    peak, delta = _PEAK.search(text), _DELTA.search(text)
    held = peak.group(1) if peak else delta.group(2) if delta else None
    profile = _profile(text)
    return {
        "load_ms": load,
        "first_ms": first,
        "mean_ms": mean,
        "peak_memory_bytes": held and int(float(held) * 2**20),  # the tool's MB are MiB
        "partitions": _partitions(text, profile),
        "profile": profile,
    }


def _profile(text):
    """Return the rows of the first table behind the heading, which is in the order of running."""
    rows, columns = [], None
    lines = iter(text.partition(_PROFILE)[2].splitlines())
    for line in lines:
        cells = [cell.strip() for cell in line.removeprefix("INFO:").split("\t") if cell.strip()]
        if columns is None:
            if cells and cells[0] == "[node type]":
                columns = {cell.strip("[]"): place for place, cell in enumerate(cells)}
        elif len(cells) < len(columns) - 1:  # a name may be empty
            break
        else:
            name = cells[columns["Name"]] if len(cells) > columns["Name"] else ""
            rows.append(
                {
                    "name": name,
                    "kind": cells[columns["node type"]],
                    "mean_ms": float(cells[columns["avg ms"]]),
                }
            )
    return rows


def _partitions(text, profile):
    pieces = _PIECES.search(text)
    if pieces:
        return int(pieces.group(1))
    if "completely executed by the delegate" in text:
        return 1
    if profile:
        return sum("delegate" in row["kind"].lower() for row in profile)
    return None
