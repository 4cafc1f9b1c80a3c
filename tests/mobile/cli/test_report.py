import subprocess
import sys
from pathlib import Path

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


@pytest.fixture
def old_run(tmp_path):
    """The folder of a run, with nothing but the results."""
    data = Path(__file__).parents[2] / "data" / "run_v1.json"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text(data.read_text())
    return tmp_path / "old"


def test_report_of_a_run_is_written_again_where_tensorflow_is_not_installed(old_run):
    code = (
        "import sys; sys.modules['tensorflow'] = None\nfrom mobile.cli import main\n"
        f"try: main(['report', {str(old_run)!r}])\nexcept SystemExit as end: status = end.code\n"
        "assert status == 0 and 'keras' not in sys.modules"
    )
    place = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=place
    )
    assert done.returncode == 0, done.stderr
    assert (old_run / "report.html").exists()


def test_reference_of_a_run_is_its_own(old_run, fails):
    assert "Leave out --reference" in fails("report", old_run, "--reference", "a")
