import csv
import dataclasses
import io
import json
import os
import re

import pytest
from rich.console import Console

import mobile
from mobile.analysis.vela import Estimate
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, Timings
from mobile.reporting import formats, plots

NAMES = ("mobilenet_v3_small_without_se_int8", "mobilenet_v3_small_float32", "efficientnet_lite0")


def _measurement(device, scale, **kw):
    models = tuple(
        ModelTimings(
            name,
            tuple(scale * (place + 1) * (1 + 0.01 * (i % 7)) for i in range(30)),
            partitions=1,
            size_bytes=2_500_000,
            first_ms=9.87,
            load_ms=12.3,
            peak_memory_bytes=8_200_000,
            output_error=1e-4,
            control_of=NAMES[0] if name == "again" else None,
        )
        for place, name in enumerate((*NAMES, "again"))
    )
    conditions = Conditions(device, "aarch64", "Some <CPU>", "ai_edge_litert", "2.3.0", 1, 30, 5)
    failure = Failure("refused | by <all>", "load", "RuntimeError: no")
    return Measurement(Timings(models, conditions, (NAMES[0],), (failure,), ("Hot.",)), **kw)


@pytest.fixture(scope="module")
def measured():
    accuracy = {NAMES[0]: 0.7, NAMES[2]: 0.75}
    return Measurements(
        (
            _measurement("local", 0.5, accuracy=accuracy, test_images=500),
            _measurement("ssh:user@board:2222", 4.0),
        ),
        (Estimate(NAMES[0], "ethos-u55-256", 8.12, 4_060_000, 500.0, 2048, 0, 4096, 8192, 50, 9),),
        "2026-11-22T00:00:00+00:00",
    )


@pytest.mark.parametrize("width", [80, 120, 160])
def test_tables_fit_their_terminal_and_keep_what_matters(measured, width):
    console = Console(width=width, file=io.StringIO())
    formats.show(measured, console=console)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "2.000 [2.000, 2.000]" in text  # the second model takes twice the first's time
    assert "! Hot." in text
    assert ("12.3" in text) == (width == 160)  # load ms is the first to go
    assert "Left out, this terminal being narrow" in text or width == 160


@pytest.mark.parametrize("width", [60, 80])
def test_columns_that_do_not_fit_continue_in_a_table_with_the_names(measured, width):
    many = [
        dataclasses.replace(one, title=f"trial {i}")
        for i in range(2)
        for one in measured.measurements
    ]
    estimates = tuple(
        dataclasses.replace(measured.estimates[0], name=name, dram_bytes=4096) for name in NAMES
    )
    console = Console(width=width, file=io.StringIO())
    formats.show(Measurements(tuple(many), estimates), console=console)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    tops = [line for line in text.splitlines() if line.startswith("┏")]
    assert all(len(line.split("┳")[0]) >= 10 for line in tops)  # the names' column
    assert text.count("2.000 [2.000, 2.000]") == 8  # four tables of one device, four across
    assert "4,060,000" in text and "0 of 9" in text


def test_markdown_is_a_table_that_no_name_breaks(measured):
    text = formats.to_markdown(measured)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "| --- | ---: |" in text
    assert r"refused \| by <all> failed to load" in text
    counts = {line.count("|") for line in lines if "p50" in line or NAMES[0] in line}
    assert len(counts) == 4  # device with accuracy, device, ratios, estimates


def test_csv_is_plain_numbers_a_row_a_model_and_device(measured):
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(measured))))
    assert [row["kind"] for row in rows].count("measured") == 8
    assert float(rows[1]["ratio"]) == pytest.approx(2)
    assert rows[4]["kind"] == "failed" and "RuntimeError" in rows[4]["failure"]
    assert rows[5]["device"] == "ssh:user@board:2222"
    assert rows[-1]["kind"] == "estimated"
    assert rows[-1]["median_ms"] == ""
    assert float(rows[-1]["estimated_ms"]) == 8.12


def test_report_writes_its_files_and_a_page_that_loads_nothing(measured, tmp_path):
    page = formats.report(measured, tmp_path / "new").read_text()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "report.html",
        "report.md",
        "report.csv",
        "report.json",
        "latency_0.png",
        "accuracy_0.png",
        "latency_1.png",
    }
    assert "Some &lt;CPU&gt;" in page and "Some <CPU>" not in page
    assert "by &lt;all&gt;" in page
    links = re.findall(r'(?:src|href)="([^"]{1,30})', page)
    assert len(links) == 3
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert Measurements.from_dict(json.loads((tmp_path / "new" / "report.json").read_text())) == (
        measured
    )


def test_report_of_timings_is_that_of_their_measurements(measured, tmp_path):
    one, two = (each.timings for each in measured.measurements)
    console = Console(width=160, file=io.StringIO())
    page = mobile.report((one, two), tmp_path, console)
    assert page.read_text().count("<img") == 2
    assert "each within its own device" in console.file.getvalue()
    assert mobile.report(one, tmp_path / "one", False).exists()
    with pytest.raises(TypeError, match=r"mobile\.benchmark"):
        mobile.report([b"something"], tmp_path / "two")


def test_report_that_cannot_be_written_leaves_nothing(measured, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        formats.report(measured, tmp_path)
    assert os.listdir(tmp_path) == ["report.html"]


def test_name_in_a_script_that_the_font_lacks_is_drawn_without_a_word():
    conditions = Conditions("local", "x", "A CPU", "r", "1", 1, 5, 0)
    model = ModelTimings("\u6a21\u578b", (1.0, 1.1, 1.2), 1, 1)
    assert plots.latency_distributions(Timings((model,), conditions)).startswith(b"\x89PNG")


def test_long_runs_are_drawn_from_a_sample_and_close_ones_on_a_plain_axis():
    conditions = Conditions("local", "x", "A CPU", "r", "1", 1, 5000, 0)
    many = ModelTimings("many", tuple(1 + 0.0001 * i for i in range(5000)), 1, 1)
    same = ModelTimings("same", (1.0,) * 5, 1, 1)
    for models in ((many,), (same,), (many, same)):
        assert plots.latency_distributions(Timings(models, conditions)).startswith(b"\x89PNG")
