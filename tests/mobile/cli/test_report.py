import pytest

from mobile.benchmarking.timings import Conditions, ModelTimings, Timings
from mobile.record import write_file


@pytest.fixture
def result(tmp_path, monkeypatch):
    """The file of a benchmark of two models, 1 and 2 ms."""
    monkeypatch.chdir(tmp_path)
    models = tuple(ModelTimings(name, (ms,) * 4, 1, 1000) for name, ms in (("a", 1.0), ("b", 2.0)))
    timings = Timings(models, Conditions("local", "x", "A CPU", "r", "1", 1, 4, 2), ("a",))
    return write_file(tmp_path / "r.json", timings.to_json())


def test_report_goes_to_a_folder_of_its_own_and_keeps_what_is_there(result, run, fails, capsys):
    assert run("report", result) == 0
    assert "Report: report/report.html" in capsys.readouterr().out
    first = (result.parent / "report" / "report.html").read_text()
    assert "--overwrite" in fails("report", result)
    assert run("report", result, "--output", "other", "--reference", "b") == 0
    assert (result.parent / "other" / "report.html").read_text() != first


def test_unknown_reference_names_the_nearest(result, fails):
    assert "Known: a, b" in fails("report", result, "--reference", "c")
    assert not (result.parent / "report").exists()


def test_what_is_no_result_is_said_to_be_none(tmp_path, fails):
    assert "results.json" in fails("report", tmp_path / "nowhere")
    (tmp_path / "bad.json").write_text('{"some": "thing"}')
    assert "bad.json" in fails("report", tmp_path / "bad.json")
