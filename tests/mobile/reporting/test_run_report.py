import io
import json
import re

import keras
import pytest
from rich.console import Console

import keras_se
from mobile.benchmarking.timings import Conditions, ModelTimings, Timings
from mobile.conversion.agreement import Agreement
from mobile.reporting import run_report
from mobile.reporting.console import Progress
from mobile.reporting.results import Epoch, NetworkResult, Results


def _network(name, accuracy):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3)(inputs)
    if name != "no_se":
        x = keras_se.SqueezeExcite(reduction=2)(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    agreement = Agreement(200, 0.98, 0.5, 0.1, {"keras": 0.99, "tflite": accuracy})
    return NetworkResult(
        name=name,
        se=None if name == "no_se" else keras_se.MOBILE.to_dict(),
        complexity=keras_se.complexity(model).to_dict(),
        epochs=(Epoch(0.5, 0.9, 1.25),),
        accuracy={"float": 0.99, "int8": accuracy, "float32": 0.99},
        agreement={"int8": agreement},
        artifacts={"int8": {"size_bytes": 420_000}, "float32": {"size_bytes": 1_200_000}},
    )


@pytest.fixture(scope="module")
def results():
    def times(name, base, **kw):
        taken = tuple(base * (1 + 0.01 * (i % 5)) for i in range(50))  # median: base * 1.02
        return ModelTimings(name, taken, partitions=1, size_bytes=420_000, **kw)

    models = (
        times("mobile int8", 1.0),
        times("mobile float32", 2.0),
        times("server int8", 1.25),
        times("server float32", 2.5),
        times("no_se int8", 0.8),
        times("no_se float32", 1.6),
        times("server int8 (again)", 1.25, control_of="server int8"),
    )
    conditions = Conditions(
        "local", "x86_64", "Some <CPU>", "ai_edge_litert", "2.3.0", threads=1, runs=50, warmups=20
    )
    return Results(
        name="trial & error",
        created="2026-01-02T03:04:05+00:00",
        options={"network": "mobilenet_v3_small", "data": None},
        data={
            "name": "digits",
            "classes": ["0", "1"],
            "train_images": 800,
            "test_images": 200,
            "size": 48,
            "remarks": ["3 of 1000 images grey-scale"],
            "skipped": [],
        },
        networks=(_network("mobile", 0.975), _network("server", 0.98), _network("no_se", 0.96)),
        timings=Timings(models, conditions, ("server int8", "no_se int8")),
        seconds={"train mobile": 75.0},
    )


def test_results_go_to_json_and_back(results):
    assert Results.from_json(results.to_json()) == results


def test_rows_hold_plain_numbers(results):
    row = results.rows()[0]
    assert (row["network"], row["scheme"]) == ("mobile", "int8")
    assert row["median_ms"] == pytest.approx(1.02)
    assert row["ratio_to_server_int8"] == pytest.approx(1 / 1.25)
    assert row["ratio_to_no_se_int8"] == pytest.approx(1 / 0.8)
    assert row["accuracy"] == 0.975


def test_table_shows_every_file_and_fits_its_console(results):
    for width in (160, 120, 100):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(run_report.to_table(results, width))
        text = console.export_text()
        assert "…" not in text
        assert "97.5 %" in text
        assert "0.80 [0.80, 0.80]" in text
        assert max(len(line) for line in text.splitlines()) <= width


def test_report_writes_its_files_and_a_page_that_loads_nothing(results, tmp_path):
    page = run_report.report(results, tmp_path, console=False).read_text()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "accuracy_latency.png",
        "latency.png",
        "costs.png",
        "report.html",
        "results.csv",
        "results.json",
        "results.md",
    }
    assert "trial &amp; error" in page
    assert "Some &lt;CPU&gt;" in page
    assert "3 of 1000 images grey-scale" in page
    links = re.findall(r'(?:src|href)="([^"]{1,30})', page)
    assert len(links) == 3
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "results.json").read_text())["timings"]["models"][0]["times_ms"]
    header, first = (tmp_path / "results.csv").read_text().splitlines()[:2]
    assert header.startswith("network,scheme,accuracy")
    assert first.startswith("mobile,int8,0.975")
    assert (
        "| mobile | int8 | 97.5 % | 98.0 % | 0.420 | 1.02 |"
        in (tmp_path / "results.md").read_text()
    )


def test_model_that_did_not_run_has_question_marks_in_every_form(results):
    kept = tuple(m for m in results.timings.models if m.name != "mobile int8")
    timings = Timings(kept, results.timings.conditions, ("server int8", "no_se int8"))
    partly = Results.from_dict({**results.to_dict(), "timings": timings.to_dict()})
    assert partly.rows()[0]["median_ms"] is None
    assert "?" in run_report.table_rows(partly)[1][0]
    assert "mobile" in run_report.to_html(partly)


def test_drawing_leaves_matplotlib_alone(results):
    import matplotlib

    before = matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False)
    run_report.draw(results)
    assert (matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False)) == before


def test_progress_tells_stage_loss_and_time(capsys):
    console = Console(width=100, record=True, file=io.StringIO())
    progress = Progress(console)
    with progress.stage("train mobile", steps=True) as watch:
        watch(0, 1, 2, 1.5, 0.25)
    progress.note("3 images skipped")
    text = console.export_text()
    assert "train mobile" in text
    assert "loss 1.500, accuracy 25.0 %" in text
    assert "3 images skipped" in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.0666, "0.0666"), (1.0, "1.00"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_milliseconds_have_three_figures(value, text):
    assert run_report.milliseconds(value) == text
