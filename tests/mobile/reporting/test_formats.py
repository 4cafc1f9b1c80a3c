import csv
import dataclasses
import io

import pytest
from rich.console import Console

from mobile.analysis.vela import Estimate
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, Timings
from mobile.reporting import formats, report, sheets

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
    report.show(sheets.page(measured), console)
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
    report.show(sheets.page(Measurements(tuple(many), estimates)), console)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    tops = [line for line in text.splitlines() if line.startswith("┏")]
    assert all(len(line.split("┳")[0]) >= 10 for line in tops)  # the names' column
    assert text.count("2.000 [2.000, 2.000]") == 8  # four tables of one device, four across
    assert "4,060,000" in text and "0 of 9" in text


def test_markdown_is_a_table_that_no_name_breaks(measured):
    text = formats.to_markdown(sheets.page(measured))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "| --- | ---: |" in text
    assert r"refused \| by &lt;all&gt; failed to load" in text
    assert "Some &lt;CPU&gt;" in text
    counts = {line.count("|") for line in lines if "p50" in line or NAMES[0] in line}
    assert len(counts) == 4  # device with accuracy, device, ratios, estimates


def test_csv_is_plain_numbers_a_row_a_model_and_device(measured):
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(sheets.page(measured)))))
    assert [row["kind"] for row in rows].count("measured") == 8
    assert float(rows[1]["ratio"]) == pytest.approx(2)
    assert rows[4]["kind"] == "failed" and "RuntimeError" in rows[4]["failure"]
    assert rows[5]["device"] == "ssh:user@board:2222"
    assert rows[-1]["kind"] == "estimated"
    assert rows[-1]["median_ms"] == ""
    assert float(rows[-1]["estimated_ms"]) == 8.12


def test_a_page_is_html_of_its_tables_that_no_name_breaks(measured):
    page = formats.to_html(dataclasses.replace(sheets.page(measured), title="</title><script>"))
    assert "<script" not in page and "&lt;/title&gt;&lt;script&gt;" in page
    assert "Some &lt;CPU&gt;" in page and "by &lt;all&gt;" in page
    assert page.count("<table>") == page.count("</table>") == 6  # 2 devices and conditions, ...
    assert "<details><summary>Conditions</summary>" in page
    assert "max-width: 72rem" in page  # the style is in it


def test_a_sheet_without_table_is_its_caption_and_warnings():
    sheet = sheets.Sheet("Nothing", caption="Why.", warnings=("One.",))
    page = sheets.Page("Title", "", (sheet,))
    console = Console(width=80, file=io.StringIO())
    report.show(page, console)
    assert console.file.getvalue().split() == ["Nothing", "Why.", "!", "One."]
    assert formats.to_markdown(page) == "# Title\n\n## Nothing\n\nWhy.\n\n- One.\n"
    assert '<p class="small">Why.</p>' in formats.to_html(page)
