import dataclasses
import io
import json
import os
import pathlib
import re

import pytest
from rich.console import Console

import mobile
from mobile.benchmarking import columns
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import Conditions, ModelTimings, Timings
from mobile.reporting import files, formats, plots, report
from mobile.reporting.results import Results

DATA = pathlib.Path(__file__).parents[2] / "data"
EVIL = "$x^$ \udcff <script>|\x1b[2J"


def timings(*names, device="local"):
    models = tuple(
        ModelTimings(name, (float(i + 1),) * 6, 1, 1000) for i, name in enumerate(names, 1)
    )
    return Timings(models, Conditions(device, "x", "A CPU", "r", "1", 1, 6, 2), names[:1])


@pytest.fixture
def no_drawing(monkeypatch):
    def broken(*args, **kw):
        raise RuntimeError("no font")

    for name in ("latency_distributions", "accuracy_against_latency", "costs_by_stage"):
        monkeypatch.setattr(plots, name, broken)


def test_a_run_gets_its_files_and_a_page_that_loads_nothing(tmp_path):
    run = files.load(DATA / "run_v1.json")
    page = mobile.report(run, tmp_path, console=False).read_text()
    assert sorted(os.listdir(tmp_path)) == [
        "accuracy_latency.png",
        "costs.png",
        "latency.png",
        "report.html",
        "results.csv",
        "results.json",
        "results.md",
    ]
    links = re.findall(r'(?:src|href)="([^"]{1,30})', page)
    assert len(links) == 3
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
    assert files.load(tmp_path) == run


def test_benchmarks_get_theirs(tmp_path):
    one = timings("a", "b")
    merged = Measurements((Measurement(one, accuracy={"a": 0.5}), Measurement(one)))
    console = Console(width=100, file=io.StringIO())
    assert mobile.report(merged, tmp_path, console) == tmp_path / "report.html"
    assert sorted(os.listdir(tmp_path)) == [
        "accuracy_0.png",
        "latency_0.png",
        "latency_1.png",
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert files.load(tmp_path / "report.json") == merged
    assert "each within its own device" in console.file.getvalue()


def test_a_report_of_timings_is_that_of_their_measurements(tmp_path):
    one = timings("a", "b")
    assert mobile.report((one, one), tmp_path, False).read_text().count("<img") == 2
    assert mobile.report(one, tmp_path / "one", False).read_text().count("<img") == 1
    with pytest.raises(TypeError, match=r"mobile\.benchmark"):
        mobile.report([b"something"], tmp_path / "two")


def test_a_lost_device_costs_its_own_tables_alone(tmp_path):
    lost = Timings((), Conditions("ssh:pi", "", "", "", "", 1, 0, 0), notes=("It went away.",))
    page = mobile.report((timings("a"), lost), tmp_path, False).read_text()
    assert page.count("<img") == 1 and "It went away." in page


@pytest.mark.parametrize("name", ["run_v1.json", "measurements_v1.json"])
def test_pictures_that_cannot_be_drawn_lose_nothing_else(name, tmp_path, no_drawing):
    record = files.load(DATA / name)
    with pytest.warns(UserWarning, match="could not be drawn"):
        page = mobile.report(record, tmp_path, False).read_text()
    assert "<img" not in page and "RuntimeError: no font" in page and "<table>" in page
    stem = "results" if isinstance(record, Results) else "report"
    wanted = {"report.html", f"{stem}.csv", f"{stem}.json", f"{stem}.md"}
    assert set(os.listdir(tmp_path)) == wanted


def test_the_numbers_are_there_whatever_else_fails(tmp_path, monkeypatch):
    def broken(page):
        raise RuntimeError("no template")

    monkeypatch.setattr(formats, "to_html", broken)
    record = Measurements((Measurement(timings("a")),))
    with pytest.raises(RuntimeError, match="no template"):
        mobile.report(record, tmp_path / "folder", False)
    assert files.load(tmp_path / "folder" / "report.json") == record
    with pytest.raises(RuntimeError, match="no template"):
        report.publish(record, {"html": tmp_path / "r.html", "json": tmp_path / "r.json"})
    assert files.load(tmp_path / "r.json") == record


def test_what_cannot_be_written_leaves_only_the_numbers(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        mobile.report(timings("a"), tmp_path, False)
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report.json"]


def test_any_name_goes_through_every_format(tmp_path, capsys):
    record = Measurements((Measurement(timings(EVIL, "b"), accuracy={EVIL: 0.5}),))
    paths = {kind: tmp_path / kind for kind in ("json", "csv", "markdown", "html")}
    report.publish(record, paths)
    assert files.load(paths["json"]) == record  # the very name, as it was
    said = capsys.readouterr().out
    assert "\x1b" not in said and r"\x1b[2J" in said
    for kind in ("csv", "markdown", "html"):
        text = paths[kind].read_text()
        assert "\x1b" not in text and r"\x1b[2J" in text
    assert "<script" not in paths["html"].read_text() + paths["markdown"].read_text()


def test_a_new_column_stands_in_every_format(tmp_path, capsys, monkeypatch):
    """One line in COLUMNS, and where the figure is not a field yet, one property beside it."""
    fastest = columns.Column("best ms", "best_ms", columns.milliseconds)
    monkeypatch.setattr(columns, "COLUMNS", (fastest, *columns.COLUMNS))
    monkeypatch.setattr(ModelTimings, "best_ms", property(lambda m: min(m.times_ms)), raising=False)
    odd = dataclasses.replace(timings("a", "b").models[0], times_ms=(0.777, 5.0))
    one = dataclasses.replace(timings("a", "b"), models=(odd,))
    run = files.load(DATA / "run_v1.json")
    first = dataclasses.replace(odd, name="mobile int8")
    run = dataclasses.replace(run, timings=dataclasses.replace(one, models=(first,), references=()))

    assert "best ms" in str(one) and "0.777" in str(one)
    assert run.rows()[0]["best_ms"] == 0.777
    for record, stem in ((run, "results"), (Measurements((Measurement(one),)), "report")):
        mobile.report(record, tmp_path)
        table = capsys.readouterr().out
        markdown = (tmp_path / f"{stem}.md").read_text()
        html = (tmp_path / "report.html").read_text()
        for text in (table, markdown, html):
            assert "best ms" in text and "0.777" in text
        csv = (tmp_path / f"{stem}.csv").read_text()
        assert "best_ms" in csv and ",0.777," in csv


def test_json_is_whole_numbers_and_all_raw_times(tmp_path):
    mobile.report(timings("a"), tmp_path, False)
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["measurements"][0]["timings"]["models"][0]["times_ms"] == [2.0] * 6
