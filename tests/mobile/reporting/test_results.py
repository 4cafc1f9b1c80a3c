import pathlib

import pytest

from mobile.benchmarking import columns
from mobile.reporting import files
from mobile.reporting.results import Results

DATA = pathlib.Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def results():
    return files.load(DATA / "run_v1.json")


def test_results_go_to_json_and_back(results):
    assert Results.from_json(results.to_json()) == results


def test_rows_hold_plain_numbers_and_every_column(results):
    row = results.rows()[0]
    assert (row["network"], row["scheme"]) == ("mobile", "int8")
    assert row["median_ms"] == pytest.approx(1.02)
    assert row["ratio_to_server_int8"] == pytest.approx(1 / 1.25)
    assert row["ratio_to_no_se_int8"] == pytest.approx(1 / 0.8)
    assert row["accuracy"] == 0.975
    assert {column.field for column in columns.COLUMNS} <= row.keys()


def test_results_print_a_table(results):
    assert "mobile int8        0.975   1.020   1.040" in str(results).splitlines()


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("options", {}, r"in options: Object missing required field `network`"),
        ("data", {"name": "digits"}, r"in data: Object missing required field `classes`"),
        ("networks", [], "in networks: Expected `array` of length >= 1"),
    ],
)
def test_dictionaries_are_checked_for_what_a_report_reads(results, name, value, place):
    with pytest.raises(ValueError, match=place):
        Results.from_dict({**results.to_dict(), name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("complexity", {"macs": 1}),
        ("artifacts", {"int8": {"size_bytes": -1}}),
        ("se", {"kind": "cse", "reduction": "4", "gate": "sigmoid", "min_channels": 1}),
    ],
)
def test_so_are_those_of_each_network(results, name, value):
    said = results.to_dict()
    said["networks"][1][name] = value
    with pytest.raises(ValueError, match=rf"in networks\[1\]\.{name}"):
        Results.from_dict(said)
