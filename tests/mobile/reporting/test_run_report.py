import dataclasses
import io
import pathlib

import pytest
from rich.console import Console

from mobile.reporting import files, formats, report, run_report
from tests.mobile.reporting.gates import GATES

DATA = pathlib.Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def results():
    """Medians in ms: 1.02 mobile int8, 1.275 server, 0.816 without SE; float32 twice as long."""
    return files.load(DATA / "run_v1.json")


@pytest.fixture(scope="module")
def reached(results):
    return run_report.page(results).sheets[0]


def test_a_file_has_a_row_with_its_accuracy_times_and_ratios(reached):
    row = dict(zip(reached.header, reached.rows[0], strict=True))
    assert (row["network"], row["scheme"]) == ("mobile", "int8")
    assert (row["accuracy"], row["agreement"], row["p50 ms"]) == ("97.5 %", "98.0 %", "1.02")
    assert row["file MB"] == "0.420"
    assert row["vs server SE int8"] == "0.800 [0.800, 0.800]"  # 1 / 1.25
    assert row["vs without SE int8"] == "1.250 [1.250, 1.250]"  # 1 / 0.8
    assert [reached.rows[i][1] for i in reached.strong] == ["int8"] * 3


def test_the_conditions_stand_below(results, reached):
    assert reached.caption.startswith(results.timings.where)
    assert "vs: ratio of medians" in reached.caption
    assert "3 of 1000 images grey-scale." in reached.caption


def test_a_model_that_did_not_run_has_question_marks_and_its_size(results):
    kept = tuple(m for m in results.timings.models if m.name != "mobile int8")
    timings = dataclasses.replace(results.timings, models=kept)
    page = run_report.page(dataclasses.replace(results, timings=timings))
    row = dict(zip(page.sheets[0].header, page.sheets[0].rows[0], strict=True))
    assert row["p50 ms"] == row["vs server SE int8"] == "?"
    assert row["file MB"] == "0.420"
    assert page.rows[0]["median_ms"] is None
    assert len(page.pictures) == 3


def test_networks_say_what_squeeze_and_excitation_costs(results):
    _, networks, verification, made, *folded = run_report.page(results).sheets
    assert networks.rows[0][0] == "mobile"
    assert networks.rows[0][2] == "39.1 %"  # 144 of 368 parameters
    assert networks.rows[2][5] == "none"
    assert verification.rows[0] == ("mobile", "float, Keras", "99.0 %", "-", "-", "-")
    assert verification.rows[1] == ("mobile", "int8 .tflite", "97.5 %", "98.0 %", "0.5", "0.1")
    assert "train mobile 1 min 15 s" in made.caption
    assert [sheet.title for sheet in folded][1] == "Conditions of the benchmark"


def test_gates_are_called_alive_or_constant_and_share_the_measured_cost(results):
    first, *others = results.networks
    networks = (dataclasses.replace(first, gates=GATES), *others)
    page = run_report.page(dataclasses.replace(results, networks=networks))
    (sheet,) = (sheet for sheet in page.sheets if sheet.title == "The gates")
    # 1.02 - 0.816 ms are 204 us, of which 32 of 40 elements have 163.2.
    assert sheet.rows == (
        ("mobile", "early", "4x4x2", "0.500 ± 0.010", "0.4 %", "constant", "163.2"),
        ("mobile", "late", "2x2x2", "0.500 ± 0.010", "31.0 %", "alive", "40.8"),
    )
    assert [picture.file for picture in sheet.pictures] == ["gates_mobile.png"]
    assert sheet.pictures[0].png.startswith(b"\x89PNG")
    first_file = results.timings.models[:1]
    timings = dataclasses.replace(results.timings, models=first_file, references=())
    alone = dataclasses.replace(results, networks=networks, timings=timings)
    (sheet,) = (s for s in run_report.page(alone).sheets if s.title == "The gates")
    assert sheet.rows[0][-1] == ""  # nothing says what SE costs without a network without it


def test_a_frozen_network_has_no_share_of_nothing(results):
    first = results.networks[0]
    frozen = dict.fromkeys(("trainable_params", "se_params"), 0)
    network = dataclasses.replace(first, complexity={**first.complexity, **frozen})
    page = run_report.page(dataclasses.replace(results, networks=(network,)))
    assert page.sheets[1].rows[0][1:3] == ("0.00 M", "?")


@pytest.mark.parametrize("width", [160, 120, 100, 60])
def test_the_table_fits_its_terminal_and_is_all_that_is_shown(results, width):
    console = Console(width=width, file=io.StringIO())
    report.show(run_report.page(results), console)
    text = console.file.getvalue()
    assert "…" not in text and "Verification" not in text
    assert "97.5 %" in text and "0.800 [0.800, 0.800]" in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_every_format_has_it(results):
    page = run_report.page(results)
    header, first = formats.to_csv(page).splitlines()[:2]
    assert header.startswith("network,scheme,accuracy,float_accuracy,top1_agreement,worst_abs")
    assert first.startswith("mobile,int8,0.975")
    text = formats.to_markdown(page)
    assert text.startswith("# trial &amp; error\n\nmobilenet_v3_small on digits, 2 classes, 800")
    assert "| mobile | int8 | 97.5 % | 98.0 % | 1.02 |" in text
    html = formats.to_html(page)
    assert "trial &amp; error" in html and "Some &lt;CPU&gt;" in html
    assert html.count("<h2>") == 4 and html.count("<details>") == 2  # versions: there are none
