import dataclasses

import pytest

from mobile.analysis.vela import CpuOperator, Estimate
from mobile.benchmarking.measurements import Configuration, Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, OperatorTime, Timings
from mobile.reporting import pages, sheets


def model(name, ms, **kw):
    return ModelTimings(name, (ms,) * 4, kw.pop("partitions", 1), 1_500_000, **kw)


def timings(*models, device="local", runtime="ai_edge_litert", references=("a",), **kw):
    conditions = Conditions(device, "aarch64", "A CPU", runtime, "2.3.0", 1, 4, 2, **kw)
    return Timings(models, conditions, references if models else ())


def measured(*several, **kw):
    return Measurements(tuple(Measurement(t, **kw) for t in several))


def tables(measured, reference=None):
    """Return the tables, without the conditions that the page folds away."""
    found = sheets.sheets(measured, reference)
    assert all(sheet.title == "Conditions" for sheet in found if sheet.shown == "folded")
    return [sheet for sheet in found if sheet.shown == "everywhere"]


def cells(sheet, name):
    """Return a row as a dictionary."""
    row = next(row for row in sheet.rows if row[0] == name)
    return dict(zip(sheet.header, row, strict=True))


def test_a_device_has_times_sizes_and_ratios():
    models = model("a", 1.0, first_ms=3.0, output_lsb=1), model("b", 0.5, output_error=2e-7)
    (sheet,) = tables(measured(timings(*models)))
    assert sheet.title == "local, 1 thread"
    b = cells(sheet, "b")
    assert (b["p50 ms"], b["file MB"], b["partitions"]) == ("0.500", "1.500", "1")
    assert b["ratio"] == "0.500 [0.500, 0.500]"
    assert cells(sheet, "a")["ratio"] == "1"
    assert (cells(sheet, "a")["error"], b["error"]) == ("?", "2e-05 %")
    assert (cells(sheet, "a")["LSB"], b["LSB"]) == ("1", "?")
    assert (cells(sheet, "a")["first ms"], b["first ms"]) == ("3.00", "?")
    assert "load ms" not in sheet.header  # nobody knows it
    assert sheet.strong == (1,)  # b is the fastest
    assert sheet.caption.startswith(timings(*models).where)
    assert "ratio: to a, of the medians" in sheet.caption
    assert "error: distance of the output" in sheet.caption


def test_what_ran_without_the_delegate_is_labelled():
    named = "my delegate test"  # a name decides nothing
    fallback = model("b (plain)", 1.0, kernels="builtin", fallback_of="b")
    models = (model("a", 1.0), model(named, 1.0, kernels="builtin"), fallback)
    (sheet,) = tables(measured(timings(*models)))
    assert [row[0] for row in sheet.rows] == ["a", f"{named} [builtin kernels]", "b (plain)"]


def test_failures_come_before_notes():
    one = dataclasses.replace(
        timings(model("a", 1.0)), failures=(Failure("c", "load", "no such op"),), notes=("Hot.",)
    )
    (sheet,) = tables(measured(one))
    assert sheet.warnings == ("c failed to load: no such op", "Hot.")


def test_all_failed_still_gives_a_sheet():
    one = dataclasses.replace(timings(), failures=(Failure("c", "load", "no such op"),))
    (sheet,) = tables(measured(one))
    assert sheet.warnings == ("c failed to load: no such op",)
    assert sheet.header == () and sheet.pictures == ()  # nothing to draw


def test_devices_meet_in_ratios_of_their_own_and_never_in_times():
    here = timings(model("a", 1.0), model("b", 2.0), model("a again", 1.1, control_of="a"))
    there = timings(model("a", 10.0), model("b", 5.0), model("c", 30.0), device="ssh:pi")
    *_, sheet = tables(measured(here, there))
    assert sheet.header == ("model", "local, 1 thread", "ssh:pi, 1 thread")
    rows = {row[0]: row[1:] for row in sheet.rows}
    assert rows["b"] == ("2.000 [2.000, 2.000]", "0.500 [0.500, 0.500]")
    assert rows["c"] == ("-", "3.000 [3.000, 3.000]")
    assert rows["control: same file twice"] == ("1.100 [1.100, 1.100]", "-")


def test_two_runtimes_on_one_device_stay_apart():
    one, two = timings(model("a", 1.0)), timings(model("a", 25.0), runtime="tflite_runtime")
    first, second, ratios = tables(measured(one, two))
    assert "ai_edge_litert" in first.title and "tflite_runtime" in second.title
    assert ratios.rows[0] == ("a", "1", "1")  # each to its own: no 25 anywhere


def test_a_reference_may_be_asked_for():
    one = timings(model("a", 1.0), model("b", 2.0))
    *_, sheet = tables(measured(one, one), reference="b")
    assert sheet.rows[0][1] == "0.500 [0.500, 0.500]"


def test_no_common_reference_says_what_to_pass():
    one = timings(model("a", 1.0), model("c", 1.0))
    two = timings(model("b", 1.0), model("c", 1.0), references=("b",))
    *_, sheet = tables(measured(one, two))
    assert sheet.rows == ()
    assert "Pass --reference" in sheet.warnings[0]
    *_, sheet = tables(measured(one, two), reference="c")
    assert sheet.rows[0][0] == "a"


def test_single_stream_shows_queries_and_p90_without_ratios():
    one = timings(model("a", 1.0), model("b", 2.0), scenario="single-stream")
    (sheet,) = tables(measured(one))
    assert sheet.header[:5] == ("model", "runs", "seconds", "p50 ms", "p90 ms")
    assert "ratio" not in sheet.header
    assert sheet.title == "local, 1 thread, single-stream"


def test_accuracy_and_configurations_are_shown_where_known():
    configuration = Configuration("a", "cse, reduction 32", 2_500_000, 56_000_000)
    one = measured(
        timings(model("a", 1.0), model("b", 1.0)),
        accuracy={"a": 0.75},
        configurations=(configuration,),
    )
    sheet, configurations = tables(one)
    assert (cells(sheet, "a")["accuracy"], cells(sheet, "b")["accuracy"]) == ("75.0 %", "")
    assert configurations.rows == (("a", "cse, reduction 32", "2.50 M", "56.00 M"),)


def test_the_costliest_operators_are_listed_where_the_runtime_tells():
    profile = (OperatorTime("stem", "CONV_2D", 0.25), OperatorTime("body", "MUL", 0.75))
    _, operators = tables(measured(timings(model("a", 1.0, profile=profile))))
    assert operators.title == "Costliest operators: local, 1 thread"
    assert operators.rows == (
        ("a", "MUL", "body", "0.750", "75.0 %"),
        ("a", "CONV_2D", "stem", "0.250", "25.0 %"),
    )


@pytest.fixture
def estimated():
    gone = CpuOperator("SOFTMAX float32", "probabilities", "float is not taken")
    return Measurements(
        estimates=(
            Estimate("a", "ethos-u55-256", 8.12, 4_060_000, 500.0, 2048, 0, 4096, 8192, 50, 9),
            Estimate(
                "a", "ethos-u65-512", 1.3, 1_300_000, 1000.0, 2048, 0, 0, 8192, 50, 9, (gone,)
            ),
        )
    )


def test_estimates_are_called_estimates_and_name_the_cpus_operators(estimated):
    sheet, cpu = tables(estimated)
    assert sheet.title == "Estimates, no measurement"
    assert sheet.rows[0][1:6] == ("ethos-u55-256", "8.12", "500", "4,060,000", "2")
    assert "DRAM KiB" not in sheet.header
    assert "nothing was run" in sheet.caption
    assert cpu.rows == (
        ("a", "ethos-u65-512", "SOFTMAX float32", "probabilities", "float is not taken"),
    )


def test_networks_are_a_sheet_like_any_other():
    one = {
        "params": 2_000_000,
        "se_params": 500_000,
        "macs": 60_000_000,
        "se_macs": 0,
        "input_shape": [224, 224, 3],
        "source": "a paper",
    }
    (sheet,) = sheets.of_networks({"net": one, "frozen": {**one, "params": 0}}).sheets
    assert sheet.rows[0] == ("net", "2.00 M", "25.0 %", "60.00 M", "0.0 %", "224x224", "a paper")
    assert sheet.rows[1][2] == "?"  # of nothing, there is no share


def test_rows_hold_every_column_as_a_plain_number():
    page = sheets.page(measured(timings(model("a", 1.0), model("b", 2.0))), "b")
    assert isinstance(page, pages.Page) and len(page.rows) == 2
    assert page.rows[0]["ratio"] == 0.5 and page.rows[1]["ratio"] == 1
    assert {"median_ms", "size_bytes", "control_of", "fallback_of"} <= page.rows[0].keys()
